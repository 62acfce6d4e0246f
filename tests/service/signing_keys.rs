//! The keys of tokens, as those see them who verify our tokens, and who looks after the server.

use serde_json::json;
use tollgate_client::v1;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::raw::get;
use crate::server::{Server, TENANT};

const PATH: &str = "/.well-known/jwks.json";

async fn jwks(server: &Server) -> Vec<v1::JsonWebKey> {
    let request = v1::GetJwksRequest {};
    server.client("nobody's credential").auth().get_jwks(request).await.unwrap().into_inner().keys
}

async fn kids(server: &Server) -> Vec<String> {
    jwks(server).await.into_iter().map(|key| key.kid).collect()
}

async fn rotate(server: &Server, request_id: &str) -> Vec<v1::SigningKey> {
    let request = v1::RotateSigningKeyRequest { request_id: request_id.to_owned() };
    server.operator().admin().rotate_signing_key(request).await.unwrap().into_inner().signing_keys
}

fn duties(keys: &[v1::SigningKey]) -> Vec<v1::SigningKeyDuty> {
    keys.iter().map(v1::SigningKey::duty).collect()
}

#[tokio::test]
async fn anybody_gets_the_public_keys_over_either_way() {
    let server = Server::new().await;
    let keys = jwks(&server).await;
    assert_eq!(keys.len(), 2);
    let page = get(server.address(), PATH).await;
    assert_eq!((page.status, page.header("content-type")), (200, "application/jwk-set+json"));
    assert_eq!(page.header("cache-control"), "public, max-age=300");
    let objects: Vec<_> = keys
        .iter()
        .map(|key| {
            assert_eq!((key.x.len(), key.kid.len()), (43, 36), "{key:?}");
            json!({
                "kid": key.kid, "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": key.x,
            })
        })
        .collect();
    assert_eq!(page.json(), json!({ "keys": objects }), "and no private half");
}

#[tokio::test]
async fn operator_lets_another_key_sign_and_a_restart_changes_nothing() {
    let server = Server::new().await;
    let first = kids(&server).await;
    server.clock().advance(5 * tollgate::time::MINUTE);
    let (verifying, signing, announced) =
        (v1::SigningKeyDuty::Verifying, v1::SigningKeyDuty::Signing, v1::SigningKeyDuty::Announced);
    let keys = rotate(&server, "r1").await;
    assert_eq!(duties(&keys), [verifying, signing, announced]);
    assert!(keys[0].end_time.is_some() && keys[1].sign_time.is_some() && keys[2].sign_time.is_none());
    assert_eq!(rotate(&server, "r1").await, keys, "a retry rotates nothing");
    let now = kids(&server).await;
    assert_eq!(now[..2], first[..]);
    assert_eq!(now.len(), 3);

    let server = server.restarted(|_| {}).await;
    assert_eq!(kids(&server).await, now);
    server.clock().advance(2 * tollgate::time::HOUR);
    assert_eq!(kids(&server).await, now[1..], "the old one has ended");
    let jobs = server.operator().admin().list_jobs(v1::ListJobsRequest {}).await.unwrap().into_inner().jobs;
    assert!(jobs.iter().any(|job| job.name == "rotate_signing_keys"));
}

#[tokio::test]
async fn nobody_else_rotates_them() {
    let server = Server::new().await;
    let before = kids(&server).await;
    let gateway = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::ServiceAccount.into(),
        name: "gateway".into(),
        ..Default::default()
    };
    let gateway = server.operator().auth().create_api_key(gateway).await.unwrap().into_inner().secret;
    for (key, code, reason) in [
        (server.key_of(TENANT).await, Code::PermissionDenied, "PERMISSION_MISSING"),
        (gateway, Code::PermissionDenied, "PERMISSION_MISSING"),
        (String::from("nobody"), Code::Unauthenticated, "CREDENTIAL_INVALID"),
    ] {
        let request = v1::RotateSigningKeyRequest::default();
        let refused = server.client(&key).admin().rotate_signing_key(request).await.unwrap_err();
        let details = refused.get_error_details();
        assert_eq!((refused.code(), details.error_info().unwrap().reason.as_str()), (code, reason));
    }
    server.clock().advance(tollgate::time::HOUR);
    assert_eq!(kids(&server).await, before);
}
