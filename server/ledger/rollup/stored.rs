//! How a rollup is kept: its hour, its minutes and its breakdowns apart, so that each is read alone.

use std::collections::BTreeMap;
use std::error::Error;

use prost::Message;

use crate::ledger::rollup::Rollup;
use crate::ledger::rollup::breakdown::{Breakdown, Breakdowns, Dimension, FIELDS, NONE, OTHER};
use crate::ledger::rollups::StoredRollup;
use crate::ledger::sums::Sums;
use crate::ledger::wire::Wire;
use crate::store::StoreError;

/// Sums by the minute of the hour, 0 to 59.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Minutes {
    #[prost(btree_map = "uint32, message", tag = "1")]
    pub(super) by_minute: BTreeMap<u32, Box<Sums>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredBreakdowns {
    #[prost(message, repeated, tag = "1")]
    breakdowns: Vec<StoredBreakdown>,
    #[prost(bool, tag = "2")]
    names_left_out: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredBreakdown {
    /// The number of the dimension, as the contract has it.
    #[prost(uint32, tag = "1")]
    dimension: u32,
    /// The name of one of the events' own.
    #[prost(string, tag = "2")]
    name: String,
    /// The encoded [`Breakdown`], so that those nobody asked for are passed over.
    #[prost(bytes = "vec", tag = "3")]
    values: Vec<u8>,
}

const CUSTOM: u32 = 12;

impl Rollup {
    /// As a store keeps it, at the revision that it was read with.
    #[must_use]
    pub fn encode(&self) -> StoredRollup {
        let (mut totals, mut minutes) = (Wire::default(), Wire::default());
        self.hour.write(&mut totals);
        for (minute, sums) in &self.minutes.by_minute {
            minutes.nested(1, |wire| {
                wire.number(1, i64::from(*minute));
                wire.nested(2, |wire| sums.write(wire));
            });
        }
        StoredRollup {
            key: self.key.clone(),
            revision: self.revision,
            positions: self.positions.clone(),
            totals: totals.into_bytes(),
            minutes: minutes.into_bytes(),
            dimensions: self.breakdowns.encode(),
        }
    }

    /// A rollup that was kept whole.
    pub fn decode(stored: StoredRollup) -> Result<Self, StoreError> {
        let hour = decode_totals(&stored)?;
        let minutes = Minutes { by_minute: decode_minutes(&stored)? };
        let kept = StoredBreakdowns::decode(stored.dimensions.as_slice()).map_err(|e| corrupt(&stored, e))?;
        let mut breakdowns = Breakdowns { names_left_out: kept.names_left_out, ..Breakdowns::default() };
        for each in kept.breakdowns {
            let breakdown = decode_values(&stored, &each.values)?;
            if each.dimension == CUSTOM {
                breakdowns.custom.insert(each.name, breakdown);
            } else if let Some(place) = FIELDS.iter().position(|known| number(known) == each.dimension) {
                breakdowns.fields[place] = Some(breakdown);
            } else {
                return Err(corrupt(&stored, format!("dimension {} is not known", each.dimension)));
            }
        }
        let StoredRollup { key, revision, positions, .. } = stored;
        Ok(Self { key, revision, positions, hour, minutes, breakdowns })
    }
}

impl Breakdowns {
    /// As [`StoredBreakdowns`] would be.
    fn encode(&self) -> Vec<u8> {
        let fields = FIELDS.iter().zip(&self.fields);
        let fields = fields.filter_map(|(dimension, slot)| Some((number(dimension), "", slot.as_ref()?)));
        let custom = self.custom.iter().map(|(name, breakdown)| (CUSTOM, name.as_str(), breakdown));
        let mut all = Wire::default();
        for (dimension, name, breakdown) in fields.chain(custom) {
            all.nested(1, |wire| {
                wire.number(1, i64::from(dimension));
                wire.text(2, name);
                wire.nested(3, |wire| write_values(wire, breakdown));
            });
        }
        all.number(2, i64::from(self.names_left_out));
        all.into_bytes()
    }
}

fn write_values(wire: &mut Wire, breakdown: &Breakdown) {
    for (value, sums) in &breakdown.values {
        wire.nested(1, |wire| {
            wire.text(1, value);
            wire.nested(2, |wire| sums.write(wire));
        });
    }
}

/// The sums of the whole hour alone.
pub fn decode_totals(stored: &StoredRollup) -> Result<Sums, StoreError> {
    let totals = Sums::decode(stored.totals.as_slice()).map_err(|e| corrupt(stored, e))?;
    if totals.is_sound() { Ok(totals) } else { Err(unsound(stored)) }
}

/// The sums of the minutes alone.
pub fn decode_minutes(stored: &StoredRollup) -> Result<BTreeMap<u32, Box<Sums>>, StoreError> {
    let Minutes { by_minute } = Minutes::decode(stored.minutes.as_slice()).map_err(|e| corrupt(stored, e))?;
    let is_sound = by_minute.iter().all(|(minute, sums)| *minute < 60 && sums.is_sound());
    if is_sound { Ok(by_minute) } else { Err(unsound(stored)) }
}

/// The sums of the hour by the values of one dimension alone. What no breakdown tells apart is under [`NONE`], or under
/// [`OTHER`] where there was no room for the name.
pub fn decode_breakdown(stored: &StoredRollup, dimension: &Dimension) -> Result<Breakdown, StoreError> {
    let kept = StoredBreakdowns::decode(stored.dimensions.as_slice()).map_err(|e| corrupt(stored, e))?;
    let (wanted, name) = match dimension {
        Dimension::Custom(name) => (CUSTOM, name.as_str()),
        field => (number(field), ""),
    };
    let found = kept.breakdowns.iter().find(|each| each.dimension == wanted && each.name == name);
    if let Some(found) = found {
        return decode_values(stored, &found.values);
    }
    let value = if wanted == CUSTOM && kept.names_left_out { OTHER } else { NONE };
    Ok(Breakdown::all_under(value, &decode_totals(stored)?))
}

/// The sums of the hour by the values of each dimension that any event had.
pub fn decode_breakdowns(stored: &StoredRollup) -> Result<Vec<(Dimension, Breakdown)>, StoreError> {
    let kept = StoredBreakdowns::decode(stored.dimensions.as_slice()).map_err(|e| corrupt(stored, e))?;
    let known = |each: &StoredBreakdown| match each.dimension {
        CUSTOM => Some(Dimension::Custom(each.name.clone())),
        other => FIELDS.into_iter().find(|field| number(field) == other),
    };
    let mut all = Vec::with_capacity(kept.breakdowns.len());
    for each in kept.breakdowns {
        let dimension = known(&each);
        let dimension =
            dimension.ok_or_else(|| corrupt(stored, format!("dimension {} is not known", each.dimension)))?;
        all.push((dimension, decode_values(stored, &each.values)?));
    }
    Ok(all)
}

fn decode_values(stored: &StoredRollup, values: &[u8]) -> Result<Breakdown, StoreError> {
    let breakdown = Breakdown::decode(values).map_err(|e| corrupt(stored, e))?;
    if breakdown.values.values().all(|sums| sums.is_sound()) { Ok(breakdown) } else { Err(unsound(stored)) }
}

fn unsound(stored: &StoredRollup) -> StoreError {
    corrupt(stored, "its numbers contradict one another")
}

fn corrupt(stored: &StoredRollup, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::corrupt(format!("a rollup of tenant `{}` at {}", stored.key.tenant, stored.key.hour), source)
}

/// The number of a dimension in the contract; it is kept on disk and never changes.
const fn number(dimension: &Dimension) -> u32 {
    match dimension {
        Dimension::Endpoint => 1,
        Dimension::Service => 2,
        Dimension::Method => 3,
        Dimension::StatusCode => 4,
        Dimension::Consumer => 5,
        Dimension::ApiKey => 6,
        Dimension::Model => 7,
        Dimension::Region => 8,
        Dimension::Country => 9,
        Dimension::ApiVersion => 10,
        Dimension::Feature => 11,
        Dimension::Custom(_) => CUSTOM,
    }
}
