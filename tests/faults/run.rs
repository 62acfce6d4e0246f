//! One run: load, a sudden death, recovery, again and again; then rest, and the verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tollgate::time::{Clock as _, SystemClock};

use crate::driver::{Driver, Sent};
use crate::evidence::{self, Evidence};
use crate::server::Server;
use crate::tenants::Tenants;
use crate::verdict::Verdict;
use crate::workload::{Chooser, Operation};

const CALLERS: u64 = 16;
/// A fail point that was not reached in this time is given up; the server is killed instead.
#[cfg(feature = "faults")]
const FAULT_PATIENCE: Duration = Duration::from_secs(3);
/// How long holds and counters may take to come to rest.
const REST_PATIENCE: Duration = Duration::from_secs(40);
const REST_POLL: Duration = Duration::from_millis(200);
/// The reconciler looks once a second, and waits for another.
const RECONCILED: Duration = Duration::from_secs(5);
const RESEND_ROUNDS_MAX: usize = 50;

/// A server, its callers, and what they know.
#[derive(Debug)]
pub(crate) struct Run {
    server: Server,
    driver: Arc<Driver>,
    choosers: Vec<Chooser>,
    random: StdRng,
    /// The deliberate fault of the server, as `TOLLGATE_FAULT` says it.
    mutant: Option<&'static str>,
    /// When servers had died, in microseconds since the epoch.
    deaths: Vec<i64>,
}

impl Run {
    /// Starts a server on an empty directory, and makes the tenants.
    pub(crate) async fn new(seed: u64, mutant: Option<&'static str>) -> Self {
        let mut server = Server::new();
        server.start(mutant).await;
        let tenants = Tenants::create(server.connection()).await;
        let tenants =
            tenants.unwrap_or_else(|status| panic!("no tenants: {status:?}\n{}", server.last_words()));
        let choosers = (0..CALLERS).map(|caller| Chooser::new(seed, caller, &tenants)).collect();
        let driver = Arc::new(Driver::new(server.connection().clone(), tenants));
        let random = StdRng::seed_from_u64(seed);
        Self { server, driver, choosers, random, mutant, deaths: Vec::new() }
    }

    /// Load on a server that dies within 50 to 300 ms, then a restart.
    pub(crate) async fn killed_at_random(&mut self) {
        let load = Duration::from_millis(self.random.random_range(50..300));
        let has_ended = self.load(load).await;
        assert!(!has_ended, "the server ended by itself:\n{}", self.server.last_words());
        self.restart(None).await;
    }

    /// Load for so long that the counters are corrected meanwhile, and no death at the end of it: a restart would mend what
    /// was corrected wrongly.
    pub(crate) async fn corrected_under_load(&mut self) {
        self.killed_at_random().await;
        let callers = self.call(RECONCILED);
        self.choosers = callers.join_all().await;
    }

    /// Load on a server that dies when it reaches a place for the `at`-th time. `false`: it never did, and was killed.
    #[cfg(feature = "faults")]
    pub(crate) async fn killed_at(&mut self, place: &str, at: u64) -> bool {
        let fault = format!("kill:{place}:{at}");
        let has_died = !self.restart(Some(&fault)).await || self.load(FAULT_PATIENCE).await;
        self.restart(None).await;
        has_died
    }

    /// Load for longer than in any other cycle, then a restart.
    #[cfg(feature = "faults")]
    pub(crate) async fn killed_late(&mut self) {
        self.load(FAULT_PATIENCE).await;
        self.restart(None).await;
    }

    /// Ends the server and starts it again, with a fault or without. `false`: the fault struck before it was ready.
    async fn restart(&mut self, fault: Option<&str>) -> bool {
        self.server.kill();
        self.deaths.push(SystemClock.now().micros());
        if self.random.random_range(0..5) == 0 {
            // Recovery itself may be killed too.
            self.server.spawn(self.mutant);
            tokio::time::sleep(Duration::from_millis(self.random.random_range(0..60))).await;
        }
        let faults: Vec<&str> = self.mutant.into_iter().chain(fault).collect();
        let faults = (!faults.is_empty()).then(|| faults.join(","));
        let is_ready = self.server.start(faults.as_deref()).await;
        let mut state = self.driver.state();
        let again = state.take_due();
        state.again.extend(again);
        is_ready
    }

    /// Lets the callers call until the time is over or the server is gone, then kills it. `true`: it was gone.
    async fn load(&mut self, length: Duration) -> bool {
        let callers = self.call(length);
        self.server.wait_for_end(length).await;
        let has_ended = self.server.has_ended();
        self.server.kill();
        self.choosers = callers.join_all().await;
        has_ended
    }

    fn call(&mut self, length: Duration) -> JoinSet<Chooser> {
        let end = Instant::now() + length;
        let mut callers = JoinSet::new();
        for chooser in self.choosers.drain(..) {
            callers.spawn(call_until(Arc::clone(&self.driver), chooser, end));
        }
        callers
    }

    /// Sends again what is not known, ends what was begun, and compares.
    pub(crate) async fn verdict(&mut self) -> Verdict {
        self.resend_until_known().await;
        self.end_reservations().await;
        self.wait_for_holds().await;
        let since = Instant::now();
        loop {
            let verdict = self.judge().await;
            let may_heal = !verdict.is_clean() && verdict.is_only_about_counters();
            let patience = if self.mutant.is_none() { REST_PATIENCE } else { RECONCILED };
            if !may_heal || since.elapsed() > patience {
                return verdict;
            }
            tokio::time::sleep(REST_POLL).await;
        }
    }

    /// Kills and restarts the server, and compares once more: what was at rest stays as it was.
    pub(crate) async fn verdict_after_restart(&mut self) -> Verdict {
        self.restart(None).await;
        self.verdict().await
    }

    /// How much was done.
    pub(crate) fn summary(&self) -> String {
        let state = self.driver.state();
        let calls = &state.history.calls;
        let sent: usize = calls.values().map(Vec::len).sum();
        let kept = calls.values().filter(|calls| calls.iter().any(|call| call.kept().is_some())).count();
        let ended = state.history.ends.len();
        format!("{} events, sent {sent} times, {kept} kept; {ended} reservations ended", calls.len())
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
            for some in operations.chunks(16) {
                join_all(some.iter().map(|operation| self.driver.send(operation))).await;
            }
        }
        panic!("the server does not answer:\n{}", self.server.last_words());
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
    }

    /// Some reservations and grants are left to end by themselves.
    async fn wait_for_holds(&self) {
        let since = Instant::now();
        for tenant in self.driver.tenants().plans.keys() {
            while since.elapsed() < REST_PATIENCE {
                match evidence::wallet(self.server.connection(), tenant).await {
                    Ok(wallet) if wallet.held_micros == 0 => break,
                    Ok(_) | Err(_) => tokio::time::sleep(REST_POLL).await,
                }
            }
        }
    }

    async fn judge(&self) -> Verdict {
        let evidence = self.evidence().await;
        Verdict::of(&self.driver.state().history, &evidence)
    }

    async fn evidence(&self) -> Evidence {
        let plans = &self.driver.tenants().plans;
        let gathered = evidence::gather(self.server.connection(), plans)
            .await
            .unwrap_or_else(|status| panic!("no evidence: {status:?}\n{}", self.server.last_words()));
        Evidence { deaths: self.deaths.clone(), ..gathered }
    }
}

async fn call_until(driver: Arc<Driver>, mut chooser: Chooser, end: Instant) -> Chooser {
    while Instant::now() < end {
        let operation = choose(&driver, &mut chooser);
        if send_and_repeat(&driver, &mut chooser, &operation).await == Sent::Unknown {
            break;
        }
    }
    chooser
}

/// Something to send again, something that follows on an earlier answer, or something new.
fn choose(driver: &Driver, chooser: &mut Chooser) -> Operation {
    let mut state = driver.state();
    if !state.again.is_empty() && chooser.percent(40) {
        let index = chooser.below(state.again.len());
        return state.again.swap_remove(index);
    }
    if !state.open_events.is_empty() && chooser.percent(15) {
        let index = chooser.below(state.open_events.len());
        let event = state.open_events.swap_remove(index);
        let completions = vec![chooser.completion(&event.id)];
        return Operation::Complete { tenant: event.tenant, completions };
    }
    if !state.reservations.is_empty() && chooser.percent(15) {
        let index = chooser.below(state.reservations.len());
        if chooser.percent(30) {
            let reservation = state.reservations[index].0.clone();
            let request_id = format!("extend-{}", chooser.next_id());
            let (additional_micros, ttl) = chooser.extension();
            return Operation::Extend { reservation, request_id, additional_micros, ttl };
        }
        let (reservation, hold_micros) = state.reservations.swap_remove(index);
        let kind = chooser.end(hold_micros);
        if chooser.percent(20) {
            // Another end races it, or comes too late.
            let other = chooser.end(hold_micros);
            state.again.push(Operation::End { reservation: reservation.clone(), kind: other });
        }
        return Operation::End { reservation, kind };
    }
    chooser.next()
}

/// Every fifth operation is sent up to four times more: at once, later, or after the next restart.
async fn send_and_repeat(driver: &Driver, chooser: &mut Chooser, operation: &Operation) -> Sent {
    if !chooser.percent(20) {
        return driver.send(operation).await;
    }
    let times = 1 + chooser.below(4);
    let mut repeats = vec![operation.clone(); times];
    if chooser.percent(10)
        && let Some(last) = repeats.last_mut()
    {
        alter(last);
    }
    match chooser.below(3) {
        0 => {
            let all = repeats.iter().chain([operation]).map(|each| driver.send(each));
            let all = join_all(all).await;
            if all.contains(&Sent::Unknown) { Sent::Unknown } else { Sent::Answered }
        }
        1 => {
            let sent = driver.send(operation).await;
            driver.state().again.extend(repeats);
            sent
        }
        _ => {
            let sent = driver.send(operation).await;
            driver.state().after_restart.extend(repeats);
            sent
        }
    }
}

/// The same event with another content, the same completion with another outcome.
fn alter(operation: &mut Operation) {
    match operation {
        Operation::Call(plan) => drop(plan.event.metadata.insert("note".to_owned(), "another".to_owned())),
        Operation::Complete { completions, .. } => completions[0].status_code = 599,
        Operation::Batch(_) | Operation::Grant { .. } | Operation::Extend { .. } | Operation::End { .. } => {}
    }
}
