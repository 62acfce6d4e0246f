//! Answers as tables for people, or as JSON for programs.

use std::io::{self, Write as _};

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::cli::admin::Format;
use crate::time::{SECOND, Timestamp};

/// Things of one kind: a column for each name, a row for each thing.
#[derive(Debug)]
pub(super) struct Rows {
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// Without a row yet.
    pub(super) const fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// With one more.
    pub(super) fn push(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// Writes them all.
    pub(super) fn show(self, format: Format) -> io::Result<()> {
        match format {
            Format::Json => {
                let object = |row: &Vec<String>| -> Value {
                    self.columns
                        .iter()
                        .zip(row)
                        .map(|(name, text)| ((*name).to_owned(), json!(text)))
                        .collect()
                };
                let all: Vec<_> = self.rows.iter().map(object).collect();
                writeln!(io::stdout(), "{:#}", json!(all))
            }
            Format::Table => {
                let mut table = Table::new();
                table.load_style(presets::NOTHING);
                table.set_header(self.columns.iter().copied());
                for row in self.rows {
                    table.add_row(row);
                }
                writeln!(io::stdout(), "{table}")
            }
        }
    }
}

/// A moment to the second; empty: there is none.
pub(super) fn moment(at: Option<prost_types::Timestamp>) -> String {
    at.map(|at| Timestamp::from_micros(at.seconds.saturating_mul(SECOND)).to_string()).unwrap_or_default()
}
