//! What is announced to the world: one thing that happened, with an id that stays the same however often it is sent.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::ledger::stamp::Stamp;
use crate::store::StoreError;
use crate::time::Timestamp;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its id: the same thing has the same id in every process and after every crash.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// Where it is announced.
    pub topic: Topic,
    /// When it happened.
    pub at: Timestamp,
    /// The record of the journal that it was made of; `None`: it was made of none. Announcements of one slot come in the
    /// order of their records.
    pub stamp: Option<Stamp>,
    /// What there is to say about it, as a JSON object. Amounts in millionths are strings there, as in the contract's JSON.
    pub body: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A call was counted.
    UsageTracked,
    /// A rate limit refused calls.
    RateLimitExceeded,
    /// A quota refused calls.
    QuotaExceeded,
    /// Less than a tenth of the credits is left.
    CreditsLow,
    /// The credits did not cover a call.
    CreditsExhausted,
    /// A tenant was moved to another plan, version or anchor.
    SubscriptionChanged,
}

/// Where an announcement is made, within its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// With the usage of a service.
    Usage {
        /// The service, as callers named it.
        service: String,
    },
    /// With all that people want to hear of.
    Alerts,
}

/// How something of a tenant stands now. It replaces what was said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whose it is.
    pub tenant: Arc<str>,
    /// What it is the state of.
    pub part: StatePart,
    /// The state, as a JSON object.
    pub body: String,
}

/// What there are states of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatePart {
    /// The quotas of the plan.
    Limits,
    /// The wallet.
    Balance,
}

impl Kind {
    /// Its name in the world.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UsageTracked => "api.usage.tracked",
            Self::RateLimitExceeded => "api.rate_limit.exceeded",
            Self::QuotaExceeded => "api.quota.exceeded",
            Self::CreditsLow => "api.credits.low",
            Self::CreditsExhausted => "api.credits.exhausted",
            Self::SubscriptionChanged => "api.subscription.changed",
        }
    }
}

/// The id of a thing that is known by its kind, its tenant and `parts`.
#[must_use]
pub fn id(kind: Kind, tenant: &str, parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in [kind.name().as_bytes(), tenant.as_bytes()].iter().chain(parts) {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The JSON of something of a tenant.
pub fn json<T: Serialize>(tenant: &str, thing: &T) -> Result<String, StoreError> {
    serde_json::to_string(thing)
        .map_err(|error| StoreError::corrupt(format!("an announcement of tenant `{tenant}`"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_that_differ_have_ids_that_differ() {
        let first = id(Kind::QuotaExceeded, "acme", &[b"month", b"1"]);
        assert_eq!(first, id(Kind::QuotaExceeded, "acme", &[b"month", b"1"]));
        assert_ne!(first, id(Kind::RateLimitExceeded, "acme", &[b"month", b"1"]));
        assert_ne!(first, id(Kind::QuotaExceeded, "acm", &[b"emonth", b"1"]));
        assert_ne!(first, id(Kind::QuotaExceeded, "acme", &[b"mont", b"h1"]));
    }
}
