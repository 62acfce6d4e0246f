//! Those who listen to a server: a stand-in for Sentry's envelope API, and a collector of OpenTelemetry. Both are real
//! servers on a real socket that keep what they are sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// What was sent somewhere, in the order of its coming.
#[derive(Debug)]
pub(crate) struct Kept<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Kept<T> {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn keep(&self, one: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One envelope as it came.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) project: String,
    pub(crate) auth: String,
    pub(crate) body: String,
}

impl Envelope {
    /// The event in it: a line of headers, and for each item a line of headers and one of content.
    pub(crate) fn event(&self) -> serde_json::Value {
        let mut lines = self.body.lines().skip(1);
        let header: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!("event", header["type"], "{}", self.body);
        serde_json::from_str(lines.next().unwrap()).unwrap()
    }
}

/// Takes envelopes, and answers each with that status.
pub(crate) async fn sentry(status: StatusCode) -> (SocketAddr, Kept<Envelope>) {
    type Answer = (Kept<Envelope>, StatusCode);
    async fn take(
        State((kept, status)): State<Answer>,
        Path(project): Path<String>,
        headers: HeaderMap,
        body: String,
    ) -> (StatusCode, &'static str) {
        let auth = headers["x-sentry-auth"].to_str().unwrap().to_owned();
        kept.keep(Envelope { project, auth, body });
        (status, "{}")
    }
    let kept = Kept::new();
    let routes =
        Router::new().route("/api/{project}/envelope/", post(take)).with_state((kept.clone(), status));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, kept)
}

#[tonic::async_trait]
impl TraceService for Kept<ExportTraceServiceRequest> {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.keep(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Takes spans.
pub(crate) async fn collector() -> (SocketAddr, Kept<ExportTraceServiceRequest>) {
    let kept = Kept::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(kept.clone()));
    tokio::spawn(async move { server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap() });
    (address, kept)
}

/// All spans that came.
pub(crate) fn spans(kept: &Kept<ExportTraceServiceRequest>) -> Vec<Span> {
    let resources = kept.all().into_iter().flat_map(|request| request.resource_spans);
    resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}
