//! What answers at the port from the first moment to the last: health, readiness and metrics, and the services in
//! between.

use std::sync::{Arc, OnceLock};

use ::http::StatusCode;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::api::http::Problem;
use crate::api::{measure, reflection, status};
use crate::fault::{Fault, Reason};
use crate::telemetry;

/// Whether calls are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: the ledger is being recovered.
    Recovering,
    /// Yes.
    Ready,
    /// No longer: calls that were taken are finished.
    Draining,
}

/// Whether the contract can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflects {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// The face of the server: what stands behind it may come later.
#[derive(Clone, Debug)]
pub struct Front {
    always: Router,
    before: Router,
    after: Arc<OnceLock<Router>>,
    readiness: watch::Sender<Readiness>,
    health: HealthReporter,
}

impl Front {
    /// A face with nothing behind it yet.
    #[must_use]
    pub fn new(reflects: Reflects) -> Self {
        let (health, health_service) = tonic_health::server::health_reporter();
        let readiness = watch::Sender::new(Readiness::Recovering);
        let mut routes = Routes::new(health_service);
        if reflects == Reflects::Yes {
            routes = reflection::add(routes).expect("the build made the descriptors that are registered");
        }
        let ready = readiness.subscribe();
        let always = routes
            .into_axum_router()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(move || async move { ready_answer(*ready.borrow()) }))
            .route("/metrics", get(|| async { telemetry::metrics().render() }));
        let before = always.clone().fallback(not_ready);
        Self { always, before, after: Arc::default(), readiness, health }
    }

    /// Puts the services behind the face and takes calls. Only the first time counts.
    pub async fn open(&self, services: Routes, http: Router) {
        let routes = self
            .always
            .clone()
            .merge(services.into_axum_router().reset_fallback())
            .merge(http)
            .fallback(nowhere)
            .method_not_allowed_fallback(wrong_method);
        if self.after.set(routes).is_ok() {
            self.tell(ServingStatus::Serving).await;
            self.readiness.send_replace(Readiness::Ready);
        }
    }

    /// Says that no new call should come.
    pub async fn close(&self) {
        self.readiness.send_replace(Readiness::Draining);
        self.tell(ServingStatus::NotServing).await;
    }

    /// Whether calls are taken.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        *self.readiness.borrow()
    }

    /// What answers at this moment.
    pub(super) fn routes(&self) -> Router {
        self.after.get().unwrap_or(&self.before).clone()
    }

    async fn tell(&self, status: ServingStatus) {
        self.health.set_service_status("", status).await;
        for service in measure::services() {
            self.health.set_service_status(service, status).await;
        }
    }
}

fn ready_answer(readiness: Readiness) -> Response {
    match readiness {
        Readiness::Ready => "ready\n".into_response(),
        Readiness::Recovering => (StatusCode::SERVICE_UNAVAILABLE, "recovering\n").into_response(),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

/// Calls cannot be served yet.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server is starting: it recovers its ledger")]
struct Starting;

impl Fault for Starting {
    fn reason(&self) -> Reason {
        Reason::StoreUnavailable
    }
}

/// There is nothing at that path.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("there is no such method")]
struct Nowhere;

impl Fault for Nowhere {
    fn reason(&self) -> Reason {
        Reason::Unsupported
    }
}

async fn not_ready(request: Request) -> Response {
    failed(measure::is_grpc(request.headers()), &Starting)
}

async fn nowhere(request: Request) -> Response {
    if measure::is_grpc(request.headers()) {
        return failed(true, &Nowhere);
    }
    Problem::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is nothing at this path").into_response()
}

/// A fault, as the caller understands it.
pub(super) fn failed(grpc: bool, fault: &dyn Fault) -> Response {
    let status = status::from_fault(fault);
    if grpc { status.into_http() } else { Problem::of_fault(&status).into_response() }
}

async fn wrong_method(request: Request) -> Response {
    let detail = format!("this path does not take {}", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", detail).into_response()
}
