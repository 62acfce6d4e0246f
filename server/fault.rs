//! Why something failed, in words that every room and the door share.

use std::error::Error;
use std::time::Duration;

/// Why an RPC failed: the reasons of `error_reason.proto`, each with the one kind that it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "error_reason.proto says what each means, with an example")]
pub enum Reason {
    InvalidField,
    PageTokenInvalid,
    ResumeTokenInvalid,
    QueryTooLarge,
    CredentialMissing,
    CredentialInvalid,
    CredentialRevoked,
    CredentialExpired,
    CredentialAmbiguous,
    PermissionMissing,
    TenantForbidden,
    TenantNotFound,
    PlanNotFound,
    PlanVersionNotFound,
    ApiKeyNotFound,
    EventNotFound,
    ReservationNotFound,
    JobNotFound,
    EventConflict,
    CompletionConflict,
    RequestConflict,
    TenantExists,
    PlanExists,
    PlanNotPublished,
    ReservationSettled,
    ReservationReleased,
    ReservationExpired,
    SettlementAboveHold,
    JobRunning,
    WalletFull,
    ServerOverloaded,
    DecisionAbandoned,
    StoreUnavailable,
    FreshnessTimeout,
    ShuttingDown,
    Internal,
    Unsupported,
    MessageTooLarge,
    SignUpClosed,
    CodeInvalid,
    PasswordWrong,
    AddressTaken,
    SecondFactorSet,
    SecondFactorMissing,
    InvitationNotFound,
    InvitationsFull,
    AccountExists,
    HashingBusy,
    MemberNotFound,
    RoleNotFound,
    GrantExceedsOwn,
    LastOwner,
    RoleExists,
    RoleInUse,
    RosterFull,
    LoginFailed,
    LoginLocked,
    SecondFactorRequired,
    RefreshTokenInvalid,
    SessionNotFound,
    SessionRequired,
    ApiKeyRestricted,
    ApiKeyEnded,
    TenantDeleted,
    TenantEnded,
    UserNotFound,
    UserEnded,
}

/// What kind of failure a reason is; the door gives each kind one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong in itself.
    Invalid,
    /// What it names does not exist for this caller.
    NotFound,
    /// What it makes exists already with another content.
    Conflict,
    /// The caller is not known.
    Unauthenticated,
    /// The caller may not.
    Denied,
    /// The thing is not in the state that this takes.
    Precondition,
    /// The result would be out of range.
    OutOfRange,
    /// There is no room for it now.
    Exhausted,
    /// A part that is needed cannot be reached.
    Unavailable,
    /// Not spoken here.
    Unsupported,
    /// A defect.
    Internal,
}

impl Reason {
    /// The kind of this reason.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::InvalidField
            | Self::PageTokenInvalid
            | Self::ResumeTokenInvalid
            | Self::QueryTooLarge
            | Self::CodeInvalid => Kind::Invalid,
            Self::CredentialMissing
            | Self::CredentialInvalid
            | Self::CredentialRevoked
            | Self::CredentialExpired
            | Self::CredentialAmbiguous
            | Self::LoginFailed
            | Self::RefreshTokenInvalid => Kind::Unauthenticated,
            Self::PermissionMissing
            | Self::TenantForbidden
            | Self::GrantExceedsOwn
            | Self::PasswordWrong
            | Self::SessionRequired
            | Self::ApiKeyRestricted
            | Self::TenantDeleted => Kind::Denied,
            Self::TenantNotFound
            | Self::PlanNotFound
            | Self::PlanVersionNotFound
            | Self::ApiKeyNotFound
            | Self::EventNotFound
            | Self::ReservationNotFound
            | Self::JobNotFound
            | Self::InvitationNotFound
            | Self::MemberNotFound
            | Self::RoleNotFound
            | Self::SessionNotFound
            | Self::UserNotFound => Kind::NotFound,
            Self::EventConflict
            | Self::CompletionConflict
            | Self::RequestConflict
            | Self::TenantExists
            | Self::PlanExists
            | Self::AddressTaken
            | Self::RoleExists => Kind::Conflict,
            Self::PlanNotPublished
            | Self::ReservationSettled
            | Self::ReservationReleased
            | Self::ReservationExpired
            | Self::SettlementAboveHold
            | Self::JobRunning
            | Self::SignUpClosed
            | Self::SecondFactorSet
            | Self::SecondFactorMissing
            | Self::InvitationsFull
            | Self::AccountExists
            | Self::LastOwner
            | Self::RoleInUse
            | Self::RosterFull
            | Self::SecondFactorRequired => Kind::Precondition,
            Self::ApiKeyEnded | Self::TenantEnded | Self::UserEnded => Kind::Precondition,
            Self::WalletFull | Self::MessageTooLarge => Kind::OutOfRange,
            Self::ServerOverloaded | Self::HashingBusy | Self::LoginLocked => Kind::Exhausted,
            Self::DecisionAbandoned
            | Self::StoreUnavailable
            | Self::FreshnessTimeout
            | Self::ShuttingDown => Kind::Unavailable,
            Self::Unsupported => Kind::Unsupported,
            Self::Internal => Kind::Internal,
        }
    }
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, for example `event.id`.
    pub field: String,
    /// What is wrong with it, with the value in it.
    pub description: String,
}

/// An error that knows what it means to a caller.
pub trait Fault: Error {
    /// Why it failed.
    fn reason(&self) -> Reason;

    /// The fault that this one passes on, where it is no more than that. What follows is as that says.
    fn origin(&self) -> Option<&dyn Fault> {
        None
    }

    /// The fields that were wrong; empty where no field was.
    fn violations(&self) -> &[Violation] {
        self.origin().map_or(&[], Fault::violations)
    }

    /// When it may be tried again, where that is known.
    fn retry_after(&self) -> Option<Duration> {
        self.origin().and_then(Fault::retry_after)
    }

    /// Further facts for the caller, by name.
    fn metadata(&self) -> Vec<(&'static str, String)> {
        self.origin().map(Fault::metadata).unwrap_or_default()
    }
}

/// A request is wrong in itself: what is wrong with each field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(.0))]
pub struct Invalid(pub Vec<Violation>);

impl Invalid {
    /// One field is wrong.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self(vec![Violation { field: field.into(), description: description.into() }])
    }
}

impl Fault for Invalid {
    fn reason(&self) -> Reason {
        Reason::InvalidField
    }

    fn violations(&self) -> &[Violation] {
        &self.0
    }
}

fn describe(violations: &[Violation]) -> String {
    let each = violations.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.description));
    each.collect::<Vec<_>>().join("; ")
}
