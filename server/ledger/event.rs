//! An event as callers send it, checked: what is counted.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::gate::call::{EventKey, PayloadHash};

/// One call to the tenant's API. The door makes it from the contract's `UsageEvent`; its fields are within their bounds.
#[derive(Clone, PartialEq, prost::Message, serde::Serialize)]
pub struct Event {
    /// The caller's id, or the server's.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The part of the product.
    #[prost(string, tag = "2")]
    pub service: String,
    /// The route.
    #[prost(string, tag = "3")]
    pub endpoint: String,
    /// The method; may be empty.
    #[prost(string, tag = "4")]
    pub method: String,
    /// The feature; may be empty.
    #[prost(string, tag = "5")]
    pub feature: String,
    /// The HTTP status; 0: not known.
    #[prost(uint32, tag = "6")]
    pub status_code: u32,
    /// How long it took, in microseconds.
    #[prost(int64, optional, tag = "7")]
    pub latency_micros: Option<i64>,
    /// Units in limits and quotas, 1 or more.
    #[prost(int64, tag = "8")]
    pub weight: i64,
    /// The caller's own price, in micro-credits.
    #[prost(int64, optional, tag = "9")]
    pub caller_price_micros: Option<i64>,
    /// Whether the endpoint is premium.
    #[prost(bool, tag = "10")]
    pub premium: bool,
    /// What a model read and wrote.
    #[prost(message, optional, tag = "11")]
    pub tokens: Option<Tokens>,
    /// The model; may be empty.
    #[prost(string, tag = "12")]
    pub model: String,
    /// The region; may be empty.
    #[prost(string, tag = "13")]
    pub region: String,
    /// The country; may be empty.
    #[prost(string, tag = "14")]
    pub country: String,
    /// The API version; may be empty.
    #[prost(string, tag = "15")]
    pub api_version: String,
    /// Those for whom it was made, as `kind:id`, for example `user:42`.
    #[prost(string, repeated, tag = "16")]
    pub consumers: Vec<String>,
    /// Further amounts by name, zero or more.
    #[prost(btree_map = "string, int64", tag = "17")]
    pub quantities: BTreeMap<String, i64>,
    /// Further names to break usage down by.
    #[prost(btree_map = "string, string", tag = "18")]
    pub dimensions: BTreeMap<String, String>,
    /// Kept, never summed.
    #[prost(btree_map = "string, string", tag = "19")]
    pub metadata: BTreeMap<String, String>,
    /// When the call was made, in microseconds since the epoch; `None`: at its decision.
    #[prost(int64, optional, tag = "20")]
    pub occurred_at_micros: Option<i64>,
}

/// What a model read and wrote.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, serde::Serialize)]
pub struct Tokens {
    /// All that was read.
    #[prost(int64, tag = "1")]
    pub input: i64,
    /// What was written.
    #[prost(int64, tag = "2")]
    pub output: i64,
    /// The part of input read from a cache.
    #[prost(int64, tag = "3")]
    pub cached_input: i64,
    /// The part of input written to a cache.
    #[prost(int64, tag = "4")]
    pub cache_write_input: i64,
}

/// The outcome of a call, added after it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outcome {
    /// The HTTP status; 0: not known.
    #[prost(uint32, tag = "1")]
    pub status_code: u32,
    /// How long it took, in microseconds.
    #[prost(int64, optional, tag = "2")]
    pub latency_micros: Option<i64>,
    /// What a model read and wrote.
    #[prost(message, optional, tag = "3")]
    pub tokens: Option<Tokens>,
    /// Further amounts by name.
    #[prost(btree_map = "string, int64", tag = "4")]
    pub quantities: BTreeMap<String, i64>,
}

impl Event {
    /// Adds an outcome: what the event had already stays, amounts are added.
    pub fn complete(&mut self, outcome: &Outcome) {
        if self.status_code == 0 {
            self.status_code = outcome.status_code;
        }
        self.latency_micros = self.latency_micros.or(outcome.latency_micros);
        if let Some(more) = outcome.tokens {
            let tokens = self.tokens.get_or_insert_default();
            tokens.input = tokens.input.saturating_add(more.input);
            tokens.output = tokens.output.saturating_add(more.output);
            tokens.cached_input = tokens.cached_input.saturating_add(more.cached_input);
            tokens.cache_write_input = tokens.cache_write_input.saturating_add(more.cache_write_input);
        }
        for (name, amount) in &outcome.quantities {
            let sum = self.quantities.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }
}

/// What an [`EventKey`] names: things of different kinds never collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// An event, by its id.
    Event,
    /// The end of a reservation, by the reservation's id.
    End,
    /// An extension of a reservation, by reservation and request id.
    Extension,
    /// A grant, by its id.
    Grant,
    /// What was left of a grant at its expiry, by the grant's id.
    Breakage,
}

/// The key under which something of a tenant exists once.
#[must_use]
pub fn key(tenant: &str, kind: KeyKind, id: &str) -> EventKey {
    let mut hash = Sha256::new();
    hash.update([kind as u8]);
    hash.update(tenant.len().to_le_bytes());
    hash.update(tenant);
    hash.update(id);
    EventKey(first_half(&hash.finalize().into()))
}

/// The hash of a content, of the kind given by `salt`.
#[must_use]
pub fn payload(salt: u8, content: &[u8]) -> PayloadHash {
    let mut hash = Sha256::new();
    hash.update([salt]);
    hash.update(content);
    PayloadHash(first_half(&hash.finalize().into()))
}

fn first_half(digest: &[u8; 32]) -> u128 {
    digest.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}
