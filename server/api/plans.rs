//! `PlansService`: the catalogue, the subscriptions and the wallets.

mod grant;

use std::sync::Arc;

use serde::Serialize;
use tollgate_client::v1;
use tonic::{Request, Response, Status};

use crate::api::convert::plans::{anchor, plan, spec, subscription, version};
use crate::api::convert::wallet::wallet;
use crate::api::layers::auth::caller;
use crate::api::once::{Call, once, whole};
use crate::api::page::{List, Pages, page_size};
use crate::api::resolve::{ResolveError, Resolver};
use crate::api::rpc::plans_service_server::PlansService;
use crate::api::status::from_fault;
use crate::fault::{Fault, Invalid};
use crate::identity::audit::note;
use crate::identity::directory::{Directory, TenantEntry};
use crate::identity::requests::Requests;
use crate::identity::tenants::{Tenants, TenantsError};
use crate::ledger::wallets::Wallets;
use crate::plans::PlansError;
use crate::plans::catalogue::{Catalogue, NewPlan};
use crate::time::Clock;

const PLANS: List<'static> = List { method: "ListPlans", tenant: "", filter: &[] };

/// `PlansService` over the catalogue, the tenants and their wallets.
#[derive(Clone, Debug)]
pub struct PlansApi {
    /// The plans.
    pub catalogue: Arc<Catalogue>,
    /// The tenants and their subscriptions.
    pub tenants: Arc<Tenants>,
    /// What calls know of tenants: told of each publication.
    pub directory: Arc<Directory>,
    /// The wallets.
    pub wallets: Arc<Wallets>,
    /// Finds the tenants that requests are about.
    pub resolver: Arc<Resolver>,
    /// The requests that were made before.
    pub requests: Arc<Requests>,
    /// The tokens of pages.
    pub pages: Pages,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl PlansService for PlansApi {
    async fn list_plans(
        &self,
        request: Request<v1::ListPlansRequest>,
    ) -> Result<Response<v1::ListPlansResponse>, Status> {
        let request = request.get_ref();
        let size = page_size(request.page_size).map_err(refused)?;
        let after = self.pages.open_place(PLANS, &request.page_token).map_err(refused)?;
        let page = self.catalogue.list(after.as_ref(), size).await.map_err(refused)?;
        Ok(Response::new(v1::ListPlansResponse {
            plans: page.records.into_iter().map(plan).collect(),
            next_page_token: self.pages.seal_place(PLANS, page.next.as_ref()),
        }))
    }

    async fn get_plan(
        &self,
        request: Request<v1::GetPlanRequest>,
    ) -> Result<Response<v1::GetPlanResponse>, Status> {
        let request = request.get_ref();
        let found = self.catalogue.plan(named(&request.plan)?).await.map_err(refused)?;
        let number = match number(request.version)? {
            0 => found.published_version.unwrap_or(found.latest_version),
            number => number,
        };
        let found_version = self.catalogue.version(&found, number).await.map_err(refused)?;
        let (plan, version) = (Some(plan(found)), Some(version(found_version)));
        Ok(Response::new(v1::GetPlanResponse { plan, version }))
    }

    async fn create_plan(
        &self,
        request: Request<v1::CreatePlanRequest>,
    ) -> Result<Response<v1::CreatePlanResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(refused)?);
        let request = request.into_inner();
        let spec = spec(request.spec.clone()).map_err(refused)?;
        let (request_id, method) = (request.request_id.as_str(), "CreatePlan");
        let call = Call { caller: &caller, method, request_id, request: &request };
        let answer = once(&self.requests, call, whole, |seed| {
            let new = NewPlan { seed, slug: request.slug.clone(), name: request.name.clone(), spec };
            async {
                let (made, first) = self.catalogue.create(new).await?;
                note::target("plan", &made.id);
                let (plan, version) = (Some(plan(made)), Some(version(first)));
                Ok::<_, PlansError>(v1::CreatePlanResponse { plan, version })
            }
        });
        answer.await.map(Response::new)
    }

    async fn create_plan_version(
        &self,
        request: Request<v1::CreatePlanVersionRequest>,
    ) -> Result<Response<v1::CreatePlanVersionResponse>, Status> {
        let caller = Arc::clone(caller(request.extensions()).map_err(refused)?);
        let request = request.into_inner();
        let spec = spec(request.spec.clone()).map_err(refused)?;
        let name = named(&request.plan)?;
        let (request_id, method) = (request.request_id.as_str(), "CreatePlanVersion");
        let call = Call { caller: &caller, method, request_id, request: &request };
        let answer = once(&self.requests, call, whole, |seed| async move {
            let (changed, made) = self.catalogue.add_version(name, seed, spec).await?;
            note::target("plan", &changed.id);
            note::after(&VersionNote { version: made.number });
            let (plan, version) = (Some(plan(changed)), Some(version(made)));
            Ok::<_, PlansError>(v1::CreatePlanVersionResponse { plan, version })
        });
        answer.await.map(Response::new)
    }

    async fn publish_plan_version(
        &self,
        request: Request<v1::PublishPlanVersionRequest>,
    ) -> Result<Response<v1::PublishPlanVersionResponse>, Status> {
        let request = request.get_ref();
        let (name, number) = (named(&request.plan)?, number(request.version)?);
        if number == 0 {
            return Err(refused(Invalid::field("version", "is required")));
        }
        let published = self.catalogue.publish(name, number).await;
        // Also after a failure: the publication may have been kept all the same.
        self.directory.forget_all();
        let (published, version_published) = published.map_err(refused)?;
        note::target("plan", &published.id);
        note::after(&VersionNote { version: version_published.number });
        let (plan, version) = (Some(plan(published)), Some(version(version_published)));
        Ok(Response::new(v1::PublishPlanVersionResponse { plan, version }))
    }

    async fn get_subscription(
        &self,
        request: Request<v1::GetSubscriptionRequest>,
    ) -> Result<Response<v1::GetSubscriptionResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant_id).await?;
        let found = self.tenants.get(&tenant.id).await.map_err(refused)?;
        let subscription = subscription(found.subscription, self.clock.now()).map_err(refused)?;
        Ok(Response::new(v1::GetSubscriptionResponse { subscription: Some(subscription) }))
    }

    async fn change_subscription(
        &self,
        request: Request<v1::ChangeSubscriptionRequest>,
    ) -> Result<Response<v1::ChangeSubscriptionResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant_id).await?;
        let caller = Arc::clone(caller(request.extensions()).map_err(refused)?);
        let request = request.into_inner();
        let name = named(&request.plan)?;
        let anchor = anchor(request.anchor).map_err(refused)?;
        let (request_id, method) = (request.request_id.as_str(), "ChangeSubscription");
        let call = Call { caller: &caller, method, request_id, request: &request };
        let answer = once(&self.requests, call, whole, |_seed| async move {
            let changed = self.tenants.change_plan(&tenant.id, name, anchor).await?;
            let subscription = Some(subscription(changed, self.clock.now())?);
            Ok::<_, TenantsError>(v1::ChangeSubscriptionResponse { subscription })
        });
        answer.await.map(Response::new)
    }

    async fn get_wallet(
        &self,
        request: Request<v1::GetWalletRequest>,
    ) -> Result<Response<v1::GetWalletResponse>, Status> {
        let tenant = self.tenant(&request, &request.get_ref().tenant_id).await?;
        let account = self.wallets.account(&tenant.id, &tenant.policy).await.map_err(refused)?;
        Ok(Response::new(v1::GetWalletResponse { wallet: Some(wallet(&tenant.id, &account)) }))
    }

    async fn grant_credits(
        &self,
        request: Request<v1::GrantCreditsRequest>,
    ) -> Result<Response<v1::GrantCreditsResponse>, Status> {
        let grant = grant::new_grant(request.get_ref(), self.clock.now()).map_err(refused)?;
        let tenant = self.tenant(&request, &request.get_ref().tenant_id).await?;
        note::target("wallet", &tenant.id);
        note::after(&GrantNote {
            request_id: &request.get_ref().request_id,
            credits_micros: request.get_ref().credits_micros,
        });
        let granted = self.wallets.grant(&tenant.id, &tenant.policy, grant.clone()).await.map_err(refused)?;
        Ok(Response::new(grant::response(&tenant.id, &grant, &granted)))
    }
}

/// What the audit log says of a plan's version.
#[derive(Serialize)]
struct VersionNote {
    version: u32,
}

/// What the audit log says of credits.
#[derive(Serialize)]
struct GrantNote<'a> {
    request_id: &'a str,
    credits_micros: i64,
}

impl PlansApi {
    async fn tenant<T>(&self, request: &Request<T>, tenant_id: &str) -> Result<Arc<TenantEntry>, Status> {
        let caller = caller(request.extensions()).map_err(refused)?;
        let found: Result<_, ResolveError> = self.resolver.tenant(caller, tenant_id).await;
        found.map_err(refused)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind `map_err`, which gives the fault away")]
fn refused(fault: impl Fault) -> Status {
    from_fault(&fault)
}

fn named(plan: &str) -> Result<&str, Status> {
    if plan.is_empty() { Err(refused(Invalid::field("plan", "is required"))) } else { Ok(plan) }
}

fn number(version: i32) -> Result<u32, Status> {
    u32::try_from(version)
        .map_err(|_| refused(Invalid::field("version", format!("{version} is not 0 or more"))))
}
