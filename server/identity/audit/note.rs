//! What a call notes about itself for its audit entry, from wherever it finds out.

use std::cell::RefCell;
use std::future::Future;

use serde::Serialize;

/// What may stand before or after, in bytes.
const STATE_BYTES_MAX: usize = 4 << 10;

/// What is noted during a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Whose chain the entry goes into; `None`: nothing else was noted.
    pub scope: Option<String>,
    /// What the call was about.
    pub target: String,
    /// What it was before, as JSON; empty: nothing.
    pub before: String,
    /// What it was after, as JSON; empty: nothing.
    pub after: String,
}

tokio::task_local! {
    static NOTE: RefCell<Note>;
}

/// Does the work of a call; answers what was noted meanwhile.
pub async fn noting<T>(work: impl Future<Output = T>) -> (T, Note) {
    NOTE.scope(RefCell::default(), async {
        let answer = work.await;
        (answer, NOTE.with(RefCell::take))
    })
    .await
}

/// Notes the tenant that the call is about: the entry goes into its chain. The last one that is noted counts.
pub fn tenant(id: &str) {
    note(|note| note.scope = Some(id.to_owned()));
}

/// Notes what the call is about, for example `api_key` and its id.
pub fn target(kind: &str, id: &str) {
    note(|note| note.target = format!("{kind}/{id}"));
}

/// Notes what the target was before. No secret may be in it.
pub fn before(state: &impl Serialize) {
    note(|note| note.before = json(state));
}

/// Notes what the target is after. No secret may be in it.
pub fn after(state: &impl Serialize) {
    note(|note| note.after = json(state));
}

/// Outside of a call that is audited nothing is noted.
fn note(write: impl FnOnce(&mut Note)) {
    if NOTE.try_with(|note| write(&mut note.borrow_mut())).is_err() {
        // Most calls leave no entry.
    }
}

fn json(state: &impl Serialize) -> String {
    match serde_json::to_string(state) {
        Ok(text) if text.len() <= STATE_BYTES_MAX => text,
        Ok(_) => String::from(r#"{"too_large":true}"#),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_noted_stays_with_its_call() {
        target("api_key", "nobody's");
        let work = |name: &'static str| async move {
            tenant(name);
            tokio::task::yield_now().await;
            target("role", name);
            before(&1);
            after(&[2]);
        };
        let (((), first), ((), second)) = tokio::join!(noting(work("a")), noting(work("b")));
        let note = |name: &str| Note {
            scope: Some(name.to_owned()),
            target: format!("role/{name}"),
            before: String::from("1"),
            after: String::from("[2]"),
        };
        assert_eq!((first, second), (note("a"), note("b")));
    }

    #[tokio::test]
    async fn state_is_bounded() {
        let ((), noted) = noting(async { after(&"x".repeat(STATE_BYTES_MAX)) }).await;
        assert_eq!(noted.after, r#"{"too_large":true}"#);
    }
}
