//! Sums of an hour by the values of its dimensions, bounded in names and values (rule G).

use std::collections::BTreeMap;

use crate::ledger::event::Event;
use crate::ledger::sums::{Effect, Sums};

/// What usage is broken down by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the field of the event that it names")]
pub enum Dimension {
    Endpoint,
    Service,
    Method,
    StatusCode,
    Consumer,
    ApiKey,
    Model,
    Region,
    Country,
    ApiVersion,
    Feature,
    /// A dimension of the events' own, by its name.
    Custom(String),
}

/// The most values of a dimension in an hour; what comes after is under [`OTHER`].
pub const VALUES_MAX: usize = 1_000;

/// The most dimensions of the events' own in an hour; those that come after are not broken down.
pub const NAMES_MAX: usize = 32;

/// Stands for all values for which there was no room.
pub const OTHER: &str = "other";

/// Stands for the events that have no value.
pub const NONE: &str = "";

/// Sums by the values of one dimension.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Breakdown {
    /// What each value adds up to; [`NONE`] and [`OTHER`] are beside the bound. A value once there stays.
    #[prost(btree_map = "string, message", tag = "1")]
    // Boxed, because a node of the map has room for eleven of them, and most dimensions of most hours have one.
    pub values: BTreeMap<String, Box<Sums>>,
}

/// The breakdowns of one hour. One begins with the first event that has a value; all that came before had none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Breakdowns {
    /// Those of every event's fields, by [`FIELDS`] and what follows it.
    pub(super) fields: [Option<Breakdown>; FIELD_COUNT],
    /// Those of the events' own, by name.
    pub(super) custom: BTreeMap<String, Breakdown>,
    /// Whether an event named a dimension for which there was no room.
    pub(super) names_left_out: bool,
}

/// The dimensions that every event has a place for, each at its place in [`Breakdowns::fields`].
pub(super) const FIELDS: [Dimension; FIELD_COUNT] = [
    Dimension::Endpoint,
    Dimension::Service,
    Dimension::Method,
    Dimension::ApiKey,
    Dimension::Model,
    Dimension::Region,
    Dimension::Country,
    Dimension::ApiVersion,
    Dimension::Feature,
    Dimension::StatusCode,
    Dimension::Consumer,
];
const FIELD_COUNT: usize = 11;
const STATUS_CODE: usize = 9;
const CONSUMER: usize = 10;

impl Breakdown {
    /// One in which all of an hour's usage is under one value.
    #[must_use]
    pub fn all_under(value: &str, hour: &Sums) -> Self {
        let mut values = BTreeMap::new();
        if !hour.is_empty() {
            values.insert(value.to_owned(), Box::new(hour.clone()));
        }
        Self { values }
    }

    /// The sums of a value, or of [`OTHER`] where there is no room for it.
    fn sums_mut(&mut self, value: &str) -> &mut Sums {
        let value = self.home_of(value);
        if !self.values.contains_key(value) {
            self.values.insert(value.to_owned(), Box::default());
        }
        self.values.get_mut(value).expect("it was inserted where it was not there")
    }

    /// The value under which a value is counted.
    fn home_of<'a>(&self, value: &'a str) -> &'a str {
        let has_room = self.values.len() < VALUES_MAX || value == NONE || self.values.contains_key(value);
        if has_room { value } else { OTHER }
    }
}

impl Breakdowns {
    /// Makes a change under each value that it has. `hour` are the sums before it.
    pub(super) fn apply(&mut self, hour: &Sums, effect: &Effect<'_>) {
        let (event, api_key_id) = match effect {
            Effect::Count(counted) | Effect::Amend { after: counted, .. } => {
                (counted.event, counted.api_key_id)
            }
            Effect::Refuse { event, api_key_id } => (*event, *api_key_id),
        };
        self.apply_fields(hour, event, api_key_id, effect);
        self.apply_status(hour, event, effect);
        apply_consumers(&mut self.fields[CONSUMER], hour, event, effect);
        self.apply_custom(hour, event, effect);
    }

    fn apply_fields(&mut self, hour: &Sums, event: &Event, api_key_id: &str, effect: &Effect<'_>) {
        let values = [
            event.endpoint.as_str(),
            &event.service,
            &event.method,
            api_key_id,
            &event.model,
            &event.region,
            &event.country,
            &event.api_version,
            &event.feature,
        ];
        for (slot, value) in self.fields.iter_mut().zip(values) {
            if let Some(breakdown) = begun(slot, hour, value) {
                breakdown.sums_mut(value).apply(effect);
            }
        }
    }

    /// The status is the one dimension in which an outcome moves an event from one value to another.
    fn apply_status(&mut self, hour: &Sums, event: &Event, effect: &Effect<'_>) {
        let status = event.status_code.to_string();
        let Some(breakdown) = begun(&mut self.fields[STATUS_CODE], hour, &status) else { return };
        match effect {
            Effect::Amend { before, after } if before.event.status_code != after.event.status_code => {
                breakdown.sums_mut(&before.event.status_code.to_string()).uncount(before);
                breakdown.sums_mut(&status).count(after);
            }
            _ => breakdown.sums_mut(&status).apply(effect),
        }
    }

    fn apply_custom(&mut self, hour: &Sums, event: &Event, effect: &Effect<'_>) {
        for (name, value) in &event.dimensions {
            if value.is_empty() || self.custom.contains_key(name) {
                continue;
            }
            if self.custom.len() < NAMES_MAX {
                self.custom.insert(name.clone(), Breakdown::all_under(NONE, hour));
            } else {
                self.names_left_out = true;
            }
        }
        for (name, breakdown) in &mut self.custom {
            let value = event.dimensions.get(name).map_or(NONE, String::as_str);
            breakdown.sums_mut(value).apply(effect);
        }
    }
}

/// An event counts under each of its consumers, once even where several share a place.
fn apply_consumers(slot: &mut Option<Breakdown>, hour: &Sums, event: &Event, effect: &Effect<'_>) {
    let Some(first) = event.consumers.first() else {
        if let Some(breakdown) = slot {
            breakdown.sums_mut(NONE).apply(effect);
        }
        return;
    };
    let Some(breakdown) = begun(slot, hour, first) else { return };
    for (place, consumer) in event.consumers.iter().enumerate() {
        let home = breakdown.home_of(consumer);
        if !event.consumers[..place].iter().any(|earlier| breakdown.home_of(earlier) == home) {
            breakdown.sums_mut(consumer).apply(effect);
        }
    }
}

/// The breakdown, begun now if this is its first value.
fn begun<'a>(slot: &'a mut Option<Breakdown>, hour: &Sums, value: &str) -> Option<&'a mut Breakdown> {
    if slot.is_none() && value.is_empty() {
        return None;
    }
    Some(slot.get_or_insert_with(|| Breakdown::all_under(NONE, hour)))
}
