//! What an error of the driver means. Its own words may hold the credentials of the address, so only some are passed on.

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::store::StoreError;

/// A document with such a key is there already.
const DUPLICATE_KEY: i32 = 11_000;

/// MongoDB did not do what it was asked, or nobody knows whether it did.
#[derive(Debug, thiserror::Error)]
#[error("MongoDB: {0}")]
pub struct MongoFailure(String);

impl MongoFailure {
    /// With these words, which are shown.
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// What an error means to the rooms.
#[expect(clippy::needless_pass_by_value, reason = "it maps what the driver gives away")]
pub(super) fn failed(error: Error) -> StoreError {
    StoreError::unavailable(MongoFailure::new(words(&error)))
}

/// A reply that says what it may not.
pub(super) fn nonsense(what: impl Into<String>) -> StoreError {
    StoreError::unavailable(MongoFailure::new(what))
}

/// Whether the write met a document with the same key.
pub(super) fn is_duplicate(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE_KEY)
}

/// Whether the request was sent and its answer did not come: it may have been done.
pub(super) fn is_unanswered(error: &Error) -> bool {
    matches!(*error.kind, ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. })
}

/// Which documents of an unordered insertion met one with the same key. Anything else that went wrong is an error.
pub(super) fn duplicates(inserted: Result<(), Error>) -> Result<Vec<usize>, StoreError> {
    let Err(error) = inserted else { return Ok(Vec::new()) };
    let ErrorKind::InsertMany(several) = &*error.kind else { return Err(failed(error)) };
    let errors = several.write_errors.as_deref().unwrap_or_default();
    let all_duplicates = errors.iter().all(|each| each.code == DUPLICATE_KEY);
    // Without a majority also those that were written are unknown.
    if several.write_concern_error.is_some() || !all_duplicates {
        return Err(failed(error));
    }
    Ok(errors.iter().map(|each| each.index).collect())
}

/// Which statements of an unordered `update` met a document with the same key, by its reply.
pub(super) fn duplicate_statements(reply: &mongodb::bson::Document) -> Result<Vec<usize>, StoreError> {
    if let Ok(concern) = reply.get_document("writeConcernError") {
        let words = concern.get_str("errmsg").unwrap_or("no majority has it");
        return Err(nonsense(format!("a write is not durable yet: {words}")));
    }
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    let mut duplicates = Vec::new();
    for error in errors.iter().filter_map(|error| error.as_document()) {
        let code = error.get_i32("code").unwrap_or(0);
        if code != DUPLICATE_KEY {
            return Err(nonsense(format!("a write was refused with the code {code}")));
        }
        let index = error.get_i32("index").ok().and_then(|index| usize::try_from(index).ok());
        duplicates.push(index.ok_or_else(|| nonsense("an error without its statement"))?);
    }
    Ok(duplicates)
}

/// What is said of an error. The address with its credentials is in none of this.
pub(super) fn words(error: &Error) -> String {
    match &*error.kind {
        ErrorKind::Io(error) => format!("no answer: {error}"),
        ErrorKind::ServerSelection { message, .. } => message.clone(),
        ErrorKind::Authentication { .. } => "the credentials are refused".to_owned(),
        ErrorKind::Command(error) => format!("`{}` ({}): {}", error.code_name, error.code, error.message),
        ErrorKind::Write(WriteFailure::WriteError(error)) => format!("({}) {}", error.code, error.message),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => {
            format!("a write is not durable yet: ({}) {}", error.code, error.message)
        }
        ErrorKind::InsertMany(several) => {
            let first = several.write_errors.iter().flatten().next();
            let first = first.map(|error| format!("({}) {}", error.code, error.message));
            let concern = several.write_concern_error.as_ref().map(|error| error.message.clone());
            format!("not all was written: {}", first.or(concern).unwrap_or_default())
        }
        ErrorKind::ConnectionPoolCleared { .. } => "the connection was given up".to_owned(),
        ErrorKind::IncompatibleServer { message, .. } | ErrorKind::InvalidResponse { message, .. } => {
            message.clone()
        }
        ErrorKind::InvalidTlsConfig { message, .. } => format!("TLS: {message}"),
        ErrorKind::DnsResolve { .. } => "a name could not be resolved".to_owned(),
        _ => "the driver failed".to_owned(),
    }
}
