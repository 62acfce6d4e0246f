//! Rollups, in order of time, become the rows of an answer.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::insight::query::{QueryError, ROWS_MAX, UsageAnswer, UsageQuery, UsageRow};
use crate::insight::step::Granularity;
use crate::ledger::rollup::{Dimension, NONE, decode_breakdown, decode_minutes, decode_totals};
use crate::ledger::rollups::StoredRollup;
use crate::ledger::sums::Sums;
use crate::time::{MINUTE, Timestamp};

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    query: &'a UsageQuery,
    answer: UsageAnswer,
    /// The step that is being summed.
    step: Option<Timestamp>,
    /// Its sums by value.
    values: HashMap<String, Sums>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(query: &'a UsageQuery) -> Self {
        Self { query, answer: UsageAnswer::default(), step: None, values: HashMap::new() }
    }

    /// Adds hours that come after those that were added before.
    pub(super) fn push_all(&mut self, rollups: &[StoredRollup]) -> Result<(), QueryError> {
        rollups.iter().try_for_each(|rollup| self.push(rollup))
    }

    /// Nothing comes after.
    pub(super) fn finish(mut self) -> UsageAnswer {
        self.close_step();
        self.answer
    }

    fn push(&mut self, rollup: &StoredRollup) -> Result<(), QueryError> {
        match (&self.query.group_by, &self.query.filter) {
            (None, None) if self.query.granularity == Granularity::Minute => self.push_minutes(rollup),
            (None, None) => self.push_value(rollup.key.hour, NONE, decode_totals(rollup)?),
            (Some(dimension), None) => self.push_breakdown(rollup, dimension),
            (group_by, Some((dimension, wanted))) => {
                let kept = decode_breakdown(rollup, dimension)?.values.remove(wanted);
                let value = if group_by.is_some() { wanted } else { NONE };
                kept.map_or(Ok(()), |kept| self.push_value(rollup.key.hour, value, *kept))
            }
        }
    }

    fn push_minutes(&mut self, rollup: &StoredRollup) -> Result<(), QueryError> {
        for (minute, sums) in decode_minutes(rollup)? {
            let moment = rollup.key.hour.plus(i64::from(minute).saturating_mul(MINUTE));
            let is_after_start = self.query.start.is_none_or(|start| start <= moment);
            if is_after_start && self.query.end.is_none_or(|end| moment < end) {
                self.push_value(moment, NONE, *sums)?;
            }
        }
        Ok(())
    }

    /// Totals are the hour's own: an event with several consumers is in several values.
    fn push_breakdown(&mut self, rollup: &StoredRollup, dimension: &Dimension) -> Result<(), QueryError> {
        self.answer.totals.add(&decode_totals(rollup)?);
        for (value, sums) in decode_breakdown(rollup, dimension)?.values {
            self.push_row(rollup.key.hour, &value, *sums)?;
        }
        Ok(())
    }

    fn push_value(&mut self, moment: Timestamp, value: &str, sums: Sums) -> Result<(), QueryError> {
        self.answer.totals.add(&sums);
        self.push_row(moment, value, sums)
    }

    fn push_row(&mut self, moment: Timestamp, value: &str, sums: Sums) -> Result<(), QueryError> {
        if sums.is_empty() {
            return Ok(());
        }
        let whole = || self.query.start.or(self.step).unwrap_or(moment);
        let step = self.query.granularity.step(moment).unwrap_or_else(whole);
        if self.step != Some(step) {
            self.close_step();
            self.step = Some(step);
        }
        match self.values.get_mut(value) {
            Some(sum) => sum.add(&sums),
            None => drop(self.values.insert(value.to_owned(), sums)),
        }
        let rows = self.answer.rows.len().saturating_add(self.values.len());
        if rows > ROWS_MAX { Err(QueryError::TooLarge) } else { Ok(()) }
    }

    fn close_step(&mut self) {
        let Some(start) = self.step.take() else { return };
        let first = self.answer.rows.len();
        let rows = self.values.drain().map(|(value, sums)| UsageRow { start, value, sums });
        self.answer.rows.extend(rows);
        let order = |one: &UsageRow, other: &UsageRow| {
            (Reverse(one.sums.calls), &one.value).cmp(&(Reverse(other.sums.calls), &other.value))
        };
        self.answer.rows[first..].sort_unstable_by(order);
    }
}
