//! What a call is answered, until its client has taken it.
//!
//! A client may make calls and open no window for their answers, and each would be held for as long as the connection
//! lives. So a connection knows which answers it owes and since when, and is cut where one is not taken.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// The answers that one connection owes. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Owed(Arc<Mutex<Debts>>);

#[derive(Debug, Default)]
struct Debts {
    last: u64,
    since: Vec<(u64, Instant)>,
}

/// One that is owed, until it is dropped.
#[derive(Debug)]
struct Debt {
    owed: Owed,
    number: u64,
}

/// The body of an answer.
#[derive(Debug)]
pub(in crate::api) struct Answer {
    body: Body,
    owed: Option<Owed>,
    /// `None` while it is the server that has nothing to say.
    debt: Option<Debt>,
}

impl Owed {
    /// Whether one has been owed for longer than that.
    pub(super) fn is_overdue(&self, patience: Duration) -> bool {
        self.lock().since.iter().any(|(_, since)| since.elapsed() > patience)
    }

    fn owe(&self) -> Debt {
        let mut debts = self.lock();
        debts.last = debts.last.wrapping_add(1);
        let number = debts.last;
        debts.since.push((number, Instant::now()));
        Debt { owed: self.clone(), number }
    }

    fn lock(&self) -> MutexGuard<'_, Debts> {
        // A panic elsewhere cannot leave a half-written list, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        let mut debts = self.owed.lock();
        if let Some(place) = debts.since.iter().position(|(number, _)| *number == self.number) {
            debts.since.swap_remove(place);
        }
    }
}

impl Answer {
    /// `owed` is of the connection that asked.
    pub(in crate::api) fn new(body: Body, owed: Option<Owed>) -> Self {
        let debt = owed.as_ref().filter(|_| !body.is_end_stream()).map(Owed::owe);
        Self { body, owed, debt }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if polled.is_pending() {
            this.debt = None;
        }
        let frame = ready!(polled);
        if frame.is_none() {
            this.debt = None;
        } else if this.debt.is_none() {
            this.debt = this.owed.as_ref().map(Owed::owe);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
