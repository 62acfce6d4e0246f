//! Packs events into requests of a size that the server takes.

use prost::Message as _;
use tollgate_client::v1::TrackRequest;

use crate::cli::import::file::Line;

/// The contract's bound on a batch.
const ITEMS_MAX: usize = 1_000;
/// Below the server's bound of 1 MiB a message, with room for what each item costs around itself.
const BYTES_MAX: usize = 900 << 10;

/// A line and the request made of it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) line: Line,
    pub(super) request: TrackRequest,
    bytes: usize,
}

impl Item {
    pub(super) fn new(line: Line, request: TrackRequest) -> Self {
        // Tag and length of an item in its request take at most 6 bytes.
        let bytes = request.encoded_len() + 6;
        Self { line, request, bytes }
    }
}

/// The items of the next request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    items: Vec<Item>,
    bytes: usize,
}

impl Batch {
    /// Adds an item. Where it does not fit any more, the items before it are given, and it begins the next batch.
    pub(super) fn push(&mut self, item: Item) -> Option<Vec<Item>> {
        let full = self.items.len() >= ITEMS_MAX || self.bytes + item.bytes > BYTES_MAX;
        let before = if full { self.take() } else { None };
        self.bytes += item.bytes;
        self.items.push(item);
        before
    }

    /// What is left. `None`: nothing is.
    pub(super) fn take(&mut self) -> Option<Vec<Item>> {
        self.bytes = 0;
        Some(std::mem::take(&mut self.items)).filter(|items| !items.is_empty())
    }
}
