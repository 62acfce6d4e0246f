//! Who guesses passwords waits, and the owner logs in.

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::SecretBox;
use tollgate::adapters::memory::failures::MemoryFailures;
use tollgate::identity::lockout::{Admission, Lockout};
use tollgate::identity::user::User;
use tollgate::mail::address::Address;
use tollgate::mail::letter::{Letter, Subject};
use tollgate::mail::outbox::Outbox;
use tollgate::tasks::Tasks;
use tollgate::time::{Clock as _, DAY, HOUR, MINUTE, SECOND, Timestamp};

use crate::letters::opened;
use crate::store::Store;

const ADA: &str = "ada@example.com";
/// Who guesses.
const EVE: &str = "198.51.100.7";
/// Where Ada is at home.
const HOME: &str = "2001:db8:1:2::7";

/// A server's lockout, and what it is over.
struct Door {
    store: Store,
    lockout: Lockout,
    tasks: Tasks,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// Its password was looked at.
    Looked,
    /// It was not, and will not be for so many seconds.
    Waits(i64),
}

impl Door {
    fn new() -> Self {
        Self::beside(Store::new())
    }

    /// A server over that store that has counted nothing yet.
    fn beside(store: Store) -> Self {
        let tasks = Tasks::default();
        let secret = SecretBox::new(Box::new([7; 32]));
        let outbox = Arc::new(Outbox::new(&store.documents, &secret, store.clock()));
        let failures = Arc::new(MemoryFailures::default());
        let lockout = Lockout::new(&store.documents, failures, outbox, &secret, store.clock(), &tasks);
        Self { store, lockout, tasks }
    }

    /// The same after its counts were lost.
    fn after_a_flush(self) -> Self {
        Self::beside(self.store)
    }

    fn now(&self) -> Timestamp {
        self.store.time.now()
    }

    async fn admit(&self, account: &str, from: &str) -> Admission {
        self.lockout.admit(account, from.parse::<IpAddr>().unwrap()).await.unwrap()
    }

    async fn wrong(&self, account: &str, from: &str) -> Tried {
        match self.admit(account, from).await {
            Admission::Locked { until } => Tried::Waits((until.since(self.now()) + SECOND - 1) / SECOND),
            Admission::Admitted(attempt) => {
                self.lockout.failed(attempt, (account == ADA).then(ada).as_ref());
                Tried::Looked
            }
        }
    }

    async fn right(&self, account: &str, from: &str) -> bool {
        let Admission::Admitted(attempt) = self.admit(account, from).await else { return false };
        self.lockout.succeeded(attempt).await.unwrap();
        true
    }

    /// The codes of the letters that were posted so far.
    async fn codes(&self) -> Vec<String> {
        self.tasks.stop(std::time::Duration::from_secs(10)).await;
        let code = |letter: Letter| match letter.subject {
            Subject::Locked { code, .. } => code,
            other => panic!("{other:?}"),
        };
        opened(&self.store.documents).await.into_iter().map(code).collect()
    }
}

fn ada() -> User {
    User {
        id: "usr_1".into(),
        name: "Ada".into(),
        address: Address::parse(ADA).unwrap(),
        confirmed_at: None,
        password: String::new(),
        password_at: Timestamp::EPOCH,
        second_factor: None,
        is_suspended: false,
        created_at: Timestamp::EPOCH,
        origin: String::new(),
        deletion: None,
    }
}

fn address(number: usize) -> String {
    format!("203.0.{}.{}", number / 250, number % 250 + 1)
}

/// It looks the same for an address that nobody has.
#[tokio::test]
async fn wrong_passwords_lock_one_account_for_one_network_ever_longer() {
    for account in [ADA, "nobody@example.com"] {
        let door = Door::new();
        for _ in 0..5 {
            assert_eq!(door.wrong(account, EVE).await, Tried::Looked, "{account}");
        }
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            assert_eq!(door.wrong(account, EVE).await, Tried::Waits(wait), "{account}");
            // That it was tried makes it no longer.
            door.store.time.advance(wait * SECOND - 1);
            assert_eq!(door.wrong(account, EVE).await, Tried::Waits(1), "{account}");
            assert!(!door.right(account, EVE).await, "{account}: not even the right one");
            door.store.time.advance(1);
            assert_eq!(door.wrong(account, EVE).await, Tried::Looked, "{account}");
        }
        assert!(door.right(account, HOME).await, "{account}: from elsewhere");
        assert_eq!(door.wrong("bob@example.com", EVE).await, Tried::Looked, "another account");
        assert_eq!(door.wrong(account, EVE).await, Tried::Waits(900), "{account}");
    }
}

#[tokio::test]
async fn right_password_begins_the_row_anew_and_a_try_that_was_not_looked_at_is_none() {
    let door = Door::new();
    for _ in 0..20 {
        for _ in 0..4 {
            assert_eq!(door.wrong(ADA, HOME).await, Tried::Looked);
        }
        assert!(door.right(ADA, HOME).await);
    }
    for _ in 0..200 {
        let Admission::Admitted(attempt) = door.admit("bob@example.com", HOME).await else {
            panic!("it waits")
        };
        door.lockout.withdrawn(attempt).await.unwrap();
    }
    // Also the one that has locked.
    for _ in 0..4 {
        door.wrong("bob@example.com", HOME).await;
    }
    let Admission::Admitted(attempt) = door.admit("bob@example.com", HOME).await else { panic!("it waits") };
    assert_eq!(door.wrong("bob@example.com", HOME).await, Tried::Waits(1));
    door.lockout.withdrawn(attempt).await.unwrap();
    assert_eq!(door.wrong("bob@example.com", HOME).await, Tried::Looked);
    assert_eq!(door.wrong("bob@example.com", HOME).await, Tried::Waits(1));
}

/// Many at once are no way round: what is looked at is what would be, one after the other.
#[tokio::test]
async fn tries_at_the_same_time_are_counted_before_they_are_looked_at() {
    let door = Door::new();
    for (second, expected) in [(0, 5), (1, 1), (2, 0), (3, 1)] {
        door.store.time.set(Timestamp::from_micros(1_773_964_800_000_000 + second * SECOND));
        let tries = (0..50).map(|_| door.wrong(ADA, EVE));
        let looked = futures_util::future::join_all(tries).await;
        let looked = looked.iter().filter(|tried| **tried == Tried::Looked).count();
        assert_eq!(looked, expected, "after {second} s");
    }
}

#[tokio::test]
async fn one_network_and_many_accounts_is_slowed_down_as_a_network() {
    let door = Door::new();
    let mut looked = 0;
    for number in 0..1_000 {
        looked += usize::from(door.wrong(&format!("user{number}@example.com"), EVE).await == Tried::Looked);
        door.store.time.advance(SECOND / 10);
    }
    assert_eq!(looked, 100);
    assert!(!door.right("ada@example.com", EVE).await);
    assert!(door.right("ada@example.com", HOME).await, "from elsewhere");
    // A /64 is one network.
    for number in 0..100 {
        door.wrong(&format!("user{number}@example.com"), &format!("2001:db8:9:9::{number:x}")).await;
    }
    assert!(matches!(door.wrong("x@example.com", "2001:db8:9:9:ffff::1").await, Tried::Waits(_)));
    assert_eq!(door.wrong("x@example.com", "2001:db8:9:a::1").await, Tried::Looked);
    door.store.time.advance(10 * MINUTE);
    assert_eq!(door.wrong("x@example.com", EVE).await, Tried::Looked, "ten minutes later");
    // Those who log in count for nothing.
    for number in 0..300 {
        assert!(door.right(&format!("user{number}@example.com"), "192.0.2.1").await, "{number}");
    }
}

/// A thousand networks, a try each five seconds, for six hours: never more than a hundred in an hour, never none in one.
#[tokio::test]
async fn many_networks_and_one_account_are_slowed_down_and_the_owner_is_not() {
    let door = Door::new();
    assert!(door.right(ADA, HOME).await);
    let mut looked: Vec<i64> = Vec::new();
    let began = door.now();
    for number in 0..6 * 60 * 12 {
        if door.wrong(ADA, &address(number % 1_000)).await == Tried::Looked {
            looked.push(door.now().since(began));
        }
        if number % 360 == 359 {
            assert_eq!(door.wrong(ADA, HOME).await, Tried::Looked, "the owner mistypes");
            assert!(door.right(ADA, HOME).await, "and logs in");
        }
        door.store.time.advance(5 * SECOND);
    }
    let in_hour = |from: i64| looked.iter().filter(|at| (from..from + HOUR).contains(*at)).count();
    for from in &looked {
        assert!(in_hour(*from) < 100, "{} in the hour from {from}", in_hour(*from));
    }
    for hour in 0..6 {
        assert!(in_hour(hour * HOUR) > 30, "{} in the hour {hour}", in_hour(hour * HOUR));
    }
    // A month later that network is as good as any.
    door.store.time.advance(30 * DAY);
    for number in 0..40 {
        door.wrong(ADA, &address(number)).await;
    }
    assert!(!door.right(ADA, HOME).await);
}

/// Losing the counts unlocks nobody, in no rule.
#[tokio::test]
async fn lock_survives_the_loss_of_the_counts() {
    let mut door = Door::new();
    for _ in 0..8 {
        door.wrong(ADA, EVE).await;
        door.store.time.advance(5 * SECOND);
    }
    assert_eq!(door.wrong(ADA, EVE).await, Tried::Waits(3));
    door = door.after_a_flush();
    assert_eq!(door.wrong(ADA, EVE).await, Tried::Waits(3));
    door.store.time.advance(3 * SECOND);
    assert_eq!(door.wrong(ADA, EVE).await, Tried::Looked);
    assert_eq!(door.wrong(ADA, EVE).await, Tried::Waits(16), "and it grows from where it was");

    for number in 0..200 {
        door.wrong(&format!("user{number}@example.com"), "192.0.2.9").await;
    }
    for number in 0..40 {
        door.wrong("bob@example.com", &address(number)).await;
    }
    for number in 0..7 {
        door.store.time.advance(MINUTE);
        assert_eq!(door.wrong("bob@example.com", &address(100 + number)).await, Tried::Looked, "{number}");
    }
    let before =
        (door.wrong("x@example.com", "192.0.2.9").await, door.wrong("bob@example.com", &address(90)).await);
    door = door.after_a_flush();
    let after =
        (door.wrong("x@example.com", "192.0.2.9").await, door.wrong("bob@example.com", &address(90)).await);
    assert_eq!(before, after);
    assert!(matches!(before, (Tried::Waits(_), Tried::Waits(_))), "{before:?}");
}

#[tokio::test]
async fn owner_is_told_of_the_first_long_wait_though_looking_at_the_password_took_some_of_it() {
    let door = Door::new();
    for number in 0..25 {
        let Admission::Admitted(attempt) = door.admit(ADA, &address(number)).await else {
            panic!("{number}")
        };
        door.store.time.advance(SECOND / 10);
        door.lockout.failed(attempt, Some(&ada()));
    }
    assert_eq!(door.codes().await.len(), 1);
}

#[tokio::test]
async fn owner_is_told_of_a_long_wait_once_an_hour_and_the_code_opens_once() {
    let door = Door::new();
    for _ in 0..12 {
        while door.wrong(ADA, EVE).await != Tried::Looked {
            door.store.time.advance(SECOND);
        }
    }
    for number in 0..40 {
        door.wrong(ADA, &address(number)).await;
        door.wrong("nobody@example.com", &address(number)).await;
    }
    let codes = door.codes().await;
    let [code] = codes.as_slice() else { panic!("{} letters", codes.len()) };
    let new = "192.0.2.77";
    assert!(matches!(door.wrong(ADA, new).await, Tried::Waits(_)));
    for wrong in ["", "x", &format!("{code}x"), &code.to_ascii_lowercase()] {
        assert!(!door.lockout.unlock_with_code(wrong, new.parse().unwrap()).await.unwrap(), "{wrong}");
    }
    assert!(door.lockout.unlock_with_code(code, new.parse().unwrap()).await.unwrap());
    assert!(!door.lockout.unlock_with_code(code, new.parse().unwrap()).await.unwrap(), "used twice");
    assert_eq!(door.wrong(ADA, EVE).await, Tried::Looked);
    // Whoever used it is not held up by those who go on.
    for number in 0..40 {
        door.wrong(ADA, &address(number)).await;
    }
    assert!(door.right(ADA, new).await);

    let door = Door::beside(door.store);
    for number in 100..140 {
        door.wrong(ADA, &address(number)).await;
    }
    assert_eq!(door.codes().await.len(), 1, "within the hour");
    let door = Door::beside(door.store);
    door.store.time.advance(HOUR);
    for number in 200..240 {
        door.wrong(ADA, &address(number)).await;
    }
    let codes = door.codes().await;
    assert_eq!(codes.len(), 2);
    door.store.time.advance(HOUR);
    for code in codes {
        assert!(!door.lockout.unlock_with_code(&code, new.parse().unwrap()).await.unwrap(), "an hour later");
    }
}

#[tokio::test]
async fn administrator_opens_an_account_and_what_says_nothing_is_forgotten() {
    let door = Door::new();
    for number in 0..40 {
        door.wrong(ADA, &address(number)).await;
    }
    for _ in 0..8 {
        door.wrong(ADA, EVE).await;
        door.wrong("bob@example.com", EVE).await;
    }
    assert!(matches!(door.wrong(ADA, HOME).await, Tried::Waits(_)));
    door.lockout.unlock(ADA).await.unwrap();
    for _ in 0..5 {
        assert_eq!(door.wrong(ADA, EVE).await, Tried::Looked);
    }
    assert_eq!(door.wrong(ADA, EVE).await, Tried::Waits(1), "it counts from the beginning");
    assert_eq!(door.wrong("bob@example.com", EVE).await, Tried::Waits(1), "another account stays as it was");
    assert!(door.right("carol@example.com", HOME).await);
    door.tasks.stop(std::time::Duration::from_secs(10)).await;
    let purge = async || {
        let mut purged = 0;
        while let more @ 1.. = door.lockout.purge(2).await.unwrap() {
            purged += more;
        }
        purged
    };
    assert_eq!(purge().await, 0);
    // The locks of both, and the letter; a known network stays for a month.
    door.store.time.advance(2 * DAY);
    assert_eq!(purge().await, 3);
    door.store.time.advance(29 * DAY);
    assert_eq!(purge().await, 1);
}
