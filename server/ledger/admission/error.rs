//! Why a call could be neither decided nor kept.

use crate::fault::{Fault, Invalid, Reason};
use crate::gate::counters::CountersError;
use crate::gate::price::PriceError;
use crate::ledger::loader::LoadError;
use crate::ledger::progress::Late;
use crate::ledger::queue::QueueError;
use crate::store::StoreError;

/// A call could be neither decided nor kept. Refusals are no errors.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The call is wrong in itself.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Its id was used with another content.
    #[error("event id `{0}` was used with another content")]
    Conflict(String),
    /// No such event.
    #[error("event `{0}` does not exist")]
    EventUnknown(String),
    /// The event was completed with another outcome.
    #[error("event `{0}` was completed with another outcome")]
    CompletionConflict(String),
    /// The request id was used with another content.
    #[error("request_id `{0}` was used with another content")]
    RequestConflict(String),
    /// No such reservation.
    #[error("reservation `{0}` does not exist")]
    ReservationUnknown(String),
    /// The reservation was settled.
    #[error("reservation `{0}` was settled")]
    ReservationSettled(String),
    /// The reservation was released.
    #[error("reservation `{0}` was released")]
    ReservationReleased(String),
    /// The reservation has expired.
    #[error("reservation `{0}` has expired")]
    ReservationExpired(String),
    /// The settlement is above the hold.
    #[error("a settlement of {price_micros} micro-credits is above the hold of {held_micros}")]
    AboveHold {
        /// What was to be charged.
        price_micros: i64,
        /// What is held.
        held_micros: i64,
    },
    /// The journal did not take it.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The counters cannot answer.
    #[error(transparent)]
    Counters(#[from] CountersError),
    /// The tenant's counters cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The ledger did not catch up.
    #[error(transparent)]
    Late(#[from] Late),
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for AdmissionError {
    fn reason(&self) -> Reason {
        match self {
            Self::Invalid(error) => error.reason(),
            Self::Conflict(_) => Reason::EventConflict,
            Self::EventUnknown(_) => Reason::EventNotFound,
            Self::CompletionConflict(_) => Reason::CompletionConflict,
            Self::RequestConflict(_) => Reason::RequestConflict,
            Self::ReservationUnknown(_) => Reason::ReservationNotFound,
            Self::ReservationSettled(_) => Reason::ReservationSettled,
            Self::ReservationReleased(_) => Reason::ReservationReleased,
            Self::ReservationExpired(_) => Reason::ReservationExpired,
            Self::AboveHold { .. } => Reason::SettlementAboveHold,
            Self::Queue(error) => error.reason(),
            Self::Counters(error) => error.reason(),
            Self::Load(error) => error.reason(),
            Self::Late(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PriceError> for AdmissionError {
    fn from(error: PriceError) -> Self {
        Self::Invalid(Invalid(error.violations().to_vec()))
    }
}
