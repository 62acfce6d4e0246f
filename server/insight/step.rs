//! The steps of a series, in UTC.

use jiff::tz::TimeZone;

use crate::time::{DAY, HOUR, MINUTE, Timestamp};

/// The length of the steps of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// One step: all of it.
    Total,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Weeks from Monday.
    Week,
    /// Calendar months.
    Month,
}

const WEEK: i64 = 7 * DAY;
/// From a Monday to the epoch, which was a Thursday.
const THURSDAY: i64 = 3 * DAY;

impl Granularity {
    /// The first moment of the step in which `moment` is. `None`: there is one step.
    #[must_use]
    pub fn step(self, moment: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Total => None,
            Self::Minute => Some(moment.floor(MINUTE)),
            Self::Hour => Some(moment.floor(HOUR)),
            Self::Day => Some(moment.floor(DAY)),
            Self::Week => Some(moment.plus(THURSDAY).floor(WEEK).minus(THURSDAY)),
            Self::Month => Some(month(moment)),
        }
    }
}

fn month(moment: Timestamp) -> Timestamp {
    let civil =
        jiff::Timestamp::from_microsecond(moment.micros()).map(|moment| TimeZone::UTC.to_datetime(moment));
    let first = civil.and_then(|civil| civil.date().first_of_month().to_zoned(TimeZone::UTC));
    // Beyond the years that a calendar knows there are no events; a day is as good as a month there.
    first.map_or(moment.floor(DAY), |first| Timestamp::from_micros(first.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn step_begins_at_its_first_moment_in_utc() {
        let cases = [
            (Granularity::Minute, "2026-03-01T05:07:59.999999Z", "2026-03-01T05:07:00Z"),
            (Granularity::Hour, "2026-03-01T05:07:00Z", "2026-03-01T05:00:00Z"),
            (Granularity::Day, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            (Granularity::Day, "2026-02-28T23:59:59Z", "2026-02-28T00:00:00Z"),
            (Granularity::Week, "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z"),
            (Granularity::Week, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z"),
            (Granularity::Week, "1970-01-01T00:00:00Z", "1969-12-29T00:00:00Z"),
            (Granularity::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z"),
            (Granularity::Month, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            (Granularity::Month, "2025-12-31T23:00:00Z", "2025-12-01T00:00:00Z"),
        ];
        for (granularity, moment, expected) in cases {
            assert_eq!(granularity.step(at(moment)), Some(at(expected)), "{granularity:?} of {moment}");
        }
        assert_eq!(Granularity::Month.step(Timestamp::MAX), Some(Timestamp::MAX.floor(DAY)));
    }
}
