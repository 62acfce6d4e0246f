//! An event as it stands: what was sent, with the outcomes that were added and what it cost in the end.

use std::error::Error;

use prost::Message as _;
use prost::bytes::Bytes;

use crate::ledger::event::Event;
use crate::ledger::events::AmendedRow;
use crate::ledger::record::{Body, EndKind, Record, Usage};
use crate::ledger::sums::Counted;
use crate::store::StoreError;

/// An event as it stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The record of its decision; its event has the outcomes in it.
    pub record: Record,
    /// What it was charged, in micro-credits. A reservation that lives is charged nothing yet.
    pub credits_micros: i64,
    /// What no grant covered, in micro-credits.
    pub overage_micros: i64,
}

impl Standing {
    /// An event before any amendment. `None`: the record is none of an event.
    #[must_use]
    pub fn of(record: Record) -> Option<Self> {
        let Some(Body::Usage(usage)) = &record.body else { return None };
        let credits_micros = usage.counted().credits_micros;
        let overage_micros = if usage.hold.is_some() { 0 } else { usage.overage_micros };
        Some(Self { record, credits_micros, overage_micros })
    }

    /// A row of the ledger with all its amendments.
    pub fn read(row: &AmendedRow) -> Result<Self, StoreError> {
        let tenant = &row.row.tenant;
        let mut standing = Self::of(decode(&row.row.body, tenant)?).ok_or_else(|| not_an_event(tenant))?;
        for amendment in &row.amendments {
            standing.amend(&decode(&amendment.body, tenant)?);
        }
        Ok(standing)
    }

    /// Adds an outcome, or the end of its reservation.
    pub fn amend(&mut self, amendment: &Record) {
        let Some(Body::Usage(usage)) = &mut self.record.body else { return };
        match &amendment.body {
            Some(Body::Completion(completion)) => usage.event.complete(&completion.outcome),
            Some(Body::End(end)) => {
                if let Some(outcome) = &end.outcome {
                    usage.event.complete(outcome);
                }
                self.credits_micros = end.price_micros();
                self.overage_micros = end.overage_micros;
                if end.kind() == EndKind::Settled {
                    usage.burns = end.paid.iter().chain(&end.excess).cloned().collect();
                } else {
                    usage.burns.clear();
                }
            }
            _ => {}
        }
    }

    /// The record of its decision.
    #[must_use]
    pub fn usage(&self) -> Option<&Usage> {
        match &self.record.body {
            Some(Body::Usage(usage)) => Some(usage),
            _ => None,
        }
    }

    /// As it is summed.
    #[must_use]
    pub fn counted(&self) -> Option<Counted<'_>> {
        let usage = self.usage()?;
        Some(Counted {
            event: &usage.event,
            credits_micros: self.credits_micros,
            api_key_id: &usage.api_key_id,
        })
    }

    /// The event, with its outcomes.
    #[must_use]
    pub fn event(&self) -> Option<&Event> {
        self.usage().map(|usage| &usage.event)
    }
}

impl Usage {
    /// As it is summed before any amendment: a reservation that lives is charged nothing yet.
    #[must_use]
    pub fn counted(&self) -> Counted<'_> {
        let credits_micros = if self.hold.is_some() { 0 } else { self.price_micros };
        Counted { event: &self.event, credits_micros, api_key_id: &self.api_key_id }
    }
}

/// A record of a tenant, decoded.
pub fn decode(body: &Bytes, tenant: &str) -> Result<Record, StoreError> {
    Record::decode(body.clone())
        .map_err(|error| StoreError::corrupt(format!("a record of tenant `{tenant}`"), error))
}

fn not_an_event(tenant: &str) -> StoreError {
    let source: Box<dyn Error + Send + Sync> = "it is no event".into();
    StoreError::corrupt(format!("a row of tenant `{tenant}`"), source)
}
