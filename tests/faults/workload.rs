//! What the callers do: an endless choice of operations.

use std::collections::BTreeMap;

use prost_types::{Duration, Timestamp};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tollgate::time::{Clock as _, SystemClock};
use tollgate_client::v1::{Completion, Consumer, ConsumerKind, ReservationExcess, Tokens, UsageEvent};

use crate::history::{EndKind, Name, Way};
use crate::tenants::Tenants;

/// How long ago a call may have been made that asks for a decision, in seconds.
const DECIDED_AGE_MAX: i64 = 300;

/// One thing to send, and to send again.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Call(Box<CallPlan>),
    /// Some with the same id twice.
    Batch(Vec<CallPlan>),
    Complete {
        tenant: String,
        completions: Vec<Completion>,
    },
    Grant {
        tenant: String,
        request_id: String,
        credits_micros: i64,
        expires: Option<Timestamp>,
    },
    Extend {
        reservation: Name,
        request_id: String,
        additional_micros: i64,
        /// Seconds to live from then on: fewer than before, too.
        ttl: i64,
    },
    End {
        reservation: Name,
        kind: EndKind,
    },
}

/// One event to send.
#[derive(Clone, Debug)]
pub(crate) struct CallPlan {
    pub(crate) tenant: String,
    pub(crate) event: UsageEvent,
    pub(crate) way: Way,
    /// Seconds that a reservation lives.
    pub(crate) ttl: i64,
    /// What a settlement above the hold may do.
    pub(crate) excess: ReservationExcess,
}

impl CallPlan {
    /// Whether it asks for a decision about a call of more than five minutes ago (rule R), or will at once.
    pub(crate) fn is_old(&self) -> bool {
        let now = SystemClock.now().seconds();
        self.way != Way::Record && self.event.occurred_at.is_some_and(|at| at.seconds < now - DECIDED_AGE_MAX)
    }
}

/// Chooses operations; the same seed chooses the same.
#[derive(Debug)]
pub(crate) struct Chooser {
    random: StdRng,
    prefix: String,
    made: u64,
    tenants: Vec<String>,
}

impl Chooser {
    pub(crate) fn new(seed: u64, worker: u64, tenants: &Tenants) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(worker)),
            prefix: format!("w{worker}"),
            made: 0,
            tenants: tenants.plans.keys().cloned().collect(),
        }
    }

    /// Whether something of that chance in a hundred happens.
    pub(crate) fn percent(&mut self, chance: u32) -> bool {
        self.random.random_range(0..100) < chance
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    pub(crate) fn next_id(&mut self) -> String {
        self.made += 1;
        format!("{}-{}", self.prefix, self.made)
    }

    fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among.choose(&mut self.random).copied().unwrap_or_default()
    }

    /// A new operation that needs nothing that happened before.
    pub(crate) fn next(&mut self) -> Operation {
        match self.random.random_range(0..100) {
            0..70 => Operation::Call(Box::new(self.call())),
            70..80 => Operation::Batch(self.batch()),
            80..93 => Operation::Call(Box::new(self.reserve())),
            _ => self.grant(),
        }
    }

    fn tenant(&mut self) -> String {
        let index = self.below(self.tenants.len());
        self.tenants[index].clone()
    }

    fn tenant_with_credits(&mut self) -> String {
        self.pick(&["open-1", "open-2", "metered-1", "metered-2"]).to_owned()
    }

    fn call(&mut self) -> CallPlan {
        let tenant = self.tenant();
        let records = tenant.starts_with("open") && self.percent(25);
        let way = if records { Way::Record } else { Way::Decide };
        let event = self.event(&tenant, way);
        CallPlan { tenant, event, way, ttl: 0, excess: ReservationExcess::Unspecified }
    }

    fn batch(&mut self) -> Vec<CallPlan> {
        let size = if self.percent(10) { 150 } else { self.random.random_range(1..20) };
        let mut calls: Vec<CallPlan> = (0..size).map(|_| self.call()).collect();
        if self.percent(50) {
            let twice = self.below(calls.len());
            let place = self.below(calls.len() + 1);
            calls.insert(place, calls[twice].clone());
        }
        calls
    }

    fn reserve(&mut self) -> CallPlan {
        let tenant = self.tenant_with_credits();
        let way = Way::Reserve { hold_micros: self.random.random_range(1..3_000_000) };
        let mut event = self.event(&tenant, way);
        event.status_code = 0;
        event.credits_micros = None;
        let ttl = if self.percent(10) { 1 } else { 600 };
        let excess = if self.percent(40) { ReservationExcess::Allowed } else { ReservationExcess::Refused };
        CallPlan { tenant, event, way, ttl, excess }
    }

    fn grant(&mut self) -> Operation {
        let tenant = self.tenant_with_credits();
        let expires = self.percent(30).then(|| now_plus(self.random.random_range(1..4)));
        let request_id = format!("grant-{}", self.next_id());
        let credits_micros = self.random.random_range(1..20_000_000);
        Operation::Grant { tenant, request_id, credits_micros, expires }
    }

    /// The outcome of an event that has none yet.
    pub(crate) fn completion(&mut self, event_id: &str) -> Completion {
        Completion {
            event_id: event_id.to_owned(),
            status_code: [200, 201, 404, 503][self.below(4)],
            latency: Some(self.latency()),
            tokens: None,
            quantities: BTreeMap::from([("bytes_out".to_owned(), self.random.random_range(0..10_000))]),
        }
    }

    pub(crate) fn end(&mut self, hold_micros: i64) -> EndKind {
        if self.percent(30) {
            return EndKind::Release;
        }
        // Some are above the hold.
        let credits_micros = self.random.random_range(0..=hold_micros + hold_micros / 10);
        EndKind::Settle { credits_micros, status_code: [200, 500][self.below(2)] }
    }

    /// How much more to hold, and how many seconds to live.
    pub(crate) fn extension(&mut self) -> (i64, i64) {
        (self.random.random_range(0..1_000_000), if self.percent(20) { 1 } else { 600 })
    }

    fn latency(&mut self) -> Duration {
        Duration { seconds: 0, nanos: self.random.random_range(1..900_000) * 1_000 }
    }

    fn event(&mut self, tenant: &str, way: Way) -> UsageEvent {
        let is_done = self.percent(60);
        let chats = self.percent(30);
        let trusted = tenant.starts_with("open") && self.percent(20);
        let named = |names: &[&str], chooser: &mut Self| chooser.pick(names).to_owned();
        UsageEvent {
            id: self.next_id(),
            service: named(&["web", "app"], self),
            endpoint: if chats { "/chat".to_owned() } else { named(&["/search", "/notes", "/free"], self) },
            method: named(&["GET", "POST", ""], self),
            feature: String::new(),
            status_code: if is_done { [200, 200, 302, 400, 500][self.below(5)] } else { 0 },
            latency: is_done.then(|| self.latency()),
            weight: self.percent(30).then(|| self.random.random_range(1..4)),
            credits_micros: trusted.then(|| self.random.random_range(0..5_000)),
            premium: false,
            tokens: chats.then(|| self.tokens()),
            model: if chats { named(&["m-small", "m-large"], self) } else { String::new() },
            region: named(&["eu", "us", ""], self),
            country: named(&["PT", "DE", ""], self),
            api_version: named(&["v1", "v2"], self),
            consumers: self.consumers(),
            quantities: BTreeMap::from([("bytes_in".to_owned(), self.random.random_range(0..1_000))]),
            dimensions: BTreeMap::from([("team".to_owned(), named(&["red", "blue"], self))]),
            metadata: BTreeMap::from([("note".to_owned(), self.made.to_string())]),
            occurred_at: self.occurred_at(way),
        }
    }

    fn tokens(&mut self) -> Tokens {
        let input = self.random.random_range(1..5_000);
        Tokens {
            input,
            output: self.random.random_range(0..5_000),
            cached_input: self.random.random_range(0..=input),
            cache_write_input: self.random.random_range(0..=input),
        }
    }

    fn consumers(&mut self) -> Vec<Consumer> {
        let kinds = [ConsumerKind::User, ConsumerKind::Bot];
        let count = self.below(3);
        kinds[..count]
            .iter()
            .map(|kind| Consumer { kind: (*kind).into(), id: format!("c{}", self.below(5)) })
            .collect()
    }

    /// Mostly now; a decision at most minutes ago, a record up to a day. A reservation may still be sent again minutes later.
    fn occurred_at(&mut self, way: Way) -> Option<Timestamp> {
        let seconds = match way {
            Way::Record => 86_400,
            Way::Decide => 240,
            Way::Reserve { .. } => 60,
        };
        self.percent(40).then(|| now_plus(-self.random.random_range(0..seconds)))
    }
}

fn now_plus(seconds: i64) -> Timestamp {
    Timestamp { seconds: SystemClock.now().seconds() + seconds, nanos: 0 }
}
