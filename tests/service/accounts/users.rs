//! What operators do about people, and what people's own second factors and wrong passwords do.

use tollgate::time::{Clock as _, MINUTE, SECOND, Timestamp};
use tollgate_client::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::accounts::people::{PASSWORD, Town, address, refusal, refused};
use crate::program::OPERATOR_KEY;

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
