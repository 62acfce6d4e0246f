//! `[retention]`: how long events are kept.

use serde::Deserialize;

use crate::config::bounded::{Bounded, Days};

/// Fewer would break a promise: an event counts once within 45 days, and a recorded call may ask until 35 days after the end
/// of a period of 31 whether the period's credits were given.
pub type RetentionDays = Bounded<Days, 67, 36_500>;

/// How long events are kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// How many days events and refusals are kept, from their receipt. Sums and wallets stay for ever.
    pub days: RetentionDays,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { days: RetentionDays::of(90) }
    }
}
