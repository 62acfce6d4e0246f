//! The services of tenants, keys and plans, as their callers meet them.

use tollgate_client::v1;
use tonic::Code;

use crate::door::{Door, as_operator, reason, with_key};

fn new_tenant(id: &str, request_id: &str) -> v1::CreateTenantRequest {
    v1::CreateTenantRequest {
        tenant_id: id.to_owned(),
        name: String::from("Acme"),
        request_id: request_id.to_owned(),
        ..v1::CreateTenantRequest::default()
    }
}

#[tokio::test]
async fn tenant_is_made_once_for_a_request() {
    let mut door = Door::new().await;
    let first = door.admin.create_tenant(as_operator(new_tenant("", "r1"))).await.unwrap().into_inner();
    let tenant = first.tenant.clone().unwrap();
    assert!(tenant.id.starts_with("ten_"));
    assert_eq!((tenant.plan.as_str(), tenant.state()), ("free", v1::TenantState::Active));
    let suspend = v1::SuspendTenantRequest { tenant_id: tenant.id.clone(), reason: String::from("unpaid") };
    let suspended =
        door.admin.suspend_tenant(as_operator(suspend)).await.unwrap().into_inner().tenant.unwrap();
    assert_eq!(
        (suspended.state(), suspended.suspend_reason.as_str()),
        (v1::TenantState::Suspended, "unpaid")
    );

    let again = door.admin.create_tenant(as_operator(new_tenant("", "r1"))).await.unwrap().into_inner();
    assert_eq!(again, first, "the first answer, though the tenant is suspended since");
    let other = door.admin.create_tenant(as_operator(new_tenant("x", "r1"))).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).as_str()), (Code::AlreadyExists, "REQUEST_CONFLICT"));
    let taken = door.admin.create_tenant(as_operator(new_tenant("acme", "r2"))).await.unwrap_err();
    assert_eq!(reason(&taken), "TENANT_EXISTS");
    let missing = v1::GetTenantRequest { tenant_id: String::from("nobody") };
    assert_eq!(reason(&door.admin.get_tenant(as_operator(missing)).await.unwrap_err()), "TENANT_NOT_FOUND");
}

#[tokio::test]
async fn retry_of_a_key_answers_it_without_its_secret() {
    let mut door = Door::new().await;
    let request = || v1::CreateApiKeyRequest {
        tenant_id: String::from("acme"),
        name: String::from("ci"),
        permissions: vec![String::from("usage.read")],
        request_id: String::from("r1"),
        ..v1::CreateApiKeyRequest::default()
    };
    let first = door.auth.create_api_key(as_operator(request())).await.unwrap().into_inner();
    let again = door.auth.create_api_key(as_operator(request())).await.unwrap().into_inner();
    assert!(!first.secret.is_empty() && again.secret.is_empty());
    assert_eq!(again.api_key, first.api_key);
    let other = v1::CreateApiKeyRequest { name: String::from("other"), ..request() };
    let conflict = door.auth.create_api_key(as_operator(other)).await.unwrap_err();
    assert_eq!(reason(&conflict), "REQUEST_CONFLICT");

    let refused = door.plans.get_wallet(with_key(&first.secret, v1::GetWalletRequest::default())).await;
    assert_eq!(reason(&refused.unwrap_err()), "PERMISSION_MISSING", "the key may read usage alone");
}

#[tokio::test]
async fn only_an_operator_makes_service_accounts() {
    let mut door = Door::new().await;
    let key = door.key_of("acme").await;
    let request = |tenant: &str| v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::ServiceAccount.into(),
        tenant_id: tenant.to_owned(),
        name: String::from("gateway"),
        ..v1::CreateApiKeyRequest::default()
    };
    let refused = door.auth.create_api_key(with_key(&key, request(""))).await.unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_MISSING");
    let invalid = door.auth.create_api_key(as_operator(request("acme"))).await.unwrap_err();
    assert_eq!((invalid.code(), reason(&invalid).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    door.auth.create_api_key(as_operator(request(""))).await.unwrap();
    let listed = door.auth.list_api_keys(as_operator(v1::ListApiKeysRequest::default())).await.unwrap();
    assert_eq!(listed.into_inner().api_keys.len(), 1, "an operator's own are those of service accounts");
}

#[tokio::test]
async fn page_tokens_are_good_for_their_own_list() {
    let mut door = Door::new().await;
    door.tenant("other").await;
    let (acme, other) = (door.key_of("acme").await, door.key_of("other").await);
    door.key_of("acme").await;
    let list = |token: &str| v1::ListApiKeysRequest {
        page_size: 1,
        page_token: token.to_owned(),
        ..v1::ListApiKeysRequest::default()
    };
    let first = door.auth.list_api_keys(with_key(&acme, list(""))).await.unwrap().into_inner();
    let token = first.next_page_token.as_str();
    assert_eq!((first.api_keys.len(), token.is_empty()), (1, false));
    let rest = door.auth.list_api_keys(with_key(&acme, list(token))).await.unwrap().into_inner();
    assert_eq!((rest.api_keys.len(), rest.next_page_token.as_str()), (1, ""));
    assert_ne!(rest.api_keys, first.api_keys);
    let foreign = door.auth.list_api_keys(with_key(&other, list(token))).await.unwrap_err();
    assert_eq!((foreign.code(), reason(&foreign).as_str()), (Code::InvalidArgument, "PAGE_TOKEN_INVALID"));
    let tenants = v1::ListTenantsRequest { page_size: 1, page_token: token.to_owned(), ..Default::default() };
    assert_eq!(
        reason(&door.admin.list_tenants(as_operator(tenants)).await.unwrap_err()),
        "PAGE_TOKEN_INVALID"
    );
    let large = v1::ListTenantsRequest { page_size: 1_001, ..v1::ListTenantsRequest::default() };
    assert_eq!(reason(&door.admin.list_tenants(as_operator(large)).await.unwrap_err()), "INVALID_FIELD");
}

#[tokio::test]
async fn plan_goes_from_draft_to_subscription() {
    let mut door = Door::new().await;
    let spec = |limit| v1::PlanSpec {
        quotas: vec![v1::Quota { name: String::from("month"), limit: Some(limit), ..v1::Quota::default() }],
        ..v1::PlanSpec::default()
    };
    let create = || v1::CreatePlanRequest {
        slug: String::from("gold"),
        name: String::from("Gold"),
        spec: Some(spec(7)),
        request_id: String::from("r1"),
    };
    let made = door.plans.create_plan(as_operator(create())).await.unwrap().into_inner();
    assert_eq!(door.plans.create_plan(as_operator(create())).await.unwrap().into_inner(), made);
    assert_eq!(made.version.as_ref().unwrap().state(), v1::PlanVersionState::Draft);
    let change = || v1::ChangeSubscriptionRequest {
        tenant_id: String::from("acme"),
        plan: String::from("gold"),
        ..v1::ChangeSubscriptionRequest::default()
    };
    let draft = door.plans.change_subscription(as_operator(change())).await.unwrap_err();
    assert_eq!((draft.code(), reason(&draft).as_str()), (Code::FailedPrecondition, "PLAN_NOT_PUBLISHED"));

    let publish = v1::PublishPlanVersionRequest { plan: String::from("gold"), version: 1 };
    let published = door.plans.publish_plan_version(as_operator(publish)).await.unwrap().into_inner();
    assert_eq!(published.plan.unwrap().published_version, 1);
    let changed = door.plans.change_subscription(as_operator(change())).await.unwrap().into_inner();
    let subscription = changed.subscription.unwrap();
    assert_eq!((subscription.plan.as_str(), subscription.plan_version), ("gold", 1));
    let key = door.key_of("acme").await;
    let own =
        door.plans.get_subscription(with_key(&key, v1::GetSubscriptionRequest::default())).await.unwrap();
    assert_eq!(own.into_inner().subscription.unwrap(), subscription);
    let entry = door.rooms.directory.tenant("acme").await.unwrap().unwrap();
    assert_eq!(entry.policy.quotas[0].limit, Some(7));

    let missing = v1::GetPlanRequest { plan: String::from("silver"), version: 0 };
    assert_eq!(reason(&door.plans.get_plan(with_key(&key, missing)).await.unwrap_err()), "PLAN_NOT_FOUND");
    let missing = v1::GetPlanRequest { plan: String::from("gold"), version: 2 };
    assert_eq!(
        reason(&door.plans.get_plan(with_key(&key, missing)).await.unwrap_err()),
        "PLAN_VERSION_NOT_FOUND"
    );
    let listed = door.plans.list_plans(with_key(&key, v1::ListPlansRequest::default())).await.unwrap();
    let slugs: Vec<_> = listed.into_inner().plans.into_iter().map(|plan| plan.slug).collect();
    assert_eq!(slugs, ["free", "starter", "pro", "enterprise", "gold"]);
}

#[tokio::test]
async fn wrong_fields_of_a_plan_are_named_with_their_paths() {
    let mut door = Door::new().await;
    let limit = v1::RateLimit { name: String::from("minute"), limit: 0, ..v1::RateLimit::default() };
    let request = v1::CreatePlanRequest {
        slug: String::from("gold"),
        name: String::from("Gold"),
        spec: Some(v1::PlanSpec { rate_limits: vec![limit], ..v1::PlanSpec::default() }),
        ..v1::CreatePlanRequest::default()
    };
    let refused = door.plans.create_plan(as_operator(request)).await.unwrap_err();
    let details = tonic_types::StatusExt::get_error_details(&refused);
    let fields = &details.bad_request().unwrap().field_violations;
    let fields: Vec<_> = fields.iter().map(|wrong| wrong.field.as_str()).collect();
    let at = |field: &str| format!("spec.rate_limits[0].{field}");
    assert_eq!(fields, [at("kind"), at("limit"), at("window")]);
}

#[tokio::test]
async fn credits_are_granted_once_for_a_request() {
    let mut door = Door::new().await;
    let request = || v1::GrantCreditsRequest {
        tenant_id: String::from("acme"),
        credits_micros: 5_000_000,
        name: String::from("welcome"),
        request_id: String::from("r1"),
        ..v1::GrantCreditsRequest::default()
    };
    let first = door.plans.grant_credits(as_operator(request())).await.unwrap().into_inner();
    let grant = first.grant.clone().unwrap();
    assert_eq!((grant.credits_micros, grant.priority, grant.name.as_str()), (5_000_000, 100, "welcome"));
    assert_eq!((first.wallet.clone().unwrap().balance_micros, first.replayed), (5_000_000, false));
    let again = door.plans.grant_credits(as_operator(request())).await.unwrap().into_inner();
    assert_eq!((again.grant, again.replayed), (first.grant, true));
    let other = v1::GrantCreditsRequest { credits_micros: 6_000_000, ..request() };
    assert_eq!(reason(&door.plans.grant_credits(as_operator(other)).await.unwrap_err()), "REQUEST_CONFLICT");

    let key = door.key_of("acme").await;
    let wallet = door.plans.get_wallet(with_key(&key, v1::GetWalletRequest::default())).await.unwrap();
    let wallet = wallet.into_inner().wallet.unwrap();
    assert_eq!(
        (wallet.tenant_id.as_str(), wallet.balance_micros, wallet.grants.len()),
        ("acme", 5_000_000, 1)
    );
    let full = v1::GrantCreditsRequest {
        credits_micros: 9_000_000_000_000_000,
        request_id: String::from("r2"),
        ..request()
    };
    let refused = door.plans.grant_credits(as_operator(full)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::OutOfRange, "WALLET_FULL"));
}
