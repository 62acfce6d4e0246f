//! Which plan a tenant is on, and how its billing periods are cut.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::gate::period::{Anchor, Period, PeriodRule};
use crate::store::StoreError;
use crate::store::records::Record;
use crate::time::Timestamp;

/// A tenant's plan: pinned to the version that it was promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The tenant; it has one subscription.
    pub tenant: String,
    /// The plan's id.
    pub plan_id: String,
    /// The plan's slug.
    pub plan: String,
    /// The version that was promised.
    pub version: u32,
    /// The IANA zone of its billing periods.
    pub zone: String,
    /// When periods begin.
    pub anchor: PeriodAnchor,
    /// An earlier anchor that still holds; a change holds from the next period.
    pub before: Option<EarlierAnchor>,
    /// When the tenant first subscribed to anything: the first beginning of anniversaries.
    pub opened_at: Timestamp,
    /// When it subscribed to this plan.
    pub started_at: Timestamp,
}

/// When billing periods begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodAnchor {
    /// On the first of each month.
    #[default]
    CalendarMonth,
    /// Each month on the day and time of the first subscription.
    Anniversary,
}

/// An anchor that holds until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierAnchor {
    /// The anchor.
    pub anchor: PeriodAnchor,
    /// The end of the period in which it was changed.
    pub until: Timestamp,
}

impl Subscription {
    /// The rule of the period that contains `now`.
    pub fn rule(&self, now: Timestamp) -> Result<PeriodRule, StoreError> {
        let zone = TimeZone::get(&self.zone).map_err(|error| {
            StoreError::corrupt(format!("the time zone of tenant `{}`", self.tenant), error)
        })?;
        let anchor = match self.earlier(now).map_or(self.anchor, |earlier| earlier.anchor) {
            PeriodAnchor::CalendarMonth => Anchor::CalendarMonth,
            PeriodAnchor::Anniversary => Anchor::Anniversary { since: self.opened_at },
        };
        Ok(PeriodRule { anchor, zone })
    }

    /// The billing period that contains `now`. The first one after a change of the anchor begins where the one before ended.
    pub fn period(&self, now: Timestamp) -> Result<Period, StoreError> {
        let period = self.rule(now)?.containing(now);
        let start = match self.before {
            Some(earlier) if now >= earlier.until => period.start.max(earlier.until),
            _ => period.start,
        };
        Ok(Period { start, ..period })
    }

    /// When another rule begins to hold than that of `now`; `None`: none is known to.
    #[must_use]
    pub fn rule_changes_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.earlier(now).map(|earlier| earlier.until)
    }

    /// Sets the anchor from the next period on.
    pub fn set_anchor(&mut self, anchor: PeriodAnchor, now: Timestamp) -> Result<(), StoreError> {
        let held = self.earlier(now).map_or(self.anchor, |earlier| earlier.anchor);
        if anchor != self.anchor {
            let until = self.period(now)?.end;
            self.before = (anchor != held).then_some(EarlierAnchor { anchor: held, until });
            self.anchor = anchor;
        }
        Ok(())
    }

    fn earlier(&self, now: Timestamp) -> Option<EarlierAnchor> {
        self.before.filter(|earlier| now < earlier.until)
    }
}

impl Record for Subscription {
    const KIND: &'static str = "subscription";

    fn id(&self) -> &str {
        &self.tenant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    fn subscription() -> Subscription {
        Subscription {
            tenant: String::from("acme"),
            plan_id: String::from("pln_1"),
            plan: String::from("free"),
            version: 1,
            zone: String::from("UTC"),
            anchor: PeriodAnchor::CalendarMonth,
            before: None,
            opened_at: at("2026-01-15T12:00:00Z"),
            started_at: at("2026-01-15T12:00:00Z"),
        }
    }

    fn check(subscription: &Subscription, now: &str, start: &str, end: &str) {
        let period = subscription.period(at(now)).unwrap();
        assert_eq!(period, Period { start: at(start), end: at(end) }, "at {now}");
    }

    #[test]
    fn changed_anchor_holds_from_the_next_period_and_no_moment_is_in_two() {
        let mut changed = subscription();
        changed.set_anchor(PeriodAnchor::Anniversary, at("2026-03-20T00:00:00Z")).unwrap();
        check(&changed, "2026-03-20T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z");
        check(&changed, "2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-04-15T12:00:00Z");
        check(&changed, "2026-04-15T12:00:00Z", "2026-04-15T12:00:00Z", "2026-05-15T12:00:00Z");
        assert_eq!(changed.rule_changes_at(at("2026-03-31T23:59:59Z")), Some(at("2026-04-01T00:00:00Z")));
        assert_eq!(changed.rule_changes_at(at("2026-04-01T00:00:00Z")), None);
    }

    #[test]
    fn change_that_is_taken_back_in_the_same_period_changes_nothing() {
        let mut changed = subscription();
        changed.set_anchor(PeriodAnchor::Anniversary, at("2026-03-20T00:00:00Z")).unwrap();
        changed.set_anchor(PeriodAnchor::Anniversary, at("2026-03-21T00:00:00Z")).unwrap();
        changed.set_anchor(PeriodAnchor::CalendarMonth, at("2026-03-21T00:00:00Z")).unwrap();
        assert_eq!(changed, subscription());
    }
}
