//! Finding, changing, ending and exporting tenants.

use std::collections::VecDeque;
use std::pin::Pin;

use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::json;
use tollgate_client::v1;
use tonic::Status;

use crate::api::admin::{AdminApi, message, named};
use crate::api::page::{List, page_size};
use crate::api::status::from_fault;
use crate::fault::Invalid;
use crate::identity::caller::Caller;
use crate::identity::holdings::Holdings;
use crate::identity::permission::Permission;
use crate::identity::tenants::TenantChange;
use crate::store::StoreError;
use crate::store::records::Place;

/// How long a deletion can be taken back where nobody says it. Whoever stole an owner's session cannot make it shorter.
pub(super) const GRACE_DAYS: i32 = 30;
const QUERY_BYTES_MAX: usize = 128;

/// The lines of an export.
pub(super) type Export = Pin<Box<dyn Stream<Item = Result<v1::ExportTenantResponse, Status>> + Send>>;

impl AdminApi {
    pub(super) async fn page_of_tenants(
        &self,
        request: &v1::ListTenantsRequest,
    ) -> Result<v1::ListTenantsResponse, Status> {
        let query = request.query.as_str();
        if query.len() > QUERY_BYTES_MAX {
            let description = format!("must have at most {QUERY_BYTES_MAX} bytes");
            return Err(from_fault(&Invalid::field("query", description)));
        }
        let list = List { method: "ListTenants", tenant: "", filter: query.as_bytes() };
        let size = page_size(request.page_size).map_err(|error| from_fault(&error))?;
        let after = self.pages.open_place(list, &request.page_token).map_err(|error| from_fault(&error))?;
        let page = if query.is_empty() {
            self.tenants.list(after.as_ref(), size).await
        } else {
            self.tenants.search(query, after.as_ref(), size).await
        };
        let page = page.map_err(|error| from_fault(&error))?;
        Ok(v1::ListTenantsResponse {
            tenants: page.records.into_iter().map(message).collect(),
            next_page_token: self.pages.seal_place(list, page.next.as_ref()),
        })
    }

    pub(super) async fn change_tenant(
        &self,
        request: v1::UpdateTenantRequest,
    ) -> Result<v1::UpdateTenantResponse, Status> {
        let id = named(&request.tenant_id)?;
        let change = TenantChange { name: request.name, time_zone: request.time_zone };
        let tenant = self.tenants.change(id, change).await.map_err(|error| from_fault(&error))?;
        Ok(v1::UpdateTenantResponse { tenant: Some(message(tenant)) })
    }

    pub(super) async fn end_tenant(
        &self,
        caller: &Caller,
        request: &v1::DeleteTenantRequest,
    ) -> Result<v1::DeleteTenantResponse, Status> {
        let days = request.grace_days.unwrap_or(GRACE_DAYS);
        if days < GRACE_DAYS {
            caller.require(Permission::TenantsWrite).map_err(|error| from_fault(&error))?;
        }
        let days = grace(days)?;
        let entry = self.resolver.tenant(caller, &request.tenant_id).await;
        let entry = entry.map_err(|error| from_fault(&error))?;
        let tenant = self.tenants.delete(&entry.id, days).await.map_err(|error| from_fault(&error))?;
        Ok(v1::DeleteTenantResponse { tenant: Some(message(tenant)) })
    }

    pub(super) async fn export(
        &self,
        caller: &Caller,
        request: &v1::ExportTenantRequest,
    ) -> Result<Export, Status> {
        let entry = self.resolver.tenant(caller, &request.tenant_id).await;
        let entry = entry.map_err(|error| from_fault(&error))?;
        let (tenant, holdings) = (entry.id.as_ref().to_owned(), self.holdings.clone());
        let reading = Reading { tenant, holdings, kind: 0, after: None, lines: VecDeque::new() };
        let lines = unfold(Some(reading), |reading| async move {
            let mut reading = reading?;
            match reading.next().await {
                Ok(Some(line)) => Some((Ok(v1::ExportTenantResponse { line }), Some(reading))),
                Ok(None) => None,
                Err(error) => Some((Err(from_fault(&error)), None)),
            }
        });
        Ok(Box::pin(lines))
    }
}

/// The days of a grace.
pub(super) fn grace(days: i32) -> Result<u32, Status> {
    let below = |_| from_fault(&Invalid::field("grace_days", format!("{days} is below zero")));
    u32::try_from(days).map_err(below)
}

/// How far an export is. One part is in memory at a time.
struct Reading {
    tenant: String,
    holdings: Holdings,
    kind: usize,
    after: Option<Place>,
    lines: VecDeque<String>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<String>, StoreError> {
        while self.lines.is_empty() {
            let Some(holding) = self.holdings.kinds().get(self.kind) else { return Ok(None) };
            let part = holding.some(&self.tenant, self.after.as_ref()).await?;
            let line = |record| json!({ "kind": holding.kind(), "record": record }).to_string();
            self.lines = part.records.into_iter().map(line).collect();
            self.after = part.next;
            if self.after.is_none() {
                self.kind = self.kind.saturating_add(1);
            }
        }
        Ok(self.lines.pop_front())
    }
}
