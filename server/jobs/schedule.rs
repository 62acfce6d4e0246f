//! When a job runs, in UTC.

use std::fmt;
use std::num::NonZeroU16;

use crate::time::{DAY, HOUR, MINUTE, Timestamp};

/// When a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Every so many minutes, counted from the epoch: 10 is each ten minutes of the hour.
    EveryMinutes(NonZeroU16),
    /// Each day at that time.
    Daily {
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
    },
}

impl Schedule {
    /// The first time after a moment.
    #[must_use]
    pub fn next(self, after: Timestamp) -> Timestamp {
        match self {
            Self::EveryMinutes(minutes) => {
                let length = i64::from(minutes.get()).saturating_mul(MINUTE);
                after.floor(length).plus(length)
            }
            Self::Daily { hour, minute } => {
                let time = i64::from(hour).saturating_mul(HOUR) + i64::from(minute).saturating_mul(MINUTE);
                let today = after.floor(DAY).plus(time);
                if today > after { today } else { today.plus(DAY) }
            }
        }
    }
}

/// In words, as a list of jobs shows it.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EveryMinutes(minutes) => write!(f, "every {minutes} minutes"),
            Self::Daily { hour, minute } => write!(f, "daily at {hour:02}:{minute:02} UTC"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: Schedule, after: &str, expected: &str) {
        let after = Timestamp::from_micros(after.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        assert_eq!(schedule.next(after).to_string(), expected, "{schedule} after {after}");
    }

    #[test]
    fn next_time_is_always_later() {
        let ten = Schedule::EveryMinutes(NonZeroU16::new(10).unwrap());
        check(ten, "2026-03-20T10:09:59.999999Z", "2026-03-20T10:10:00Z");
        check(ten, "2026-03-20T10:10:00Z", "2026-03-20T10:20:00Z");
        let daily = Schedule::Daily { hour: 3, minute: 0 };
        check(daily, "2026-03-20T02:59:59Z", "2026-03-20T03:00:00Z");
        check(daily, "2026-03-20T03:00:00Z", "2026-03-21T03:00:00Z");
        check(daily, "2026-12-31T23:00:00Z", "2027-01-01T03:00:00Z");
        assert_eq!(daily.to_string(), "daily at 03:00 UTC");
        assert_eq!(ten.to_string(), "every 10 minutes");
    }
}
