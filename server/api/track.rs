//! `TrackService`: from the contract to admission and back.

mod event;
mod outcome;
mod reservation;
mod service;
mod verdict;
mod watch;

use std::sync::Arc;

use tollgate_client::v1;

use crate::api::page::{PageTokenInvalid, Pages};
use crate::api::resolve::{ResolveError, Resolved, Resolver};
use crate::fault::{Fault, Invalid, Reason};
use crate::gate::decision::{DenialReason, Refusal};
use crate::identity::caller::{Caller, PermissionMissing};
use crate::identity::directory::TenantEntry;
use crate::identity::keyring::CredentialError;
use crate::identity::permission::Permission;
use crate::identity::restrictions::{KeyRestricted, Restrictions};
use crate::identity::tenant::TenantState;
use crate::insight::query::QueryError;
use crate::ledger::admission::{AdmissionError, Admitted, Subject, Tracked};
use crate::ledger::event::Event;
use crate::ledger::loader::LoadError;
use crate::ledger::progress::Late;
use crate::ledger::queue::Kept;
use crate::ledger::record::Mode;
use crate::ledger::works::Ledger;
use crate::live::feed::Feed;
use crate::store::StoreError;

use event::Check;
pub(crate) use verdict::{duration, timestamp};

/// Calls that one batch may bring.
pub const BATCH_MAX: usize = 1_000;

/// The door to the ledger: gRPC and HTTP come through here.
#[derive(Clone, Debug)]
pub struct Door {
    pub(in crate::api) ledger: Ledger,
    pub(in crate::api) resolver: Arc<Resolver>,
    pub(in crate::api) pages: Pages,
    feed: Arc<Feed>,
}

/// A call failed; a refusal is no failure.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The request is wrong in itself.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The caller may not, or named what is not there.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The credential is not good any more.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The caller lacks a permission.
    #[error(transparent)]
    Permission(#[from] PermissionMissing),
    /// The caller's key, or the customer's, is not good for that.
    #[error(transparent)]
    Restricted(#[from] KeyRestricted),
    /// Admission failed.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The ledger did not catch up.
    #[error(transparent)]
    Late(#[from] Late),
    /// The ledger cannot be read up to this moment.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Usage could not be summed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A page token is none of ours, or belongs to another list.
    #[error(transparent)]
    PageToken(#[from] PageTokenInvalid),
    /// A resume token is none of ours, or belongs to another tenant.
    #[error("the resume token is not one of this tenant's")]
    ResumeToken,
}

impl Fault for DoorError {
    fn reason(&self) -> Reason {
        self.origin().map_or(Reason::ResumeTokenInvalid, Fault::reason)
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::Resolve(error) => Some(error),
            Self::Credential(error) => Some(error),
            Self::Permission(error) => Some(error),
            Self::Restricted(error) => Some(error),
            Self::Admission(error) => Some(error),
            Self::Late(error) => Some(error),
            Self::Load(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Query(error) => Some(error),
            Self::PageToken(error) => Some(error),
            Self::ResumeToken => None,
        }
    }
}

/// A tracked call on its way: decided, and not durable yet.
#[derive(Debug)]
enum Tracking {
    Refused(v1::TrackResponse),
    Admitted { admitted: Admitted, tenant: Arc<TenantEntry>, mode: Mode },
}

impl Door {
    /// A door to a ledger.
    #[must_use]
    pub const fn new(ledger: Ledger, resolver: Arc<Resolver>, feed: Arc<Feed>, pages: Pages) -> Self {
        Self { ledger, resolver, pages, feed }
    }

    /// Decides about a call and keeps it.
    pub async fn track(
        &self,
        caller: &Caller,
        request: v1::TrackRequest,
    ) -> Result<v1::TrackResponse, DoorError> {
        self.begin(caller, request).await?.finish().await
    }

    /// Decides about calls in order, then waits for all of them at once.
    pub async fn track_batch(
        &self,
        caller: &Caller,
        request: v1::TrackBatchRequest,
    ) -> Result<v1::TrackBatchResponse, DoorError> {
        bounded("requests", request.requests.len())?;
        let mut begun = Vec::with_capacity(request.requests.len());
        for request in request.requests {
            begun.push(self.begin(caller, request).await);
        }
        let mut results = Vec::with_capacity(begun.len());
        for tracking in begun {
            let tracked = match tracking {
                Ok(tracking) => tracking.finish().await,
                Err(error) => Err(error),
            };
            let result = match tracked {
                Ok(response) => v1::track_result::Result::Response(response),
                Err(error) => v1::track_result::Result::Error(item_error(&error)),
            };
            results.push(v1::TrackResult { result: Some(result) });
        }
        Ok(v1::TrackBatchResponse { results })
    }

    /// Decides as [`Door::track`] would, and keeps nothing.
    pub async fn check(
        &self,
        caller: &Caller,
        request: v1::CheckRequest,
    ) -> Result<v1::CheckResponse, DoorError> {
        let event = checked_event(request.event)?;
        let ask = Ask {
            tenant_id: &request.tenant_id,
            api_key: &request.api_key,
            service: &event.service,
            mode: Mode::Decide,
        };
        let verdict = match self.subject(caller, ask).await? {
            Asked::Refused(verdict) => verdict,
            Asked::TurnedAway { refusal, .. } => turned_away(&refusal),
            Asked::Tenant { entry, key_id } => {
                let subject = subject(&entry, key_id.as_ref());
                let decision = self.ledger.admission.check(subject, &event).await?;
                verdict::verdict(&decision, &entry.policy)
            }
        };
        Ok(v1::CheckResponse { verdict: Some(verdict) })
    }

    /// The state of all limits of a tenant.
    pub async fn limits(
        &self,
        caller: &Caller,
        request: v1::GetLimitsRequest,
    ) -> Result<v1::GetLimitsResponse, DoorError> {
        let mut check = Check::default();
        check.bytes("endpoint", &request.endpoint, 1_024);
        let consumers = check.consumers("consumers", request.consumers);
        check.done()?;
        let entry = self.resolver.tenant(caller, &request.tenant_id).await?;
        let event = Event { endpoint: request.endpoint, consumers, weight: 1, ..Event::default() };
        let decision = self.ledger.admission.limits(subject(&entry, caller.key_id.as_ref()), &event).await?;
        Ok(v1::GetLimitsResponse {
            plan: entry.policy.plan.slug.as_ref().to_owned(),
            plan_version: i32::try_from(entry.policy.plan.version).unwrap_or(i32::MAX),
            limits: decision.limits.iter().map(verdict::limit).collect(),
            credits_remaining_micros: decision.balance_micros,
        })
    }

    async fn begin(&self, caller: &Caller, request: v1::TrackRequest) -> Result<Tracking, DoorError> {
        let mode = mode(caller, &request)?;
        let event = checked_event(request.event)?;
        let (tenant_id, api_key) = (&request.tenant_id, &request.api_key);
        match self.subject(caller, Ask { tenant_id, api_key, service: &event.service, mode }).await? {
            Asked::Refused(verdict) => Ok(Tracking::Refused(refused(verdict, event.id))),
            Asked::TurnedAway { entry, key_id, refusal } => {
                let id = event.id.clone();
                self.ledger.admission.turn_away(subject(&entry, key_id.as_ref()), event, &refusal)?;
                Ok(Tracking::Refused(refused(turned_away(&refusal), id)))
            }
            Asked::Tenant { entry, key_id } => {
                let subject = subject(&entry, key_id.as_ref());
                let admitted = self.ledger.admission.admit(subject, mode, event).await?;
                Ok(Tracking::Admitted { admitted, tenant: entry, mode })
            }
        }
    }

    /// For whom the caller asks. What has happened is recorded for a suspended tenant too.
    async fn subject(&self, caller: &Caller, ask: Ask<'_>) -> Result<Asked, DoorError> {
        let resolved = self.resolver.resolve(caller, ask.tenant_id, ask.api_key).await?;
        let (entry, key_id, restrictions) = match resolved {
            Resolved::Refused { reason, denied_by } => {
                return Ok(Asked::Refused(verdict::refused_at_the_door(reason, &denied_by)));
            }
            Resolved::Tenant { entry, key_id, restrictions } => (entry, key_id, restrictions),
        };
        let restricted = restriction(caller, key_id.as_ref(), restrictions.as_deref(), ask.service);
        let refusal = match restricted {
            Some((restricted, _)) if ask.mode != Mode::Decide => return Err(restricted.into()),
            Some((restricted, denied_by)) => {
                Some(Refusal { reason: restricted.denial(), denied_by, retry_after: None })
            }
            None if entry.state == TenantState::Suspended && ask.mode == Mode::Decide => {
                let reason = DenialReason::TenantSuspended;
                Some(Refusal { reason, denied_by: Arc::default(), retry_after: None })
            }
            None => None,
        };
        Ok(match refusal {
            Some(refusal) => Asked::TurnedAway { entry, key_id, refusal },
            None => Asked::Tenant { entry, key_id },
        })
    }
}

/// For whom, and about what a caller asks.
#[derive(Clone, Copy, Debug)]
struct Ask<'a> {
    tenant_id: &'a str,
    api_key: &'a str,
    service: &'a str,
    mode: Mode,
}

/// For whom a caller asks.
#[derive(Debug)]
enum Asked {
    Tenant { entry: Arc<TenantEntry>, key_id: Option<Arc<str>> },
    TurnedAway { entry: Arc<TenantEntry>, key_id: Option<Arc<str>>, refusal: Refusal },
    Refused(v1::Verdict),
}

/// Which of the two keys is not good for a call, and why: the caller's own, or the one that it passes for its customer.
fn restriction(
    caller: &Caller,
    key_id: Option<&Arc<str>>,
    customers: Option<&Restrictions>,
    service: &str,
) -> Option<(KeyRestricted, Arc<str>)> {
    let named = |key: Option<&Arc<str>>| key.map(Arc::clone).unwrap_or_default();
    if let Err(restricted) = caller.require_network() {
        return Some((restricted, named(caller.key_id.as_ref())));
    }
    if caller.restrictions.as_deref().is_some_and(|own| !own.allows_service(service)) {
        return Some((KeyRestricted::Service, named(caller.key_id.as_ref())));
    }
    let is_foreign = customers.is_some_and(|theirs| !theirs.allows_service(service));
    is_foreign.then(|| (KeyRestricted::Service, named(key_id)))
}

impl Tracking {
    async fn finish(self) -> Result<v1::TrackResponse, DoorError> {
        match self {
            Self::Refused(response) => Ok(response),
            Self::Admitted { admitted, tenant, mode } => Ok(answer(admitted.finish().await?, &tenant, mode)),
        }
    }
}

fn mode(caller: &Caller, request: &v1::TrackRequest) -> Result<Mode, DoorError> {
    match v1::TrackMode::try_from(request.mode) {
        Ok(v1::TrackMode::Unspecified | v1::TrackMode::Decide) => Ok(Mode::Decide),
        Ok(v1::TrackMode::Record) => Ok(Mode::Record),
        Ok(v1::TrackMode::Import) => {
            caller.require(Permission::UsageImport)?;
            if request.event.as_ref().is_some_and(|event| event.id.is_empty()) {
                return Err(Invalid::field("event.id", "is missing: history is kept once by its id").into());
            }
            Ok(Mode::Import)
        }
        Err(_) => Err(Invalid::field("mode", format!("{} is no mode", request.mode)).into()),
    }
}

fn answer(tracked: Tracked, tenant: &TenantEntry, mode: Mode) -> v1::TrackResponse {
    let mut verdict = verdict::verdict(&tracked.decision, &tenant.policy);
    if mode != Mode::Decide {
        verdict.decision = v1::Decision::Unspecified.into();
    }
    v1::TrackResponse {
        verdict: Some(verdict),
        durability: durability(tracked.kept).into(),
        event_id: tracked.event_id,
        replayed: tracked.replayed,
    }
}

fn refused(verdict: v1::Verdict, event_id: String) -> v1::TrackResponse {
    v1::TrackResponse { verdict: Some(verdict), event_id, ..v1::TrackResponse::default() }
}

fn turned_away(refusal: &Refusal) -> v1::Verdict {
    verdict::refused_at_the_door(refusal.reason, &refusal.denied_by)
}

const fn durability(kept: Kept) -> v1::Durability {
    match kept {
        Kept::Nothing => v1::Durability::Unspecified,
        Kept::Committed => v1::Durability::Committed,
        Kept::Local => v1::Durability::Local,
    }
}

fn subject<'a>(entry: &'a TenantEntry, api_key: Option<&'a Arc<str>>) -> Subject<'a> {
    Subject { tenant: &entry.id, policy: &entry.policy, api_key }
}

fn checked_event(event: Option<v1::UsageEvent>) -> Result<Event, Invalid> {
    let mut check = Check::default();
    let event = event::event(&mut check, event);
    check.done()?;
    Ok(event)
}

fn bounded(field: &str, count: usize) -> Result<(), Invalid> {
    if count == 0 || count > BATCH_MAX {
        return Err(Invalid::field(field, format!("has {count} entries; 1 to {BATCH_MAX} are allowed")));
    }
    Ok(())
}

/// An error of one item of several.
fn item_error(error: &DoorError) -> v1::ItemError {
    let status = crate::api::status::from_fault(error);
    v1::ItemError {
        code: status.code().into(),
        reason: crate::api::status::reason_name(error.reason()).to_owned(),
        message: status.message().to_owned(),
        field: error.violations().first().map(|violation| violation.field.clone()).unwrap_or_default(),
    }
}
