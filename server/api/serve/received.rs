//! Messages that have begun to come and are not whole: together they may take so much memory and no more.
//!
//! Each of them is bounded, and so is the number of those on a connection; their product is not. What comes whole in one
//! piece, as small messages do, is never refused here.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fault::{Fault, Reason};

/// A flag and a length stand before each message of gRPC.
const HEAD_BYTES: usize = 5;

/// What all connections together hold of messages that are not whole. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::api) struct Received {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// What one call holds of a message that is not whole.
#[derive(Debug)]
pub(super) struct Partial {
    received: Received,
    framing: Framing,
    bytes: usize,
}

/// There is no memory for more of a message.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server has {0} bytes of messages that are not whole, which is all that it holds")]
pub(super) struct TooMuch(usize);

impl Fault for TooMuch {
    fn reason(&self) -> Reason {
        Reason::ServerOverloaded
    }
}

impl Received {
    pub(in crate::api) fn new(bytes_max: NonZeroU32) -> Self {
        Self { bytes: Arc::default(), bytes_max: super::number(bytes_max) }
    }

    /// Nothing yet, of a call.
    pub(super) fn begin(&self) -> Partial {
        Partial { received: self.clone(), framing: Framing::default(), bytes: 0 }
    }

    fn take(&self, more: usize) -> Result<(), TooMuch> {
        let before = self.bytes.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) <= self.bytes_max {
            return Ok(());
        }
        self.bytes.fetch_sub(more, Ordering::Relaxed);
        Err(TooMuch(self.bytes_max))
    }
}

impl Partial {
    /// Takes the next part of what the call sends.
    pub(super) fn take(&mut self, part: &[u8]) -> Result<(), TooMuch> {
        let bytes = self.framing.advance(part);
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => self.received.take(more)?,
            None => {
                self.received.bytes.fetch_sub(self.bytes.saturating_sub(bytes), Ordering::Relaxed);
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.received.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Where in its messages a call is.
#[derive(Debug, Default)]
struct Framing {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    come: usize,
    missing: usize,
}

impl Framing {
    /// How much has come of the message that is not whole; zero where none is.
    fn advance(&mut self, mut part: &[u8]) -> usize {
        while !part.is_empty() {
            let wanted =
                if self.missing > 0 { self.missing } else { HEAD_BYTES.saturating_sub(self.head_bytes) };
            let (now, later) = part.split_at(wanted.min(part.len()));
            if self.missing > 0 {
                self.missing = self.missing.saturating_sub(now.len());
                self.come = self.come.saturating_add(now.len());
            } else {
                self.read_head(now);
            }
            part = later;
        }
        if self.missing > 0 { HEAD_BYTES.saturating_add(self.come) } else { self.head_bytes }
    }

    fn read_head(&mut self, bytes: &[u8]) {
        for (place, byte) in self.head.iter_mut().skip(self.head_bytes).zip(bytes) {
            *place = *byte;
        }
        self.head_bytes = self.head_bytes.saturating_add(bytes.len());
        if self.head_bytes == HEAD_BYTES {
            let [_, length @ ..] = self.head;
            self.missing = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            (self.head_bytes, self.come) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: u8) -> Vec<u8> {
        [&[0, 0, 0, 0, bytes][..], &vec![7; bytes.into()]].concat()
    }

    #[test]
    fn what_is_not_whole_is_known_at_every_byte() {
        let sent = [message(3), message(0), message(200)].concat();
        let held = |end: usize| match end {
            8 | 13 | 218 => 0,
            0..8 => end,
            8..13 => end - 8,
            _ => end - 13,
        };
        for first in 0..=sent.len() {
            for second in first..=sent.len() {
                let mut framing = Framing::default();
                assert_eq!(held(first), framing.advance(&sent[..first]), "{first}");
                assert_eq!(held(second), framing.advance(&sent[first..second]), "{first} {second}");
            }
        }
    }

    #[test]
    fn all_calls_together_have_a_bound() {
        let received = Received::new(NonZeroU32::new(100).unwrap());
        let (mut one, mut other) = (received.begin(), received.begin());
        one.take(&message(200)[..60]).unwrap();
        other.take(&message(200)[..40]).unwrap();
        assert!(other.take(b"x").is_err());
        // What is whole is held by nobody.
        received.begin().take(&message(200)).unwrap();
        drop(one);
        // What was refused counts for its call, which has ended.
        other.take(&[7; 59]).unwrap();
        drop(other);
        assert_eq!(0, received.bytes.load(Ordering::Relaxed));
    }
}
