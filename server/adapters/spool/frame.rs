//! What stands in a segment: frames, each with its length and checksums before it.
//!
//! Little-endian: the length of the records (4 bytes), the kind (1), the ticket (8), the checksum of the records (4), and the
//! checksum of all that (4); then the records.

use crate::adapters::spool::crc::crc32c;

/// Bytes before the records.
pub(super) const HEADER_BYTES: u64 = 21;
const HEADER: usize = 21;
const BATCH: u8 = 1;
const FORGOTTEN: u8 = 2;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A batch.
    Batch { ticket: u64, records: &'a [u8] },
    /// All batches up to this ticket are forgotten.
    Forgotten { through: u64 },
}

/// How the bytes at some place can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// A frame, of so many bytes.
    Frame(Frame<'a>, usize),
    /// There are fewer bytes than a frame has.
    Short,
    /// It is no frame.
    Damaged,
}

impl<'a> Frame<'a> {
    /// Its bytes before the records.
    pub(super) fn header(&self) -> Option<[u8; HEADER]> {
        let (kind, ticket, records) = match self {
            Self::Batch { ticket, records } => (BATCH, *ticket, *records),
            Self::Forgotten { through } => (FORGOTTEN, *through, &[][..]),
        };
        let length = u32::try_from(records.len()).ok()?.to_le_bytes();
        let before =
            [&length[..], &[kind], &ticket.to_le_bytes(), &crc32c(&[records]).to_le_bytes()].concat();
        [&before[..], &crc32c(&[&before]).to_le_bytes()].concat().try_into().ok()
    }

    /// The records of a batch.
    pub(super) const fn records(&self) -> &'a [u8] {
        match self {
            Self::Batch { records, .. } => records,
            Self::Forgotten { .. } => &[],
        }
    }

    /// The frame that `bytes` begin with.
    pub(super) fn read(bytes: &'a [u8]) -> Read<'a> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Read::Short };
        let (before, sum) = header.split_at(HEADER - 4);
        if number(sum) != u64::from(crc32c(&[before])) {
            return Read::Damaged;
        }
        let (length, before) = before.split_at(4);
        let (kind, before) = before.split_at(1);
        let (ticket, records_sum) = before.split_at(8);
        let Ok(length) = usize::try_from(number(length)) else { return Read::Damaged };
        let Some(records) = rest.get(..length) else { return Read::Short };
        if number(records_sum) != u64::from(crc32c(&[records])) {
            return Read::Damaged;
        }
        let ticket = number(ticket);
        match kind {
            [BATCH] => Read::Frame(Frame::Batch { ticket, records }, HEADER + length),
            [FORGOTTEN] if length == 0 => Read::Frame(Frame::Forgotten { through: ticket }, HEADER),
            _ => Read::Damaged,
        }
    }
}

/// The number that up to eight bytes make.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}
