//! One tenant's counters, and when they were used, tidied and corrected.

use crate::gate::counters::Correction;
use crate::gate::hold;
use crate::gate::state::{Counter, State};
use crate::money::MICROS_MAX;
use crate::time::{MINUTE, Timestamp};

/// How often a tenant's counters are tidied.
const TIDY_EVERY: i64 = MINUTE;

/// One tenant.
#[derive(Debug)]
pub(super) struct Tenant {
    /// Its counters.
    pub(super) state: State,
    /// The number of the last correction itself: one that was computed before it does not fit any more.
    pub(super) corrected: Option<u64>,
    /// When it was called last.
    pub(super) used_at: Timestamp,
    /// When it was tidied last.
    pub(super) tidied_at: Timestamp,
    /// Whether it stands in the queue of those that rest, from an earlier rest too.
    pub(super) is_queued: bool,
}

impl Tenant {
    pub(super) fn new(mut state: State, now: Timestamp) -> Self {
        state.grants.shrink_to_fit();
        Self { state, corrected: None, used_at: now, tidied_at: now, is_queued: false }
    }

    /// Posts a correction (rule M); `false`: it is of another epoch, or one was posted since its counters
    /// were read.
    pub(super) fn correct(&mut self, correction: &Correction) -> bool {
        if self.state.epoch != correction.epoch || self.corrected > Some(correction.number) {
            return false;
        }
        self.corrected = Some(self.state.advance());
        // A period that was opened since then does not have what the ledger was asked about.
        let same_period = correction.number >= self.state.period_number;
        if same_period {
            self.state.overage_micros =
                self.state.overage_micros.saturating_add(correction.overage_micros).max(0);
        }
        for (id, units) in &correction.counters {
            match self.state.counters.get_mut(id.limit, &id.member) {
                Some(Counter::Quota { used, .. }) if same_period => {
                    *used = used.saturating_add(*units).max(0);
                }
                Some(Counter::Fixed { used, .. }) => *used = used.saturating_add(*units).max(0),
                _ => {}
            }
        }
        for (id, micros) in &correction.grants {
            if let Some(grant) = self.state.grants.iter_mut().find(|grant| grant.id == *id) {
                let remaining = grant.remaining_micros.saturating_add(*micros);
                grant.remaining_micros = remaining.clamp(-MICROS_MAX, MICROS_MAX);
            }
        }
        for revived in &correction.revived {
            hold::revive(&mut self.state, revived);
        }
        true
    }

    /// Forgets what says nothing any longer, but not at every look.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        // A clock that has stepped back is no reason to wait.
        if now.since(self.tidied_at).saturating_abs() >= TIDY_EVERY {
            self.tidied_at = now;
            self.state.tidy(now);
        }
    }
}
