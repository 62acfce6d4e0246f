//! Which part of a line is which field of an event.

use std::str::FromStr;

use prost_types::Duration;
use tollgate_client::v1::{Consumer, ConsumerKind, Tokens, UsageEvent};

use crate::cli::import::moment;

/// `FIELD=TEXT`, as the flags `--map` and `--set` have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    field: Field,
    text: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (field, text) = text.split_once('=').ok_or_else(|| format!("`{text}` is not like FIELD=TEXT"))?;
        Ok(Self { field: field.parse()?, text: text.to_owned() })
    }
}

/// A field of an event that a line can fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Time,
    Service,
    Endpoint,
    Method,
    Feature,
    StatusCode,
    LatencyMs,
    Weight,
    Premium,
    Model,
    Region,
    Country,
    ApiVersion,
    InputTokens,
    OutputTokens,
    CachedInputTokens,
    CacheWriteInputTokens,
    Consumer(ConsumerKind),
    Quantity(String),
    Dimension(String),
    Metadata(String),
}

/// The fields whose names are fixed; a column of the same name needs no mapping.
const FIELDS: [(&str, Field); 21] = [
    ("time", Field::Time),
    ("service", Field::Service),
    ("endpoint", Field::Endpoint),
    ("method", Field::Method),
    ("feature", Field::Feature),
    ("status_code", Field::StatusCode),
    ("latency_ms", Field::LatencyMs),
    ("weight", Field::Weight),
    ("premium", Field::Premium),
    ("model", Field::Model),
    ("region", Field::Region),
    ("country", Field::Country),
    ("api_version", Field::ApiVersion),
    ("input_tokens", Field::InputTokens),
    ("output_tokens", Field::OutputTokens),
    ("cached_input_tokens", Field::CachedInputTokens),
    ("cache_write_input_tokens", Field::CacheWriteInputTokens),
    ("user", Field::Consumer(ConsumerKind::User)),
    ("bot", Field::Consumer(ConsumerKind::Bot)),
    ("key", Field::Consumer(ConsumerKind::Key)),
    ("integration", Field::Consumer(ConsumerKind::Integration)),
];

impl FromStr for Field {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
            return Ok(field.clone());
        }
        match name.split_once('.') {
            Some(("quantity", name)) => Ok(Self::Quantity(name.to_owned())),
            Some(("dimension", name)) => Ok(Self::Dimension(name.to_owned())),
            Some(("metadata", name)) => Ok(Self::Metadata(name.to_owned())),
            _ => {
                let known = FIELDS.map(|(name, _)| name).join(", ");
                Err(format!(
                    "`{name}` is no field; there are {known}, quantity.NAME, dimension.NAME, metadata.NAME"
                ))
            }
        }
    }
}

/// Where each field comes from.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    columns: Vec<Assignment>,
    /// How many of the columns were asked for; the others are those named like fields.
    asked: usize,
    constants: Vec<Assignment>,
}

impl Mapping {
    pub(super) fn new(map: &[Assignment], set: &[Assignment]) -> Result<Self, String> {
        for constant in set {
            fill(&mut UsageEvent::default(), &constant.field, &constant.text)?;
        }
        let mut columns = map.to_vec();
        for (name, field) in FIELDS {
            if map.iter().chain(set).all(|assignment| assignment.field != field) {
                columns.push(Assignment { field, text: name.to_owned() });
            }
        }
        Ok(Self { columns, asked: map.len(), constants: set.to_vec() })
    }

    /// Which field each column fills, and whether the column was asked for.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&Field, &str, bool)> {
        let columns = self.columns.iter().enumerate();
        columns.map(|(place, column)| (&column.field, &*column.text, place < self.asked))
    }

    /// Puts what all lines have in common into the event of one; it wins over the line's own.
    pub(super) fn add_constants(&self, event: &mut UsageEvent) -> Result<(), String> {
        self.constants.iter().try_for_each(|constant| fill(event, &constant.field, &constant.text))
    }
}

/// Puts `text` into a field of the event. An empty text leaves it as it was.
pub(super) fn fill(event: &mut UsageEvent, field: &Field, text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(());
    }
    match field {
        Field::Time => {
            event.occurred_at = Some(moment::parse(text).ok_or_else(|| format!("`{text}` is no time"))?);
        }
        Field::Service => text.clone_into(&mut event.service),
        Field::Endpoint => text.clone_into(&mut event.endpoint),
        Field::Method => text.clone_into(&mut event.method),
        Field::Feature => text.clone_into(&mut event.feature),
        Field::StatusCode => event.status_code = whole(text)?,
        Field::LatencyMs => event.latency = Some(latency(text)?),
        Field::Weight => event.weight = Some(whole(text)?),
        Field::Premium => event.premium = truth(text)?,
        Field::Model => text.clone_into(&mut event.model),
        Field::Region => text.clone_into(&mut event.region),
        Field::Country => text.clone_into(&mut event.country),
        Field::ApiVersion => text.clone_into(&mut event.api_version),
        Field::InputTokens => tokens(event).input = whole(text)?,
        Field::OutputTokens => tokens(event).output = whole(text)?,
        Field::CachedInputTokens => tokens(event).cached_input = whole(text)?,
        Field::CacheWriteInputTokens => tokens(event).cache_write_input = whole(text)?,
        Field::Consumer(kind) => {
            event.consumers.push(Consumer { kind: (*kind).into(), id: text.to_owned() });
        }
        Field::Quantity(name) => {
            event.quantities.insert(name.clone(), whole(text)?);
        }
        Field::Dimension(name) => {
            event.dimensions.insert(name.clone(), text.to_owned());
        }
        Field::Metadata(name) => {
            event.metadata.insert(name.clone(), text.to_owned());
        }
    }
    Ok(())
}

/// A decimal number times ten to the power of `digits`; what is smaller is cut off.
pub(super) fn decimal(text: &str, digits: usize) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let figures = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !figures(whole) || !figures(fraction) {
        return None;
    }
    let scaled: String =
        whole.chars().chain(fraction.chars().chain(std::iter::repeat('0')).take(digits)).collect();
    scaled.parse().ok()
}

fn tokens(event: &mut UsageEvent) -> &mut Tokens {
    event.tokens.get_or_insert_default()
}

fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number that fits"))
}

fn latency(milliseconds: &str) -> Result<Duration, String> {
    let nanoseconds =
        decimal(milliseconds, 6).ok_or_else(|| format!("`{milliseconds}` is no length in ms"))?;
    let nanos = i32::try_from(nanoseconds % 1_000_000_000).unwrap_or_default();
    Ok(Duration { seconds: nanoseconds / 1_000_000_000, nanos })
}

fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(assignment: &str, expected: impl FnOnce(&mut UsageEvent)) {
        let mut filled = UsageEvent::default();
        expected(&mut filled);
        let mapping = Mapping::new(&[], &[assignment.parse().unwrap()]).unwrap();
        let mut event = UsageEvent::default();
        mapping.add_constants(&mut event).unwrap();
        assert_eq!(filled, event, "{assignment}");
    }

    #[track_caller]
    fn refused(assignment: &str) {
        let parsed = assignment.parse::<Assignment>();
        assert!(parsed.and_then(|it| Mapping::new(&[], &[it])).is_err(), "{assignment}");
    }

    #[test]
    fn each_kind_of_field_is_filled() {
        check("service=llm", |event| event.service = String::from("llm"));
        check("endpoint=/v1/chat?a=b", |event| event.endpoint = String::from("/v1/chat?a=b"));
        check("status_code=404", |event| event.status_code = 404);
        check("latency_ms=1012.5", |event| event.latency = Some(Duration { seconds: 1, nanos: 12_500_000 }));
        check("weight=3", |event| event.weight = Some(3));
        check("premium=Yes", |event| event.premium = true);
        check("output_tokens=7", |event| event.tokens = Some(Tokens { output: 7, ..Tokens::default() }));
        check("bot=b1", |event| {
            event.consumers.push(Consumer { kind: ConsumerKind::Bot.into(), id: String::from("b1") });
        });
        check("quantity.bytes=9", |event| {
            event.quantities.insert(String::from("bytes"), 9);
        });
        check("dimension.team=red", |event| {
            event.dimensions.insert(String::from("team"), String::from("red"));
        });
        check("model= ", |_| {});
    }

    #[test]
    fn what_does_not_fit_a_field_is_refused() {
        for wrong in
            ["service", "colour=red", "status_code=ok", "weight=1.5", "latency_ms=-1", "premium=maybe"]
        {
            refused(wrong);
        }
        refused("time=noon");
        refused("status_code=99999999999");
    }

    #[test]
    fn columns_named_like_fields_need_no_mapping() {
        let map = ["time=TIMESTAMP".parse().unwrap()];
        let set = ["service=llm".parse().unwrap()];
        let mapping = Mapping::new(&map, &set).unwrap();
        let names: Vec<_> = mapping.columns().map(|(_, column, _)| column).collect();
        assert!(names.starts_with(&["TIMESTAMP", "endpoint"]), "{names:?}");
        assert!(!names.contains(&"time") && !names.contains(&"service"), "{names:?}");
    }
}
