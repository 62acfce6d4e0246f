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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierAnchor {
    /// The anchor.
    pub anchor: PeriodAnchor,
    /// The zone that held with it; `None`: as now.
    #[serde(default)]
    pub zone: Option<String>,
    /// The end of the period in which it was changed.
    pub until: Timestamp,
}

impl Subscription {
    /// The rule of the period that contains `now`.
    pub fn rule(&self, now: Timestamp) -> Result<PeriodRule, StoreError> {
        let earlier = self.earlier(now);
        let name = earlier.and_then(|earlier| earlier.zone.as_ref()).unwrap_or(&self.zone);
        let zone = TimeZone::get(name).map_err(|error| {
            StoreError::corrupt(format!("the time zone of tenant `{}`", self.tenant), error)
        })?;
        let anchor = match earlier.map_or(self.anchor, |earlier| earlier.anchor) {
            PeriodAnchor::CalendarMonth => Anchor::CalendarMonth,
            PeriodAnchor::Anniversary => Anchor::Anniversary { since: self.opened_at },
        };
        Ok(PeriodRule { anchor, zone })
    }

    /// The billing period that contains `now`. The first one after a change of the anchor begins where the one before ended.
    pub fn period(&self, now: Timestamp) -> Result<Period, StoreError> {
        let period = self.rule(now)?.containing(now);
        let start = match &self.before {
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
        let zone = self.zone.clone();
        self.set_rule(anchor, zone, now)
    }

    /// Sets the zone from the next period on. It is one.
    pub fn set_zone(&mut self, zone: &str, now: Timestamp) -> Result<(), StoreError> {
        self.set_rule(self.anchor, zone.to_owned(), now)
    }

    fn set_rule(&mut self, anchor: PeriodAnchor, zone: String, now: Timestamp) -> Result<(), StoreError> {
        if anchor == self.anchor && zone == self.zone {
            return Ok(());
        }
        let earlier = self.earlier(now);
        let held_anchor = earlier.map_or(self.anchor, |earlier| earlier.anchor);
        let held_zone = earlier.and_then(|earlier| earlier.zone.clone()).unwrap_or_else(|| self.zone.clone());
        let until = self.period(now)?.end;
        let is_changed = (anchor, &zone) != (held_anchor, &held_zone);
        let held_zone = (held_zone != zone).then_some(held_zone);
        self.before = is_changed.then_some(EarlierAnchor { anchor: held_anchor, zone: held_zone, until });
        (self.anchor, self.zone) = (anchor, zone);
        Ok(())
    }

    fn earlier(&self, now: Timestamp) -> Option<&EarlierAnchor> {
        self.before.as_ref().filter(|earlier| now < earlier.until)
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
    fn changed_zone_holds_from_the_next_period_and_no_moment_is_in_two() {
        let mut changed = subscription();
        changed.set_zone("America/New_York", at("2026-03-20T00:00:00Z")).unwrap();
        check(&changed, "2026-03-20T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z");
        // In New York the old month goes on for four hours, which are a period of their own.
        check(&changed, "2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-04-01T04:00:00Z");
        check(&changed, "2026-04-02T00:00:00Z", "2026-04-01T04:00:00Z", "2026-05-01T04:00:00Z");
        changed.set_zone("UTC", at("2026-03-21T00:00:00Z")).unwrap();
        assert_eq!(changed, subscription(), "taken back in the same period");
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
