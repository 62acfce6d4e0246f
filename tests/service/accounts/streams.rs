//! A stream ends when the credential that opened it would be refused, and not before.

use std::time::{Duration, Instant};

use tollgate::time::{HOUR, MINUTE};
use tollgate_client::v1;
use tonic::{Code, Streaming};

use crate::accounts::people::{Town, refusal, refused};
use crate::server::{NOW, TENANT};

/// The longest that a stream may go on.
const ENDED: Duration = Duration::from_secs(5);

type Updates = Streaming<v1::WatchUsageResponse>;

/// A stream that was opened with that credential, after its snapshot.
async fn watch(town: &Town, credential: &str) -> Updates {
    let request = v1::WatchUsageRequest::default();
    let mut updates = town.server.client(credential).track().watch_usage(request).await.unwrap().into_inner();
    updates.message().await.unwrap().expect("a snapshot");
    updates
}

/// That the stream ends for that reason, in time.
async fn ends(updates: &mut Updates, case: &str, expected: (Code, &str)) {
    let began = Instant::now();
    let end = async {
        loop {
            match updates.message().await {
                Ok(Some(_)) => {}
                end => return end,
            }
        }
    };
    let end = tokio::time::timeout(ENDED, end).await.unwrap_or_else(|_| panic!("{case}: it goes on"));
    assert_eq!(refused(end), refusal(expected.0, expected.1), "{case}");
    assert!(began.elapsed() < ENDED, "{case}");
}

/// That the stream still shows what happens.
async fn goes_on(town: &Town, key: &str, updates: &mut Updates) {
    let client = town.server.client(key);
    let event = v1::UsageEvent { service: "search".into(), endpoint: "/find".into(), ..Default::default() };
    client.track().track(client.request(event)).await.unwrap();
    let update = tokio::time::timeout(ENDED, updates.message()).await.expect("an update in time");
    assert!(update.unwrap().is_some());
}

struct Key {
    id: String,
    secret: String,
}

async fn key(town: &Town, change: impl FnOnce(&mut v1::CreateApiKeyRequest)) -> Key {
    let mut request =
        v1::CreateApiKeyRequest { tenant_id: TENANT.into(), name: "a key".into(), ..Default::default() };
    change(&mut request);
    let made = town.server.operator().auth().create_api_key(request).await.unwrap().into_inner();
    Key { id: made.api_key.unwrap().id, secret: made.secret }
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_ends_with_its_key_and_no_other_does() {
    let town = Town::new().await;
    let operator = town.server.operator();
    let other = key(&town, |_| {}).await;
    let mut others = watch(&town, &other.secret).await;
    let revoked = (Code::Unauthenticated, "CREDENTIAL_REVOKED");
    let expired = (Code::Unauthenticated, "CREDENTIAL_EXPIRED");

    let mine = key(&town, |_| {}).await;
    let mut updates = watch(&town, &mine.secret).await;
    goes_on(&town, &mine.secret, &mut updates).await;
    operator.auth().revoke_api_key(v1::RevokeApiKeyRequest { id: mine.id }).await.unwrap();
    ends(&mut updates, "a revoked key", revoked).await;

    let parent = key(&town, |_| {}).await;
    let lend =
        v1::CreateServiceTokenRequest { permissions: vec![String::from("usage.read")], lifetime: None };
    let lent = town.server.client(&parent.secret).auth().create_service_token(lend).await.unwrap();
    let mut updates = watch(&town, &lent.into_inner().token).await;
    operator.auth().revoke_api_key(v1::RevokeApiKeyRequest { id: parent.id }).await.unwrap();
    ends(&mut updates, "a token of a revoked key", revoked).await;

    let mine = key(&town, |_| {}).await;
    let mut updates = watch(&town, &mine.secret).await;
    let elsewhere = v1::NetworkList { networks: vec![String::from("192.0.2.0/24")] };
    let elsewhere =
        v1::UpdateApiKeyRequest { id: mine.id, allowed_networks: Some(elsewhere), ..Default::default() };
    operator.auth().update_api_key(elsewhere).await.unwrap();
    ends(&mut updates, "a key of another network", (Code::PermissionDenied, "API_KEY_RESTRICTED")).await;

    let end = prost_types::Timestamp { seconds: NOW + 3_600, nanos: 0 };
    let mine = key(&town, |key| key.expire_time = Some(end)).await;
    let mut updates = watch(&town, &mine.secret).await;
    town.clock().advance(HOUR - 1);
    goes_on(&town, &mine.secret, &mut updates).await;
    town.clock().advance(1);
    ends(&mut updates, "an expired key", expired).await;

    goes_on(&town, &other.secret, &mut others).await;
    let request = v1::DeleteTenantRequest { tenant_id: TENANT.into(), grace_days: None };
    operator.admin().delete_tenant(request).await.unwrap();
    ends(&mut others, "a deleted tenant", (Code::PermissionDenied, "TENANT_DELETED")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_ends_with_its_session_also_where_another_server_ends_it() {
    let town = Town::new().await;
    let ada = town.member("ada", "owner").await;
    let access = async || town.log_in("ada").await.unwrap().tokens.unwrap().access_token;
    let revoked = (Code::Unauthenticated, "CREDENTIAL_REVOKED");

    let (token, other) = (access().await, access().await);
    let (mut updates, mut others) = (watch(&town, &token).await, watch(&town, &other).await);
    town.server.client(&token).auth().logout(v1::LogoutRequest { all: false }).await.unwrap();
    ends(&mut updates, "a session that logged out", revoked).await;
    goes_on(&town, &other, &mut others).await;

    town.change_member(&ada, Some("no such role")).await;
    ends(&mut others, "a role without the permission", (Code::PermissionDenied, "PERMISSION_MISSING")).await;
    town.change_member(&ada, Some("viewer")).await;
    town.hears(&other, |who| who.is_ok_and(|who| !who.permissions.is_empty())).await;
    let mut others = watch(&town, &other).await;
    town.suspend(&ada, true).await;
    ends(&mut others, "a person who is suspended", revoked).await;
    town.suspend(&ada, false).await;
    town.hears(&other, |who| who.is_ok()).await;

    let mut others = watch(&town, &other).await;
    town.clock().advance(11 * MINUTE);
    ends(&mut others, "an expired token", (Code::Unauthenticated, "CREDENTIAL_EXPIRED")).await;
}
