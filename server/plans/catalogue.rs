//! The catalogue: every plan with its versions.

use std::sync::Arc;

use uuid::Uuid;

use crate::id;
use crate::plans::PlansError;
use crate::plans::bounds::{check_names, check_spec};
use crate::plans::plan::{AGE, ORIGIN, Plan, PlanVersion, SLUG};
use crate::plans::spec::PlanSpec;
use crate::store::changes::{Subject, Teller};
use crate::store::records::{Change, Kept, Page, Place, Range, Records};
use crate::store::{Documents, Inserted, Order, StoreError};
use crate::time::Clock;

/// How often a number is tried that others take at the same time.
const ATTEMPTS_MAX: usize = 32;
/// The most plans of which the catalogue as a whole is read.
pub const PLANS_MAX: usize = 1_000;

/// Every plan with its versions.
#[derive(Debug)]
pub struct Catalogue {
    plans: Records<Plan>,
    versions: Records<PlanVersion>,
    teller: Teller,
    clock: Arc<dyn Clock>,
}

/// A plan to be made.
#[derive(Clone, Debug)]
pub struct NewPlan {
    /// The plan's id is made of it: the same seed makes one plan.
    pub seed: Uuid,
    /// Its short name.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Version 1.
    pub spec: PlanSpec,
}

impl Catalogue {
    /// The catalogue in a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Self {
        let (plans, versions) = (Records::new(Arc::clone(documents)), Records::new(Arc::clone(documents)));
        let teller = Teller::new(documents, Arc::clone(&clock));
        Self { plans, versions, teller, clock }
    }

    /// Makes a plan with version 1 as a draft.
    pub async fn create(&self, new: NewPlan) -> Result<(Plan, PlanVersion), PlansError> {
        check_names(&new.slug, &new.name)?;
        check_spec(&new.spec, "spec", Vec::new())?;
        let plan = Plan {
            id: id::from_seed("pln", new.seed),
            slug: new.slug,
            name: new.name,
            published_version: None,
            latest_version: 1,
            created_at: self.clock.now(),
            rank: u32::MAX,
        };
        let version = Self::first_version(&plan, new.spec);
        self.add(plan, version).await
    }

    /// Adds a plan with its version 1, where it is not there.
    ///
    /// The version comes first: a plan that can be seen has it, also if the process ends in between.
    pub(super) async fn add(
        &self,
        plan: Plan,
        version: PlanVersion,
    ) -> Result<(Plan, PlanVersion), PlansError> {
        if let Some(other) = self.plans.get_by(SLUG, &plan.slug).await?
            && other.record.id != plan.id
        {
            return Err(PlansError::SlugTaken(plan.slug));
        }
        self.versions.insert(&version).await?;
        if let Inserted::Taken { index } = self.plans.insert(&plan).await?
            && index == SLUG
        {
            return Err(PlansError::SlugTaken(plan.slug));
        }
        let plan = self.plan(&plan.id).await?;
        let version = self.version(&plan, 1).await?;
        Ok((plan, version))
    }

    pub(super) fn first_version(plan: &Plan, spec: PlanSpec) -> PlanVersion {
        PlanVersion {
            id: PlanVersion::id_of(&plan.id, 1),
            plan_id: plan.id.clone(),
            number: 1,
            origin: plan.id.clone(),
            spec,
            created_at: plan.created_at,
            published_at: None,
        }
    }

    /// Adds a draft version to a plan; the same `seed` makes one version.
    pub async fn add_version(
        &self,
        plan: &str,
        seed: Uuid,
        spec: PlanSpec,
    ) -> Result<(Plan, PlanVersion), PlansError> {
        check_spec(&spec, "spec", Vec::new())?;
        let origin = id::from_seed("plv", seed);
        let now = self.clock.now();
        for _ in 0..ATTEMPTS_MAX {
            let plan = self.plan(plan).await?;
            if let Some(version) = self.versions.get_by(ORIGIN, &origin).await? {
                return self.raise_latest(&plan, version.record).await;
            }
            let number = plan.latest_version.saturating_add(1);
            let id = PlanVersion::id_of(&plan.id, number);
            if let Some(others) = self.versions.get(&id).await? {
                // Somebody has made this version and not counted it yet, or ended in between: help, then try the next.
                self.raise_latest(&plan, others.record).await?;
                continue;
            }
            let (plan_id, origin, spec) = (plan.id, origin.clone(), spec.clone());
            let version =
                PlanVersion { id, plan_id, number, origin, spec, created_at: now, published_at: None };
            self.versions.insert(&version).await?;
        }
        Err(StoreError::unavailable(format!("others add versions to plan `{plan}` all the time")).into())
    }

    async fn raise_latest(
        &self,
        plan: &Plan,
        version: PlanVersion,
    ) -> Result<(Plan, PlanVersion), PlansError> {
        let number = version.number;
        let raised = self.plans.update(&plan.id, |plan: &mut Plan| {
            let lower = plan.latest_version < number;
            plan.latest_version = plan.latest_version.max(number);
            Ok::<_, PlansError>(if lower { Change::Keep } else { Change::None })
        });
        let plan = raised.await?.ok_or_else(|| PlansError::PlanNotFound(plan.id.clone()))?;
        Ok((plan, version))
    }

    /// Makes a version the one that new subscriptions get.
    pub async fn publish(&self, plan: &str, number: u32) -> Result<(Plan, PlanVersion), PlansError> {
        // A plan that nobody has is nothing to tell of.
        self.plan(plan).await?;
        self.teller.tell(Subject::Catalogue, self.make_current(plan, number)).await
    }

    async fn make_current(&self, plan: &str, number: u32) -> Result<(Plan, PlanVersion), PlansError> {
        let found = self.plan(plan).await?;
        let (id, now) = (PlanVersion::id_of(&found.id, number), self.clock.now());
        let published = self.versions.update(&id, |version: &mut PlanVersion| {
            let draft = version.published_at.is_none();
            version.published_at.get_or_insert(now);
            Ok::<_, PlansError>(if draft { Change::Keep } else { Change::None })
        });
        let missing = || PlansError::VersionNotFound { plan: plan.to_owned(), number };
        let version = published.await?.ok_or_else(missing)?;
        let named = self.plans.update(&found.id, |plan: &mut Plan| {
            let other = plan.published_version != Some(number);
            plan.published_version = Some(number);
            plan.latest_version = plan.latest_version.max(number);
            Ok::<_, PlansError>(if other { Change::Keep } else { Change::None })
        });
        let plan = named.await?.ok_or_else(|| PlansError::PlanNotFound(plan.to_owned()))?;
        Ok((plan, version))
    }

    /// The plan with that slug or id.
    pub async fn plan(&self, name: &str) -> Result<Plan, PlansError> {
        // A slug has no `_`.
        let found = if name.starts_with("pln_") {
            self.plans.get(name).await?
        } else {
            self.plans.get_by(SLUG, name).await?
        };
        found.map(|kept| kept.record).ok_or_else(|| PlansError::PlanNotFound(name.to_owned()))
    }

    /// A version of a plan.
    pub async fn version(&self, plan: &Plan, number: u32) -> Result<PlanVersion, PlansError> {
        let found = self.versions.get(&PlanVersion::id_of(&plan.id, number)).await?;
        let missing = || PlansError::VersionNotFound { plan: plan.slug.clone(), number };
        found.map(|kept| kept.record).ok_or_else(missing)
    }

    /// The plan with that slug or id, if tenants can subscribe to it, with the number of the version they get.
    pub async fn offered(&self, name: &str) -> Result<(Plan, u32), PlansError> {
        let plan = self.plan(name).await?;
        let number = plan.published_version.ok_or_else(|| PlansError::NotPublished(name.to_owned()))?;
        Ok((plan, number))
    }

    /// A page of plans, oldest first.
    pub async fn list(&self, after: Option<&Place>, limit: usize) -> Result<Page<Plan>, PlansError> {
        let range = Range { index: AGE, prefix: "", order: Order::Ascending, after };
        Ok(self.plans.page(range, limit).await?)
    }

    /// All plans that tenants can subscribe to, oldest first, with the versions they get.
    pub async fn offers(&self) -> Result<Vec<(Plan, PlanVersion)>, PlansError> {
        let plans = self.list(None, PLANS_MAX).await?.records;
        let published =
            |plan: &Plan| plan.published_version.map(|number| PlanVersion::id_of(&plan.id, number));
        let (plans, ids): (Vec<_>, Vec<_>) =
            plans.into_iter().filter_map(|plan| published(&plan).map(|id| (plan, id))).unzip();
        let versions = self.versions.get_many(&ids).await?;
        let pairs = plans.into_iter().zip(versions);
        Ok(pairs.filter_map(|(plan, version)| version.map(|kept: Kept<_>| (plan, kept.record))).collect())
    }
}
