//! One call as the gate sees it.

use std::sync::Arc;

use crate::time::Timestamp;

/// What is asked of the gate. Borrowed from the event: nothing is copied before the verdict.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The part of the product.
    pub service: &'a str,
    /// The route.
    pub endpoint: &'a str,
    /// The method; may be empty.
    pub method: &'a str,
    /// The feature; empty: none.
    pub feature: &'a str,
    /// The model; may be empty.
    pub model: &'a str,
    /// The region; may be empty.
    pub region: &'a str,
    /// Whether the endpoint is premium.
    pub premium: bool,
    /// The HTTP status; 0: not known yet.
    pub status_code: u32,
    /// Units in limits and quotas, 1 or more.
    pub weight: i64,
    /// The caller's own price in micro-credits.
    pub caller_price_micros: Option<i64>,
    /// Tokens read and written.
    pub tokens: TokenCount,
    /// The tenant's key that made the call.
    pub api_key: Option<&'a Arc<str>>,
    /// Those for whom it was made, as `kind:id`.
    pub consumers: &'a [String],
}

/// Tokens that a model read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCount {
    /// All that was read.
    pub input: i64,
    /// What was written.
    pub output: i64,
    /// The part of input read from a cache.
    pub cached_input: i64,
    /// The part of input written to a cache.
    pub cache_write_input: i64,
}

/// Names an event for ever: the first 128 bits of SHA-256 over tenant and event id (rule H). Hashed once a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub u128);

impl EventKey {
    /// Names the outcome that completes this event. The completion of a completion is the event itself.
    #[must_use]
    pub const fn completion(self) -> Self {
        // Any constant does: keys are spread over all their bits, so that another event has this key by no chance.
        Self(self.0 ^ 0x636f_6d70_6c65_7469_6f6e_206f_6620_6974)
    }
}

/// Names the content of an event: the first 128 bits of SHA-256 over the client's own fields, canonical (rule Q).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PayloadHash(pub u128);

/// Identity and effect of a charge.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// Which event.
    pub event: EventKey,
    /// Its content.
    pub payload: PayloadHash,
    /// The call.
    pub call: Call<'a>,
    /// What it costs in micro-credits, or what is to be held.
    pub price_micros: i64,
    /// What to do about it.
    pub effect: Effect<'a>,
}

/// What a demand does to the counters.
#[derive(Clone, Copy, Debug)]
pub enum Effect<'a> {
    /// Decides and charges.
    Charge,
    /// Decides and takes nothing, leaves no mark, and has no number.
    Dry,
    /// Charges without asking: quota of the period of `occurred_at` and credits, beyond the caps too (rules R, S). Rates
    /// are not touched.
    Record {
        /// When the call was made.
        occurred_at: Timestamp,
    },
    /// Decides and charges windows and quota; holds the price instead of taking it (rule T).
    Hold {
        /// The reservation to open.
        reservation: &'a Arc<str>,
        /// How long it lives, in microseconds from the decision.
        ttl: i64,
        /// Whether a settlement may be above the hold.
        excess_allowed: bool,
    },
}
