//! Plans that are ready to use, in named sets; one set is installed at the first start.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::id;
use crate::plans::PlansError;
use crate::plans::catalogue::Catalogue;
use crate::plans::plan::{Plan, PlanVersion};
use crate::plans::spec::PlanSpec;
use crate::store::records::{Record, Records};
use crate::store::{Documents, StoreError};
use crate::time::{Clock, Timestamp};

const SETS: &str = include_str!("presets.json");

/// A plan that is ready to use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its slug.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Its version 1.
    pub spec: PlanSpec,
}

/// The sets by name, each in its order; the first plan of a set is that of new tenants.
pub fn sets() -> Result<BTreeMap<String, Vec<Preset>>, StoreError> {
    serde_json::from_str(SETS).map_err(|error| StoreError::corrupt("the sets of presets", error))
}

/// Which set was installed, once for ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Installed {
    id: String,
    set: String,
    at: Timestamp,
}

impl Record for Installed {
    const KIND: &'static str = "installed_presets";

    fn id(&self) -> &str {
        &self.id
    }
}

/// The one record of what was installed.
const INSTALLED: &str = "presets";

/// Installs one set of presets, and knows which.
#[derive(Debug)]
pub struct Presets {
    installed: Records<Installed>,
    clock: Arc<dyn Clock>,
}

impl Presets {
    /// Presets for a store.
    #[must_use]
    pub fn new(documents: &Arc<dyn Documents>, clock: Arc<dyn Clock>) -> Self {
        Self { installed: Records::new(Arc::clone(documents)), clock }
    }

    /// Installs the set where none was installed, or goes on where an earlier start ended half way. Answers the slug of the
    /// plan for new tenants: the first of the set that is installed, which may be another than the one asked for.
    pub async fn install(&self, catalogue: &Catalogue, set: &str) -> Result<String, PlansError> {
        let mut sets = sets()?;
        if !sets.contains_key(set) {
            let known = sets.into_keys().collect::<Vec<_>>().join("`, `");
            return Err(PlansError::UnknownPresets { set: set.to_owned(), known });
        }
        let wanted = Installed { id: String::from(INSTALLED), set: set.to_owned(), at: self.clock.now() };
        self.installed.insert(&wanted).await?;
        let installed = self.installed.get(INSTALLED).await?.map_or(wanted, |kept| kept.record);
        let presets = sets.remove(&installed.set).unwrap_or_default();
        let first = presets.first().map(|preset| preset.slug.clone()).unwrap_or_default();
        for (rank, preset) in (0_u32..).zip(presets) {
            match catalogue_entry(catalogue, &installed, rank, preset).await {
                // The slug went to a plan of the operator's own making before this set was wholly installed.
                Ok(()) | Err(PlansError::SlugTaken(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(first)
    }
}

async fn catalogue_entry(
    catalogue: &Catalogue,
    installed: &Installed,
    rank: u32,
    preset: Preset,
) -> Result<(), PlansError> {
    let plan = Plan {
        id: id::from_seed("pln", seed(&installed.set, &preset.slug)),
        slug: preset.slug,
        name: preset.name,
        published_version: Some(1),
        latest_version: 1,
        created_at: installed.at,
        rank,
    };
    let draft = Catalogue::first_version(&plan, preset.spec);
    let version = PlanVersion { published_at: Some(installed.at), ..draft };
    catalogue.add(plan, version).await.map(|_| ())
}

/// Always the same for a preset, so that several servers that start at once install it once.
fn seed(set: &str, slug: &str) -> Uuid {
    let digest = Sha256::digest(format!("{set}/{slug}"));
    let mut bytes = [0; 10];
    bytes.iter_mut().zip(digest).for_each(|(byte, digit)| *byte = digit);
    uuid::Builder::from_unix_timestamp_millis(0, &bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::bounds::{check_names, check_spec};
    use crate::plans::spec::RateKind;

    /// Slug, requests a period (`None`: unlimited), requests in a window, credits a period, premium.
    type Row = (&'static str, Option<Option<i64>>, Option<(i64, i64)>, i64, bool);

    fn check(set: &str, rows: &[Row]) {
        let presets = sets().unwrap().remove(set).unwrap();
        let found = presets.iter().map(|preset| {
            let spec = &preset.spec;
            assert!(spec.rate_limits.len() <= 1 && spec.quotas.len() <= 1);
            assert!(spec.rate_limits.iter().all(|limit| limit.kind == RateKind::Sliding));
            let quota = spec.quotas.first().map(|quota| quota.limit);
            let rate = spec.rate_limits.first().map(|limit| (limit.limit, limit.window_seconds));
            (preset.slug.as_str(), quota, rate, spec.credits_per_period_micros, spec.premium)
        });
        assert_eq!(found.collect::<Vec<_>>(), rows, "set `{set}`");
    }

    #[test]
    fn presets_have_the_promised_numbers() {
        check(
            "standard",
            &[
                ("free", Some(Some(1_000)), Some((100, 3_600)), 0, false),
                ("starter", Some(Some(10_000)), Some((500, 3_600)), 0, false),
                ("pro", Some(Some(100_000)), Some((2_000, 3_600)), 0, true),
                ("enterprise", Some(None), None, 0, true),
            ],
        );
        check(
            "per-minute",
            &[("standard", None, Some((60, 60)), 0, false), ("pro", None, Some((1_000, 60)), 0, true)],
        );
        check(
            "monthly",
            &[
                ("free", Some(Some(10_000)), None, 0, false),
                ("starter", Some(Some(100_000)), None, 0, false),
                ("professional", Some(Some(1_000_000)), None, 0, true),
                ("enterprise", Some(None), None, 0, true),
            ],
        );
        check(
            "credits",
            &[
                ("free", Some(None), None, 100_000_000, false),
                ("basic", Some(None), None, 1_000_000_000, false),
                ("pro", Some(None), None, 10_000_000_000, true),
            ],
        );
    }

    #[test]
    fn presets_are_within_the_bounds_of_plans() {
        for (set, presets) in sets().unwrap() {
            for preset in presets {
                check_names(&preset.slug, &preset.name).unwrap();
                check_spec(&preset.spec, &format!("{set}.{}", preset.slug), Vec::new()).unwrap();
            }
        }
    }
}
