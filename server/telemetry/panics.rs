//! A panic is a line of the log like any other defect: where it ended a call, it is that call's own line, and no second one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::pin;
use std::task::Poll;

use tracing::error;

thread_local! {
    /// Whether this thread works for a call, which will say itself what happened.
    static IN_CALL: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A call panicked. It says what, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(String);

/// From now on panics are logged.
pub(super) fn tell() {
    panic::set_hook(Box::new(|panic| {
        let text = text(panic);
        if IN_CALL.get() {
            LAST.set(text);
        } else {
            error!("a defect ended some work: {text}");
        }
    }));
}

/// Runs a call; a panic in it ends that call alone.
pub async fn guarded<T>(call: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut call = pin!(call);
    poll_fn(|context| {
        let outer = IN_CALL.replace(true);
        let polled = panic::catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context)));
        IN_CALL.set(outer);
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked(LAST.take()))),
        }
    })
    .await
}

fn text(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("it says nothing");
    panic
        .location()
        .map_or_else(|| said.to_owned(), |place| format!("{said} ({}:{})", place.file(), place.line()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_call_alone() {
        assert_eq!(Ok(7), guarded(async { 7 }).await);
        let ended = guarded(async { assert!(std::hint::black_box(false), "no luck") }).await;
        assert!(ended.is_err());
        assert!(!IN_CALL.get());
    }
}
