//! The port `Documents` on SQLite: a table of bodies, and two of index values.

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};
use tracing::instrument;

use crate::adapters::sqlite::open::Database;
use crate::store::{Document, Documents, Found, Inserted, Order, Replaced, Search, StoreError};

/// `indexes` repeats the index values of a document in one text, so that a replacement that changes none of them is a
/// single update. Range values are blobs: the first value past a prefix need not be text.
pub(super) const SCHEMA: &str = "
    CREATE TABLE documents (
        place INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL,
        indexes TEXT NOT NULL, body BLOB NOT NULL, UNIQUE (kind, id)) STRICT;
    CREATE TABLE document_uniques (
        kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, place INTEGER NOT NULL,
        PRIMARY KEY (kind, name, value)) STRICT, WITHOUT ROWID;
    CREATE INDEX document_uniques_place ON document_uniques (place);
    CREATE TABLE document_ranges (
        kind TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, id TEXT NOT NULL, place INTEGER NOT NULL,
        PRIMARY KEY (kind, name, value, id)) STRICT, WITHOUT ROWID;
    CREATE INDEX document_ranges_place ON document_ranges (place);
";

/// Documents in the ledger's file.
#[derive(Clone, Debug)]
pub struct SqliteDocuments {
    database: Database,
}

impl SqliteDocuments {
    /// The documents in an open file.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }
}

#[async_trait]
impl Documents for SqliteDocuments {
    #[instrument(level = "debug", skip_all, name = "documents.insert", target = "tollgate::store")]
    async fn insert(&self, document: Document) -> Result<Inserted, StoreError> {
        self.database.write(move |db| insert(db, &document)).await
    }

    #[instrument(level = "debug", skip_all, name = "documents.get", target = "tollgate::store")]
    async fn get(&self, kind: &'static str, id: &str) -> Result<Option<Document>, StoreError> {
        let id = id.to_owned();
        self.database.read(move |db| get(&mut by_id(db)?, kind, &id)).await
    }

    #[instrument(level = "debug", skip_all, name = "documents.get_many", target = "tollgate::store")]
    async fn get_many(
        &self,
        kind: &'static str,
        ids: &[String],
    ) -> Result<Vec<Option<Document>>, StoreError> {
        let ids = ids.to_vec();
        self.database
            .read(move |db| {
                let mut statement = by_id(db)?;
                ids.iter().map(|id| get(&mut statement, kind, id)).collect()
            })
            .await
    }

    #[instrument(level = "debug", skip_all, name = "documents.get_by", target = "tollgate::store")]
    async fn get_by(
        &self,
        kind: &'static str,
        index: &'static str,
        value: &str,
    ) -> Result<Option<Document>, StoreError> {
        let value = value.to_owned();
        self.database
            .read(move |db| {
                let mut statement = db.prepare_cached(
                "SELECT d.id, d.revision, d.body FROM document_uniques u JOIN documents d ON d.place = u.place
                 WHERE u.kind = ?1 AND u.name = ?2 AND u.value = ?3",
            )?;
                statement.query_row(params![kind, index, value], |row| to_document(kind, row)).optional()
            })
            .await
    }

    #[instrument(level = "debug", skip_all, name = "documents.replace_many", target = "tollgate::store")]
    async fn replace_many(&self, documents: Vec<Document>) -> Result<Vec<Replaced>, StoreError> {
        self.database.write(move |db| documents.iter().map(|document| replace(db, document)).collect()).await
    }

    #[instrument(level = "debug", skip_all, name = "documents.delete", target = "tollgate::store")]
    async fn delete(&self, kind: &'static str, id: &str, revision: u64) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.database
            .write(move |db| {
                let mut statement = db.prepare_cached(
                    "DELETE FROM documents WHERE kind = ? AND id = ? AND revision = ? RETURNING place",
                )?;
                let place =
                    statement.query_row(params![kind, id, to_sql(revision)?], |row| row.get(0)).optional()?;
                place.map(|place| unindex(db, place)).transpose().map(|deleted| deleted.is_some())
            })
            .await
    }

    #[instrument(level = "debug", skip_all, name = "documents.find", target = "tollgate::store")]
    async fn find(&self, search: Search<'_>) -> Result<Vec<Found>, StoreError> {
        let range = Range::of(&search);
        let (kind, index, order) = (search.kind, search.index, search.order);
        let limit = i64::try_from(search.limit).unwrap_or(i64::MAX);
        self.database
            .read(move |db| {
                let mut statement = db.prepare_cached(match order {
                    Order::Ascending => FIND_ASCENDING,
                    Order::Descending => FIND_DESCENDING,
                })?;
                let (low, high) = (&range.low, &range.high);
                let rows = statement
                    .query_map(params![kind, index, low.0, low.1, high.0, high.1, limit], |row| {
                        to_found(kind, row)
                    })?;
                rows.collect()
            })
            .await
    }
}

/// What stands strictly between two pairs of value and id.
struct Range {
    low: (Vec<u8>, String),
    high: (Vec<u8>, String),
}

impl Range {
    fn of(search: &Search<'_>) -> Self {
        let mut low = (search.prefix.as_bytes().to_vec(), String::new());
        // No text has this byte, so nothing that starts with the prefix stands after it.
        let mut high = ([search.prefix.as_bytes(), &[u8::MAX]].concat(), String::new());
        let after = search.after.map(|(value, id)| (value.as_bytes().to_vec(), id.to_owned()));
        match (search.order, after) {
            (Order::Ascending, Some(after)) => low = low.max(after),
            (Order::Descending, Some(after)) => high = high.min(after),
            (_, None) => {}
        }
        Self { low, high }
    }
}

// CROSS JOIN fixes the order of the loops: the index first, in its own order, so that nothing is sorted.
const FIND_ASCENDING: &str = "
    SELECT d.id, d.revision, d.body, r.value FROM document_ranges r CROSS JOIN documents d ON d.place = r.place
    WHERE r.kind = ?1 AND r.name = ?2 AND (r.value, r.id) > (?3, ?4) AND (r.value, r.id) < (?5, ?6)
    ORDER BY r.value, r.id LIMIT ?7";
const FIND_DESCENDING: &str = "
    SELECT d.id, d.revision, d.body, r.value FROM document_ranges r CROSS JOIN documents d ON d.place = r.place
    WHERE r.kind = ?1 AND r.name = ?2 AND (r.value, r.id) > (?3, ?4) AND (r.value, r.id) < (?5, ?6)
    ORDER BY r.value DESC, r.id DESC LIMIT ?7";

fn by_id(db: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    db.prepare_cached("SELECT id, revision, body FROM documents WHERE kind = ? AND id = ?")
}

fn get(
    statement: &mut CachedStatement<'_>,
    kind: &'static str,
    id: &str,
) -> rusqlite::Result<Option<Document>> {
    statement.query_row(params![kind, id], |row| to_document(kind, row)).optional()
}

fn insert(db: &Connection, document: &Document) -> rusqlite::Result<Inserted> {
    if by_id(db)?.exists(params![document.kind, document.id])? {
        return Ok(Inserted::Taken { index: String::from("id") });
    }
    if let Some(index) = taken(db, document, None)? {
        return Ok(Inserted::Taken { index: index.to_owned() });
    }
    db.prepare_cached("INSERT INTO documents (kind, id, revision, indexes, body) VALUES (?, ?, 1, ?, ?)")?
        .execute(params![document.kind, document.id, index_text(document), document.body])?;
    index(db, document, db.last_insert_rowid())?;
    Ok(Inserted::Yes)
}

fn replace(db: &Connection, document: &Document) -> rusqlite::Result<Replaced> {
    if document.revision == 0 {
        let inserted = insert(db, document)?;
        return Ok(if inserted == Inserted::Yes { Replaced::Yes { revision: 1 } } else { Replaced::Changed });
    }
    let (indexes, revision) = (index_text(document), to_sql(document.revision)?);
    let next = document.revision.saturating_add(1);
    let same_indexes = db
        .prepare_cached(
            "UPDATE documents SET revision = ?1, body = ?2
             WHERE kind = ?3 AND id = ?4 AND revision = ?5 AND indexes = ?6",
        )?
        .execute(params![to_sql(next)?, document.body, document.kind, document.id, revision, indexes])?;
    if same_indexes == 1 {
        return Ok(Replaced::Yes { revision: next });
    }
    let place = db
        .prepare_cached("SELECT place FROM documents WHERE kind = ? AND id = ? AND revision = ?")?
        .query_row(params![document.kind, document.id, revision], |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(place) = place else { return Ok(Replaced::Changed) };
    if taken(db, document, Some(place))?.is_some() {
        return Ok(Replaced::Changed);
    }
    db.prepare_cached("UPDATE documents SET revision = ?, body = ?, indexes = ? WHERE place = ?")?
        .execute(params![to_sql(next)?, document.body, indexes, place])?;
    unindex(db, place)?;
    index(db, document, place)?;
    Ok(Replaced::Yes { revision: next })
}

/// The first unique index in which another document has the value.
fn taken(db: &Connection, document: &Document, own: Option<i64>) -> rusqlite::Result<Option<&'static str>> {
    let mut statement = db.prepare_cached(
        "SELECT 1 FROM document_uniques WHERE kind = ? AND name = ? AND value = ? AND place IS NOT ?",
    )?;
    for (name, value) in &document.unique {
        if statement.exists(params![document.kind, name, value, own])? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn index(db: &Connection, document: &Document, place: i64) -> rusqlite::Result<()> {
    for (name, value) in &document.unique {
        db.prepare_cached("INSERT INTO document_uniques (kind, name, value, place) VALUES (?, ?, ?, ?)")?
            .execute(params![document.kind, name, value, place])?;
    }
    for (name, value) in &document.ranges {
        db.prepare_cached(
            "INSERT OR IGNORE INTO document_ranges (kind, name, value, id, place) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![document.kind, name, value.as_bytes(), document.id, place])?;
    }
    Ok(())
}

fn unindex(db: &Connection, place: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM document_uniques WHERE place = ?")?.execute(params![place])?;
    db.prepare_cached("DELETE FROM document_ranges WHERE place = ?")?.execute(params![place])?;
    Ok(())
}

/// One text for all index values of a document; empty where it has none, as those have that are written most.
fn index_text(document: &Document) -> String {
    if document.unique.is_empty() && document.ranges.is_empty() {
        return String::new();
    }
    format!("{:?}{:?}", document.unique, document.ranges)
}

fn to_document(kind: &'static str, row: &Row<'_>) -> rusqlite::Result<Document> {
    let revision = row.get::<_, i64>(1)?;
    let revision = u64::try_from(revision).map_err(|error| unreadable(1, error))?;
    Ok(Document {
        kind,
        id: row.get(0)?,
        revision,
        body: row.get(2)?,
        unique: Vec::new(),
        ranges: Vec::new(),
    })
}

fn to_found(kind: &'static str, row: &Row<'_>) -> rusqlite::Result<Found> {
    let value = String::from_utf8(row.get(3)?).map_err(|error| unreadable(3, error))?;
    Ok(Found { value, document: to_document(kind, row)? })
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}

fn to_sql(revision: u64) -> rusqlite::Result<i64> {
    i64::try_from(revision).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
