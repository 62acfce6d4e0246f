//! Numbers as SQLite keeps them: signed, and keys as blobs of their bytes.

use rusqlite::Row;
use rusqlite::types::Type;

/// A number without sign, in a column.
pub(super) fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// A number without sign, out of a column.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A key, out of a column.
pub(super) fn wide(row: &Row<'_>, column: usize) -> rusqlite::Result<u128> {
    let bytes: [u8; 16] =
        row.get_ref(column)?.as_blob()?.try_into().map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
        })?;
    Ok(u128::from_be_bytes(bytes))
}
