//! The account of one tenant: wallet, reservations, quotas and windows, all summed from the journal by the fold.
//!
//! Every change is a sum or a maximum, so that records of several slots may come in any order between slots.

use crate::gate::policy::LimitKey;
use crate::ledger::record::{ChargeKind, End, EndKind, GrantBurn};
use crate::ledger::stamp::Position;
use crate::ledger::sums::Sums;
use crate::time::Timestamp;

mod absorbing;

/// The account of one tenant: one document.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Account {
    /// What it has absorbed of each slot (rule F).
    #[prost(message, repeated, tag = "1")]
    pub positions: Vec<Position>,
    /// Grants with something left or held.
    #[prost(message, repeated, tag = "2")]
    pub grants: Vec<GrantAccount>,
    /// The sum of all grants, ever, in micro-credits.
    #[prost(int64, tag = "3")]
    pub granted_micros: i64,
    /// The sum of all that was burned of grants, ever, what they turned out not to have among it: see
    /// [`Account::debited`].
    #[prost(int64, tag = "4")]
    pub debited_micros: i64,
    /// What was left in grants at their expiry, ever.
    #[prost(int64, tag = "5")]
    pub breakage_micros: i64,
    /// What was charged beyond all grants, ever, without what grants turned out not to have: see [`Account::overage`].
    #[prost(int64, tag = "6")]
    pub overage_micros: i64,
    /// The newest billing period that something was decided in: its first moment.
    #[prost(int64, tag = "7")]
    pub period_start_micros: i64,
    /// The first moment of the next one: its bounds were fixed when it was opened.
    #[prost(int64, tag = "13")]
    pub period_end_micros: i64,
    /// What was charged beyond all grants in that period.
    #[prost(int64, tag = "8")]
    pub period_overage_micros: i64,
    /// Living reservations.
    #[prost(message, repeated, tag = "9")]
    pub holds: Vec<HoldAccount>,
    /// Windows and quotas.
    #[prost(message, repeated, tag = "10")]
    pub windows: Vec<WindowAccount>,
    /// All usage, ever.
    #[prost(message, required, tag = "11")]
    pub totals: Sums,
    /// The newest decision, in microseconds since the epoch.
    #[prost(int64, tag = "12")]
    pub decided_at_micros: i64,
    /// The newest epoch of the counters that something was decided in (rule N).
    #[prost(uint64, tag = "14")]
    pub counter_epoch: u64,
}

/// One grant.
#[derive(Clone, PartialEq, Eq, prost::Message, serde::Serialize)]
pub struct GrantAccount {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// 1 to 255; lower burns first.
    #[prost(uint32, tag = "2")]
    pub priority: u32,
    /// The first moment at which it no longer serves; `None`: never.
    #[prost(int64, optional, tag = "3")]
    pub expires_at_micros: Option<i64>,
    /// What was given.
    #[prost(int64, tag = "4")]
    pub micros: i64,
    /// What is left and free: see [`GrantAccount::free`]. Below zero where more was burned of it than it had, by who could not
    /// see the others (rule S), or where its grant is still on its way.
    #[prost(int64, tag = "5")]
    pub remaining_micros: i64,
    /// What living reservations hold of it.
    #[prost(int64, tag = "6")]
    pub held_micros: i64,
    /// For people.
    #[prost(string, tag = "7")]
    pub name: String,
    /// When it was given.
    #[prost(int64, tag = "8")]
    pub created_at_micros: i64,
    /// Its time is over, and what was left is breakage.
    #[prost(bool, tag = "9")]
    pub closed: bool,
}

/// One living reservation.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HoldAccount {
    /// Its id.
    #[prost(string, tag = "1")]
    pub reservation: String,
    /// The id of the event that opened it.
    #[prost(string, tag = "2")]
    pub event_id: String,
    /// What is held, in the order in which it was taken.
    #[prost(message, repeated, tag = "3")]
    pub burns: Vec<GrantBurn>,
    /// When it began.
    #[prost(int64, tag = "4")]
    pub opened_at_micros: i64,
    /// When it ends by itself.
    #[prost(int64, tag = "5")]
    pub expires_at_micros: i64,
    /// Whether a settlement may be above the hold.
    #[prost(bool, tag = "6")]
    pub excess_allowed: bool,
    /// It has ended, and something of it may still come from another slot: its beginning, or an extension. That holds
    /// nothing any more.
    #[prost(bool, tag = "7")]
    pub ended: bool,
    /// The counters' epoch and number of the decision that fixed its expiry: an extension may shorten its life too.
    #[prost(uint64, tag = "8")]
    pub counter_epoch: u64,
    /// See `counter_epoch`.
    #[prost(uint64, tag = "9")]
    pub number: u64,
    /// When it ended, where `ended`.
    #[prost(int64, tag = "10")]
    pub ended_at_micros: i64,
    /// An extension came from another slot before its beginning.
    #[prost(bool, tag = "11")]
    pub unopened: bool,
}

/// One window or quota.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WindowAccount {
    /// The limit's key.
    #[prost(fixed64, tag = "1")]
    pub limit_key: u64,
    /// The key or consumer that it counts; empty: the tenant.
    #[prost(string, tag = "2")]
    pub member: String,
    /// How it counts.
    #[prost(enumeration = "ChargeKind", tag = "3")]
    pub kind: i32,
    /// Fixed and quota: the first moment of the window or period. Bucket: when it was charged last.
    #[prost(int64, tag = "4")]
    pub mark_micros: i64,
    /// Fixed and quota: units used. Bucket: units missing after the last charge, rounded up.
    #[prost(int64, tag = "5")]
    pub used: i64,
    /// The window's length.
    #[prost(int64, tag = "6")]
    pub window_micros: i64,
    /// Bucket: the counters' epoch and number of the charge that `mark_micros` is of.
    #[prost(uint64, tag = "7")]
    pub counter_epoch: u64,
    /// See `counter_epoch`.
    #[prost(uint64, tag = "8")]
    pub number: u64,
    /// The limit's name in the plan.
    #[prost(string, tag = "9")]
    pub name: String,
}

impl Account {
    /// What is free to be spent, in micro-credits.
    #[must_use]
    pub fn balance_micros(&self) -> i64 {
        self.sum(GrantAccount::free)
    }

    /// What living reservations hold of what was given, in micro-credits.
    #[must_use]
    pub fn held_micros(&self) -> i64 {
        self.sum(|grant| grant.held_micros.saturating_sub(grant.lacks_for_holds()))
    }

    /// The sum of all that grants paid, ever, in micro-credits.
    #[must_use]
    pub fn debited(&self) -> i64 {
        self.debited_micros.saturating_sub(self.lack())
    }

    /// What was charged beyond all grants, ever, in micro-credits: also what was burned of a grant that no longer had it.
    #[must_use]
    pub fn overage(&self) -> i64 {
        self.overage_micros.saturating_add(self.lack())
    }

    /// What was burned of grants that no longer had it (rule S). It is no sum of its own, because a release that another slot
    /// brings later may still cover it.
    fn lack(&self) -> i64 {
        self.sum(|grant| grant.lacks().saturating_sub(grant.lacks_for_holds()))
    }

    fn sum(&self, of: impl Fn(&GrantAccount) -> i64) -> i64 {
        self.grants.iter().map(of).fold(0, i64::saturating_add)
    }

    /// The grant with that id.
    #[must_use]
    pub fn grant(&self, id: &str) -> Option<&GrantAccount> {
        self.grants.iter().find(|grant| grant.id == id)
    }

    /// The living reservation with that id.
    #[must_use]
    pub fn hold(&self, reservation: &str) -> Option<&HoldAccount> {
        self.holds.iter().find(|hold| hold.reservation == reservation && hold.lives())
    }

    /// Units used of a quota in the period that begins at `period_start`.
    #[must_use]
    pub fn quota_used(&self, quota: LimitKey, period_start: Timestamp) -> i64 {
        self.used(quota, "", period_start)
    }

    /// Units used of a fixed window or a quota, where it began at `mark`.
    #[must_use]
    pub fn used(&self, limit: LimitKey, member: &str, mark: Timestamp) -> i64 {
        let same = |window: &&WindowAccount| {
            window.limit() == limit && window.member == member && window.mark_micros == mark.micros()
        };
        self.windows.iter().find(same).map_or(0, |window| window.used)
    }
}

impl GrantAccount {
    /// What is left and free, in micro-credits.
    #[must_use]
    pub fn free(&self) -> i64 {
        self.remaining_micros.max(0)
    }

    /// What was burned or held of it, and it no longer had.
    fn lacks(&self) -> i64 {
        self.remaining_micros.saturating_neg().max(0)
    }

    /// The part of it that nobody was charged yet: what living reservations hold is given back first.
    fn lacks_for_holds(&self) -> i64 {
        self.lacks().min(self.held_micros).max(0)
    }
}

impl HoldAccount {
    /// Whether it has begun and not ended.
    #[must_use]
    pub const fn lives(&self) -> bool {
        !self.ended && !self.unopened
    }
}

impl WindowAccount {
    /// The limit's key, as the gate names it.
    #[must_use]
    pub const fn limit(&self) -> LimitKey {
        LimitKey(self.limit_key)
    }
}

impl End {
    /// What the call cost in the end, in micro-credits.
    #[must_use]
    pub fn price_micros(&self) -> i64 {
        if self.kind() == EndKind::Settled {
            let paid = self.paid.iter().chain(&self.excess).map(|burn| burn.micros);
            paid.fold(self.overage_micros, i64::saturating_add)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests;
