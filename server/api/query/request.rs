//! The parts of a question, checked.

use prost_types::Timestamp as Moment;
use tollgate_client::v1;

use crate::fault::Invalid;
use crate::insight::step::Granularity;
use crate::ledger::rollup::Dimension;
use crate::time::{SECOND, Timestamp};

/// The last second of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

/// A moment from 1970 to 9999; `None`: it is not set.
pub(super) fn moment(field: &str, moment: Option<Moment>) -> Result<Option<Timestamp>, Invalid> {
    let Some(Moment { seconds, nanos }) = moment else { return Ok(None) };
    if !(0..=SECONDS_MAX).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        let wrong = format!("is {seconds} s and {nanos} ns since 1970; the years 1970 to 9999 are allowed");
        return Err(Invalid::field(field, wrong));
    }
    let micros = seconds.saturating_mul(SECOND).saturating_add(i64::from(nanos / 1_000));
    Ok(Some(Timestamp::from_micros(micros)))
}

pub(super) fn granularity(number: i32) -> Result<Granularity, Invalid> {
    match v1::Granularity::try_from(number) {
        Ok(v1::Granularity::Unspecified | v1::Granularity::Total) => Ok(Granularity::Total),
        Ok(v1::Granularity::Minute) => Ok(Granularity::Minute),
        Ok(v1::Granularity::Hour) => Ok(Granularity::Hour),
        Ok(v1::Granularity::Day) => Ok(Granularity::Day),
        Ok(v1::Granularity::Week) => Ok(Granularity::Week),
        Ok(v1::Granularity::Month) => Ok(Granularity::Month),
        Err(_) => Err(Invalid::field("granularity", format!("{number} is no granularity"))),
    }
}

/// A dimension; `None`: no breakdown.
pub(super) fn dimension(
    field: &str,
    dimension: Option<v1::DimensionRef>,
) -> Result<Option<Dimension>, Invalid> {
    let Some(v1::DimensionRef { dimension: number, custom_name }) = dimension else { return Ok(None) };
    let name_field = || format!("{field}.custom_name");
    let dimension = match v1::Dimension::try_from(number) {
        Ok(v1::Dimension::Custom) if custom_name.is_empty() => {
            return Err(Invalid::field(name_field(), "is missing"));
        }
        Ok(v1::Dimension::Custom) => return Ok(Some(Dimension::Custom(custom_name))),
        Ok(v1::Dimension::Unspecified) => None,
        Ok(v1::Dimension::Endpoint) => Some(Dimension::Endpoint),
        Ok(v1::Dimension::Service) => Some(Dimension::Service),
        Ok(v1::Dimension::Method) => Some(Dimension::Method),
        Ok(v1::Dimension::StatusCode) => Some(Dimension::StatusCode),
        Ok(v1::Dimension::Consumer) => Some(Dimension::Consumer),
        Ok(v1::Dimension::ApiKey) => Some(Dimension::ApiKey),
        Ok(v1::Dimension::Model) => Some(Dimension::Model),
        Ok(v1::Dimension::Region) => Some(Dimension::Region),
        Ok(v1::Dimension::Country) => Some(Dimension::Country),
        Ok(v1::Dimension::ApiVersion) => Some(Dimension::ApiVersion),
        Ok(v1::Dimension::Feature) => Some(Dimension::Feature),
        Err(_) => {
            return Err(Invalid::field(format!("{field}.dimension"), format!("{number} is no dimension")));
        }
    };
    if custom_name.is_empty() {
        Ok(dimension)
    } else {
        Err(Invalid::field(name_field(), format!("{custom_name:?} goes with CUSTOM only")))
    }
}

/// The one value that is kept.
pub(super) fn filter(filter: Option<v1::UsageFilter>) -> Result<Option<(Dimension, String)>, Invalid> {
    let Some(v1::UsageFilter { dimension: wanted, value }) = filter else { return Ok(None) };
    match dimension("filter.dimension", wanted)? {
        Some(dimension) => Ok(Some((dimension, value))),
        None => Err(Invalid::field("filter.dimension", "is missing")),
    }
}

/// Whether the answer shall wait for all that was acknowledged before.
pub(super) fn is_fresh(number: i32) -> Result<bool, Invalid> {
    match v1::Freshness::try_from(number) {
        Ok(v1::Freshness::Unspecified | v1::Freshness::Latest) => Ok(false),
        Ok(v1::Freshness::Fresh) => Ok(true),
        Err(_) => Err(Invalid::field("freshness", format!("{number} is no freshness"))),
    }
}
