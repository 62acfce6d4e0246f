//! Keys: who is known by them, and that a revoked one is refused at once.

use tollgate::gate::decision::DenialReason;
use tollgate::identity::api_key::KeyKind;
use tollgate::identity::caller::CallerKind;
use tollgate::identity::keyring::{CredentialError, Customer};
use tollgate::identity::keys::{KeysError, NewKey};
use tollgate::identity::permission::Permissions;
use tollgate::time::{HOUR, Timestamp};

use crate::rooms::{OPERATOR_KEY, Rooms, new_key};

#[tokio::test]
async fn each_kind_of_credential_leads_to_its_caller() {
    let rooms = Rooms::new().await;
    let operator = rooms.keyring.authenticate(OPERATOR_KEY).await.unwrap();
    assert_eq!((&operator.kind, &operator.key_id), (&CallerKind::Operator, &None));
    assert_eq!(operator.permissions, Permissions::operator());

    let (key, secret) = rooms.key(KeyKind::Tenant).await;
    let tenant = rooms.keyring.authenticate(&secret).await.unwrap();
    assert_eq!(tenant.kind, CallerKind::Tenant("acme".into()));
    assert_eq!(tenant.key_id.as_deref(), Some(key.id.as_str()));
    assert_eq!(tenant.permissions, Permissions::TENANT);

    let (_, secret) = rooms.key(KeyKind::ServiceAccount).await;
    let service = rooms.keyring.authenticate(&secret).await.unwrap();
    assert_eq!(
        (&service.kind, service.permissions),
        (&CallerKind::ServiceAccount, Permissions::SERVICE_ACCOUNT)
    );
}

#[tokio::test]
async fn what_is_mistyped_is_refused_without_a_look_into_the_store() {
    let rooms = Rooms::new().await;
    let (_, secret) = rooms.key(KeyKind::Tenant).await;
    let before = rooms.store.watched.reads();
    let last = if secret.ends_with('x') { "y" } else { "x" };
    let mistyped: String = secret.chars().take(secret.len() - 1).chain(last.chars()).collect();
    let shorter = OPERATOR_KEY.trim_start_matches("an ");
    for wrong in [mistyped.as_str(), "", "tg_tenant_", "Bearer", shorter, &secret.to_uppercase()] {
        let refused = rooms.keyring.authenticate(wrong).await;
        assert!(matches!(refused, Err(CredentialError::Invalid)), "`{wrong}`: {refused:?}");
    }
    assert_eq!(rooms.store.watched.reads(), before);
}

#[tokio::test]
async fn key_that_was_good_before_takes_no_look_into_the_store() {
    let rooms = Rooms::new().await;
    let (_, secret) = rooms.key(KeyKind::Tenant).await;
    assert!(rooms.keyring.recall(&secret).is_none());
    rooms.keyring.authenticate(&secret).await.unwrap();
    let before = rooms.store.watched.reads();
    assert!(rooms.keyring.recall(&secret).unwrap().is_ok());
    rooms.keyring.authenticate(&secret).await.unwrap();
    assert_eq!(rooms.store.watched.reads(), before);
}

#[tokio::test]
async fn good_id_with_anothers_secret_is_unknown() {
    let rooms = Rooms::new().await;
    let (key, _) = rooms.key(KeyKind::Tenant).await;
    // The same key id with a fresh secret, as whoever knows the id and the format can make it.
    let seed = uuid::Uuid::try_parse(key.id.trim_start_matches("key_")).unwrap();
    let forged = tollgate::identity::credential::fresh(KeyKind::Tenant, seed);
    let refused = rooms.keyring.authenticate(secrecy::ExposeSecret::expose_secret(&forged)).await;
    assert!(matches!(refused, Err(CredentialError::Invalid)));
    let nobodys = tollgate::identity::credential::fresh(KeyKind::Tenant, uuid::Uuid::now_v7());
    let refused = rooms.keyring.authenticate(secrecy::ExposeSecret::expose_secret(&nobodys)).await;
    assert!(matches!(refused, Err(CredentialError::Invalid)));
}

#[tokio::test]
async fn revoked_key_is_refused_by_the_next_call_and_stays_so() {
    let rooms = Rooms::new().await;
    let operator = rooms.operator().await;
    let (key, secret) = rooms.key(KeyKind::Tenant).await;
    rooms.keyring.authenticate(&secret).await.unwrap();
    let revoked = rooms.keys.revoke(&operator, &key.id).await.unwrap();
    for _ in 0..2 {
        let refused = rooms.keyring.authenticate(&secret).await;
        assert!(matches!(refused, Err(CredentialError::Revoked)), "{refused:?}");
    }
    rooms.store.time.advance(HOUR);
    assert_eq!(
        rooms.keys.revoke(&operator, &key.id).await.unwrap(),
        revoked,
        "the second time changes nothing"
    );
}

#[tokio::test]
async fn look_up_that_began_before_the_revocation_is_not_remembered_after_it() {
    let rooms = Rooms::new().await;
    let (key, secret) = rooms.key(KeyKind::Tenant).await;
    rooms.store.watched.hold_next_reader();
    let operator = rooms.operator().await;
    let early = rooms.keyring.authenticate(&secret);
    let revocation = async {
        rooms.store.watched.reader_is_held().await;
        rooms.keys.revoke(&operator, &key.id).await.unwrap();
        rooms.store.watched.release();
    };
    let (early, ()) = futures_util::future::join(early, revocation).await;
    assert!(early.is_ok(), "it began before");
    assert!(matches!(rooms.keyring.authenticate(&secret).await, Err(CredentialError::Revoked)));
}

#[tokio::test]
async fn key_expires_at_its_moment_also_where_it_is_remembered() {
    let rooms = Rooms::new().await;
    let operator = rooms.operator().await;
    let expires_at = Some(rooms.store.clock().now().plus(HOUR));
    let new = NewKey { expires_at, ..new_key(KeyKind::Tenant) };
    let (_, secret) = rooms.keys.create(&operator, new).await.unwrap();
    let secret = secret.unwrap();
    let secret = secrecy::ExposeSecret::expose_secret(&secret);
    rooms.keyring.authenticate(secret).await.unwrap();
    rooms.store.time.advance(HOUR - 1);
    rooms.keyring.authenticate(secret).await.unwrap();
    rooms.store.time.advance(1);
    assert!(matches!(rooms.keyring.authenticate(secret).await, Err(CredentialError::Expired)));
}

#[tokio::test]
async fn bad_credential_of_a_customer_is_an_answer() {
    let rooms = Rooms::new().await;
    let (key, secret) = rooms.key(KeyKind::Tenant).await;
    let known =
        Customer::Tenant { tenant: "acme".into(), key_id: key.id.as_str().into(), restrictions: None };
    assert_eq!(rooms.keyring.customer(&secret).await.unwrap(), known);
    let (_, services) = rooms.key(KeyKind::ServiceAccount).await;
    for wrong in ["nothing", OPERATOR_KEY, &services] {
        let refused = rooms.keyring.customer(wrong).await.unwrap();
        assert_eq!(refused, Customer::Refused(DenialReason::ApiKeyInvalid), "`{wrong}`");
    }
    rooms.keys.revoke(&*rooms.operator().await, &key.id).await.unwrap();
    let refused = rooms.keyring.customer(&secret).await.unwrap();
    assert_eq!(refused, Customer::Refused(DenialReason::ApiKeyRevoked));
}

#[tokio::test]
async fn seed_makes_one_key_and_tells_its_secret_once() {
    let rooms = Rooms::new().await;
    let operator = rooms.operator().await;
    let new = new_key(KeyKind::Tenant);
    let (key, secret) = rooms.keys.create(&operator, new.clone()).await.unwrap();
    assert!(secret.is_some());
    let (again, secret) = rooms.keys.create(&operator, new).await.unwrap();
    assert_eq!((again, secret.is_none()), (key, true));
}

#[tokio::test]
async fn key_may_do_no_more_than_its_kind_and_its_maker() {
    let rooms = Rooms::new().await;
    let operator = rooms.operator().await;
    let (_, secret) = rooms.key(KeyKind::Tenant).await;
    let tenant = rooms.keyring.authenticate(&secret).await.unwrap();
    let cases: [(&[&str], Option<&str>); 5] = [
        (&[], None),
        (&["usage.read", "usage.track"], None),
        (&["usage.read", "tenants.write"], Some("permissions[1]")),
        (&["usage.track.any"], Some("permissions[0]")),
        (&["world.rule"], Some("permissions[0]")),
    ];
    for caller in [&operator, &tenant] {
        for (names, wrong) in cases {
            let permissions = names.iter().map(|name| (*name).to_owned()).collect();
            let made = rooms.keys.create(caller, NewKey { permissions, ..new_key(KeyKind::Tenant) }).await;
            match (made, wrong) {
                (Ok((key, _)), None) if names.is_empty() => assert_eq!(key.permissions, Permissions::TENANT),
                (Ok((key, _)), None) => assert_eq!(key.permissions.names(), names),
                (Err(KeysError::Invalid(invalid)), Some(wrong)) => assert_eq!(invalid.0[0].field, wrong),
                (made, _) => panic!("{names:?}: {made:?}"),
            }
        }
    }
}

#[tokio::test]
async fn wrong_names_and_times_are_said_at_once() {
    let rooms = Rooms::new().await;
    let now = rooms.store.clock().now();
    for (name, expires_at) in [("", Some(now)), (&*"x".repeat(129), Some(Timestamp::EPOCH))] {
        let new = NewKey { name: name.to_owned(), expires_at, ..new_key(KeyKind::Tenant) };
        let Err(KeysError::Invalid(invalid)) = rooms.keys.create(&*rooms.operator().await, new).await else {
            panic!("`{name}` is refused");
        };
        let fields: Vec<_> = invalid.0.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["name", "expire_time"]);
    }
}

#[tokio::test]
async fn keys_of_others_are_answered_as_missing_ones() {
    let rooms = Rooms::new().await;
    rooms.tenants.create(crate::rooms::tenant("other", 2)).await.unwrap();
    let (own, secret) = rooms.key(KeyKind::Tenant).await;
    let caller = rooms.keyring.authenticate(&secret).await.unwrap();
    let foreign = NewKey { tenant: Some(String::from("other")), ..new_key(KeyKind::Tenant) };
    let (foreign, _) = rooms.keys.create(&*rooms.operator().await, foreign).await.unwrap();
    let (services, _) = rooms.key(KeyKind::ServiceAccount).await;
    for id in [foreign.id.as_str(), &services.id, "key_nothing"] {
        let refused = rooms.keys.revoke(&caller, id).await;
        assert!(matches!(refused, Err(KeysError::NotFound(_))), "`{id}`: {refused:?}");
    }
    rooms.keys.revoke(&caller, &own.id).await.unwrap();
}

#[tokio::test]
async fn keys_are_listed_newest_first_and_each_owners_apart() {
    let rooms = Rooms::new().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        rooms.store.time.advance(1);
        made.insert(0, rooms.key(KeyKind::Tenant).await.0.id);
    }
    rooms.key(KeyKind::ServiceAccount).await;
    let first = rooms.keys.list(Some("acme"), None, 2).await.unwrap();
    let rest = rooms.keys.list(Some("acme"), first.next.as_ref(), 2).await.unwrap();
    let listed: Vec<_> = first.records.into_iter().chain(rest.records).map(|key| key.id).collect();
    assert_eq!((listed, rest.next), (made, None));
    assert_eq!(rooms.keys.list(None, None, 9).await.unwrap().records.len(), 1);
    assert!(rooms.keys.list(Some("acm"), None, 9).await.unwrap().records.is_empty());
}

/// `TOLLGATE_KEY_RECALLS` is how often each key is recalled; without it, a few times. What is printed is the mean.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
#[expect(clippy::disallowed_methods, reason = "how long a test goes on is no setting of the server")]
async fn recall_costs_a_digest_and_a_look_into_memory() {
    let recalls =
        std::env::var("TOLLGATE_KEY_RECALLS").ok().map_or(1_000, |recalls| recalls.parse().unwrap());
    let rooms = Rooms::new().await;
    let operator = rooms.operator().await;
    let networks = ["10.0.0.0/8", "127.0.0.0/8"].map(String::from).to_vec();
    for (name, networks) in [("everywhere", Vec::new()), ("in two networks", networks)] {
        let new = NewKey { networks, ..new_key(KeyKind::Tenant) };
        let (_, secret) = rooms.keys.create(&operator, new).await.unwrap();
        let secret = secrecy::ExposeSecret::expose_secret(&secret.unwrap()).to_owned();
        rooms.keyring.authenticate(&secret).await.unwrap();
        let peer = Some("127.0.0.1".parse().unwrap());
        let before = rooms.store.watched.reads();
        let began = std::time::Instant::now();
        for _ in 0..recalls {
            let caller = rooms.keyring.recall(&secret).unwrap().unwrap().at(peer);
            assert!(!std::hint::black_box(caller).is_outside);
        }
        println!("a key that is good {name}: {:?} a recall", began.elapsed() / recalls);
        assert_eq!(rooms.store.watched.reads(), before);
    }
}
