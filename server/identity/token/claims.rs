//! What tokens say, and how it stands in them.

use serde::{Deserialize, Serialize};

use crate::identity::permission::{Permission, Permissions};
use crate::identity::signing_keys::TOKEN_LIFE_MAX;
use crate::identity::token::invalid::TokenInvalid;
use crate::time::{SECOND, Timestamp};

/// The type of access tokens (RFC 9068).
pub(super) const ACCESS: &str = "at+jwt";
/// The type of service tokens.
pub(super) const SERVICE: &str = "st+jwt";

/// What an access token says: who has logged in where. Moments are whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Its own id, `tok_…`.
    pub id: String,
    /// Who: the user's id.
    pub user: String,
    /// In which tenant; empty: as staff of the installation.
    pub tenant: String,
    /// The login that it came from.
    pub session: String,
    /// Since when it is good.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What a service token says. Moments are whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceClaims {
    /// Its own id, `tok_…`.
    pub id: String,
    /// The key or the session that it was made with, and ends with.
    pub parent: String,
    /// The one tenant that it is good for; `None`: its parent's own.
    pub tenant: Option<String>,
    /// What it may do at most.
    pub permissions: Permissions,
    /// Since when it is good.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A token of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Of somebody who has logged in.
    Access(Claims),
    /// Of a service.
    Service(ServiceClaims),
}

/// The claims as they stand in a token, by their registered names. Moments are whole numbers of seconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) iss: String,
    pub(super) aud: String,
    sub: String,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tid: Option<String>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    /// The permissions by name, with a space between two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// Who made a token, and whom it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parties<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
}

impl Body {
    pub(super) fn of_access(claims: &Claims, parties: Parties<'_>) -> Self {
        Self {
            iss: parties.issuer.to_owned(),
            aud: parties.audience.to_owned(),
            sub: claims.user.clone(),
            tid: Some(claims.tenant.clone()),
            sid: Some(claims.session.clone()),
            scope: None,
            jti: claims.id.clone(),
            iat: seconds(claims.issued_at),
            nbf: seconds(claims.issued_at),
            exp: seconds(claims.expires_at),
        }
    }

    pub(super) fn of_service(claims: &ServiceClaims, parties: Parties<'_>) -> Self {
        Self {
            iss: parties.issuer.to_owned(),
            aud: parties.audience.to_owned(),
            sub: claims.parent.clone(),
            tid: claims.tenant.clone(),
            sid: None,
            scope: Some(claims.permissions.names().join(" ")),
            jti: claims.id.clone(),
            iat: seconds(claims.issued_at),
            nbf: seconds(claims.issued_at),
            exp: seconds(claims.expires_at),
        }
    }

    /// From when on it is good.
    pub(super) fn not_before(&self) -> Timestamp {
        moment(self.nbf)
    }

    /// Until when.
    pub(super) fn expires_at(&self) -> Timestamp {
        moment(self.exp)
    }

    /// Whether its life is as long as that of a token of ours can be: after it the key is gone that knows it.
    pub(super) fn has_a_life_of_ours(&self) -> bool {
        let life = self.expires_at().since(moment(self.iat));
        (0..=TOKEN_LIFE_MAX).contains(&life)
    }

    pub(super) fn into_access(self) -> Result<Claims, TokenInvalid> {
        let (issued_at, expires_at) = (moment(self.iat), moment(self.exp));
        let (tenant, session) = self.tid.zip(self.sid).ok_or(TokenInvalid::Claims)?;
        Ok(Claims { id: self.jti, user: self.sub, tenant, session, issued_at, expires_at })
    }

    pub(super) fn into_service(self) -> Result<ServiceClaims, TokenInvalid> {
        let (issued_at, expires_at) = (moment(self.iat), moment(self.exp));
        let scope = self.scope.ok_or(TokenInvalid::Claims)?;
        // A name that this server does not know grants nothing.
        let permissions = scope.split(' ').filter_map(Permission::named).collect();
        let (id, parent, tenant) = (self.jti, self.sub, self.tid);
        Ok(ServiceClaims { id, parent, tenant, permissions, issued_at, expires_at })
    }
}

fn seconds(moment: Timestamp) -> u64 {
    u64::try_from(moment.seconds()).unwrap_or_default()
}

fn moment(seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_micros(seconds.saturating_mul(SECOND))
}
