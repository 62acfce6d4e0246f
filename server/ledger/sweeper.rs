//! What ends by time: reservations that expire, and what is left of a grant (rules I, S, T).

use std::sync::Arc;

use crate::gate::call::EventKey;
use crate::gate::counters::{Over, PENDING_LIFE};
use crate::ledger::account::HoldAccount;
use crate::ledger::accounts::KeptAccount;
use crate::ledger::admission::end_key;
use crate::ledger::entry::{Change, Head};
use crate::ledger::event::{self, KeyKind};
use crate::ledger::loader::{LoadError, Loader, LoaderParts};
use crate::ledger::queue::{Commit, Queue};
use crate::ledger::record::{Body, Breakage, End, EndKind};
use crate::ledger::slots::CLOCK_ERROR;
use crate::time::Timestamp;

/// Accounts that one sweep looks at.
const ACCOUNTS_MAX: usize = 1_000;

/// Posts what ended by time.
#[derive(Debug)]
pub struct Sweeper {
    parts: LoaderParts,
    loader: Arc<Loader>,
}

/// What ended in one account.
#[derive(Debug)]
struct Ended {
    tenant: Arc<str>,
    reservations: Vec<Over>,
    grants: Vec<Arc<str>>,
    commits: Vec<Commit>,
}

impl Sweeper {
    /// A sweeper over the ledger's parts.
    #[must_use]
    pub const fn new(parts: LoaderParts, loader: Arc<Loader>) -> Self {
        Self { parts, loader }
    }

    /// Posts all that ended before the low-water time, and tells the counters once it is durable. No decision from before that
    /// time can still come: what is left is final.
    pub async fn sweep(&self) -> Result<(), LoadError> {
        // One process sweeps for all; if two do for a moment, each end is in the ledger once all the same (rule H).
        if !self.parts.slots.is_first().await? {
            return Ok(());
        }
        let mut ended_by = self.parts.slots.low_water().await?;
        if self.parts.slots.journal().is_shared() {
            // A retry on any process may journal a decision again for as long as its mark is pending (rule Q).
            ended_by = ended_by.minus(PENDING_LIFE).minus(CLOCK_ERROR);
        }
        self.loader.settled().await?;
        let due = self.parts.accounts.due(ended_by, ACCOUNTS_MAX).await?;
        let (mut ended, mut alone) = (Vec::new(), Vec::new());
        for kept in &due {
            // A load that has read the account before this would miss what the counters are told after it.
            alone.push(self.loader.alone(&kept.tenant).lock_owned().await);
            ended.push(self.post(kept, ended_by)?);
        }
        let mut outcome = Ok(());
        for Ended { tenant, reservations, grants, commits } in ended {
            if let Err(failure) = self.tell(&tenant, &reservations, &grants, commits).await {
                // What is durable of it the counters may never hear of otherwise.
                self.parts.cuts.suspect(&tenant);
                outcome = Err(failure);
            }
        }
        outcome
    }

    async fn tell(
        &self,
        tenant: &str,
        reservations: &[Over],
        grants: &[Arc<str>],
        commits: Vec<Commit>,
    ) -> Result<(), LoadError> {
        for commit in commits {
            commit.wait().await?;
        }
        Ok(self.parts.counters.expired(tenant, reservations, grants).await?)
    }

    fn post(&self, kept: &KeptAccount, ended_by: Timestamp) -> Result<Ended, LoadError> {
        let tenant = &kept.tenant;
        let mut ended = Ended {
            tenant: Arc::clone(tenant),
            reservations: Vec::new(),
            grants: Vec::new(),
            commits: Vec::new(),
        };
        for hold in kept.account.holds.iter().filter(|hold| hold.lives()) {
            let expires_at = Timestamp::from_micros(hold.expires_at_micros);
            if expires_at > ended_by {
                continue;
            }
            ended.commits.push(expire(&self.parts.queue, tenant, hold, expires_at)?);
            ended
                .reservations
                .push(Over { reservation: Arc::from(hold.reservation.as_str()), opened_at: None });
        }
        for grant in kept.account.grants.iter().filter(|grant| !grant.closed) {
            let Some(expires_at) = grant.expires_at_micros.map(Timestamp::from_micros) else { continue };
            if expires_at > ended_by {
                continue;
            }
            let key = event::key(tenant, KeyKind::Breakage, &grant.id);
            let body = Body::Breakage(Breakage { grant: grant.id.clone() });
            ended.commits.push(post(&self.parts.queue, tenant, key, expires_at, body)?);
            ended.grants.push(Arc::from(grant.id.as_str()));
        }
        Ok(ended)
    }
}

/// Posts the end of a reservation whose time was over at that moment.
pub(super) fn expire(
    queue: &Queue,
    tenant: &str,
    hold: &HoldAccount,
    at: Timestamp,
) -> Result<Commit, LoadError> {
    let end = End {
        reservation: hold.reservation.clone(),
        kind: EndKind::Expired.into(),
        released: hold.burns.clone(),
        ..End::default()
    };
    post(queue, tenant, end_key(tenant, &hold.reservation), at, Body::End(end))
}

fn post(queue: &Queue, tenant: &str, key: EventKey, at: Timestamp, body: Body) -> Result<Commit, LoadError> {
    let head = Head { tenant, key, payload: event::payload(b'e', b"") };
    Ok(queue.place()?.commit_to_journal(head.record(at, Change::NONE, body), None))
}
