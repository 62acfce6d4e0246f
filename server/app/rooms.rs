//! The rooms of plans and identity, over the documents of a store.

use std::sync::Arc;

use crate::api::resolve::Resolver;
use crate::app::{Secrets, StartError};
use crate::config::Config;
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
use crate::identity::tenants::Tenants;
use crate::identity::user::User;
use crate::ledger::notices::Notices;
use crate::plans::catalogue::Catalogue;
use crate::plans::policies::Policies;
use crate::plans::presets::Presets;
use crate::plans::subscriptions::Subscriptions;
use crate::store::Documents;
use crate::store::records::Records;
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
    pub(super) members: Arc<Members>,
    pub(super) own_roles: Arc<OwnRoles>,
    pub(super) users: Arc<Records<User>>,
    pub(super) audit: Arc<Audit>,
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
            members: Arc::new(Members::new(documents, Arc::clone(&roles), Arc::clone(&keyring), clock())),
            own_roles: Arc::new(OwnRoles::new(documents, roles, Arc::clone(&keyring), clock())),
            users: Arc::new(Records::new(Arc::clone(documents))),
            audit: Arc::new(Audit::new(documents, &secrets.pepper, clock())),
            catalogue,
            directory,
            keyring,
            tenants,
        })
    }
}
