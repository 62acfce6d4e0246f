//! A server with two tenants, and people and things that are made there when somebody asks for them.

use std::sync::atomic::{AtomicUsize, Ordering};

use tollgate_client::{Client, v1};

use super::columns::{Caller, Column};
use super::wire::Wire;
use crate::accounts::people::{PASSWORD, Town, address};
use crate::server::TENANT;

/// The other tenant.
pub(super) const STRANGERS: &str = "others";
/// A plan that refuses nobody.
pub(super) const PLAN: &str = "trusting";

pub(super) struct Scene {
    pub(super) town: Town,
    pub(super) wire: Wire,
    made: AtomicUsize,
}

/// What a request can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Tenant,
    Key,
    /// A member who may less than everybody else.
    Member,
    /// The address of one.
    Address,
    /// Somebody who works for the installation.
    Staff,
    /// A role that the tenant made.
    Role,
    Invitation,
    Reservation,
    Event,
    /// Another session of the person who calls.
    Session,
    RefreshToken,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let mut town = Town::new().await;
        town.server = town.server.with_trusting_plan().await.with_tenant(STRANGERS, PLAN).await;
        let wire = Wire::to(town.server.address()).await;
        Self { town, wire, made: AtomicUsize::new(0) }
    }

    /// A caller of each kind, where calls are about the first tenant.
    pub(super) async fn callers(&self) -> Vec<Caller> {
        let mut callers = Vec::new();
        for column in Column::ALL {
            callers.push(column.caller(self, TENANT).await);
        }
        callers
    }

    /// A tenant that nobody else knows.
    pub(super) async fn tenant(&self) -> String {
        let tenant_id = self.name();
        let (name, plan) = (tenant_id.clone(), PLAN.to_owned());
        let request =
            v1::CreateTenantRequest { tenant_id: tenant_id.clone(), name, plan, ..Default::default() };
        self.operator().admin().create_tenant(request).await.unwrap();
        tenant_id
    }

    /// A name that nothing has.
    pub(super) fn name(&self) -> String {
        // All are of one length.
        format!("n{:06}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn operator(&self) -> Client {
        self.town.server.operator()
    }

    /// Somebody with that role; the staff has no tenant.
    pub(super) async fn person(&self, tenant: &str, role: &str) -> String {
        let name = self.name();
        let user = self.town.user(&name, |_| {}).await;
        self.town.join(&user, tenant, role).await;
        name
    }

    /// The tokens and the id of a new session.
    pub(super) async fn log_in(&self, name: &str, tenant: &str) -> (v1::SessionTokens, String) {
        let login = self.town.try_login(&address(name), PASSWORD, Some(tenant)).await.unwrap();
        (login.tokens.unwrap(), login.session_id)
    }

    /// Id and secret of a new key.
    pub(super) async fn key(
        &self,
        kind: v1::ApiKeyKind,
        tenant: &str,
        permissions: &[&str],
    ) -> (String, String) {
        let request = v1::CreateApiKeyRequest {
            kind: kind.into(),
            tenant_id: tenant.to_owned(),
            name: String::from("a key"),
            permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        };
        let made = self.operator().auth().create_api_key(request).await.unwrap().into_inner();
        (made.api_key.unwrap().id, made.secret)
    }

    /// A token with all that a service account may lend.
    pub(super) async fn lent(&self, key: &str) -> String {
        let permissions = ["usage.track", "usage.track.any", "usage.read", "plans.read"];
        let request = v1::CreateServiceTokenRequest {
            permissions: permissions.map(str::to_owned).into(),
            lifetime: None,
        };
        let client = self.town.server.client(key);
        client.auth().create_service_token(request).await.unwrap().into_inner().token
    }

    /// A new thing of that tenant, by what requests call it.
    pub(super) async fn make(&self, thing: Thing, tenant: &str, caller: &Caller) -> String {
        match thing {
            Thing::Tenant => tenant.to_owned(),
            Thing::Key => self.key(v1::ApiKeyKind::Tenant, tenant, &["usage.read"]).await.0,
            Thing::Member => format!("usr_{}", self.person(tenant, "billing").await),
            Thing::Address => address(&self.person(tenant, "billing").await),
            Thing::Staff => format!("usr_{}", self.person("", "support").await),
            Thing::Role => self.role(tenant).await,
            Thing::Invitation => self.invitation(tenant).await,
            Thing::Reservation => self.reservation(tenant).await,
            Thing::Event => self.event(tenant).await,
            Thing::Session => match &caller.person {
                Some((name, tenant)) => self.log_in(name, tenant).await.1,
                None => String::from("ses_of_nobody"),
            },
            Thing::RefreshToken => {
                let name = self.person(tenant, "billing").await;
                self.log_in(&name, tenant).await.0.refresh_token
            }
        }
    }

    async fn role(&self, tenant: &str) -> String {
        let name = self.name();
        let request = v1::CreateRoleRequest {
            tenant_id: tenant.to_owned(),
            name: name.clone(),
            permissions: vec![String::from("usage.read")],
            ..Default::default()
        };
        self.operator().auth().create_role(request).await.unwrap();
        name
    }

    async fn invitation(&self, tenant: &str) -> String {
        let request = v1::InviteMemberRequest {
            tenant_id: tenant.to_owned(),
            address: address(&self.name()),
            role: String::from("viewer"),
            ..Default::default()
        };
        let invited = self.operator().auth().invite_member(request).await.unwrap().into_inner();
        invited.invitation.unwrap().id
    }

    async fn reservation(&self, tenant: &str) -> String {
        let request = v1::ReserveRequest {
            tenant_id: tenant.to_owned(),
            event: Some(event(String::new())),
            credits_micros: 1_000_000,
            ..Default::default()
        };
        self.operator().track().reserve(request).await.unwrap().into_inner().reservation_id
    }

    async fn event(&self, tenant: &str) -> String {
        let request = v1::TrackRequest {
            tenant_id: tenant.to_owned(),
            event: Some(event(self.name())),
            ..Default::default()
        };
        self.operator().track().track(request).await.unwrap().into_inner().event_id
    }
}

fn event(id: String) -> v1::UsageEvent {
    v1::UsageEvent { id, service: "search".into(), endpoint: "/find".into(), ..Default::default() }
}
