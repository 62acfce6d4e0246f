//! Makes texts that look like tokens: with the installation's own key, or with a stranger's.

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tollgate::secrets::vault::Vault;
use tollgate::time::Timestamp;

use crate::rooms::{Rooms, secret};

/// Signs whatever it is given.
pub(crate) struct Forge {
    pair: Ed25519KeyPair,
    pub(crate) kid: String,
}

/// A JSON object as text: members in order, their values as they are to stand there, and any of them twice.
#[derive(Clone, Debug)]
pub(crate) struct Object(Vec<(String, String)>);

impl Forge {
    /// With the key that signs.
    pub(crate) async fn ours(rooms: &Rooms) -> Self {
        let kept = rooms.store.documents.get("signing_keys", "tokens").await.unwrap().unwrap();
        let kept: Value = serde_json::from_slice(&kept.body).unwrap();
        let text = |name: &str| kept["keys"][0][name].as_str().unwrap().to_owned();
        let pkcs8 = Vault::new(&secret(), "signing").open(&text("sealed")).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.expose_secret()).unwrap();
        Self { pair, kid: text("id") }
    }

    /// With a key that nobody knows, under the name of one that is known.
    pub(crate) fn strangers(kid: &str) -> Self {
        Self { pair: Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap(), kid: kid.to_owned() }
    }

    /// The header of an access token.
    pub(crate) fn header(&self) -> Object {
        Object(Vec::new())
            .with("typ", r#""at+jwt""#)
            .with("alg", r#""EdDSA""#)
            .with("kid", &format!("{:?}", self.kid))
    }

    /// A whole token of that content.
    pub(crate) fn token(&self, header: &Object, claims: &Object) -> String {
        let message = message(header, claims);
        let signature = BASE64URL_NOPAD.encode(self.pair.sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }

    /// The bytes that everybody may know of the key.
    pub(crate) fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }
}

/// What is signed of a token.
pub(crate) fn message(header: &Object, claims: &Object) -> String {
    let part = |object: &Object| BASE64URL_NOPAD.encode(object.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

impl Object {
    /// The claims of a good access token of ten minutes.
    pub(crate) fn claims(now: Timestamp) -> Self {
        let now = now.seconds();
        Self(Vec::new())
            .with("iss", r#""tollgate""#)
            .with("aud", r#""tollgate""#)
            .with("sub", r#""usr_1""#)
            .with("tid", r#""acme""#)
            .with("sid", r#""ses_1""#)
            .with("jti", r#""tok_1""#)
            .with("iat", &now.to_string())
            .with("nbf", &now.to_string())
            .with("exp", &(now + 600).to_string())
    }

    /// With another value of a member, or one more member.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// With a member at its end, whether or not it has it already.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a member.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<_> = self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        write!(f, "{{{}}}", members.join(","))
    }
}
