//! Why a token is not good, or was not made.

use crate::fault::{Fault, Reason};
use crate::identity::token::BYTES_MAX;
use crate::store::StoreError;

/// A text is no good token here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenInvalid {
    /// It is longer than any token.
    #[error("the token has more than {BYTES_MAX} bytes")]
    TooLong,
    /// It has not three parts in their one spelling, or a header that is none.
    #[error("it is no token")]
    Malformed,
    /// It is signed with another algorithm than ours, or not at all.
    #[error("the token is signed with another algorithm than EdDSA")]
    Algorithm,
    /// It is for something else.
    #[error("the token is of another type")]
    Type,
    /// Its header demands what is not understood.
    #[error("the token demands an extension that is not understood")]
    Critical,
    /// No key that is known here has that id.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Its key verifies no more.
    #[error("the token's key has ended")]
    EndedKey,
    /// The signature is not that of its key under its text.
    #[error("the token's signature is wrong")]
    Signature,
    /// It is signed, and does not say what a token of its type says.
    #[error("the token's claims are not those of its type")]
    Claims,
    /// Somebody else made it.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It is not good yet.
    #[error("the token is not good yet")]
    NotYet,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

impl Fault for TokenInvalid {
    fn reason(&self) -> Reason {
        match self {
            Self::Expired => Reason::CredentialExpired,
            _ => Reason::CredentialInvalid,
        }
    }
}

/// A token was not made, or cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// There is no key to sign with.
    #[error("there is no key to sign with")]
    NoKey,
    /// The key does not sign.
    #[error("a token could not be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
    /// It would be longer than a token may be.
    #[error("the token would have more than {BYTES_MAX} bytes")]
    TooLong,
    /// It is no good token.
    #[error(transparent)]
    Invalid(#[from] TokenInvalid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for TokensError {
    fn reason(&self) -> Reason {
        match self {
            Self::NoKey | Self::Signing(_) | Self::TooLong => Reason::Internal,
            Self::Invalid(invalid) => invalid.reason(),
            Self::Store(error) => error.reason(),
        }
    }
}
