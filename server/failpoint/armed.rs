//! The faults that are armed in this process; only with the feature `faults`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Mutant, Point};

/// The variable that names what is armed.
pub const VARIABLE: &str = "TOLLGATE_FAULT";
const DROPPED_EACH: u64 = 1_000;
/// Between reaching the place and dying. The other threads go on meanwhile: what they say too early is heard.
const LINGER: Duration = Duration::from_millis(30);

static ARMED: OnceLock<Armed> = OnceLock::new();

/// `TOLLGATE_FAULT` names something that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault `{0}`")]
pub struct UnknownFault(String);

/// Arms what `TOLLGATE_FAULT` names. To be called once, before the server starts.
pub fn arm() -> Result<(), UnknownFault> {
    #[expect(
        clippy::disallowed_methods,
        reason = "no part of the configuration: other builds do not have it"
    )]
    let spec = std::env::var(VARIABLE).unwrap_or_default();
    let armed = Armed::parse(&spec)?;
    ARMED.get_or_init(|| armed);
    Ok(())
}

/// Says that a place was reached: the process dies here, without any cleaning up, if that is armed.
pub fn reached(point: Point) {
    if ARMED.get().is_some_and(|armed| armed.dies_at(point)) {
        std::thread::sleep(LINGER);
        std::process::abort();
    }
}

/// Whether a fault is armed. [`Mutant::DropOneInThousand`] strikes once in a thousand questions.
#[must_use]
pub fn is(mutant: Mutant) -> bool {
    ARMED.get().is_some_and(|armed| armed.strikes(mutant))
}

#[derive(Debug, Default)]
struct Armed {
    kill: Option<Kill>,
    mutants: Vec<Mutant>,
    asked: AtomicU64,
}

#[derive(Debug)]
struct Kill {
    point: Point,
    at: u64,
    reached: AtomicU64,
}

impl Armed {
    fn parse(spec: &str) -> Result<Self, UnknownFault> {
        let mut armed = Self::default();
        for part in spec.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let unknown = || UnknownFault(part.to_owned());
            match part.split(':').collect::<Vec<_>>().as_slice() {
                ["kill", point, at] => {
                    let point = point_named(point).ok_or_else(unknown)?;
                    let at = at.parse().ok().filter(|at| *at > 0).ok_or_else(unknown)?;
                    armed.kill = Some(Kill { point, at, reached: AtomicU64::new(0) });
                }
                ["mutant", mutant] => armed.mutants.push(mutant_named(mutant).ok_or_else(unknown)?),
                _ => return Err(unknown()),
            }
        }
        Ok(armed)
    }

    fn dies_at(&self, point: Point) -> bool {
        let kill = self.kill.as_ref().filter(|kill| kill.point == point);
        kill.is_some_and(|kill| kill.reached.fetch_add(1, Ordering::Relaxed).saturating_add(1) == kill.at)
    }

    fn strikes(&self, mutant: Mutant) -> bool {
        if !self.mutants.contains(&mutant) {
            return false;
        }
        mutant != Mutant::DropOneInThousand
            || self.asked.fetch_add(1, Ordering::Relaxed) % DROPPED_EACH == DROPPED_EACH - 1
    }
}

fn point_named(name: &str) -> Option<Point> {
    Some(match name {
        "before_append" => Point::BeforeAppend,
        "after_append" => Point::AfterAppend,
        "after_reply" => Point::AfterReply,
        "fold_before_events" => Point::FoldBeforeEvents,
        "fold_after_events" => Point::FoldAfterEvents,
        "fold_after_rollups" => Point::FoldAfterRollups,
        "fold_after_accounts" => Point::FoldAfterAccounts,
        "fold_before_done" => Point::FoldBeforeDone,
        _ => return None,
    })
}

fn mutant_named(name: &str) -> Option<Mutant> {
    Some(match name {
        "acknowledge_before_commit" => Mutant::AcknowledgeBeforeCommit,
        "drop_one_in_thousand" => Mutant::DropOneInThousand,
        "fold_without_position" => Mutant::FoldWithoutPosition,
        "count_duplicate" => Mutant::CountDuplicate,
        "same_id_twice_in_a_batch" => Mutant::SameIdTwiceInABatch,
        "reconcile_without_cut" => Mutant::ReconcileWithoutCut,
        "answer_from_pending_mark" => Mutant::AnswerFromPendingMark,
        "no_seal" => Mutant::NoSeal,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_names_a_place_and_a_mutant() {
        let armed = Armed::parse("kill:after_append:2, mutant:count_duplicate").unwrap();
        assert!(armed.strikes(Mutant::CountDuplicate));
        assert!(!armed.strikes(Mutant::FoldWithoutPosition));
        assert!(!armed.dies_at(Point::AfterAppend));
        assert!(!armed.dies_at(Point::BeforeAppend));
        assert!(armed.dies_at(Point::AfterAppend));
        assert!(!armed.dies_at(Point::AfterAppend));
    }

    #[test]
    fn one_in_a_thousand_is_dropped() {
        let armed = Armed::parse("mutant:drop_one_in_thousand").unwrap();
        let dropped = (0..3_000).filter(|_| armed.strikes(Mutant::DropOneInThousand)).count();
        assert_eq!(dropped, 3);
    }

    #[test]
    fn what_there_is_not_is_refused() {
        for spec in ["kill:nowhere:1", "kill:after_reply:0", "kill:after_reply", "mutant:x", "x"] {
            assert_eq!(Armed::parse(spec).unwrap_err(), UnknownFault(spec.to_owned()));
        }
    }
}
