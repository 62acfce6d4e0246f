//! I11: what one replica takes from a caller is refused by all of them within five seconds: a key, a session, a role.

mod person;

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use tollgate_client::v1::{
    ChangeMemberRoleRequest, CheckRequest, CreateApiKeyRequest, EndSessionRequest, LogoutRequest,
    RevokeApiKeyRequest, TrackRequest, UsageEvent,
};
use tonic::Code;

use self::person::Person;
use super::{Fleet, REPLICAS, Setup, cycles};
use crate::connection::Connection;
use crate::say;
use crate::tenants::{open, publish, subscribe};

const TENANT: &str = "revoked";
/// The tenant whose calls are the load.
const BUSY: &str = "busy";
/// What is promised while the store can be reached.
const PROMISED: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// People from whom something is taken at once.
const PEOPLE: usize = 8;
/// Callers that track meanwhile, one call after the other.
const CALLERS: usize = 8;

/// Who may call, and who may not with what is taken away.
const MAY: &str = "developer";
const MAY_NOT: &str = "viewer";

/// What is taken from somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Key,
    /// A session by itself.
    Logout,
    /// A session by another one of the same person.
    EndSession,
    /// The role of which somebody may call.
    Role,
}

impl Taken {
    const ALL: [Self; 4] = [Self::Key, Self::Logout, Self::EndSession, Self::Role];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_under_load_is_refused_by_every_replica_within_five_seconds() {
    let Some(fleet) = Fleet::start(Setup::CALM).await else { return };
    let replicas = fleet.each();
    publish(&replicas[0], "open", open()).await.unwrap();
    for tenant in [TENANT, BUSY] {
        subscribe(&replicas[0], tenant, "open").await.unwrap();
    }
    let people = join_all((0..PEOPLE).map(|number| Person::join(&fleet, TENANT, number, MAY))).await;

    let is_over = Cell::new(false);
    let taking = async {
        let taken = join_all(people.iter().map(|person| take_again_and_again(person, &replicas))).await;
        is_over.set(true);
        taken.concat()
    };
    let all = fleet.all();
    let began = Instant::now();
    let (taken, calls) = join(taking, join_all((0..CALLERS).map(|_| track(&all, &is_over)))).await;
    let seconds = began.elapsed().as_secs().max(1);
    say(&format!("meanwhile {} calls a second were tracked", calls.iter().sum::<u64>() / seconds));
    for kind in Taken::ALL {
        tell(&format!("{kind:?}"), taken.iter().filter(|(other, _)| *other == kind).map(|(_, time)| *time));
    }
    tell("all", taken.iter().map(|(_, time)| *time));
    for (kind, time) in taken {
        assert!(time <= PROMISED, "{kind:?} was good for {time:?} after it was taken");
    }
}

/// How long it took until all refused.
fn tell(name: &str, times: impl Iterator<Item = Duration>) {
    let mut times: Vec<_> = times.collect();
    times.sort();
    let p99 = times[(times.len() * 99).div_ceil(100) - 1];
    let most = times.last().expect("something was taken");
    say(&format!(
        "{name}: {} taken, refused by all {REPLICAS} replicas: p99 {p99:?}, at most {most:?}",
        times.len()
    ));
}

/// Tracks calls until it is over; answers how many were kept.
async fn track(all: &Connection, is_over: &Cell<bool>) -> u64 {
    let mut kept = 0;
    while !is_over.get() {
        let event = Some(event());
        let request = TrackRequest { event, tenant_id: BUSY.to_owned(), ..Default::default() };
        kept += u64::from(all.tracking().track(all.ask(request)).await.is_ok());
    }
    kept
}

/// Takes something of each kind, by each replica in turn; answers how long it took until all refused.
async fn take_again_and_again(person: &Person, replicas: &[Connection]) -> Vec<(Taken, Duration)> {
    let mut times = Vec::new();
    let mut turns = replicas.iter().cycle().skip(person.number);
    for _ in 0..cycles() {
        for kind in Taken::ALL {
            let by = turns.next().expect("turns do not end");
            times.push((kind, take(kind, person, by, replicas).await));
        }
    }
    times
}

async fn take(kind: Taken, person: &Person, by: &Connection, replicas: &[Connection]) -> Duration {
    let (id, credential) = match kind {
        Taken::Key => key(by).await,
        Taken::Logout | Taken::EndSession | Taken::Role => person.log_in(by).await,
    };
    let everywhere: Vec<_> = replicas.iter().map(|replica| replica.with_credential(&credential)).collect();
    // Each replica knows the credential, and would remember it.
    join_all(everywhere.iter().map(|replica| until(replica, Answer::Passes))).await;
    match kind {
        Taken::Key => drop(by.auth().revoke_api_key(by.ask(RevokeApiKeyRequest { id })).await.unwrap()),
        Taken::Logout => {
            let own = by.with_credential(&credential);
            own.auth().logout(own.ask(LogoutRequest { all: false })).await.unwrap();
        }
        Taken::EndSession => {
            let other = by.with_credential(&person.log_in(by).await.1);
            other.auth().end_session(other.ask(EndSessionRequest { id })).await.unwrap();
        }
        Taken::Role => give_role(by, person, MAY_NOT).await,
    }
    let since = Instant::now();
    join_all(everywhere.iter().map(|replica| until(replica, Answer::IsRefused))).await;
    let took = since.elapsed();
    if kind == Taken::Role {
        give_role(by, person, MAY).await;
        join_all(everywhere.iter().map(|replica| until(replica, Answer::Passes))).await;
    }
    took
}

async fn give_role(by: &Connection, person: &Person, role: &str) {
    let (tenant_id, user_id, role) = (TENANT.to_owned(), person.id.clone(), role.to_owned());
    let change = ChangeMemberRoleRequest { tenant_id, user_id, role };
    by.auth().change_member_role(by.ask(change)).await.unwrap();
}

/// Id and secret of a new key.
async fn key(by: &Connection) -> (String, String) {
    let (tenant_id, name) = (TENANT.to_owned(), "to be revoked".to_owned());
    let request = CreateApiKeyRequest { tenant_id, name, ..Default::default() };
    let made = by.auth().create_api_key(by.ask(request)).await.unwrap().into_inner();
    (made.api_key.unwrap().id, made.secret)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Passes,
    IsRefused,
}

/// Asks until that is the answer; for twice as long as is promised, so that the failure says how long it took.
async fn until(replica: &Connection, wanted: Answer) {
    let since = Instant::now();
    loop {
        let request = CheckRequest { event: Some(event()), ..Default::default() };
        let answer =
            match replica.tracking().check(replica.ask(request)).await.map_err(|status| status.code()) {
                Ok(_) => Answer::Passes,
                Err(Code::Unauthenticated | Code::PermissionDenied) => Answer::IsRefused,
                Err(code) => panic!("{code:?}"),
            };
        if answer == wanted {
            return;
        }
        assert!(since.elapsed() < 2 * PROMISED, "no end of it in {:?}", since.elapsed());
        tokio::time::sleep(POLL).await;
    }
}

fn event() -> UsageEvent {
    UsageEvent { service: "web".to_owned(), endpoint: "/notes".to_owned(), ..Default::default() }
}
