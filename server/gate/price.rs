//! What a call costs in credits: the first rule that matches.

use std::sync::Arc;

use crate::gate::pattern::Pattern;

/// The price rules of a plan.
#[derive(Clone, Debug, Default)]
pub struct PriceList {
    /// In order; the first that matches holds.
    pub rules: Vec<PriceRule>,
    /// Whether callers may set the price of a call.
    pub caller_prices: CallerPrices,
}

/// Whether callers may set the price of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallerPrices {
    /// They may not.
    #[default]
    Refused,
    /// They may.
    Trusted,
}

/// What a call costs. `None` and empty match every call.
#[derive(Clone, Debug, Default)]
pub struct PriceRule {
    /// The service.
    pub service: Option<Arc<str>>,
    /// The endpoints.
    pub endpoints: Option<Pattern>,
    /// The method.
    pub method: Option<Arc<str>>,
    /// Whether it is premium.
    pub premium: Option<bool>,
    /// The region.
    pub region: Option<Arc<str>>,
    /// The feature.
    pub feature: Option<Arc<str>>,
    /// The model.
    pub model: Option<Arc<str>>,
    /// Micro-credits for one unit of weight.
    pub micros_per_unit: i64,
    /// Micro-credits for a million tokens, on top.
    pub tokens: TokenPrices,
    /// Only calls with a status below 400, or none yet.
    pub success_only: bool,
}

/// Micro-credits for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenPrices {
    /// Input that was not cached.
    pub input: i64,
    /// Output.
    pub output: i64,
    /// Input read from a cache.
    pub cached_input: i64,
    /// On top for input written to a cache.
    pub cache_write_input: i64,
}
