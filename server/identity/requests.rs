//! Requests that change something, by the id that their caller gave them: a retry gets the first answer.
//!
//! A request is kept as an intent before its work begins, with the seed that all ids of the work are made of. So the work of
//! a retry makes the same things, also where the first try ended half way; then its answer is kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::fault::{Fault, Invalid, Reason};
use crate::secrets::seal::{from_hex, to_hex};
use crate::store::records::{Change, Record, Records};
use crate::store::{Documents, StoreError};
use crate::time::{Clock, DAY, Timestamp};

const ID_LENGTH_MAX: usize = 128;
/// How long a request can be repeated.
const KEPT_FOR: i64 = 45 * DAY;
/// The index of requests by age.
const AGE: &str = "age";

/// Requests that were made before.
#[derive(Debug)]
pub struct Requests {
    requests: Records<Kept>,
    clock: Arc<dyn Clock>,
}

/// A request that a caller may repeat.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Whose it is.
    pub scope: &'a str,
    /// The method.
    pub method: &'static str,
    /// The id that the caller gave it; empty: none, and a retry is another request.
    pub id: &'a str,
    /// All that it asks for.
    pub payload: &'a [u8],
}

/// A request that may be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// To be done, for the first time or again where the first try ended half way.
    Do(Work),
    /// It was done: the first answer.
    Done(Vec<u8>),
}

/// The work of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// What ids are made of.
    pub seed: Uuid,
    /// The record to close; `None`: the request has no id.
    record: Option<String>,
}

/// Why a request cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum RequestsError {
    /// The id was used with another content.
    #[error("request_id `{0}` was used with another content")]
    Conflict(String),
    /// The id is none.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for RequestsError {
    fn reason(&self) -> Reason {
        match self {
            Self::Conflict(_) => Reason::RequestConflict,
            Self::Invalid(invalid) => invalid.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    id: String,
    payload: String,
    seed: String,
    answer: Option<String>,
    created_at: Timestamp,
}

impl Record for Kept {
    const KIND: &'static str = "request";

    fn id(&self) -> &str {
        &self.id
    }

    fn ranges(&self) -> Vec<(&'static str, String)> {
        vec![(AGE, age(self.created_at))]
    }
}

impl Requests {
    /// The requests in a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Self {
        Self { requests: Records::new(Arc::clone(documents)), clock }
    }

    /// Begins a request.
    pub async fn begin(&self, request: Request<'_>) -> Result<Begun, RequestsError> {
        let seed = Uuid::now_v7();
        if request.id.is_empty() {
            return Ok(Begun::Do(Work { seed, record: None }));
        }
        check_id(request.id)?;
        let mine = Kept {
            id: digest(&[request.scope.as_bytes(), request.method.as_bytes(), request.id.as_bytes()]),
            payload: digest(&[request.payload]),
            seed: seed.simple().to_string(),
            answer: None,
            created_at: self.clock.now(),
        };
        self.requests.insert(&mine).await?;
        let kept = self.requests.get(&mine.id).await?.map_or(mine.clone(), |kept| kept.record);
        if kept.payload != mine.payload {
            return Err(RequestsError::Conflict(request.id.to_owned()));
        }
        let Some(answer) = &kept.answer else {
            let seed = Uuid::try_parse(&kept.seed).map_err(|error| unreadable(&kept.id, error))?;
            return Ok(Begun::Do(Work { seed, record: Some(kept.id) }));
        };
        Ok(Begun::Done(
            from_hex(answer).ok_or_else(|| unreadable(&kept.id, "its answer is not hexadecimal"))?,
        ))
    }

    /// Keeps the answer of a request that was done. It holds no secret.
    pub async fn finish(&self, work: &Work, answer: &[u8]) -> Result<(), StoreError> {
        let Some(record) = &work.record else { return Ok(()) };
        let answer = to_hex(answer);
        let finished = self.requests.update(record, |kept: &mut Kept| {
            let first = kept.answer.is_none();
            kept.answer.get_or_insert_with(|| answer.clone());
            Ok::<_, StoreError>(if first { Change::Keep } else { Change::None })
        });
        finished.await.map(|_| ())
    }

    /// Deletes at most `limit` requests that were made more than 45 days ago; answers how many. From then on the same id is
    /// another request.
    pub async fn purge(&self, limit: usize) -> Result<usize, StoreError> {
        self.requests.purge(AGE, &age(self.clock.now().minus(KEPT_FOR)), limit).await
    }
}

fn age(created_at: Timestamp) -> String {
    format!("{:020}", created_at.micros().max(0))
}

/// Whether a text can be the id of a request; an empty one is none.
pub fn check_id(id: &str) -> Result<(), Invalid> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    if id.len() <= ID_LENGTH_MAX && id.bytes().all(letter) {
        return Ok(());
    }
    let description = format!("is not at most {ID_LENGTH_MAX} characters of A-Z a-z 0-9 . _ : -");
    Err(Invalid::field("request_id", description))
}

/// Each part with its length, so that no two lists of parts are alike.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    to_hex(&hash.finalize())
}

fn unreadable(id: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::corrupt(format!("request `{id}`"), source)
}
