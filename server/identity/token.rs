//! Tokens: who has logged in, or what a service may do for a while, signed by this installation.
//!
//! A token is good by its signature, for minutes; whoever lets its bearer in looks besides whether the session or the key
//! behind it goes on. It is read strictly (RFC 8725): one algorithm, one spelling, and for each purpose a type of its own.

mod claims;
mod invalid;
mod strict;

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Header};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::id;
use crate::identity::permission::Permissions;
use crate::identity::signing_keys::{Known, LEEWAY, SigningKeys, TOKEN_LIFE_MAX};
use crate::identity::token::claims::{ACCESS, Body, Parties, SERVICE};
use crate::time::{Clock, SECOND, Timestamp};

pub use crate::identity::token::claims::{Claims, ServiceClaims, Token};
pub use crate::identity::token::invalid::{TokenInvalid, TokensError};

/// The longest token. A longer text is refused before it is read.
pub const BYTES_MAX: usize = 2_048;
const ALGORITHM: &str = "EdDSA";

/// What all tokens of an installation have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Who makes them.
    pub issuer: String,
    /// Whom they are for.
    pub audience: String,
    /// How long an access token is good, in microseconds: at most an hour.
    pub access_life: i64,
}

/// Makes tokens, and knows them again.
#[derive(Clone, Debug)]
pub struct Tokens {
    keys: Arc<SigningKeys>,
    terms: Arc<Terms>,
    clock: Arc<dyn Clock>,
}

/// Whose access token it will be.
#[derive(Clone, Copy, Debug)]
pub struct Bearer<'a> {
    /// Who has logged in.
    pub user: &'a str,
    /// In which tenant; empty: as staff of the installation.
    pub tenant: &'a str,
    /// With which session.
    pub session: &'a str,
}

/// What a service token shall be good for.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// The key or the session that it is made with.
    pub parent: &'a str,
    /// The one tenant that it is for; `None`: its parent's own.
    pub tenant: Option<&'a str>,
    /// What it may do at most.
    pub permissions: Permissions,
    /// For how long, in microseconds. An hour is the longest there is.
    pub life: i64,
}

/// What the header of each token says. Other members (`jku`, `x5u`, `jwk` …) are not looked at.
#[derive(Deserialize)]
struct Head {
    alg: String,
    typ: String,
    kid: String,
    /// Extensions that must be understood: none is.
    crit: Option<IgnoredAny>,
}

impl Tokens {
    /// Tokens signed with those keys.
    #[must_use]
    pub fn new(keys: Arc<SigningKeys>, terms: Terms, clock: Arc<dyn Clock>) -> Self {
        Self { keys, terms: Arc::new(terms), clock }
    }

    /// What a new access token says, from now on for as long as the settings have it.
    #[must_use]
    pub fn claims(&self, bearer: Bearer<'_>) -> Claims {
        let issued_at = self.clock.now().floor(SECOND);
        Claims {
            id: id::fresh("tok"),
            user: bearer.user.to_owned(),
            tenant: bearer.tenant.to_owned(),
            session: bearer.session.to_owned(),
            issued_at,
            expires_at: issued_at.plus(self.terms.access_life.clamp(0, TOKEN_LIFE_MAX)),
        }
    }

    /// What a new service token says, from now on.
    #[must_use]
    pub fn service_claims(&self, service: Service<'_>) -> ServiceClaims {
        let issued_at = self.clock.now().floor(SECOND);
        ServiceClaims {
            id: id::fresh("tok"),
            parent: service.parent.to_owned(),
            tenant: service.tenant.map(str::to_owned),
            permissions: service.permissions,
            issued_at,
            expires_at: issued_at.plus(service.life.clamp(0, TOKEN_LIFE_MAX)),
        }
    }

    /// Makes the access token that says that.
    pub fn issue(&self, claims: &Claims) -> Result<SecretString, TokensError> {
        self.sign(ACCESS, &Body::of_access(claims, self.parties()))
    }

    /// Makes the service token that says that.
    pub fn issue_service(&self, claims: &ServiceClaims) -> Result<SecretString, TokensError> {
        self.sign(SERVICE, &Body::of_service(claims, self.parties()))
    }

    /// What an access token says that is good at `now`.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Claims, TokenInvalid> {
        match self.verify_any(text, now)? {
            Token::Access(claims) => Ok(claims),
            Token::Service(_) => Err(TokenInvalid::Type),
        }
    }

    /// What a service token says that is good at `now`.
    pub fn verify_service(&self, text: &str, now: Timestamp) -> Result<ServiceClaims, TokenInvalid> {
        match self.verify_any(text, now)? {
            Token::Service(claims) => Ok(claims),
            Token::Access(_) => Err(TokenInvalid::Type),
        }
    }

    /// What a token of any type says that is good at `now`, by the keys that are known here.
    pub fn verify_any(&self, text: &str, now: Timestamp) -> Result<Token, TokenInvalid> {
        if text.len() > BYTES_MAX {
            return Err(TokenInvalid::TooLong);
        }
        let parts = strict::parts(text).ok_or(TokenInvalid::Malformed)?;
        let head: Head = strict::object(&parts.header).ok_or(TokenInvalid::Malformed)?;
        if head.alg != ALGORITHM {
            return Err(TokenInvalid::Algorithm);
        }
        if head.crit.is_some() {
            return Err(TokenInvalid::Critical);
        }
        // The type is looked at before the key, so that a text for something else costs nothing.
        if head.typ != ACCESS && head.typ != SERVICE {
            return Err(TokenInvalid::Type);
        }
        self.check_signature(&parts, &head.kid, now)?;
        let body: Body = strict::object(&parts.claims).ok_or(TokenInvalid::Claims)?;
        self.check_claims(&body, now)?;
        if head.typ == ACCESS {
            body.into_access().map(Token::Access)
        } else {
            body.into_service().map(Token::Service)
        }
    }

    /// The same, and asks the store for a key that is not known here: another server may have made it just now.
    pub async fn check(&self, text: &str, now: Timestamp) -> Result<Token, TokensError> {
        match self.verify_any(text, now) {
            Err(TokenInvalid::UnknownKey) => {
                self.keys.ask().await?;
                Ok(self.verify_any(text, now)?)
            }
            answer => Ok(answer?),
        }
    }

    fn sign(&self, kind: &str, body: &Body) -> Result<SecretString, TokensError> {
        let keys = self.keys.loaded();
        let (id, key) = keys.signer(self.clock.now()).ok_or(TokensError::NoKey)?;
        let mut header = Header::new(Algorithm::EdDSA);
        (header.typ, header.kid) = (Some(kind.to_owned()), Some(id.to_owned()));
        let text = jsonwebtoken::encode(&header, body, key).map_err(TokensError::Signing)?;
        if text.len() > BYTES_MAX {
            return Err(TokensError::TooLong);
        }
        Ok(SecretString::from(text))
    }

    fn check_signature(
        &self,
        parts: &strict::Parts<'_>,
        kid: &str,
        now: Timestamp,
    ) -> Result<(), TokenInvalid> {
        let keys = self.keys.loaded();
        let key = match keys.verifier(kid, now) {
            Known::Good(key) => key,
            Known::Ended => return Err(TokenInvalid::EndedKey),
            Known::No => return Err(TokenInvalid::UnknownKey),
        };
        let message = parts.message.as_bytes();
        let verified = jsonwebtoken::crypto::verify(parts.signature, message, key, Algorithm::EdDSA);
        if verified.unwrap_or(false) { Ok(()) } else { Err(TokenInvalid::Signature) }
    }

    fn check_claims(&self, body: &Body, now: Timestamp) -> Result<(), TokenInvalid> {
        if body.iss != self.terms.issuer {
            return Err(TokenInvalid::Issuer);
        }
        if body.aud != self.terms.audience {
            return Err(TokenInvalid::Audience);
        }
        if now < body.not_before().minus(LEEWAY) {
            return Err(TokenInvalid::NotYet);
        }
        if now >= body.expires_at().plus(LEEWAY) {
            return Err(TokenInvalid::Expired);
        }
        if body.has_a_life_of_ours() { Ok(()) } else { Err(TokenInvalid::Claims) }
    }

    fn parties(&self) -> Parties<'_> {
        Parties { issuer: &self.terms.issuer, audience: &self.terms.audience }
    }
}

/// Whether a text may be a token: one of ours has two points, and no other credential of ours has any.
#[must_use]
pub fn looks_like_one(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}
