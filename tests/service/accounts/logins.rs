//! Who may log in, and that nobody learns from a refusal who could.

use tollgate_client::v1;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::accounts::people::{PASSWORD, Town, address, refusal, refused};
use crate::server::TENANT;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_log_in_hears_one_answer() {
    let town = Town::new().await;
    town.member("ada", "owner").await;
    let unconfirmed = town.user("unconfirmed", |user| user.confirmed_at = None).await;
    let suspended = town.user("suspended", |user| user.is_suspended = true).await;
    let without = town.user("without", |user| user.password.clear()).await;
    for user in [&unconfirmed, &suspended, &without] {
        town.join(user, TENANT, "owner").await;
    }
    town.user("nowhere", |_| {}).await;
    let (long, ada) = ("x".repeat(1_000_000), address("ada"));
    let cases = [
        (ada.as_str(), "another password", None),
        (&ada, "a Horse that nobody rides", None),
        (&ada, &long, None),
        (&ada, PASSWORD, Some("")),
        (&ada, PASSWORD, Some("globex")),
        (&address("nobody"), PASSWORD, None),
        (&address("unconfirmed"), PASSWORD, None),
        (&address("suspended"), PASSWORD, None),
        (&address("without"), PASSWORD, None),
        (&address("without"), " ", None),
        (&address("nowhere"), PASSWORD, None),
        ("no address at all", PASSWORD, None),
    ];
    let mut messages = Vec::new();
    for (address, password, tenant) in cases {
        let status = town.try_login(address, password, tenant).await.unwrap_err();
        messages.push(status.message().to_owned());
        let expected = refusal(Code::Unauthenticated, "LOGIN_FAILED");
        assert_eq!(refused::<()>(Err(status)), expected, "{address} {tenant:?}");
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let empty = refusal(Code::InvalidArgument, "INVALID_FIELD");
    assert_eq!(refused(town.try_login("", PASSWORD, None).await), empty);
    assert_eq!(refused(town.try_login(&ada, "", None).await), empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn address_and_password_are_the_same_in_every_spelling_that_people_use() {
    let town = Town::new().await;
    let ada = town.user("ada", |_| {}).await;
    town.join(&ada, TENANT, "developer").await;
    let login = town.log_in("ada").await.unwrap();
    let client = town.server.client(&login.tokens.unwrap().access_token);
    let (composed, decomposed) = ("caf\u{e9} am Fl\u{fc}sschen", "cafe\u{301} am Flu\u{308}sschen");
    let request = v1::ChangePasswordRequest { old_password: PASSWORD.into(), new_password: composed.into() };
    client.auth().change_password(request).await.unwrap();
    for password in [composed, decomposed] {
        town.try_login("ADA@Example.com", password, None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_belongs_to_several_tenants_logs_in_to_one() {
    let town = Town::new().await;
    let ada = town.user("ada", |_| {}).await;
    for (tenant, role) in [("globex", "viewer"), ("", "support"), (TENANT, "owner")] {
        town.join(&ada, tenant, role).await;
    }
    let check = async |tenant: Option<&str>, expected: &str, others: &[&str]| {
        let login = town.try_login(&address("ada"), PASSWORD, tenant).await.unwrap();
        let named: Vec<_> = login.other_memberships.iter().map(|other| other.tenant_id.as_str()).collect();
        assert_eq!((login.membership.unwrap().tenant_id.as_str(), &named[..]), (expected, others));
        town.who(&login.tokens.unwrap().access_token).await.unwrap()
    };
    check(None, "globex", &["", TENANT]).await;
    let who = check(Some(TENANT), TENANT, &["globex", ""]).await;
    assert_eq!((who.kind(), who.role.as_str()), (v1::CallerKind::Member, "owner"));
    let who = check(Some(""), "", &["globex", TENANT]).await;
    assert_eq!((who.kind(), who.role.as_str()), (v1::CallerKind::Staff, "support"));
    assert!(who.permissions.contains(&String::from("tenants.any")));
}

#[tokio::test(flavor = "multi_thread")]
async fn hash_of_another_cost_is_made_anew() {
    let town = Town::with(|config| config.accounts.argon2_passes = 2.try_into().unwrap()).await;
    let ada = town.member("ada", "owner").await;
    assert!(ada.password.contains("t=1"));
    let login = town.log_in("ada").await.unwrap();
    let users =
        tollgate::store::records::Records::<tollgate::identity::user::User>::new(town.documents.clone());
    let kept = users.get(&ada.id).await.unwrap().unwrap().record;
    assert!(kept.password.contains("t=2") && kept.password_at == ada.password_at);
    town.refresh(&login.tokens.unwrap().refresh_token).await.unwrap();
    town.log_in("ada").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_90_logins_at_once_those_who_cannot_wait_are_told_to_come_back() {
    let town = Town::with(|config| config.accounts.argon2_memory_kib = 19_456.try_into().unwrap()).await;
    town.member("ada", "owner").await;
    let nobody = town.nobody();
    // One network may have a hundred wrong ones, and one account five.
    let logins = (0..90).map(|number| {
        let request = v1::LoginRequest {
            address: address(&format!("nobody-{number}")),
            password: String::from("another password"),
            ..v1::LoginRequest::default()
        };
        let nobody = nobody.clone();
        async move { nobody.auth().login(request).await.unwrap_err() }
    });
    let (mut failed, mut busy) = (0, 0);
    for status in futures_util::future::join_all(logins).await {
        match status.code() {
            Code::Unauthenticated => failed += 1,
            Code::ResourceExhausted => {
                assert!(status.get_error_details().retry_info().is_some());
                assert_eq!(refused::<()>(Err(status)).1, "HASHING_BUSY");
                busy += 1;
            }
            _ => panic!("{status:?}"),
        }
    }
    assert!(failed >= 33 && busy >= 1 && failed + busy == 90, "{failed} failed, {busy} told to come back");
    town.log_in("ada").await.unwrap();
}
