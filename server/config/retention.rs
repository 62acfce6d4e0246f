//! `[retention]`: how long events are kept.

use serde::Deserialize;

/// Fewer would break a promise: an event counts once within 45 days, and a recorded call may ask until 35 days after the end
/// of a period of 31 whether the period's credits were given.
const DAYS_MIN: u32 = 67;
const DAYS_MAX: u32 = 36_500;

/// How long events are kept.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// How many days events and refusals are kept, from their receipt. Sums and wallets stay for ever.
    pub days: Days,
}

/// A number of days, 67 to 36,500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Days(u32);

impl Days {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Days {
    fn default() -> Self {
        Self(90)
    }
}

impl TryFrom<u32> for Days {
    type Error = String;

    fn try_from(days: u32) -> Result<Self, String> {
        if (DAYS_MIN..=DAYS_MAX).contains(&days) {
            return Ok(Self(days));
        }
        Err(format!("{days} days are not {DAYS_MIN} to {DAYS_MAX}"))
    }
}
