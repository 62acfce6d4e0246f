//! A file of columns, the first line of which names them.
//!
//! Each record is one line: a line is then the event's number, and a quote that is never closed costs one line and not the
//! rest of the file.

use csv::{ReaderBuilder, StringRecord};
use tollgate_client::v1::UsageEvent;

use crate::cli::import::mapping::{Field, Mapping, fill};

/// Which column fills which field.
#[derive(Debug)]
pub(super) struct CsvLines {
    columns: Vec<Column>,
    columns_total: usize,
    delimiter: u8,
    mapping: Mapping,
}

#[derive(Debug)]
struct Column {
    field: Field,
    name: String,
    place: usize,
}

impl CsvLines {
    /// Reads the names of the columns. A column that was asked for must be there.
    pub(super) fn new(header: &str, delimiter: char, mapping: Mapping) -> Result<Self, String> {
        let delimiter = u8::try_from(delimiter).map_err(|_| format!("`{delimiter}` cannot part columns"))?;
        // Spreadsheets begin their files with a byte order mark.
        let names = record(header.trim_start_matches('\u{feff}'), delimiter)?;
        let mut columns = Vec::new();
        for (field, name, needed) in mapping.columns() {
            match names.iter().position(|column| column.trim() == name) {
                Some(place) => columns.push(Column { field: field.clone(), name: name.to_owned(), place }),
                None if needed => return Err(format!("the file has no column `{name}`")),
                None => {}
            }
        }
        Ok(Self { columns, columns_total: names.len(), delimiter, mapping })
    }

    /// The event of a line, or what is wrong with it.
    pub(super) fn event(&self, line: &str) -> Result<UsageEvent, String> {
        let record = record(line, self.delimiter)?;
        if record.len() != self.columns_total {
            return Err(format!("the line has {} columns instead of {}", record.len(), self.columns_total));
        }
        let mut event = UsageEvent::default();
        for column in &self.columns {
            let text = record.get(column.place).unwrap_or_default();
            fill(&mut event, &column.field, text).map_err(|wrong| format!("{}: {wrong}", column.name))?;
        }
        self.mapping.add_constants(&mut event)?;
        Ok(event)
    }
}

fn record(line: &str, delimiter: u8) -> Result<StringRecord, String> {
    if line.bytes().filter(|byte| *byte == b'"').count() % 2 == 1 {
        return Err(String::from("a quoted column does not end in its line"));
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .buffer_capacity(line.len().max(1))
        .from_reader(line.as_bytes());
    let mut record = StringRecord::new();
    reader.read_record(&mut record).map_err(|error| error.to_string())?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llm() -> CsvLines {
        let map = ["time=TIMESTAMP", "input_tokens=ContextTokens", "output_tokens=GeneratedTokens"];
        let map = map.map(|it| it.parse().unwrap());
        let mapping = Mapping::new(&map, &["service=llm".parse().unwrap()]).unwrap();
        CsvLines::new("\u{feff}TIMESTAMP,ContextTokens,GeneratedTokens,model", ',', mapping).unwrap()
    }

    #[track_caller]
    fn refused(line: &str, expected: &str) {
        let reason = llm().event(line).unwrap_err();
        assert!(reason.contains(expected), "`{reason}` does not say `{expected}`");
    }

    #[test]
    fn columns_fill_fields() {
        let event = llm().event("2023-11-16 18:15:46.6805900,374,44,\"a, \"\"b\"\"\"").unwrap();
        let tokens = event.tokens.unwrap();
        assert_eq!(
            (374, 44, "a, \"b\"", "llm"),
            (tokens.input, tokens.output, &*event.model, &*event.service)
        );
        assert_eq!(Some(680_590_000), event.occurred_at.map(|moment| moment.nanos));
    }

    #[test]
    fn a_broken_line_says_where_it_breaks() {
        refused("2023-11-16 18:15:46,1,2", "3 columns instead of 4");
        refused("2023-11-16 18:15:46,many,2,m", "ContextTokens: `many`");
        refused("noon,1,2,m", "TIMESTAMP: `noon`");
        refused("2023-11-16 18:15:46,1,2,\"m", "does not end");
    }

    #[test]
    fn a_column_that_was_asked_for_must_be_there() {
        let mapping = Mapping::new(&["time=when".parse().unwrap()], &[]).unwrap();
        assert!(CsvLines::new("time,service", ',', mapping).unwrap_err().contains("`when`"));
    }
}
