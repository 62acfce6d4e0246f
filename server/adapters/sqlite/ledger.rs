//! The ledger's file: all that is kept beside the journal.

use std::path::Path;

use crate::adapters::sqlite::open::{Database, Durability, Layout, OpenError};
use crate::adapters::sqlite::{documents, events, rollups};

const LAYOUT: Layout = Layout {
    application_id: 0x7467_6c64,
    version: 2,
    schema: &[
        documents::SCHEMA,
        events::TENANTS,
        events::ROWS,
        events::INDEXES,
        events::AMENDMENTS,
        events::REFUSALS,
        rollups::SCHEMA,
        events::AGES,
    ],
    upgrades: &[events::AGES],
    durability: Durability::OnSync,
};

/// Opens the ledger's file, and makes it where it is missing.
pub fn open(path: &Path) -> Result<Database, OpenError> {
    Database::open(path, &LAYOUT)
}
