//! One server: it dies again and again, and is started again on the same directory.

use std::time::Duration;

use rand::RngExt as _;
use tollgate::time::{Clock as _, SystemClock};

use super::{AtUnknown, Run, Subject};
use crate::connection::Connection;
use crate::evidence::Gap;
use crate::server::Server;
use crate::verdict::Verdict;

/// A fail point that was not reached in this time is given up; the server is killed instead.
#[cfg(feature = "faults")]
const FAULT_PATIENCE: Duration = Duration::from_secs(3);

impl Subject for Server {
    const AT_UNKNOWN: AtUnknown = AtUnknown::Stop;
    /// The reconciler looks once a second, and waits for another.
    const RECONCILED: Duration = Duration::from_secs(5);

    fn connection(&self) -> &Connection {
        self.connection()
    }

    fn witnesses(&self) -> Vec<Connection> {
        vec![self.connection().clone()]
    }

    /// Only charges of servers that died are given back, and deaths are known.
    fn corrections(&self) -> Vec<Gap> {
        Vec::new()
    }

    fn last_words(&self) -> String {
        self.last_words()
    }
}

impl Run<Server> {
    /// Starts a server on an empty directory, and makes the tenants.
    pub(crate) async fn new(seed: u64, mutant: Option<&'static str>) -> Self {
        let mut server = Server::new();
        server.start(mutant).await;
        Self::on(server, seed, mutant).await
    }

    /// Load on a server that dies within 50 to 300 ms, then a restart.
    pub(crate) async fn killed_at_random(&mut self) {
        let load = Duration::from_millis(self.random.random_range(50..300));
        let has_ended = self.load(load).await;
        assert!(!has_ended, "the server ended by itself:\n{}", self.subject.last_words());
        self.restart(None).await;
    }

    /// Load for so long that the counters are corrected meanwhile, and no death at the end of it: a restart would mend what
    /// was corrected wrongly.
    pub(crate) async fn corrected_under_load(&mut self) {
        self.killed_at_random().await;
        let callers = self.call(Server::RECONCILED);
        self.called(callers).await;
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

    /// Kills and restarts the server, and compares once more: what was at rest stays as it was.
    pub(crate) async fn verdict_after_restart(&mut self) -> Verdict {
        self.restart(None).await;
        self.verdict().await
    }

    /// Ends the server and starts it again, with a fault or without. `false`: the fault struck before it was ready.
    async fn restart(&mut self, fault: Option<&str>) -> bool {
        self.subject.kill();
        self.deaths.push(Gap::at(SystemClock.now().micros()));
        if self.random.random_range(0..5) == 0 {
            // Recovery itself may be killed too.
            self.subject.spawn(self.mutant);
            tokio::time::sleep(Duration::from_millis(self.random.random_range(0..60))).await;
        }
        let faults: Vec<&str> = self.mutant.into_iter().chain(fault).collect();
        let faults = (!faults.is_empty()).then(|| faults.join(","));
        let is_ready = self.subject.start(faults.as_deref()).await;
        self.send_again();
        is_ready
    }

    /// Lets the callers call until the time is over or the server is gone, then kills it. `true`: it was gone.
    async fn load(&mut self, length: Duration) -> bool {
        let callers = self.call(length);
        self.subject.wait_for_end(length).await;
        let has_ended = self.subject.has_ended();
        self.subject.kill();
        self.called(callers).await;
        has_ended
    }
}
