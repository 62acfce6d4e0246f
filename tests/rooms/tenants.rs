//! Tenants, their subscriptions, and the directory that every call looks into.

use tollgate::identity::tenant::{Tenant, TenantState};
use tollgate::identity::tenants::{NewTenant, TenantsError};
use tollgate::plans::PlansError;
use tollgate::plans::spec::PlanSpec;
use tollgate::plans::subscription::{PeriodAnchor, Subscription};
use tollgate::store::records::Records;
use tollgate::time::DAY;

use crate::rooms::{Rooms, tenant};

async fn plan_of(rooms: &Rooms, id: &str) -> (String, u32) {
    let entry = rooms.directory.tenant(id).await.expect("an answer").expect("a tenant");
    (entry.policy.plan.slug.to_string(), entry.policy.plan.version)
}

#[tokio::test]
async fn tenant_is_made_once_for_a_seed_and_its_id_is_its_own() {
    let rooms = Rooms::new().await;
    let again = rooms.tenants.create(tenant("acme", 1)).await.unwrap();
    assert_eq!((again.tenant.id.as_str(), again.subscription.plan.as_str()), ("acme", "free"));
    let taken = rooms.tenants.create(tenant("acme", 2)).await;
    assert!(matches!(taken, Err(TenantsError::IdTaken(id)) if id == "acme"));
    let named = rooms.tenants.create(tenant("", 3)).await.unwrap().tenant.id;
    assert_eq!(named, "ten_00000000000000000000000000000003");
}

#[tokio::test]
async fn tenant_that_was_left_without_a_subscription_gets_the_one_it_was_promised() {
    let rooms = Rooms::new().await;
    let documents = &rooms.store.documents;
    assert!(documents.delete("subscription", "acme", 1).await.unwrap());
    assert_eq!(plan_of(&rooms, "acme").await, (String::from("free"), 1));
    let kept = Records::<Subscription>::new(documents.clone()).get("acme").await.unwrap().unwrap().record;
    let tenant = Records::<Tenant>::new(documents.clone()).get("acme").await.unwrap().unwrap().record;
    assert_eq!(kept, tenant.first_subscription());
}

#[tokio::test]
async fn each_wrong_field_of_a_new_tenant_is_named() {
    let rooms = Rooms::new().await;
    let good = || tenant("x", 9);
    let text = |text: &str| text.to_owned();
    let cases = [
        (NewTenant { id: text("a b"), ..good() }, "tenant_id"),
        (NewTenant { id: text("a/b"), ..good() }, "tenant_id"),
        (NewTenant { id: "a".repeat(65), ..good() }, "tenant_id"),
        (NewTenant { name: text(""), ..good() }, "name"),
        (NewTenant { name: "a".repeat(129), ..good() }, "name"),
        (NewTenant { time_zone: text("Mars/Olympus"), ..good() }, "time_zone"),
    ];
    for (new, field) in cases {
        let Err(TenantsError::Invalid(invalid)) = rooms.tenants.create(new).await else {
            panic!("`{field}` is wrong");
        };
        assert_eq!(invalid.0[0].field, field);
    }
    let unknown = NewTenant { plan: text("gold"), ..good() };
    let refused = rooms.tenants.create(unknown).await;
    assert!(matches!(refused, Err(TenantsError::Plans(PlansError::PlanNotFound(_)))));
}

#[tokio::test]
async fn suspension_and_plan_hold_for_the_next_call() {
    let rooms = Rooms::new().await;
    let state = async || rooms.directory.tenant("acme").await.unwrap().unwrap().state;
    assert_eq!(state().await, TenantState::Active);
    let suspended = rooms.tenants.suspend("acme", "unpaid").await.unwrap().tenant;
    assert_eq!((state().await, suspended.suspend_reason.as_str()), (TenantState::Suspended, "unpaid"));
    let twice = rooms.tenants.suspend("acme", "other").await.unwrap().tenant;
    assert_eq!(twice, suspended);
    rooms.tenants.resume("acme").await.unwrap();
    assert_eq!(state().await, TenantState::Active);

    rooms.tenants.change_plan("acme", "pro", None).await.unwrap();
    assert_eq!(plan_of(&rooms, "acme").await, (String::from("pro"), 1));
    let missing = rooms.tenants.suspend("nobody", "").await;
    assert!(matches!(missing, Err(TenantsError::NotFound(_))));
    assert!(rooms.directory.tenant("nobody").await.unwrap().is_none());
}

#[tokio::test]
async fn look_up_that_began_before_a_change_is_not_remembered_after_it() {
    let rooms = Rooms::new().await;
    rooms.store.watched.hold_next_reader();
    let early = rooms.directory.tenant("acme");
    let change = async {
        rooms.store.watched.reader_is_held().await;
        rooms.tenants.suspend("acme", "").await.unwrap();
        rooms.store.watched.release();
    };
    let (early, ()) = futures_util::future::join(early, change).await;
    assert_eq!(early.unwrap().unwrap().state, TenantState::Active, "it began before");
    assert_eq!(rooms.directory.tenant("acme").await.unwrap().unwrap().state, TenantState::Suspended);
}

#[tokio::test]
async fn tenant_that_called_lately_takes_no_look_into_the_store_and_shares_its_policy() {
    let rooms = Rooms::new().await;
    rooms.tenants.create(tenant("other", 2)).await.unwrap();
    let acme = rooms.directory.tenant("acme").await.unwrap().unwrap();
    let other = rooms.directory.tenant("other").await.unwrap().unwrap();
    assert!(std::sync::Arc::ptr_eq(&acme.policy, &other.policy));
    let before = rooms.store.watched.reads();
    rooms.directory.tenant("acme").await.unwrap().unwrap();
    assert_eq!(rooms.store.watched.reads(), before);
}

#[tokio::test]
async fn subscription_stays_on_the_version_it_was_promised() {
    let rooms = Rooms::new().await;
    rooms.catalogue.add_version("free", uuid::Uuid::from_u128(1), PlanSpec::default()).await.unwrap();
    rooms.catalogue.publish("free", 2).await.unwrap();
    rooms.directory.forget_all();
    assert_eq!(plan_of(&rooms, "acme").await, (String::from("free"), 1));
    rooms.tenants.create(tenant("late", 2)).await.unwrap();
    assert_eq!(plan_of(&rooms, "late").await, (String::from("free"), 2));
    rooms.tenants.change_plan("acme", "free", None).await.unwrap();
    assert_eq!(plan_of(&rooms, "acme").await, (String::from("free"), 2));
}

#[tokio::test]
async fn new_plan_is_hinted_at_from_its_publication_on() {
    let rooms = Rooms::new().await;
    rooms.tenants.change_plan("acme", "enterprise", None).await.unwrap();
    let hint = async || {
        let entry = rooms.directory.tenant("acme").await.unwrap().unwrap();
        entry.policy.upgrade.as_ref().map(|upgrade| upgrade.plan.to_string())
    };
    assert_eq!(hint().await, None);
    let spec = PlanSpec {
        credits_per_period_micros: 1,
        ..rooms.catalogue.offers().await.unwrap().pop().unwrap().1.spec
    };
    let (seed, slug, name) = (uuid::Uuid::from_u128(5), String::from("gold"), String::from("Gold"));
    let new = tollgate::plans::catalogue::NewPlan { seed, slug, name, spec };
    rooms.catalogue.create(new).await.unwrap();
    rooms.catalogue.publish("gold", 1).await.unwrap();
    rooms.directory.forget_all();
    assert_eq!(hint().await.as_deref(), Some("gold"));
}

#[tokio::test]
async fn changed_anchor_holds_from_the_next_period_without_being_told_again() {
    let rooms = Rooms::new().await;
    let start = async || {
        let now = rooms.store.clock().now();
        let entry = rooms.directory.tenant("acme").await.unwrap().unwrap();
        entry.policy.period.containing(now).start.to_string()
    };
    rooms.tenants.change_plan("acme", "free", Some(PeriodAnchor::Anniversary)).await.unwrap();
    assert_eq!(start().await, "2026-03-01T00:00:00Z");
    rooms.store.time.advance(13 * DAY);
    assert_eq!(start().await, "2026-03-20T00:00:00Z");
}

#[tokio::test]
async fn tenants_are_listed_oldest_first_with_their_plans() {
    let rooms = Rooms::new().await;
    for (id, seed) in [("b", 2), ("a", 3)] {
        rooms.store.time.advance(1);
        rooms.tenants.create(tenant(id, seed)).await.unwrap();
    }
    rooms.tenants.change_plan("b", "pro", None).await.unwrap();
    let first = rooms.tenants.list(None, 2).await.unwrap();
    let rest = rooms.tenants.list(first.next.as_ref(), 2).await.unwrap();
    let listed = first.records.iter().chain(&rest.records);
    let listed: Vec<_> = listed.map(|one| (one.tenant.id.as_str(), one.subscription.plan.as_str())).collect();
    assert_eq!(listed, [("acme", "free"), ("b", "pro"), ("a", "free")]);
    assert_eq!(rest.next, None);
}
