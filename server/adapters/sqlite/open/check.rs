//! What is looked at before a file is trusted.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rusqlite::Connection;

use crate::adapters::sqlite::convert::unsigned;
use crate::adapters::sqlite::open::{Layout, OpenError, explain, unusable};

/// How every SQLite file begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The length of its header.
const HEADER_BYTES: u64 = 100;
/// Files up to this size are looked through wholly; that takes well below a second.
const LOOKED_THROUGH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Looks at the file itself, before the driver does: it takes an empty one for new, whatever its log holds.
pub(super) fn bytes(path: &Path) -> Result<(), OpenError> {
    let found = size(path).map_err(|source| unusable(path, source))?;
    let log = path.with_file_name(format!("{}-wal", path.file_name().unwrap_or_default().display()));
    let has_log = size(&log).map_err(|source| unusable(&log, source))? > 0;
    let truncated = |expected| OpenError::Truncated { path: path.to_owned(), found, expected };
    if found == 0 {
        return if has_log { Err(truncated(HEADER_BYTES)) } else { Ok(()) };
    }
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut header));
    read.map_err(|source| unusable(path, source))?;
    let known = header.len().min(MAGIC.len());
    if header[..known] != MAGIC[..known] {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    match expected_size(&header) {
        None => Err(truncated(HEADER_BYTES)),
        // With a log, the rest of the file may be in it.
        Some(expected) if found < expected && !has_log => Err(truncated(expected)),
        Some(_) => Ok(()),
    }
}

/// The size that a file says it has: its page size is at 16, where 1 is 65,536, and its page count at 28.
fn expected_size(header: &[u8]) -> Option<u64> {
    let page_size = match u16::from_be_bytes(header.get(16..18)?.try_into().ok()?) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes(header.get(28..32)?.try_into().ok()?);
    Some(u64::from(pages).saturating_mul(page_size).max(HEADER_BYTES))
}

/// Looks whose file it is, before anything is written. One without tables is new.
pub(super) fn identity(path: &Path, db: &Connection, layout: &Layout) -> Result<(), OpenError> {
    let read = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let found = read("application_id").map_err(|error| explain(path, error))?;
    let version = read("user_version").map_err(|error| explain(path, error))?;
    let tables = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    let tables = tables.map_err(|error| explain(path, error))?;
    let is_new = tables == 0 && found == 0 && version == 0;
    if !is_new && found != layout.application_id {
        return Err(OpenError::Foreign { path: path.to_owned(), found, expected: layout.application_id });
    }
    if version > layout.version {
        return Err(OpenError::Newer { path: path.to_owned(), found: version, known: layout.version });
    }
    Ok(())
}

/// Folds the log in, and looks whether all of the file is there and, where it is small, whether it is whole.
pub(super) fn contents(path: &Path, db: &Connection) -> Result<(), OpenError> {
    let number = |sql| db.query_row(sql, [], |row| unsigned(row, 0)).map_err(|error| explain(path, error));
    number("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let expected = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
    let found = size(path).map_err(|source| unusable(path, source))?;
    if found < expected {
        return Err(OpenError::Truncated { path: path.to_owned(), found, expected });
    }
    if found > LOOKED_THROUGH_BYTES_MAX {
        return Ok(());
    }
    let verdict = db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match verdict.map_err(|error| explain(path, error))?.as_str() {
        "ok" => Ok(()),
        problem => Err(OpenError::Damaged { path: path.to_owned(), problem: problem.to_owned() }),
    }
}

/// 0 where there is none.
fn size(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
