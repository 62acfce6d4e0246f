//! Billing periods: computed, never reset (design §4).

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use crate::time::Timestamp;

/// How a tenant's billing periods are cut.
#[derive(Clone, Debug)]
pub struct PeriodRule {
    /// When they begin.
    pub anchor: Anchor,
    /// In which zone.
    pub zone: TimeZone,
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

impl Period {
    /// Whether the moment lies in it.
    #[must_use]
    pub fn contains(self, moment: Timestamp) -> bool {
        self.start <= moment && moment < self.end
    }

    /// Its length in microseconds.
    #[must_use]
    pub const fn length(self) -> i64 {
        self.end.since(self.start)
    }
}

impl PeriodRule {
    /// The period that `now` lies in. The periods of a rule follow one another without gap or overlap.
    #[must_use]
    pub fn containing(&self, now: Timestamp) -> Period {
        let (day, time) = match self.anchor {
            Anchor::CalendarMonth => (1, Time::midnight()),
            Anchor::Anniversary { since } => {
                let since = self.civil(since);
                (since.day(), since.time())
            }
        };
        let today = self.civil(now);
        let month = i32::from(today.year())
            .saturating_mul(12)
            .saturating_add(i32::from(today.month()).saturating_sub(1));
        let start = self.beginning(month, day, time);
        if start <= now {
            return Period { start, end: self.beginning(month.saturating_add(1), day, time) };
        }
        Period { start: self.beginning(month.saturating_sub(1), day, time), end: start }
    }

    /// When the period of a month begins; months are counted from the year 0.
    fn beginning(&self, month: i32, day: i8, time: Time) -> Timestamp {
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12));
        let first = i16::try_from(year)
            .ok()
            .zip(i8::try_from(month).ok())
            .and_then(|(year, month)| jiff::civil::Date::new(year, month.saturating_add(1), 1).ok());
        // Outside of the years that can be said, a period begins or ends with time itself.
        let Some(first) = first else {
            return if year < 0 { Timestamp::from_micros(i64::MIN) } else { Timestamp::MAX };
        };
        let date = first.with().day(day.min(first.days_in_month())).build().unwrap_or(first);
        // A time that daylight saving skips is taken after the gap, one that comes twice the first time.
        match self.zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible() {
            Ok(moment) => Timestamp::from_micros(moment.as_microsecond()),
            Err(_) => Timestamp::MAX,
        }
    }

    fn civil(&self, moment: Timestamp) -> DateTime {
        let earliest = jiff::Timestamp::MIN;
        let latest = jiff::Timestamp::MAX;
        let micros = moment.micros().clamp(earliest.as_microsecond(), latest.as_microsecond());
        self.zone.to_datetime(jiff::Timestamp::from_microsecond(micros).unwrap_or(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{DAY, HOUR};

    fn moment(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    fn rule(since: Option<&str>, zone: &str) -> PeriodRule {
        let anchor = since.map_or(Anchor::CalendarMonth, |text| Anchor::Anniversary { since: moment(text) });
        PeriodRule { anchor, zone: TimeZone::get(zone).unwrap() }
    }

    fn check(rule: &PeriodRule, now: &str, start: &str, end: &str) {
        let expected = Period { start: moment(start), end: moment(end) };
        assert_eq!(rule.containing(moment(now)), expected, "{now}");
    }

    #[test]
    fn a_calendar_month_begins_at_midnight_of_the_zone() {
        let utc = rule(None, "UTC");
        check(&utc, "2026-02-28T23:59:59.999999Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
        check(&utc, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z");
        check(&utc, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
        check(&utc, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
        let tokyo = rule(None, "Asia/Tokyo");
        check(&tokyo, "2026-02-28T15:00:00Z", "2026-02-28T15:00:00Z", "2026-03-31T15:00:00Z");
        let berlin = rule(None, "Europe/Berlin");
        check(&berlin, "2026-03-31T21:59:59Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z");
        check(&berlin, "2026-10-31T23:00:00Z", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
    }

    #[test]
    fn an_anniversary_falls_on_the_last_day_of_months_that_are_too_short() {
        let rule = rule(Some("2026-01-31T10:30:00Z"), "UTC");
        check(&rule, "2026-02-28T10:29:59Z", "2026-01-31T10:30:00Z", "2026-02-28T10:30:00Z");
        check(&rule, "2026-02-28T10:30:00Z", "2026-02-28T10:30:00Z", "2026-03-31T10:30:00Z");
        check(&rule, "2026-04-30T10:30:00Z", "2026-04-30T10:30:00Z", "2026-05-31T10:30:00Z");
        check(&rule, "2028-02-29T10:30:00Z", "2028-02-29T10:30:00Z", "2028-03-31T10:30:00Z");
        check(&rule, "2028-02-28T10:30:00Z", "2028-01-31T10:30:00Z", "2028-02-29T10:30:00Z");
        check(&rule, "2025-12-31T10:30:00Z", "2025-12-31T10:30:00Z", "2026-01-31T10:30:00Z");
    }

    #[test]
    fn an_anniversary_in_the_hour_that_daylight_saving_skips_comes_after_the_gap() {
        let rule = rule(Some("2026-01-29T01:30:00Z"), "Europe/Berlin");
        check(&rule, "2026-03-29T01:29:59Z", "2026-02-28T01:30:00Z", "2026-03-29T01:30:00Z");
        check(&rule, "2026-03-29T01:30:00Z", "2026-03-29T01:30:00Z", "2026-04-29T00:30:00Z");
    }

    #[test]
    fn periods_follow_one_another_without_gap_or_overlap() {
        let rules = [
            rule(None, "UTC"),
            rule(None, "America/Sao_Paulo"),
            rule(None, "Pacific/Apia"),
            rule(Some("2010-12-30T10:00:00Z"), "Pacific/Apia"),
            rule(Some("2012-02-29T23:59:59Z"), "America/New_York"),
            rule(Some("2018-11-04T05:30:00Z"), "America/New_York"),
        ];
        for rule in rules {
            let mut period = rule.containing(moment("2009-06-15T00:00:00Z"));
            for _ in 0..300 {
                assert!(period.length() >= 27 * DAY && period.length() <= 32 * DAY, "{rule:?} {period:?}");
                assert_eq!(rule.containing(period.start), period);
                assert_eq!(rule.containing(period.end.minus(1)), period);
                assert_eq!(rule.containing(period.start.plus(13 * DAY + HOUR)), period);
                let next = rule.containing(period.end);
                assert_eq!(next.start, period.end);
                period = next;
            }
        }
    }

    #[test]
    fn the_ends_of_time_have_a_period_too() {
        for micros in [i64::MIN, i64::MAX, -377_705_023_201_000_000, 253_402_207_200_999_999] {
            let period = rule(None, "UTC").containing(Timestamp::from_micros(micros));
            assert!(period.start < period.end, "{period:?}");
        }
    }
}
