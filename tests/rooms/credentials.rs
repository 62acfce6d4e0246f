//! Before every method: a good credential, and the permission that the method takes.

use ::http::{HeaderMap, HeaderValue, Request, Response};
use axum::body::Body;
use tollgate::api::resolve::{ResolveError, Resolved};
use tollgate::api::status::from_fault;
use tollgate::api::track::DoorError;
use tollgate::fault::Invalid;
use tollgate::identity::caller::PermissionMissing;
use tollgate::identity::permission::Permission;
use tollgate_client::v1;
use tonic::Code;
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use crate::door::{Door, as_operator, reason, with_key};
use crate::rooms::OPERATOR_KEY;

async fn call(door: &Door, path: &str, headers: &[(&'static str, &str)]) -> Response<Body> {
    let mut request = Request::post(path)
        .header("content-type", "application/grpc")
        .body(Body::empty())
        .expect("a request");
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_str(value).expect("a header's value"));
    }
    door.router.clone().oneshot(request).await.expect("an answer")
}

fn status(headers: &HeaderMap) -> (Code, String) {
    let status = tonic::Status::from_header_map(headers).expect("a status in the headers");
    let details = status.get_error_details();
    (status.code(), details.error_info().map(|info| info.reason.clone()).unwrap_or_default())
}

#[tokio::test]
async fn each_bad_credential_has_its_reason() {
    let door = Door::new().await;
    let own = door.key_of("acme").await;
    let (long, bearer) = ("a".repeat(1_025), format!("Bearer {OPERATOR_KEY}"));
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[], "CREDENTIAL_MISSING"),
        (&[("x-api-key", "nonsense")], "CREDENTIAL_INVALID"),
        (&[("authorization", "Basic nonsense")], "CREDENTIAL_INVALID"),
        (&[("authorization", OPERATOR_KEY)], "CREDENTIAL_INVALID"),
        (&[("x-api-key", &long)], "CREDENTIAL_INVALID"),
        (&[("x-api-key", &own), ("authorization", &bearer)], "CREDENTIAL_AMBIGUOUS"),
        (&[("x-api-key", &own), ("x-api-key", &own)], "CREDENTIAL_AMBIGUOUS"),
        (&[("authorization", &bearer), ("authorization", &bearer)], "CREDENTIAL_AMBIGUOUS"),
    ];
    for (headers, expected) in cases {
        let answer = call(&door, "/tollgate.v1.AuthService/WhoAmI", headers).await;
        assert_eq!(status(answer.headers()), (Code::Unauthenticated, expected.to_owned()), "{headers:?}");
    }
}

#[tokio::test]
async fn what_is_no_method_passes_untouched() {
    let door = Door::new().await;
    for path in ["/tollgate.v1.AuthService/Nothing", "/tollgate.v1.NoService/Nothing", "/nothing"] {
        let answer = call(&door, path, &[]).await;
        assert_eq!(status(answer.headers()).0, Code::Unimplemented, "{path}");
    }
}

#[tokio::test]
async fn every_caller_learns_who_it_is() {
    let mut door = Door::new().await;
    let (tenant, service) = (door.key_of("acme").await, door.service_account().await);
    for (key, kind, id, some) in [
        (OPERATOR_KEY, v1::CallerKind::Operator, "", "tenants.write"),
        (&tenant, v1::CallerKind::Tenant, "acme", "usage.track"),
        (&service, v1::CallerKind::ServiceAccount, "", "usage.track.any"),
    ] {
        for _ in 0..2 {
            let me = door.auth.who_am_i(with_key(key, v1::WhoAmIRequest {})).await.unwrap().into_inner();
            assert_eq!((me.kind(), me.tenant_id.as_str()), (kind, id));
            assert!(me.permissions.iter().any(|permission| permission == some), "{me:?}");
            assert!(me.permissions.is_sorted());
            assert_eq!(me.api_key_id.is_empty(), kind == v1::CallerKind::Operator);
        }
    }
}

#[tokio::test]
async fn lacking_permission_is_named() {
    let mut door = Door::new().await;
    let (tenant, service) = (door.key_of("acme").await, door.service_account().await);
    let create = || v1::CreateTenantRequest { name: String::from("x"), ..v1::CreateTenantRequest::default() };
    for key in [&tenant, &service] {
        // The second time the key is remembered.
        for _ in 0..2 {
            let refused = door.admin.create_tenant(with_key(key, create())).await.unwrap_err();
            assert_eq!(
                (refused.code(), reason(&refused).as_str()),
                (Code::PermissionDenied, "PERMISSION_MISSING")
            );
            let details = refused.get_error_details();
            assert_eq!(details.error_info().unwrap().metadata["permission"], "tenants.write");
        }
    }
    let change = v1::ChangeSubscriptionRequest { plan: String::from("pro"), ..Default::default() };
    let refused = door.plans.change_subscription(with_key(&tenant, change)).await.unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_MISSING");
}

#[tokio::test]
async fn revoked_and_expired_keys_are_refused_by_the_next_call() {
    let mut door = Door::new().await;
    let revoked = door.key_of("acme").await;
    let me = door.auth.who_am_i(with_key(&revoked, v1::WhoAmIRequest {})).await.unwrap().into_inner();
    let request = v1::RevokeApiKeyRequest { id: me.api_key_id };
    door.auth.revoke_api_key(with_key(&revoked, request)).await.expect("a tenant may revoke its own key");
    let refused = door.auth.who_am_i(with_key(&revoked, v1::WhoAmIRequest {})).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CREDENTIAL_REVOKED"));

    let now = door.rooms.store.clock().now();
    let request = v1::CreateApiKeyRequest {
        tenant_id: String::from("acme"),
        name: String::from("short"),
        expire_time: Some(prost_types::Timestamp { seconds: now.seconds() + 1, nanos: 0 }),
        ..v1::CreateApiKeyRequest::default()
    };
    let expiring = door.auth.create_api_key(as_operator(request)).await.unwrap().into_inner().secret;
    door.auth.who_am_i(with_key(&expiring, v1::WhoAmIRequest {})).await.expect("it is good for a second");
    door.rooms.store.time.advance(1_000_000);
    let refused = door.auth.who_am_i(with_key(&expiring, v1::WhoAmIRequest {})).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"));
}

#[tokio::test]
async fn foreign_tenants_are_refused_alike_whether_they_exist_or_not() {
    let mut door = Door::new().await;
    door.tenant("other").await;
    let key = door.key_of("acme").await;
    let mut seen = Vec::new();
    for tenant in ["other", "nobody"] {
        let list = v1::ListApiKeysRequest { tenant_id: tenant.to_owned(), ..Default::default() };
        let get = v1::GetSubscriptionRequest { tenant_id: tenant.to_owned() };
        let wallet = v1::GetWalletRequest { tenant_id: tenant.to_owned() };
        for refused in [
            door.auth.list_api_keys(with_key(&key, list)).await.unwrap_err(),
            door.plans.get_subscription(with_key(&key, get)).await.unwrap_err(),
            door.plans.get_wallet(with_key(&key, wallet)).await.unwrap_err(),
        ] {
            assert_eq!(reason(&refused), "TENANT_FORBIDDEN");
            seen.push((refused.code(), refused.message().replace(tenant, "…")));
        }
    }
    assert_eq!(seen[..3], seen[3..]);
    let missing = v1::GetSubscriptionRequest { tenant_id: String::from("nobody") };
    let missing = door.plans.get_subscription(as_operator(missing)).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "TENANT_NOT_FOUND"));
}

#[tokio::test]
async fn who_calls_for_whom() {
    let door = Door::new().await;
    door.tenant("other").await;
    let (acme, other) = (door.key_of("acme").await, door.key_of("other").await);
    let service = door.service_account().await;
    let revoked = door.key_of("other").await;
    let of_revoked = door.rooms.keyring.authenticate(&revoked).await.unwrap().key_id.clone().unwrap();
    door.rooms.keys.revoke(&*door.rooms.operator().await, &of_revoked).await.unwrap();

    let invalid = || String::from("refused ApiKeyInvalid by api_key");
    let cases = [
        (&*acme, "", "", String::from("acme with its key")),
        (&*acme, "acme", "", String::from("acme with its key")),
        (&*acme, "other", "", String::from("Forbidden")),
        (&*acme, "nobody", "", String::from("Forbidden")),
        (&*acme, "", &*other, String::from("PermissionMissing")),
        (&*acme, "", &*acme, String::from("PermissionMissing")),
        (&*service, "", "", String::from("Invalid")),
        (&*service, "acme", "", String::from("acme")),
        (&*service, "nobody", "", String::from("NotFound")),
        (&*service, "a b", "", String::from("NotFound")),
        (&*service, "", &*acme, String::from("acme with its key")),
        (&*service, "acme", &*acme, String::from("acme with its key")),
        (&*service, "acme", &*other, String::from("Invalid")),
        (&*service, "", "nonsense", invalid()),
        (&*service, "acme", "nonsense", invalid()),
        (&*service, "", &*service, invalid()),
        (&*service, "", OPERATOR_KEY, invalid()),
        (&*service, "", &*revoked, format!("refused ApiKeyRevoked by {of_revoked}")),
        (OPERATOR_KEY, "", "", String::from("Invalid")),
        (OPERATOR_KEY, "other", "", String::from("other")),
        (OPERATOR_KEY, "", &*other, String::from("other with its key")),
    ];
    for (credential, tenant_id, api_key, expected) in cases {
        let caller = door.rooms.keyring.authenticate(credential).await.unwrap();
        let found = match door.resolver.resolve(&caller, tenant_id, api_key).await {
            Ok(Resolved::Tenant { entry, key_id: None, .. }) => entry.id.to_string(),
            Ok(Resolved::Tenant { entry, key_id: Some(_), .. }) => format!("{} with its key", entry.id),
            Ok(Resolved::Refused { reason, denied_by }) => format!("refused {reason:?} by {denied_by}"),
            Err(error) => error_name(&error).to_owned(),
        };
        assert_eq!(found, expected, "{:?} names `{tenant_id}` and passes `{api_key}`", caller.kind);
    }
}

const fn error_name(error: &ResolveError) -> &'static str {
    match error {
        ResolveError::Forbidden(_) => "Forbidden",
        ResolveError::NotFound(_) => "NotFound",
        ResolveError::PermissionMissing(_) => "PermissionMissing",
        ResolveError::Invalid(_) => "Invalid",
        ResolveError::Store(_) => "Store",
    }
}

#[test]
fn permission_that_a_call_lacks_is_named_in_its_status() {
    let missing = PermissionMissing(Permission::UsageTrackAny);
    for error in [DoorError::from(missing), DoorError::from(ResolveError::from(missing))] {
        let status = from_fault(&error);
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().metadata["permission"], "usage.track.any", "{error:?}");
    }
}

#[test]
fn field_that_does_not_say_whom_a_call_is_about_is_named_in_its_status() {
    let status = from_fault(&DoorError::from(ResolveError::from(Invalid::field("tenant_id", "is required"))));
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "tenant_id");
}
