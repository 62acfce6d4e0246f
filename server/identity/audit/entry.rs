//! An entry of the audit log as it is kept.

use serde::{Deserialize, Serialize};

use crate::identity::caller::{Caller, CallerKind};
use crate::secrets::seal::{Seal, to_hex};
use crate::store::records::Record;
use crate::time::Timestamp;

/// The index of entries by chain, then by number.
pub const CHAIN: &str = "chain";
/// The index of entries that have all that was said, by chain, then by number.
pub const FULL: &str = "full";

/// An entry in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    id: String,
    /// Its place in the chain; the first is 1.
    pub number: u64,
    /// What it says.
    #[serde(flatten)]
    pub said: Draft,
    /// Makes that digest another one in each entry, so that nobody finds out by trying what was erased. It is erased too.
    salt: String,
    /// The digest of what can be erased: where it came from, what the target was before, and what it was after.
    details: String,
    /// Whether that was erased, at the end of its tenant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_erased: bool,
    /// The digest of the entry before; empty for the first.
    pub previous: String,
    /// The digest of this one.
    pub digest: String,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Whose chain: a tenant's, or empty for the installation's.
    pub scope: String,
    /// The action, `aud_…`. An action whose server ended at its very end may have two entries.
    pub action: String,
    /// When the action began.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// The method.
    pub method: String,
    /// What it was done to, for example `api_key/key_…`; empty: it is not known.
    pub target: String,
    /// The address that it came from; empty: it is not known.
    pub peer: String,
    /// How it went.
    pub outcome: Outcome,
    /// What the target was before, as JSON without secrets; empty: nothing, or it is not known.
    pub before: String,
    /// The same after.
    pub after: String,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind of caller.
    pub kind: ActorKind,
    /// The key's or the person's id; empty for the operator's key, and for whoever showed no credential.
    pub id: String,
}

/// What kind of caller did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// Somebody without a credential.
    Anyone,
    /// A tenant's key.
    Tenant,
    /// A service account's key.
    ServiceAccount,
    /// The operator's key.
    Operator,
    /// A member of a tenant.
    Member,
    /// Somebody of the staff.
    Staff,
}

/// How an action went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// The caller may not do it, by the name of the reason.
    Denied(String),
    /// It could not be done, by the name of the reason.
    Failed(String),
    /// Its server ended meanwhile, or could not keep the entry.
    Unknown,
}

impl Actor {
    /// Somebody without a credential.
    #[must_use]
    pub const fn anyone() -> Self {
        Self { kind: ActorKind::Anyone, id: String::new() }
    }

    /// A caller.
    #[must_use]
    pub fn of(caller: &Caller) -> Self {
        let kind = match &caller.kind {
            CallerKind::Tenant(_) => ActorKind::Tenant,
            CallerKind::ServiceAccount => ActorKind::ServiceAccount,
            CallerKind::Operator => ActorKind::Operator,
            CallerKind::Member { .. } => ActorKind::Member,
            CallerKind::Staff { .. } => ActorKind::Staff,
        };
        let id = caller.user().or(caller.key_id.as_ref()).map(ToString::to_string).unwrap_or_default();
        Self { kind, id }
    }
}

impl Entry {
    /// The next entry of a chain.
    pub(super) fn new(seal: &Seal, number: u64, previous: String, said: Draft) -> Self {
        let id = Self::id_of(&said.scope, number);
        let salt = to_hex(&rand::random::<[u8; 16]>());
        let details = details(seal, &salt, &said);
        let digest = digest(seal, number, &previous, &said, &details);
        Self { id, number, said, salt, details, is_erased: false, previous, digest }
    }

    /// Whether it is as it was written, or what is left of it.
    pub(super) fn is_whole(&self, seal: &Seal) -> bool {
        let is_said = if self.is_erased {
            [&self.said.peer, &self.said.before, &self.said.after, &self.salt]
                .iter()
                .all(|text| text.is_empty())
        } else {
            self.details == details(seal, &self.salt, &self.said)
        };
        is_said
            && self.digest == digest(seal, self.number, &self.previous, &self.said, &self.details)
            && self.id == Self::id_of(&self.said.scope, self.number)
    }

    /// Erases all but who did what to what, and when: those are ids. The chain is as whole as it was.
    pub(in crate::identity) fn erase(&mut self) {
        for text in [&mut self.said.peer, &mut self.said.before, &mut self.said.after, &mut self.salt] {
            text.clear();
        }
        self.is_erased = true;
    }

    /// The id of an entry: two that are written at once collide, and the second takes the next number.
    #[must_use]
    pub fn id_of(scope: &str, number: u64) -> String {
        format!("{}{number:020}", Self::prefix(scope))
    }

    /// What the ids of a chain start with. No id of a tenant has a `/`.
    #[must_use]
    pub fn prefix(scope: &str) -> String {
        format!("{scope}/")
    }
}

impl Record for Entry {
    const KIND: &'static str = "audit_entry";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        let mut ranges = vec![(CHAIN, self.id.clone())];
        if !self.is_erased {
            ranges.push((FULL, self.id.clone()));
        }
        ranges
    }
}

fn details(seal: &Seal, salt: &str, said: &Draft) -> String {
    sealed(seal, &["details", salt, &said.peer, &said.before, &said.after])
}

fn digest(seal: &Seal, number: u64, previous: &str, said: &Draft, details: &str) -> String {
    let (kind, outcome) = (format!("{:?}", said.actor.kind), format!("{:?}", said.outcome));
    let (number, at) = (number.to_string(), said.at.micros().to_string());
    let parts = [
        "entry",
        previous,
        &number,
        &said.scope,
        &said.action,
        &at,
        &kind,
        &said.actor.id,
        &said.method,
        &said.target,
        &outcome,
        details,
    ];
    sealed(seal, &parts)
}

/// Each part with its length, so that no two lists of parts have the same text.
fn sealed(seal: &Seal, parts: &[&str]) -> String {
    let mut text = Vec::new();
    for part in parts {
        text.extend_from_slice(&part.len().to_le_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    to_hex(&seal.digest(&[&text]))
}
