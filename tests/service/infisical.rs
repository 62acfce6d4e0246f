//! Secrets from Infisical: taken where nobody else gives them, and a start that cannot have them is refused.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tollgate::secrets::current::Current;
use tollgate_client::{Client, v1};

use crate::program::{Ended, OPERATOR_KEY, Program, free_address, ready, tollgate};
use crate::starts::refused;
use crate::tls::authority::Authority;

const CLIENT_SECRET: &str = "client-secret-4711";
const TOKEN: &str = "access-token-4712";
/// What it has after it was changed there.
const CHANGED_KEY: &str = "operator-of-the-secrets-changed-elsewhere-4714";
const KEPT_KEY: &str = "operator-of-the-secrets-kept-elsewhere-4713";

/// What the stand-in answers to the question for the secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Secrets,
    Changed,
    Status(u16),
    Elsewhere,
    Garbage,
    TooMuch,
    Hidden,
    NoAnswer,
    NoEnd,
}

/// A stand-in for Infisical: the login of a machine identity, and the secrets of one folder.
async fn infisical(says: Says) -> SocketAddr {
    changing_infisical(&Current::new(says)).await
}

/// One that may say something else later.
async fn changing_infisical(says: &Current<Says>) -> SocketAddr {
    async fn log_in(Json(credentials): Json<Value>) -> Response {
        if credentials != json!({"clientId": "tollgate-1", "clientSecret": CLIENT_SECRET}) {
            return (StatusCode::UNAUTHORIZED, format!("not {credentials}")).into_response();
        }
        Json(json!({"accessToken": TOKEN, "expiresIn": 60, "tokenType": "Bearer"})).into_response()
    }
    let routes = Router::new()
        .route("/api/v1/auth/universal-auth/login", post(log_in))
        .route("/api/v3/secrets/raw", get(secrets))
        .with_state(says.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

async fn secrets(State(says): State<Current<Says>>, question: Uri, headers: HeaderMap) -> Response {
    let expected = "workspaceId=w-1&environment=prod%20%26%20more&secretPath=%2Ftollgate";
    if headers["authorization"] != format!("Bearer {TOKEN}") || question.query() != Some(expected) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let kept = json!({"secretKey": "TOLLGATE_OPERATOR_KEY", "secretValue": KEPT_KEY, "version": 2});
    let other = json!({"secretKey": "TOLLGATE_SERVER_LISTEN", "secretValue": "nowhere"});
    match says.get() {
        Says::Changed => {
            let changed = json!({"secretKey": kept["secretKey"], "secretValue": CHANGED_KEY});
            Json(json!({"secrets": [other, changed]})).into_response()
        }
        Says::Secrets => Json(json!({"secrets": [other, kept], "imports": []})).into_response(),
        Says::Status(status) => (StatusCode::from_u16(status).unwrap(), KEPT_KEY).into_response(),
        Says::Elsewhere => Redirect::temporary("/api/v3/secrets/raw?again").into_response(),
        Says::Garbage => Json(json!({"secrets": KEPT_KEY})).into_response(),
        Says::TooMuch => Json(json!({"secrets": [kept], "padding": "x".repeat(1 << 20)})).into_response(),
        Says::Hidden => {
            let hidden =
                json!({"secretValueHidden": true, "secretKey": kept["secretKey"], "secretValue": "*"});
            Json(json!({"secrets": [hidden]})).into_response()
        }
        Says::NoAnswer => std::future::pending().await,
        Says::NoEnd => Body::from_stream(stream::pending::<Result<String, std::io::Error>>()).into_response(),
    }
}

/// A program that has no secrets but those that are kept there.
fn asking(url: &str, data: &TempDir) -> (Command, SocketAddr) {
    let address = free_address();
    let mut command = tollgate(&["--listen", &address.to_string()], data.path());
    command.env_remove("TOLLGATE_OPERATOR_KEY").envs([
        ("TOLLGATE_INFISICAL_URL", url),
        ("TOLLGATE_INFISICAL_CLIENT_ID", "tollgate-1"),
        ("TOLLGATE_INFISICAL_CLIENT_SECRET", CLIENT_SECRET),
        ("TOLLGATE_INFISICAL_WORKSPACE_ID", "w-1"),
        ("TOLLGATE_INFISICAL_ENVIRONMENT", "prod & more"),
        ("TOLLGATE_INFISICAL_SECRET_PATH", "/tollgate"),
        ("TOLLGATE_LOG_LEVEL", "trace"),
    ]);
    (command, address)
}

fn says_no_secret(ended: &Ended) {
    for secret in [CLIENT_SECRET, TOKEN, KEPT_KEY, CHANGED_KEY] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{ended:?}");
    }
}

/// Starts, and expects that this key is the operator's and that one is not.
async fn opens(command: Command, address: SocketAddr, good: &str, bad: &str) {
    let program = Program::spawn(command);
    ready(address).await;
    has_operator(address, good, bad).await;
    program.terminate();
    let ended = program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    says_no_secret(&ended);
}

async fn fails(says: Says, change: impl FnOnce(&mut Command), expected: &[&str]) {
    let data = tempfile::tempdir().unwrap();
    let (mut command, _) = asking(&format!("http://{}", infisical(says).await), &data);
    change(&mut command);
    says_no_secret(&refused(command, expected).await);
    assert_eq!(0, std::fs::read_dir(data.path()).unwrap().count(), "a start that is refused makes no key");
}

/// Gives a setting another value.
fn set(name: &'static str, value: String) -> impl FnOnce(&mut Command) {
    move |command| {
        command.env(name, value);
    }
}

/// Leaves a setting out.
fn unset(name: &'static str) -> impl FnOnce(&mut Command) {
    move |command| {
        command.env_remove(name);
    }
}

#[tokio::test]
async fn the_operators_key_is_taken_from_there() {
    let data = tempfile::tempdir().unwrap();
    let (command, address) = asking(&format!("http://{}/", infisical(Says::Secrets).await), &data);
    opens(command, address, KEPT_KEY, OPERATOR_KEY).await;
    assert!(!data.path().join("operator.key").exists(), "a key that is kept elsewhere is not kept here");
}

#[tokio::test]
async fn the_environment_wins_over_it() {
    let data = tempfile::tempdir().unwrap();
    let (mut command, address) = asking(&format!("http://{}", infisical(Says::Secrets).await), &data);
    command.env("TOLLGATE_OPERATOR_KEY", OPERATOR_KEY);
    opens(command, address, OPERATOR_KEY, KEPT_KEY).await;
}

#[tokio::test]
async fn its_own_secret_may_stand_in_a_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let data = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("secret");
    std::fs::write(&file, format!("{CLIENT_SECRET}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (mut command, address) = asking(&format!("http://{}", infisical(Says::Secrets).await), &data);
    command.env_remove("TOLLGATE_INFISICAL_CLIENT_SECRET").env("TOLLGATE_INFISICAL_CLIENT_SECRET_FILE", file);
    opens(command, address, KEPT_KEY, OPERATOR_KEY).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_is_refused_by_its_name() {
    let wrong = set("TOLLGATE_INFISICAL_CLIENT_SECRET", String::from("client-secret-0"));
    let elsewhere = set("TOLLGATE_INFISICAL_ENVIRONMENT", String::from("dev"));
    let read = "the secrets of infisical.url cannot be read";
    fails(Says::Secrets, wrong, &[read, "answers the login with 401"]).await;
    fails(Says::Secrets, elsewhere, &[read, "the question for the secrets with 403"]).await;
    fails(Says::Status(500), |_| {}, &[read, "the question for the secrets with 500"]).await;
    fails(Says::Status(204), |_| {}, &[read, "the question for the secrets with 204"]).await;
    fails(Says::Elsewhere, |_| {}, &[read, "the question for the secrets with 307"]).await;
    fails(Says::Garbage, |_| {}, &[read, "the question for the secrets is not understood"]).await;
    fails(Says::TooMuch, |_| {}, &[read, "more than 1048576 bytes"]).await;
    fails(Says::Hidden, |_| {}, &[read, "does not show us the value of `TOLLGATE_OPERATOR_KEY`"]).await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let began = Instant::now();
    let expected = ["the secrets of infisical.url cannot be read", "it did not answer in 10 s"];
    tokio::join!(fails(Says::NoAnswer, |_| {}, &expected), fails(Says::NoEnd, |_| {}, &expected));
    assert!(began.elapsed() >= Duration::from_secs(10));
}

#[tokio::test]
async fn settings_that_lead_nowhere_are_refused_by_their_name() {
    let url = "TOLLGATE_INFISICAL_URL";
    let nobody = format!("http://{}", free_address());
    fails(Says::Secrets, set(url, nobody), &["infisical.url cannot be read", "cannot be reached"]).await;
    let clear = String::from("http://infisical.example.com:8080");
    fails(Says::Secrets, set(url, clear), &["infisical.url", "`http://`", "in the clear"]).await;
    let named = format!("https://{CLIENT_SECRET}@infisical.example.com");
    fails(Says::Secrets, set(url, named), &["infisical.url must be"]).await;
    let file = String::from("/nowhere");
    fails(Says::Secrets, set("TOLLGATE_INFISICAL_CLIENT_SECRET_FILE", file), &["both `client_secret` and"])
        .await;
    for (variable, expected) in [
        ("TOLLGATE_INFISICAL_CLIENT_ID", "infisical.client_id is not"),
        ("TOLLGATE_INFISICAL_CLIENT_SECRET", "infisical.client_secret is not"),
        ("TOLLGATE_INFISICAL_WORKSPACE_ID", "infisical.workspace_id is not"),
        ("TOLLGATE_INFISICAL_ENVIRONMENT", "infisical.environment is not"),
    ] {
        fails(Says::Secrets, unset(variable), &[expected]).await;
    }
}

/// Expects that this key is the operator's and that one is not.
async fn has_operator(address: SocketAddr, good: &str, bad: &str) {
    for (key, expected) in [(good, true), (bad, false)] {
        let client =
            Client::builder().endpoint(format!("http://{address}")).api_key(key).tenant("").build().unwrap();
        let answer = client.admin().list_tenants(v1::ListTenantsRequest::default()).await;
        assert_eq!(expected, answer.is_ok(), "{answer:?}");
    }
}

#[tokio::test]
async fn what_was_changed_there_is_used_when_the_server_is_told() {
    let data = tempfile::tempdir().unwrap();
    let says = Current::new(Says::Secrets);
    let (command, address) = asking(&format!("http://{}", changing_infisical(&says).await), &data);
    let program = Program::spawn(command);
    ready(address).await;
    let mut hangups = 0;
    let mut read_again = async |says_now: Says| {
        says.set(says_now);
        let before = program.said().len();
        program.hang_up();
        hangups += 1;
        let said = program.says_times("read again at a SIGHUP", hangups).await;
        said.get(before..).unwrap().to_owned()
    };
    let away = read_again(Says::Status(500)).await;
    assert!(
        away.contains("ERROR")
            && away.contains("`operator.key` cannot be read again, and what was read before stays: "),
        "{away}"
    );
    assert!(away.contains("the question for the secrets with 500"), "{away}");
    has_operator(address, KEPT_KEY, CHANGED_KEY).await;

    let changed = read_again(Says::Changed).await;
    assert!(changed.contains("renewed: `operator.key`; unchanged: `operator.pepper`"), "{changed}");
    assert!(changed.contains("`infisical.client_secret`"), "{changed}");
    has_operator(address, CHANGED_KEY, KEPT_KEY).await;

    let away = read_again(Says::Garbage).await;
    assert!(away.contains("`operator.key` cannot be read again, and what was read before stays: "), "{away}");
    has_operator(address, CHANGED_KEY, KEPT_KEY).await;
    program.terminate();
    let ended = program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    says_no_secret(&ended);
}

/// Speaks TLS before a stand-in.
async fn with_tls(stand_in: SocketAddr, authority: &Authority) -> SocketAddr {
    let pair = authority.server();
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not trust us hangs up.
            let Ok(mut outer) = acceptor.accept(stream).await else { continue };
            let mut inner = TcpStream::connect(stand_in).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut outer, &mut inner).await });
        }
    });
    address
}

#[tokio::test]
async fn only_who_is_trusted_is_told_the_client_secret() {
    let (known, unknown) = (Authority::new(), Authority::new());
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, &known.root_pem).unwrap();
    let stand_in = infisical(Says::Secrets).await;

    let data = tempfile::tempdir().unwrap();
    let url = format!("https://localhost:{}", with_tls(stand_in, &known).await.port());
    let (mut command, address) = asking(&url, &data);
    command.env("TOLLGATE_INFISICAL_CA_FILE", &ca);
    opens(command, address, KEPT_KEY, OPERATOR_KEY).await;

    let data = tempfile::tempdir().unwrap();
    let url = format!("https://localhost:{}", with_tls(stand_in, &unknown).await.port());
    let (mut command, _) = asking(&url, &data);
    command.env("TOLLGATE_INFISICAL_CA_FILE", &ca);
    let expected = ["infisical.url cannot be read", "cannot be reached", "certificate"];
    says_no_secret(&refused(command, &expected).await);
}
