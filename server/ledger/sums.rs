//! What usage adds up to: the sums of a minute, an hour, or one value of a dimension.

use std::collections::BTreeMap;

use crate::ledger::event::Event;
use crate::ledger::sketch::Sketch;
use crate::ledger::wire::Wire;
use crate::time::Timestamp;

/// Sums over events. They stay at the largest number where it is not enough.
#[derive(Clone, PartialEq, prost::Message, serde::Serialize)]
pub struct Sums {
    /// Events.
    #[prost(int64, tag = "1")]
    pub calls: i64,
    /// Calls that were refused; they are in no other sum.
    #[prost(int64, tag = "2")]
    pub refused: i64,
    /// Events with a status code of 400 or above.
    #[prost(int64, tag = "3")]
    pub errors: i64,
    /// Weights.
    #[prost(int64, tag = "4")]
    pub units: i64,
    /// Charges, in micro-credits.
    #[prost(int64, tag = "5")]
    pub credits_micros: i64,
    /// Tokens read.
    #[prost(int64, tag = "6")]
    pub tokens_input: i64,
    /// Tokens written.
    #[prost(int64, tag = "7")]
    pub tokens_output: i64,
    /// Tokens read from a cache.
    #[prost(int64, tag = "8")]
    pub tokens_cached_input: i64,
    /// Tokens written to a cache.
    #[prost(int64, tag = "9")]
    pub tokens_cache_write_input: i64,
    /// Further amounts by name.
    #[prost(btree_map = "string, int64", tag = "10")]
    pub quantities: BTreeMap<String, i64>,
    /// Latencies; `None`: no event had one.
    #[prost(message, optional, tag = "11")]
    pub latency: Option<Sketch>,
}

/// An event as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The event, with the outcome that it has at that moment.
    pub event: &'a Event,
    /// What it was charged at that moment, in micro-credits.
    pub credits_micros: i64,
    /// The key that made the call; empty: none.
    pub api_key_id: &'a str,
}

/// Something that changes sums.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// When the call was made.
    pub occurred_at: Timestamp,
    /// What is to be done.
    pub effect: Effect<'a>,
}

/// What a change does.
#[derive(Clone, Copy, Debug)]
pub enum Effect<'a> {
    /// Counts an event.
    Count(Counted<'a>),
    /// An event that is counted becomes another: its outcome, or what it was charged. The rest of it is the same.
    Amend {
        /// As it was counted.
        before: Counted<'a>,
        /// As it is to be counted.
        after: Counted<'a>,
    },
    /// Counts a refusal.
    Refuse {
        /// The call that was refused.
        event: &'a Event,
        /// The key that made the call; empty: none.
        api_key_id: &'a str,
    },
}

impl Sums {
    /// Adds all that another has.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.calls, other.calls),
            (&mut self.refused, other.refused),
            (&mut self.errors, other.errors),
            (&mut self.units, other.units),
            (&mut self.credits_micros, other.credits_micros),
            (&mut self.tokens_input, other.tokens_input),
            (&mut self.tokens_output, other.tokens_output),
            (&mut self.tokens_cached_input, other.tokens_cached_input),
            (&mut self.tokens_cache_write_input, other.tokens_cache_write_input),
        ];
        for (sum, more) in pairs {
            *sum = sum.saturating_add(more);
        }
        for (name, amount) in &other.quantities {
            self.add_quantity(name, *amount);
        }
        if let Some(latency) = &other.latency {
            self.latency.get_or_insert_default().merge(latency);
        }
    }

    /// Makes a change to them.
    pub fn apply(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::Count(counted) => self.count(counted),
            Effect::Amend { before, after } => {
                self.uncount(before);
                self.count(after);
            }
            Effect::Refuse { .. } => self.refused = self.refused.saturating_add(1),
        }
    }

    /// Counts an event.
    pub fn count(&mut self, counted: &Counted<'_>) {
        self.shift(counted, 1);
        if let Some(latency) = counted.event.latency_micros {
            self.latency.get_or_insert_default().add(latency);
        }
    }

    /// Counts an event no longer that was counted, or will be.
    pub fn uncount(&mut self, counted: &Counted<'_>) {
        self.shift(counted, -1);
        if let Some(latency) = counted.event.latency_micros {
            self.latency.get_or_insert_default().take(latency);
        }
    }

    /// Writes them as the message that they are.
    pub fn write(&self, wire: &mut Wire) {
        let numbers = [
            self.calls,
            self.refused,
            self.errors,
            self.units,
            self.credits_micros,
            self.tokens_input,
            self.tokens_output,
            self.tokens_cached_input,
            self.tokens_cache_write_input,
        ];
        for (tag, number) in (1..).zip(numbers) {
            wire.number(tag, number);
        }
        for (name, amount) in &self.quantities {
            wire.nested(10, |wire| {
                wire.text(1, name);
                wire.number(2, *amount);
            });
        }
        if let Some(latency) = &self.latency {
            wire.nested(11, |wire| latency.write(wire));
        }
    }

    /// Whether there is nothing in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let numbers = [
            self.calls,
            self.refused,
            self.errors,
            self.units,
            self.credits_micros,
            self.tokens_input,
            self.tokens_output,
            self.tokens_cached_input,
            self.tokens_cache_write_input,
        ];
        numbers.iter().chain(self.quantities.values()).all(|number| *number == 0)
            && self.latency.as_ref().is_none_or(|latency| latency.count == 0)
    }

    /// Whether they could have come from here: what was read from a disk may be anything.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.latency.as_ref().is_none_or(Sketch::is_sound)
    }

    fn shift(&mut self, counted: &Counted<'_>, times: i64) {
        let event = counted.event;
        let shift = |sum: &mut i64, by: i64| *sum = sum.saturating_add(by.saturating_mul(times));
        shift(&mut self.calls, 1);
        shift(&mut self.errors, i64::from(event.status_code >= 400));
        shift(&mut self.units, event.weight);
        shift(&mut self.credits_micros, counted.credits_micros);
        if let Some(tokens) = event.tokens {
            shift(&mut self.tokens_input, tokens.input);
            shift(&mut self.tokens_output, tokens.output);
            shift(&mut self.tokens_cached_input, tokens.cached_input);
            shift(&mut self.tokens_cache_write_input, tokens.cache_write_input);
        }
        for (name, amount) in &event.quantities {
            self.add_quantity(name, amount.saturating_mul(times));
        }
    }

    fn add_quantity(&mut self, name: &str, amount: i64) {
        match self.quantities.get_mut(name) {
            Some(sum) => *sum = sum.saturating_add(amount),
            None => drop(self.quantities.insert(name.to_owned(), amount)),
        }
    }
}
