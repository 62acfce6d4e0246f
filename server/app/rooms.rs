//! The rooms of plans and identity, over the documents of a store.

use std::sync::Arc;

use crate::api::resolve::Resolver;
use crate::app::{Secrets, StartError};
use crate::config::{AccountsConfig, Config};
use crate::identity::directory::Directory;
use crate::identity::hearing::Hearing;
use crate::identity::keyring::Keyring;
use crate::identity::keys::Keys;
use crate::identity::requests::Requests;
use crate::identity::roles::Roles;
use crate::identity::signing_keys::SigningKeys;
use crate::identity::tenants::Tenants;
use crate::identity::token::{Terms, Tokens};
use crate::ledger::notices::Notices;
use crate::plans::catalogue::Catalogue;
use crate::plans::policies::Policies;
use crate::plans::presets::Presets;
use crate::plans::subscriptions::Subscriptions;
use crate::store::Documents;
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
        let keyring = Arc::new(Keyring::new(
            documents,
            clock(),
            &secrets.pepper,
            &secrets.operator_key,
            tokens.clone(),
            Arc::clone(&roles),
        ));
        let tenants = Arc::new(Tenants::new(
            documents,
            Arc::clone(&catalogue),
            subscriptions,
            Arc::clone(&directory),
            clock(),
            default_plan,
        ));
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
        Ok(Self {
            resolver: Arc::new(Resolver::new(Arc::clone(&directory), Arc::clone(&keyring))),
            keys: Arc::new(Keys::new(documents, Arc::clone(&keyring), clock())),
            requests: Arc::new(Requests::new(documents, clock())),
            catalogue,
            directory,
            keyring,
            tenants,
            tokens,
            roles,
            signing_keys,
        })
    }
}

fn terms(accounts: &AccountsConfig) -> Terms {
    Terms {
        issuer: accounts.issuer.as_str().to_owned(),
        audience: accounts.audience.as_str().to_owned(),
        access_life: i64::from(accounts.access_token_seconds.get()).saturating_mul(SECOND),
    }
}
