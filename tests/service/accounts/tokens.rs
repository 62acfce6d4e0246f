//! Texts that look like tokens, and credentials of a size or number that nobody has, at the port.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tollgate_client::v1;
use tonic::Code;

use crate::accounts::people::{PASSWORD, Town, address, refusal, refused};
use crate::raw::{Answer, Raw, post_track};
use crate::server::TENANT;

const WHO_AM_I: &str = "/tollgate.v1.AuthService/WhoAmI";
const INVALID: &str = "CREDENTIAL_INVALID";
const BODY: &str = r#"{"service_name":"search","endpoint":"/find"}"#;

fn read(part: &str) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

fn written(part: &Value) -> String {
    BASE64URL_NOPAD.encode(part.to_string().as_bytes())
}

/// A part of a token with another value of a member.
fn with(part: &str, name: &str, value: impl Into<Value>) -> String {
    let mut part = read(part);
    part[name] = value.into();
    written(&part)
}

/// What is made of a good token, and what it is.
fn forged(token: &str) -> Vec<(&'static str, String)> {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let signed = |header: &str, claims: &str| format!("{header}.{claims}.{signature}");
    let unsigned = |algorithm: &str| format!("{}.{claims}.", with(header, "alg", algorithm));
    let half = signature.split_at(signature.len() / 2).0;
    vec![
        ("no algorithm", unsigned("none")),
        ("no algorithm in other letters", unsigned("nOnE")),
        ("a MAC", signed(&with(header, "alg", "HS256"), claims)),
        ("RSA", signed(&with(header, "alg", "RS256"), claims)),
        ("another type", signed(&with(header, "typ", "JWT"), claims)),
        ("a type of ours that it is not", signed(&with(header, "typ", "st+jwt"), claims)),
        ("a key that is a path", signed(&with(header, "kid", "../../../dev/null"), claims)),
        ("a key of its own", signed(&with(header, "jwk", json!({"kty": "OKP"})), claims)),
        ("an extension", signed(&with(header, "crit", json!(["exp"])), claims)),
        ("another tenant", signed(header, &with(claims, "tid", "globex"))),
        ("another person", signed(header, &with(claims, "sub", "usr_operator"))),
        ("a later end", signed(header, &with(claims, "exp", 4_102_444_800_i64))),
        ("an end that is infinite", signed(header, &with(claims, "exp", "1e400"))),
        ("no signature", format!("{message}.")),
        ("half a signature", format!("{message}.{half}")),
        ("no third part", message.to_owned()),
        ("a fourth part", format!("{token}.{signature}")),
        ("padding", format!("{token}==")),
        ("a blank before", format!(" {token}")),
        ("a blank after", format!("{token} ")),
        ("its beginning twice", format!("{header}.{token}")),
        ("2,049 bytes", format!("eyJ{}", ".".repeat(2_046))),
        ("7,000 bytes", format!("{}.{claims}.{signature}", with(header, "kid", "k".repeat(5_000)))),
    ]
}

async fn ask(town: &Town, credential: &str) -> Answer {
    Raw::connect(town.server.address(), credential).await.call(WHO_AM_I, &[]).await
}

async fn access(town: &Town) -> v1::SessionTokens {
    town.try_login(&address("ada"), PASSWORD, None).await.unwrap().tokens.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn token_that_somebody_made_up_is_refused_and_changes_nothing() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let tokens = access(&town).await;
    assert_eq!(ask(&town, &tokens.access_token).await.code, Code::Ok);
    let before = town.server.snapshot().await;
    let mut cases = forged(&tokens.access_token);
    cases.push(("a refresh token", tokens.refresh_token.clone()));
    cases.push(("a code of a letter", "k3Qz0pF8u2WvY7sN4tB1xR6mC9aJ5hL0gD2eS8iU4oE".into()));
    for (name, credential) in cases {
        let answer = ask(&town, &credential).await;
        assert_eq!((answer.code, answer.reason.as_str()), (Code::Unauthenticated, INVALID), "{name}");
        assert!(!answer.message.contains(&credential), "{name} is repeated");
        // Over HTTP/1.1 a blank around a value is none of it.
        if credential.trim() != credential {
            continue;
        }
        let bearer = format!("Bearer {credential}");
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let page = post_track(town.server.address(), &headers, BODY).await;
        assert_eq!((page.status, &page.json()["reason"]), (401, &json!(INVALID)), "{name}: {page:?}");
        assert!(!page.body.contains(&credential), "{name} is repeated");
    }
    assert_eq!(before, town.server.snapshot().await);
    assert_eq!(ask(&town, &tokens.access_token).await.code, Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_credential_or_more_than_there_can_be_is_refused() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let (tokens, key) = (access(&town).await, town.server.key().await);
    let before = town.server.snapshot().await;
    let raw = Raw::connect(town.server.address(), &key).await;
    let bearer = format!("Bearer {}", tokens.access_token);
    for header in [("authorization", bearer.as_str()), ("x-api-key", key.as_str())] {
        let answer = raw.call_with(WHO_AM_I, &[0; 5], &[header]).await;
        assert_eq!(
            (answer.code, answer.reason.as_str()),
            (Code::Unauthenticated, "CREDENTIAL_AMBIGUOUS"),
            "a key and {}",
            header.0
        );
    }
    for length in [9 << 10, 1 << 20] {
        let refused = town.who(&"a".repeat(length)).await.unwrap_err();
        assert_ne!(refused.code(), Code::Ok, "{length}: {refused:?}");
        let credential = "a".repeat(length);
        let headers = [("content-type", "application/json"), ("x-api-key", credential.as_str())];
        let page = post_track(town.server.address(), &headers, BODY).await;
        assert!([401, 431].contains(&page.status), "{length}: {page:.200?}");
    }
    town.who(&key).await.unwrap();
    assert_eq!(before, town.server.snapshot().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_tenant_that_was_deleted_is_good_for_nothing() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let (tokens, key) = (access(&town).await, town.server.key().await);
    let lend = v1::CreateServiceTokenRequest { permissions: vec!["usage.read".into()], lifetime: None };
    let mut lent = Vec::new();
    for credential in [&tokens.access_token, &key] {
        let token = town.server.client(credential).auth().create_service_token(lend.clone()).await;
        lent.push(token.unwrap().into_inner().token);
    }
    for good in [&tokens.access_token, &lent[0], &lent[1]] {
        town.who(good).await.unwrap();
    }
    let request = v1::DeleteTenantRequest { tenant_id: TENANT.into(), grace_days: None };
    town.server.operator().admin().delete_tenant(request).await.unwrap();
    for (name, credential, code, reason) in [
        ("a person's", &tokens.access_token, Code::Unauthenticated, "CREDENTIAL_REVOKED"),
        ("lent by a person", &lent[0], Code::Unauthenticated, "CREDENTIAL_REVOKED"),
        ("lent by a key", &lent[1], Code::PermissionDenied, "TENANT_DELETED"),
    ] {
        let answer = ask(&town, credential).await;
        assert_eq!((answer.code, answer.reason.as_str()), (code, reason), "{name}");
    }
    let ended = refusal(Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    assert_eq!(refused(town.refresh(&tokens.refresh_token).await), ended);
}
