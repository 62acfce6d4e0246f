//! A row with its amendments as a document, or amendments that wait for their row.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, doc};
use prost::bytes::Bytes;

use crate::adapters::mongo::convert::{Fields, ID, bytes, stamp_number, stamp_of, unreadable, wide};
use crate::gate::call::{EventKey, PayloadHash};
use crate::ledger::events::{AmendedRow, Amendment, Placed, Row, RowKind};
use crate::ledger::stamp::Stamp;
use crate::store::StoreError;
use crate::time::Timestamp;

pub(super) const PAYLOAD: &str = "payload";
pub(super) const STAMP: &str = "stamp";
pub(super) const TENANT: &str = "tenant";
pub(super) const KIND: &str = "kind";
pub(super) const AT: &str = "at";
pub(super) const OCCURRED_AT: &str = "occurred_at";
pub(super) const BODY: &str = "body";
/// Amendments in the order in which they came.
pub(super) const AMENDMENTS: &str = "amendments";
/// How many amendments there are: a row is put to amendments only as they were read.
pub(super) const COUNT: &str = "amendment_count";
/// How many amendments had come before the row.
pub(super) const EARLY: &str = "early_count";
pub(super) const KEY: &str = "key";
/// The kind of a row that is listed.
pub(super) const USAGE: &str = "usage";
const POSTING: &str = "posting";

/// A document of the rows.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) key: EventKey,
    /// The row, and how many amendments came before it. `None`: it is waited for.
    pub(super) row: Option<(Row, usize)>,
    pub(super) amendments: Vec<Amendment>,
}

impl Kept {
    pub(super) fn read(document: Document) -> Result<Self, StoreError> {
        let mut fields = Fields(document);
        let key = EventKey(fields.wide(ID)?);
        let mut amendments = Vec::new();
        if let Some(Bson::Array(kept)) = fields.0.remove(AMENDMENTS) {
            for amendment in kept {
                let Bson::Document(amendment) = amendment else {
                    return Err(unreadable(AMENDMENTS, "one is no document"));
                };
                amendments.push(read_amendment(key, Fields(amendment))?);
            }
        }
        let row = if fields.0.contains_key(STAMP) {
            let early = usize::try_from(fields.signed(EARLY)?).map_err(|error| unreadable(EARLY, error))?;
            Some((read_row(key, &mut fields)?, early.min(amendments.len())))
        } else {
            None
        };
        Ok(Self { key, row, amendments })
    }

    /// The row with all its amendments.
    pub(super) fn amended(&self) -> Option<AmendedRow> {
        self.amended_before(self.amendments.len())
    }

    /// The row with the amendments that came before the one at that place.
    pub(super) fn amended_before(&self, place: usize) -> Option<AmendedRow> {
        let (row, _) = self.row.as_ref()?;
        Some(AmendedRow {
            row: row.clone(),
            amendments: self.amendments.iter().take(place).cloned().collect(),
        })
    }

    /// The amendments that came before the row.
    pub(super) fn early(&self) -> &[Amendment] {
        let early = self.row.as_ref().map_or(0, |(_, early)| *early);
        self.amendments.get(..early).unwrap_or_default()
    }

    /// Where the amendment with that key stands.
    pub(super) fn place(&self, key: EventKey) -> Option<usize> {
        self.amendments.iter().position(|amendment| amendment.key == key)
    }
}

/// The fields of a row.
pub(super) fn row_fields(row: &Row) -> Result<Document, StoreError> {
    let kind = match row.kind {
        RowKind::Usage => USAGE,
        RowKind::Posting => POSTING,
    };
    Ok(doc! {
        PAYLOAD: wide(row.payload.0),
        STAMP: wide(stamp_number(row.stamp)?),
        TENANT: &*row.tenant,
        KIND: kind,
        AT: row.at.micros(),
        OCCURRED_AT: row.occurred_at.micros(),
        BODY: bytes(&row.body),
    })
}

/// An amendment within its row's document.
pub(super) fn amendment_fields(amendment: &Amendment) -> Result<Document, StoreError> {
    Ok(doc! {
        KEY: wide(amendment.key.0),
        PAYLOAD: wide(amendment.payload.0),
        STAMP: wide(stamp_number(amendment.stamp)?),
        BODY: bytes(&amendment.body),
    })
}

/// The path of the keys of a row's amendments.
pub(super) fn amendment_keys() -> String {
    format!("{AMENDMENTS}.{KEY}")
}

/// What another record with the same key is to the one that is kept.
pub(super) fn judge(kept: (PayloadHash, Stamp), payload: PayloadHash, stamp: Stamp) -> Placed {
    if kept.1 == stamp {
        Placed::Replay
    } else if kept.0 == payload {
        Placed::Duplicate
    } else {
        Placed::Conflict
    }
}

fn read_row(key: EventKey, fields: &mut Fields) -> Result<Row, StoreError> {
    Ok(Row {
        key,
        payload: PayloadHash(fields.wide(PAYLOAD)?),
        stamp: stamp_of(fields.wide(STAMP)?),
        tenant: Arc::from(fields.text(TENANT)?),
        kind: match fields.text(KIND)? {
            USAGE => RowKind::Usage,
            POSTING => RowKind::Posting,
            other => return Err(unreadable(KIND, format!("`{other}` is none"))),
        },
        at: Timestamp::from_micros(fields.signed(AT)?),
        occurred_at: Timestamp::from_micros(fields.signed(OCCURRED_AT)?),
        body: Bytes::from(fields.bytes(BODY)?),
    })
}

fn read_amendment(target: EventKey, mut fields: Fields) -> Result<Amendment, StoreError> {
    Ok(Amendment {
        key: EventKey(fields.wide(KEY)?),
        payload: PayloadHash(fields.wide(PAYLOAD)?),
        stamp: stamp_of(fields.wide(STAMP)?),
        target,
        body: Bytes::from(fields.bytes(BODY)?),
    })
}
