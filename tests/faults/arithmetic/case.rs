//! A small log made by hand, with the ledger that belongs to it.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use tollgate_client::v1::{
    Completion, CounterChange, Decision, DenialReason, Durability, Grant, GrantBurn, LedgerEvent, LimitKind,
    LimitState, PlanSpec, PriceRule, Quota, TrackMode, UsageEvent, UsageRow, UsageTotals, Wallet,
};

use crate::evidence::{Evidence, TenantEvidence, dimensions};
use crate::history::{
    Answer, Call, CompletionSent, Ending, GrantAnswer, GrantSent, History, Kept, Name, Span, Way,
};
use crate::tenants::rate;
use crate::verdict::Verdict;

pub(super) const TENANT: &str = "acme";
pub(super) const PRICE: i64 = 5;

/// A history and the ledger that belongs to it.
#[derive(Clone, Default)]
pub(super) struct Case {
    pub(super) history: History,
    pub(super) events: Vec<LedgerEvent>,
    /// Changes what the ledger says after the events were summed up.
    pub(super) lie: Option<fn(&mut TenantEvidence)>,
}

impl Case {
    /// `one` and `two` were acknowledged, `three` was refused; a grant of 100 was given.
    pub(super) fn honest() -> Self {
        let mut case = Self::default();
        case.sent("one", allowed(false));
        case.sent("two", allowed(false));
        case.sent("three", Answer::Denied(DenialReason::QuotaExceeded));
        case.events = vec![kept("one", 0), kept("two", 1)];
        let grant = GrantSent { credits_micros: 100, answer: GrantAnswer::Granted { id: "g".to_owned() } };
        case.history.grants.insert(Name::new(TENANT, "grant"), vec![grant]);
        case
    }

    pub(super) fn sent(&mut self, id: &str, answer: Answer) {
        let span = Span { began: self.history.tick(), ended: self.history.tick() };
        let call = Call { span, event: event(id), way: Way::Decide, answer };
        self.history.calls.entry(Name::new(TENANT, id)).or_default().push(call);
    }

    pub(super) fn verdict(&self) -> Verdict {
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
        Verdict::of(&self.history, &Evidence { gathered_at: 0, gaps: Vec::new(), tenants })
    }
}

pub(super) fn spec() -> PlanSpec {
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

pub(super) fn event(id: &str) -> UsageEvent {
    UsageEvent {
        id: id.to_owned(),
        service: "web".to_owned(),
        endpoint: "/search".to_owned(),
        ..Default::default()
    }
}

pub(super) fn allowed(replayed: bool) -> Answer {
    let reservation = String::new();
    Answer::Kept(Kept {
        decision: Decision::Allowed,
        charged_micros: PRICE,
        replayed,
        durability: Durability::Committed,
        reservation,
    })
}

pub(super) fn kept(id: &str, used_before: i64) -> LedgerEvent {
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

/// The outcome of `one`.
pub(super) fn complete(case: &mut Case, status_code: i32, answer: Ending) {
    let span = Span { began: case.history.tick(), ended: case.history.tick() };
    let completion = Completion { event_id: "one".to_owned(), status_code, ..Default::default() };
    let sent = case.history.completions.entry(Name::new(TENANT, "one")).or_default();
    sent.push(CompletionSent { span, completion, answer });
}
