//! People and their accounts: what happens behind answers that tell nothing, and what a code is good for.

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]

use secrecy::{ExposeSecret as _, SecretString};
use tollgate::fault::{Fault as _, Reason};
use tollgate::identity::accounts::{AccountsError, Guest, Inviting, SigningUp};
use tollgate::identity::caller::{Caller, CallerKind};
use tollgate::identity::member::{self, Member};
use tollgate::identity::permission::Permissions;
use tollgate::identity::tenant::{self, Tenant};
use tollgate::identity::user::{self, User};
use tollgate::mail::letter::{Letter, Subject};
use tollgate::store::Order;
use tollgate::store::records::{Range, Record, Records};
use tollgate::time::{Clock as _, DAY, HOUR, MINUTE, Timestamp};
use tollgate_client::v1;
use uuid::Uuid;

use crate::door::{Door, reason};
use crate::letters::opened;
use crate::rooms::Rooms;

pub(crate) const ADDRESS: &str = "ada@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const OTHER_PASSWORD: &str = "staple of the battery";

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

pub(crate) fn ada<'a>(address: &'a str, request_id: &'a str) -> SigningUp<'a> {
    let password = secret(PASSWORD);
    SigningUp { address, password, name: "Ada", tenant_name: "Engines", plan: "", request_id }
}

pub(crate) async fn all<R: Record>(rooms: &Rooms, index: &'static str) -> Vec<R> {
    let records = Records::<R>::new(rooms.store.documents.clone());
    let range = Range { index, prefix: "", order: Order::Ascending, after: None };
    records.page(range, 1_000).await.unwrap().records
}

/// The letters that were written, oldest first.
pub(crate) async fn letters(rooms: &Rooms) -> Vec<Letter> {
    opened(&rooms.store.documents).await
}

/// The codes of all letters to an address, oldest first.
pub(crate) async fn codes(rooms: &Rooms, to: &str) -> Vec<String> {
    let letters = letters(rooms).await;
    let codes =
        letters.into_iter().filter(|letter| letter.to.as_str() == to).filter_map(|letter| {
            match letter.subject {
                Subject::ConfirmAddress { code, .. }
                | Subject::ResetPassword { code, .. }
                | Subject::ChangeAddress { code, .. }
                | Subject::Invitation { code, .. } => Some(code),
                _ => None,
            }
        });
    codes.collect()
}

pub(crate) async fn last_code(rooms: &Rooms, to: &str) -> String {
    codes(rooms, to).await.pop().expect("a letter with a code")
}

pub(crate) async fn person(rooms: &Rooms, address: &str) -> User {
    let users = all::<User>(rooms, user::AGE).await;
    users.into_iter().find(|user| user.address.key() == address).expect("a person")
}

/// Somebody who has signed up and confirmed the address, as a caller who has logged in.
pub(crate) async fn signed_up(rooms: &Rooms, address: &str) -> Caller {
    rooms.accounts.sign_up(ada(address, "")).await.unwrap();
    rooms.accounts.sweep().await.unwrap();
    let code = last_code(rooms, address).await;
    rooms.accounts.confirm(&code, &secret(PASSWORD)).await.unwrap();
    rooms.store.time.advance(MINUTE);
    let user = person(rooms, address).await.id;
    let members = all::<Member>(rooms, member::USER).await;
    let tenant = members.into_iter().find(|member| member.user == user).expect("a membership").tenant;
    rooms.caller(&tenant, &user).await
}

/// What an app shows at that moment for a secret in base 32.
pub(crate) fn code_of(secret: &str, now: Timestamp) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    app.generate(u64::try_from(now.seconds()).unwrap()).to_string()
}

fn why<T: std::fmt::Debug>(refused: Result<T, AccountsError>) -> Reason {
    refused.unwrap_err().reason()
}

#[tokio::test]
async fn sign_up_makes_an_account_its_tenant_and_its_owner() {
    let mut door = Door::new().await;
    let request = v1::SignUpRequest {
        address: ADDRESS.into(),
        password: PASSWORD.into(),
        name: "Ada".into(),
        tenant_name: "Engines".into(),
        plan: "pro".into(),
        request_id: "r1".into(),
    };
    for _ in 0..2 {
        let answer = door.auth.sign_up(request.clone()).await.unwrap().into_inner();
        assert_eq!(answer.pending_plan, "pro", "nobody gets such a plan for the asking");
        door.rooms.accounts.sweep().await.unwrap();
    }
    let other = v1::SignUpRequest { name: "Eve".into(), ..request };
    assert_eq!(reason(&door.auth.sign_up(other).await.unwrap_err()), "REQUEST_CONFLICT");

    let user = person(&door.rooms, ADDRESS).await;
    assert!(user.password.starts_with("$argon2id$") && user.confirmed_at.is_none());
    let tenant = all::<Tenant>(&door.rooms, tenant::AGE).await.pop().unwrap();
    assert_eq!(
        (tenant.name.as_str(), tenant.opening.plan.as_str(), tenant.pending_plan.as_str()),
        ("Engines", "free", "pro")
    );
    assert_eq!(door.rooms.members.get(&tenant.id, &user.id).await.unwrap().unwrap().role, "owner");
    let code = last_code(&door.rooms, ADDRESS).await;
    assert_eq!(letters(&door.rooms).await.len(), 1);
    let confirm =
        |password: &str| v1::ConfirmAddressRequest { code: code.clone(), password: password.into() };
    let other = door.auth.confirm_address(confirm(OTHER_PASSWORD)).await.unwrap_err();
    assert_eq!(reason(&other), "PASSWORD_WRONG", "whoever has the code did not sign up");
    door.auth.confirm_address(confirm(PASSWORD)).await.unwrap();
    assert!(person(&door.rooms, ADDRESS).await.confirmed_at.is_some());
    assert_eq!(reason(&door.auth.confirm_address(confirm(PASSWORD)).await.unwrap_err()), "CODE_INVALID");
}

#[tokio::test]
async fn sign_up_that_was_killed_anywhere_is_made_whole_once() {
    for writes in 0..64 {
        let here = Rooms::new().await;
        here.accounts.sign_up(ada(ADDRESS, "r1")).await.unwrap();
        here.store.watched.set_writes_left(writes);
        let killed = here.accounts.sweep().await;
        let there = here.beside().await;
        there.accounts.sign_up(ada(ADDRESS, "r1")).await.unwrap();
        there.accounts.sweep().await.unwrap();
        assert_eq!(there.accounts.sweep().await.unwrap(), 0);
        let (users, tenants) =
            (all::<User>(&there, user::AGE).await, all::<Tenant>(&there, tenant::AGE).await);
        let members = all::<Member>(&there, member::TENANT).await;
        assert_eq!((users.len(), tenants.len(), members.len()), (1, 2, 1), "after {writes} writes");
        assert_eq!(codes(&there, ADDRESS).await.len(), 1, "after {writes} writes");
        there.accounts.confirm(&last_code(&there, ADDRESS).await, &secret(PASSWORD)).await.unwrap();
        if killed.is_ok() {
            assert!(writes > 4, "a sign-up takes several writes");
            return;
        }
    }
    panic!("a sign-up takes fewer writes than that");
}

#[tokio::test]
async fn known_address_has_the_same_answer_and_its_owner_is_told() {
    let rooms = Rooms::new().await;
    signed_up(&rooms, ADDRESS).await;
    let tenants = all::<Tenant>(&rooms, tenant::AGE).await.len();
    assert_eq!(rooms.accounts.sign_up(ada("ADA@Example.com", "")).await.unwrap(), "");
    rooms.accounts.sweep().await.unwrap();
    let last = letters(&rooms).await.pop().unwrap();
    assert_eq!((last.to.as_str(), last.subject), (ADDRESS, Subject::AccountExists));
    assert_eq!(all::<Tenant>(&rooms, tenant::AGE).await.len(), tenants);
    assert_eq!(all::<User>(&rooms, user::AGE).await.len(), 1);
    let before = letters(&rooms).await.len();
    for _ in 0..20 {
        rooms.accounts.sign_up(ada(ADDRESS, "")).await.unwrap();
        rooms.accounts.request_reset(ADDRESS).await.unwrap();
        rooms.accounts.request_reset("nobody@example.com").await.unwrap();
        rooms.accounts.resend_confirmation("nobody@example.com").await.unwrap();
        rooms.accounts.resend_confirmation(ADDRESS).await.unwrap();
    }
    rooms.accounts.sweep().await.unwrap();
    let after = letters(&rooms).await;
    assert!(after.len() <= before + 10, "five of a kind at most: {}", after.len() - before);
    assert!(after.iter().all(|letter| letter.to.as_str() == ADDRESS), "nobody has no letters");
}

#[tokio::test]
async fn code_for_a_new_password_is_good_once_for_an_hour_and_for_that_alone() {
    let rooms = Rooms::new().await;
    signed_up(&rooms, ADDRESS).await;
    signed_up(&rooms, "bob@example.com").await;
    let ask = async || {
        rooms.accounts.request_reset(ADDRESS).await.unwrap();
        rooms.accounts.sweep().await.unwrap();
        rooms.store.time.advance(MINUTE);
        last_code(&rooms, ADDRESS).await
    };
    let (older, code) = (ask().await, ask().await);
    let reset = async |code: &str, password: &str| {
        rooms.accounts.reset(code, &secret(password)).await.map(|user| user.address.key())
    };
    assert_eq!(why(rooms.accounts.confirm(&code, &secret(PASSWORD)).await), Reason::CodeInvalid);
    assert_eq!(why(rooms.accounts.confirm_change(&code).await), Reason::CodeInvalid);
    assert_eq!(why(reset(&code, "password").await), Reason::InvalidField);
    let before = person(&rooms, ADDRESS).await;
    let bob = person(&rooms, "bob@example.com").await;
    let (first, second) = tokio::join!(reset(&code, OTHER_PASSWORD), reset(&code, "another of the two"));
    assert_eq!([first, second].iter().filter(|done| done.is_ok()).count(), 1, "one of two wins");
    assert_ne!(person(&rooms, ADDRESS).await.password, before.password);
    assert_eq!(person(&rooms, "bob@example.com").await, bob, "nobody else's is touched");
    for used in [&code, &older, "", "x", &"A".repeat(43), &"A".repeat(1 << 20)] {
        assert_eq!(why(reset(used, OTHER_PASSWORD).await), Reason::CodeInvalid);
    }
    let last = letters(&rooms).await.pop().unwrap();
    assert!(matches!(last.subject, Subject::PasswordChanged { .. }), "{last:?}");

    let late = ask().await;
    rooms.store.time.advance(HOUR);
    assert_eq!(why(reset(&late, OTHER_PASSWORD).await), Reason::CodeInvalid);
    assert!(rooms.accounts.purge(1_000).await.unwrap() > 0);
    rooms.store.time.advance(3 * DAY);
    while rooms.accounts.purge(1_000).await.unwrap() > 0 {}
}

#[tokio::test]
async fn address_changes_with_the_code_that_went_to_the_new_one() {
    let rooms = Rooms::new().await;
    let caller = signed_up(&rooms, ADDRESS).await;
    signed_up(&rooms, "bob@example.com").await;
    let wrong = rooms.accounts.request_address(&caller, &secret(OTHER_PASSWORD), "new@example.com").await;
    assert_eq!(why(wrong), Reason::PasswordWrong);
    for address in ["new@example.com", "bob@example.com"] {
        rooms.accounts.request_address(&caller, &secret(PASSWORD), address).await.unwrap();
    }
    rooms.accounts.request_reset(ADDRESS).await.unwrap();
    rooms.accounts.sweep().await.unwrap();
    let told = letters(&rooms).await;
    let told = told
        .iter()
        .any(|letter| letter.to.as_str() == "bob@example.com" && letter.subject == Subject::AccountExists);
    assert!(told, "who has the address is told");
    let (code, reset) = (last_code(&rooms, "new@example.com").await, last_code(&rooms, ADDRESS).await);
    let (first, second) =
        tokio::join!(rooms.accounts.confirm_change(&code), rooms.accounts.confirm_change(&code));
    assert_eq!([first, second].iter().filter(|done| done.is_ok()).count(), 1);
    assert_eq!(person(&rooms, "new@example.com").await.id, **caller.user().unwrap());
    let reset = rooms.accounts.reset(&reset, &secret(OTHER_PASSWORD)).await;
    assert_eq!(why(reset), Reason::CodeInvalid, "the old address has no say any more");
    let told = letters(&rooms).await;
    assert!(
        told.iter().any(|letter| matches!(letter.subject, Subject::AddressChanged { .. })
            && letter.to.as_str() == ADDRESS)
    );
}

#[tokio::test]
async fn nobody_invites_with_more_than_they_have() {
    let rooms = Rooms::new().await;
    let admin = rooms.member("acme", "usr_admin", "admin").await;
    let new = |role| Inviting { seed: Uuid::now_v7(), tenant: "acme", address: "eve@example.com", role };
    assert_eq!(why(rooms.accounts.invite(&admin, new("owner")).await), Reason::GrantExceedsOwn);
    assert_eq!(why(rooms.accounts.invite(&admin, new("emperor")).await), Reason::RoleNotFound);
    let invitation = rooms.accounts.invite(&admin, new("developer")).await.unwrap();
    let again = Inviting { seed: invitation.id.split_at(4).1.parse().unwrap(), ..new("developer") };
    assert_eq!(rooms.accounts.invite(&admin, again).await.unwrap(), invitation);
    let first = last_code(&rooms, "eve@example.com").await;
    assert_eq!(letters(&rooms).await.len(), 1, "a retry is one letter");

    rooms.store.time.advance(MINUTE);
    rooms.accounts.invite(&admin, new("viewer")).await.unwrap();
    let code = last_code(&rooms, "eve@example.com").await;
    let guest = |code, password: Option<&str>| Guest {
        code,
        user: None,
        name: "Eve",
        password: password.map(secret),
    };
    assert_eq!(why(rooms.accounts.accept(guest(&first, Some(PASSWORD))).await), Reason::CodeInvalid);
    assert_eq!(why(rooms.accounts.accept(guest(&code, None)).await), Reason::InvalidField);
    let (one, two) = tokio::join!(
        rooms.accounts.accept(guest(&code, Some(PASSWORD))),
        rooms.accounts.accept(guest(&code, Some(OTHER_PASSWORD)))
    );
    let joined: Vec<_> = [one, two].into_iter().filter_map(Result::ok).collect();
    assert_eq!(joined.len(), 1, "one of two wins");
    assert_eq!(joined[0].role, "viewer");
    assert!(person(&rooms, "eve@example.com").await.confirmed_at.is_some(), "the code went there");

    let taken_back = rooms.accounts.invite(&admin, Inviting { address: "mal@example.com", ..new("viewer") });
    let taken_back = taken_back.await.unwrap();
    let foreign = rooms.accounts.revoke_invitation("other", &taken_back.id).await;
    assert_eq!(why(foreign), Reason::InvitationNotFound);
    rooms.accounts.revoke_invitation("acme", &taken_back.id).await.unwrap();
    let code = last_code(&rooms, "mal@example.com").await;
    assert_eq!(why(rooms.accounts.accept(guest(&code, Some(PASSWORD))).await), Reason::CodeInvalid);
    assert_eq!(rooms.accounts.list_invitations("acme", None, 10).await.unwrap().records.len(), 3);
}

#[tokio::test]
async fn who_has_an_account_shows_that_it_is_theirs() {
    let rooms = Rooms::new().await;
    let ada = signed_up(&rooms, ADDRESS).await;
    let bob = signed_up(&rooms, "bob@example.com").await;
    let inviter = rooms.member("acme", "usr_inviter", "admin").await;
    let invite = async || {
        let new =
            Inviting { seed: Uuid::now_v7(), tenant: "acme", address: "Ada@example.com", role: "admin" };
        rooms.accounts.invite(&inviter, new).await.unwrap();
        rooms.store.time.advance(MINUTE);
        last_code(&rooms, "Ada@example.com").await
    };
    let code = invite().await;
    let guest =
        |user, password: Option<&str>| Guest { code: &code, user, name: "", password: password.map(secret) };
    let (own, other) = (ada.user().map(AsRef::as_ref), bob.user().map(AsRef::as_ref));
    assert_eq!(why(rooms.accounts.accept(guest(None, None)).await), Reason::AccountExists);
    assert_eq!(why(rooms.accounts.accept(guest(other, None)).await), Reason::AccountExists);
    assert_eq!(why(rooms.accounts.accept(guest(None, Some(OTHER_PASSWORD))).await), Reason::PasswordWrong);
    let member = rooms.accounts.accept(guest(own, None)).await.unwrap();
    assert_eq!((member.role.as_str(), Some(member.user.as_str())), ("admin", own));

    let late = invite().await;
    let by = tollgate::identity::members::By::Decided;
    rooms.members.change_role(by, "acme", "usr_inviter", "viewer").await.unwrap();
    let refused = rooms.accounts.accept(Guest { code: &late, user: own, name: "", password: None }).await;
    assert_eq!(why(refused), Reason::CodeInvalid, "who invited could not invite any more");
}

#[tokio::test]
async fn second_factor_counts_once_a_code_was_shown() {
    let rooms = Rooms::new().await;
    let caller = signed_up(&rooms, ADDRESS).await;
    let key = Caller {
        kind: CallerKind::Tenant("acme".into()),
        key_id: None,
        session: None,
        permissions: Permissions::TENANT,
        restrictions: None,
        is_outside: false,
    };
    let begin = async |caller: &Caller, password: &str| {
        rooms.accounts.begin_second_factor(caller, &secret(password)).await
    };
    assert_eq!(why(begin(&key, PASSWORD).await), Reason::SessionRequired);
    assert_eq!(why(begin(&caller, OTHER_PASSWORD).await), Reason::PasswordWrong);
    assert_eq!(
        why(rooms.accounts.confirm_second_factor(&caller, "000000").await),
        Reason::SecondFactorMissing
    );
    let setup = begin(&caller, PASSWORD).await.unwrap();
    assert_eq!(why(rooms.accounts.confirm_second_factor(&caller, "").await), Reason::CodeInvalid);
    let begun = person(&rooms, ADDRESS).await.second_factor.unwrap();
    assert!(begun.confirmed_at.is_none() && begun.recovery.is_empty());

    let code = code_of(setup.secret.expose_secret(), rooms.store.time.now());
    let recovery = rooms.accounts.confirm_second_factor(&caller, &code).await.unwrap();
    assert_eq!(recovery.len(), 10);
    assert_eq!(why(begin(&caller, PASSWORD).await), Reason::SecondFactorSet);
    let kept = serde_json::to_string(&person(&rooms, ADDRESS).await).unwrap();
    for shown in recovery.iter().chain([&setup.secret]) {
        assert!(!kept.contains(shown.expose_secret()));
    }
    let remove = async |password: &str, code: &str| {
        rooms.accounts.remove_second_factor(&caller, &secret(password), code).await
    };
    let spare = recovery[0].expose_secret();
    assert_eq!(why(remove(PASSWORD, &code).await), Reason::CodeInvalid, "it was used");
    assert_eq!(why(remove(OTHER_PASSWORD, spare).await), Reason::PasswordWrong);
    remove(PASSWORD, spare).await.unwrap();
    assert_eq!(why(remove(PASSWORD, spare).await), Reason::SecondFactorMissing);
    let last = letters(&rooms).await;
    assert!(last.iter().any(|letter| matches!(letter.subject, Subject::SecondFactor { is_on: false, .. })));
}

#[tokio::test]
async fn what_is_no_single_address_is_refused_everywhere() {
    let rooms = Rooms::new().await;
    let operator = rooms.operator().await;
    let long = format!("{}@example.com", "a".repeat(320));
    for wrong in [
        "",
        "a@example.com,b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "\"a b\"@example.com",
        "a@bücher.example",
        "a\0@example.com",
        &long,
    ] {
        assert_eq!(why(rooms.accounts.sign_up(ada(wrong, "")).await), Reason::InvalidField, "{wrong:?}");
        assert_eq!(why(rooms.accounts.request_reset(wrong).await), Reason::InvalidField, "{wrong:?}");
        assert_eq!(why(rooms.accounts.resend_confirmation(wrong).await), Reason::InvalidField, "{wrong:?}");
        let new = Inviting { seed: Uuid::now_v7(), tenant: "acme", address: wrong, role: "viewer" };
        assert_eq!(why(rooms.accounts.invite(&operator, new).await), Reason::InvalidField, "{wrong:?}");
    }
    for (field, new) in [
        ("name", SigningUp { name: "Ada\r\nBcc: b@example.com", ..ada(ADDRESS, "") }),
        ("tenant_name", SigningUp { tenant_name: "a\nb", ..ada(ADDRESS, "") }),
        ("password", SigningUp { password: secret("ada@example.com"), ..ada(ADDRESS, "") }),
    ] {
        let refused = rooms.accounts.sign_up(new).await.unwrap_err();
        assert_eq!(refused.violations()[0].field, field);
    }
    assert_eq!(rooms.accounts.sweep().await.unwrap(), 0, "nothing was kept");
    assert!(letters(&rooms).await.is_empty());
}
