//! What operators do about people, and what people's own second factors and wrong passwords do.

use std::time::Duration;

use tollgate::time::{Clock as _, DAY, MINUTE, SECOND, Timestamp};
use tollgate_client::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::accounts::people::{PASSWORD, Town, address, refusal, refused};
use crate::accounts::tenants::ran;
use crate::program::OPERATOR_KEY;
use crate::server::TENANT;

fn access(login: &v1::LoginResponse) -> String {
    login.tokens.clone().unwrap().access_token
}

async fn log_in_with(town: &Town, code: &str) -> Result<v1::LoginResponse, Status> {
    let request = v1::LoginRequest {
        address: address("ada"),
        password: PASSWORD.to_owned(),
        code: code.to_owned(),
        ..Default::default()
    };
    Ok(town.nobody().auth().login(request).await?.into_inner())
}

fn code_at(secret: &str, now: Timestamp) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    app.generate(u64::try_from(now.seconds()).unwrap()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_suspended_is_out_at_once_and_comes_back_with_a_new_login() {
    let town = Town::new().await;
    let ada = town.member("ada", "owner").await;
    let login = town.log_in("ada").await.unwrap();
    town.who(&access(&login)).await.unwrap();
    let admin = town.server.client(OPERATOR_KEY).admin();
    let user_id = || ada.id.clone();
    for _ in 0..2 {
        let suspended =
            admin.clone().suspend_user(v1::SuspendUserRequest { user_id: user_id() }).await.unwrap();
        assert!(suspended.into_inner().user.unwrap().is_suspended);
    }
    let revoked = refusal(Code::Unauthenticated, "CREDENTIAL_REVOKED");
    assert_eq!(refused(town.who(&access(&login)).await), revoked);
    let failed = refusal(Code::Unauthenticated, "LOGIN_FAILED");
    assert_eq!(refused(town.log_in("ada").await), failed, "it is not told apart");
    admin.clone().resume_user(v1::ResumeUserRequest { user_id: user_id() }).await.unwrap();
    assert_eq!(refused(town.who(&access(&login)).await), revoked, "a session that ended stays ended");
    town.log_in("ada").await.unwrap();

    let by_address = v1::GetUserRequest { address: address("ADA"), ..Default::default() };
    let found = admin.clone().get_user(by_address).await.unwrap().into_inner().user.unwrap();
    let listed = admin.clone().list_users(v1::ListUsersRequest::default()).await.unwrap().into_inner().users;
    assert_eq!((found.id.as_str(), &listed[..]), (ada.id.as_str(), &[found.clone()][..]));
    let nobody = v1::GetUserRequest { user_id: String::from("usr_nobody"), ..Default::default() };
    let missing = admin.clone().get_user(nobody).await;
    assert_eq!(refused(missing), refusal(Code::NotFound, "USER_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_wrong_passwords_wait_until_time_or_an_administrator_opens_the_account() {
    let town = Town::new().await;
    let ada = town.member("ada", "owner").await;
    let wrong = || town.try_login("ada@example.com", "another password", None);
    let failed = refusal(Code::Unauthenticated, "LOGIN_FAILED");
    for _ in 0..5 {
        assert_eq!(refused(wrong().await), failed);
    }
    let locked = town.log_in("ada").await.unwrap_err();
    let wait = locked.get_error_details().retry_info().and_then(|info| info.retry_delay).unwrap();
    assert!(wait.as_secs_f64() > 0.0 && wait.as_secs() <= 1, "{wait:?}");
    assert_eq!(refused::<()>(Err(locked)).1, "LOGIN_LOCKED");
    for _ in 0..6 {
        let nobody = town.try_login("nobody@example.com", "another password", None).await;
        let reason = refused(nobody).1;
        assert!(["LOGIN_FAILED", "LOGIN_LOCKED"].contains(&reason.as_str()), "{reason}");
    }
    let nobody = town.try_login("nobody@example.com", "another password", None).await;
    assert_eq!(refused(nobody).1, "LOGIN_LOCKED", "one who is not there waits alike");

    let eve = town.user("eve", |_| {}).await;
    town.join(&eve, "elsewhere", "owner").await;
    let operator = town.server.client(OPERATOR_KEY).admin();
    let unlock = |user_id: &str| v1::UnlockUserRequest { user_id: user_id.to_owned() };
    operator.clone().unlock_user(unlock(&ada.id)).await.unwrap();
    let login = town.log_in("ada").await.unwrap();
    let owner = town.server.client(&access(&login)).admin();
    owner.clone().unlock_user(unlock(&ada.id)).await.unwrap();
    let foreign = refusal(Code::NotFound, "USER_NOT_FOUND");
    assert_eq!(refused(owner.clone().unlock_user(unlock(&eve.id)).await), foreign);
    assert_eq!(refused(owner.clone().unlock_user(unlock("usr_nobody")).await), foreign, "alike");

    for _ in 0..5 {
        assert_eq!(refused(wrong().await), failed);
    }
    assert_eq!(refused(town.log_in("ada").await).1, "LOGIN_LOCKED");
    town.clock().advance(2 * SECOND);
    town.log_in("ada").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_second_factor_shows_a_code_that_is_good_once() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let login = town.log_in("ada").await.unwrap();
    let auth = town.server.client(&access(&login)).auth();
    let begin = v1::BeginSecondFactorRequest { password: PASSWORD.to_owned() };
    let secret = auth.clone().begin_second_factor(begin).await.unwrap().into_inner().secret;
    town.log_in("ada").await.unwrap();
    let code = code_at(&secret, town.clock().now());
    let confirm = v1::ConfirmSecondFactorRequest { code: code.clone() };
    let recovery = auth.clone().confirm_second_factor(confirm).await.unwrap().into_inner().recovery_codes;
    assert_eq!(recovery.len(), 10);

    let needed = refusal(Code::FailedPrecondition, "SECOND_FACTOR_REQUIRED");
    assert_eq!(refused(town.log_in("ada").await), needed);
    let failed = refusal(Code::Unauthenticated, "LOGIN_FAILED");
    assert_eq!(refused(log_in_with(&town, &code).await), failed, "it was shown before");
    town.clock().advance(MINUTE);
    let code = code_at(&secret, town.clock().now());
    log_in_with(&town, &code).await.unwrap();
    assert_eq!(refused(log_in_with(&town, &code).await), failed);
    log_in_with(&town, &recovery[3]).await.unwrap();
    assert_eq!(refused(log_in_with(&town, &recovery[3]).await), failed);
    // A wrong code is a wrong try, also with the right password.
    for _ in 0..4 {
        log_in_with(&town, "000000").await.unwrap_err();
    }
    assert_eq!(refused(log_in_with(&town, &recovery[4]).await).1, "LOGIN_LOCKED");
}

fn deletion(user_id: &str, grace_days: Option<i32>) -> v1::DeleteUserRequest {
    v1::DeleteUserRequest { user_id: user_id.to_owned(), grace_days }
}

fn undeletion(user_id: &str) -> v1::UndeleteUserRequest {
    v1::UndeleteUserRequest { user_id: user_id.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_deleted_is_out_at_once_and_its_address_is_free_after_the_grace() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let bob = town.member("bob", "developer").await;
    let login = town.log_in("bob").await.unwrap();
    town.who(&access(&login)).await.unwrap();
    let mut admin = town.server.client(OPERATOR_KEY).admin();
    let deleted = admin.delete_user(deletion(&bob.id, None)).await.unwrap().into_inner().user.unwrap();
    let days = |seconds: i64| seconds * SECOND / DAY;
    let (at, ends) = (deleted.delete_time.unwrap().seconds, deleted.end_time.unwrap().seconds);
    assert_eq!((at, days(ends - at)), (town.server.now(), 30));
    let revoked = refusal(Code::Unauthenticated, "CREDENTIAL_REVOKED");
    assert_eq!(refused(town.who(&access(&login)).await), revoked);
    let token = login.tokens.clone().unwrap().refresh_token;
    assert_eq!(refused(town.refresh(&token).await).1, "REFRESH_TOKEN_INVALID");
    let failed = refusal(Code::Unauthenticated, "LOGIN_FAILED");
    assert_eq!(refused(town.log_in("bob").await), failed);
    assert_eq!(refused(town.log_in("nobody").await), failed, "alike");

    let again = admin.delete_user(deletion(&bob.id, Some(1))).await.unwrap().into_inner().user.unwrap();
    assert_eq!(again, deleted, "deleting twice changes nothing");
    let staff = v1::AddStaffRequest { user_id: bob.id.clone(), role: String::from("support") };
    assert_eq!(refused(admin.add_staff(staff).await).1, "MEMBER_NOT_FOUND");
    let back = admin.undelete_user(undeletion(&bob.id)).await.unwrap().into_inner().user.unwrap();
    assert_eq!((back.delete_time, back.end_time), (None, None));
    assert_eq!(admin.undelete_user(undeletion(&bob.id)).await.unwrap().into_inner().user, Some(back));
    assert_eq!(refused(town.who(&access(&login)).await), revoked, "a session that ended stays ended");
    town.log_in("bob").await.unwrap();

    admin.delete_user(deletion(&bob.id, Some(2))).await.unwrap();
    let none = "ended 0 people; 0 are the last owners of tenants, and wait for others";
    assert_eq!(ran(&town.server, "end_users").await, none, "the grace goes on");
    town.clock().advance(2 * DAY);
    assert_eq!(refused(admin.undelete_user(undeletion(&bob.id)).await).1, "USER_ENDED");
    assert_eq!(ran(&town.server, "end_users").await, none.replacen('0', "1", 1));
    assert_eq!(ran(&town.server, "end_users").await, none);
    let missing = refusal(Code::NotFound, "USER_NOT_FOUND");
    assert_eq!(refused(admin.delete_user(deletion(&bob.id, None)).await), missing);
    assert_eq!(refused(admin.undelete_user(undeletion(&bob.id)).await), missing);
    let members = v1::ListMembersRequest { tenant_id: TENANT.to_owned(), ..Default::default() };
    let members = town.server.operator().auth().list_members(members).await.unwrap().into_inner().members;
    assert_eq!(members.into_iter().map(|member| member.user_id).collect::<Vec<_>>(), ["usr_ada"]);
    let sign_up = v1::SignUpRequest {
        address: address("BOB"),
        password: PASSWORD.to_owned(),
        name: String::from("Bob"),
        ..Default::default()
    };
    town.nobody().auth().sign_up(sign_up).await.unwrap();
    let written = async {
        while town.letters().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.expect("somebody else has the address now");
}

#[tokio::test(flavor = "multi_thread")]
async fn last_owner_is_not_deleted_and_what_is_asked_wrongly_is_refused() {
    let town = Town::new().await;
    let ada = town.member("ada", "owner").await;
    let bob = town.member("bob", "developer").await;
    let mut admin = town.server.client(OPERATOR_KEY).admin();
    let last = admin.delete_user(deletion(&ada.id, None)).await.unwrap_err();
    let info = last.get_error_details().error_info().unwrap().clone();
    assert_eq!((last.code(), info.reason.as_str()), (Code::FailedPrecondition, "LAST_OWNER"));
    assert_eq!(info.metadata.get("tenant_ids").map(String::as_str), Some(TENANT));
    assert!(last.message().contains("`acme`"), "{}", last.message());
    let login = town.log_in("ada").await.unwrap();
    town.who(&access(&login)).await.unwrap();

    let invalid = refusal(Code::InvalidArgument, "INVALID_FIELD");
    for wrong in [deletion("", None), deletion(&bob.id, Some(-1)), deletion(&bob.id, Some(366))] {
        assert_eq!(refused(admin.delete_user(wrong).await), invalid);
    }
    assert_eq!(refused(admin.undelete_user(undeletion("")).await), invalid);
    let missing = refusal(Code::NotFound, "USER_NOT_FOUND");
    for unknown in ["usr_nobody", "../usr_ada", "*", "ada@example.com"] {
        assert_eq!(refused(admin.delete_user(deletion(unknown, None)).await), missing);
    }
    let mut owner = town.server.client(&access(&login)).admin();
    let denied = refusal(Code::PermissionDenied, "PERMISSION_MISSING");
    assert_eq!(refused(owner.delete_user(deletion(&bob.id, None)).await), denied);

    let change = v1::ChangeMemberRoleRequest {
        tenant_id: TENANT.to_owned(),
        user_id: bob.id.clone(),
        role: String::from("owner"),
    };
    town.server.operator().auth().change_member_role(change).await.unwrap();
    admin.delete_user(deletion(&ada.id, None)).await.unwrap();
    let refused_too = refused(admin.delete_user(deletion(&bob.id, None)).await);
    assert_eq!(refused_too.1, "LAST_OWNER", "the other owner was deleted");
    let entries = v1::ListAuditEntriesRequest::default();
    let entries = admin.list_audit_entries(entries).await.unwrap().into_inner().entries;
    let of_ada = entries.iter().find(|entry| entry.target == "user/usr_ada" && entry.method == "DeleteUser");
    let of_ada = of_ada.unwrap();
    assert_eq!((of_ada.outcome(), of_ada.after.contains("ends_at")), (v1::AuditOutcome::Done, true));
    assert!(!format!("{entries:?}").contains("example.com"), "an entry names nobody but by id");
}
