//! What a letter says, before it has words.

use serde::{Deserialize, Serialize};

use crate::mail::address::Address;
use crate::time::Timestamp;

/// A letter to one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// To whom.
    pub to: Address,
    /// The name that the person gave; empty: none is known. It is never trusted: it is somebody's text.
    pub name: String,
    /// What it is about.
    pub subject: Subject,
}

/// What a letter is about. Every `code` is secret: whoever has it may do what the letter says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// An account was made with this address: confirm it.
    ConfirmAddress {
        /// What confirms it.
        code: String,
        /// Until when.
        until: Timestamp,
    },
    /// Somebody wanted to make an account with an address that has one.
    AccountExists,
    /// A new password was asked for.
    ResetPassword {
        /// What allows it.
        code: String,
        /// Until when.
        until: Timestamp,
    },
    /// The password was changed.
    PasswordChanged {
        /// When.
        at: Timestamp,
    },
    /// An account shall have this address from now on: confirm it.
    ChangeAddress {
        /// What confirms it.
        code: String,
        /// Until when.
        until: Timestamp,
    },
    /// An account has another address now. This goes to the old one.
    AddressChanged {
        /// When.
        at: Timestamp,
    },
    /// Somebody is invited to a tenant.
    Invitation {
        /// The tenant's name.
        tenant: String,
        /// Who invites.
        by: String,
        /// As what: the name of a role.
        role: String,
        /// What accepts it.
        code: String,
        /// Until when.
        until: Timestamp,
    },
    /// The account takes no password for a while, because too many were wrong.
    Locked {
        /// Until when.
        until: Timestamp,
        /// What lets its owner in again before that.
        code: String,
    },
    /// A second factor was set up, or taken away.
    SecondFactor {
        /// Whether the account has one now.
        is_on: bool,
        /// When.
        at: Timestamp,
    },
    /// A session was ended, because a refresh token of it was used twice: somebody may have a copy of it.
    SessionStolen {
        /// When.
        at: Timestamp,
    },
}

impl Subject {
    /// What it is about in one word, for logs and templates.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ConfirmAddress { .. } => "confirm_address",
            Self::AccountExists => "account_exists",
            Self::ResetPassword { .. } => "reset_password",
            Self::PasswordChanged { .. } => "password_changed",
            Self::ChangeAddress { .. } => "change_address",
            Self::AddressChanged { .. } => "address_changed",
            Self::Invitation { .. } => "invitation",
            Self::Locked { .. } => "locked",
            Self::SecondFactor { .. } => "second_factor",
            Self::SessionStolen { .. } => "session_stolen",
        }
    }

    /// Its code, and until when that is good.
    #[must_use]
    pub fn code(&self) -> Option<(&str, Timestamp)> {
        match self {
            Self::ConfirmAddress { code, until }
            | Self::ResetPassword { code, until }
            | Self::ChangeAddress { code, until }
            | Self::Invitation { code, until, .. }
            | Self::Locked { code, until } => Some((code, *until)),
            Self::AccountExists
            | Self::PasswordChanged { .. }
            | Self::AddressChanged { .. }
            | Self::SecondFactor { .. }
            | Self::SessionStolen { .. } => None,
        }
    }
}

/// A log has no codes.
impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
