//! The rooms of plans and identity, over the documents of a store.

use std::sync::Arc;

use crate::api::resolve::Resolver;
use crate::app::{Secrets, StartError};
use crate::config::Config;
use crate::identity::directory::Directory;
use crate::identity::hearing::Hearing;
use crate::identity::keyring::Keyring;
use crate::identity::keys::Keys;
use crate::identity::last_use;
use crate::identity::requests::Requests;
use crate::identity::roles::Roles;
use crate::identity::tenants::Tenants;
use crate::ledger::notices::Notices;
use crate::plans::catalogue::Catalogue;
use crate::plans::policies::Policies;
use crate::plans::presets::Presets;
use crate::plans::subscriptions::Subscriptions;
use crate::store::Documents;
use crate::tasks::Tasks;
use crate::time::Clock;

/// The rooms.
pub(super) struct Rooms {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) directory: Arc<Directory>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) tenants: Arc<Tenants>,
    pub(super) keys: Arc<Keys>,
    pub(super) requests: Arc<Requests>,
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
        let (uses, notebook) = last_use::notebook(documents);
        tasks.spawn(notebook.run(tasks.stopping()));
        let keyring = Keyring::new(documents, clock(), &secrets.pepper, &secrets.operator_key);
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
        let roles = Arc::new(Roles::open(documents, clock()).await?);
        let hearing = Hearing::new(
            documents,
            Arc::clone(&keyring),
            Arc::clone(&directory),
            Arc::clone(&roles),
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
        })
    }
}
