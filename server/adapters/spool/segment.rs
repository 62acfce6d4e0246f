//! One file of a spool, named by the first ticket that may be in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use prost::bytes::Bytes;

use crate::adapters::spool::frame::{Frame, HEADER_BYTES, Read};

/// The mode of the files: their owner's alone.
const MODE: u32 = 0o600;
const ENDING: &str = "spool";

/// An open file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) length: u64,
    file: File,
}

impl Segment {
    /// Makes a file, and its name durable.
    pub(super) fn create(directory: &Path, first: u64) -> io::Result<Self> {
        let path = directory.join(format!("{first:020}.{ENDING}"));
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(MODE).open(&path)?;
        let length = file.metadata()?.len();
        sync_directory(directory)?;
        Ok(Self { first, path, length, file })
    }

    /// Opens a file that is there.
    pub(super) fn open(path: PathBuf, first: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { first, path, length, file })
    }

    /// Writes a frame at the end, without a sync; answers where.
    pub(super) fn append(&mut self, frame: &Frame<'_>) -> io::Result<u64> {
        let header = frame.header().ok_or_else(|| io::Error::other("a batch is too large for the spool"))?;
        let offset = self.length;
        self.file.write_all(&[&header[..], frame.records()].concat())?;
        self.length =
            offset + HEADER_BYTES + u64::try_from(frame.records().len()).map_err(io::Error::other)?;
        Ok(offset)
    }

    /// Makes all that was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Cuts off what stands after `length`.
    pub(super) fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_all()?;
        self.length = length;
        Ok(())
    }

    /// The batch of a ticket, whose frame begins at `offset`.
    pub(super) fn read(&self, offset: u64, ticket: u64) -> io::Result<Bytes> {
        let mut header = [0; 4];
        self.file.read_exact_at(&mut header, offset)?;
        let length = HEADER_BYTES + u64::from(u32::from_le_bytes(header));
        let damaged = || io::Error::other(format!("the batch {ticket} of the spool is damaged"));
        if offset.saturating_add(length) > self.length {
            return Err(damaged());
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, offset)?;
        match Frame::read(&bytes) {
            Read::Frame(Frame::Batch { ticket: found, records }, _) if found == ticket => {
                let start = bytes.len() - records.len();
                Ok(Bytes::from(bytes).slice(start..))
            }
            _ => Err(damaged()),
        }
    }

    /// Removes the file.
    pub(super) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// The first ticket of a segment with that name; `None`: it is none.
pub(super) fn first_ticket(path: &Path) -> Option<u64> {
    let is_segment = path.extension().is_some_and(|ending| ending == ENDING);
    path.file_stem().filter(|_| is_segment)?.to_str()?.parse().ok()
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
