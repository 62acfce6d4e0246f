//! Sessions: how long they and their tokens are good, and what ends them.

use tollgate::identity::session::Session;
use tollgate::identity::sessions::SESSIONS_MAX;
use tollgate::store::records::Records;
use tollgate::time::{DAY, MINUTE, SECOND};
use tollgate_client::v1;
use tonic::Code;

use crate::accounts::people::{PASSWORD, Town, address, refusal, refused};
use crate::retention::clean_up;
use crate::server::TENANT;

fn access(login: &v1::LoginResponse) -> String {
    login.tokens.clone().unwrap().access_token
}

fn refresh(login: &v1::LoginResponse) -> String {
    login.tokens.clone().unwrap().refresh_token
}

/// That the credential is refused because what it came from has ended.
async fn assert_ended(town: &Town, credential: &str) {
    let expected = refusal(Code::Unauthenticated, "CREDENTIAL_REVOKED");
    assert_eq!(refused(town.who(credential).await), expected);
}

async fn assert_not_refreshed(town: &Town, token: &str) {
    let expected = refusal(Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    assert_eq!(refused(town.refresh(token).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_opens_a_session_that_may_do_what_the_role_may() {
    let town = Town::new().await;
    let user = town.member("ada", "viewer").await;
    let login = town.log_in("ada").await.unwrap();
    let who = town.who(&access(&login)).await.unwrap();
    assert_eq!((who.kind(), who.role.as_str()), (v1::CallerKind::Member, "viewer"));
    assert_eq!((who.tenant_id.as_str(), who.user_id), (TENANT, user.id));
    assert_eq!((who.session_id.as_str(), who.api_key_id.as_str()), (login.session_id.as_str(), ""));
    assert_eq!(who.permissions, ["plans.read", "subscriptions.read", "usage.read"]);

    let client = town.server.client(&access(&login));
    let sessions =
        client.auth().list_sessions(v1::ListSessionsRequest {}).await.unwrap().into_inner().sessions;
    assert_eq!((sessions.len(), sessions[0].network.as_str()), (1, "127.0.0.1"));
    assert!(sessions[0].is_current && sessions[0].id == login.session_id);
    client.plans().get_subscription(v1::GetSubscriptionRequest::default()).await.unwrap();
    let track = client.track().track(v1::TrackRequest::default()).await;
    assert_eq!(refused(track), refusal(Code::PermissionDenied, "PERMISSION_MISSING"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_comes_again_ends_the_session_and_its_owner_hears_of_it() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let login = town.log_in("ada").await.unwrap();
    let second = town.refresh(&refresh(&login)).await.unwrap();
    let third = town.refresh(&second.refresh_token).await.unwrap();
    assert!(town.who(&access(&login)).await.is_ok() && town.who(&third.access_token).await.is_ok());
    assert_not_refreshed(&town, &refresh(&login)).await;
    for token in [&access(&login), &second.access_token, &third.access_token] {
        assert_ended(&town, token).await;
    }
    for token in [&refresh(&login), &second.refresh_token, &third.refresh_token] {
        assert_not_refreshed(&town, token).await;
    }
    assert_eq!(town.letters().await, ["A session of yours was ended"]);
    town.log_in("ada").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_refreshes_at_once_one_wins_and_the_session_ends() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    for _ in 0..8 {
        let login = town.log_in("ada").await.unwrap();
        let token = refresh(&login);
        let (left, right) = tokio::join!(town.refresh(&token), town.refresh(&token));
        assert!(left.is_ok() ^ right.is_ok(), "{left:?} {right:?}");
        let winner = left.or(right).unwrap();
        assert_ended(&town, &winner.access_token).await;
        assert_not_refreshed(&town, &winner.refresh_token).await;
    }
    assert_eq!(town.letters().await, ["A session of yours was ended"; 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_refresh_token_of_ours_ends_nothing() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let login = town.log_in("ada").await.unwrap();
    let token = refresh(&login);
    let changed = token.replace(".1.", ".2.");
    let key = town.server.key().await;
    for wrong in [&changed, &access(&login), &key, &token.replacen("tg_", "", 1), &"x".repeat(100_000)] {
        assert_not_refreshed(&town, wrong).await;
    }
    // Nor is one good for calls.
    let call = refusal(Code::Unauthenticated, "CREDENTIAL_INVALID");
    assert_eq!(refused(town.who(&token).await), call);
    town.refresh(&token).await.unwrap();
    assert!(town.letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_sessions_end_at_their_time() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let login = town.log_in("ada").await.unwrap();
    let until = login.tokens.as_ref().unwrap().access_expire_time.unwrap().seconds * SECOND;
    // Clocks may be a minute apart.
    let last = until + MINUTE - 1;
    town.clock().set(tollgate::time::Timestamp::from_micros(last));
    town.who(&access(&login)).await.unwrap();
    town.clock().advance(1);
    let expired = refusal(Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    assert_eq!(refused(town.who(&access(&login)).await), expired);

    // A session lives on while it is used, and a year at most.
    let mut tokens = town.refresh(&refresh(&login)).await.unwrap();
    let ends = |tokens: &v1::SessionTokens| tokens.refresh_expire_time.unwrap().seconds;
    let mut days = 0;
    while days + 29 < 365 {
        days += 29;
        town.clock().advance(29 * DAY);
        let next = town.refresh(&tokens.refresh_token).await.unwrap();
        assert!(ends(&next) > ends(&tokens));
        tokens = next;
    }
    town.clock().advance(29 * DAY);
    assert_not_refreshed(&town, &tokens.refresh_token).await;

    let login = town.log_in("ada").await.unwrap();
    town.clock().advance(30 * DAY - 1);
    let tokens = town.refresh(&refresh(&login)).await.unwrap();
    town.clock().advance(30 * DAY);
    assert_not_refreshed(&town, &tokens.refresh_token).await;
    assert!(town.letters().await.is_empty(), "nobody stole anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_one_session_and_all_where_that_is_said() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    town.member("bob", "owner").await;
    let mut logins = Vec::new();
    for _ in 0..4 {
        logins.push(town.log_in("ada").await.unwrap());
    }
    let bobs = town.log_in("bob").await.unwrap();
    for login in &logins {
        town.who(&access(login)).await.unwrap();
    }
    let client = |login| town.server.client(&access(login)).auth();
    client(&logins[0]).logout(v1::LogoutRequest { all: false }).await.unwrap();
    assert_ended(&town, &access(&logins[0])).await;
    assert_not_refreshed(&town, &refresh(&logins[0])).await;

    let end = |login: &v1::LoginResponse| v1::EndSessionRequest { id: login.session_id.clone() };
    client(&logins[1]).end_session(end(&logins[2])).await.unwrap();
    assert_ended(&town, &access(&logins[2])).await;
    let missing = refusal(Code::NotFound, "SESSION_NOT_FOUND");
    for gone in [end(&logins[2]), end(&bobs), v1::EndSessionRequest { id: "ses_nobody".into() }] {
        assert_eq!(refused(client(&logins[1]).end_session(gone).await), missing);
    }

    client(&logins[1]).logout(v1::LogoutRequest { all: true }).await.unwrap();
    assert_ended(&town, &access(&logins[1])).await;
    assert_ended(&town, &access(&logins[3])).await;
    town.who(&access(&bobs)).await.unwrap();
    let key = town.server.client(&town.server.key().await);
    let logout = key.auth().logout(v1::LogoutRequest { all: true }).await;
    assert_eq!(refused(logout), refusal(Code::PermissionDenied, "SESSION_REQUIRED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_changed_of_a_member_holds_within_five_seconds() {
    let town = Town::new().await;
    let ada = town.member("ada", "owner").await;
    let login = town.log_in("ada").await.unwrap();
    let token = access(&login);
    assert!(town.who(&token).await.unwrap().permissions.contains(&String::from("members.write")));

    town.change_member(&ada, Some("viewer")).await;
    town.hears(&token, |who| who.is_ok_and(|who| who.permissions.len() == 3)).await;
    town.change_member(&ada, Some("no such role")).await;
    town.hears(&token, |who| who.is_ok_and(|who| who.permissions.is_empty())).await;
    town.suspend(&ada, true).await;
    town.hears(&token, |who| who.is_err()).await;
    assert_ended(&town, &token).await;
    assert_not_refreshed(&town, &refresh(&login)).await;
    town.suspend(&ada, false).await;
    town.hears(&token, |who| who.is_ok()).await;
    let bob = town.member("bob", "developer").await;
    let bobs = town.log_in("bob").await.unwrap();
    let of_bob = access(&bobs);
    town.who(&of_bob).await.unwrap();
    town.delete(&bob).await;
    town.hears(&of_bob, |who| who.is_err()).await;
    assert_ended(&town, &of_bob).await;
    assert_not_refreshed(&town, &refresh(&bobs)).await;
    town.change_member(&ada, None).await;
    town.hears(&token, |who| who.is_err()).await;
    assert_ended(&town, &token).await;
    assert_not_refreshed(&town, &refresh(&login)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_ends_the_other_sessions() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let (mine, other) = (town.log_in("ada").await.unwrap(), town.log_in("ada").await.unwrap());
    for login in [&mine, &other] {
        town.who(&access(login)).await.unwrap();
    }
    let another = "a cow that nobody milks";
    let change = |old: &str, new: &str| {
        let request = v1::ChangePasswordRequest { old_password: old.into(), new_password: new.into() };
        let client = town.server.client(&access(&mine));
        async move { client.auth().change_password(request).await }
    };
    let wrong = refusal(Code::PermissionDenied, "PASSWORD_WRONG");
    assert_eq!(refused(change("a guess that is none", another).await), wrong);
    let invalid = refusal(Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(refused(change(PASSWORD, "password1").await), invalid);
    town.who(&access(&other)).await.unwrap();

    // Moments of one microsecond are one, and a change takes longer than that.
    town.clock().advance(SECOND);
    change(PASSWORD, another).await.unwrap();
    town.who(&access(&mine)).await.unwrap();
    town.refresh(&refresh(&mine)).await.unwrap();
    assert_ended(&town, &access(&other)).await;
    assert_not_refreshed(&town, &refresh(&other)).await;
    assert_eq!(town.letters().await, ["Your password was changed"]);
    let failed = refusal(Code::Unauthenticated, "LOGIN_FAILED");
    assert_eq!(refused(town.log_in("ada").await), failed);
    town.try_login(&address("ada"), another, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn service_token_may_do_less_and_ends_with_what_made_it() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let login = town.log_in("ada").await.unwrap();
    let key = town.server.key().await;
    let lend = |credential: &str, permissions: &[&str]| {
        let permissions = permissions.iter().map(|name| (*name).to_owned()).collect();
        let client = town.server.client(credential);
        let request = v1::CreateServiceTokenRequest { permissions, lifetime: None };
        async move { Ok(client.auth().create_service_token(request).await?.into_inner().token) }
    };
    let invalid = refusal(Code::InvalidArgument, "INVALID_FIELD");
    for wrong in [&["tokens.write"][..], &["tenants.any"], &[], &["usage.read", "plans.write"]] {
        assert_eq!(refused(lend(&access(&login), wrong).await), invalid, "{wrong:?}");
    }
    let of_session = lend(&access(&login), &["usage.read", "keys.read"]).await.unwrap();
    let of_key = lend(&key, &["usage.read"]).await.unwrap();
    let who = town.who(&of_session).await.unwrap();
    assert_eq!(who.permissions, ["keys.read", "usage.read"]);
    assert_eq!((who.kind(), who.session_id.as_str()), (v1::CallerKind::Member, ""));
    let who = town.who(&of_key).await.unwrap();
    assert_eq!((who.kind(), who.permissions), (v1::CallerKind::Tenant, vec![String::from("usage.read")]));
    let further = refusal(Code::PermissionDenied, "PERMISSION_MISSING");
    assert_eq!(refused(lend(&of_key, &["usage.read"]).await), further);
    let client = town.server.client(&of_session);
    let logout = client.auth().logout(v1::LogoutRequest { all: true }).await;
    assert_eq!(refused(logout), refusal(Code::PermissionDenied, "SESSION_REQUIRED"));

    let client = town.server.client(&access(&login)).auth();
    client.clone().logout(v1::LogoutRequest { all: false }).await.unwrap();
    assert_ended(&town, &of_session).await;
    let id = town.who(&key).await.unwrap().api_key_id;
    let operator = town.server.operator().auth();
    operator.clone().revoke_api_key(v1::RevokeApiKeyRequest { id }).await.unwrap();
    assert_ended(&town, &of_key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn member_of_a_tenant_that_is_gone_finds_none() {
    let town = Town::new().await;
    let ada = town.user("ada", |_| {}).await;
    town.join(&ada, "gone", "owner").await;
    let login = town.log_in("ada").await.unwrap();
    let client = town.server.client(&access(&login));
    let answer = client.plans().get_subscription(v1::GetSubscriptionRequest::default()).await;
    assert_eq!(refused(answer), refusal(Code::NotFound, "TENANT_NOT_FOUND"));
    let request = v1::GetSubscriptionRequest { tenant_id: TENANT.into() };
    let answer = client.plans().get_subscription(request).await;
    assert_eq!(refused(answer), refusal(Code::PermissionDenied, "TENANT_FORBIDDEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_have_expired_are_deleted_and_no_others() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let old = town.log_in("ada").await.unwrap();
    town.clock().advance(15 * DAY);
    let young = town.log_in("ada").await.unwrap();
    town.clock().advance(15 * DAY);
    let run = clean_up(&town.server).await;
    assert!(run.message.contains("1 expired sessions"), "{run:?}");
    let sessions = Records::<Session>::new(town.documents.clone());
    assert!(sessions.get(&old.session_id).await.unwrap().is_none());
    assert!(sessions.get(&young.session_id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_all_sessions_that_one_can_have_loses_the_oldest() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let mut logins = Vec::new();
    for _ in 0..=SESSIONS_MAX {
        town.clock().advance(SECOND);
        logins.push(town.log_in("ada").await.unwrap());
    }
    assert_ended(&town, &access(&logins[0])).await;
    for login in [&logins[1], &logins[SESSIONS_MAX]] {
        town.who(&access(login)).await.unwrap();
    }
}
