//! The rooms of plans and identity, over the documents of a store.

use std::sync::Arc;

use crate::api::admin::AdminApi;
use crate::api::auth::AuthApi;
use crate::api::auth::session::People;
use crate::api::page::Pages;
use crate::api::plans::PlansApi;
use crate::api::resolve::Resolver;
use crate::app::{Ends, Secrets, StartError};
use crate::config::{AccountsConfig, Config};
use crate::identity::accounts::Accounts;
use crate::identity::audit::Audit;
use crate::identity::directory::Directory;
use crate::identity::hearing::Hearing;
use crate::identity::keyring::Keyring;
use crate::identity::keys::Keys;
use crate::identity::last_use;
use crate::identity::members::Members;
use crate::identity::own_roles::OwnRoles;
use crate::identity::requests::Requests;
use crate::identity::roles::Roles;
use crate::identity::signing_keys::SigningKeys;
use crate::identity::tenants::Tenants;
use crate::identity::token::{Terms, Tokens};
use crate::identity::user::User;
use crate::jobs::runner::Runner;
use crate::ledger::notices::Notices;
use crate::ledger::works::Ledger;
use crate::plans::catalogue::Catalogue;
use crate::plans::policies::Policies;
use crate::plans::presets::Presets;
use crate::plans::subscriptions::Subscriptions;
use crate::store::Documents;
use crate::store::records::Records;
use crate::tasks::Tasks;
use crate::time::{Clock, SECOND};

/// The rooms.
pub(super) struct Rooms {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) directory: Arc<Directory>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) tenants: Arc<Tenants>,
    pub(super) keys: Arc<Keys>,
    pub(super) requests: Arc<Requests>,
    pub(super) members: Arc<Members>,
    pub(super) own_roles: Arc<OwnRoles>,
    pub(super) users: Arc<Records<User>>,
    pub(super) audit: Arc<Audit>,
    pub(super) signing_keys: Arc<SigningKeys>,
    pub(super) tokens: Tokens,
    pub(super) roles: Arc<Roles>,
}

impl Rooms {
    /// Builds them, and lets them hear what other servers change.
    pub(super) async fn open(
        config: &Config,
        documents: &Arc<dyn Documents>,
        secrets: &Secrets,
        notices: Arc<Notices>,
        clock: &Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        let clock = || Arc::clone(clock);
        let catalogue = Arc::new(Catalogue::new(documents, clock()));
        let default_plan =
            Presets::new(documents, clock()).install(&catalogue, &config.plans.presets).await?;
        let subscriptions = Subscriptions::new(documents, Arc::clone(&catalogue), clock()).telling(notices);
        let subscriptions = Arc::new(subscriptions);
        let policies = Policies::new(Arc::clone(&catalogue));
        let directory = Arc::new(Directory::new(documents, Arc::clone(&subscriptions), policies, clock()));
        let roles = Arc::new(Roles::open(documents, clock()).await?);
        let signing_keys = Arc::new(SigningKeys::open(documents, clock(), &secrets.pepper).await?);
        let tokens = Tokens::new(Arc::clone(&signing_keys), terms(&config.accounts), clock());
        let (uses, notebook) = last_use::notebook(documents);
        tasks.spawn(notebook.run(tasks.stopping()));
        let keyring = Keyring::new(
            documents,
            clock(),
            &secrets.pepper,
            &secrets.operator_key,
            tokens.clone(),
            Arc::clone(&roles),
        );
        let keyring = Arc::new(keyring.noting(uses));
        let tenants = Tenants::new(
            documents,
            Arc::clone(&catalogue),
            subscriptions,
            Arc::clone(&directory),
            clock(),
            default_plan,
        );
        let tenants = Arc::new(tenants.closing(Arc::clone(&keyring)));
        let hearing = Hearing::new(
            documents,
            Arc::clone(&keyring),
            Arc::clone(&directory),
            Arc::clone(&roles),
            Arc::clone(&signing_keys),
            clock(),
        );
        let stopping = tasks.stopping();
        tasks.spawn(async move { hearing.run(stopping).await });
        let members = Arc::new(Members::new(documents, Arc::clone(&roles), Arc::clone(&keyring), clock()));
        Ok(Self {
            resolver: Arc::new(Resolver::new(Arc::clone(&directory), Arc::clone(&keyring))),
            keys: Arc::new(Keys::new(documents, Arc::clone(&keyring), clock())),
            requests: Arc::new(Requests::new(documents, clock())),
            members,
            own_roles: Arc::new(OwnRoles::new(documents, Arc::clone(&roles), Arc::clone(&keyring), clock())),
            users: Arc::new(Records::new(Arc::clone(documents))),
            audit: Arc::new(Audit::new(documents, &secrets.pepper, clock())),
            catalogue,
            directory,
            keyring,
            tenants,
            tokens,
            roles,
            signing_keys,
        })
    }

    /// `PlansService` over them.
    pub(super) fn plans(&self, ledger: &Ledger, pages: &Pages, clock: &Arc<dyn Clock>) -> PlansApi {
        PlansApi {
            catalogue: Arc::clone(&self.catalogue),
            tenants: Arc::clone(&self.tenants),
            directory: Arc::clone(&self.directory),
            wallets: Arc::clone(&ledger.wallets),
            resolver: Arc::clone(&self.resolver),
            requests: Arc::clone(&self.requests),
            pages: pages.clone(),
            clock: Arc::clone(clock),
        }
    }

    /// `AuthService` over them.
    pub(super) fn auth(&self, people: People, accounts: Arc<Accounts>, pages: &Pages) -> AuthApi {
        AuthApi {
            keys: Arc::clone(&self.keys),
            resolver: Arc::clone(&self.resolver),
            requests: Arc::clone(&self.requests),
            pages: pages.clone(),
            members: Arc::clone(&self.members),
            own_roles: Arc::clone(&self.own_roles),
            users: Arc::clone(&self.users),
            signing_keys: Arc::clone(&self.signing_keys),
            people,
            accounts,
            keyring: Arc::clone(&self.keyring),
        }
    }

    /// `AdminService` over them.
    pub(super) fn admin(&self, jobs: Arc<Runner>, ends: Ends, people: &People, pages: &Pages) -> AdminApi {
        AdminApi {
            tenants: Arc::clone(&self.tenants),
            jobs,
            requests: Arc::clone(&self.requests),
            pages: pages.clone(),
            members: Arc::clone(&self.members),
            users: Arc::clone(&self.users),
            audit: Arc::clone(&self.audit),
            resolver: Arc::clone(&self.resolver),
            signing_keys: Arc::clone(&self.signing_keys),
            holdings: ends.holdings,
            departures: ends.departures,
            sessions: Arc::clone(&people.sessions),
            lockout: Arc::clone(&people.lockout),
        }
    }
}

fn terms(accounts: &AccountsConfig) -> Terms {
    Terms {
        issuer: accounts.issuer.as_str().to_owned(),
        audience: accounts.audience.as_str().to_owned(),
        access_life: i64::from(accounts.access_token_seconds.get()).saturating_mul(SECOND),
    }
}
