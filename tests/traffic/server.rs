//! The real program as a process of its own, and what its ledger says.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tollgate_client::Client;
use tollgate_client::v1::{
    CreateTenantRequest, Dimension, DimensionRef, Freshness, LedgerEvent, ListEventsRequest,
    QueryUsageRequest, QueryUsageResponse, UsageTotals, WhoAmIRequest,
};
use tonic::Code;

pub(crate) const OPERATOR_KEY: &str = "operator-of-the-traffic-tests-0123456789";
pub(crate) const TENANT: &str = "acme";
const READY_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
const PAGE: i32 = 1_000;

/// A server with one tenant. It dies with its owner.
#[derive(Debug)]
pub(crate) struct Server {
    directory: tempfile::TempDir,
    port: u16,
    process: Child,
    client: Client,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the data");
        let port = free_port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let client = Client::builder().endpoint(endpoint).api_key(OPERATOR_KEY).tenant(TENANT).build();
        let client = client.expect("the endpoint and the key are well formed");
        let process = spawn(&directory, port);
        let mut server = Self { directory, port, process, client };
        server.answers().await;
        let tenant = CreateTenantRequest {
            tenant_id: TENANT.to_owned(),
            name: TENANT.to_owned(),
            ..CreateTenantRequest::default()
        };
        server.client.admin().create_tenant(tenant).await.expect("a tenant");
        server
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub(crate) fn crash(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it was killed");
    }

    /// Up again on the same data and port.
    pub(crate) async fn start_again(&mut self) {
        self.process = spawn(&self.directory, self.port);
        self.answers().await;
    }

    /// All usage of the tenant.
    pub(crate) async fn totals(&self) -> UsageTotals {
        self.query(None, Freshness::Fresh).await.totals.expect("totals")
    }

    /// How many calls are in the ledger at this moment.
    pub(crate) async fn calls_now(&self) -> i64 {
        self.query(None, Freshness::Latest).await.totals.unwrap_or_default().calls
    }

    /// The calls for each value of a dimension.
    pub(crate) async fn calls_by(&self, dimension: Dimension) -> BTreeMap<String, i64> {
        let rows = self.query(Some(dimension), Freshness::Fresh).await.rows;
        rows.into_iter().map(|row| (row.value, row.totals.unwrap_or_default().calls)).collect()
    }

    /// Every event, page by page.
    pub(crate) async fn events(&self) -> Vec<LedgerEvent> {
        let mut events = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListEventsRequest {
                tenant_id: TENANT.to_owned(),
                page_size: PAGE,
                page_token,
                freshness: Freshness::Fresh.into(),
                ..ListEventsRequest::default()
            };
            let page = self.client.track().list_events(request).await.expect("a page").into_inner();
            events.extend(page.events);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return events;
            }
        }
    }

    async fn query(&self, group_by: Option<Dimension>, freshness: Freshness) -> QueryUsageResponse {
        let group_by =
            group_by.map(|dimension| DimensionRef { dimension: dimension.into(), ..DimensionRef::default() });
        let request = QueryUsageRequest {
            tenant_id: TENANT.to_owned(),
            group_by,
            freshness: freshness.into(),
            ..QueryUsageRequest::default()
        };
        self.client.track().query_usage(request).await.expect("sums").into_inner()
    }

    async fn answers(&mut self) {
        let since = Instant::now();
        while let Err(status) = self.client.auth().who_am_i(WhoAmIRequest {}).await {
            let ended = self.process.try_wait().expect("a child of ours").is_some();
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            // `Cancelled` is the client's own word for a connection that closes under it.
            let passing = matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled);
            let starting = passing && !ended && since.elapsed() < READY_PATIENCE;
            assert!(starting, "{status}\n{log}");
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn spawn(directory: &tempfile::TempDir, port: u16) -> Child {
    let log = File::options().create(true).append(true).open(directory.path().join("log"));
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
        .arg(directory.path().join("data"))
        .env_clear()
        .env("TOLLGATE_OPERATOR_KEY", OPERATOR_KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("a file for the log"))
        .spawn()
        .expect("the program starts")
}

/// Below the ports that the system gives to outgoing connections, so that none takes it while the server is down.
fn free_port() -> u16 {
    let mut random = rand::rng();
    loop {
        let port = random.random_range(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
