//! The arithmetic of the verdict on logs made by hand: each kind of lie is found, and the truth is not accused.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use tollgate_client::v1::{
    Completion, CounterChange, Decision, DenialReason, Grant, GrantBurn, LedgerEvent, LimitKind, LimitState,
    PlanSpec, PriceRule, Quota, TrackMode, UsageEvent, UsageRow, UsageTotals, Wallet,
};

use crate::evidence::{Evidence, TenantEvidence, dimensions};
use crate::history::{
    Answer, Call, CompletionSent, End, EndAnswer, EndKind, Ending, GrantAnswer, GrantSent, History, Kept,
    Name, Span, Way,
};
use crate::verdict::{Promise, Verdict};
use crate::workload::rate;

const TENANT: &str = "acme";
const PRICE: i64 = 5;

/// A history and the ledger that belongs to it.
#[derive(Clone, Default)]
struct Case {
    history: History,
    events: Vec<LedgerEvent>,
    /// Changes what the ledger says after the events were summed up.
    lie: Option<fn(&mut TenantEvidence)>,
}

impl Case {
    /// `one` and `two` were acknowledged, `three` was refused; a grant of 100 was given.
    fn honest() -> Self {
        let mut case = Self::default();
        case.sent("one", allowed(false));
        case.sent("two", allowed(false));
        case.sent("three", Answer::Denied(DenialReason::QuotaExceeded));
        case.events = vec![kept("one", 0), kept("two", 1)];
        let grant = GrantSent { credits_micros: 100, answer: GrantAnswer::Granted { id: "g".to_owned() } };
        case.history.grants.insert(Name::new(TENANT, "grant"), vec![grant]);
        case
    }

    fn sent(&mut self, id: &str, answer: Answer) {
        let span = Span { began: self.history.tick(), ended: self.history.tick() };
        let call = Call { span, event: event(id), way: Way::Decide, answer };
        self.history.calls.entry(Name::new(TENANT, id)).or_default().push(call);
    }

    fn verdict(&self) -> Verdict {
        let count = i64::try_from(self.events.len()).unwrap();
        let charged: i64 = self.events.iter().map(|event| event.credits_charged_micros).sum();
        let totals =
            UsageTotals { calls: count, units: count, credits_micros: charged, ..Default::default() };
        let row = |value: &str| UsageRow {
            start: Some(Timestamp::default()),
            value: value.to_owned(),
            totals: Some(totals.clone()),
        };
        let by_value = |name: &str| match name {
            "Service" => vec![row("web")],
            "Endpoint" => vec![row("/search")],
            "StatusCode" => vec![row("0")],
            _ => vec![row("")],
        };
        let by_dimension = dimensions().into_iter().map(|dimension| {
            let rows = by_value(&format!("{:?}", dimension.dimension()));
            (dimension, rows)
        });
        let left = 100 - charged;
        let mut has = TenantEvidence {
            spec: spec(),
            period_start: 0,
            events: self.events.clone(),
            totals: totals.clone(),
            minutes: vec![row("")],
            hours: vec![row("")],
            days: vec![row("")],
            dimensions: by_dimension.collect(),
            wallet: Wallet {
                balance_micros: left,
                granted_micros: 100,
                debited_micros: charged,
                grants: vec![Grant {
                    id: "g".to_owned(),
                    credits_micros: 100,
                    remaining_micros: left,
                    ..Default::default()
                }],
                ..Default::default()
            },
            ..Default::default()
        };
        has.limits.credits_remaining_micros = Some(left);
        has.limits.limits =
            vec![LimitState { name: "month".to_owned(), remaining: Some(10 - count), ..Default::default() }];
        if let Some(lie) = self.lie {
            lie(&mut has);
        }
        let tenants = BTreeMap::from([(TENANT.to_owned(), has)]);
        Verdict::of(&self.history, &Evidence { tenants })
    }
}

fn spec() -> PlanSpec {
    PlanSpec {
        rate_limits: vec![
            rate("sliding", LimitKind::SlidingWindow, 3, 1, 0),
            rate("bucket", LimitKind::TokenBucket, 10, 10, 3),
        ],
        quotas: vec![Quota { name: "month".to_owned(), limit: Some(10), ..Default::default() }],
        prices: vec![PriceRule {
            endpoints: "/search".to_owned(),
            credits_micros: PRICE,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn event(id: &str) -> UsageEvent {
    UsageEvent {
        id: id.to_owned(),
        service: "web".to_owned(),
        endpoint: "/search".to_owned(),
        ..Default::default()
    }
}

fn allowed(replayed: bool) -> Answer {
    let reservation = String::new();
    Answer::Kept(Kept { decision: Decision::Allowed, charged_micros: PRICE, replayed, reservation })
}

fn kept(id: &str, used_before: i64) -> LedgerEvent {
    LedgerEvent {
        event: Some(UsageEvent { occurred_at: Some(Timestamp::default()), ..event(id) }),
        mode: TrackMode::Decide.into(),
        decision: Decision::Allowed.into(),
        credits_charged_micros: PRICE,
        decided_at: Some(Timestamp::default()),
        counters: vec![CounterChange {
            name: "month".to_owned(),
            used_before,
            used_after: used_before + 1,
            limit: Some(10),
        }],
        grants: vec![GrantBurn { grant_id: "g".to_owned(), credits_micros: PRICE }],
        ..Default::default()
    }
}

#[test]
fn the_truth_is_not_accused() {
    let mut case = Case::honest();
    let verdict = case.verdict();
    assert!(verdict.is_clean(), "{verdict}");

    // An answer that was lost may or may not be kept, and a retry is a replay.
    case.sent("four", Answer::Unknown);
    assert!(case.verdict().is_clean());
    case.events.push(kept("four", 2));
    assert!(case.verdict().is_clean());
    case.sent("four", allowed(true));
    assert!(case.verdict().is_clean());
    // What was refused may pass later.
    case.sent("three", allowed(false));
    case.events.push(kept("three", 3));
    case.events[3].decided_at = Some(Timestamp { seconds: 60, nanos: 0 });
    let verdict = case.verdict();
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn each_lie_is_found() {
    use Promise::{
        CountersAgree, CreditsConserved, LimitsHeld, NoDefect, NothingInvented, NothingLost, NothingTwice,
        SumsExact,
    };
    type Lie = fn(&mut Case);
    let lies: [(&str, Promise, Lie); 27] = [
        ("an acknowledged event is gone", NothingLost, |case| drop(case.events.pop())),
        ("an event is there twice", NothingTwice, |case| case.events.push(kept("one", 2))),
        ("an event was sent by nobody", NothingInvented, |case| case.events.push(kept("nobody", 2))),
        ("a refused event is there", NothingInvented, |case| case.events.push(kept("three", 2))),
        ("another content is kept", NothingInvented, |case| {
            case.events[0].event.as_mut().unwrap().method = "GET".to_owned();
        }),
        ("a retry is not called one", NothingTwice, |case| case.sent("one", allowed(false))),
        ("a retry is refused", NothingTwice, |case| {
            case.sent("one", Answer::Denied(DenialReason::RateLimited));
        }),
        ("a retry is called another content", NothingTwice, |case| case.sent("one", Answer::Conflict)),
        ("a retry has another price", NothingTwice, |case| {
            let Answer::Kept(kept) = allowed(true) else { return };
            case.sent("one", Answer::Kept(Kept { charged_micros: PRICE + 1, ..kept }));
        }),
        ("a known event cannot be completed", NothingLost, |case| complete(case, 200, Ending::NotFound)),
        ("an outcome is gone", NothingLost, |case| complete(case, 200, Ending::Done { replayed: false })),
        ("an event has two outcomes", NothingTwice, |case| {
            complete(case, 200, Ending::Done { replayed: false });
            complete(case, 404, Ending::Done { replayed: false });
        }),
        ("an outcome was sent by nobody", NothingInvented, |case| {
            case.events[0].event.as_mut().unwrap().status_code = 200;
        }),
        ("a total is wrong", SumsExact, |case| case.lie = Some(|has| has.totals.calls += 1)),
        ("a minute is wrong", SumsExact, |case| {
            case.lie = Some(|has| has.minutes[0].totals.as_mut().unwrap().units += 1);
        }),
        ("an hour is missing", SumsExact, |case| case.lie = Some(|has| has.hours.clear())),
        ("a day is there twice", SumsExact, |case| {
            case.lie = Some(|has| has.days.push(has.days[0].clone()));
        }),
        ("a value of a dimension is wrong", SumsExact, |case| {
            case.lie = Some(|has| has.dimensions[0].1[0].value = "/other".to_owned());
        }),
        ("the balance is too high", CreditsConserved, |case| {
            case.lie = Some(|has| has.wallet.balance_micros += 1);
        }),
        ("a debit is counted twice", CreditsConserved, |case| {
            case.lie = Some(|has| {
                has.wallet.debited_micros += PRICE;
                has.wallet.balance_micros -= PRICE;
                has.wallet.grants[0].remaining_micros -= PRICE;
            });
        }),
        ("a grant is gone", CreditsConserved, |case| {
            let grant = GrantSent { credits_micros: 7, answer: GrantAnswer::Granted { id: "h".to_owned() } };
            case.history.grants.insert(Name::new(TENANT, "second"), vec![grant]);
        }),
        ("a charge is not the price", CreditsConserved, |case| {
            case.events[0].credits_charged_micros += 1;
            case.events[0].grants[0].credits_micros += 1;
        }),
        ("a sliding window let four of three pass", LimitsHeld, |case| {
            for (id, used) in [("five", 2), ("six", 3)] {
                case.sent(id, allowed(false));
                case.events.push(kept(id, used));
            }
        }),
        ("a bucket let more pass than burst and rate", LimitsHeld, |case| {
            // Three at once and three a second later: enough for the window, too many for the bucket.
            for (used, id, seconds) in [(2, "five", 0), (3, "six", 1), (4, "seven", 1), (5, "eight", 1)] {
                case.sent(id, allowed(false));
                let decided_at = Some(Timestamp { seconds, nanos: 0 });
                case.events.push(LedgerEvent { decided_at, ..kept(id, used) });
            }
        }),
        ("two decisions took one unit", LimitsHeld, |case| {
            case.events[1].counters[0] = case.events[0].counters[0].clone();
        }),
        ("the counters are off by one", CountersAgree, |case| {
            case.lie = Some(|has| has.limits.limits[0].remaining = Some(7));
        }),
        ("the server says that it is broken", NoDefect, |case| {
            case.history.defects.push("INTERNAL".to_owned());
        }),
    ];
    for (name, promise, lie) in lies {
        let mut case = Case::honest();
        lie(&mut case);
        assert!(case.verdict().breaks(promise), "not found: {name}:\n{}", case.verdict());
    }
}

fn complete(case: &mut Case, status_code: i32, answer: Ending) {
    let span = Span { began: case.history.tick(), ended: case.history.tick() };
    let completion = Completion { event_id: "one".to_owned(), status_code, ..Default::default() };
    let sent = case.history.completions.entry(Name::new(TENANT, "one")).or_default();
    sent.push(CompletionSent { span, completion, answer });
}

#[test]
fn a_reservation_that_ends_wrongly_is_found() {
    let settled = |replayed| EndAnswer::Done { charged_micros: PRICE, replayed };
    let settle = EndKind::Settle { credits_micros: PRICE, status_code: 0 };
    let gone = |reason: &str| EndAnswer::Gone(reason.to_owned());
    type Ends<'a> = &'a [(EndKind, EndAnswer)];
    let cases: [(&str, bool, Ends<'_>); 10] = [
        ("once", true, &[(settle, settled(false))]),
        ("once, and asked twice", true, &[(settle, settled(false)), (settle, settled(true))]),
        (
            "a late release",
            true,
            &[(settle, settled(false)), (EndKind::Release, gone("RESERVATION_SETTLED"))],
        ),
        ("twice", false, &[(settle, settled(false)), (settle, settled(false))]),
        (
            "two ways",
            false,
            &[
                (settle, settled(false)),
                (EndKind::Release, EndAnswer::Done { charged_micros: 0, replayed: false }),
            ],
        ),
        ("settled and expired", false, &[(settle, settled(false)), (settle, gone("RESERVATION_EXPIRED"))]),
        ("a retry is no replay", false, &[(settle, settled(false)), (settle, gone("RESERVATION_SETTLED"))]),
        ("released by nobody", false, &[(settle, gone("RESERVATION_RELEASED"))]),
        ("lost", false, &[(settle, gone("RESERVATION_NOT_FOUND"))]),
        ("another price", false, &[(settle, EndAnswer::Done { charged_micros: PRICE + 1, replayed: false })]),
    ];
    for (name, is_right, ends) in cases {
        let mut case = Case::honest();
        for (kind, answer) in ends {
            let span = Span { began: case.history.tick(), ended: case.history.tick() };
            let sent = case.history.ends.entry(Name::new(TENANT, "res_1")).or_default();
            sent.push(End { span, kind: *kind, answer: answer.clone() });
        }
        case.events[0].reservation_id = "res_1".to_owned();
        let verdict = case.verdict();
        assert_eq!(!verdict.breaks(Promise::ReservationsEndOnce), is_right, "{name}:\n{verdict}");
    }
}
