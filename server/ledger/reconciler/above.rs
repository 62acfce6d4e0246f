//! What was decided after the counters were read, and is in the ledger already: the cut that the two are compared at.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use prost::Message as _;

use crate::failpoint::{self, Mutant};
use crate::gate::call::EventKey;
use crate::gate::state::State;
use crate::ledger::account::Account;
use crate::ledger::events::Events;
use crate::ledger::journal::{Batch, Journal};
use crate::ledger::loader::LoadError;
use crate::ledger::record::{Body, Record};
use crate::ledger::stamp::{Position, Positions, Stamp};

/// Bytes of records that are read back at once, about.
const READ_BYTES: usize = 8 * 1024 * 1024;

/// Counters and accounts of some tenants, read one after the other.
#[derive(Debug)]
pub(super) struct Look {
    /// The heads of all journals before the counters were read.
    pub(super) from: Positions,
    /// Those of them whose head is a seal.
    pub(super) seals: HashSet<u32>,
    /// The counters.
    pub(super) states: HashMap<Arc<str>, State>,
    /// The accounts, read after all that the counters had was folded.
    pub(super) accounts: HashMap<Arc<str>, Account>,
}

/// A record that an account may have absorbed.
#[derive(Debug)]
struct Candidate {
    tenant: Arc<str>,
    stamp: Stamp,
    record: Record,
}

impl Look {
    /// Of what each account has absorbed, the sum of that under numbers above its counters'.
    pub(super) async fn above(
        &self,
        journal: &dyn Journal,
        events: &dyn Events,
    ) -> Result<HashMap<Arc<str>, Account>, LoadError> {
        let mut above: HashMap<Arc<str>, Account> = HashMap::new();
        if failpoint::is(Mutant::ReconcileWithoutCut) {
            return Ok(above);
        }
        for through in self.absorbed().slots {
            let mut after = self.from.of(through.slot);
            let mut after_is_seal = self.seals.contains(&through.slot);
            while after < through {
                let batches = journal.read(after, READ_BYTES).await?;
                let first = batches.first().filter(|batch| follows(after, after_is_seal, batch));
                let (Some(_), Some(last)) = (first, batches.last()) else { return Err(LoadError::Forgotten) };
                (after, after_is_seal) = (last.position, last.seal);
                let mut candidates = Vec::new();
                for batch in &batches {
                    self.pick(batch, &mut candidates)?;
                }
                for counted in counted(candidates, events).await? {
                    above.entry(counted.tenant).or_default().absorb(&counted.record);
                }
            }
        }
        Ok(above)
    }

    /// The newest batch of each slot that any of the accounts has absorbed.
    fn absorbed(&self) -> Positions {
        let mut newest = Positions::default();
        for position in self.accounts.values().flat_map(|account| &account.positions) {
            newest.advance(*position);
        }
        newest
    }

    fn pick(&self, batch: &Batch, candidates: &mut Vec<Candidate>) -> Result<(), LoadError> {
        for (stamp, body) in batch.stamped()? {
            let record = Record::decode(body).map_err(|error| batch.corrupt(error))?;
            let Some((tenant, state)) = self.states.get_key_value(record.tenant.as_str()) else { continue };
            let is_above = record.counter_epoch == state.epoch && record.number > state.number;
            if is_above && batch.position.is_absorbed(&self.accounts[tenant].positions) {
                candidates.push(Candidate { tenant: Arc::clone(tenant), stamp, record });
            }
        }
        Ok(())
    }
}

/// Whether a batch is the one after `after`. A batch between them that was forgotten might have anything in it.
const fn follows(after: Position, is_seal: bool, batch: &Batch) -> bool {
    let next = batch.position;
    if is_seal || after.epoch == 0 {
        return next.batch == 1 && (next.epoch == after.epoch + 1 || after.epoch == 0);
    }
    next.epoch == after.epoch && next.batch == after.batch + 1
}

/// Those that the ledger counts: it has them under exactly their own stamp (rule H).
async fn counted(candidates: Vec<Candidate>, events: &dyn Events) -> Result<Vec<Candidate>, LoadError> {
    let keys = candidates.iter().map(|candidate| candidate.record.key()).collect::<Vec<EventKey>>();
    let rows = events.get(&keys).await?;
    let mut counted = Vec::with_capacity(candidates.len());
    for (candidate, row) in candidates.into_iter().zip(rows) {
        let stamp = match candidate.record.body {
            Some(Body::End(_)) => events.amendment(candidate.record.key()).await?.map(|kept| kept.stamp),
            _ => row.map(|row| row.row.stamp),
        };
        if stamp == Some(candidate.stamp) {
            counted.push(candidate);
        }
    }
    Ok(counted)
}
