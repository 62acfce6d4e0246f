//! The public keys of tokens as messages.

use data_encoding::BASE64URL_NOPAD;
use tollgate_client::v1;

use crate::identity::signing_keys::Published;

pub(in crate::api) fn key(published: Published) -> v1::JsonWebKey {
    v1::JsonWebKey {
        kid: published.listed.id,
        kty: String::from("OKP"),
        crv: String::from("Ed25519"),
        alg: String::from("EdDSA"),
        r#use: String::from("sig"),
        x: BASE64URL_NOPAD.encode(&published.public),
    }
}
