//! The account of one tenant: wallet, reservations, quotas and windows, all summed from the journal by the fold.
//!
//! Every change is a sum or a maximum, so that records of several slots may come in any order between slots.

use crate::gate::policy::LimitKey;
use crate::ledger::record::{
    Body, Breakage, Charge, ChargeKind, End, EndKind, Extension, GrantBurn, GrantPosted, Mode,
};
use crate::ledger::record::{Record, Usage};
use crate::ledger::stamp::Position;
use crate::ledger::sums::Sums;
use crate::time::{DAY, HOUR, Timestamp};

/// Counters that are kept before those that are wholly free are looked for and forgotten.
const WINDOWS_CLEAN: usize = 64;
/// How long a closed grant is remembered after its expiry, in microseconds: as long as a recorded call may be late (rule R).
const CLOSED_KEPT: i64 = 35 * DAY;

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
    /// The sum of all that grants paid, ever.
    #[prost(int64, tag = "4")]
    pub debited_micros: i64,
    /// What was left in grants at their expiry, ever.
    #[prost(int64, tag = "5")]
    pub breakage_micros: i64,
    /// What was charged beyond all grants, ever.
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
    /// What is left and free.
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
        self.grants.iter().map(|grant| grant.remaining_micros).fold(0, i64::saturating_add)
    }

    /// What living reservations hold, in micro-credits.
    #[must_use]
    pub fn held_micros(&self) -> i64 {
        self.grants.iter().map(|grant| grant.held_micros).fold(0, i64::saturating_add)
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

    /// Absorbs one record that the ledger counts. The caller has seen that its batch is new to this account (rule F).
    pub fn absorb(&mut self, record: &Record) {
        self.decided_at_micros = self.decided_at_micros.max(record.at_micros);
        self.counter_epoch = self.counter_epoch.max(record.counter_epoch);
        match &record.body {
            Some(Body::Usage(usage)) => self.use_up(record, usage),
            Some(Body::Extension(extension)) => self.extend(extension, record),
            Some(Body::End(end)) => self.end(end, record.at_micros),
            Some(Body::Grant(grant)) => self.post(grant, record.at_micros),
            Some(Body::Breakage(breakage)) => self.close(breakage),
            Some(Body::Completion(_) | Body::Refusal(_)) | None => {}
        }
    }

    /// Forgets what can no longer matter at that moment: before it is kept.
    pub fn clean(&mut self) {
        let now = self.decided_at_micros;
        self.grants.retain(|grant| {
            let over = match grant.expires_at_micros {
                None => true,
                // What was spooled may still name it, and must not find it open again.
                Some(expired_at) => grant.closed && expired_at.saturating_add(CLOSED_KEPT) <= now,
            };
            grant.remaining_micros != 0 || grant.held_micros != 0 || !over
        });
        // After an hour nothing of a reservation that has ended is on its way any more, nor the beginning of one that has not
        // begun: its extension came after its end.
        self.holds.retain(|hold| {
            let last = if hold.ended { hold.ended_at_micros } else { hold.expires_at_micros };
            hold.lives() || last.saturating_add(HOUR) > now
        });
        if self.windows.len() > WINDOWS_CLEAN {
            // An hour of grace: the clock may step back, and the counters prune for themselves.
            self.windows.retain(|window| match window.kind() {
                ChargeKind::Quota => true,
                // A bucket is full again after at most one window: its burst is at most its limit.
                ChargeKind::Bucket | ChargeKind::Fixed | ChargeKind::Sliding => {
                    window.mark_micros.saturating_add(window.window_micros).saturating_add(HOUR) > now
                }
            });
        }
    }

    fn use_up(&mut self, record: &Record, usage: &Usage) {
        if usage.mode() == Mode::Import {
            return;
        }
        for charge in &usage.charges {
            self.charge(charge, record);
        }
        self.enter_period(usage.period_start_micros, usage.period_end_micros);
        let Some(hold) = &usage.hold else {
            self.debit(&usage.burns, usage.period_start_micros);
            return self.go_over(usage.overage_micros, usage.period_start_micros);
        };
        let place = self.place_of(&hold.reservation);
        if self.holds[place].ended {
            return;
        }
        self.hold_back(&usage.burns);
        let known = &mut self.holds[place];
        known.unopened = false;
        known.event_id.clone_from(&usage.event.id);
        known.opened_at_micros = record.at_micros;
        known.excess_allowed = hold.excess_allowed;
        // What it took first is paid first, also where an extension was absorbed before it.
        known.burns.splice(0..0, usage.burns.iter().cloned());
        known.expire(hold.expires_at_micros, record);
    }

    fn extend(&mut self, extension: &Extension, record: &Record) {
        let place = self.place_of(&extension.reservation);
        if self.holds[place].ended {
            return;
        }
        self.hold_back(&extension.burns);
        let known = &mut self.holds[place];
        known.burns.extend(extension.burns.iter().cloned());
        known.expire(extension.expires_at_micros, record);
    }

    /// An end is net: what it paid is paid, and nothing is held any more, whatever of the reservation was absorbed before.
    /// An extension that the counters had and the journal never got is freed by nobody's credits.
    fn end(&mut self, end: &End, at_micros: i64) {
        let place = self.place_of(&end.reservation);
        let mut held = std::mem::take(&mut self.holds[place].burns);
        let is_whole = !self.holds[place].unopened
            && total(&held) >= total(&end.paid).saturating_add(total(&end.released));
        for burn in &held {
            let grant = self.grant_mut(&burn.grant);
            grant.held_micros = grant.held_micros.saturating_sub(burn.micros);
        }
        for burn in &end.paid {
            let paid = take_from(&mut held, burn);
            self.debited_micros = self.debited_micros.saturating_add(paid);
            let rest = burn.micros.saturating_sub(paid);
            if rest > 0 {
                self.debit(&[GrantBurn { grant: burn.grant.clone(), micros: rest }], end.period_start_micros);
            }
        }
        for burn in held.iter().filter(|burn| burn.micros > 0) {
            let grant = self.grant_mut(&burn.grant);
            if grant.closed {
                self.breakage_micros = self.breakage_micros.saturating_add(burn.micros);
            } else {
                grant.remaining_micros = grant.remaining_micros.saturating_add(burn.micros);
            }
        }
        self.debit(&end.excess, end.period_start_micros);
        self.go_over(end.overage_micros, end.period_start_micros);
        if is_whole {
            self.holds.swap_remove(place);
            return;
        }
        let known = &mut self.holds[place];
        (known.ended, known.unopened, known.ended_at_micros) = (true, false, at_micros);
    }

    /// Where the reservation stands; a new place if this is the first that is heard of it.
    fn place_of(&mut self, reservation: &str) -> usize {
        self.holds.iter().position(|hold| hold.reservation == reservation).unwrap_or_else(|| {
            let reservation = reservation.to_owned();
            self.holds.push(HoldAccount { reservation, unopened: true, ..HoldAccount::default() });
            self.holds.len().saturating_sub(1)
        })
    }

    fn post(&mut self, posted: &GrantPosted, at_micros: i64) {
        self.granted_micros = self.granted_micros.saturating_add(posted.micros);
        let grant = self.grant_mut(&posted.id);
        grant.priority = posted.priority;
        grant.expires_at_micros = posted.expires_at_micros;
        grant.micros = posted.micros;
        grant.remaining_micros = grant.remaining_micros.saturating_add(posted.micros);
        grant.name.clone_from(&posted.name);
        grant.created_at_micros = at_micros;
    }

    fn close(&mut self, breakage: &Breakage) {
        let grant = self.grant_mut(&breakage.grant);
        grant.closed = true;
        let left = std::mem::take(&mut grant.remaining_micros);
        self.breakage_micros = self.breakage_micros.saturating_add(left);
    }

    /// What a grant no longer covers is overage (rule S): its time is over, and what was left of it is breakage.
    fn debit(&mut self, burns: &[GrantBurn], period_start_micros: i64) {
        for burn in burns {
            let grant = self.grant_mut(&burn.grant);
            if grant.closed {
                self.go_over(burn.micros, period_start_micros);
                continue;
            }
            grant.remaining_micros = grant.remaining_micros.saturating_sub(burn.micros);
            self.debited_micros = self.debited_micros.saturating_add(burn.micros);
        }
    }

    fn hold_back(&mut self, burns: &[GrantBurn]) {
        for burn in burns {
            let grant = self.grant_mut(&burn.grant);
            grant.remaining_micros = grant.remaining_micros.saturating_sub(burn.micros);
            grant.held_micros = grant.held_micros.saturating_add(burn.micros);
        }
    }

    fn enter_period(&mut self, start_micros: i64, end_micros: i64) {
        if start_micros > self.period_start_micros {
            self.period_start_micros = start_micros;
            self.period_end_micros = end_micros;
            self.period_overage_micros = 0;
        }
    }

    fn go_over(&mut self, micros: i64, period_start_micros: i64) {
        self.overage_micros = self.overage_micros.saturating_add(micros);
        if period_start_micros == self.period_start_micros {
            self.period_overage_micros = self.period_overage_micros.saturating_add(micros);
        }
    }

    fn charge(&mut self, charge: &Charge, record: &Record) {
        if charge.kind() == ChargeKind::Sliding {
            // A log is read back from the events themselves.
            return;
        }
        let window = self.window_mut(charge);
        match charge.kind() {
            ChargeKind::Bucket => {
                if (record.counter_epoch, record.number) > (window.counter_epoch, window.number) {
                    window.mark_micros = charge.mark_micros;
                    window.used = charge.used_after;
                    (window.counter_epoch, window.number) = (record.counter_epoch, record.number);
                }
            }
            ChargeKind::Fixed | ChargeKind::Quota | ChargeKind::Sliding => {
                if charge.mark_micros > window.mark_micros {
                    window.mark_micros = charge.mark_micros;
                    window.used = 0;
                }
                if charge.mark_micros == window.mark_micros {
                    window.used = window.used.saturating_add(charge.units);
                }
            }
        }
    }

    fn window_mut(&mut self, charge: &Charge) -> &mut WindowAccount {
        let same =
            |window: &WindowAccount| window.limit_key == charge.limit_key && window.member == charge.member;
        let index = self.windows.iter().position(same).unwrap_or_else(|| {
            self.windows.push(WindowAccount {
                limit_key: charge.limit_key,
                member: charge.member.clone(),
                kind: charge.kind,
                mark_micros: i64::MIN,
                window_micros: charge.window_micros,
                name: charge.name.clone(),
                ..WindowAccount::default()
            });
            self.windows.len().saturating_sub(1)
        });
        &mut self.windows[index]
    }

    /// The grant with that id. A debit of another slot may come before its grant: then it waits here, below zero.
    fn grant_mut(&mut self, id: &str) -> &mut GrantAccount {
        let index = self.grants.iter().position(|grant| grant.id == id).unwrap_or_else(|| {
            self.grants.push(GrantAccount { id: id.to_owned(), ..GrantAccount::default() });
            self.grants.len().saturating_sub(1)
        });
        &mut self.grants[index]
    }
}

impl HoldAccount {
    /// Whether it has begun and not ended.
    #[must_use]
    pub const fn lives(&self) -> bool {
        !self.ended && !self.unopened
    }

    /// The newest decision about its expiry holds.
    fn expire(&mut self, expires_at_micros: i64, record: &Record) {
        if (record.counter_epoch, record.number) >= (self.counter_epoch, self.number) {
            self.expires_at_micros = expires_at_micros;
            (self.counter_epoch, self.number) = (record.counter_epoch, record.number);
        }
    }
}

/// Takes what there is of a burn out of what is held; answers how much that was.
fn take_from(held: &mut [GrantBurn], burn: &GrantBurn) -> i64 {
    let mut rest = burn.micros;
    for held in held.iter_mut().filter(|held| held.grant == burn.grant) {
        let taken = held.micros.min(rest);
        held.micros = held.micros.saturating_sub(taken);
        rest = rest.saturating_sub(taken);
    }
    burn.micros.saturating_sub(rest)
}

fn total(burns: &[GrantBurn]) -> i64 {
    burns.iter().map(|burn| burn.micros).fold(0, i64::saturating_add)
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
mod tests {
    use super::*;
    use crate::ledger::event::Event;
    use crate::ledger::record::Hold;

    fn record((counter_epoch, number): (u64, u64), body: Body) -> Record {
        Record { counter_epoch, number, body: Some(body), ..Record::default() }
    }

    /// A reservation until 100 that was decided as number 5 of epoch 1, and extensions by epoch, number and expiry.
    fn check(extensions: &[((u64, u64), i64)], expected: i64) {
        let hold = Hold { reservation: "r".to_owned(), expires_at_micros: 100, excess_allowed: false };
        let usage = Usage { event: Event::default(), hold: Some(hold), ..Usage::default() };
        let mut account = Account::default();
        account.absorb(&record((1, 5), Body::Usage(usage)));
        for (decided, expires_at_micros) in extensions {
            let expires_at_micros = *expires_at_micros;
            let extension =
                Extension { reservation: "r".to_owned(), expires_at_micros, ..Extension::default() };
            account.absorb(&record(*decided, Body::Extension(extension)));
        }
        assert_eq!(account.hold("r").expect("it lives").expires_at_micros, expected);
    }

    #[test]
    fn the_last_extension_decides_when_a_reservation_ends() {
        check(&[], 100);
        check(&[((1, 6), 200)], 200);
        check(&[((1, 6), 50)], 50);
        check(&[((1, 7), 50), ((1, 6), 200)], 50);
        check(&[((1, 7), 200), ((2, 1), 50)], 50);
    }

    fn burned(micros: i64) -> Vec<GrantBurn> {
        vec![GrantBurn { grant: "g".to_owned(), micros }]
    }

    /// A grant of 20; a reservation that holds 6, is extended by 3, and by time alone, and then pays 7 and frees 2.
    fn life() -> [Record; 5] {
        let hold = Hold { reservation: "r".to_owned(), expires_at_micros: 100, excess_allowed: false };
        let opened =
            Usage { event: Event::default(), burns: burned(6), hold: Some(hold), ..Usage::default() };
        let extended =
            |expires_at_micros, burns| Extension { reservation: "r".to_owned(), expires_at_micros, burns };
        let end = End {
            reservation: "r".to_owned(),
            kind: EndKind::Settled.into(),
            paid: burned(7),
            released: burned(2),
            ..End::default()
        };
        let grant = GrantPosted { id: "g".to_owned(), micros: 20, ..GrantPosted::default() };
        [
            record((0, 0), Body::Grant(grant)),
            record((1, 1), Body::Usage(opened)),
            record((1, 2), Body::Extension(extended(200, burned(3)))),
            record((1, 3), Body::Extension(extended(300, Vec::new()))),
            record((1, 4), Body::End(end)),
        ]
    }

    /// All orders in which five records of five slots may come.
    fn orders(left: &[usize]) -> Vec<Vec<usize>> {
        if left.is_empty() {
            return vec![Vec::new()];
        }
        let first = |&one: &usize| {
            let rest = left.iter().copied().filter(|other| *other != one).collect::<Vec<_>>();
            orders(&rest).into_iter().map(move |order| [vec![one], order].concat())
        };
        left.iter().flat_map(first).collect()
    }

    #[test]
    fn records_of_several_slots_add_up_in_every_order() {
        let life = life();
        for order in orders(&[0, 1, 2, 3, 4]) {
            let mut account = Account::default();
            for place in &order {
                account.absorb(&life[*place]);
            }
            let sums = (account.balance_micros(), account.held_micros(), account.debited_micros);
            assert_eq!(sums, (13, 0, 7), "{order:?}");
            assert!(account.hold("r").is_none(), "{order:?}");
            account.decided_at_micros = HOUR + 301;
            account.clean();
            assert_eq!(account.holds, [], "{order:?}");
        }
    }

    #[test]
    fn a_living_reservation_has_all_that_its_slots_hold_in_every_order() {
        let life = life();
        for order in orders(&[0, 1, 2, 3]) {
            let mut account = Account::default();
            for place in &order {
                account.absorb(&life[*place]);
            }
            let hold = account.hold("r").expect("it lives");
            assert_eq!((total(&hold.burns), hold.expires_at_micros), (9, 300), "{order:?}");
            assert_eq!(
                (hold.burns[0].micros, account.held_micros()),
                (6, 9),
                "{order:?}: what it took first"
            );
        }
    }

    #[test]
    fn an_extension_that_never_became_durable_is_freed_by_nobodys_credits() {
        // The counters held 6 and 3 more; the journal has the 6, and an end that paid 7 and freed 2.
        let life = life();
        for order in orders(&[0, 1, 4]) {
            let mut account = Account::default();
            for place in &order {
                account.absorb(&life[*place]);
            }
            let sums = (account.balance_micros(), account.held_micros(), account.debited_micros);
            assert_eq!(sums, (13, 0, 7), "{order:?}");
            account.decided_at_micros = HOUR + 1;
            account.clean();
            assert_eq!(account.holds, [], "{order:?}");
        }
    }

    #[test]
    fn what_comes_after_its_grant_was_closed_is_overage() {
        let grant = GrantPosted {
            id: "g".to_owned(),
            micros: 20,
            expires_at_micros: Some(100),
            ..GrantPosted::default()
        };
        let late = Usage { event: Event::default(), burns: burned(4), ..Usage::default() };
        let mut account = Account::default();
        account.absorb(&record((0, 0), Body::Grant(grant)));
        account.absorb(&record((0, 0), Body::Breakage(Breakage { grant: "g".to_owned() })));
        account.clean();
        account.absorb(&record((1, 1), Body::Usage(late)));
        let sums = (account.balance_micros(), account.breakage_micros, account.overage_micros);
        assert_eq!((sums, account.debited_micros), ((0, 20, 4), 0));
        account.decided_at_micros = CLOSED_KEPT + 101;
        account.clean();
        assert_eq!(account.grants, []);
    }
}
