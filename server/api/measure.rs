//! Around every call: it is counted and timed, too many at once are refused, and a defect in one ends that one alone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use metrics::{Counter, Histogram, counter, histogram};
use prost::Message as _;
use tokio::sync::Semaphore;
use tonic::Code;
use tower::Service;
use tracing::{Instrument as _, Span, debug};

use crate::api::front::{Front, failed};
use crate::api::serve::answer::Answer;
use crate::api::serve::body::Read;
use crate::api::serve::connection::Link;
use crate::api::serve::received::Received;
use crate::api::status::{self, CALL_ID};
use crate::api::{reflection, trace};
use crate::config::LimitsConfig;
use crate::fault::{Fault, Reason};
use crate::id;
use crate::telemetry::{self, CALL_SECONDS, CALLS, Panicked, guarded};

/// The paths over HTTP that are counted by name.
const HTTP_PATHS: [(&str, Kind); 5] = [
    ("/api/track", Kind::Call),
    ("/.well-known/jwks.json", Kind::Question),
    ("/healthz", Kind::Question),
    ("/readyz", Kind::Question),
    ("/metrics", Kind::Question),
];
/// What every other path is counted as, so that callers cannot make names.
const OTHER: &str = "other";

/// The services of the contract, by their full names.
pub(super) fn services() -> Vec<String> {
    contract().into_iter().map(|(service, _)| service).collect()
}

/// The front, measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    front: Front,
    methods: Arc<HashMap<String, Method>>,
    other: Method,
    calls: Arc<Semaphore>,
    calls_max: NonZeroU32,
    received: Received,
}

#[derive(Clone)]
struct Method {
    kind: Kind,
    seconds: Histogram,
    ok: Counter,
    name: Arc<str>,
}

/// Whether it is refused when there is too much to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is.
    Call,
    /// It is answered all the same: how the server is.
    Question,
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Method").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Measured {
    pub(super) fn new(front: Front, limits: &LimitsConfig) -> Self {
        // Metrics that are made before the recorder stands would go nowhere.
        telemetry::metrics();
        let contract = contract();
        let rpcs = contract.iter().flat_map(|(service, methods)| {
            let method = move |method: &String| {
                (format!("/{service}/{method}"), Method::new(method, "OK", Kind::Call))
            };
            methods.iter().map(method)
        });
        let http = HTTP_PATHS.map(|(path, kind)| (path.to_owned(), Method::new(path, "200", kind)));
        Self {
            front,
            methods: Arc::new(rpcs.chain(http).collect()),
            other: Method::new(OTHER, "200", Kind::Question),
            calls: Arc::new(Semaphore::new(
                usize::try_from(limits.calls.get()).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            calls_max: limits.calls,
            received: Received::new(limits.received_bytes),
        }
    }
}

impl Method {
    fn new(name: &str, ok: &'static str, kind: Kind) -> Self {
        Self {
            kind,
            seconds: histogram!(CALL_SECONDS, "method" => name.to_owned()),
            ok: counter!(CALLS, "method" => name.to_owned(), "code" => ok),
            name: name.into(),
        }
    }

    fn count(&self, status: StatusCode, headers: &HeaderMap) {
        // An RPC that fails at once says so in the headers; one that fails in its stream has begun well.
        let code = match headers.get("grpc-status") {
            Some(code) => format!("{:?}", Code::from_bytes(code.as_bytes())),
            None if status == StatusCode::OK => return self.ok.increment(1),
            None => status.as_str().to_owned(),
        };
        Span::current().record("code", code.as_str());
        counter!(CALLS, "method" => self.name.to_string(), "code" => code).increment(1);
    }
}

/// Gives an error an id that has none: no room made it, but the port itself.
fn identify(answer: &mut Response<axum::body::Body>) {
    let headers = answer.headers();
    let code = headers.get("grpc-status").map(HeaderValue::as_bytes);
    let is_fault = code.is_some_and(|code| code != b"0")
        || answer.status().is_client_error()
        || answer.status().is_server_error();
    if !is_fault || headers.contains_key(CALL_ID) {
        return;
    }
    let call_id = id::fresh("call");
    Span::current().record("call_id", call_id.as_str());
    debug!(%call_id, "the port refused a call");
    if let Ok(value) = HeaderValue::try_from(call_id) {
        answer.headers_mut().insert(HeaderName::from_static(CALL_ID), value);
    }
}

impl Service<Request<tonic::body::Body>> for Measured {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let method = self.methods.get(request.uri().path()).unwrap_or(&self.other).clone();
        let mut routes = self.front.routes();
        let grpc = is_grpc(request.headers());
        let span = trace::call(&method.name, request.headers());
        let link = request.extensions().get::<Link>().cloned();
        let http_2 = request.version() == Version::HTTP_2;
        let (unread, owed) =
            link.map_or((None, None), |link| (http_2.then_some(link.unread), Some(link.owed)));
        let received = grpc.then_some(&self.received);
        let request = request.map(|body| Read::new(body, received, unread));
        let place = match method.kind {
            Kind::Call => Arc::clone(&self.calls).try_acquire_owned().map(Some),
            Kind::Question => Ok(None),
        };
        let calls_max = self.calls_max;
        let call = async move {
            let started = Instant::now();
            let mut answer = match place {
                Ok(_place) => match guarded(routes.call(request)).await {
                    Ok(Ok(answer)) if grpc => status::with_info(answer),
                    Ok(Ok(answer)) => answer,
                    Err(source) => failed(grpc, &Defect { method: Arc::clone(&method.name), source }),
                },
                Err(_) => failed(grpc, &Overloaded(calls_max)),
            };
            method.seconds.record(started.elapsed());
            method.count(answer.status(), answer.headers());
            identify(&mut answer);
            Ok(answer.map(|body| Answer::new(body, owed)))
        };
        Box::pin(call.instrument(span))
    }
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(::http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A call met a defect. What the defect said is for the log, and not for callers.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a call of {method} panicked")]
struct Defect {
    method: Arc<str>,
    source: Panicked,
}

impl Fault for Defect {
    fn reason(&self) -> Reason {
        Reason::Internal
    }
}

/// There is too much to do.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server has {0} calls in progress, which is all that it takes")]
struct Overloaded(NonZeroU32);

impl Fault for Overloaded {
    fn reason(&self) -> Reason {
        Reason::ServerOverloaded
    }
}

/// The services of the contract with their methods.
fn contract() -> Vec<(String, Vec<String>)> {
    let files = prost_types::FileDescriptorSet::decode(reflection::DESCRIPTOR)
        .expect("the build wrote a descriptor set");
    let services = files.file.iter().flat_map(|file| {
        file.service.iter().map(|service| {
            let methods = service.method.iter().map(|method| method.name().to_owned()).collect();
            (format!("{}.{}", file.package(), service.name()), methods)
        })
    });
    services.collect()
}
