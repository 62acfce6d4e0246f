//! The port `Counters`: where the gate's counts are kept, in one atomic change a decision.

use std::sync::Arc;

use async_trait::async_trait;

use crate::fault::{Fault, Reason};
use crate::gate::call::{Demand, EventKey, PayloadHash};
use crate::gate::decision::{Burn, CounterId, Decision};
use crate::gate::period::Period;
use crate::gate::policy::Policy;
use crate::gate::state::{Grant, Reservation, State};
use crate::time::{SECOND, Timestamp};

/// How long a mark answers that is not durable, in microseconds: as long as a decision may take to become so (rules C, Q).
pub const PENDING_LIFE: i64 = 10 * SECOND;

/// Counters of all tenants: a cache of the ledger, never the truth.
///
/// # Contract
///
/// - Every method is one atomic change of one tenant's counters, or none; methods of one tenant stand in one order.
/// - A tenant that is not installed is answered `Missing`, never counted from zero (rule K).
/// - Every change but a dry one has the next number of its tenant (rule L).
/// - Time is the counters' own clock (rule O); it never runs backward for a bucket or a period.
/// - A change is finished when its future first returns; dropping the future before that may or may not change.
#[async_trait]
pub trait Counters: Send + Sync + std::fmt::Debug {
    /// The counters' clock.
    fn now(&self) -> Timestamp;

    /// Decides about `demand` and charges every limit of it, or none.
    ///
    /// An event that is marked is answered from its mark (rule Q): the same payload `Replayed`, another `Conflict`; a mark
    /// that was pending for longer than [`PENDING_LIFE`] counts for nothing.
    async fn charge(
        &self,
        tenant: &str,
        policy: &Policy,
        demand: &Demand<'_>,
    ) -> Result<Charged, CountersError>;

    /// Says that the events are durable: their marks may now answer alone. A completed event's outcome is named by
    /// [`EventKey::completion`].
    async fn committed(&self, events: &[(Arc<str>, EventKey)]) -> Result<(), CountersError>;

    /// Installs what the ledger knows of a tenant, where nothing is installed.
    async fn install(&self, tenant: &str, state: State) -> Result<(), CountersError>;

    /// Adds a grant that the wallet has; nothing where its id is there already (rule S). `false`: not installed.
    async fn grant(&self, tenant: &str, grant: Grant) -> Result<bool, CountersError>;

    /// Moves a living reservation's expiry and holds more (rule T).
    async fn extend(
        &self,
        tenant: &str,
        policy: &Policy,
        extend: &Extend<'_>,
    ) -> Result<Extended, CountersError>;

    /// Ends a living reservation (rule T): takes the price out of the hold and frees the rest. An end that was abandoned is said
    /// anew, under a new number; where its reservation was revived it counts for nothing, as an abandoned charge does.
    async fn end(&self, tenant: &str, policy: &Policy, end: &End<'_>) -> Result<Ended, CountersError>;

    /// Ends reservations whose end is durable, or that never were, and forgets grants that were closed.
    async fn expired(
        &self,
        tenant: &str,
        reservations: &[Over],
        grants: &[Arc<str>],
    ) -> Result<(), CountersError>;

    /// Marks an event as completed, once.
    async fn complete(
        &self,
        tenant: &str,
        event: EventKey,
        outcome: PayloadHash,
    ) -> Result<Completed, CountersError>;

    /// The counters as they stand, with their number, for the reconciler (rule M). `None`: not installed.
    async fn read(&self, tenant: &str) -> Result<Option<State>, CountersError>;

    /// Posts a correction that was computed at a number (rule M). `false`: not installed in that epoch, or another was posted
    /// since that number was read.
    async fn correct(&self, tenant: &str, correction: &Correction) -> Result<bool, CountersError>;
}

/// A reservation that holds nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Its id.
    pub reservation: Arc<str>,
    /// Only the one that was opened at this moment: it may have been opened again since, and that one lives. `None`: any.
    pub opened_at: Option<Timestamp>,
}

/// How a charge went.
#[derive(Clone, Debug)]
pub enum Charged {
    /// Decided now.
    Decided(Box<Decision>),
    /// Decided before, with the same payload. `durable`: the ledger has it; otherwise the same decision must be journalled
    /// again before it is answered. Its `limits` are those of this moment.
    Replayed {
        /// The first decision.
        decision: Box<Decision>,
        /// Whether the ledger has it.
        durable: bool,
    },
    /// Decided before, with another payload.
    Conflict,
    /// Nothing was done: the tenant's counters are not installed.
    Missing,
    /// Nothing was done: the allowance of the period that starts here is not among the grants. Whoever sees this posts it,
    /// then asks again.
    AllowanceDue {
        /// The first moment of the period.
        period_start: Timestamp,
        /// The first moment of the next, when the allowance ends.
        period_end: Timestamp,
    },
}

/// A change of a living reservation.
#[derive(Clone, Copy, Debug)]
pub struct Extend<'a> {
    /// The reservation.
    pub reservation: &'a Arc<str>,
    /// Names the request, so that a retry extends once.
    pub event: EventKey,
    /// Its content.
    pub payload: PayloadHash,
    /// Microseconds to live from now; `None`: the expiry stays.
    pub ttl: Option<i64>,
    /// How much more to hold, in micro-credits; may be zero.
    pub additional_micros: i64,
}

/// How an extension went.
#[derive(Clone, Debug)]
pub enum Extended {
    /// Done, or refused for lack of credits: then nothing was changed. `decision.burns` is what is held in addition.
    Decided {
        /// The decision.
        decision: Box<Decision>,
        /// All that is held now, in micro-credits.
        held_micros: i64,
        /// When the hold ends now.
        expires_at: Timestamp,
        /// Whether this request extended before.
        replayed: bool,
        /// Whether the ledger has it.
        durable: bool,
    },
    /// The request was used with another content.
    Conflict,
    /// The reservation has ended, or never was.
    Gone(Gone),
    /// The tenant's counters are not installed.
    Missing,
}

/// The end of a reservation.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The reservation.
    pub reservation: &'a Arc<str>,
    /// Names the end: made from the reservation's id alone, so that it ends once.
    pub event: EventKey,
    /// The content of the end.
    pub payload: PayloadHash,
    /// Settled at this price in micro-credits; `None`: released.
    pub price_micros: Option<i64>,
}

/// How the end of a reservation went.
#[derive(Clone, Debug)]
pub enum Ended {
    /// It ended, now or in an earlier request with the same content.
    Done {
        /// What happened.
        end: Box<EndDecision>,
        /// Whether it ended before.
        replayed: bool,
        /// Whether the ledger has it.
        durable: bool,
    },
    /// The price is above the hold, and the reservation does not allow that. Nothing was changed.
    AboveHold {
        /// What is held, in micro-credits.
        held_micros: i64,
    },
    /// It had ended otherwise, or never was.
    Gone(Gone),
    /// The tenant's counters are not installed.
    Missing,
}

/// What the end of a reservation did.
#[derive(Clone, Debug)]
pub struct EndDecision {
    /// The counters' clock.
    pub at: Timestamp,
    /// The epoch of the counters.
    pub epoch: u64,
    /// The number of the change.
    pub number: u64,
    /// The billing period that an excess is counted in.
    pub period: Period,
    /// What each grant paid out of the hold.
    pub paid: Vec<Burn>,
    /// What each grant got back.
    pub released: Vec<Burn>,
    /// What each grant paid above the hold.
    pub excess: Vec<Burn>,
    /// What no grant covered, in micro-credits.
    pub overage_micros: i64,
    /// Free to be spent afterwards, in micro-credits.
    pub balance_micros: i64,
}

/// Why a reservation cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The counters do not know it: the ledger may.
    Unknown,
    /// It was settled.
    Settled,
    /// It was released.
    Released,
    /// Its time is over.
    Expired,
}

/// How a completion went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The first outcome of a known event.
    Fresh,
    /// The same outcome again. `durable`: the ledger has it.
    Replayed {
        /// Whether the ledger has it.
        durable: bool,
    },
    /// Another outcome was added before.
    Conflict,
    /// No mark: the ledger may know the event.
    Unknown,
}

/// What the reconciler found (rule M): differences to add to what is used.
#[derive(Clone, Debug, Default)]
pub struct Correction {
    /// The epoch of the counters when they were read: a correction of another one does not fit.
    pub epoch: u64,
    /// The number the counters had when they were read.
    pub number: u64,
    /// Units to add to quota and fixed counters; negative: give back.
    pub counters: Vec<(CounterId, i64)>,
    /// Micro-credits to add to what grants have left; negative: take, also below zero, so that what is given back later is
    /// reckoned against it.
    pub grants: Vec<(Arc<str>, i64)>,
    /// Micro-credits to add to what was charged beyond all grants in the period of that number.
    pub overage_micros: i64,
    /// Reservations that live in the ledger. What their ends took is in none of the other differences.
    pub revived: Vec<Revived>,
}

impl Correction {
    /// Whether there is no difference.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.counters.is_empty()
            && self.grants.is_empty()
            && self.overage_micros == 0
            && self.revived.is_empty()
    }
}

/// A reservation whose end never became durable, or that the counters never heard of.
#[derive(Clone, Debug)]
pub struct Revived {
    /// Its id.
    pub reservation: Arc<str>,
    /// When it ended, as the counters were read; `None`: they did not know it. One that has changed since is left alone.
    pub ended_at: Option<Timestamp>,
    /// The reservation, as the ledger has it.
    pub held: Reservation,
}

/// The counters cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// Their store cannot be reached.
    #[error("the counters cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// They have too much to do.
    #[error("too many decisions wait for the counters")]
    Full,
}

impl Fault for CountersError {
    fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) => Reason::StoreUnavailable,
            Self::Full => Reason::ServerOverloaded,
        }
    }
}
