//! The other steps of a round: rollups, then accounts, each document absorbing a batch once (rule F).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::failpoint::{self, Mutant};
use crate::ledger::account::Account;
use crate::ledger::accounts::KeptAccount;
use crate::ledger::fold::round::{Item, Round};
use crate::ledger::fold::{Fold, FoldError};
use crate::ledger::rollup::Rollup;
use crate::ledger::rollups::RollupKey;
use crate::ledger::stamp::Position;
use crate::store::Replaced;

/// Rollups that stay decoded between rounds.
const ROLLUPS_MAX: usize = 20_000;
/// Accounts that stay decoded between rounds.
const ACCOUNTS_MAX: usize = 50_000;

/// Documents as they were last written.
#[derive(Debug, Default)]
pub(super) struct Cache {
    rollups: HashMap<RollupKey, Rollup>,
    accounts: HashMap<Arc<str>, KeptAccount>,
}

impl Cache {
    /// Those tenants' accounts, as they were last written.
    pub(super) fn accounts<'a>(&'a self, tenants: &'a HashSet<Arc<str>>) -> Vec<&'a KeptAccount> {
        tenants.iter().filter_map(|tenant| self.accounts.get(tenant)).collect()
    }

    /// Forgets the accounts of other tenants, if there are too many.
    pub(super) fn shrink(&mut self, tenants: &HashSet<Arc<str>>) {
        if self.accounts.len() > ACCOUNTS_MAX {
            self.accounts.retain(|tenant, _| tenants.contains(tenant));
        }
    }
}

impl Fold {
    pub(super) async fn write_rollups(&mut self, round: &Round) -> Result<(), FoldError> {
        let changes = round.rollup_changes();
        let mut pending = changes.keys().cloned().collect::<Vec<_>>();
        // A document that somebody else has replaced meanwhile is read again; each try writes at least one of them.
        while !pending.is_empty() {
            self.read_rollups(&pending).await?;
            let mut stored = Vec::with_capacity(pending.len());
            for key in &pending {
                let Some(rollup) = self.cache.rollups.get_mut(key) else { continue };
                if rollup.absorb(&changes[key]) {
                    stored.push(rollup.encode());
                }
            }
            let keys = stored.iter().map(|rollup| rollup.key.clone()).collect::<Vec<_>>();
            let replaced = self.parts.rollups.replace(stored).await?;
            pending.clear();
            for (key, replaced) in keys.into_iter().zip(replaced) {
                match self.cache.rollups.get_mut(&key) {
                    Some(rollup) if replaced => rollup.revision = rollup.revision.saturating_add(1),
                    _ => {
                        self.cache.rollups.remove(&key);
                        pending.push(key);
                    }
                }
            }
        }
        if self.cache.rollups.len() > ROLLUPS_MAX {
            self.cache.rollups.retain(|key, _| changes.contains_key(key));
        }
        Ok(())
    }

    async fn read_rollups(&mut self, keys: &[RollupKey]) -> Result<(), FoldError> {
        let missing = keys.iter().filter(|key| !self.cache.rollups.contains_key(*key)).cloned();
        let missing = missing.collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(());
        }
        let found = self.parts.rollups.get(&missing).await?;
        for (key, stored) in missing.into_iter().zip(found) {
            let rollup = match stored {
                Some(stored) => Rollup::decode(stored)?,
                None => Rollup::new(key.clone()),
            };
            self.cache.rollups.insert(key, rollup);
        }
        Ok(())
    }

    /// Answers the tenants whose accounts were changed.
    pub(super) async fn write_accounts(&mut self, round: &Round) -> Result<HashSet<Arc<str>>, FoldError> {
        let changes = round.by_tenant();
        let mut pending = changes.keys().cloned().collect::<HashSet<_>>();
        while !pending.is_empty() {
            let tenants = pending.iter().cloned().collect::<Vec<_>>();
            self.read_accounts(&tenants).await?;
            let mut changed = HashSet::with_capacity(tenants.len());
            for tenant in tenants {
                let Some(kept) = self.cache.accounts.get_mut(&tenant) else { continue };
                if absorb(&mut kept.account, &changes[&tenant], round.position) {
                    changed.insert(tenant);
                }
            }
            let kept = changed.iter().filter_map(|tenant| self.cache.accounts.get(tenant));
            let replaced = self.accounts.replace(kept).await?;
            pending.clear();
            for (tenant, replaced) in changed.into_iter().zip(replaced) {
                match (replaced, self.cache.accounts.get_mut(&tenant)) {
                    (Replaced::Yes { revision }, Some(cached)) => cached.revision = revision,
                    _ => {
                        self.cache.accounts.remove(&tenant);
                        pending.insert(tenant);
                    }
                }
            }
        }
        Ok(changes.into_keys().collect())
    }

    async fn read_accounts(&mut self, tenants: &[Arc<str>]) -> Result<(), FoldError> {
        let missing = tenants.iter().filter(|tenant| !self.cache.accounts.contains_key(*tenant)).cloned();
        let missing = missing.collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(());
        }
        let found = self.accounts.get_many(&missing).await?;
        self.cache.accounts.extend(missing.into_iter().zip(found));
        Ok(())
    }
}

/// Absorbs those items whose batch is new to the account; answers whether there were any (rule F).
fn absorb(account: &mut Account, items: &[&Item], through: Position) -> bool {
    let mut changed = false;
    for item in items {
        let position = item.stamp.position;
        if position.is_absorbed(&account.positions) && !failpoint::is(Mutant::FoldWithoutPosition) {
            continue;
        }
        if item.posted && item.is_over {
            account.absorb_after_end(&item.record);
        } else if item.posted {
            account.absorb(&item.record);
        }
        for change in item.changes() {
            account.totals.apply(&change.effect);
        }
        changed = true;
    }
    if changed {
        through.advance(&mut account.positions);
        account.clean();
    }
    changed
}
