//! Decides by set arithmetic whether the server kept its promises: what it answered against what its ledger has.

mod events;
mod limits;
mod reservations;
mod rollups;
pub(crate) mod sums;
mod wallets;
mod windows;

use std::collections::BTreeMap;
use std::fmt;

use crate::evidence::Evidence;
use crate::history::History;

/// Violations are listed up to this many of one promise; the others are counted.
const LISTED_MAX: usize = 8;

/// A promise of the server, by its number in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// I1: acknowledged means in the ledger.
    NothingLost,
    /// I2: once for each id, and the same answer to all that ask again.
    NothingTwice,
    /// I3: nothing that nobody sent.
    NothingInvented,
    /// I4: every rollup is the sum of its events.
    SumsExact,
    /// I5: no limit is passed.
    LimitsHeld,
    /// I6: credits are conserved.
    CreditsConserved,
    /// I7: a reservation ends once.
    ReservationsEndOnce,
    /// The counters agree with the ledger when all is at rest.
    CountersAgree,
    /// No answer says that the server is broken.
    NoDefect,
}

/// One broken promise.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) promise: Promise,
    pub(crate) detail: String,
}

/// All that is wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<Violation>,
    /// What was admitted beyond a limit while the counters were away or lost, beside its bound.
    pub(crate) beyond: Vec<String>,
}

impl Verdict {
    /// Compares what was answered with what is kept.
    pub(crate) fn of(history: &History, evidence: &Evidence) -> Self {
        let mut verdict = Self::default();
        for defect in &history.defects {
            verdict.accuse(Promise::NoDefect, defect.clone());
        }
        events::judge(history, evidence, &mut verdict);
        rollups::judge(evidence, &mut verdict);
        wallets::judge(history, evidence, &mut verdict);
        reservations::judge(history, evidence, &mut verdict);
        limits::judge(history, evidence, &mut verdict);
        verdict
    }

    pub(crate) fn accuse(&mut self, promise: Promise, detail: String) {
        self.violations.push(Violation { promise, detail });
    }

    pub(crate) fn breaks(&self, promise: Promise) -> bool {
        self.violations.iter().any(|violation| violation.promise == promise)
    }

    pub(crate) const fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether only the counters are wrong: they may still be waiting for the reconciler.
    pub(crate) fn is_only_about_counters(&self) -> bool {
        self.violations.iter().all(|violation| violation.promise == Promise::CountersAgree)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_promise: BTreeMap<Promise, Vec<&str>> = BTreeMap::new();
        for violation in &self.violations {
            by_promise.entry(violation.promise).or_default().push(&violation.detail);
        }
        for (promise, details) in by_promise {
            writeln!(f, "{promise:?} is broken {} times:", details.len())?;
            for detail in details.iter().take(LISTED_MAX) {
                writeln!(f, "  {detail}")?;
            }
        }
        Ok(())
    }
}
