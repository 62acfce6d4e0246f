//! Signing keys: all servers agree on them, and each is known before it signs and for as long as its tokens are good.

use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;
use tollgate::identity::signing_keys::{
    ANNOUNCED, Duty, Published, Rotated, SIGNS_FOR, SigningKeys, TOKEN_LIFE_MAX, VERIFIES_ON,
};
use tollgate::identity::token::{Bearer, TokenInvalid, TokensError};
use tollgate::jobs::rotate_signing_keys::RotateSigningKeys;
use tollgate::jobs::runner::Job as _;
use tollgate::store::StoreError;
use tollgate::time::{DAY, MINUTE, SECOND};

use crate::rooms::{Rooms, secret};
use crate::store::Store;

fn token(rooms: &Rooms) -> String {
    let claims = rooms.tokens.claims(Bearer { user: "usr_1", tenant: "acme", session: "ses_1" });
    rooms.tokens.issue(&claims).expect("a token").expose_secret().to_owned()
}

fn verify(rooms: &Rooms, text: &str) -> Result<(), TokenInvalid> {
    rooms.tokens.verify(text, rooms.store.clock().now()).map(|_| ())
}

async fn check(rooms: &Rooms, text: &str) -> Result<(), TokensError> {
    rooms.tokens.check(text, rooms.store.clock().now()).await.map(|_| ())
}

fn duties(keys: &SigningKeys) -> Vec<Duty> {
    keys.published().iter().map(|key| key.listed.duty).collect()
}

fn ids(keys: &[Published]) -> Vec<&str> {
    keys.iter().map(|key| key.listed.id.as_str()).collect()
}

#[tokio::test]
async fn servers_that_start_at_once_agree_on_their_keys() {
    let store = Store::new();
    let servers: Vec<_> = (0..8).map(|_| store.beside()).collect();
    let secret = &secret();
    let opened = servers.iter().map(|server| SigningKeys::open(&server.documents, server.clock(), secret));
    let opened = futures_util::future::join_all(opened).await;
    let published: Vec<_> = opened.into_iter().map(|keys| keys.expect("keys").published()).collect();
    assert_eq!(published[0].len(), 2);
    assert!(published.iter().all(|keys| *keys == published[0]));
}

#[tokio::test]
async fn keys_are_of_use_with_their_secret_alone_and_stay_over_a_restart() {
    let store = Store::new();
    let keys = SigningKeys::open(&store.documents, store.clock(), &secret()).await.unwrap();
    let again = SigningKeys::open(&store.documents, store.clock(), &secret()).await.unwrap();
    assert_eq!(keys.published(), again.published());
    let other = secrecy::SecretBox::new(Box::new([8; 32]));
    let refused = SigningKeys::open(&store.documents, store.clock(), &other).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })));
    let kept = store.documents.get("signing_keys", "tokens").await.unwrap().unwrap();
    let kept = String::from_utf8(kept.body).unwrap();
    let public = tollgate::secrets::seal::to_hex(&keys.published()[0].public);
    assert!(!kept.contains(&public), "only the sealed halves are kept");
}

#[tokio::test]
async fn key_is_known_everywhere_before_it_signs() {
    let here = Rooms::new().await;
    let there = here.beside().await;
    assert_eq!(duties(&here.signing_keys), [Duty::Signing, Duty::Announced]);
    here.store.time.advance(ANNOUNCED);
    let before = token(&here);
    assert_eq!(here.signing_keys.rotate().await.unwrap(), Rotated::Yes);
    assert_eq!(duties(&here.signing_keys), [Duty::Verifying, Duty::Signing, Duty::Announced]);
    let after = token(&here);
    let reads = there.store.watched.reads();
    for text in [&before, &after] {
        assert_eq!(verify(&there, text), Ok(()), "without a word of the rotation");
        assert_eq!(verify(&here, text), Ok(()));
    }
    assert_eq!(there.store.watched.reads(), reads);
    // It has not heard yet, and signs with the old key, which is known too.
    assert_eq!(duties(&there.signing_keys), [Duty::Signing, Duty::Announced]);
    assert_eq!(verify(&here, &token(&there)), Ok(()));
    there.store.time.advance(SECOND);
    there.hearing.hear().await.unwrap();
    assert_eq!(there.signing_keys.published(), here.signing_keys.published());
}

#[tokio::test]
async fn old_key_verifies_until_its_longest_token_has_ended_and_not_after() {
    let rooms = Rooms::new().await;
    rooms.store.time.advance(ANNOUNCED);
    rooms.signing_keys.rotate().await.unwrap();
    let old = rooms.signing_keys.published()[0].clone();
    let end = old.listed.ends_at.expect("its end is known");
    assert_eq!(end, rooms.store.clock().now().plus(VERIFIES_ON));
    const { assert!(VERIFIES_ON >= TOKEN_LIFE_MAX + MINUTE) };
    let here = Rooms::new().await;
    let text = token(&here);
    here.store.time.advance(ANNOUNCED);
    here.signing_keys.rotate().await.unwrap();
    here.store.time.set(here.signing_keys.published()[0].listed.ends_at.unwrap().minus(1));
    assert_eq!(verify(&here, &text), Err(TokenInvalid::Expired), "the key is known, the token has ended");
    here.store.time.advance(1);
    assert_eq!(verify(&here, &text), Err(TokenInvalid::EndedKey));
    assert_eq!(duties(&here.signing_keys), [Duty::Signing, Duty::Announced], "it is published no more");
}

#[tokio::test]
async fn key_that_is_not_known_is_asked_for_once_a_second() {
    let here = Rooms::new().await;
    let there = here.beside().await;
    // Two rotations that the other server has not heard of.
    for _ in 0..2 {
        here.store.time.advance(ANNOUNCED);
        assert_eq!(here.signing_keys.rotate().await.unwrap(), Rotated::Yes);
    }
    let text = token(&here);
    assert_eq!(verify(&there, &text), Err(TokenInvalid::UnknownKey));
    let reads = there.store.watched.reads();
    let asked = futures_util::future::join_all((0..32).map(|_| check(&there, &text))).await;
    assert!(asked.iter().all(Result::is_ok), "who comes meanwhile waits: {asked:?}");
    assert_eq!(there.store.watched.reads(), reads + 1);

    let elsewhere = token(&Rooms::new().await);
    for (after, expected) in [(0, 0), (SECOND - 1, 0), (1, 1), (0, 0), (SECOND, 1)] {
        let reads = there.store.watched.reads();
        there.store.time.advance(after);
        for _ in 0..3 {
            let refused = check(&there, &elsewhere).await;
            assert!(matches!(refused, Err(TokensError::Invalid(TokenInvalid::UnknownKey))), "{refused:?}");
        }
        assert_eq!(there.store.watched.reads() - reads, expected, "{after} µs later");
    }
}

#[tokio::test]
async fn without_the_store_known_keys_verify_and_unknown_ones_are_not_called_wrong() {
    let here = Rooms::new().await;
    let there = here.beside().await;
    for _ in 0..2 {
        here.store.time.advance(ANNOUNCED);
        here.signing_keys.rotate().await.unwrap();
    }
    let (known, unknown) = (token(&there), token(&here));
    there.store.watched.set_away(true);
    assert!(check(&there, &known).await.is_ok());
    for _ in 0..2 {
        assert!(matches!(check(&there, &unknown).await, Err(TokensError::Store(_))));
    }
    assert!(there.signing_keys.rotate().await.is_err());
    there.store.watched.set_away(false);
    there.store.time.advance(SECOND);
    assert!(check(&there, &unknown).await.is_ok());
}

#[tokio::test]
async fn change_that_could_not_be_read_when_it_was_heard_is_read_later() {
    let here = Rooms::new().await;
    let there = here.beside().await;
    here.store.time.advance(ANNOUNCED);
    here.signing_keys.rotate().await.unwrap();
    there.store.watched.hold_next_reader();
    let mut held = Box::pin(there.hearing.hear());
    tokio::select! {
        heard = &mut held => panic!("it was held back: {heard:?}"),
        () = there.store.watched.reader_is_held() => {}
    }
    // Its patience ends.
    assert!(held.await.is_err());
    assert_ne!(there.signing_keys.published(), here.signing_keys.published());
    there.hearing.hear().await.unwrap();
    assert_eq!(there.signing_keys.published(), here.signing_keys.published());
}

#[tokio::test]
async fn two_servers_that_rotate_at_once_rotate_once_each_or_wait_for_the_turn() {
    let here = Rooms::new().await;
    let there = here.beside().await;
    here.store.time.advance(ANNOUNCED);
    let (one, two) = tokio::join!(here.signing_keys.rotate(), there.signing_keys.rotate());
    assert_eq!((one.unwrap(), two.unwrap()), (Rotated::Yes, Rotated::Yes));
    let first = here.beside().await.signing_keys.published();
    // The one that signs was announced; the one behind it waits for its five minutes, and so does whoever asks again.
    assert_eq!(first.len(), 4);
    assert_eq!(here.signing_keys.rotate().await.unwrap(), Rotated::NotYet);
    assert_eq!(ids(&here.signing_keys.published()), ids(&first));
    let signing = first.iter().filter(|key| key.listed.duty == Duty::Signing).count();
    assert_eq!(signing, 1);
}

#[tokio::test]
async fn job_rotates_each_thirty_days_also_where_it_runs_twice() {
    let rooms = Rooms::new().await;
    let job = RotateSigningKeys { signing_keys: rooms.signing_keys.clone() };
    let beside = rooms.beside().await;
    let twin = RotateSigningKeys { signing_keys: beside.signing_keys.clone() };
    let stop = CancellationToken::new();
    rooms.store.time.advance(SIGNS_FOR - 1);
    assert_eq!(job.run(&stop).await.unwrap(), "the key that signs has not signed for 30 days");
    rooms.store.time.advance(1);
    // The twin has read that it is due when the other one does it.
    beside.store.watched.hold_next_reader();
    let (late, done) = tokio::join!(twin.run(&stop), async {
        beside.store.watched.reader_is_held().await;
        let done = job.run(&stop).await;
        beside.store.watched.release();
        done
    });
    assert_eq!(done.unwrap(), "another key signs");
    assert_eq!(late.unwrap(), "the key that signs has not signed for 30 days");
    assert_eq!(duties(&rooms.beside().await.signing_keys), [Duty::Verifying, Duty::Signing, Duty::Announced]);
    rooms.store.time.advance(DAY);
    job.run(&stop).await.unwrap();
    assert_eq!(duties(&rooms.signing_keys), [Duty::Signing, Duty::Announced]);
}
