//! Wallets as the ledger has them, and what operators give.

use std::sync::Arc;

use crate::fault::{Fault, Reason};
use crate::gate::policy::Policy;
use crate::ledger::account::Account;
use crate::ledger::admission::{Admission, AdmissionError, Subject};
use crate::ledger::event::{self, Event, KeyKind};
use crate::ledger::loader::{Granting, LoadError, Loader};
use crate::ledger::record::GrantPosted;
use crate::money::MICROS_MAX;
use crate::time::Timestamp;

/// The wallets of all tenants.
#[derive(Debug)]
pub struct Wallets {
    admission: Arc<Admission>,
    loader: Arc<Loader>,
}

/// Credits that somebody gives.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Makes a retry safe.
    pub request_id: String,
    /// How much, in micro-credits, above zero.
    pub micros: i64,
    /// 1 to 255; lower burns first.
    pub priority: u8,
    /// The first moment at which it no longer serves; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// For people.
    pub name: String,
}

/// Credits that were given.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The grant's id.
    pub id: String,
    /// The account after it.
    pub account: Account,
    /// Whether the same request granted before.
    pub replayed: bool,
}

/// Credits could not be given, or a wallet not be read.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The wallet would hold more than it may.
    #[error("the wallet holds {balance_micros} micro-credits, and may hold {MICROS_MAX}")]
    Full {
        /// What it holds now.
        balance_micros: i64,
    },
    /// The request id was used with another content.
    #[error("request_id `{0}` was used with another content")]
    Conflict(String),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The period's allowance cannot be posted.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
}

impl Fault for WalletError {
    fn reason(&self) -> Reason {
        match self {
            Self::Full { .. } => Reason::WalletFull,
            Self::Conflict(_) => Reason::RequestConflict,
            Self::Load(error) => error.reason(),
            Self::Admission(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Admission(error) => Some(error),
            Self::Full { .. } | Self::Conflict(_) | Self::Load(_) => None,
        }
    }
}

impl Wallets {
    /// The wallets over the ledger's parts.
    #[must_use]
    pub const fn new(admission: Arc<Admission>, loader: Arc<Loader>) -> Self {
        Self { admission, loader }
    }

    /// A tenant's account with all that was acknowledged before; the allowance of the current period is in it.
    pub async fn account(&self, tenant: &Arc<str>, policy: &Policy) -> Result<Account, WalletError> {
        let nothing = Event { weight: 1, ..Event::default() };
        // Asking for the limits posts the period's allowance, if nobody has needed it yet.
        self.admission.limits(Subject { tenant, policy, api_key: None }, &nothing).await?;
        self.loader.settled().await?;
        Ok(self.loader.account(tenant).await.map_err(LoadError::from)?)
    }

    /// Gives credits to a tenant.
    pub async fn grant(
        &self,
        tenant: &Arc<str>,
        policy: &Policy,
        grant: NewGrant,
    ) -> Result<Granted, WalletError> {
        let before = self.account(tenant, policy).await?;
        let id = grant_id(tenant, &grant.request_id);
        let held = before.balance_micros().saturating_add(before.held_micros());
        if before.grant(&id).is_none() && held.saturating_add(grant.micros) > MICROS_MAX {
            return Err(WalletError::Full { balance_micros: before.balance_micros() });
        }
        let posted = GrantPosted {
            id: id.clone(),
            micros: grant.micros,
            priority: u32::from(grant.priority),
            expires_at_micros: grant.expires_at.map(Timestamp::micros),
            name: grant.name,
        };
        let replayed = match self.loader.grant(tenant, posted).await? {
            Granting::Posted => false,
            Granting::Known => true,
            Granting::Conflict => return Err(WalletError::Conflict(grant.request_id)),
        };
        let account = self.loader.account(tenant).await.map_err(LoadError::from)?;
        Ok(Granted { id, account, replayed })
    }
}

/// The id of a grant: made from its request, so that a retry is the same grant.
fn grant_id(tenant: &str, request_id: &str) -> String {
    format!("grt_{:032x}", event::key(tenant, KeyKind::Grant, request_id).0)
}
