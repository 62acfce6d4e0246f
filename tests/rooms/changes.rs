//! What one server changes is known to the others that share its store.

use tollgate::identity::api_key::{ApiKey, KeyKind};
use tollgate::identity::keyring::CredentialError;
use tollgate::identity::tenant::TenantState;
use tollgate::plans::spec::PlanSpec;
use tollgate::store::StoreError;
use tollgate::store::changes::{FRESH, KEPT, REMEMBERED, Subject, Teller};
use tollgate::store::records::{Change, Records};
use tollgate::time::{MINUTE, SECOND};

use crate::rooms::Rooms;

/// Two servers over one store, and a key that both know.
async fn two() -> (Rooms, Rooms, ApiKey, String) {
    let here = Rooms::new().await;
    let there = here.beside().await;
    let (key, secret) = here.key(KeyKind::Tenant).await;
    for rooms in [&here, &there] {
        rooms.keyring.authenticate(&secret).await.expect("a good key");
        rooms.directory.tenant("acme").await.expect("an answer").expect("a tenant");
    }
    (here, there, key, secret)
}

/// Revokes a key in the store and tells nobody, as whoever ends half way does.
async fn revoke_in_silence(rooms: &Rooms, key: &ApiKey) -> Result<(), StoreError> {
    let (now, keys) = (rooms.store.clock().now(), Records::<ApiKey>::new(rooms.store.documents.clone()));
    let revoke = |key: &mut ApiKey| {
        key.revoked_at = Some(now);
        Ok::<_, StoreError>(Change::Keep)
    };
    keys.update(&key.id, revoke).await.map(|_| ())
}

#[tokio::test]
async fn key_that_one_server_revoked_is_refused_by_the_other_once_it_has_heard() {
    let (here, there, key, secret) = two().await;
    here.keys.revoke(&*here.operator().await, &key.id).await.unwrap();
    assert!(there.keyring.recall(&secret).unwrap().is_ok(), "it has not heard yet");
    there.store.time.advance(SECOND);
    there.hearing.hear().await.unwrap();
    assert!(there.keyring.recall(&secret).is_none());
    assert!(matches!(there.keyring.authenticate(&secret).await, Err(CredentialError::Revoked)));
}

#[tokio::test]
async fn server_that_was_asleep_asks_the_store_before_it_believes_its_memory() {
    let (here, there, key, secret) = two().await;
    here.keys.revoke(&*here.operator().await, &key.id).await.unwrap();
    here.tenants.suspend("acme", "unpaid").await.unwrap();
    there.store.time.advance(FRESH + 1);
    assert!(matches!(there.keyring.authenticate(&secret).await, Err(CredentialError::Revoked)));
    let tenant = there.directory.tenant("acme").await.unwrap().unwrap();
    assert_eq!(tenant.state, TenantState::Suspended);
}

#[tokio::test]
async fn tenant_and_catalogue_that_one_server_changed_are_looked_up_anew_by_the_other() {
    let (here, there, _, _) = two().await;
    here.tenants.suspend("acme", "unpaid").await.unwrap();
    there.hearing.hear().await.unwrap();
    assert!(there.directory.recall("acme").is_none());
    there.directory.tenant("acme").await.unwrap();

    here.tenants.change_plan("acme", "pro", None).await.unwrap();
    there.hearing.hear().await.unwrap();
    assert_eq!(&*there.directory.tenant("acme").await.unwrap().unwrap().policy.plan.slug, "pro");

    let (plan, version) =
        here.catalogue.add_version("pro", uuid::Uuid::from_u128(5), PlanSpec::default()).await.unwrap();
    here.catalogue.publish(&plan.id, version.number).await.unwrap();
    there.hearing.hear().await.unwrap();
    assert!(there.directory.recall("acme").is_none());
    there.directory.tenant("acme").await.unwrap();
    there.hearing.hear().await.unwrap();
    assert!(there.directory.recall("acme").is_some(), "what was heard is not heard again");
}

#[tokio::test]
async fn change_of_a_server_that_ended_before_it_was_done_is_heard_all_the_same() {
    let (here, there, key, secret) = two().await;
    let teller = Teller::new(&here.store.documents, here.store.clock());
    let subject = Subject::Credential(key.digest.clone());
    {
        // The work is kept, and then its server ends.
        let telling = teller.tell(subject, async {
            revoke_in_silence(&here, &key).await?;
            std::future::pending::<Result<(), StoreError>>().await
        });
        let ended = tokio::time::timeout(std::time::Duration::from_millis(200), telling).await;
        assert!(ended.is_err());
    }
    there.hearing.hear().await.unwrap();
    assert!(there.keyring.recall(&secret).unwrap().is_ok(), "the change may not have been made yet");
    for _ in 0..25 {
        there.store.time.advance(SECOND);
        there.hearing.hear().await.unwrap();
    }
    assert!(there.keyring.recall(&secret).is_none());
}

#[tokio::test]
async fn server_that_may_have_missed_changes_forgets_everything() {
    let (_here, there, _, secret) = two().await;
    there.store.time.advance(KEPT / 2);
    there.hearing.hear().await.unwrap();
    assert!(there.keyring.recall(&secret).is_some());
    there.store.time.advance(KEPT / 2 + 1);
    there.hearing.hear().await.unwrap();
    assert!(there.keyring.recall(&secret).is_none());
    assert!(there.directory.recall("acme").is_none());
}

#[tokio::test]
async fn without_its_store_a_server_believes_its_memory_for_fifteen_minutes() {
    let (here, there, key, secret) = two().await;
    there.store.watched.set_away(true);
    here.keys.revoke(&*here.operator().await, &key.id).await.unwrap();
    for _ in 0..2 {
        assert!(there.hearing.hear().await.is_err());
    }
    there.store.time.advance(REMEMBERED);
    assert!(there.keyring.authenticate(&secret).await.is_ok());
    assert!(there.directory.tenant("acme").await.unwrap().is_some());
    there.store.time.advance(1);
    assert!(matches!(there.keyring.authenticate(&secret).await, Err(CredentialError::Store(_))));
    assert!(matches!(there.directory.tenant("acme").await, Err(StoreError::Unavailable(_))));

    there.store.watched.set_away(false);
    there.hearing.hear().await.unwrap();
    assert!(matches!(there.keyring.authenticate(&secret).await, Err(CredentialError::Revoked)));
}

#[tokio::test]
async fn change_that_cannot_be_told_is_not_answered() {
    let (here, _there, key, _) = two().await;
    let operator = here.operator().await;
    here.store.watched.set_away(true);
    assert!(here.keys.revoke(&operator, &key.id).await.is_err());
    assert!(here.tenants.suspend("acme", "unpaid").await.is_err());
}

#[tokio::test]
async fn changes_are_kept_for_ten_minutes() {
    let (here, _there, _, _) = two().await;
    let teller = Teller::new(&here.store.documents, here.store.clock());
    here.tenants.suspend("acme", "unpaid").await.unwrap();
    here.store.time.advance(KEPT);
    here.tenants.resume("acme").await.unwrap();
    assert_eq!(teller.purge(10).await.unwrap(), 0);
    here.store.time.advance(MINUTE);
    assert_eq!(teller.purge(10).await.unwrap(), 1);
    assert_eq!(teller.purge(10).await.unwrap(), 0);
}
