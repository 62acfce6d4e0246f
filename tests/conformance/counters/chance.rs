//! Random operations under a clock that is often wrong: every adapter answers each of them as the one in memory does.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate::adapters::memory::counters::MemoryCounters;
use tollgate::gate::call::{Call, Demand, Effect, EventKey, PayloadHash};
use tollgate::gate::counters::{Charged, Correction, Counters, End, Extend, Over, Revived};
use tollgate::gate::decide::allowance_id;
use tollgate::gate::decision::LimitKind;
use tollgate::gate::pattern::Pattern;
use tollgate::gate::period::{Anchor, PeriodRule};
use tollgate::gate::policy::{Features, LimitKey, Policy, Quota, RateKind, RateLimit, Scope};
use tollgate::gate::state::{Counter, Grant, Reservation, State};
use tollgate::time::{Clock as _, DAY, HOUR, MINUTE, ManualClock, SECOND, Timestamp};

use super::redis::{private, servers};
use super::{ACME, NOON, demand, policy};

const OPERATIONS: usize = 3_000;
const SEEDS: u64 = 3;
/// The plan whose buckets are deep.
const DEEP: usize = 3;
const PEOPLE: [&str; 4] = ["user:a", "user:b", "user:ä", "user:{d}"];

/// A generator of numbers that is told where to begin (splitmix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((mixed ^ mixed >> 31) >> 1).expect("63 bits") % sides
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = self.roll(i64::try_from(of.len()).expect("a few"));
        &of[usize::try_from(index).expect("not below zero")]
    }

    fn step(&mut self) -> i64 {
        match self.roll(1_000) {
            0..700 => self.roll(200_000),
            700..850 => self.roll(5 * SECOND),
            850..900 => -self.roll(5 * SECOND + 2),
            900..910 => -self.roll(HOUR),
            910..940 => self.roll(10 * MINUTE),
            940..943 => self.roll(9 * DAY),
            // Onto the edges themselves.
            943..970 => MINUTE,
            _ => 0,
        }
    }
}

/// A demand that may be made again.
#[derive(Clone, Debug)]
struct Asked {
    at: Timestamp,
    event: u128,
    payload: u128,
    effect: &'static str,
    price_micros: i64,
    weight: i64,
    endpoint: &'static str,
    feature: &'static str,
    consumers: Vec<String>,
    api_key: Option<Arc<str>>,
    back: i64,
    name: Arc<str>,
    ttl: i64,
}

fn rate(name: &str, kind: RateKind, limit: i64, window: i64, scope: Scope) -> RateLimit {
    RateLimit {
        name: Arc::from(name),
        key: LimitKey::of(name, kind.limit_kind(), window),
        kind,
        limit,
        window,
        scope,
        endpoints: None,
        unit: Arc::from("requests"),
        fail_policy: None,
    }
}

fn plans() -> Vec<Policy> {
    let quota = |name: &str, limit| Quota {
        name: Arc::from(name),
        key: LimitKey::of(name, LimitKind::Quota, 0),
        limit,
        endpoints: None,
        unit: Arc::from("requests"),
        fail_policy: None,
    };
    let most = 9_000_000_000_000_000;
    let plan = |scale: i64| {
        let search = Pattern::parse("/search/**").ok();
        let rates = vec![
            rate("sliding", RateKind::Sliding, 60 * scale, MINUTE, Scope::Tenant),
            rate("bucket", RateKind::Bucket { burst: 12 * scale }, 30 * scale, 7 * SECOND, Scope::Tenant),
            rate("people", RateKind::Sliding, 6 * scale, 7 * SECOND, Scope::Consumer),
            rate("cups", RateKind::Bucket { burst: 9 * scale }, 7, 3 * SECOND + 1, Scope::Consumer),
            rate("keys", RateKind::Fixed, 30 * scale, 9 * SECOND, Scope::ApiKey),
            rate("fixed", RateKind::Fixed, 32 * scale, 20 * SECOND, Scope::Tenant),
            // Products far beyond what a double can hold.
            rate("lake", RateKind::Bucket { burst: most }, most - 1, 31 * DAY - 1, Scope::Tenant),
            rate("drop", RateKind::Bucket { burst: 40_000 }, 700_000_001, 31 * DAY - 7, Scope::Tenant),
            RateLimit {
                endpoints: search,
                ..rate("search", RateKind::Sliding, 9, 5 * SECOND, Scope::Tenant)
            },
        ];
        let quotas = vec![quota("month", Some(1_500 * scale)), quota("all", None)];
        Policy { rates, quotas, features: Features::Only(vec![Arc::from("export")]), ..policy() }
    };
    let funded = Policy { allowance_micros: 20_000, overage_max_micros: 3_000, ..plan(1) };
    let anniversary = PeriodRule {
        anchor: Anchor::Anniversary { since: NOON.minus(20 * DAY) },
        zone: policy().period.zone,
    };
    let larger = Policy { period: anniversary, overage_max_micros: 100, ..plan(2) };
    // Without logs and members, so that a question about it needs no script.
    let mut plain = Policy { allowance_micros: 20_000, ..plan(1) };
    plain.rates.retain(|rate| rate.scope == Scope::Tenant && rate.kind != RateKind::Sliding);
    // So deep that what flows in is beyond a double long before they are full.
    let mut deep = plain.clone();
    deep.rates.retain(|rate| *rate.name == *"lake");
    let pond = RateKind::Bucket { burst: 9_000_000_007 };
    deep.rates.push(rate("pond", pond, 3_000_000_019, HOUR + 13, Scope::Tenant));
    deep.quotas.retain(|quota| quota.limit.is_none());
    vec![funded, plain, larger, deep]
}

struct Run {
    seed: u64,
    dice: Dice,
    clock: Arc<ManualClock>,
    memory: MemoryCounters,
    other: Arc<dyn Counters>,
    plans: Vec<Policy>,
    asked: Vec<Asked>,
    holds: Vec<(Timestamp, Arc<str>)>,
    /// The latest that the clock has ever said.
    latest: Timestamp,
    place: u128,
    answers: BTreeMap<String, usize>,
}

impl Run {
    async fn new(seed: u64, url: String) -> Self {
        let clock = Arc::new(ManualClock::at(NOON));
        let memory = MemoryCounters::new(clock.clone());
        let other = private(url, &clock).await;
        let run = Self {
            seed,
            dice: Dice(seed),
            clock,
            memory,
            other,
            plans: plans(),
            asked: Vec::new(),
            holds: Vec::new(),
            latest: NOON,
            place: 0,
            answers: BTreeMap::new(),
        };
        let state = || State { epoch: seed >> 12, ..State::default() };
        run.memory.install(ACME, state()).await.expect("the counters answer");
        run.other.install(ACME, state()).await.expect("the counters answer");
        run
    }

    async fn operate(&mut self) {
        self.place += 1;
        self.clock.advance(self.dice.step());
        self.latest = self.latest.max(self.clock.now());
        let index = *self.dice.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 2, DEEP]);
        let plan = self.plans[index].clone();
        match self.dice.roll(100) {
            0..66 => {
                let mut asked = self.fresh();
                if index == DEEP {
                    asked.weight = self.dice.roll(1_000_000_000) + 1;
                }
                self.charge(&plan, asked).await;
            }
            66..74 => self.again(&plan).await,
            74..80 => self.end(&plan).await,
            80..84 => self.extend(&plan).await,
            84..87 => self.give().await,
            87..90 => self.expire().await,
            90..93 => self.complete().await,
            93..97 => self.commit().await,
            97 => self.correct().await,
            _ => self.compare().await,
        }
    }

    fn fresh(&mut self) -> Asked {
        let place = self.place;
        let dice = &mut self.dice;
        let consumers = PEOPLE.iter().filter(|_| dice.roll(3) == 0).map(ToString::to_string).collect();
        let api_key = (dice.roll(3) == 0).then(|| Arc::from(*dice.pick(&["key_1", "key_2"])));
        let effect = *dice.pick(&["charge", "charge", "charge", "charge", "dry", "record", "hold", "hold"]);
        let endpoint = *dice.pick(&["/search/a", "/notes"]);
        let feature = *dice.pick(&["", "", "", "", "", "", "export", "import"]);
        Asked {
            at: self.clock.now(),
            event: place,
            payload: place,
            effect,
            price_micros: if dice.roll(3) == 0 { dice.roll(400) } else { 0 },
            weight: match dice.roll(50) {
                0 => 10,
                1 => 40,
                // What was recorded would use up the quota for long.
                2 if effect != "record" => 1_000_000_000,
                _ => dice.roll(3) + 1,
            },
            endpoint,
            feature,
            consumers,
            api_key,
            back: dice.roll(2) * dice.roll(40 * DAY),
            name: Arc::from(format!("res_{place}")),
            ttl: dice.roll(HOUR) + 1,
        }
    }

    async fn charge(&mut self, plan: &Policy, asked: Asked) {
        let effect = match asked.effect {
            "charge" => Effect::Charge,
            "dry" => Effect::Dry,
            "record" => Effect::Record { occurred_at: self.clock.now().minus(asked.back) },
            _ => {
                Effect::Hold { reservation: &asked.name, ttl: asked.ttl, excess_allowed: asked.ttl % 2 == 0 }
            }
        };
        let call = Call {
            endpoint: asked.endpoint,
            feature: asked.feature,
            weight: asked.weight,
            consumers: &asked.consumers,
            api_key: asked.api_key.as_ref(),
            ..demand(0, 0).call
        };
        let ask = Demand {
            event: EventKey(asked.event),
            payload: PayloadHash(asked.payload),
            call,
            price_micros: asked.price_micros,
            effect,
        };
        for _ in 0..2 {
            let expected = self.memory.charge(ACME, plan, &ask).await.expect("the counters answer");
            let got = self.other.charge(ACME, plan, &ask).await;
            self.same(
                "charge",
                &format!("{expected:?}"),
                &got.map_or_else(|error| format!("{error:?}"), |got| format!("{got:?}")),
                &ask,
            );
            let Charged::AllowanceDue { period_start, period_end } = expected else { break };
            let id = Arc::from(allowance_id("sub", period_start));
            let due = Grant { id, priority: 5, expires_at: Some(period_end), remaining_micros: 20_000 };
            for counters in [&self.memory as &dyn Counters, &*self.other] {
                assert!(counters.grant(ACME, due.clone()).await.expect("the counters answer"));
            }
        }
        if asked.effect == "hold" {
            self.holds.push((asked.at, asked.name.clone()));
        }
        self.asked.push(asked);
    }

    /// A demand of before, sometimes with another payload.
    async fn again(&mut self, plan: &Policy) {
        let Some(asked) = self.recent() else { return };
        let payload = if self.dice.roll(10) == 0 { asked.payload + 1 } else { asked.payload };
        self.charge(plan, Asked { payload, ..asked }).await;
    }

    fn recent(&mut self) -> Option<Asked> {
        let recent: Vec<_> =
            self.asked.iter().rev().take(20).filter(|asked| self.is_young(asked.at)).collect();
        (!recent.is_empty()).then(|| (*self.dice.pick(&recent)).clone())
    }

    fn hold(&mut self) -> Arc<str> {
        let recent = self.holds.iter().rev().take(12).filter(|(at, _)| self.is_young(*at));
        let recent: Vec<_> = recent.map(|(_, name)| Arc::clone(name)).collect();
        if recent.is_empty() { Arc::from("res_none") } else { Arc::clone(self.dice.pick(&recent)) }
    }

    /// Whether no adapter has forgotten its mark: one that is an hour old is let go by some at once, and found again by
    /// others when the clock steps back.
    fn is_young(&self, at: Timestamp) -> bool {
        self.latest.since(at) < 50 * MINUTE
    }

    async fn end(&mut self, plan: &Policy) {
        let name = self.hold();
        let price_micros = (self.dice.roll(4) > 0).then(|| self.dice.roll(400));
        let event = name.trim_start_matches("res_").parse::<u128>().unwrap_or(0) + (1 << 40);
        let payload = PayloadHash(*self.dice.pick(&[1, 1, 1, 2]));
        let ask = End { reservation: &name, event: EventKey(event), payload, price_micros };
        let expected = self.memory.end(ACME, plan, &ask).await.expect("the counters answer");
        let got = self.other.end(ACME, plan, &ask).await.expect("the counters answer");
        self.same("end", &format!("{expected:?}"), &format!("{got:?}"), &ask);
        if self.dice.roll(2) == 0 {
            self.committed(event).await;
        }
    }

    async fn extend(&mut self, plan: &Policy) {
        let name = self.hold();
        let place = name.trim_start_matches("res_").parse::<u128>().unwrap_or(0);
        let event = (1 << 41) + place * 8 + u128::try_from(self.dice.roll(3)).expect("a small number");
        let ask = Extend {
            reservation: &name,
            event: EventKey(event),
            payload: PayloadHash(0),
            ttl: (self.dice.roll(2) == 0).then(|| self.dice.roll(HOUR) + 1),
            additional_micros: self.dice.roll(3) * self.dice.roll(300),
        };
        for _ in 0..=self.dice.roll(4) {
            let payload = PayloadHash(u128::from(self.dice.roll(5) == 0));
            let ask = Extend { payload, ..ask };
            let expected = self.memory.extend(ACME, plan, &ask).await.expect("the counters answer");
            let got = self.other.extend(ACME, plan, &ask).await.expect("the counters answer");
            self.same("extend", &format!("{expected:?}"), &format!("{got:?}"), &ask);
        }
        if self.dice.roll(2) == 0 {
            self.committed(event).await;
        }
    }

    async fn give(&mut self) {
        let grant = Grant {
            id: Arc::from(format!("gift-{}", self.dice.roll(500))),
            priority: u8::try_from(self.dice.roll(9) + 1).expect("a small number"),
            expires_at: (self.dice.roll(10) > 0).then(|| self.clock.now().plus(self.dice.roll(30 * MINUTE))),
            remaining_micros: self.dice.roll(300) + 1,
        };
        for counters in [&self.memory as &dyn Counters, &*self.other] {
            assert!(counters.grant(ACME, grant.clone()).await.expect("the counters answer"));
        }
    }

    async fn expire(&mut self) {
        let over = |reservation| Over { reservation, opened_at: None };
        let names = [over(self.hold()), over(self.hold())];
        let grants: Vec<Arc<str>> = if self.dice.roll(4) == 0 {
            vec![Arc::from(format!("gift-{}", self.dice.roll(500)))]
        } else {
            vec![]
        };
        for counters in [&self.memory as &dyn Counters, &*self.other] {
            counters.expired(ACME, &names, &grants).await.expect("the counters answer");
        }
    }

    async fn complete(&mut self) {
        let Some(asked) = self.recent() else { return };
        let event = EventKey(asked.event);
        for _ in 0..=self.dice.roll(3) {
            let outcome = PayloadHash(u128::from(self.dice.roll(4) == 0));
            let expected = self.memory.complete(ACME, event, outcome).await.expect("the counters answer");
            let got = self.other.complete(ACME, event, outcome).await.expect("the counters answer");
            self.same("complete", &format!("{expected:?}"), &format!("{got:?}"), &asked);
        }
    }

    async fn commit(&mut self) {
        let Some(asked) = self.recent() else { return };
        let event = EventKey(asked.event);
        let key = if self.dice.roll(4) == 0 { event.completion() } else { event };
        self.committed(key.0).await;
    }

    async fn committed(&self, event: u128) {
        for counters in [&self.memory as &dyn Counters, &*self.other] {
            counters.committed(&[(Arc::from(ACME), EventKey(event))]).await.expect("the counters answer");
        }
    }

    async fn correct(&mut self) {
        let state = self.memory.read(ACME).await.expect("the counters answer").expect("acme is installed");
        let mut correction = Correction { epoch: state.epoch, number: state.number, ..Correction::default() };
        for (id, _) in state.counters.iter() {
            if self.dice.roll(2) == 0 {
                correction.counters.push((id, self.dice.roll(7) - 4));
            }
        }
        for grant in state.grants.iter().take(2) {
            correction.grants.push((Arc::clone(&grant.id), self.dice.roll(200) - 100));
        }
        correction.overage_micros = self.dice.roll(20) - 10;
        let mut reservations = state.reservations.iter().collect::<Vec<_>>();
        reservations.sort_unstable_by_key(|(name, _)| Arc::clone(name));
        for (name, known) in reservations {
            if self.dice.roll(3) == 0 {
                let ended_at = known.ended.as_ref().map(|end| end.at);
                let held = Reservation { ended: None, ..known.clone() };
                correction.revived.push(Revived { reservation: Arc::clone(name), ended_at, held });
            }
        }
        correction.number =
            correction.number.saturating_sub(u64::try_from(self.dice.roll(2)).expect("a small number"));
        let expected = self.memory.correct(ACME, &correction).await.expect("the counters answer");
        let got = self.other.correct(ACME, &correction).await.expect("the counters answer");
        self.same("correct", &expected.to_string(), &got.to_string(), &correction);
    }

    async fn compare(&mut self) {
        let expected =
            plain(&self.memory.read(ACME).await.expect("the counters answer").expect("acme is installed"));
        let got =
            plain(&self.other.read(ACME).await.expect("the counters answer").expect("acme is installed"));
        self.same("read", &expected, &got, &());
    }

    fn same(&mut self, what: &str, expected: &str, got: &str, ask: &dyn std::fmt::Debug) {
        let word: String = expected.chars().take_while(|letter| letter.is_alphabetic()).collect();
        let why =
            expected.split("reason: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
        *self.answers.entry(format!("{what} {word} {why}")).or_default() += 1;
        assert_eq!(
            expected,
            got,
            "seed {}, operation {}: {ask:?} at {}",
            self.seed,
            self.place,
            self.clock.now()
        );
    }
}

/// A state in words that do not depend on the order of a table; of a sliding log its newest entry and its sum.
fn plain(state: &State) -> String {
    let mut lines: Vec<_> = state
        .counters
        .iter()
        .map(|(id, counter)| match counter {
            Counter::Sliding(log) => format!("{id:?} {:?} {}", log.newest(), log.units),
            other => format!("{id:?} {other:?}"),
        })
        .chain(state.reservations.iter().map(|hold| format!("{hold:?}")))
        .collect();
    lines.sort();
    let State { epoch, number, period, period_number, overage_micros, grants, .. } = state;
    format!("{epoch} {number} {period:?} {period_number} {overage_micros} {grants:#?} {lines:#?}")
}

#[tokio::test]
async fn every_adapter_answers_as_the_one_in_memory_does() {
    for (name, url) in servers() {
        let mut answers = BTreeMap::new();
        for seed in (0..SEEDS).map(|_| rand::random()) {
            let mut run = Run::new(seed, url.clone()).await;
            for _ in 0..OPERATIONS {
                run.operate().await;
            }
            run.compare().await;
            for (answer, times) in run.answers {
                *answers.entry(answer).or_insert(0) += times;
            }
        }
        for answer in [
            "charge Decided ",
            "charge Replayed ",
            "charge Conflict ",
            "charge AllowanceDue ",
            "charge Decided RateLimited",
            "charge Decided QuotaExceeded",
            "charge Decided CreditsExhausted",
            "charge Decided FeatureNotInPlan",
            "end Done ",
            "end AboveHold ",
            "end Gone ",
            "extend Decided ",
            "extend Decided CreditsExhausted",
            "extend Conflict ",
            "extend Gone ",
            "complete Fresh ",
            "complete Replayed ",
            "complete Conflict ",
            "correct true ",
        ] {
            assert!(answers.contains_key(answer), "{name} never had `{answer}`: {answers:#?}");
        }
    }
}
