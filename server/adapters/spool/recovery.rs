//! What a spool has when it is opened: all that was answered, or a word about what is damaged.

use std::collections::VecDeque;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::adapters::spool::frame::{Frame, Read};
use crate::adapters::spool::segment::{Segment, first_ticket, sync_directory};
use crate::adapters::spool::{Files, Waiting};

/// The mode of the directory: its owner's alone.
const MODE: u32 = 0o700;

/// A spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A batch that was answered cannot be read.
    #[error(
        "the spool `{}` is damaged at byte {offset}: what is in it was not shipped yet, so put it back from a backup, or move \
         it away and lose what it has",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// The system refuses.
    #[error("the spool `{}` cannot be opened", path.display())]
    Unusable {
        /// The directory, or a file of it.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Makes the directory where it is missing, and its owner's alone also where it is not: who can write into it can lose what
/// was answered.
fn own(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(MODE))
}

/// Reads all segments of a directory.
pub(super) fn open(directory: &Path) -> Result<Files, OpenError> {
    let unusable = |source| OpenError::Unusable { path: directory.to_owned(), source };
    own(directory).map_err(unusable)?;
    sync_directory(
        directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    )
    .map_err(unusable)?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unusable)? {
        let path = entry.map_err(unusable)?.path();
        found.extend(first_ticket(&path).map(|first| (first, path)));
    }
    found.sort_unstable();
    let mut files = Files {
        directory: directory.to_owned(),
        segments: VecDeque::new(),
        waiting: VecDeque::new(),
        bytes: 0,
        next_ticket: 1,
        has_failed: false,
    };
    let count = found.len();
    for (number, (first, path)) in found.into_iter().enumerate() {
        let is_last = number + 1 == count;
        files.load(first, path.clone(), is_last).map_err(|error| match error {
            Failure::Damaged(offset) => OpenError::Damaged { path, offset },
            Failure::Io(source) => OpenError::Unusable { path, source },
        })?;
    }
    Ok(files)
}

enum Failure {
    Damaged(u64),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Files {
    fn load(&mut self, first: u64, path: PathBuf, is_last: bool) -> Result<(), Failure> {
        let bytes = std::fs::read(&path)?;
        let mut segment = Segment::open(path, first)?;
        if !self.segments.is_empty() && first != self.next_ticket {
            // The one between is gone.
            return Err(Failure::Damaged(0));
        }
        self.next_ticket = first;
        let mut offset = 0;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let place = u64::try_from(offset).map_err(io::Error::other)?;
            let Read::Frame(frame, length) = Frame::read(rest) else {
                // A write that was cut off is the last one: nothing whole stands after it.
                if !is_last || has_frame(rest) {
                    return Err(Failure::Damaged(place));
                }
                warn!("the last {} bytes of the spool were not wholly written, and are cut off", rest.len());
                segment.cut(place)?;
                break;
            };
            self.take(first, place, &frame)?;
            offset += length;
        }
        self.segments.push_back(segment);
        Ok(())
    }

    fn take(&mut self, segment: u64, offset: u64, frame: &Frame<'_>) -> Result<(), Failure> {
        match *frame {
            Frame::Batch { ticket, records } => {
                if ticket != self.next_ticket {
                    return Err(Failure::Damaged(offset));
                }
                self.next_ticket = ticket.saturating_add(1);
                let length = u64::try_from(records.len()).map_err(io::Error::other)?;
                self.keep(Waiting { ticket, segment, offset, length });
            }
            Frame::Forgotten { through } => {
                self.drop_through(through);
            }
        }
        Ok(())
    }
}

/// Whether a whole frame stands anywhere after the first byte.
fn has_frame(bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|start| {
        let rest = bytes.get(start..).unwrap_or_default();
        matches!(Frame::read(rest), Read::Frame(..))
    })
}
