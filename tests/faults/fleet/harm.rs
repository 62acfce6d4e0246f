//! What is done to a fleet under load, and for how long.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use test_servers::Mosquitto;
use tollgate::time::{Clock as _, SystemClock};

use super::network::Store;
use super::{Fleet, REPLICAS};
use crate::evidence::Gap;
use crate::history::{Blind, Blindness, Span, Way};
use crate::run::Run;
use crate::workload::Operation;
use crate::{say, variable};

/// After this long without a sign of life a replica is taken for dead (`server/ledger/fleet.rs`); one look more.
const LEASE: Duration = Duration::from_millis(5_600);
/// Until a balancer has seen that a replica does not answer.
const BALANCER_LOOKS: Duration = Duration::from_millis(500);
/// How long a replica may take to see that its slot is another's, and to end.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// How long a replica may go on that does not heed what it should.
const MUTANT_LIVES: Duration = Duration::from_secs(3);
/// Until every replica is connected again to a store that was away.
const CONNECTED: Duration = Duration::from_secs(3);
/// After a slot was taken up, until counters are corrected by what it left.
const CORRECTED: Duration = Duration::from_secs(14);
/// Load before and after each harm.
const CALM: std::ops::Range<u64> = 300..900;

/// What may happen to a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// One or two replicas are killed, and started again later.
    ReplicasKilled,
    /// A replica is killed, and the others go on for so long that they take up what it has left.
    ReplicaMissed,
    /// A replica stands still for less than its lease.
    ReplicaPaused,
    /// A replica stands still for longer than its lease, and wakes up.
    ReplicaUndead,
    /// Redis forgets everything, and stays.
    RedisFlushed,
    /// Redis is killed, and starts again with nothing.
    RedisKilled,
    /// Redis stands still.
    RedisPaused,
    /// The MongoDB-protocol server is killed, and starts again with all it had.
    MongoKilled,
    /// The MongoDB-protocol server stands still.
    MongoPaused,
    /// The broker is killed when nobody is told anything, and starts again later.
    BrokerKilled,
    /// The broker stands still.
    BrokerPaused,
    /// Something happens on the ways to a store.
    WayHarmed(Store),
}

impl Run<Fleet> {
    /// Load, and harm in the middle of it.
    pub(crate) async fn harmed(&mut self, harm: Harm) {
        if harm == Harm::BrokerKilled {
            self.broker().kill();
        }
        let (before, after) = (self.millis(CALM), self.millis(CALM));
        let during = self.length(harm);
        let callers = self.call(before + during + after);
        tokio::time::sleep(before).await;
        match harm {
            Harm::ReplicasKilled | Harm::ReplicaMissed => self.kill_replicas(harm, during).await,
            Harm::ReplicaPaused => self.pause_replica(during).await,
            Harm::ReplicaUndead => self.wake_the_dead(during).await,
            Harm::RedisFlushed => self.flush_redis(during).await,
            Harm::RedisKilled | Harm::RedisPaused => self.take_redis_away(harm, during).await,
            Harm::MongoKilled | Harm::MongoPaused => self.take_mongo_away(harm, during).await,
            Harm::BrokerKilled => {
                tokio::time::sleep(during).await;
                self.broker().restart();
            }
            Harm::BrokerPaused => {
                self.broker().pause();
                tokio::time::sleep(during).await;
                self.broker().resume();
            }
            Harm::WayHarmed(store) => self.harm_ways(store, during).await,
        }
        self.called(callers).await;
        self.give_up_some();
        self.send_again();
    }

    /// Some callers that were not answered do not come back: what was charged for them must be given back. Not those that
    /// reserved: what they hold is held until its time is over.
    fn give_up_some(&mut self) {
        let mut state = self.driver.state();
        let (mut calls, others): (Vec<_>, Vec<_>) =
            state.unanswered.drain(..).partition(|operation| match operation {
                Operation::Call(plan) => matches!(plan.way, Way::Decide | Way::Record),
                _ => false,
            });
        calls.truncate(calls.len() / 2);
        state.unanswered = others;
        state.unanswered.append(&mut calls);
    }

    fn length(&mut self, harm: Harm) -> Duration {
        match harm {
            Harm::ReplicasKilled => self.millis(200..2_000),
            Harm::ReplicaPaused => self.millis(1_000..3_000),
            Harm::BrokerKilled | Harm::BrokerPaused => self.away(),
            Harm::ReplicaUndead => LEASE + self.millis(500..2_500),
            Harm::ReplicaMissed => LEASE + CORRECTED,
            Harm::RedisFlushed => self.millis(500..1_500),
            Harm::RedisKilled
            | Harm::RedisPaused
            | Harm::MongoKilled
            | Harm::MongoPaused
            | Harm::WayHarmed(_) => self.away() + CONNECTED,
        }
    }

    /// How long a store, a way or the broker is away.
    fn away(&mut self) -> Duration {
        let told = variable("TOLLGATE_CHECK_AWAY_SECONDS").map(Duration::from_secs);
        let random = self.millis(1_000..3_000);
        told.unwrap_or(random)
    }

    fn broker(&mut self) -> &mut Mosquitto {
        self.subject.broker.as_mut().expect("a fleet with a broker")
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.random_range(range))
    }

    async fn kill_replicas(&mut self, harm: Harm, during: Duration) {
        let first = self.random.random_range(0..REPLICAS);
        let mut killed = vec![first];
        if harm == Harm::ReplicasKilled && self.random.random_range(0..5) == 0 {
            killed.push((first + 1) % REPLICAS);
        }
        for replica in &killed {
            self.subject.kill(*replica);
            self.deaths.push(Gap::at(SystemClock.now().micros()));
        }
        tokio::time::sleep(during).await;
        for replica in killed {
            self.subject.restart(replica, self.mutant).await;
        }
    }

    async fn pause_replica(&mut self, during: Duration) {
        let replica = self.random.random_range(0..REPLICAS);
        self.subject.pause(replica);
        tokio::time::sleep(during).await;
        self.subject.resume(replica);
    }

    /// It must see that its slot was sealed, and end; until then it must acknowledge nothing that is lost.
    async fn wake_the_dead(&mut self, during: Duration) {
        let replica = self.random.random_range(0..REPLICAS);
        let buried = self.subject.burials();
        self.subject.pause(replica);
        self.deaths.push(Gap::at(SystemClock.now().micros()));
        tokio::time::sleep(BALANCER_LOOKS).await;
        self.subject.avoid(replica, true);
        tokio::time::sleep(during.saturating_sub(BALANCER_LOOKS)).await;
        // On a busy machine those who look may be late themselves.
        let since = Instant::now();
        while self.subject.burials() == buried && since.elapsed() < END_PATIENCE {
            tokio::time::sleep(BALANCER_LOOKS).await;
        }
        // Whoever wakes up finds callers at its door.
        self.subject.avoid(replica, false);
        self.subject.resume(replica);
        let patience = if self.mutant.is_none() { END_PATIENCE } else { MUTANT_LIVES };
        self.subject.replicas[replica].wait_for_end(patience).await;
        if self.mutant.is_none() {
            let has_ended = self.subject.replicas[replica].has_ended();
            assert!(
                has_ended,
                "a replica without a slot goes on:\n{}",
                self.subject.replicas[replica].last_words()
            );
        }
        self.subject.kill(replica);
        self.deaths.push(Gap::at(SystemClock.now().micros()));
        self.subject.restart(replica, self.mutant).await;
    }

    async fn flush_redis(&mut self, during: Duration) {
        let blind = self.go_blind();
        self.subject.redis.command_to_each(&["FLUSHALL"]);
        self.see_again(blind, Blindness::Lost);
        tokio::time::sleep(during).await;
    }

    async fn take_redis_away(&mut self, harm: Harm, during: Duration) {
        let blind = self.go_blind();
        if harm == Harm::RedisKilled {
            self.subject.redis.kill();
        } else {
            self.subject.redis.pause();
        }
        tokio::time::sleep(during.saturating_sub(CONNECTED)).await;
        if harm == Harm::RedisKilled {
            self.subject.redis.restart();
        } else {
            self.subject.redis.resume();
        }
        tokio::time::sleep(CONNECTED).await;
        self.see_again(blind, Blindness::Away);
    }

    async fn take_mongo_away(&mut self, harm: Harm, during: Duration) {
        let blind = self.go_blind();
        if harm == Harm::MongoKilled {
            self.subject.ferretdb.kill();
        } else {
            self.subject.ferretdb.pause();
        }
        tokio::time::sleep(during.saturating_sub(CONNECTED)).await;
        if harm == Harm::MongoKilled {
            self.subject.ferretdb.restart();
        } else {
            self.subject.ferretdb.resume();
        }
        tokio::time::sleep(CONNECTED).await;
        self.see_again(blind, Blindness::JournalAway);
    }

    async fn harm_ways(&mut self, store: Store, during: Duration) {
        let blind = self.go_blind();
        let network = self.subject.network.as_ref().expect("a fleet behind proxies");
        say(&format!("  {}", network.harm(store, &mut self.random)));
        tokio::time::sleep(during.saturating_sub(CONNECTED)).await;
        network.heal();
        tokio::time::sleep(CONNECTED).await;
        let kind = if store == Store::Redis { Blindness::Away } else { Blindness::JournalAway };
        self.see_again(blind, kind);
    }

    /// From now on marks and charges may be lost.
    pub(super) fn go_blind(&self) -> Blind {
        let (now, tick) = (SystemClock.now().micros(), self.driver.state().history.tick());
        let span = Span { began: tick, ended: tick };
        Blind { span, from: now, until: now, kind: Blindness::Lost }
    }

    /// From now on they are kept again.
    pub(super) fn see_again(&mut self, blind: Blind, kind: Blindness) {
        let now = SystemClock.now().micros();
        let mut state = self.driver.state();
        let span = Span { ended: state.history.tick(), ..blind.span };
        state.history.blinds.push(Blind { span, until: now, kind, ..blind });
        self.deaths.push(Gap { from: blind.from, until: now });
    }
}
