//! One run: callers, what harms the servers meanwhile, then rest, and the verdict.

mod alone;
mod callers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tollgate_client::v1::Durability;
use tonic::Status;

use crate::connection::Connection;
use crate::driver::Driver;
use crate::evidence::{self, Evidence, Gap};
use crate::history::Call;
use crate::tenants::Tenants;
use crate::verdict::{Promise, Verdict};
use crate::workload::{Chooser, Operation};

const CALLERS: u64 = 16;
/// How long holds and counters may take to come to rest.
const REST_PATIENCE: Duration = Duration::from_secs(40);
const REST_POLL: Duration = Duration::from_millis(200);
const RESEND_ROUNDS_MAX: usize = 50;
const RESEND_PAUSE: Duration = Duration::from_millis(100);
/// Operations that are sent again at once.
const RESEND_AT_ONCE: usize = 16;

/// What is under test: one server, or several that share their stores.
pub(crate) trait Subject {
    /// What a caller does whose call was not answered.
    const AT_UNKNOWN: AtUnknown;
    /// After this long counters that were off are corrected.
    const RECONCILED: Duration;

    /// Where calls are sent.
    fn connection(&self) -> &Connection;

    /// Whoever can be asked what happened: each must say the same.
    fn witnesses(&self) -> Vec<Connection>;

    /// When counters were corrected, as far as that gives back what others may then take.
    fn corrections(&self) -> Vec<Gap>;

    /// The end of what the servers wrote.
    fn last_words(&self) -> String;
}

/// What a caller does whose call was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtUnknown {
    /// The only server is gone: it waits for the next start.
    Stop,
    /// There are others.
    GoOn,
}

/// Servers, their callers, and what these know.
#[derive(Debug)]
pub(crate) struct Run<S> {
    pub(crate) subject: S,
    pub(crate) driver: Arc<Driver>,
    choosers: Vec<Chooser>,
    pub(crate) random: StdRng,
    /// The deliberate fault of the servers, as `TOLLGATE_FAULT` says it.
    pub(crate) mutant: Option<&'static str>,
    /// When servers died.
    pub(crate) deaths: Vec<Gap>,
}

impl<S: Subject> Run<S> {
    /// Makes the tenants on servers that were just started.
    pub(crate) async fn on(subject: S, seed: u64, mutant: Option<&'static str>) -> Self {
        // By one of them: the others have not heard of any tenant yet, and cannot remember what was before.
        let tenants = Tenants::create(&subject.witnesses()[0]).await;
        let tenants =
            tenants.unwrap_or_else(|status| panic!("no tenants: {status:?}\n{}", subject.last_words()));
        let choosers = (0..CALLERS).map(|caller| Chooser::new(seed, caller, &tenants)).collect();
        let driver = Arc::new(Driver::new(subject.connection().clone(), tenants));
        let random = StdRng::seed_from_u64(seed);
        Self { subject, driver, choosers, random, mutant, deaths: Vec::new() }
    }

    /// Lets the callers call until the time is over.
    pub(crate) fn call(&mut self, length: Duration) -> JoinSet<Chooser> {
        let end = Instant::now() + length;
        let mut callers = JoinSet::new();
        for chooser in self.choosers.drain(..) {
            callers.spawn(callers::call_until(Arc::clone(&self.driver), chooser, end, S::AT_UNKNOWN));
        }
        callers
    }

    /// Waits for the callers' last answers.
    pub(crate) async fn called(&mut self, callers: JoinSet<Chooser>) {
        self.choosers = callers.join_all().await;
    }

    /// Sends again what is not known, ends what was begun, and compares.
    pub(crate) async fn verdict(&mut self) -> Verdict {
        self.come_to_rest().await;
        self.verdict_of(&self.a_witness()).await
    }

    /// The same, from each of those that can be asked.
    pub(crate) async fn verdict_of_all(&mut self) -> Verdict {
        self.come_to_rest().await;
        let mut verdict = Verdict::default();
        for witness in self.subject.witnesses() {
            verdict = self.verdict_of(&witness).await;
            if !verdict.is_clean() {
                break;
            }
        }
        verdict
    }

    async fn come_to_rest(&mut self) {
        self.resend_until_known().await;
        self.end_reservations().await;
        self.wait_for_holds().await;
    }

    async fn verdict_of(&self, witness: &Connection) -> Verdict {
        let since = Instant::now();
        loop {
            let verdict = self.judge(witness).await;
            let may_heal = !verdict.is_clean() && (verdict.is_only_about_counters() || self.may_be_shipped());
            if !may_heal || since.elapsed() > self.patience() {
                return verdict;
            }
            tokio::time::sleep(REST_POLL).await;
        }
    }

    /// How long to wait for rest: whoever breaks a promise may never come to it.
    fn patience(&self) -> Duration {
        if self.mutant.is_none() { REST_PATIENCE } else { S::RECONCILED }
    }

    /// Whether a replica may still have something that is in no journal: nobody but itself can wait for that (rule E).
    fn may_be_shipped(&self) -> bool {
        let state = self.driver.state();
        let mut kept = state.history.calls.values().flatten().filter_map(|call| call.kept());
        kept.any(|kept| kept.durability == Durability::Local)
    }

    /// How much was done.
    pub(crate) fn summary(&self) -> String {
        let state = self.driver.state();
        let calls = &state.history.calls;
        let sent: usize = calls.values().map(Vec::len).sum();
        let kept = calls.values().filter(|calls| calls.iter().any(|call| call.kept().is_some())).count();
        let is_local = |call: &Call| call.kept().is_some_and(|kept| kept.durability == Durability::Local);
        let local = calls.values().filter(|calls| calls.iter().any(is_local)).count();
        let ended = state.history.ends.len();
        let corrected = self.subject.corrections().len();
        format!(
            "{} events, sent {sent} times, {kept} kept, {local} of them locally at first; {ended} reservations ended, \
             counters corrected {corrected} times",
            calls.len()
        )
    }

    /// What was not answered, or was to be sent again later, is to be sent now.
    pub(crate) fn send_again(&self) {
        let mut state = self.driver.state();
        let again = state.take_due();
        state.again.extend(again);
    }

    async fn resend_until_known(&self) {
        for _ in 0..RESEND_ROUNDS_MAX {
            let operations = {
                let mut state = self.driver.state();
                let mut operations = std::mem::take(&mut state.again);
                operations.append(&mut state.take_due());
                operations
            };
            if operations.is_empty() {
                return;
            }
            for some in operations.chunks(RESEND_AT_ONCE) {
                join_all(some.iter().map(|operation| self.driver.send(operation))).await;
            }
            if S::AT_UNKNOWN == AtUnknown::GoOn {
                tokio::time::sleep(RESEND_PAUSE).await;
            }
        }
        panic!("the servers do not answer:\n{}", self.subject.last_words());
    }

    async fn end_reservations(&mut self) {
        // A settlement above the hold leaves the reservation alive, to be ended for nothing in the next round.
        for _ in 0..RESEND_ROUNDS_MAX {
            let reservations = std::mem::take(&mut self.driver.state().reservations);
            for (reservation, hold_micros) in reservations {
                let kind = self.choosers[0].end(hold_micros);
                self.driver.send(&Operation::End { reservation, kind }).await;
            }
        }
        self.resend_until_known().await;
    }

    /// Some reservations and grants are left to end by themselves.
    async fn wait_for_holds(&self) {
        let (since, witness) = (Instant::now(), self.a_witness());
        for tenant in self.driver.tenants().plans.keys() {
            while since.elapsed() < self.patience() {
                match evidence::wallet(&witness, tenant).await {
                    Ok(wallet) if wallet.held_micros == 0 => break,
                    Ok(_) | Err(_) => tokio::time::sleep(REST_POLL).await,
                }
            }
        }
    }

    fn a_witness(&self) -> Connection {
        let mut witnesses = self.subject.witnesses();
        let turn = self.driver.state().history.tick();
        let turn = usize::try_from(turn).unwrap_or_default();
        witnesses.swap_remove(turn % witnesses.len())
    }

    async fn judge(&self, witness: &Connection) -> Verdict {
        match self.gather(witness).await {
            Ok(evidence) => Verdict::of(&self.driver.state().history, &evidence),
            // A server that cannot tell what it acknowledged has lost it, as far as anybody can see.
            Err(status) => {
                let mut verdict = Verdict::default();
                let detail = format!("no evidence: {status:?}\n{}", self.subject.last_words());
                verdict.accuse(Promise::NothingLost, detail);
                verdict
            }
        }
    }

    async fn gather(&self, witness: &Connection) -> Result<Evidence, Status> {
        let since = Instant::now();
        loop {
            match evidence::gather(witness, &self.driver.tenants().plans).await {
                Ok(mut evidence) => {
                    evidence.gaps.extend(&self.deaths);
                    evidence.gaps.extend(self.subject.corrections());
                    return Ok(evidence);
                }
                // Of several servers one may still be waiting for what a dead one has left.
                Err(_) if S::AT_UNKNOWN == AtUnknown::GoOn && since.elapsed() < self.patience() => {
                    tokio::time::sleep(REST_POLL).await;
                }
                Err(status) => return Err(status),
            }
        }
    }
}
