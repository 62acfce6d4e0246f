//! The gate against a model that is too simple to be wrong, over random operations and a clock that is often wrong.
#![expect(clippy::arithmetic_side_effects, reason = "a model that overflows fails its test")]

mod wallet;
mod windows;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::gate::call::{Call, Demand, Effect, EventKey, PayloadHash};
use crate::gate::counters::{End, Extend, Over};
use crate::gate::credit;
use crate::gate::decide::{Outcome, allowance_id, decide};
use crate::gate::decision::{Burn, Decision, DenialReason, Verdict};
use crate::gate::fixture::{NOON, call, demand, grant, policy, quota, rate};
use crate::gate::hold::{self, Ending, Extension};
use crate::gate::period::Period;
use crate::gate::policy::{Features, Policy, RateKind, RateLimit, Scope};
use crate::gate::state::State;
use crate::time::{DAY, HOUR, MINUTE, SECOND, Timestamp};

use wallet::Wallet;
use windows::Window;

const OPERATIONS: usize = 100_000;
const PEOPLE: [&str; 3] = ["user:a", "user:b", "user:c"];

/// What the gate should know, said plainly.
#[derive(Debug, Default)]
struct Model {
    windows: HashMap<(usize, String), Window>,
    period: Option<Period>,
    used: i64,
    overage: i64,
    wallet: Wallet,
    held: BTreeMap<Arc<str>, Hold>,
    number: u64,
}

#[derive(Clone, Debug)]
struct Hold {
    burns: Vec<Burn>,
    opened_at: Timestamp,
    expires_at: Timestamp,
}

/// A generator of numbers that is told where to begin (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((mixed ^ mixed >> 31) >> 1).unwrap() % sides
    }

    fn step(&mut self) -> i64 {
        match self.roll(1_000) {
            0..700 => self.roll(200_000),
            700..850 => self.roll(5 * SECOND),
            850..900 => -self.roll(5 * SECOND + 2),
            900..910 => -self.roll(HOUR),
            910..940 => self.roll(10 * MINUTE),
            940..942 => self.roll(9 * DAY),
            // Onto the edges themselves.
            942..970 => MINUTE,
            _ => 0,
        }
    }
}

fn plan() -> Policy {
    let people = RateLimit { scope: Scope::Consumer, ..rate("people", RateKind::Sliding, 6, 7 * SECOND) };
    let rates = vec![
        rate("sliding", RateKind::Sliding, 60, MINUTE),
        rate("bucket", RateKind::Bucket { burst: 12 }, 30, 7 * SECOND),
        people,
        rate("fixed", RateKind::Fixed, 32, 20 * SECOND),
    ];
    Policy {
        rates,
        quotas: vec![quota("month", Some(3_000))],
        features: Features::Only(vec![Arc::from("export")]),
        allowance_micros: 20_000,
        overage_max_micros: 3_000,
        ..policy()
    }
}

impl Model {
    fn period_at(&self, policy: &Policy, now: Timestamp) -> Period {
        match self.period {
            Some(open) if now < open.end => open,
            _ => policy.period.containing(now),
        }
    }

    /// The windows that the call stands on, in the plan's order.
    fn stands_on(call: &Call<'_>, policy: &Policy) -> Vec<(usize, String)> {
        let members = |rate: &RateLimit| match rate.scope {
            Scope::Consumer => call.consumers.to_vec(),
            Scope::Tenant | Scope::ApiKey => vec![String::new()],
        };
        let each = policy.rates.iter().enumerate();
        each.flat_map(|(index, rate)| members(rate).into_iter().map(move |member| (index, member))).collect()
    }

    /// What should be decided: the reason and who refused, and what remains of each limit before.
    fn verdict(
        &mut self,
        policy: &Policy,
        demand: &Demand<'_>,
        now: Timestamp,
    ) -> (Option<(DenialReason, String)>, Vec<i64>) {
        let call = &demand.call;
        let period = self.period_at(policy, now);
        let (used, overage) = if self.period == Some(period) { (self.used, self.overage) } else { (0, 0) };
        let mut left = Vec::new();
        let mut refusal = None;
        if call.premium {
            refusal = Some((DenialReason::PlanRequired, "premium".into()));
        } else if !call.feature.is_empty() && call.feature != "export" {
            refusal = Some((DenialReason::FeatureNotInPlan, call.feature.into()));
        }
        for (index, member) in Self::stands_on(call, policy) {
            let rate = &policy.rates[index];
            let remaining = self.windows.entry((index, member)).or_default().remaining(rate, now);
            left.push(remaining);
            if remaining < call.weight && refusal.is_none() {
                refusal = Some((DenialReason::RateLimited, rate.name.to_string()));
            }
        }
        let quota_left = (policy.quotas[0].limit.unwrap() - used).max(0);
        left.push(quota_left);
        if quota_left < call.weight && refusal.is_none() {
            refusal = Some((DenialReason::QuotaExceeded, "month".into()));
        }
        let beyond = if matches!(demand.effect, Effect::Hold { .. }) {
            0
        } else {
            policy.overage_max_micros - overage
        };
        let enough =
            demand.price_micros == 0 || demand.price_micros <= self.wallet.balance(now) + beyond.max(0);
        if !enough && refusal.is_none() {
            refusal = Some((DenialReason::CreditsExhausted, "credits".into()));
        }
        (refusal, left)
    }

    fn take(&mut self, policy: &Policy, demand: &Demand<'_>, now: Timestamp) -> Vec<Burn> {
        self.number += 1;
        self.open(policy, self.period_at(policy, now));
        let recorded = match demand.effect {
            Effect::Record { occurred_at } => Some(occurred_at),
            Effect::Charge | Effect::Dry | Effect::Hold { .. } => None,
        };
        if recorded.is_none() {
            for (index, member) in Self::stands_on(&demand.call, policy) {
                let window = self.windows.entry((index, member)).or_default();
                window.pass(&policy.rates[index], demand.call.weight, now);
            }
        }
        if recorded.is_none_or(|at| self.period.unwrap().contains(at)) {
            self.used += demand.call.weight;
        }
        let (burns, rest) = self.wallet.split(demand.price_micros, now);
        self.overage += rest;
        if let Effect::Hold { reservation, ttl, .. } = demand.effect {
            self.wallet.hold(&burns);
            let hold = Hold { burns: burns.clone(), opened_at: now, expires_at: now.plus(ttl) };
            self.held.insert(reservation.clone(), hold);
        } else {
            self.wallet.pay(&burns);
        }
        burns
    }

    fn open(&mut self, policy: &Policy, period: Period) {
        if self.period != Some(period) {
            (self.period, self.used, self.overage) = (Some(period), 0, 0);
            self.tidy(policy, period.start);
        }
    }

    /// Expired grants, and members that are free again are forgotten, and a clock that steps back finds nothing of them.
    fn tidy(&mut self, policy: &Policy, now: Timestamp) {
        self.windows
            .retain(|(rate, member), window| member.is_empty() || !window.is_free(&policy.rates[*rate], now));
        self.wallet.tidy(now);
    }
}

/// One run: the gate, the model, and how often each answer came.
struct Run {
    seed: u64,
    dice: Dice,
    policy: Policy,
    state: State,
    model: Model,
    now: Timestamp,
    place: usize,
    answers: BTreeMap<String, usize>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (dice, policy) = (Dice(seed), plan());
        let (state, model) = (State::default(), Model::default());
        Self { seed, dice, policy, state, model, now: NOON, place: 0, answers: BTreeMap::new() }
    }

    fn operate(&mut self) {
        self.place += 1;
        self.now = self.now.plus(self.dice.step());
        let name = match self.dice.roll(100) {
            0..80 => self.decide(),
            80..86 => self.end(),
            86..90 => self.extend(),
            90..94 => self.expire(),
            94 => self.give(),
            95 => {
                self.state.tidy(self.now);
                self.model.tidy(&self.policy, self.now);
                "tidy".into()
            }
            _ => self.forecast(),
        };
        *self.answers.entry(name).or_default() += 1;
        self.model.wallet.check(&self.state, self.now);
    }

    fn decide(&mut self) -> String {
        let dice = &mut self.dice;
        let consumers: Vec<String> =
            PEOPLE.iter().filter(|_| dice.roll(3) == 0).map(ToString::to_string).collect();
        let weight = if dice.roll(50) == 0 { 10 } else { dice.roll(3) + 1 };
        let feature =
            ["", "", "", "", "", "", "", "export", "import"][usize::try_from(dice.roll(9)).unwrap()];
        let premium = dice.roll(100) == 0;
        let price_micros = if dice.roll(3) == 0 { dice.roll(400) } else { 0 };
        let name: Arc<str> = format!("res_{}", self.place).into();
        let effect = match dice.roll(20) {
            0 | 1 => Effect::Dry,
            2 => Effect::Record { occurred_at: self.now.minus(dice.roll(2) * dice.roll(40 * DAY)) },
            3..6 => Effect::Hold {
                reservation: &name,
                ttl: dice.roll(HOUR) + 1,
                excess_allowed: dice.roll(2) == 0,
            },
            _ => Effect::Charge,
        };
        let call = Call { weight, feature, premium, consumers: &consumers, ..call() };
        let ask = Demand { price_micros, effect, ..demand(call) };
        self.ask(&ask)
    }

    fn ask(&mut self, ask: &Demand<'_>) -> String {
        let (at, seed) = (self.place, self.seed);
        let decision = match decide(&mut self.state, &self.policy, ask, self.now) {
            Outcome::Decided(decision) => decision,
            Outcome::AllowanceDue(period) => {
                self.post_allowance(period);
                return self.ask(ask) + " after allowance";
            }
        };
        let (mut refusal, before) = self.model.verdict(&self.policy, ask, self.now);
        if matches!(ask.effect, Effect::Record { .. }) {
            refusal = None;
        }
        let got = match &decision.verdict {
            Verdict::Allowed => None,
            Verdict::Denied(refusal) => Some((refusal.reason, refusal.denied_by.to_string())),
        };
        assert_eq!(got, refusal, "seed {seed}, operation {at}: {ask:?} at {}, left {before:?}", self.now);
        let after = if refusal.is_none() && !matches!(ask.effect, Effect::Dry) {
            let burns = self.model.take(&self.policy, ask, self.now);
            assert_eq!(
                (decision.number, &decision.burns),
                (self.model.number, &burns),
                "seed {seed}, operation {at}"
            );
            self.model.verdict(&self.policy, ask, self.now).1
        } else {
            assert_eq!((decision.number, decision.charges.len(), decision.burns.len()), (0, 0, 0));
            self.check_wait(ask, &decision);
            before
        };
        self.check_limits(ask, &decision, &after);
        assert_eq!(
            decision.balance_micros,
            Some(self.model.wallet.balance(self.now)),
            "seed {seed}, operation {at}"
        );
        let kind = match ask.effect {
            Effect::Charge => "charge",
            Effect::Dry => "dry",
            Effect::Record { .. } => "record",
            Effect::Hold { .. } => "hold",
        };
        refusal.map_or_else(|| kind.into(), |(reason, by)| format!("{reason:?} {by}"))
    }

    /// Each limit says what the model has left of it; of several members, the least.
    fn check_limits(&self, ask: &Demand<'_>, decision: &Decision, left: &[i64]) {
        let stands_on = Model::stands_on(&ask.call, &self.policy);
        let names = stands_on.iter().map(|(index, _)| &*self.policy.rates[*index].name).chain(["month"]);
        let mut least: BTreeMap<&str, i64> = BTreeMap::new();
        for (name, left) in names.zip(left) {
            least.entry(name).and_modify(|least| *least = (*least).min(*left)).or_insert(*left);
        }
        for limit in &decision.limits {
            let left = least.remove(&*limit.name).map(|left| left.max(0));
            assert_eq!(limit.remaining, left, "seed {}, operation {}: {}", self.seed, self.place, limit.name);
            assert!(limit.reset_at.since(self.now) >= 0, "{limit:?}");
        }
        assert!(least.is_empty(), "{least:?}");
    }

    /// The wait that a refusal names is exact: windows and quota refuse until then, and no longer.
    fn check_wait(&self, ask: &Demand<'_>, decision: &Decision) {
        let Verdict::Denied(refusal) = &decision.verdict else { return };
        if !matches!(refusal.reason, DenialReason::RateLimited | DenialReason::QuotaExceeded) {
            return;
        }
        let refuses = |wait: i64| {
            let mut state = self.state.clone();
            let dry = Demand { effect: Effect::Dry, ..*ask };
            match decide(&mut state, &self.policy, &dry, self.now.plus(wait)) {
                Outcome::AllowanceDue(_) => false,
                Outcome::Decided(later) => match later.verdict {
                    Verdict::Allowed => false,
                    Verdict::Denied(refusal) => refusal.reason != DenialReason::CreditsExhausted,
                },
            }
        };
        match refusal.retry_after {
            None => assert!(ask.call.weight > 6, "waiting helps {ask:?}"),
            Some(wait) => assert!(
                refuses(wait - 1) && !refuses(wait),
                "seed {}, operation {}: {wait} µs is not exact for {ask:?}",
                self.seed,
                self.place
            ),
        }
    }

    fn post_allowance(&mut self, period: Period) {
        let id = allowance_id("sub", period.start);
        assert!(!self.model.wallet.knows(&id), "seed {}: {id} is due twice", self.seed);
        self.model.wallet.give(&id, 5, Some(period.end), self.policy.allowance_micros);
        assert!(credit::insert(
            &mut self.state.grants,
            grant(&id, 5, Some(period.end), self.policy.allowance_micros)
        ));
    }

    fn give(&mut self) -> String {
        let id = format!("gift-{}", self.dice.roll(5_000));
        let priority = u8::try_from(self.dice.roll(9) + 1).unwrap();
        let expires_at = (self.dice.roll(10) > 0).then(|| self.now.plus(self.dice.roll(30 * MINUTE)));
        let micros = self.dice.roll(300) + 1;
        if self.model.wallet.knows(&id) {
            return "gift again".into();
        }
        self.model.wallet.give(&id, priority, expires_at, micros);
        assert!(credit::insert(&mut self.state.grants, grant(&id, priority, expires_at, micros)));
        "gift".into()
    }

    fn pick(&mut self) -> Arc<str> {
        let held = i64::try_from(self.model.held.len()).unwrap();
        let index = usize::try_from(self.dice.roll(held.max(1))).unwrap();
        self.model.held.keys().nth(index).cloned().unwrap_or_else(|| "res_none".into())
    }

    fn end(&mut self) -> String {
        let (name, seed) = (self.pick(), self.seed);
        let price_micros = (self.dice.roll(4) > 0).then(|| self.dice.roll(400));
        let ask = End { reservation: &name, event: EventKey(1), payload: PayloadHash(1), price_micros };
        let ending = hold::end(&mut self.state, &self.policy, &ask, self.now);
        let living = self.model.held.get(&name).filter(|hold| self.now < hold.expires_at).cloned();
        let Some(hold) = living else {
            assert!(matches!(ending, Ending::Gone(_)), "seed {seed}: {ending:?}");
            return "end gone".into();
        };
        let (held, price) = (credit::total(&hold.burns), price_micros.unwrap_or(0));
        let done = match ending {
            Ending::Done(done) => done,
            Ending::AboveHold { held_micros } => {
                assert!(held_micros == held && price > held, "seed {seed}");
                return "above hold".into();
            }
            Ending::Gone(gone) => panic!("seed {seed}, operation {}: {name} is gone: {gone:?}", self.place),
        };
        let sums = [&done.paid, &done.released].map(|burns| credit::total(burns));
        assert_eq!(sums, [price.min(held), (held - price).max(0)], "seed {seed}");
        self.model.open(&self.policy, self.model.period_at(&self.policy, self.now));
        self.model.wallet.pay_held(&done.paid);
        self.model.wallet.release(&done.released, self.now);
        let (excess, rest) = self.model.wallet.split((price - held).max(0), self.now);
        assert_eq!(
            (&done.excess, done.overage_micros),
            (&excess, rest),
            "seed {seed}, operation {}",
            self.place
        );
        self.model.wallet.pay(&excess);
        self.model.overage += rest;
        self.model.number += 1;
        self.model.held.remove(&name);
        "end".into()
    }

    fn extend(&mut self) -> String {
        let name = self.pick();
        let ttl = (self.dice.roll(2) == 0).then(|| self.dice.roll(HOUR) + 1);
        let more = self.dice.roll(3) * self.dice.roll(300);
        let ask = Extend {
            reservation: &name,
            event: EventKey(1),
            payload: PayloadHash(1),
            ttl,
            additional_micros: more,
        };
        let extension = hold::extend(&mut self.state, &self.policy, &ask, self.now);
        let (now, balance) = (self.now, self.model.wallet.balance(self.now));
        let (burns, _) = self.model.wallet.split(more, now);
        let Some(hold) = self.model.held.get_mut(&name).filter(|hold| now < hold.expires_at) else {
            assert!(matches!(extension, Extension::Gone(_)), "seed {}: {extension:?}", self.seed);
            return "extend gone".into();
        };
        let Extension::Decided { decision, held_micros, expires_at } = extension else {
            panic!("seed {}", self.seed)
        };
        assert_eq!(decision.verdict == Verdict::Allowed, more <= balance, "seed {}", self.seed);
        if more > balance {
            return "extend refused".into();
        }
        if let Some(ttl) = ttl {
            hold.expires_at = now.plus(ttl).min(hold.opened_at.plus(DAY));
        }
        hold.burns.extend(burns.iter().cloned());
        assert_eq!(
            (held_micros, expires_at),
            (credit::total(&hold.burns), hold.expires_at),
            "seed {}",
            self.seed
        );
        assert_eq!(decision.burns, burns);
        self.model.wallet.hold(&burns);
        self.model.number += 1;
        "extend".into()
    }

    fn expire(&mut self) -> String {
        let over: Vec<_> = self
            .model
            .held
            .iter()
            .filter(|(_, hold)| hold.expires_at <= self.now)
            .map(|(id, _)| id.clone())
            .collect();
        for name in &over {
            let over = Over { reservation: Arc::clone(name), opened_at: None };
            hold::expire(&mut self.state, &over, self.now);
            let hold = self.model.held.remove(name).unwrap();
            self.model.wallet.release(&hold.burns, self.now);
        }
        let held: i64 = self.model.held.values().map(|hold| credit::total(&hold.burns)).sum();
        assert_eq!(self.state.held().map(|burn| burn.micros).sum::<i64>(), held, "seed {}", self.seed);
        if over.is_empty() { "nothing expired".into() } else { "expire".into() }
    }

    /// A question about a heavy call, so that waits are long.
    fn forecast(&mut self) -> String {
        let weight = [1, 9, 30, 40][usize::try_from(self.dice.roll(4)).unwrap()];
        self.ask(&Demand { effect: Effect::Dry, ..demand(Call { weight, ..call() }) })
    }
}

#[test]
fn the_gate_decides_as_a_simple_model_does() {
    let seed = rand::random();
    let mut run = Run::new(seed);
    for _ in 0..OPERATIONS {
        run.operate();
    }
    for answer in [
        "charge",
        "dry",
        "record",
        "hold",
        "end",
        "above hold",
        "end gone",
        "extend",
        "extend refused",
        "expire",
        "gift",
        "PlanRequired premium",
        "FeatureNotInPlan import",
        "RateLimited sliding",
        "RateLimited bucket",
        "RateLimited people",
        "RateLimited fixed",
        "QuotaExceeded month",
        "CreditsExhausted credits",
        "charge after allowance",
    ] {
        assert!(run.answers.contains_key(answer), "seed {seed} never had `{answer}`: {:?}", run.answers);
    }
}
