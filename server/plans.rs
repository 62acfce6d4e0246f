//! What was promised: plans and their versions, who subscribes to which, and the policy that the gate decides by.

pub mod bounds;
pub mod catalogue;
pub mod compile;
pub mod plan;
pub mod policies;
pub mod presets;
pub mod spec;
pub mod subscription;
pub mod subscriptions;
pub mod upgrade;

use crate::fault::{Fault, Invalid, Reason};
use crate::store::StoreError;

/// Why the catalogue or a subscription cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum PlansError {
    /// No plan has that slug or id.
    #[error("there is no plan `{0}`")]
    PlanNotFound(String),
    /// The plan has no such version.
    #[error("plan `{plan}` has no version {number}")]
    VersionNotFound {
        /// The plan, as it was asked for.
        plan: String,
        /// The version.
        number: u32,
    },
    /// Another plan has the slug.
    #[error("there is a plan `{0}` already")]
    SlugTaken(String),
    /// Nobody can subscribe to the plan yet.
    #[error("plan `{0}` is not published")]
    NotPublished(String),
    /// There is no such set of presets.
    #[error("there are no presets `{set}`; there are `{known}`")]
    UnknownPresets {
        /// What was asked for.
        set: String,
        /// What there is.
        known: String,
    },
    /// A plan cannot be what it is asked to be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for PlansError {
    fn reason(&self) -> Reason {
        match self {
            Self::PlanNotFound(_) | Self::UnknownPresets { .. } => Reason::PlanNotFound,
            Self::VersionNotFound { .. } => Reason::PlanVersionNotFound,
            Self::SlugTaken(_) => Reason::PlanExists,
            Self::NotPublished(_) => Reason::PlanNotPublished,
            Self::Invalid(invalid) => invalid.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            _ => None,
        }
    }
}
