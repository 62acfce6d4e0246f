//! The catalogue of plans over a store, also where a process ended half way.

use std::sync::Arc;

use tollgate::id;
use tollgate::plans::PlansError;
use tollgate::plans::catalogue::{Catalogue, NewPlan};
use tollgate::plans::plan::{Plan, PlanVersion, SLUG};
use tollgate::plans::presets::Presets;
use tollgate::plans::spec::PlanSpec;
use tollgate::store::records::Records;
use uuid::Uuid;

use crate::store::Store as Kept;

struct Store {
    catalogue: Catalogue,
    presets: Presets,
    kept: Kept,
}

fn store() -> Store {
    let kept = Kept::new();
    let (documents, clock) = (&kept.documents, kept.clock());
    let catalogue = Catalogue::new(documents, Arc::clone(&clock));
    Store { catalogue, presets: Presets::new(documents, clock), kept }
}

fn gold(seed: u128) -> NewPlan {
    let (seed, slug, name) = (Uuid::from_u128(seed), String::from("gold"), String::from("Gold"));
    NewPlan { seed, slug, name, spec: PlanSpec::default() }
}

fn premium() -> PlanSpec {
    PlanSpec { premium: true, ..PlanSpec::default() }
}

#[tokio::test]
async fn plan_is_made_once_for_a_seed_and_its_slug_is_its_own() {
    let store = store();
    let catalogue = &store.catalogue;
    let (plan, version) = catalogue.create(gold(1)).await.unwrap();
    assert_eq!((plan.published_version, plan.latest_version, version.number), (None, 1, 1));
    assert_eq!(catalogue.create(gold(1)).await.unwrap().0, plan);
    assert!(matches!(catalogue.create(gold(2)).await, Err(PlansError::SlugTaken(slug)) if slug == "gold"));
    assert_eq!(catalogue.plan("gold").await.unwrap(), catalogue.plan(&plan.id).await.unwrap());
    assert!(matches!(catalogue.offered("gold").await, Err(PlansError::NotPublished(_))));
    assert!(matches!(catalogue.plan("silver").await, Err(PlansError::PlanNotFound(_))));
}

#[tokio::test]
async fn version_is_made_once_for_a_seed_also_where_the_first_try_ended_half_way() {
    let store = store();
    let catalogue = &store.catalogue;
    let (plan, _) = catalogue.create(gold(1)).await.unwrap();
    let half = PlanVersion {
        id: PlanVersion::id_of(&plan.id, 2),
        plan_id: plan.id.clone(),
        number: 2,
        origin: id::from_seed("plv", Uuid::from_u128(7)),
        spec: premium(),
        created_at: plan.created_at,
        published_at: None,
    };
    Records::<PlanVersion>::new(Arc::clone(&store.kept.documents)).insert(&half).await.unwrap();

    let (plan, third) = catalogue.add_version("gold", Uuid::from_u128(8), premium()).await.unwrap();
    assert_eq!((plan.latest_version, third.number), (3, 3), "another's half version is helped and passed");
    for _ in 0..2 {
        let (plan, second) = catalogue.add_version("gold", Uuid::from_u128(7), premium()).await.unwrap();
        assert_eq!((plan.latest_version, second.number), (3, 2));
    }
}

#[tokio::test]
async fn published_version_is_what_is_offered() {
    let store = store();
    let catalogue = &store.catalogue;
    let (plan, _) = catalogue.create(gold(1)).await.unwrap();
    assert!(catalogue.offers().await.unwrap().is_empty());
    let missing = catalogue.publish("gold", 2).await;
    assert!(matches!(missing, Err(PlansError::VersionNotFound { number: 2, .. })));
    for _ in 0..2 {
        let (published, version) = catalogue.publish("gold", 1).await.unwrap();
        assert_eq!((published.published_version, version.published_at), (Some(1), Some(plan.created_at)));
    }
    assert_eq!(catalogue.offered(&plan.id).await.unwrap().1, 1);
    assert_eq!(catalogue.offers().await.unwrap().len(), 1);
}

#[tokio::test]
async fn presets_are_installed_once_in_their_order() {
    let store = store();
    let (catalogue, presets) = (&store.catalogue, &store.presets);
    assert_eq!(presets.install(catalogue, "standard").await.unwrap(), "free");
    catalogue.create(gold(1)).await.unwrap();
    assert_eq!(presets.install(catalogue, "credits").await.unwrap(), "free", "the first set stays");
    let first = catalogue.list(None, 3).await.unwrap();
    let rest = catalogue.list(first.next.as_ref(), 3).await.unwrap();
    let slugs: Vec<_> = first.records.iter().chain(&rest.records).map(|plan| plan.slug.as_str()).collect();
    assert_eq!(slugs, ["free", "starter", "pro", "enterprise", "gold"]);
    assert_eq!(rest.next, None);
    assert_eq!(catalogue.offers().await.unwrap().len(), 4);
    assert!(matches!(presets.install(catalogue, "other").await, Err(PlansError::UnknownPresets { .. })));
}

#[tokio::test]
async fn installation_that_ended_half_way_goes_on() {
    let store = store();
    let (catalogue, presets) = (&store.catalogue, &store.presets);
    presets.install(catalogue, "standard").await.unwrap();
    let starter = Records::<Plan>::new(Arc::clone(&store.kept.documents))
        .get_by(SLUG, "starter")
        .await
        .unwrap()
        .unwrap();
    assert!(store.kept.documents.delete("plan", &starter.record.id, 1).await.unwrap());
    presets.install(catalogue, "standard").await.unwrap();
    assert_eq!(catalogue.plan("starter").await.unwrap(), starter.record);
}
