//! Who may call over HTTP: the same as over gRPC.

use serde_json::{Value, json};
use tollgate_client::v1;

use crate::raw::{Page, post_track};
use crate::server::Server;

const CALL: &str = r#"{"service_name":"search","endpoint":"/find"}"#;

async fn post(server: &Server, headers: &[(&str, &str)], body: &str) -> Page {
    let all: Vec<(&str, &str)> =
        [("content-type", "application/json")].into_iter().chain(headers.iter().copied()).collect();
    post_track(server.address(), &all, body).await
}

async fn gateway(server: &Server) -> String {
    let request = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::ServiceAccount.into(),
        name: "gateway".into(),
        ..Default::default()
    };
    server.operator().auth().create_api_key(request).await.unwrap().into_inner().secret
}

#[tokio::test]
async fn a_credential_comes_in_one_of_two_headers() {
    let server = Server::new().await;
    let key = server.key().await;
    let bearer = format!("Bearer {key}");
    assert_eq!(200, post(&server, &[("authorization", &bearer)], CALL).await.status);
    assert_eq!(200, post(&server, &[("x-api-key", &key)], CALL).await.status);

    let before = server.snapshot().await;
    let mistyped = format!("{key}0");
    let lower = format!("Bearer {}", key.to_lowercase());
    let basic = format!("Basic {key}");
    for (headers, reason) in [
        (vec![], "CREDENTIAL_MISSING"),
        (vec![("x-api-key", "nobody")], "CREDENTIAL_INVALID"),
        (vec![("x-api-key", mistyped.as_str())], "CREDENTIAL_INVALID"),
        (vec![("authorization", lower.as_str())], "CREDENTIAL_INVALID"),
        (vec![("authorization", bearer.as_str()), ("x-api-key", key.as_str())], "CREDENTIAL_AMBIGUOUS"),
        (vec![("x-api-key", key.as_str()), ("x-api-key", key.as_str())], "CREDENTIAL_AMBIGUOUS"),
    ] {
        let page = post(&server, &headers, CALL).await;
        assert_eq!((401, json!(reason)), (page.status, page.json()["reason"].clone()), "{page:?}");
        assert_eq!("Bearer", page.header("www-authenticate"));
        assert!(!page.body.contains(&key), "{page:?}");
    }
    assert_eq!(401, post(&server, &[("authorization", &basic)], CALL).await.status);
    assert_eq!(before, server.snapshot().await);
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let server = Server::new().await;
    let key = server.key().await;
    assert_eq!(200, post(&server, &[("x-api-key", &key)], CALL).await.status);
    let request = v1::ListApiKeysRequest { tenant_id: "acme".into(), ..Default::default() };
    let keys = server.operator().auth().list_api_keys(request).await;
    let id = keys.unwrap().into_inner().api_keys[0].id.clone();
    server.operator().auth().revoke_api_key(v1::RevokeApiKeyRequest { id }).await.unwrap();
    let page = post(&server, &[("x-api-key", &key)], CALL).await;
    assert_eq!((401, json!("CREDENTIAL_REVOKED")), (page.status, page.json()["reason"].clone()));
}

#[tokio::test]
async fn a_tenant_speaks_for_itself_alone() {
    let server = Server::new().await.with_tenant("other", "free").await;
    let key = server.key().await;
    let mine = r#"{"tenant_id":"acme","service_name":"search","endpoint":"/find"}"#;
    assert_eq!(200, post(&server, &[("x-api-key", &key)], mine).await.status);
    let mut answers = Vec::new();
    for tenant in ["other", "nobody"] {
        let body = mine.replace("acme", tenant);
        let page = post(&server, &[("x-api-key", &key)], &body).await;
        assert_eq!((403, json!("TENANT_FORBIDDEN")), (page.status, page.json()["reason"].clone()));
        answers.push(page.body.replace(tenant, ""));
    }
    assert_eq!(answers[0], answers[1], "a tenant can tell who else exists");
}

#[tokio::test]
async fn a_gateway_passes_its_customers_key() {
    let server = Server::new().await;
    let (gateway, key) = (gateway(&server).await, server.key().await);
    let body = |key: &str| json!({"service_name": "search", "endpoint": "/find", "api_key": key}).to_string();
    let page = post(&server, &[("x-api-key", &gateway)], &body(&key)).await;
    assert_eq!(200, page.status, "{page:?}");
    assert_eq!(1, server.snapshot().await.usage.calls);
    // The customer's bad key is a refusal, and no fault of the gateway's.
    let page = post(&server, &[("x-api-key", &gateway)], &body("nobody")).await;
    assert_eq!((401, json!("API_KEY_INVALID")), (page.status, page.json()["reason"].clone()));
    assert_eq!(
        (json!(false), Value::Null),
        (page.json()["allowed"].clone(), page.json()["violations"].clone())
    );
}
