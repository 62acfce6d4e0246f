//! The rooms of identity and plans, built over an empty store.

use std::num::NonZeroU32;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use tollgate::adapters::memory::failures::MemoryFailures;
use tollgate::api::auth::session::People;
use tollgate::identity::accounts::{Accounts, Beside, SignUp};
use tollgate::identity::api_key::{ApiKey, KeyKind};
use tollgate::identity::audit::Audit;
use tollgate::identity::caller::{Caller, CallerKind};
use tollgate::identity::codes::Codes;
use tollgate::identity::departures::{self, Departures};
use tollgate::identity::directory::Directory;
use tollgate::identity::hasher::{Cost, Hasher};
use tollgate::identity::hearing::Hearing;
use tollgate::identity::keyring::Keyring;
use tollgate::identity::keys::{Keys, NewKey};
use tollgate::identity::lending::Lender;
use tollgate::identity::lockout::Lockout;
use tollgate::identity::login::{Doorway, Logins};
use tollgate::identity::members::{By, Members};
use tollgate::identity::own_roles::OwnRoles;
use tollgate::identity::requests::Requests;
use tollgate::identity::roles::Roles;
use tollgate::identity::second_factor::SecondFactors;
use tollgate::identity::sessions::{Ground, Lifetimes, Sessions};
use tollgate::identity::signing_keys::SigningKeys;
use tollgate::identity::tenants::{NewTenant, Tenants};
use tollgate::identity::token::{Terms, Tokens};
use tollgate::identity::user::User;
use tollgate::mail::outbox::Outbox;
use tollgate::plans::catalogue::Catalogue;
use tollgate::plans::policies::Policies;
use tollgate::plans::presets::Presets;
use tollgate::plans::subscriptions::Subscriptions;
use tollgate::store::Documents;
use tollgate::store::records::Records;
use tollgate::tasks::Tasks;
use tollgate::time::{Clock, MINUTE};
use uuid::Uuid;

use crate::store::Store;

pub(crate) const OPERATOR_KEY: &str = "an operator's key has 32 characters or more";

pub(crate) struct Rooms {
    pub(crate) store: Store,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) roles: Arc<Roles>,
    pub(crate) members: Arc<Members>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) own_roles: Arc<OwnRoles>,
    pub(crate) users: Arc<Records<User>>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) signing_keys: Arc<SigningKeys>,
    pub(crate) tokens: Tokens,
    pub(crate) people: People,
    pub(crate) departures: Arc<Departures>,
    pub(crate) hearing: Hearing,
}

impl Rooms {
    /// With the presets `standard`, and the tenant `acme` on `free`.
    pub(crate) async fn new() -> Self {
        let rooms = Self::over(Store::new()).await;
        rooms.tenants.create(tenant("acme", 1)).await.expect("a tenant");
        rooms
    }

    /// Another server over the same store.
    pub(crate) async fn beside(&self) -> Self {
        Self::over(self.store.beside()).await
    }

    async fn over(store: Store) -> Self {
        let (documents, clock) = (Arc::clone(&store.documents), store.clock());
        let catalogue = Arc::new(Catalogue::new(&documents, Arc::clone(&clock)));
        let presets = Presets::new(&documents, Arc::clone(&clock));
        let default_plan = presets.install(&catalogue, "standard").await.expect("the presets are installed");
        let subscriptions =
            Arc::new(Subscriptions::new(&documents, Arc::clone(&catalogue), Arc::clone(&clock)));
        let policies = Policies::new(Arc::clone(&catalogue));
        let directory =
            Arc::new(Directory::new(&documents, Arc::clone(&subscriptions), policies, Arc::clone(&clock)));
        let tenants = Arc::new(Tenants::new(
            &documents,
            Arc::clone(&catalogue),
            subscriptions,
            Arc::clone(&directory),
            Arc::clone(&clock),
            default_plan,
        ));
        let (secret, operator_key) = (secret(), SecretString::from(OPERATOR_KEY));
        let roles = Roles::open(&documents, Arc::clone(&clock)).await.expect("the roles");
        let roles = Arc::new(roles);
        let signing_keys = SigningKeys::open(&documents, Arc::clone(&clock), &secret).await.expect("keys");
        let signing_keys = Arc::new(signing_keys);
        let tokens = Tokens::new(Arc::clone(&signing_keys), terms(), Arc::clone(&clock));
        let (signed, ring_roles) = (tokens.clone(), Arc::clone(&roles));
        let keyring =
            Keyring::new(&documents, Arc::clone(&clock), &secret, &operator_key, signed, ring_roles);
        let keyring = Arc::new(keyring);
        let keys = Arc::new(Keys::new(&documents, Arc::clone(&keyring), Arc::clone(&clock)));
        let requests = Arc::new(Requests::new(&documents, Arc::clone(&clock)));
        let members = Members::new(&documents, Arc::clone(&roles), Arc::clone(&keyring), Arc::clone(&clock));
        let members = Arc::new(members);
        let own_roles =
            OwnRoles::new(&documents, Arc::clone(&roles), Arc::clone(&keyring), Arc::clone(&clock));
        let own_roles = Arc::new(own_roles);
        let users = Arc::new(Records::new(Arc::clone(&documents)));
        let audit = Arc::new(Audit::new(&documents, &secret, Arc::clone(&clock)));
        let accounts = accounts(&documents, &catalogue, &tenants, &members, &roles, &clock);
        let (ring, tenant_entries) = (Arc::clone(&keyring), Arc::clone(&directory));
        let people = people(&documents, &secret, &tokens, &roles, &keyring, &clock);
        let departures = end_of_people(&documents, &secret, &members, &people, &clock);
        let (ring_of_roles, signing) = (Arc::clone(&roles), Arc::clone(&signing_keys));
        let hearing = Hearing::new(&documents, ring, tenant_entries, ring_of_roles, signing, clock);
        Self {
            store,
            catalogue,
            directory,
            tenants,
            keyring,
            keys,
            requests,
            roles,
            members,
            accounts,
            own_roles,
            users,
            audit,
            signing_keys,
            tokens,
            people,
            departures,
            hearing,
        }
    }

    pub(crate) async fn operator(&self) -> Arc<Caller> {
        self.keyring.authenticate(OPERATOR_KEY).await.expect("the operator")
    }

    /// A member with that role, as it calls.
    pub(crate) async fn member(&self, tenant: &str, user: &str, role: &str) -> Caller {
        self.members.join(By::Decided, tenant, user, role).await.expect("a member");
        self.caller(tenant, user).await
    }

    /// A member as it calls now.
    pub(crate) async fn caller(&self, tenant: &str, user: &str) -> Caller {
        let member = self.members.get(tenant, user).await.expect("an answer").expect("a member");
        let permissions = self.roles.permissions(tenant, &member.role).await.expect("an answer");
        let user = user.into();
        let kind = if tenant.is_empty() {
            CallerKind::Staff { user }
        } else {
            CallerKind::Member { tenant: tenant.into(), user }
        };
        Caller {
            kind,
            key_id: None,
            session: None,
            permissions: permissions.unwrap_or_default(),
            restrictions: None,
            is_outside: false,
        }
    }

    /// A new key of the tenant `acme`, or of a service account.
    pub(crate) async fn key(&self, kind: KeyKind) -> (ApiKey, String) {
        let made = self.keys.create(&*self.operator().await, new_key(kind)).await;
        let (key, secret) = made.expect("a key");
        (key, secret.expect("a new key has a secret").expose_secret().to_owned())
    }
}

/// Accounts of people, which anybody may make.
fn accounts(
    documents: &Arc<dyn Documents>,
    catalogue: &Arc<Catalogue>,
    tenants: &Arc<Tenants>,
    members: &Arc<Members>,
    roles: &Arc<Roles>,
    clock: &Arc<dyn Clock>,
) -> Arc<Accounts> {
    let beside = Beside {
        outbox: Arc::new(Outbox::new(documents, &secret(), Arc::clone(clock))),
        catalogue: Arc::clone(catalogue),
        tenants: Arc::clone(tenants),
        members: Arc::clone(members),
        roles: Arc::clone(roles),
        hasher: cheap_hasher(),
        sign_up: SignUp::Open,
    };
    let codes = Arc::new(Codes::new(documents, &secret(), Arc::clone(clock)));
    Arc::new(Accounts::new(documents, &secret(), codes, beside, Arc::clone(clock)))
}

/// People who log in with hashes that cost little.
fn people(
    documents: &Arc<dyn Documents>,
    secret: &SecretBox<[u8; 32]>,
    tokens: &Tokens,
    roles: &Arc<Roles>,
    keyring: &Arc<Keyring>,
    clock: &Arc<dyn Clock>,
) -> People {
    let outbox = Arc::new(Outbox::new(documents, secret, Arc::clone(clock)));
    let ground = Ground {
        tokens: tokens.clone(),
        roles: Arc::clone(roles),
        keyring: Arc::clone(keyring),
        outbox: Arc::clone(&outbox),
        clock: Arc::clone(clock),
    };
    let lifetimes = Lifetimes { refresh_token_days: 30, session_days_max: 365 };
    let sessions = Arc::new(Sessions::new(documents, secret, ground, lifetimes));
    let (failures, tasks) = (Arc::new(MemoryFailures::default()), Tasks::default());
    let lockout = Lockout::new(documents, failures, Arc::clone(&outbox), secret, Arc::clone(clock), &tasks);
    let lockout = Arc::new(lockout);
    let doorway = Doorway {
        hasher: cheap_hasher(),
        sessions: Arc::clone(&sessions),
        outbox,
        second_factors: SecondFactors::new(secret),
        lockout: Arc::clone(&lockout),
        clock: Arc::clone(clock),
    };
    let logins = Logins::new(documents, doorway);
    People {
        logins: Arc::new(logins),
        sessions,
        lockout,
        lender: Arc::new(Lender::new(tokens.clone())),
        members: Arc::new(Records::new(Arc::clone(documents))),
    }
}

/// The end of people.
fn end_of_people(
    documents: &Arc<dyn Documents>,
    secret: &SecretBox<[u8; 32]>,
    members: &Arc<Members>,
    people: &People,
    clock: &Arc<dyn Clock>,
) -> Arc<Departures> {
    let ground = departures::Ground {
        members: Arc::clone(members),
        sessions: Arc::clone(&people.sessions),
        codes: Arc::new(Codes::new(documents, secret, Arc::clone(clock))),
        outbox: Arc::new(Outbox::new(documents, secret, Arc::clone(clock))),
        clock: Arc::clone(clock),
    };
    Arc::new(Departures::new(documents, ground))
}

/// What tokens have in common here.
pub(crate) fn terms() -> Terms {
    let name = || String::from("tollgate");
    Terms { issuer: name(), audience: name(), access_life: 10 * MINUTE }
}

/// Hashes passwords at a cost that no installation has.
fn cheap_hasher() -> Hasher {
    let (memory_kib, one) = (NonZeroU32::new(64).expect("it is above zero"), NonZeroU32::MIN);
    Hasher::new(Cost { memory_kib, passes: one, lanes: one }, 2).expect("a hasher")
}

/// The installation's own secret.
pub(crate) fn secret() -> SecretBox<[u8; 32]> {
    SecretBox::new(Box::new([7; 32]))
}

pub(crate) fn new_key(kind: KeyKind) -> NewKey {
    NewKey {
        seed: Uuid::now_v7(),
        kind,
        tenant: (kind == KeyKind::Tenant).then(|| String::from("acme")),
        name: String::from("a key"),
        expires_at: None,
        permissions: Vec::new(),
        services: Vec::new(),
        networks: Vec::new(),
    }
}

pub(crate) fn tenant(id: &str, seed: u128) -> NewTenant {
    let (id, name, seed) = (id.to_owned(), String::from("Acme"), Uuid::from_u128(seed));
    NewTenant { seed, id, name, plan: String::new(), time_zone: String::new() }
}
