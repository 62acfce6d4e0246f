//! Fifty callers at once on a limit of five: exactly five pass, whatever kind of limit it is.

use futures_util::future::join_all;
use tollgate_client::v1::{
    Decision, DenialReason, LimitKind, PlanSpec, PriceRule, Quota, ReserveRequest, TrackRequest, UsageEvent,
};

use crate::connection::Connection;
use crate::evidence;
use crate::server::Server;
use crate::tenants::{publish, rate, subscribe};

const CALLERS: usize = 50;
const LIMIT: i64 = 5;
const CREDIT: i64 = 1_000_000;
/// The longest window that a plan may have: no window ends while the test runs.
const DAYS_31: i64 = 31 * 86_400;

/// What a crowd does: the tenant, its plan, and what the last 45 are told.
struct Crowd {
    name: &'static str,
    spec: PlanSpec,
    refusal: DenialReason,
    /// Micro-credits to hold; `None`: the calls are tracked.
    hold_micros: Option<i64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_five_of_fifty_pass_a_limit_of_five() {
    let mut server = Server::new();
    server.start(None).await;
    exactly_five_pass(server.connection(), server.connection()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_of_fifty_callers_counts_once() {
    let mut server = Server::new();
    server.start(None).await;
    one_event_counts_once(server.connection(), server.connection()).await;
}

/// Makes each kind of limit by `one` server, and sends its crowd to `all`.
pub(crate) async fn exactly_five_pass(one: &Connection, all: &Connection) {
    for crowd in crowds() {
        publish(one, crowd.name, crowd.spec.clone()).await.unwrap();
        subscribe(one, crowd.name, crowd.name).await.unwrap();
        let calls = (0..CALLERS).map(|caller| decide(all, &crowd, caller));
        let answers = join_all(calls).await;
        let passed = answers.iter().filter(|(decision, _)| *decision == Decision::Allowed).count();
        assert_eq!(i64::try_from(passed).unwrap(), LIMIT, "through `{}`: {answers:?}", crowd.name);
        let refused = answers.iter().filter(|answer| **answer == (Decision::Denied, crowd.refusal)).count();
        assert_eq!(passed + refused, CALLERS, "at `{}`: {answers:?}", crowd.name);

        let usage = evidence::usage(all, crowd.name, Default::default(), None).await.unwrap();
        assert_eq!(usage.totals.unwrap().calls, LIMIT, "counted at `{}`", crowd.name);
    }
}

/// Sends one event fifty times at once.
pub(crate) async fn one_event_counts_once(one: &Connection, all: &Connection) {
    publish(one, "one", by_quota()).await.unwrap();
    subscribe(one, "one", "one").await.unwrap();

    let answers = join_all((0..CALLERS).map(|_| async {
        let request = track_request("one", 0);
        all.tracking().track(all.ask(request)).await.unwrap().into_inner()
    }));
    let answers = answers.await;
    let first = answers.iter().filter(|answer| !answer.replayed).count();
    assert_eq!(first, 1, "{answers:?}");
    assert!(answers.iter().all(|it| it.verdict.as_ref().unwrap().decision() == Decision::Allowed));
    let limits = evidence::limits(all, "one").await.unwrap();
    assert_eq!(limits.limits[0].remaining, Some(LIMIT - 1));
    let usage = evidence::usage(all, "one", Default::default(), None).await.unwrap();
    assert_eq!(usage.totals.unwrap().calls, 1);
}

fn crowds() -> Vec<Crowd> {
    let windowed = |name, kind, seconds, burst| Crowd {
        name,
        spec: PlanSpec { rate_limits: vec![rate("five", kind, LIMIT, seconds, burst)], ..Default::default() },
        refusal: DenialReason::RateLimited,
        hold_micros: None,
    };
    let paid = |name, hold_micros| Crowd {
        name,
        spec: PlanSpec {
            credits_per_period_micros: LIMIT * CREDIT,
            prices: vec![PriceRule { credits_micros: CREDIT, ..Default::default() }],
            ..Default::default()
        },
        refusal: DenialReason::CreditsExhausted,
        hold_micros,
    };
    vec![
        windowed("sliding", LimitKind::SlidingWindow, 3_600, 0),
        windowed("fixed", LimitKind::FixedWindow, DAYS_31, 0),
        windowed("bucket", LimitKind::TokenBucket, DAYS_31, 0),
        Crowd { name: "quota", spec: by_quota(), refusal: DenialReason::QuotaExceeded, hold_micros: None },
        paid("credits", None),
        paid("holds", Some(CREDIT)),
    ]
}

fn by_quota() -> PlanSpec {
    let quota = Quota { name: "month".to_owned(), limit: Some(LIMIT), ..Default::default() };
    PlanSpec { quotas: vec![quota], ..Default::default() }
}

fn track_request(tenant: &str, number: usize) -> TrackRequest {
    let event = UsageEvent {
        id: format!("event-{number}"),
        service: "web".to_owned(),
        endpoint: "/search".to_owned(),
        ..Default::default()
    };
    TrackRequest { event: Some(event), tenant_id: tenant.to_owned(), ..Default::default() }
}

async fn decide(connection: &Connection, crowd: &Crowd, caller: usize) -> (Decision, DenialReason) {
    let request = track_request(crowd.name, caller);
    let verdict = match crowd.hold_micros {
        None => connection.tracking().track(connection.ask(request)).await.unwrap().into_inner().verdict,
        Some(credits_micros) => {
            let request = ReserveRequest {
                event: request.event,
                tenant_id: request.tenant_id,
                credits_micros,
                ..Default::default()
            };
            connection.tracking().reserve(connection.ask(request)).await.unwrap().into_inner().verdict
        }
    };
    let verdict = verdict.unwrap();
    (verdict.decision(), verdict.reason())
}
