//! What each record changes in an account, and what is forgotten of it.

use crate::ledger::account::{Account, GrantAccount, HoldAccount, WindowAccount};
use crate::ledger::record::{
    Body, Breakage, Charge, ChargeKind, End, Extension, GrantBurn, GrantPosted, Mode, Record, Usage,
};
use crate::time::{DAY, HOUR};

/// Counters that are kept before those that are wholly free are looked for and forgotten.
const WINDOWS_CLEAN: usize = 64;
/// How long a closed grant is remembered after its expiry, in microseconds: as long as a recorded call may be late (rule R).
pub(super) const CLOSED_KEPT: i64 = 35 * DAY;

impl Account {
    /// Absorbs one record that the ledger counts. The caller has seen that its batch is new to this account (rule F).
    pub fn absorb(&mut self, record: &Record) {
        self.note(record);
        match &record.body {
            Some(Body::Usage(usage)) => self.use_up(record, usage),
            Some(Body::Extension(extension)) => self.extend(extension, record),
            Some(Body::End(end)) => self.end(end, record.at_micros),
            Some(Body::Grant(grant)) => self.post(grant, record.at_micros),
            Some(Body::Breakage(breakage)) => self.close(breakage),
            Some(Body::Completion(_) | Body::Refusal(_)) | None => {}
        }
    }

    /// Absorbs the beginning or an extension of a reservation whose end was absorbed before: it counts, and holds nothing.
    pub fn absorb_after_end(&mut self, record: &Record) {
        self.note(record);
        if let Some(Body::Usage(usage)) = &record.body {
            self.count(record, usage);
        }
    }

    fn note(&mut self, record: &Record) {
        self.decided_at_micros = self.decided_at_micros.max(record.at_micros);
        self.counter_epoch = self.counter_epoch.max(record.counter_epoch);
    }

    /// Forgets what can no longer matter at that moment: before it is kept.
    pub fn clean(&mut self) {
        let now = self.decided_at_micros;
        // What was spooled may still name a closed grant, and must not find it open again. One that never ends stays while it
        // lacks something: whether that will be covered nobody can say.
        let is_over = |grant: &GrantAccount| match grant.expires_at_micros {
            None => grant.remaining_micros == 0,
            Some(expired_at) => grant.closed && expired_at.saturating_add(CLOSED_KEPT) <= now,
        };
        let forgotten = self.grants.extract_if(.., |grant| grant.held_micros == 0 && is_over(grant));
        let lack = forgotten.map(|grant| grant.lacks()).fold(0, i64::saturating_add);
        self.debited_micros = self.debited_micros.saturating_sub(lack);
        self.overage_micros = self.overage_micros.saturating_add(lack);
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
        self.count(record, usage);
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

    /// What a call used of windows and quotas.
    fn count(&mut self, record: &Record, usage: &Usage) {
        for charge in &usage.charges {
            self.charge(charge, record);
        }
        self.enter_period(usage.period_start_micros, usage.period_end_micros);
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
            grant.remaining_micros = grant.remaining_micros.saturating_add(burn.micros);
            let broken = grant.broken();
            self.breakage_micros = self.breakage_micros.saturating_add(broken);
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
        let broken = grant.broken();
        self.breakage_micros = self.breakage_micros.saturating_add(broken);
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

impl GrantAccount {
    /// Takes out what is left of it, if its time is over: that is breakage.
    fn broken(&mut self) -> i64 {
        let left = if self.closed { self.free() } else { 0 };
        self.remaining_micros = self.remaining_micros.saturating_sub(left);
        left
    }
}

impl HoldAccount {
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

pub(super) fn total(burns: &[GrantBurn]) -> i64 {
    burns.iter().map(|burn| burn.micros).fold(0, i64::saturating_add)
}
