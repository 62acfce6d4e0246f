//! Who listens to the server hears what happened, by the id that the caller was told, and no secret.

use axum::http::StatusCode;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tempfile::TempDir;
use tollgate_client::{Client, v1};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::listeners::{Envelope, collector, sentry, spans};
use crate::program::{Ended, Program, free_address, operator, ready, tollgate};
use crate::raw::{exchange, post_track};

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const PARENT: &str = "00f067aa0ba902b7";

/// A server with these variables, and its address.
pub(crate) async fn server(data: &TempDir, variables: &[(&str, &str)]) -> (Program, std::net::SocketAddr) {
    let address = free_address();
    let mut command = tollgate(&["--listen", &address.to_string()], data.path());
    command.env("TOLLGATE_LOG_FORMAT", "json").envs(variables.iter().copied());
    let program = Program::spawn(command);
    ready(address).await;
    (program, address)
}

pub(crate) async fn ended(program: Program) -> Ended {
    program.terminate();
    let ended = program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    ended
}

/// The tenant `acme`, and a key of it.
pub(crate) async fn with_tenant(operator: &Client) -> String {
    let tenant = v1::CreateTenantRequest {
        tenant_id: "acme".into(),
        name: "Acme".into(),
        plan: "free".into(),
        ..Default::default()
    };
    operator.admin().create_tenant(tenant).await.unwrap();
    let key = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::Tenant.into(),
        tenant_id: "acme".into(),
        name: "test".into(),
        ..Default::default()
    };
    operator.auth().create_api_key(key).await.unwrap().into_inner().secret
}

/// Makes the tenant's record unreadable, as a bad disk would.
pub(crate) fn damage(data: &TempDir) {
    let db = rusqlite::Connection::open(data.path().join("ledger.db")).unwrap();
    let damaged =
        db.execute("UPDATE documents SET body = x'ff' WHERE kind = 'tenant' AND id = 'acme'", []).unwrap();
    assert!(damaged > 0, "there is a record to damage");
}

pub(crate) fn get_tenant(tenant: &str) -> v1::GetTenantRequest {
    v1::GetTenantRequest { tenant_id: tenant.into() }
}

/// The id of the call, which the details and the headers of an error tell alike.
fn call_id(status: &Status) -> String {
    let told = status.get_error_details().error_info().unwrap().metadata["call_id"].clone();
    assert_eq!(told, status.metadata().get("x-call-id").unwrap().to_str().unwrap());
    assert!(told.starts_with("call_"), "{told}");
    told
}

fn of_call<'a>(envelopes: &'a [Envelope], call_id: &str) -> Vec<&'a Envelope> {
    envelopes.iter().filter(|envelope| envelope.body.contains(call_id)).collect()
}

#[tokio::test]
async fn a_defect_is_told_once_to_sentry_with_the_id_of_its_call() {
    let data = tempfile::tempdir().unwrap();
    let (program, address) = server(&data, &[]).await;
    with_tenant(&operator(address)).await;
    ended(program).await;
    damage(&data);

    let (listener, envelopes) = sentry(StatusCode::OK).await;
    let dsn = format!("http://{}@{listener}/42", "publickey");
    let variables = [("TOLLGATE_SENTRY_DSN", dsn.as_str()), ("TOLLGATE_SENTRY_ENVIRONMENT", "test")];
    let (program, address) = server(&data, &variables).await;
    let operator = operator(address);
    let status = operator.admin().get_tenant(get_tenant("acme")).await.unwrap_err();
    assert_eq!(Code::Internal, status.code(), "{status:?}");
    let id = call_id(&status);
    let refused = operator.admin().get_tenant(get_tenant("nobody")).await.unwrap_err();
    let ended = ended(program).await;

    let envelopes = envelopes.all();
    let told = of_call(&envelopes, &id);
    assert_eq!((1, 1), (told.len(), envelopes.len()), "{envelopes:?}");
    assert_eq!("42", told[0].project);
    assert!(told[0].auth.contains("sentry_key=publickey"), "{}", told[0].auth);
    let event = told[0].event();
    assert_eq!(id, event["tags"]["call_id"]);
    assert_eq!("test", event["environment"]);
    assert_eq!(format!("tollgate@{}", env!("CARGO_PKG_VERSION")), event["release"]);
    for unasked in ["server_name", "user", "request", "breadcrumbs", "modules"] {
        assert!(event.get(unasked).is_none(), "{event}");
    }
    assert!(
        ended.stderr.lines().any(|line| line.contains(&id) && line.contains("ERROR")),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains(&call_id(&refused)), "what a caller did wrong is no line at this level");
    assert!(!ended.stderr.contains("publickey"));
}

#[tokio::test]
async fn an_unwilling_sentry_is_left_alone_and_holds_nothing_up() {
    let data = tempfile::tempdir().unwrap();
    let (program, address) = server(&data, &[]).await;
    with_tenant(&operator(address)).await;
    ended(program).await;
    damage(&data);

    let (listener, envelopes) = sentry(StatusCode::TOO_MANY_REQUESTS).await;
    let (program, address) =
        server(&data, &[("TOLLGATE_SENTRY_DSN", format!("http://k@{listener}/1").as_str())]).await;
    let operator = operator(address);
    for _ in 0..200 {
        operator.admin().get_tenant(get_tenant("acme")).await.unwrap_err();
    }
    let metrics = until_metric(address, "tollgate_sentry_errors_lost_total 200").await;
    assert!(metrics.contains("tollgate_sentry_errors_lost_total 200"));
    assert_eq!(1, envelopes.all().len(), "it said that it has had enough");
    ended(program).await;
}

async fn until_metric(address: std::net::SocketAddr, line: &str) -> String {
    let question = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for _ in 0..500 {
        let page = exchange(address, question).await;
        if page.contains(line) {
            return page;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    exchange(address, question).await
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
    let value = span.attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn traced<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{PARENT}-01").parse().unwrap());
    request
}

pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name && hex(&span.trace_id) == TRACE);
    let first = found.next().unwrap_or_else(|| panic!("no span `{name}` in {spans:?}"));
    assert!(found.next().is_none(), "several spans `{name}`");
    first
}

#[tokio::test]
async fn a_call_is_traced_from_its_client_to_the_journal() {
    let data = tempfile::tempdir().unwrap();
    let (listener, kept) = collector().await;
    // A part of nothing: only what a client traces itself is traced.
    let endpoint = format!("http://{listener}");
    let variables = [("TOLLGATE_TRACES_ENDPOINT", endpoint.as_str()), ("TOLLGATE_TRACES_SAMPLE_RATIO", "0")];
    let (program, address) = server(&data, &variables).await;
    let key = with_tenant(&operator(address)).await;
    let client =
        Client::builder().endpoint(format!("http://{address}")).api_key(&key).tenant("").build().unwrap();
    let event = v1::UsageEvent {
        id: "e-1".into(),
        service: "search".into(),
        endpoint: "/find".into(),
        ..Default::default()
    };
    // The first call of a tenant loads its counters, and takes its place again after that.
    client.track().track(client.request(v1::UsageEvent { id: "e-0".into(), ..event.clone() })).await.unwrap();
    client.track().track(traced(client.request(event))).await.unwrap();
    let refused = operator(address).admin().get_tenant(traced(get_tenant("nobody"))).await.unwrap_err();
    ended(program).await;

    let resource = kept.all()[0].resource_spans[0].resource.clone().unwrap();
    let said: Vec<_> = resource.attributes.iter().map(|pair| pair.key.as_str()).collect();
    for name in ["service.name", "service.version", "service.instance.id"] {
        assert!(said.contains(&name), "{said:?}");
    }
    let spans = spans(&kept);
    let call = named(&spans, "Track");
    assert_eq!(PARENT, hex(&call.parent_span_id));
    for (name, parent) in [("admit", "Track"), ("place", "admit"), ("gate", "admit"), ("wait", "Track")] {
        assert_eq!(named(&spans, parent).span_id, named(&spans, name).parent_span_id, "{name}");
    }
    // The commit is work for all who wait: a trace of its own that points to them.
    let commits: Vec<_> = spans.iter().filter(|span| span.name == "commit").collect();
    assert_eq!(1, commits.len(), "a commit for nobody who traces is no trace: {spans:?}");
    assert!(commits[0].parent_span_id.is_empty() && hex(&commits[0].trace_id) != TRACE);
    let linked: Vec<_> = commits[0].links.iter().map(|link| hex(&link.trace_id)).collect();
    assert_eq!([TRACE], linked.as_slice());
    let append = spans.iter().find(|span| span.name == "journal.append").unwrap();
    assert_eq!((&commits[0].span_id, &commits[0].trace_id), (&append.parent_span_id, &append.trace_id));

    let failed = named(&spans, "GetTenant");
    assert_eq!(Some(call_id(&refused).as_str()), attribute(failed, "call_id"));
    assert_eq!(Some("TENANT_NOT_FOUND"), attribute(failed, "reason"));
    let store = spans.iter().find(|span| span.name == "documents.get").expect("the store was asked");
    assert_eq!((TRACE.to_owned(), &failed.span_id), (hex(&store.trace_id), &store.parent_span_id));
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nothing_up() {
    let data = tempfile::tempdir().unwrap();
    let endpoint = format!("http://{}", free_address());
    let (program, address) = server(&data, &[("TOLLGATE_TRACES_ENDPOINT", endpoint.as_str())]).await;
    let key = with_tenant(&operator(address)).await;
    let client =
        Client::builder().endpoint(format!("http://{address}")).api_key(&key).tenant("").build().unwrap();
    for number in 0..3_000 {
        let event = v1::UsageEvent {
            id: format!("e-{number}"),
            service: "search".into(),
            endpoint: "/find".into(),
            ..Default::default()
        };
        client.track().track(client.request(event)).await.unwrap();
    }
    let ended = ended(program).await;
    let said = ended.stderr.matches("the collector does not take spans").count();
    assert_eq!(1, said, "once: {}", ended.stderr);
}

#[tokio::test]
async fn every_error_has_the_id_of_its_call() {
    let data = tempfile::tempdir().unwrap();
    let (program, address) = server(&data, &[]).await;
    let key = with_tenant(&operator(address)).await;
    let wrong = Client::builder().endpoint(format!("http://{address}")).api_key("wrong").build().unwrap();
    call_id(&wrong.admin().get_tenant(get_tenant("acme")).await.unwrap_err());
    let client = Client::builder().endpoint(format!("http://{address}")).api_key(&key).build().unwrap();
    call_id(&client.admin().get_tenant(get_tenant("acme")).await.unwrap_err());
    let request = client.request(v1::UsageEvent::default());
    call_id(&client.track().track(request).await.unwrap_err());
    let json = ("content-type", "application/json");
    for (headers, body, status) in [
        (vec![json], "{}", 401),
        (vec![json, ("x-api-key", key.as_str())], "{}", 400),
        (vec![json, ("x-api-key", key.as_str())], "{", 400),
        (vec![("x-api-key", key.as_str())], "{}", 415),
    ] {
        let page = post_track(address, &headers, body).await;
        assert!(page.status == status && page.header("x-call-id").starts_with("call_"), "{page:?}");
    }
    for path in ["/nowhere", "/api/track"] {
        let question = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let page = exchange(address, question.as_bytes()).await;
        assert!(page.contains("x-call-id: call_"), "{page}");
    }
    ended(program).await;
}
