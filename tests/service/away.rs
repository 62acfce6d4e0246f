//! Counters that are away: each limit does what its plan says of it; what was decided so is marked, and charged afterwards.

use std::time::{Duration, Instant};

use test_servers::Redis;
use tollgate_client::{Client, v1};

use crate::program::operator;
use crate::telemetry::{ended, server, with_tenant};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
/// What each limit of the plan allows.
const LIMIT: i64 = 4;
/// How many calls are tried: more than any limit allows.
const TRIED: usize = 6;

fn rate(name: &str, fails: v1::FailPolicy) -> v1::RateLimit {
    v1::RateLimit {
        name: name.to_owned(),
        kind: v1::LimitKind::SlidingWindow.into(),
        limit: LIMIT,
        window: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        endpoints: format!("/{name}"),
        fail_policy: fails.into(),
        ..Default::default()
    }
}

/// Each limit has an endpoint of its own, of its name; that of the credits is `/credits`.
fn plan() -> v1::PlanSpec {
    use v1::FailPolicy::{Closed, Local, Open, Unspecified};
    let rates = [("open", Open), ("closed", Closed), ("local", Local), ("unsaid", Unspecified)];
    let quota = v1::Quota {
        name: "month".into(),
        limit: Some(LIMIT),
        endpoints: "/month".into(),
        fail_policy: Open.into(),
        ..Default::default()
    };
    let price = v1::PriceRule { endpoints: "/credits".into(), credits_micros: 1, ..v1::PriceRule::default() };
    v1::PlanSpec {
        rate_limits: rates.map(|(name, fails)| rate(name, fails)).into(),
        quotas: vec![quota],
        prices: vec![price],
        overage_max_micros: LIMIT,
        credits_fail_policy: Local.into(),
        ..Default::default()
    }
}

async fn on_that_plan(operator: &Client) {
    with_tenant(operator).await;
    let plan = v1::CreatePlanRequest {
        slug: "fails".into(),
        name: "Fails".into(),
        spec: Some(plan()),
        ..Default::default()
    };
    operator.plans().create_plan(plan).await.unwrap();
    let publish = v1::PublishPlanVersionRequest { plan: "fails".into(), version: 1 };
    operator.plans().publish_plan_version(publish).await.unwrap();
    let change = v1::ChangeSubscriptionRequest {
        tenant_id: "acme".into(),
        plan: "fails".into(),
        ..Default::default()
    };
    operator.plans().change_subscription(change).await.unwrap();
}

fn call(limit: &str) -> v1::UsageEvent {
    v1::UsageEvent { service: "search".into(), endpoint: format!("/{limit}"), ..Default::default() }
}

async fn track(operator: &Client, limit: &str) -> v1::Verdict {
    let request =
        v1::TrackRequest { tenant_id: "acme".into(), event: Some(call(limit)), ..Default::default() };
    operator.track().track(request).await.unwrap().into_inner().verdict.unwrap()
}

/// How many calls pass that a limit counts; of the others it says that it refused them.
async fn passes(operator: &Client, limit: &str) -> usize {
    let mut passed = 0;
    for _ in 0..TRIED {
        let verdict = track(operator, limit).await;
        if verdict.decision() == v1::Decision::Allowed {
            passed += 1;
        } else {
            assert_eq!(verdict.denied_by, limit);
        }
    }
    passed
}

/// What was decided without the counters, as the ledger says it: first what passed.
async fn degraded(operator: &Client) -> Vec<v1::Decision> {
    let request = v1::ListEventsRequest {
        tenant_id: "acme".into(),
        freshness: v1::Freshness::Fresh.into(),
        ..v1::ListEventsRequest::default()
    };
    let denied = v1::ListEventsRequest { selection: v1::EventSelection::Refusals.into(), ..request.clone() };
    let mut found = Vec::new();
    for request in [request, denied] {
        let events = operator.track().list_events(request).await.unwrap().into_inner().events;
        found.extend(events.iter().filter(|event| event.degraded).map(v1::LedgerEvent::decision));
    }
    found
}

/// Waits until the counters decide again: alone, a server lets nothing pass there.
async fn back(operator: &Client) {
    let since = Instant::now();
    let check = v1::CheckRequest {
        tenant_id: "acme".into(),
        event: Some(call("closed")),
        ..v1::CheckRequest::default()
    };
    loop {
        let verdict = operator.track().check(check.clone()).await.unwrap().into_inner().verdict.unwrap();
        if verdict.decision() == v1::Decision::Allowed {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "the counters are not asked again");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn each_limit_fails_as_its_plan_says_and_what_passed_is_charged_afterwards() {
    let Some(mut redis) = Redis::start() else { return };
    let data = tempfile::tempdir().unwrap();
    let url = redis.url();
    let variables = [
        ("TOLLGATE_REDIS_URL", url.as_str()),
        // Only a server that is not there is away, however busy this machine is.
        ("TOLLGATE_REDIS_TIMEOUT_MS", "5000"),
        ("TOLLGATE_REDIS_REPLICAS", "2"),
        ("TOLLGATE_REDIS_LIMITS_FAIL", "closed"),
    ];
    let (program, address) = server(&data, &variables).await;
    let operator = operator(address);
    on_that_plan(&operator).await;
    let limits = ["open", "closed", "local", "unsaid", "month", "credits"];
    for limit in limits {
        assert_eq!(track(&operator, limit).await.decision(), v1::Decision::Allowed, "{limit}");
    }

    assert_eq!(degraded(&operator).await, [], "the counters are there");

    redis.kill();
    for (limit, expected) in limits.into_iter().zip([TRIED, 0, 2, 0, TRIED, 2]) {
        assert_eq!(passes(&operator, limit).await, expected, "{limit}");
    }
    let (allowed, denied) = (TRIED + 2 + TRIED + 2, 2 * TRIED + 4 + 4);
    let decided = [vec![v1::Decision::Allowed; allowed], vec![v1::Decision::Denied; denied]].concat();
    assert_eq!(degraded(&operator).await, decided);

    redis.restart();
    back(&operator).await;
    for (limit, expected) in [("closed", 3), ("local", 1), ("unsaid", 3), ("month", 0), ("credits", 1)] {
        assert_eq!(passes(&operator, limit).await, expected, "{limit}");
    }
    assert_eq!(degraded(&operator).await, decided, "no more of them");
    ended(program).await;
}
