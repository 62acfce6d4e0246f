//! The program on a directory of its own, with a broker.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate_client::{Client, v1};

use crate::broker::{self, Broker};

const OPERATOR_KEY: &str = "operator-of-the-mqtt-tests-0123456789";
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    child: Option<Child>,
    address: SocketAddr,
    directory: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Server {
    /// A server that tells a broker, and takes usage from there.
    pub(crate) async fn start(broker: &Broker) -> Self {
        Self::with(settings(broker)).await
    }

    /// A server with these settings beside its own.
    pub(crate) async fn with(settings: Vec<(&'static str, String)>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], broker::free_port()));
        let mut server = Self { child: None, address, directory: tempfile::tempdir().unwrap(), settings };
        server.go_on().await;
        server
    }

    /// Starts it again on its data.
    pub(crate) async fn go_on(&mut self) {
        let mut command = command(self.directory.path(), &self.settings);
        command.arg("--listen").arg(self.address.to_string());
        command.stdout(Stdio::null()).stderr(self.log_file());
        self.child = Some(command.spawn().unwrap());
        let began = Instant::now();
        let question = v1::ListPlansRequest::default();
        while self.operator().plans().list_plans(question.clone()).await.is_err() {
            assert!(began.elapsed() < PATIENCE, "the server does not become ready:\n{}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills it on the spot.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn end(&mut self) {
        let mut child = self.child.take().unwrap();
        assert!(Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap().success());
        assert!(child.wait().unwrap().success(), "{}", self.log());
    }

    /// Tells it that something has changed.
    pub(crate) fn hang_up(&self) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").arg("-HUP").arg(id).status().unwrap().success());
    }

    /// Waits until it has said that.
    pub(crate) async fn says(&self, words: &str) {
        let began = Instant::now();
        while !self.log().contains(words) {
            assert!(began.elapsed() < PATIENCE, "it does not say `{words}`:\n{}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// What it said about itself.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn operator(&self) -> Client {
        self.client(OPERATOR_KEY)
    }

    pub(crate) fn client(&self, key: &str) -> Client {
        let endpoint = format!("http://{}", self.address);
        Client::builder().endpoint(endpoint).api_key(key).tenant("").build().unwrap()
    }

    /// A plan, published.
    pub(crate) async fn plan(&self, slug: &str, spec: v1::PlanSpec) {
        let request = v1::CreatePlanRequest {
            slug: slug.to_owned(),
            name: slug.to_owned(),
            spec: Some(spec),
            request_id: format!("plan-{slug}"),
        };
        self.operator().plans().create_plan(request).await.unwrap();
        let publish = v1::PublishPlanVersionRequest { plan: slug.to_owned(), version: 1 };
        self.operator().plans().publish_plan_version(publish).await.unwrap();
    }

    /// A tenant on that plan; answers a key of it.
    pub(crate) async fn tenant(&self, tenant: &str, plan: &str) -> String {
        let request = v1::CreateTenantRequest {
            tenant_id: tenant.to_owned(),
            name: tenant.to_owned(),
            plan: plan.to_owned(),
            ..Default::default()
        };
        self.operator().admin().create_tenant(request).await.unwrap();
        self.key(tenant).await
    }

    /// A new key of that tenant.
    pub(crate) async fn key(&self, tenant: &str) -> String {
        let request = v1::CreateApiKeyRequest {
            kind: v1::ApiKeyKind::Tenant.into(),
            tenant_id: tenant.to_owned(),
            name: "test".into(),
            ..Default::default()
        };
        self.operator().auth().create_api_key(request).await.unwrap().into_inner().secret
    }

    /// A tenant `acme` on a plan without limits.
    pub(crate) async fn acme(&self) -> String {
        self.plan("open", open_plan()).await;
        self.tenant("acme", "open").await
    }

    /// Tracks calls of `acme` with these ids; answers which of them the server has acknowledged.
    pub(crate) async fn track(&self, ids: impl Iterator<Item = String>) -> Vec<String> {
        let requests: Vec<_> = ids.map(|id| request(&id, "search")).collect();
        let Ok(response) = self.operator().track().track_batch(v1::TrackBatchRequest { requests }).await
        else {
            return Vec::new();
        };
        let results = response.into_inner().results.into_iter();
        results
            .filter_map(|result| match result.result {
                Some(v1::track_result::Result::Response(response)) => Some(response.event_id),
                _ => None,
            })
            .collect()
    }

    /// How many calls of a tenant the ledger has counted.
    pub(crate) async fn counted(&self, tenant: &str) -> i64 {
        let query = v1::QueryUsageRequest {
            tenant_id: tenant.to_owned(),
            freshness: v1::Freshness::Fresh.into(),
            ..Default::default()
        };
        let usage = self.operator().track().query_usage(query).await.unwrap().into_inner();
        usage.totals.unwrap_or_default().calls
    }

    /// Its metrics, as Prometheus reads them.
    pub(crate) async fn metrics(&self) -> String {
        let mut port = TcpStream::connect(self.address).await.unwrap();
        port.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        port.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn log_file(&self) -> std::fs::File {
        let path = self.directory.path().join("log");
        std::fs::File::options().create(true).append(true).open(path).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The program, on that directory, with these settings and no others.
pub(crate) fn command(directory: &Path, settings: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.arg("serve").arg("--data").arg(directory.join("data")).env_clear().stdin(Stdio::null());
    command.env("TOLLGATE_OPERATOR_KEY", OPERATOR_KEY).env("TOLLGATE_LOG_FORMAT", "text");
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// The settings of a server at that broker.
pub(crate) fn settings(broker: &Broker) -> Vec<(&'static str, String)> {
    vec![
        ("TOLLGATE_MQTT_URL", format!("mqtt://127.0.0.1:{}", broker.port())),
        ("TOLLGATE_MQTT_USERNAME", broker::SERVER.0.to_owned()),
        ("TOLLGATE_MQTT_PASSWORD", broker::SERVER.1.to_owned()),
        ("TOLLGATE_MQTT_INGEST", String::from("on")),
    ]
}

/// A plan that lets everything pass, and counts it in a quota without a limit.
pub(crate) fn open_plan() -> v1::PlanSpec {
    v1::PlanSpec {
        caller_prices: v1::CallerPrices::Trusted.into(),
        credits_per_period_micros: 1_000_000_000,
        quotas: vec![v1::Quota { name: "month".into(), ..Default::default() }],
        features: vec!["*".into()],
        premium: true,
        ..Default::default()
    }
}

/// A call of `acme` to a service.
pub(crate) fn request(id: &str, service: &str) -> v1::TrackRequest {
    let event = v1::UsageEvent {
        id: id.to_owned(),
        service: service.to_owned(),
        endpoint: String::from("/find"),
        ..Default::default()
    };
    v1::TrackRequest { event: Some(event), tenant_id: String::from("acme"), ..Default::default() }
}
