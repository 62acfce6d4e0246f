//! `QueryUsage` and `ListEvents`: questions of the contract become those of the ledger, and answers go back.

mod event;
mod list;
mod request;
mod totals;

use tollgate_client::v1;

use crate::api::query::request::{dimension, filter, granularity, is_fresh, moment};
use crate::api::track::{Door, DoorError, timestamp};
use crate::identity::caller::Caller;
use crate::insight::query::{UsageQuery, UsageRow};

pub(super) use totals::totals;

impl Door {
    /// Sums usage.
    pub async fn query_usage(
        &self,
        caller: &Caller,
        request: v1::QueryUsageRequest,
    ) -> Result<v1::QueryUsageResponse, DoorError> {
        let tenant = self.resolver.tenant(caller, &request.tenant_id).await?;
        let query = UsageQuery {
            tenant: tenant.id.clone(),
            start: moment("start", request.start)?,
            end: moment("end", request.end)?,
            granularity: granularity(request.granularity)?,
            group_by: dimension("group_by", request.group_by)?,
            filter: filter(request.filter)?,
        };
        if is_fresh(request.freshness)? {
            self.ledger.fresh().await?;
        }
        let as_of = self.ledger.as_of();
        let answer = query.answer(self.ledger.rollups.as_ref()).await?;
        Ok(v1::QueryUsageResponse {
            rows: answer.rows.into_iter().map(row).collect(),
            totals: Some(totals(&answer.totals)),
            as_of: Some(timestamp(as_of)),
        })
    }
}

fn row(row: UsageRow) -> v1::UsageRow {
    v1::UsageRow { start: Some(timestamp(row.start)), value: row.value, totals: Some(totals(&row.sums)) }
}

#[cfg(test)]
mod tests;
