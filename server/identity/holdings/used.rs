//! What a tenant has used: the sums of each hour, and each call as long as it is kept.

use std::collections::BTreeMap;

use async_trait::async_trait;
use prost::Message as _;
use serde::Serialize;
use serde_json::Value;

use crate::identity::holdings::{Holding, PIECE, Part, shown};
use crate::ledger::event::Event;
use crate::ledger::events::{EventSearch, ListPlace, ListedRefusal, ListedRow};
use crate::ledger::record::{Body, Record};
use crate::ledger::rollup::{Dimension, decode_breakdowns, decode_totals};
use crate::ledger::rollups::{Detail, StoredRollup};
use crate::ledger::standing::Standing;
use crate::ledger::sums::Sums;
use crate::ledger::works::Ledger;
use crate::store::records::Place;
use crate::store::{Order, StoreError};
use crate::time::Timestamp;

/// Hours that are read at once: each may have a thousand values of each dimension.
const HOURS: usize = 1;
/// Values of a dimension in one record, so that a record is a message.
const VALUES: usize = 100;
const HOUR_KIND: &str = "usage_hour";
const BEGINNING: Timestamp = Timestamp::from_micros(i64::MIN);

/// The sums of each hour with usage: one record for the hour, and those of each dimension of it.
#[derive(Debug)]
pub(super) struct Hours(pub(super) Ledger);

/// The sums of an hour, or of its values of one dimension.
#[derive(Debug, Serialize)]
struct ShownHour<'a> {
    hour: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    sums: Option<&'a Sums>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<BTreeMap<&'a str, &'a Sums>>,
}

#[async_trait]
impl Holding for Hours {
    fn kind(&self) -> &'static str {
        HOUR_KIND
    }

    async fn some(&self, tenant: &str, after: Option<&Place>) -> Result<Part, StoreError> {
        let start = match after {
            Some(place) => Timestamp::from_micros(number::<i64>(&place.value)?).plus(1),
            None => {
                self.0.fresh().await.map_err(StoreError::unavailable)?;
                BEGINNING
            }
        };
        let hours = self.0.rollups.range(tenant, start, Timestamp::MAX, Detail::Dimensions, HOURS).await?;
        let mut records = Vec::new();
        for hour in &hours {
            records.extend(of_hour(hour)?);
        }
        let last = hours.last().filter(|_| hours.len() == HOURS);
        let next = last.map(|last| Place { value: last.key.hour.micros().to_string(), id: String::new() });
        Ok(Part { records, next })
    }

    async fn remove(&self, _tenant: &str) -> Result<usize, StoreError> {
        Ok(0)
    }
}

fn of_hour(stored: &StoredRollup) -> Result<Vec<Value>, StoreError> {
    let hour = stored.key.hour;
    let sums = decode_totals(stored)?;
    let whole = ShownHour { hour, sums: Some(&sums), dimension: None, values: None };
    let mut records = vec![shown(HOUR_KIND, &whole, &[])?];
    for (dimension, breakdown) in decode_breakdowns(stored)? {
        let all: Vec<_> = breakdown.values.iter().collect();
        for some in all.chunks(VALUES) {
            let values = some.iter().map(|(value, sums)| (value.as_str(), sums.as_ref()));
            let (dimension, values) = (Some(name(&dimension)), Some(values.collect()));
            records.push(shown(HOUR_KIND, &ShownHour { hour, sums: None, dimension, values }, &[])?);
        }
    }
    Ok(records)
}

/// A dimension's name as events have it.
fn name(dimension: &Dimension) -> &str {
    match dimension {
        Dimension::Endpoint => "endpoint",
        Dimension::Service => "service",
        Dimension::Method => "method",
        Dimension::StatusCode => "status_code",
        Dimension::Consumer => "consumers",
        Dimension::ApiKey => "api_key_id",
        Dimension::Model => "model",
        Dimension::Region => "region",
        Dimension::Country => "country",
        Dimension::ApiVersion => "api_version",
        Dimension::Feature => "feature",
        Dimension::Custom(name) => name,
    }
}

/// The calls of a tenant in order of their time, as long as they are kept.
#[derive(Debug)]
pub(super) struct Events {
    ledger: Ledger,
    which: Which,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Counted,
    Refused,
}

/// A call as it stands.
#[derive(Debug, Serialize)]
struct ShownEvent<'a> {
    event: &'a Event,
    decided_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    credits_micros: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overage_micros: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<&'a str>,
    api_key_id: &'a str,
    plan: &'a str,
    plan_version: u32,
}

impl Events {
    pub(super) fn counted(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), which: Which::Counted }
    }

    pub(super) fn refused(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), which: Which::Refused }
    }
}

#[async_trait]
impl Holding for Events {
    fn kind(&self) -> &'static str {
        match self.which {
            Which::Counted => "event",
            Which::Refused => "refusal",
        }
    }

    async fn some(&self, tenant: &str, after: Option<&Place>) -> Result<Part, StoreError> {
        let after = after.map(list_place).transpose()?;
        let (start, end, limit) = (BEGINNING, Timestamp::MAX, PIECE);
        let search = EventSearch { tenant, start, end, after, limit, order: Order::Ascending };
        let (places, records): (Vec<_>, Result<Vec<_>, _>) = match self.which {
            Which::Counted => {
                let rows = self.ledger.events.list(search).await?;
                (rows.iter().map(|row| row.place).collect(), rows.iter().map(counted).collect())
            }
            Which::Refused => {
                let rows = self.ledger.events.list_refusals(search).await?;
                (rows.iter().map(|row| row.place).collect(), rows.iter().map(refused).collect())
            }
        };
        let next = places.last().filter(|_| places.len() == PIECE).map(|place| Place {
            value: place.occurred_at.micros().to_string(),
            id: place.arrival.to_string(),
        });
        Ok(Part { records: records?, next })
    }

    async fn remove(&self, _tenant: &str) -> Result<usize, StoreError> {
        Ok(0)
    }
}

fn counted(row: &ListedRow) -> Result<Value, StoreError> {
    let standing = Standing::read(&row.row)?;
    let Some(usage) = standing.usage() else { return Err(no_call("usage")) };
    let event = ShownEvent {
        event: &usage.event,
        decided_at: Timestamp::from_micros(standing.record.at_micros),
        credits_micros: Some(standing.credits_micros),
        overage_micros: Some(standing.overage_micros),
        reason: None,
        denied_by: None,
        api_key_id: &usage.api_key_id,
        plan: &usage.plan,
        plan_version: usage.plan_version,
    };
    shown("event", &event, &[])
}

fn refused(row: &ListedRefusal) -> Result<Value, StoreError> {
    let record = Record::decode(row.refusal.body.clone());
    let record = record.map_err(|error| StoreError::corrupt("a refusal", error))?;
    let Some(Body::Refusal(refusal)) = &record.body else { return Err(no_call("refusal")) };
    let event = ShownEvent {
        event: &refusal.event,
        decided_at: Timestamp::from_micros(record.at_micros),
        credits_micros: None,
        overage_micros: None,
        reason: Some(refusal.reason),
        denied_by: Some(&refusal.denied_by),
        api_key_id: &refusal.api_key_id,
        plan: &refusal.plan,
        plan_version: refusal.plan_version,
    };
    shown("refusal", &event, &[])
}

fn no_call(what: &str) -> StoreError {
    StoreError::corrupt(format!("a listed row of {what}"), "it is none")
}

fn list_place(place: &Place) -> Result<ListPlace, StoreError> {
    let occurred_at = Timestamp::from_micros(number(&place.value)?);
    Ok(ListPlace { occurred_at, arrival: number(&place.id)? })
}

fn number<N: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>>(
    text: &str,
) -> Result<N, StoreError> {
    text.parse().map_err(|error: N::Err| StoreError::corrupt("a place in an export", error))
}
