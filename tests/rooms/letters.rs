//! Letters wait until they are taken, are sent by one server, and are gone when they are sent.

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretBox};
use tokio_util::sync::CancellationToken;
use tollgate::mail::address::Address;
use tollgate::mail::delivery::Delivery;
use tollgate::mail::letter::{Letter, Subject};
use tollgate::mail::mailer::{Mailer, MailerError, Message};
use tollgate::mail::outbox::Outbox;
use tollgate::mail::words::Words;
use tollgate::secrets::vault::Vault;
use tollgate::store::{Documents, Order, Search};
use tollgate::time::{Clock as _, DAY, HOUR, MINUTE, SECOND};

use crate::rooms::secret;
use crate::store::Store;

/// Takes letters, or answers as it is told.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<Vec<MailerError>>,
    seen: Mutex<Vec<String>>,
}

impl Scripted {
    /// The subjects of what it was given since it was last asked.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn answer(&self, error: MailerError, times: usize) {
        self.answers.lock().unwrap().extend(vec![error; times]);
    }
}

#[async_trait]
impl Mailer for Scripted {
    async fn send(&self, message: &Message) -> Result<(), MailerError> {
        // Another server has time to send it too.
        tokio::task::yield_now().await;
        self.seen.lock().unwrap().push(message.subject.to_owned());
        self.answers.lock().unwrap().pop().map_or(Ok(()), Err)
    }
}

fn delivery(store: &Store, mailer: &Arc<Scripted>) -> Delivery {
    Delivery {
        outbox: Arc::new(Outbox::new(&store.documents, &secret(), store.clock())),
        mailer: Arc::<Scripted>::clone(mailer),
        words: Words::new(None).unwrap(),
        clock: store.clock(),
        pace: Duration::ZERO,
    }
}

fn letter(subject: Subject) -> Letter {
    Letter { to: Address::parse("ada@example.com").unwrap(), name: "Ada".into(), subject }
}

async fn round(delivery: &Delivery) -> usize {
    delivery.round(&CancellationToken::new()).await.unwrap()
}

/// The letters that wait, due or not, as they are kept.
async fn kept(documents: &Arc<dyn Documents>) -> Vec<String> {
    let (kind, index, order) = ("letter", "due", Order::Ascending);
    let search = Search { kind, index, prefix: "", after: None, order, limit: 1_000 };
    let found = documents.find(search).await.unwrap();
    found.into_iter().map(|found| String::from_utf8(found.document.body).unwrap()).collect()
}

/// The letters that wait under the secret of the tests, oldest first.
pub(crate) async fn opened(documents: &Arc<dyn Documents>) -> Vec<Letter> {
    let vault = Vault::new(&secret(), "letters");
    let kept = kept(documents).await.into_iter();
    let mut letters: Vec<(i64, Letter)> = kept
        .map(|kept| {
            let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
            let text = vault.open(kept["letter"].as_str().unwrap()).unwrap();
            let written_at = kept["written_at"].as_i64().unwrap();
            (written_at, serde_json::from_slice(text.expose_secret()).unwrap())
        })
        .collect();
    letters.sort_by_key(|(written_at, _)| *written_at);
    letters.into_iter().map(|(_, letter)| letter).collect()
}

/// How many they are.
async fn waiting(store: &Store) -> usize {
    kept(&store.documents).await.len()
}

#[tokio::test]
async fn letter_waits_sealed_and_is_nobody_elses() {
    let store = Store::new();
    let mailer = Arc::new(Scripted::default());
    let ours = delivery(&store, &mailer);
    let code = String::from("a-code-of-a-letter");
    let confirm = Subject::ConfirmAddress { code: code.clone(), until: store.clock().now().plus(HOUR) };
    ours.outbox.post("let_1", letter(confirm)).await.unwrap();
    let [kept] = kept(&store.documents).await.try_into().unwrap();
    assert!(!kept.contains(&code) && !kept.contains("Ada"), "{kept}");
    let other = Outbox::new(&store.documents, &SecretBox::new(Box::new([9; 32])), store.clock());
    let refused = other.take("let_1").await.unwrap_err().to_string();
    assert!(!refused.contains(&code), "{refused}");
    // The other has taken it for some minutes all the same.
    store.time.advance(HOUR / 2);
    assert_eq!(round(&ours).await, 1);
    assert_eq!((mailer.seen().len(), waiting(&store).await), (1, 0));
}

#[tokio::test]
async fn letter_is_sent_once_by_several_servers_and_is_gone_then() {
    let store = Store::new();
    let mailer = Arc::new(Scripted::default());
    let servers: Vec<Delivery> = (0..3).map(|_| delivery(&store.beside(), &mailer)).collect();
    for number in 0..20 {
        let outbox = &servers[number % 3].outbox;
        // The same id twice is one letter.
        for _ in 0..2 {
            outbox.post(&format!("let_{number}"), letter(Subject::AccountExists)).await.unwrap();
        }
    }
    let (first, second, third) = tokio::join!(round(&servers[0]), round(&servers[1]), round(&servers[2]));
    assert_eq!(first + second + third, 20);
    assert_eq!(mailer.seen().len(), 20);
    assert_eq!(waiting(&store).await, 0);
}

#[tokio::test]
async fn letter_is_tried_with_growing_pauses_until_it_is_taken() {
    let store = Store::new();
    let mailer = Arc::new(Scripted::default());
    let delivery = delivery(&store, &mailer);
    delivery.outbox.post("let_1", letter(Subject::AccountExists)).await.unwrap();
    mailer.answer(MailerError::away("busy"), 3);
    for pause in [10, 20, 40] {
        assert_eq!(round(&delivery).await, 1);
        store.time.advance(pause * SECOND - 1);
        assert_eq!(round(&delivery).await, 0, "before {pause} s");
        store.time.advance(1);
    }
    assert_eq!((round(&delivery).await, waiting(&store).await), (1, 0));
    assert_eq!(mailer.seen().len(), 4);
}

#[tokio::test]
async fn letter_that_is_never_taken_is_given_up_with_its_code() {
    let check = async |subject: fn(&Store) -> Subject, error: MailerError, hours: i64, tries: usize| {
        let store = Store::new();
        let mailer = Arc::new(Scripted::default());
        let delivery = delivery(&store, &mailer);
        let subject = subject(&store);
        delivery.outbox.post("let_1", letter(subject.clone())).await.unwrap();
        mailer.answer(error, 1_000);
        for _ in 0..hours * 60 {
            round(&delivery).await;
            store.time.advance(MINUTE);
        }
        assert_eq!((mailer.seen().len(), waiting(&store).await), (tries, 0), "{subject:?}");
    };
    let away = || MailerError::away("nobody is there");
    check(|_| Subject::AccountExists, MailerError::refused("550"), 1, 1).await;
    // Ten tries in an hour and a half, and then one each hour until a day has passed.
    check(|_| Subject::AccountExists, away(), 26, 33).await;
    // A code of an hour is not sent after that.
    let reset =
        |store: &Store| Subject::ResetPassword { code: "c".into(), until: store.time.now().plus(HOUR) };
    check(reset, away(), 2, 9).await;
    let invitation = |store: &Store| Subject::Invitation {
        tenant: "Acme".into(),
        by: "Ada".into(),
        role: "viewer".into(),
        code: "c".into(),
        until: store.time.now().plus(7 * DAY),
    };
    check(invitation, away(), 26, 33).await;
}

/// A server that ends while it sends has its letter sent by another: at least once.
#[tokio::test]
async fn letter_of_a_server_that_ended_is_sent_by_another() {
    let store = Store::new();
    let mailer = Arc::new(Scripted::default());
    let (gone, other) = (delivery(&store.beside(), &mailer), delivery(&store.beside(), &mailer));
    gone.outbox.post("let_1", letter(Subject::AccountExists)).await.unwrap();
    let taken = gone.outbox.take("let_1").await.unwrap().unwrap();
    assert_eq!(round(&other).await, 0);
    store.time.advance(5 * MINUTE);
    assert_eq!((round(&other).await, waiting(&store).await), (1, 0));
    // Should it wake up, nothing comes of it.
    gone.outbox.put_back(taken, store.time.now()).await.unwrap();
    assert_eq!((round(&other).await, waiting(&store).await), (0, 0));
}

#[tokio::test]
async fn letters_wait_while_the_store_is_away() {
    let store = Store::new();
    let mailer = Arc::new(Scripted::default());
    let delivery = delivery(&store, &mailer);
    let outbox = Arc::clone(&delivery.outbox);
    outbox.post("let_1", letter(Subject::AccountExists)).await.unwrap();
    let seen = outbox.posted();
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("what is posted wakes the sender");
    store.watched.set_away(true);
    assert!(delivery.round(&CancellationToken::new()).await.is_err());
    store.watched.set_away(false);
    assert_eq!((round(&delivery).await, mailer.seen().len()), (1, 1));
}
