//! Sums of usage over a range of time, by steps and by the values of a dimension, out of the rollups.

mod merge;

use std::sync::Arc;

use crate::fault::{Fault, Invalid, Reason};
use crate::insight::query::merge::Merge;
use crate::insight::step::Granularity;
use crate::ledger::rollup::Dimension;
use crate::ledger::rollups::{Detail, Rollups};
use crate::ledger::sums::Sums;
use crate::store::StoreError;
use crate::time::{HOUR, MINUTE, Timestamp};

/// The most rows of an answer.
pub const ROWS_MAX: usize = 10_000;

/// Hours whose details are in memory at once.
const DETAILED_HOURS_MAX: usize = 256;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// Whose usage.
    pub tenant: Arc<str>,
    /// The first moment; `None`: the first event.
    pub start: Option<Timestamp>,
    /// The first moment after; `None`: after the last event.
    pub end: Option<Timestamp>,
    /// The length of the steps.
    pub granularity: Granularity,
    /// What each step is broken down by.
    pub group_by: Option<Dimension>,
    /// The one value of a dimension that is kept.
    pub filter: Option<(Dimension, String)>,
}

/// What was used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsageAnswer {
    /// In order of time, and in a step in order of calls, most first. Empty steps are left out.
    pub rows: Vec<UsageRow>,
    /// Over the whole range.
    pub totals: Sums,
}

/// One step, for one value where it is broken down.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageRow {
    /// The first moment of the step.
    pub start: Timestamp,
    /// The value; empty: there is no breakdown, or the events had none.
    pub value: String,
    /// The sums.
    pub sums: Sums,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The question is wrong in itself.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The answer would be too long.
    #[error("the answer has more than {ROWS_MAX} rows: ask for a shorter range or longer steps")]
    TooLarge,
    /// The rollups cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for QueryError {
    fn reason(&self) -> Reason {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::TooLarge => Reason::QueryTooLarge,
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::TooLarge | Self::Store(_) => None,
        }
    }
}

impl UsageQuery {
    /// Answers it.
    pub async fn answer(&self, rollups: &dyn Rollups) -> Result<UsageAnswer, QueryError> {
        self.check()?;
        let mut merge = Merge::new(self);
        let (start, end) = self.hours();
        let totals = rollups.range(&self.tenant, start, end, Detail::Totals, usize::MAX).await?;
        let detail = self.detail();
        if detail == Detail::Totals {
            merge.push_all(&totals)?;
            return Ok(merge.finish());
        }
        // Only hours that are there, and a few at once: details may be a megabyte each.
        for hours in totals.chunks(DETAILED_HOURS_MAX) {
            let ([first, ..], [.., last]) = (hours, hours) else { continue };
            let (first, end) = (first.key.hour, last.key.hour.plus(HOUR));
            let detailed = rollups.range(&self.tenant, first, end, detail, usize::MAX).await?;
            merge.push_all(&detailed)?;
        }
        Ok(merge.finish())
    }

    /// Whether the question can be answered.
    fn check(&self) -> Result<(), Invalid> {
        let is_minutes = self.granularity == Granularity::Minute;
        let (length, unit) = if is_minutes { (MINUTE, "minute") } else { (HOUR, "hour") };
        for (field, moment) in [("start", self.start), ("end", self.end)] {
            if let Some(moment) = moment.filter(|moment| moment.floor(length) != *moment) {
                return Err(Invalid::field(field, format!("{moment} is not a whole {unit}")));
            }
        }
        if let (Some(start), Some(end)) = (self.start, self.end)
            && start >= end
        {
            return Err(Invalid::field("end", format!("{end} is not after start, which is {start}")));
        }
        if is_minutes && self.group_by.is_some() {
            return Err(Invalid::field("group_by", "minutes are not broken down"));
        }
        if is_minutes && self.filter.is_some() {
            return Err(Invalid::field("filter", "minutes are not broken down"));
        }
        match (&self.group_by, &self.filter) {
            (Some(group_by), Some((filter, _))) if group_by != filter => {
                Err(Invalid::field("filter", "together with group_by it must name the same dimension"))
            }
            _ => Ok(()),
        }
    }

    /// The hours in which the range is.
    fn hours(&self) -> (Timestamp, Timestamp) {
        let start = self.start.map_or(Timestamp::from_micros(i64::MIN), |start| start.floor(HOUR));
        let end = self.end.map_or(Timestamp::MAX, |end| end.plus(HOUR - 1).floor(HOUR));
        (start, end)
    }

    fn detail(&self) -> Detail {
        if self.group_by.is_some() || self.filter.is_some() {
            Detail::Dimensions
        } else if self.granularity == Granularity::Minute {
            Detail::Minutes
        } else {
            Detail::Totals
        }
    }
}

#[cfg(test)]
mod tests;
