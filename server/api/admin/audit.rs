//! `AdminService`: the audit log.

use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::admin::AdminApi;
use crate::api::convert::time::to_message;
use crate::api::layers::auth::caller;
use crate::api::page::{List, page_size};
use crate::api::status::from_fault;
use crate::fault::Invalid;
use crate::identity::audit::Broken;
use crate::identity::audit::entry::{ActorKind, Entry, Outcome};
use crate::identity::caller::{Caller, CallerKind};

impl AdminApi {
    pub(super) async fn audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let scope = self.chain_of(caller, &asked.tenant_id).await?;
        let list = List { method: "ListAuditEntries", tenant: &scope, filter: &[] };
        let size = page_size(asked.page_size).map_err(|error| from_fault(&error))?;
        let after = self.pages.open_place(list, &asked.page_token).map_err(|error| from_fault(&error))?;
        let page = self.audit.list(&scope, after.as_ref(), size).await;
        let page = page.map_err(|error| from_fault(&error))?;
        Ok(Response::new(v1::ListAuditEntriesResponse {
            entries: page.records.into_iter().map(message).collect(),
            next_page_token: self.pages.seal_place(list, page.next.as_ref()),
        }))
    }

    pub(super) async fn audit_log(
        &self,
        request: Request<v1::VerifyAuditLogRequest>,
    ) -> Result<Response<v1::VerifyAuditLogResponse>, Status> {
        let caller = caller(request.extensions()).map_err(|error| from_fault(&error))?;
        let asked = request.get_ref();
        let first = u64::try_from(asked.first_number)
            .map_err(|_| from_fault(&Invalid::field("first_number", "is below 0")))?;
        let scope = self.chain_of(caller, &asked.tenant_id).await?;
        let verified = self.audit.verify(&scope, first).await.map_err(|error| from_fault(&error))?;
        let (broken, is_missing) = match verified.broken {
            None => (0, false),
            Some(Broken::Missing(number)) => (number, true),
            Some(Broken::Changed(number)) => (number, false),
        };
        Ok(Response::new(v1::VerifyAuditLogResponse {
            verified_count: whole(verified.entries),
            broken_number: whole(broken),
            is_missing,
            next_number: whole(verified.next.unwrap_or_default()),
        }))
    }

    /// Whose chain is asked for; empty: that of the installation.
    async fn chain_of(&self, caller: &Caller, tenant_id: &str) -> Result<String, Status> {
        if tenant_id.is_empty() && matches!(caller.kind, CallerKind::Operator | CallerKind::Staff { .. }) {
            return Ok(String::new());
        }
        let tenant = self.resolver.tenant(caller, tenant_id).await;
        Ok(tenant.map_err(|error| from_fault(&error))?.id.to_string())
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn message(entry: Entry) -> v1::AuditEntry {
    let said = entry.said;
    let actor_kind = match said.actor.kind {
        ActorKind::Anyone => v1::AuditActorKind::Anyone,
        ActorKind::Tenant => v1::AuditActorKind::Tenant,
        ActorKind::ServiceAccount => v1::AuditActorKind::ServiceAccount,
        ActorKind::Operator => v1::AuditActorKind::Operator,
        ActorKind::Member => v1::AuditActorKind::Member,
        ActorKind::Staff => v1::AuditActorKind::Staff,
    };
    let (outcome, reason) = match said.outcome {
        Outcome::Done => (v1::AuditOutcome::Done, String::new()),
        Outcome::Denied(reason) => (v1::AuditOutcome::Denied, reason),
        Outcome::Failed(reason) => (v1::AuditOutcome::Failed, reason),
        Outcome::Unknown => (v1::AuditOutcome::Unknown, String::new()),
    };
    v1::AuditEntry {
        number: whole(entry.number),
        id: said.action,
        time: Some(to_message(said.at)),
        actor_kind: actor_kind.into(),
        actor_id: said.actor.id,
        method: said.method,
        target: said.target,
        peer: said.peer,
        outcome: outcome.into(),
        reason,
        before: said.before,
        after: said.after,
        previous_digest: entry.previous,
        digest: entry.digest,
        is_erased: entry.is_erased,
    }
}
