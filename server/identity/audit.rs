//! Who did what to what, from where, with what before and after: a log that grows and never changes.
//!
//! Each tenant has a chain of its own, and the installation another one. An entry's digest is over its content and the
//! digest before, under the installation's secret, so that an edited, missing or moved entry is found. Before an action
//! begins, an intent is kept; after it, the entry; then the intent is deleted. An intent whose server ended half way is
//! found by a job, which makes it an entry whose outcome nobody knows. So no action goes without its entry.
//!
//! What may name people, and an address that a call came from, is in the chain by a digest alone: at the end of a tenant it is
//! erased, and the chain is as whole as before.

mod chain;
pub mod entry;
pub mod note;

use std::sync::Arc;

use secrecy::SecretBox;
use serde::{Deserialize, Serialize};

use crate::id;
use crate::identity::audit::chain::Chain;
use crate::identity::audit::entry::{Actor, CHAIN, Draft, Entry, Outcome};
use crate::identity::audit::note::Note;
use crate::store::records::{Page, Place, Range, Record, Records};
use crate::store::{Documents, Order, StoreError};
use crate::time::{Clock, MINUTE, Timestamp};

pub use crate::identity::audit::chain::{Broken, Verified};

/// An intent that is older is of a server that has ended: a call takes at most 20 s.
const UNDONE: i64 = MINUTE;
/// The index of intents by age.
const AGE: &str = "age";

/// The audit log.
#[derive(Debug)]
pub struct Audit {
    chain: Chain,
    intents: Records<Intent>,
    entries: Records<Entry>,
    clock: Arc<dyn Clock>,
}

/// An action that is about to be done.
#[derive(Clone, Debug)]
pub struct Action {
    /// Who does it.
    pub actor: Actor,
    /// The method, for example `CreateApiKey`.
    pub method: String,
    /// The address that the call came from; empty: it is not known.
    pub peer: String,
    /// Whose chain it goes into, unless a note says otherwise; empty: that of the installation.
    pub scope: String,
}

/// An action that may have been done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    id: String,
    scope: String,
    actor: Actor,
    method: String,
    peer: String,
    at: Timestamp,
}

impl Record for Intent {
    const KIND: &'static str = "audit_intent";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(AGE, age(self.at))]
    }
}

impl Audit {
    /// The audit log of a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, secret: &SecretBox<[u8; 32]>, clock: Arc<dyn Clock>) -> Self {
        Self {
            chain: Chain::new(documents, secret, Arc::clone(&clock)),
            intents: Records::new(Arc::clone(documents)),
            entries: Records::new(Arc::clone(documents)),
            clock,
        }
    }

    /// Keeps an intent. What cannot be kept is not to be done.
    pub async fn begin(&self, action: Action) -> Result<Intent, StoreError> {
        let intent = self.intent(action);
        self.intents.insert(&intent).await?;
        Ok(intent)
    }

    /// Keeps what became of an intent.
    pub async fn end(&self, intent: Intent, note: Note, outcome: Outcome) -> Result<(), StoreError> {
        let id = intent.id.clone();
        self.chain.append(draft(intent, note, outcome)).await?;
        self.intents.delete(&id, 1).await.map(|_| ())
    }

    /// Keeps what was done or refused, where no intent was kept before.
    pub async fn record(&self, action: Action, note: Note, outcome: Outcome) -> Result<(), StoreError> {
        self.chain.append(draft(self.intent(action), note, outcome)).await
    }

    /// A page of a chain, newest first; `scope` is a tenant, or empty for the installation.
    pub async fn list(
        &self,
        scope: &str,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Page<Entry>, StoreError> {
        let prefix = Entry::prefix(scope);
        let range = Range { index: CHAIN, prefix: &prefix, order: Order::Descending, after };
        self.entries.page(range, limit).await
    }

    /// Looks whether entries of a chain are as they were written, from the one with number `first`.
    pub async fn verify(&self, scope: &str, first: u64) -> Result<Verified, StoreError> {
        self.chain.verify(scope, first).await
    }

    /// Makes entries of at most `limit` intents whose server has ended; answers how many.
    pub async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        let range = Range { index: AGE, prefix: "", order: Order::Ascending, after: None };
        let found = self.intents.page(range, limit).await?;
        let before = self.clock.now().minus(UNDONE);
        let old: Vec<_> = found.records.into_iter().filter(|intent| intent.at < before).collect();
        for intent in &old {
            self.end(intent.clone(), Note::default(), Outcome::Unknown).await?;
        }
        Ok(old.len())
    }

    fn intent(&self, action: Action) -> Intent {
        let Action { actor, method, peer, scope } = action;
        Intent { id: id::fresh("aud"), scope, actor, method, peer, at: self.clock.now() }
    }
}

fn draft(intent: Intent, note: Note, outcome: Outcome) -> Draft {
    Draft {
        scope: note.scope.unwrap_or(intent.scope),
        action: intent.id,
        at: intent.at,
        actor: intent.actor,
        method: intent.method,
        target: note.target,
        peer: intent.peer,
        outcome,
        before: note.before,
        after: note.after,
    }
}

fn age(at: Timestamp) -> String {
    format!("{:020}", at.micros().max(0))
}
