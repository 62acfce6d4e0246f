//! The counters of one tenant: what the pure gate decides on, and what the ledger can rebuild.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::gate::call::{EventKey, PayloadHash};
use crate::gate::decision::Burn;
use crate::gate::period::Period;
use crate::gate::table::CounterTable;
use crate::time::Timestamp;

/// All counters of one tenant.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The epoch of the counters, new with each installation (rule N): it orders changes together with their numbers.
    pub epoch: u64,
    /// The number of the last change (rule L).
    pub number: u64,
    /// The current billing period, once one was opened; its bounds stay as they are until it ends.
    pub period: Option<Period>,
    /// The number of the change that opened the period: a correction from before it no longer fits the quotas.
    pub period_number: u64,
    /// Windows and quotas.
    pub counters: CounterTable,
    /// Grants that have not expired, used-up ones too, in the order in which they burn (rule S).
    pub grants: Vec<Grant>,
    /// What was charged beyond all grants in the current period, in micro-credits.
    pub overage_micros: i64,
    /// Living reservations, and those that ended in the last hour.
    pub reservations: HashMap<Arc<str>, Reservation>,
    /// Events of the last hour, from the ledger (rule Q). Only in an installation; the adapter keeps marks its own way.
    pub marks: Vec<Mark>,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    /// The log of an exact sliding window.
    Sliding(Box<SlidingLog>),
    /// GCRA, as what is missing from the full bucket: exact, and the same under another limit.
    Bucket {
        /// When it was charged last.
        at: Timestamp,
        /// Whole units that were missing then.
        units: i64,
        /// What was missing beyond them, in parts of a unit: there are as many parts as the window has microseconds.
        parts: i64,
    },
    /// A fixed window.
    Fixed {
        /// Its first moment.
        start: Timestamp,
        /// Units used in it.
        used: i64,
    },
    /// A quota.
    Quota {
        /// The first moment of the period it counts.
        period_start: Timestamp,
        /// Units used in it.
        used: i64,
    },
}

/// What passed through a sliding window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlidingLog {
    /// Time and units, oldest first.
    pub entries: VecDeque<(Timestamp, i64)>,
    /// The sum of all units in it (rule P).
    pub units: i64,
}

/// Credits given at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: Arc<str>,
    /// 1 to 255; lower burns first.
    pub priority: u8,
    /// The first moment at which it no longer serves; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// What is left and free, in micro-credits. Below zero where more of it was burned or held than it had: see
    /// [`Correction`](crate::gate::counters::Correction).
    pub remaining_micros: i64,
}

/// Credits held for a call.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// What is held, or was when it ended, grant by grant, in the order in which it was taken.
    pub held: Vec<Burn>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Whether a settlement may be above the hold.
    pub excess_allowed: bool,
    /// How it ended; `None`: it lives.
    pub ended: Option<ReservationEnd>,
}

/// The end of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationEnd {
    /// How it ended.
    pub kind: EndKind,
    /// When, or when it was said anew.
    pub at: Timestamp,
    /// What each grant paid, out of the hold and above it.
    pub took: Vec<Burn>,
    /// What no grant covered, in micro-credits.
    pub overage_micros: i64,
}

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// With a price.
    Settled,
    /// At no cost.
    Released,
    /// By itself.
    Expired,
}

/// An event that the ledger has.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Which event.
    pub event: EventKey,
    /// Its content.
    pub payload: PayloadHash,
    /// When it was decided.
    pub at: Timestamp,
    /// What it was charged, in micro-credits.
    pub price_micros: i64,
    /// The content of its outcome, if it was completed.
    pub outcome: Option<PayloadHash>,
}
