//! The file, line by line, and the digest that its events are named by.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::cli::import::ImportError;

/// The longest line that is taken; the contract's bounds leave no room for more in an event.
const LINE_BYTES_MAX: u64 = 64 << 10;
const READ_BYTES: usize = 256 << 10;
/// Eighty bits of the digest are enough that no two files share their names.
const DIGEST_BYTES: usize = 10;

/// What names a file by its content.
#[derive(Debug)]
pub(super) struct Digest(String);

impl Digest {
    /// The id of the event in a line.
    pub(super) fn event_id(&self, line: u64) -> String {
        format!("import-{}-{line}", self.0)
    }
}

/// Reads the whole file for its digest.
pub(super) fn digest(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
    let digest = hash.finalize();
    Ok(Digest(digest.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()))
}

/// One line, without its end.
#[derive(Debug)]
pub(super) struct Line {
    /// Its number in the file, from 1.
    pub(super) number: u64,
    /// What it says; cut where it is too long.
    pub(super) bytes: Vec<u8>,
    cut: bool,
}

impl Line {
    #[cfg(test)]
    pub(super) fn of(number: u64, text: &str) -> Self {
        Self { number, bytes: text.as_bytes().to_vec(), cut: false }
    }

    pub(super) fn is_blank(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    /// Its text. Bytes that are no UTF-8, as strange clients leave in logs, become `U+FFFD`.
    pub(super) fn text(&self) -> Result<String, String> {
        if self.cut {
            return Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
        }
        Ok(String::from_utf8_lossy(&self.bytes).into_owned())
    }
}

/// The lines of a file.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    bytes_total: u64,
    bytes_read: u64,
    number: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes_total = file.metadata()?.len();
        let file = BufReader::with_capacity(READ_BYTES, file);
        Ok(Self { path: path.to_owned(), file, bytes_total, bytes_read: 0, number: 0 })
    }

    pub(super) const fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    pub(super) const fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next line. `None`: the file has ended.
    pub(super) fn next(&mut self) -> Result<Option<Line>, ImportError> {
        self.read().map_err(|source| ImportError::File { path: self.path.clone(), source })
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes_read += bytes.len() as u64;
        let mut cut = false;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            bytes.pop_if(|last| *last == b'\r');
        } else if bytes.len() as u64 == LINE_BYTES_MAX {
            let skipped = self.file.skip_until(b'\n')? as u64;
            self.bytes_read += skipped;
            cut = skipped > 0;
        }
        Ok(Some(Line { number: self.number, bytes, cut }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_every_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let long = "x".repeat(100_000);
        std::fs::write(&path, format!("one\ntwo\r\n\n{long}\nl\u{e9}st")).unwrap();
        let mut lines = Lines::open(&path).unwrap();
        let mut texts = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            texts.push((line.number, line.is_blank(), line.text().map_err(|wrong| wrong.contains("longer"))));
        }
        let expected = [
            (1, false, Ok(String::from("one"))),
            (2, false, Ok(String::from("two"))),
            (3, true, Ok(String::new())),
            (4, false, Err(true)),
            (5, false, Ok(String::from("l\u{e9}st"))),
        ];
        assert_eq!(expected.as_slice(), texts);
        assert_eq!(lines.bytes_total(), lines.bytes_read());
    }

    #[test]
    fn a_digest_names_content_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!("import-ba7816bf8f01cfea4141-7", digest(&path).unwrap().event_id(7));
    }
}
