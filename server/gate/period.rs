//! Billing periods: computed, never reset (design §4).

use crate::time::Timestamp;

/// How a tenant's billing periods are cut.
#[derive(Clone, Debug)]
pub struct PeriodRule {
    /// When they begin.
    pub anchor: Anchor,
    /// In which zone.
    pub zone: jiff::tz::TimeZone,
}

/// When billing periods begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// On the first of each month.
    CalendarMonth,
    /// Each month on the day and time of this moment; on the last day of months that are too short.
    Anniversary {
        /// The first beginning.
        since: Timestamp,
    },
}

/// One billing period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment of the next.
    pub end: Timestamp,
}
