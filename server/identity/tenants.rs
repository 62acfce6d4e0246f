//! Making, finding, changing, suspending and resuming tenants, and moving them between plans.

mod ending;
mod search;

use std::sync::Arc;

use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::fault::{Fault, Invalid, Reason, Violation};
use crate::id;
use crate::identity::audit::note;
use crate::identity::directory::Directory;
use crate::identity::keyring::Keyring;
use crate::identity::tenant::{AGE, Opening, Tenant, TenantState};
use crate::plans::PlansError;
use crate::plans::bounds::is_name;
use crate::plans::catalogue::Catalogue;
use crate::plans::subscription::{PeriodAnchor, Subscription};
use crate::plans::subscriptions::Subscriptions;
use crate::store::changes::{Subject, Teller};
use crate::store::records::{Change, Page, Place, Range, Records};
use crate::store::{Documents, Inserted, Order, StoreError};
use crate::time::Clock;

const ID_LENGTH_MAX: usize = 64;
const REASON_CHARACTERS_MAX: usize = 256;

/// All tenants.
#[derive(Debug)]
pub struct Tenants {
    tenants: Records<Tenant>,
    catalogue: Arc<Catalogue>,
    subscriptions: Arc<Subscriptions>,
    directory: Arc<Directory>,
    keyring: Option<Arc<Keyring>>,
    teller: Teller,
    clock: Arc<dyn Clock>,
    default_plan: String,
}

/// A tenant to be made.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// What makes it: the same seed makes one tenant.
    pub seed: Uuid,
    /// Its id; empty: made of the seed.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The slug or id of its plan; empty: that of new tenants.
    pub plan: String,
    /// The IANA zone of its billing periods; empty: UTC.
    pub time_zone: String,
}

/// What shall be otherwise with a tenant; `None`: it stays as it is.
#[derive(Clone, Debug, Default)]
pub struct TenantChange {
    /// Its name for people.
    pub name: Option<String>,
    /// The IANA zone of its billing periods.
    pub time_zone: Option<String>,
}

/// A tenant and the plan it is on.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// The tenant.
    pub tenant: Tenant,
    /// Its subscription.
    pub subscription: Subscription,
}

/// Why a tenant cannot be made, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum TenantsError {
    /// No tenant has that id.
    #[error("there is no tenant `{0}`")]
    NotFound(String),
    /// Another tenant has the id.
    #[error("there is a tenant `{0}` already")]
    IdTaken(String),
    /// What was held on it is deleted.
    #[error("tenant `{0}` has ended")]
    Ended(String),
    /// A field is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Its plan cannot be had.
    #[error(transparent)]
    Plans(#[from] PlansError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for TenantsError {
    fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) => Reason::TenantNotFound,
            Self::IdTaken(_) => Reason::TenantExists,
            Self::Ended(_) => Reason::TenantEnded,
            Self::Invalid(invalid) => invalid.reason(),
            Self::Plans(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::Plans(error) => Some(error),
            _ => None,
        }
    }
}

impl Tenants {
    /// The tenants of a store. `default_plan` is the slug of the plan for new tenants.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        catalogue: Arc<Catalogue>,
        subscriptions: Arc<Subscriptions>,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        default_plan: String,
    ) -> Self {
        let tenants = Records::new(Arc::clone(documents));
        let teller = Teller::new(documents, Arc::clone(&clock));
        Self { tenants, catalogue, subscriptions, directory, keyring: None, teller, clock, default_plan }
    }

    /// The same, and the callers of a tenant that ends are forgotten there.
    #[must_use]
    pub fn closing(self, keyring: Arc<Keyring>) -> Self {
        Self { keyring: Some(keyring), ..self }
    }

    /// Makes a tenant on the published version of a plan.
    pub async fn create(&self, new: NewTenant) -> Result<Subscriber, TenantsError> {
        check(&new)?;
        let plan = if new.plan.is_empty() { &self.default_plan } else { &new.plan };
        let (plan, version) = self.catalogue.offered(plan).await?;
        let tenant = Tenant {
            id: if new.id.is_empty() { id::from_seed("ten", new.seed) } else { new.id },
            name: new.name,
            state: TenantState::Active,
            suspend_reason: String::new(),
            deletion: None,
            time_zone: if new.time_zone.is_empty() { String::from("UTC") } else { new.time_zone },
            created_at: self.clock.now(),
            origin: new.seed.simple().to_string(),
            opening: Opening { plan_id: plan.id, plan: plan.slug, version },
            pending_plan: String::new(),
        };
        let tenant = match self.tenants.insert(&tenant).await? {
            Inserted::Yes => tenant,
            Inserted::Taken { .. } => {
                let there = self.find(&tenant.id).await?;
                if there.origin != tenant.origin {
                    return Err(TenantsError::IdTaken(tenant.id));
                }
                there
            }
        };
        note_tenant(&tenant.id);
        note::after(&tenant);
        self.with_subscription(tenant).await
    }

    /// The slug of the plan for new tenants.
    #[must_use]
    pub fn default_plan(&self) -> &str {
        &self.default_plan
    }

    /// Keeps that a tenant waits for a plan, until it is paid for.
    pub async fn wait_for(&self, id: &str, plan: &str) -> Result<(), TenantsError> {
        let kept = self.tenants.update(id, |tenant: &mut Tenant| {
            plan.clone_into(&mut tenant.pending_plan);
            Ok::<_, StoreError>(Change::Keep)
        });
        kept.await?.map(|_| ()).ok_or_else(|| TenantsError::NotFound(id.to_owned()))
    }

    /// The tenant with that id.
    pub async fn get(&self, id: &str) -> Result<Subscriber, TenantsError> {
        let tenant = self.find(id).await?;
        self.with_subscription(tenant).await
    }

    /// A page of tenants, oldest first.
    pub async fn list(&self, after: Option<&Place>, limit: usize) -> Result<Page<Subscriber>, TenantsError> {
        let range = Range { index: AGE, prefix: "", order: Order::Ascending, after };
        let page = self.tenants.page(range, limit).await?;
        self.with_subscriptions(page).await
    }

    async fn with_subscriptions(&self, page: Page<Tenant>) -> Result<Page<Subscriber>, TenantsError> {
        let ids: Vec<_> = page.records.iter().map(|tenant| tenant.id.clone()).collect();
        let subscriptions = self.subscriptions.get_many(&ids).await?;
        let mut records = Vec::with_capacity(page.records.len());
        for (tenant, subscription) in page.records.into_iter().zip(subscriptions) {
            records.push(match subscription {
                Some(subscription) => Subscriber { tenant, subscription },
                None => self.with_subscription(tenant).await?,
            });
        }
        Ok(Page { records, next: page.next })
    }

    /// Refuses all calls of a tenant from the answer on.
    pub async fn suspend(&self, id: &str, reason: &str) -> Result<Subscriber, TenantsError> {
        if reason.chars().count() > REASON_CHARACTERS_MAX {
            let description = format!("must have at most {REASON_CHARACTERS_MAX} characters");
            return Err(Invalid::field("reason", description).into());
        }
        // The reason that was given first stays: suspending twice changes nothing.
        self.set_state(id, TenantState::Suspended, reason).await
    }

    /// Lets a tenant's calls be decided again from the answer on.
    pub async fn resume(&self, id: &str) -> Result<Subscriber, TenantsError> {
        self.set_state(id, TenantState::Active, "").await
    }

    /// Changes a tenant's name, or the zone of its billing periods; another zone holds from the next period.
    pub async fn change(&self, id: &str, change: TenantChange) -> Result<Subscriber, TenantsError> {
        check_change(&change)?;
        self.get(id).await?;
        let changing = async {
            if let Some(zone) = &change.time_zone {
                self.subscriptions.change_zone(id, zone).await?;
            }
            self.tenants
                .update(id, |tenant: &mut Tenant| {
                    let before = tenant.clone();
                    note::before(tenant);
                    if let Some(name) = &change.name {
                        tenant.name.clone_from(name);
                    }
                    if let Some(zone) = &change.time_zone {
                        tenant.time_zone.clone_from(zone);
                    }
                    Ok::<_, StoreError>(if *tenant == before { Change::None } else { Change::Keep })
                })
                .await
        };
        let changed = self.teller.tell(Subject::Tenant(id.to_owned()), changing).await;
        self.directory.forget(id);
        let tenant = changed?.ok_or_else(|| TenantsError::NotFound(id.to_owned()))?;
        note_tenant(&tenant.id);
        note::after(&tenant);
        self.with_subscription(tenant).await
    }

    /// Moves a tenant to the published version of a plan from the answer on; another anchor holds from the next period.
    pub async fn change_plan(
        &self,
        id: &str,
        plan: &str,
        anchor: Option<PeriodAnchor>,
    ) -> Result<Subscription, TenantsError> {
        note::before(&self.get(id).await?.subscription);
        note_tenant(id);
        let change = self.subscriptions.change(id, plan, anchor);
        let changed = self.teller.tell(Subject::Tenant(id.to_owned()), change).await;
        self.directory.forget(id);
        let subscription = changed?.ok_or_else(|| TenantsError::NotFound(id.to_owned()))?;
        note::after(&subscription);
        Ok(subscription)
    }

    async fn set_state(
        &self,
        id: &str,
        state: TenantState,
        reason: &str,
    ) -> Result<Subscriber, TenantsError> {
        let change = self.tenants.update(id, |tenant: &mut Tenant| {
            note::before(tenant);
            if tenant.state == state {
                return Ok(Change::None);
            }
            tenant.state = state;
            reason.clone_into(&mut tenant.suspend_reason);
            Ok::<_, StoreError>(Change::Keep)
        });
        let changed = self.teller.tell(Subject::Tenant(id.to_owned()), change).await;
        // Also after a failure: the change may have been kept all the same.
        self.directory.forget(id);
        let tenant = changed?.ok_or_else(|| TenantsError::NotFound(id.to_owned()))?;
        note_tenant(&tenant.id);
        note::after(&tenant);
        self.with_subscription(tenant).await
    }

    async fn find(&self, id: &str) -> Result<Tenant, TenantsError> {
        let found = self.tenants.get(id).await?;
        found.map(|kept| kept.record).ok_or_else(|| TenantsError::NotFound(id.to_owned()))
    }

    async fn with_subscription(&self, tenant: Tenant) -> Result<Subscriber, TenantsError> {
        let subscription = self.subscriptions.open(tenant.first_subscription()).await?;
        Ok(Subscriber { tenant, subscription })
    }
}

/// Whether a text can be the id of a tenant.
#[must_use]
pub fn is_tenant_id(id: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(letter)
}

/// Notes for the audit log which tenant a call is about.
fn note_tenant(id: &str) {
    note::tenant(id);
    note::target("tenant", id);
}

fn check_change(change: &TenantChange) -> Result<(), Invalid> {
    let mut found = Vec::new();
    let mut wrong = |field: &str, description: String| {
        found.push(Violation { field: field.to_owned(), description });
    };
    if change.name.as_ref().is_some_and(|name| !is_name(name)) {
        wrong("name", String::from("must have 1 to 128 characters, none of them a control character"));
    }
    if let Some(zone) = change.time_zone.as_ref().filter(|zone| TimeZone::get(zone).is_err()) {
        wrong("time_zone", format!("`{zone}` is no IANA time zone"));
    }
    if found.is_empty() { Ok(()) } else { Err(Invalid(found)) }
}

fn check(new: &NewTenant) -> Result<(), Invalid> {
    let mut found = Vec::new();
    let mut wrong = |field: &str, description: String| {
        found.push(Violation { field: field.to_owned(), description });
    };
    if !new.id.is_empty() && !is_tenant_id(&new.id) {
        wrong("tenant_id", format!("is not 1 to {ID_LENGTH_MAX} characters of A-Z a-z 0-9 . _ -"));
    }
    if !is_name(&new.name) {
        wrong("name", String::from("must have 1 to 128 characters, none of them a control character"));
    }
    if !new.time_zone.is_empty() && TimeZone::get(&new.time_zone).is_err() {
        wrong("time_zone", format!("`{}` is no IANA time zone", new.time_zone));
    }
    if found.is_empty() { Ok(()) } else { Err(Invalid(found)) }
}
