//! Logins in numbers: what time tells of an address, and what a flood of them does to others.
//!
//! `TOLLGATE_LOGIN_SECONDS` is how long the flood goes on, with 200 logins of each kind before it; without it, a moment and a
//! few, of which nothing is asserted but that all are answered. One network has a hundred wrong passwords at most, and one
//! account five: so a program is asked for eighty, of eight accounts, and the next one goes on.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tollgate::adapters::sqlite::documents::SqliteDocuments;
use tollgate::adapters::sqlite::ledger;
use tollgate::identity::hasher::{Cost, Hasher};
use tollgate::identity::password::Password;
use tollgate::identity::user::User;
use tollgate::mail::address::Address;
use tollgate::store::Documents;
use tollgate::store::records::Records;
use tollgate::time::{Clock as _, SystemClock};
use tollgate_client::{Client, v1};
use tonic::{Code, Status};

use crate::accounts::people::{PASSWORD, address};
use crate::attacks::call_for;
use crate::program::{Program, free_address, operator, ready, tollgate};

const MOMENT: Duration = Duration::from_millis(300);
/// Programs that are asked in turn, each for so many logins of each kind.
const PROGRAMS: usize = 5;
const TRIES: usize = ACCOUNTS * TRIES_EACH;
const ACCOUNTS: usize = 8;
const TRIES_EACH: usize = 5;
const CALLERS: usize = 4;
/// A thousand logins a second.
const INTERVAL: Duration = Duration::from_millis(1);
/// The two means may differ by so much.
const DIFFERENCE_MAX: f64 = 0.10;
/// The flood may make the p99 of others so many times what it is.
const RATIO_MAX: f64 = 2.0;

/// People with a hash of the cost that the program has where nobody says.
async fn settle(data: &std::path::Path) {
    let number = |number| NonZeroU32::new(number).unwrap();
    let hasher =
        Hasher::new(Cost { memory_kib: number(19_456), passes: number(2), lanes: number(1) }, 1).unwrap();
    let password = Password::given(&SecretString::from(PASSWORD)).unwrap();
    let (now, hash) = (SystemClock.now(), hasher.hash(password).await.unwrap());
    let documents = SqliteDocuments::new(&ledger::open(&data.join("ledger.db")).unwrap());
    let users = Records::new(Arc::new(documents) as Arc<dyn Documents>);
    for number in 0..ACCOUNTS {
        let user = User {
            id: format!("usr_known{number}"),
            name: String::from("known"),
            address: Address::parse(&address(&format!("known-{number}"))).unwrap(),
            confirmed_at: Some(now),
            password: hash.clone(),
            password_at: now,
            second_factor: None,
            is_suspended: false,
            created_at: now,
            origin: format!("known-{number}"),
            deletion: None,
        };
        users.insert(&user).await.unwrap();
    }
}

async fn try_login(client: &Client, name: &str) -> Status {
    let request = v1::LoginRequest {
        address: address(name),
        password: String::from("a horse that is another"),
        ..v1::LoginRequest::default()
    };
    client.auth().login(request).await.unwrap_err()
}

/// Adds the times of logins of addresses that are known and of some that are not, in turns.
async fn compare(client: &Client, sums: &mut [Duration; 2]) {
    for number in 0..TRIES {
        for (sum, name) in sums.iter_mut().zip(["known", "nobody"]) {
            let asked = Instant::now();
            let name = format!("{name}-{}", number % ACCOUNTS);
            assert_eq!(try_login(client, &name).await.code(), Code::Unauthenticated);
            *sum += asked.elapsed();
        }
    }
}

/// The p99 of calls that others make for that long.
async fn p99(address: SocketAddr, key: &str, time: Duration) -> Duration {
    let callers = (0..CALLERS).map(|_| {
        let client = Client::builder().endpoint(format!("http://{address}")).api_key(key).tenant("");
        tokio::task::spawn(call_for(client.build().unwrap(), time))
    });
    let mut times = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        times.extend(caller.await.unwrap());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// A thousand logins a second for that long; how many were hashed, and how many told to come back.
async fn flood(client: &Client, time: Duration) -> [usize; 2] {
    let (mut ticks, began, mut number) = (tokio::time::interval(INTERVAL), Instant::now(), 0);
    let mut logins = tokio::task::JoinSet::new();
    while began.elapsed() < time {
        ticks.tick().await;
        let client = client.clone();
        number += 1;
        logins.spawn(async move { try_login(&client, &format!("flooded-{number}")).await });
    }
    let mut answers = [0; 2];
    while let Some(answer) = logins.join_next().await {
        match answer.unwrap() {
            status if status.code() == Code::Unauthenticated => answers[0] += 1,
            status if status.code() == Code::ResourceExhausted => answers[1] += 1,
            status => panic!("{status:?}"),
        }
    }
    answers
}

async fn key(address: SocketAddr) -> String {
    let tenant = v1::CreateTenantRequest {
        tenant_id: "acme".into(),
        name: "Acme".into(),
        plan: "enterprise".into(),
        ..v1::CreateTenantRequest::default()
    };
    operator(address).admin().create_tenant(tenant).await.unwrap();
    let key = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::Tenant.into(),
        tenant_id: "acme".into(),
        name: "test".into(),
        ..v1::CreateApiKeyRequest::default()
    };
    operator(address).auth().create_api_key(key).await.unwrap().into_inner().secret
}

/// A program on a directory of its own, with people.
struct Town {
    program: Program,
    address: SocketAddr,
    _data: tempfile::TempDir,
}

impl Town {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let address = free_address();
        let program = Program::spawn(tollgate(&["--listen", &address.to_string()], data.path()));
        ready(address).await;
        settle(data.path()).await;
        Self { program, address, _data: data }
    }

    async fn end(self) {
        self.program.terminate();
        let ended = self.program.ended().await;
        assert!(ended.status.success() && !ended.stderr.contains("panicked"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("a horse that"), "the log has a password");
    }
}

fn seconds() -> Option<u64> {
    std::env::var("TOLLGATE_LOGIN_SECONDS").ok().map(|seconds| seconds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
async fn time_tells_no_address() {
    let programs = if seconds().is_some() { PROGRAMS } else { 1 };
    let mut sums = [Duration::ZERO; 2];
    for _ in 0..programs {
        let town = Town::start().await;
        compare(&operator(town.address), &mut sums).await;
        town.end().await;
    }
    let tries = programs * TRIES;
    let [known, unknown] = sums.map(|sum| sum / u32::try_from(tries).unwrap());
    let difference = (known.as_secs_f64() / unknown.as_secs_f64() - 1.0).abs();
    println!(
        "{tries} logins each: known {known:.2?}, unknown {unknown:.2?}, {:.1} % apart",
        difference * 100.0
    );
    assert!(seconds().is_none() || difference <= DIFFERENCE_MAX, "{difference}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
async fn a_flood_of_logins_harms_nobody_else() {
    let time = seconds().map_or(MOMENT, Duration::from_secs);
    let town = Town::start().await;
    let (address, client) = (town.address, operator(town.address));
    let key = key(address).await;
    p99(address, &key, MOMENT).await;
    let quiet = p99(address, &key, time).await;
    let ([hashed, refused], then) = tokio::join!(flood(&client, time), p99(address, &key, time));
    let ratio = then.as_secs_f64() / quiet.as_secs_f64();
    println!(
        "{hashed} logins hashed, {refused} told to come back: p99 of Check {quiet:.2?} quiet, {then:.2?} then, ×{ratio:.1}"
    );
    town.end().await;
    assert!(hashed > 0);
    assert!(seconds().is_none() || (refused > 0 && ratio <= RATIO_MAX), "×{ratio}");
}
