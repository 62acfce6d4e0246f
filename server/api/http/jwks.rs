//! `GET /.well-known/jwks.json`: the public keys that our tokens are verified with, for whoever asks.

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tollgate_client::v1;

use crate::api::auth::jwks;
use crate::identity::signing_keys::{ANNOUNCED, Published};
use crate::time::SECOND;

/// The path, as others look for it.
pub(super) const PATH: &str = "/.well-known/jwks.json";

/// The answer. It may be remembered for as long as a key is announced before it signs.
pub(super) fn respond(published: Vec<Published>) -> Response {
    let keys: Vec<_> = published.into_iter().map(|published| object(jwks::key(published))).collect();
    let age = format!("public, max-age={}", ANNOUNCED / SECOND);
    let headers = [(CONTENT_TYPE, String::from("application/jwk-set+json")), (CACHE_CONTROL, age)];
    (headers, json!({ "keys": keys }).to_string()).into_response()
}

fn object(key: v1::JsonWebKey) -> Value {
    let v1::JsonWebKey { kid, kty, crv, alg, r#use, x } = key;
    json!({ "kid": kid, "kty": kty, "crv": crv, "alg": alg, "use": r#use, "x": x })
}
