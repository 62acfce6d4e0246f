//! What people have that is secret, and where they get their mail: all of it goes through a server that logs all it can.

use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use tollgate_client::v1;
use tonic::Request;

use crate::canary::aviary::{Aviary, DOMAIN, address};
use crate::canary::readings::{audit, readings};
use crate::canary::{call_everything, excerpt};
use crate::program::{OPERATOR_KEY, operator};
use crate::telemetry::{ended, server, with_tenant};

const PEPPER: &str = "5ca1ab1e0ddba11c0ffee0ca11ab1efacade0c0de5ca1ab1e0ddba11c0ffee00";
const FIRST: &str = "canary that sings at noon";
const SECOND: &str = "canary that sings at dusk";
const THIRD: &str = "canary that sings at dawn";
const BOBS: &str = "finch who keeps the books";
const WRONG: &str = "sparrow that was never here";
const NO_CODE: &str = "k3Qz0pF8u2WvY7sN4tB1xR6mC9aJ5hL0gD2eS8iU4oE";

/// How the addresses begin that strangers call from.
const STRANGERS: &str = "127.0.7.";
/// Wrong passwords from one network before the first wait, and networks that are enough to make everybody wait.
const WRONG_FROM_ONE: u8 = 5;
const NETWORKS: u8 = 5;

#[tokio::test]
async fn no_secret_of_people_is_ever_said() {
    let data = tempfile::tempdir().unwrap();
    let variables = [
        ("TOLLGATE_LOG_LEVEL", "trace"),
        ("TOLLGATE_OPERATOR_PEPPER", PEPPER),
        ("TOLLGATE_ACCOUNTS_ARGON2_MEMORY_KIB", "64"),
        ("TOLLGATE_ACCOUNTS_ARGON2_PASSES", "1"),
    ];
    let (program, place) = server(&data, &variables).await;
    let mut aviary = Aviary::new(place, data.path());
    for (what, secret) in [
        ("the operator's key", OPERATOR_KEY),
        ("the pepper", PEPPER),
        ("a wrong code", NO_CODE),
        ("a wrong password", WRONG),
    ] {
        aviary.note(what, secret);
    }

    let key = with_tenant(&operator(place)).await;
    let key = aviary.note("an API key", &key);
    let session = sign_up(&mut aviary).await;
    let session = sessions(&mut aviary, session).await;
    credentials(&mut aviary, &session, &key).await;
    second_factor(&mut aviary, &session).await;
    reset(&mut aviary).await;
    let session = another_address(&mut aviary).await;
    let bob = invitation(&mut aviary, &session).await;
    lock(&mut aviary).await;
    misplaced(&mut aviary).await;

    let read = readings(&aviary, &[OPERATOR_KEY, &session, &bob, &key]).await;
    let metrics = aviary.metrics().await;
    let confused = confused(&mut aviary).await;
    let audit = audit(&operator(place)).await;
    let ended = ended(program).await;
    assert!(["DEBUG", "CODE_INVALID", "LOGIN_LOCKED"].iter().all(|word| ended.stderr.contains(word)));
    assert!(metrics.contains("tollgate_calls_total") && aviary.errors.len() > 50);
    assert!(read.contains(&address("ada-now")) && read.contains("audit_entry") && read.contains("export"));

    let said =
        |errors: &[tonic::Status]| errors.iter().map(|error| format!("{error:?}\n")).collect::<String>();
    let (errors, confused) = (said(&aviary.errors), said(&confused));
    for (what, secret) in &aviary.secrets {
        for (place, text) in [
            ("log", &ended.stderr),
            ("output", &ended.stdout),
            ("metrics", &metrics),
            ("answers", &read),
            ("errors", &errors),
            ("audit log", &audit),
        ] {
            assert_eq!(None, excerpt(text, secret), "the {place} has {what}");
        }
        if has_a_form(secret) {
            assert_eq!(None, excerpt(&confused, secret), "an error has {what}");
        }
    }
    for (place, text) in [("log", &ended.stderr), ("output", &ended.stdout), ("metrics", &metrics)] {
        assert_eq!(None, excerpt(text, DOMAIN), "the {place} has the address of a person");
        assert_eq!(None, excerpt(text, STRANGERS), "the {place} has the address of a machine");
    }
}

/// Whether it can be told by its form that it is a secret, wherever it stands.
fn has_a_form(secret: &str) -> bool {
    secret.starts_with("tg_") || secret.starts_with("eyJ")
}

/// Ada makes an account. Answers her access token.
async fn sign_up(aviary: &mut Aviary) -> String {
    let mut nobody = aviary.client("nobody").auth();
    let first = aviary.note("a password", FIRST);
    let request = v1::SignUpRequest {
        address: address("ada"),
        password: first.clone(),
        name: "Ada".into(),
        tenant_name: "Canaries".into(),
        ..Default::default()
    };
    nobody.sign_up(request.clone()).await.unwrap();
    let code = aviary.code("a code that confirms").await;
    let again = v1::ResendConfirmationRequest { address: address("ada") };
    nobody.resend_confirmation(again).await.unwrap();
    let other = aviary.code("another code that confirms").await;
    let early = aviary.log_in("ada", FIRST, "").await;
    aviary.refused(early, &["LOGIN_FAILED"]);
    let confirm = |code: &str, password: &str| v1::ConfirmAddressRequest {
        code: code.to_owned(),
        password: password.to_owned(),
    };
    let wrong = nobody.confirm_address(confirm(&code, WRONG)).await;
    aviary.refused(wrong, &["PASSWORD_WRONG"]);
    let wrong = nobody.confirm_address(confirm(NO_CODE, &first)).await;
    aviary.refused(wrong, &["CODE_INVALID"]);
    nobody.confirm_address(confirm(&other, &first)).await.unwrap();
    let weak = nobody.sign_up(v1::SignUpRequest { password: address("ada"), ..request }).await;
    aviary.refused(weak, &["INVALID_FIELD"]);
    let wrong = aviary.log_in("ada", WRONG, "").await;
    aviary.refused(wrong, &["LOGIN_FAILED"]);
    let login = aviary.log_in("ada", FIRST, "").await.unwrap().into_inner();
    aviary.note_tokens(login.tokens).0
}

/// Ada's tokens are exchanged, stolen and ended. Answers an access token that is good.
async fn sessions(aviary: &mut Aviary, access: String) -> String {
    let mut nobody = aviary.client("nobody").auth();
    let login = aviary.log_in("ada", FIRST, "").await.unwrap().into_inner();
    let (stolen, token) = aviary.note_tokens(login.tokens);
    let refresh = v1::RefreshTokenRequest { refresh_token: token };
    let next = nobody.refresh_token(refresh.clone()).await.unwrap().into_inner();
    let (next, _) = aviary.note_tokens(next.tokens);
    let again = nobody.refresh_token(refresh).await;
    aviary.refused(again, &["REFRESH_TOKEN_INVALID"]);
    for over in [stolen, next] {
        let who = aviary.client(&over).auth().who_am_i(v1::WhoAmIRequest {}).await;
        aviary.refused(who, &["CREDENTIAL_REVOKED"]);
    }
    aviary.client(&access).auth().who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    access
}

/// Keys and service tokens are made, used and ended.
async fn credentials(aviary: &mut Aviary, session: &str, key: &str) {
    let mut auth = aviary.client(session).auth();
    let new = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::Tenant.into(),
        name: "web".into(),
        ..Default::default()
    };
    let made = auth.create_api_key(new).await.unwrap().into_inner();
    let old = aviary.note("a key of a member", &made.secret);
    let id = made.api_key.unwrap().id;
    let rotate = v1::RotateApiKeyRequest { id: id.clone(), ..Default::default() };
    let rotated = auth.rotate_api_key(rotate).await.unwrap().into_inner();
    let rotated_key = aviary.note("a key that took another's place", &rotated.secret);
    let account = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::ServiceAccount.into(),
        name: "ci".into(),
        ..Default::default()
    };
    let made = aviary.client(OPERATOR_KEY).auth().create_api_key(account).await.unwrap().into_inner();
    let account = aviary.note("a service account's key", &made.secret);
    let mut tokens = Vec::new();
    for credential in [session, key] {
        let lend = v1::CreateServiceTokenRequest { permissions: vec!["usage.read".into()], lifetime: None };
        let lent = aviary.client(credential).auth().create_service_token(lend).await.unwrap().into_inner();
        tokens.push(aviary.note("a service token", &lent.token));
    }
    for good in [key, &rotated_key, &account, &tokens[0], &tokens[1]] {
        aviary.client(good).auth().who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    }
    let event = v1::UsageEvent {
        id: "one".into(),
        service: "search".into(),
        endpoint: "/q".into(),
        ..Default::default()
    };
    let client = aviary.client(key);
    client.track().track(client.request(event)).await.unwrap();
    let over = aviary.client(&old).auth().who_am_i(v1::WhoAmIRequest {}).await;
    aviary.refused(over, &["CREDENTIAL_REVOKED", "CREDENTIAL_EXPIRED"]);
}

/// Ada shows a second factor, a recovery code too, and gives it up.
async fn second_factor(aviary: &mut Aviary, session: &str) {
    let mut auth = aviary.client(session).auth();
    let wrong = auth.begin_second_factor(v1::BeginSecondFactorRequest { password: WRONG.into() }).await;
    aviary.refused(wrong, &["PASSWORD_WRONG"]);
    let begun = auth.begin_second_factor(v1::BeginSecondFactorRequest { password: FIRST.into() }).await;
    let begun = begun.unwrap().into_inner();
    let secret = aviary.note("the secret of a second factor", &begun.secret);
    aviary.note("the address of a second factor", &begun.uri);
    let confirm = v1::ConfirmSecondFactorRequest { code: code_now(&secret) };
    let codes = auth.confirm_second_factor(confirm).await.unwrap().into_inner().recovery_codes;
    for code in &codes {
        aviary.note("a recovery code", code);
    }
    let without = aviary.log_in("ada", FIRST, "").await;
    aviary.refused(without, &["SECOND_FACTOR_REQUIRED"]);
    let login = aviary.log_in("ada", FIRST, &codes[0]).await.unwrap().into_inner();
    aviary.note_tokens(login.tokens);
    let again = aviary.log_in("ada", FIRST, &codes[0]).await;
    aviary.refused(again, &["LOGIN_FAILED"]);
    let remove = v1::RemoveSecondFactorRequest { password: FIRST.into(), code: codes[1].clone() };
    auth.remove_second_factor(remove).await.unwrap();
}

/// Ada forgets her password.
async fn reset(aviary: &mut Aviary) {
    let mut nobody = aviary.client("nobody").auth();
    for name in ["ada", "nobody"] {
        let ask = v1::RequestPasswordResetRequest { address: address(name) };
        nobody.request_password_reset(ask).await.unwrap();
    }
    let code = aviary.code("a code for a new password").await;
    let password = aviary.note("a password that was reset", SECOND);
    let reset = v1::ResetPasswordRequest { code, password };
    nobody.reset_password(reset.clone()).await.unwrap();
    let again = nobody.reset_password(reset).await;
    aviary.refused(again, &["CODE_INVALID"]);
}

/// Ada moves, and chooses another password. Answers her access token.
async fn another_address(aviary: &mut Aviary) -> String {
    let login = aviary.log_in("ada", SECOND, "").await.unwrap().into_inner();
    let (access, _) = aviary.note_tokens(login.tokens);
    let mut auth = aviary.client(&access).auth();
    let moves = v1::RequestAddressChangeRequest { password: SECOND.into(), address: address("ada-now") };
    auth.request_address_change(moves).await.unwrap();
    let code = aviary.code("a code for another address").await;
    auth.confirm_address_change(v1::ConfirmAddressChangeRequest { code }).await.unwrap();
    let change = |old: &str, new: &str| v1::ChangePasswordRequest {
        old_password: old.to_owned(),
        new_password: new.to_owned(),
    };
    let third = aviary.note("a password that was changed", THIRD);
    let wrong = auth.change_password(change(WRONG, &third)).await;
    aviary.refused(wrong, &["PASSWORD_WRONG"]);
    auth.change_password(change(SECOND, &third)).await.unwrap();
    access
}

/// Ada invites Bob, who comes. Answers his access token.
async fn invitation(aviary: &mut Aviary, session: &str) -> String {
    let mut nobody = aviary.client("nobody").auth();
    let invite =
        v1::InviteMemberRequest { address: address("bob"), role: "admin".into(), ..Default::default() };
    aviary.client(session).auth().invite_member(invite).await.unwrap();
    let code = aviary.code("a code that accepts an invitation").await;
    let password = aviary.note("the password of a guest", BOBS);
    let accept = v1::AcceptInvitationRequest { code, name: "Bob".into(), password };
    nobody.accept_invitation(accept.clone()).await.unwrap();
    let again = nobody.accept_invitation(accept).await;
    aviary.refused(again, &["CODE_INVALID"]);
    let login = aviary.log_in("bob", BOBS, "").await.unwrap().into_inner();
    aviary.note_tokens(login.tokens).0
}

/// Somebody tries Bob's password from everywhere, and Bob lets himself in again.
async fn lock(aviary: &mut Aviary) {
    let request =
        || v1::LoginRequest { address: address("bob"), password: WRONG.to_owned(), ..Default::default() };
    for network in 0..NETWORKS {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 7, network.saturating_add(1)));
        let mut stranger = aviary.stranger(from).await;
        for _ in 0..WRONG_FROM_ONE {
            let wrong = stranger.login(Request::new(request())).await;
            aviary.refused(wrong, &["LOGIN_FAILED"]);
        }
        let locked = stranger.login(Request::new(request())).await;
        aviary.refused(locked, &["LOGIN_LOCKED"]);
    }
    let code = aviary.code("a code that unlocks").await;
    let mut nobody = aviary.client("nobody").auth();
    nobody.unlock_with_code(v1::UnlockWithCodeRequest { code: code.clone() }).await.unwrap();
    let again = nobody.unlock_with_code(v1::UnlockWithCodeRequest { code }).await;
    aviary.refused(again, &["CODE_INVALID"]);
}

/// Each secret stands where another one belongs, and is refused there.
async fn misplaced(aviary: &mut Aviary) {
    const NONE: [&str; 2] = ["CREDENTIAL_INVALID", "CREDENTIAL_REVOKED"];
    let mut nobody = aviary.client("nobody").auth();
    for (_, secret) in aviary.secrets.clone() {
        let reset = v1::ResetPasswordRequest { code: secret.clone(), password: WRONG.into() };
        let answer = nobody.reset_password(reset).await;
        aviary.refused(answer, &["CODE_INVALID"]);
        let accept =
            v1::AcceptInvitationRequest { code: secret.clone(), name: "Eve".into(), password: WRONG.into() };
        let answer = nobody.accept_invitation(accept).await;
        aviary.refused(answer, &["CODE_INVALID"]);
        if !secret.starts_with("tg_refresh_") {
            let refresh = v1::RefreshTokenRequest { refresh_token: secret.clone() };
            let answer = nobody.refresh_token(refresh).await;
            aviary.refused(answer, &["REFRESH_TOKEN_INVALID"]);
        }
        if !has_a_form(&secret) && secret != OPERATOR_KEY {
            let answer = aviary.client(&secret).auth().who_am_i(v1::WhoAmIRequest {}).await;
            aviary.refused(answer, &NONE);
        }
    }
}

/// Each secret that has a form stands in every field there is, as an operator sends it.
async fn confused(aviary: &mut Aviary) -> Vec<tonic::Status> {
    let operator = aviary.client(OPERATOR_KEY);
    let mut errors = Vec::new();
    for (_, secret) in &aviary.secrets {
        if has_a_form(secret) {
            errors.extend(call_everything(&operator, secret).await);
        }
    }
    assert!(errors.len() > 50);
    errors
}

fn code_now(secret: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the program under test has no other clock")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    app.generate(now.as_secs()).to_string()
}
