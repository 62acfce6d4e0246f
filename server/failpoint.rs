//! Places where the checker lets the server die, and deliberate faults that the checker must find.
//!
//! Only a build with the feature `faults` has any; in every other build a call compiles to nothing. What is armed is
//! said once, at start, in the variable `TOLLGATE_FAULT`, several parts apart by commas (other builds refuse it):
//! `kill:fold_after_rollups:3` dies at the third time that place is reached, `mutant:count_duplicate` counts duplicates.

#[cfg(feature = "faults")]
mod armed;
#[cfg(feature = "faults")]
pub use armed::{UnknownFault, VARIABLE, arm, is, reached};

/// A place where the server may be made to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A batch is about to be appended to the journal.
    BeforeAppend,
    /// The batch is durable, and nobody was answered.
    AfterAppend,
    /// All callers of the batch were answered.
    AfterReply,
    /// The fold has read a batch and written nothing of it.
    FoldBeforeEvents,
    /// The batch's events are written, its sums are not.
    FoldAfterEvents,
    /// Some or all sums of the batch are written, its accounts are not.
    FoldAfterRollups,
    /// The accounts of the batch are written, the batch is not marked as folded.
    FoldAfterAccounts,
    /// The batch is about to be marked as folded.
    FoldBeforeDone,
}

/// A way to break a promise on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Callers are answered before their batch is durable: breaks I1.
    AcknowledgeBeforeCommit,
    /// Each thousandth event is not written by the fold: breaks I1. [`is`] is true once in a thousand calls.
    DropOneInThousand,
    /// The fold applies a batch without looking at a document's position (rule F): breaks I4 and I6.
    FoldWithoutPosition,
    /// An event that the ledger has already is counted again (rule H): breaks I2 and I4.
    CountDuplicate,
    /// The second of two events with one id in one batch is counted too: breaks I2 and I4.
    SameIdTwiceInABatch,
    /// The reconciler takes what was decided since it looked for a difference (rule M): the counters drift.
    ReconcileWithoutCut,
    /// A mark that is not durable yet answers alone (rule Q): breaks I1.
    AnswerFromPendingMark,
    /// A process whose slot was sealed goes on as if it were not (rule B): breaks I1.
    NoSeal,
}

/// Arms nothing: this build has no faults.
#[cfg(not(feature = "faults"))]
pub const fn arm() -> Result<(), std::convert::Infallible> {
    Ok(())
}

/// Says that a place was reached. Without the feature `faults` this is nothing.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub const fn reached(_point: Point) {}

/// Whether a fault is armed. Without the feature `faults` never.
#[cfg(not(feature = "faults"))]
#[inline(always)]
#[must_use]
pub const fn is(_mutant: Mutant) -> bool {
    false
}
