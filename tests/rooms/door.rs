//! The services of identity and plans behind their credential check, called without a socket.

use std::sync::Arc;

use axum::Router;
use tollgate::adapters::memory::counters::MemoryCounters;
use tollgate::adapters::sqlite::events::SqliteEvents;
use tollgate::adapters::sqlite::journal::SqliteJournal;
use tollgate::adapters::sqlite::rollups::SqliteRollups;
use tollgate::api::admin::AdminApi;
use tollgate::api::auth::AuthApi;
use tollgate::api::layers::auth::AuthLayer;
use tollgate::api::page::Pages;
use tollgate::api::plans::PlansApi;
use tollgate::api::resolve::Resolver;
use tollgate::api::rpc::admin_service_server::AdminServiceServer;
use tollgate::api::rpc::auth_service_server::AuthServiceServer;
use tollgate::api::rpc::plans_service_server::PlansServiceServer;
use tollgate::identity::holdings::Holdings;
use tollgate::jobs::clean_up::CleanUp;
use tollgate::jobs::runner::Runner;
use tollgate::ledger::works::{Followers, Ledger, Stores};
use tollgate::tasks::Tasks;
use tollgate_client::v1;
use tollgate_client::v1::admin_service_client::AdminServiceClient;
use tollgate_client::v1::auth_service_client::AuthServiceClient;
use tollgate_client::v1::plans_service_client::PlansServiceClient;
use tonic::service::Routes;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::rooms::{OPERATOR_KEY, Rooms, secret};

pub(crate) struct Door {
    pub(crate) rooms: Rooms,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) router: Router,
    pub(crate) admin: AdminServiceClient<Router>,
    pub(crate) auth: AuthServiceClient<Router>,
    pub(crate) plans: PlansServiceClient<Router>,
    _tasks: Tasks,
}

impl Door {
    pub(crate) async fn new() -> Self {
        let (rooms, tasks) = (Rooms::new().await, Tasks::default());
        let ledger = ledger(&rooms, &tasks).await;
        let resolver = Arc::new(Resolver::new(Arc::clone(&rooms.directory), Arc::clone(&rooms.keyring)));
        let (pages, requests) = (Pages::new(&secret()), Arc::clone(&rooms.requests));
        let admin = AdminApi {
            tenants: Arc::clone(&rooms.tenants),
            jobs: Arc::new(runner(&rooms, &ledger, &tasks)),
            requests: Arc::clone(&requests),
            pages: pages.clone(),
            members: Arc::clone(&rooms.members),
            users: Arc::clone(&rooms.users),
            audit: Arc::clone(&rooms.audit),
            resolver: Arc::clone(&resolver),
            signing_keys: Arc::clone(&rooms.signing_keys),
            holdings: Holdings::new(&rooms.store.documents, Arc::clone(&rooms.departures)),
            departures: Arc::clone(&rooms.departures),
            sessions: Arc::clone(&rooms.people.sessions),
            lockout: Arc::clone(&rooms.people.lockout),
        };
        let auth = AuthApi {
            keys: Arc::clone(&rooms.keys),
            resolver: Arc::clone(&resolver),
            requests: Arc::clone(&requests),
            pages: pages.clone(),
            members: Arc::clone(&rooms.members),
            own_roles: Arc::clone(&rooms.own_roles),
            users: Arc::clone(&rooms.users),
            signing_keys: Arc::clone(&rooms.signing_keys),
            people: rooms.people.clone(),
            accounts: Arc::clone(&rooms.accounts),
            keyring: Arc::clone(&rooms.keyring),
        };
        let plans = PlansApi {
            catalogue: Arc::clone(&rooms.catalogue),
            tenants: Arc::clone(&rooms.tenants),
            directory: Arc::clone(&rooms.directory),
            wallets: ledger.wallets,
            resolver: Arc::clone(&resolver),
            requests,
            pages,
            clock: rooms.store.clock(),
        };
        let routes = Routes::new(AdminServiceServer::new(admin))
            .add_service(AuthServiceServer::new(auth))
            .add_service(PlansServiceServer::new(plans));
        let layer = AuthLayer::new(Arc::clone(&rooms.keyring), Arc::clone(&rooms.audit));
        let router = routes.into_axum_router().layer(layer);
        Self {
            rooms,
            resolver,
            admin: AdminServiceClient::new(router.clone()),
            auth: AuthServiceClient::new(router.clone()),
            plans: PlansServiceClient::new(router.clone()),
            router,
            _tasks: tasks,
        }
    }

    /// The secret of a new key of the tenant, made by the operator.
    pub(crate) async fn key_of(&self, tenant: &str) -> String {
        let request = v1::CreateApiKeyRequest {
            tenant_id: tenant.to_owned(),
            name: String::from("a key"),
            ..v1::CreateApiKeyRequest::default()
        };
        let made = self.auth.clone().create_api_key(as_operator(request)).await;
        made.expect("a key").into_inner().secret
    }

    /// The secret of a new service account.
    pub(crate) async fn service_account(&self) -> String {
        let request = v1::CreateApiKeyRequest {
            kind: v1::ApiKeyKind::ServiceAccount.into(),
            name: String::from("a gateway"),
            ..v1::CreateApiKeyRequest::default()
        };
        let made = self.auth.clone().create_api_key(as_operator(request)).await;
        made.expect("a service account").into_inner().secret
    }

    /// A new tenant on the free plan.
    pub(crate) async fn tenant(&self, id: &str) {
        let request = v1::CreateTenantRequest {
            tenant_id: id.to_owned(),
            name: String::from("A tenant"),
            ..v1::CreateTenantRequest::default()
        };
        self.admin.clone().create_tenant(as_operator(request)).await.expect("a tenant");
    }
}

fn runner(rooms: &Rooms, ledger: &Ledger, tasks: &Tasks) -> Runner {
    let clean_up = CleanUp {
        events: Arc::clone(&ledger.events),
        requests: Arc::clone(&rooms.requests),
        sessions: Arc::clone(&rooms.people.sessions),
        accounts: Arc::clone(&rooms.accounts),
        clock: rooms.store.clock(),
        retention_days: 90,
    };
    Runner::new(&rooms.store.documents, vec![Arc::new(clean_up)], rooms.store.clock(), tasks)
}

async fn ledger(rooms: &Rooms, tasks: &Tasks) -> Ledger {
    let (store, clock) = (&rooms.store, rooms.store.clock());
    let stores = Stores {
        spool: None,
        journal: Arc::new(
            SqliteJournal::open(&store.directory.path().join("journal.db")).expect("a new journal"),
        ),
        events: Arc::new(SqliteEvents::new(&store.database).expect("new events")),
        rollups: Arc::new(SqliteRollups::new(&store.database)),
        documents: Arc::clone(&store.documents),
    };
    let counters = Arc::new(MemoryCounters::new(Arc::clone(&clock)));
    Ledger::open(stores, counters, clock, Followers::default(), tasks).await.expect("a new ledger")
}

pub(crate) fn as_operator<T>(message: T) -> Request<T> {
    with_key(OPERATOR_KEY, message)
}

pub(crate) fn with_key<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-api-key", key.parse().expect("a header's value"));
    request
}

/// The reason of a status as `ErrorInfo` has it.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"));
    assert_eq!(info.domain, "tollgate");
    info.reason.clone()
}
