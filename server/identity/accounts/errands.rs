//! Keeping errands, and doing them behind the answers.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::fault::{Fault as _, Kind as FaultKind};
use crate::identity::accounts::errand::{AGE, Errand, OPEN, WHOM, Wish, age};
use crate::identity::accounts::{Accounts, AccountsError};
use crate::mail::address::Address;
use crate::store::records::{Change, Range};
use crate::store::{Inserted, Order, StoreError};
use crate::time::DAY;

/// How often is looked for errands that others left undone.
const PAUSE: Duration = Duration::from_secs(10);
/// How many are read at once.
const PAGE: usize = 100;
/// Letters of one kind that an address is sent in the kind's window.
const LETTERS_MAX: usize = 5;
/// How long an errand that is done is known, for retries and for the bound on letters.
const KEPT_FOR: i64 = 2 * DAY;

impl Accounts {
    /// Does errands again and again until it is stopped: those that were just asked for at once, and those that another
    /// server left undone after some seconds.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let mut went_well = true;
        loop {
            let swept = self.sweep().await;
            if let (Err(error), true) = (&swept, went_well) {
                warn!(error = %error, "could not do what was asked for accounts; it is tried again: {error}");
            }
            went_well = swept.is_ok();
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.arrived.notified(), if went_well => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Does all errands that are open; answers how many. One that fails holds up no other, and stays open.
    pub async fn sweep(&self) -> Result<usize, AccountsError> {
        let (mut done, mut failure, mut after) = (0, None, None);
        loop {
            let range = Range { index: OPEN, prefix: "", order: Order::Ascending, after: after.as_ref() };
            let page = self.errands.page(range, PAGE).await?;
            for errand in &page.records {
                match self.attend(errand).await {
                    Ok(()) => done += 1,
                    Err(error) => failure = Some(error),
                }
            }
            after = page.next;
            if after.is_none() {
                return failure.map_or(Ok(done), Err);
            }
        }
    }

    /// Deletes what nobody can use any more: at most `limit` each of codes, invitations and errands. Answers how many.
    pub async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        let before = age(self.clock.now().minus(KEPT_FOR));
        let errands = self.errands.purge(AGE, &before, limit).await?;
        let codes = self.codes.purge(limit).await?;
        let invitations = self.purge_invitations(limit).await?;
        Ok(errands.saturating_add(codes).saturating_add(invitations))
    }

    /// Keeps an errand, to be done soon; with the id of one that is known, answers whether it is the same.
    pub(super) async fn ask(
        &self,
        id: String,
        address: &Address,
        content: String,
        wish: Wish,
    ) -> Result<Asked, StoreError> {
        let errand = Errand {
            id,
            seed: Uuid::now_v7(),
            kind: wish.kind(),
            wish: Some(wish),
            whom: self.whom(address),
            content,
            created_at: self.clock.now(),
        };
        let inserted = self.errands.insert(&errand).await?;
        self.arrived.notify_one();
        if inserted == Inserted::Yes {
            return Ok(Asked::Kept);
        }
        let before = self.errands.get(&errand.id).await?;
        let is_same = before.is_none_or(|before| before.record.content == errand.content);
        Ok(if is_same { Asked::Kept } else { Asked::Otherwise })
    }

    /// Whether an address may be sent one more letter of the errand's kind.
    pub(super) async fn may_write(&self, errand: &Errand) -> Result<bool, StoreError> {
        let prefix = errand.prefix();
        let range = Range { index: WHOM, prefix: &prefix, order: Order::Descending, after: None };
        let since = errand.created_at.minus(errand.kind.window());
        let lately = self.errands.page(range, 2 * LETTERS_MAX).await?.records;
        let before = lately.iter().filter(|other| other.created_at > since && other.id != errand.id);
        Ok(before.filter(|other| other.created_at <= errand.created_at).count() < LETTERS_MAX)
    }

    async fn attend(&self, errand: &Errand) -> Result<(), AccountsError> {
        let Some(wish) = &errand.wish else { return Ok(()) };
        let attended = match wish {
            Wish::SignUp { address, name, password, tenant_name, pending_plan } => {
                let wanted = (address, name.as_str(), password.as_str());
                self.make_account(errand, wanted, tenant_name, pending_plan).await
            }
            Wish::Confirm { address } => self.send_confirmation(errand, address).await,
            Wish::Reset { address } => self.send_reset(errand, address).await,
            Wish::ChangeAddress { user, stamp, address } => {
                self.send_change(errand, user, stamp, address).await
            }
        };
        match attended {
            // Whoever asked is gone: what cannot be had now will not be had by trying.
            Err(error) if error.reason().kind() != FaultKind::Unavailable => {
                warn!(kind = ?errand.kind, error = %error, "something asked for an account cannot be done: {error}");
            }
            attended => attended?,
        }
        let closed = self.errands.update(&errand.id, |errand: &mut Errand| {
            errand.wish = None;
            Ok::<_, StoreError>(Change::Keep)
        });
        closed.await?;
        Ok(())
    }
}

/// How keeping an errand went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is kept, now or before.
    Kept,
    /// Another errand has its id.
    Otherwise,
}
