//! The callers: each makes one call after the other, reads its verdict, and takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tollgate_client::Client;
use tollgate_client::v1::{
    CheckRequest, Decision, TrackBatchRequest, TrackRequest, UsageEvent, Verdict, track_result,
};

use crate::cli::bench::BenchError;

/// Events in a request of the path `batch`.
pub(super) const BATCH: u64 = 1_000;
/// A batch is work for hundreds of callers, so that few at once fill the server.
const BATCH_CALLERS_MAX: usize = 8;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Check,
    Track,
    Batch,
}

/// What to do to a server.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) path: Path,
    /// Events in all; a call of `Batch` brings a thousand.
    pub(super) events: u64,
    pub(super) callers: usize,
    /// How many tenants take turns.
    pub(super) tenants: u64,
    /// What no other load of this run is called, so that no event is taken for a retry.
    pub(super) name: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) events: u64,
    pub(super) calls: u64,
    pub(super) elapsed: Duration,
    /// How long each call took, in microseconds.
    pub(super) latencies: Vec<u32>,
}

/// The name of a tenant of the bench.
pub(super) fn tenant(number: u64) -> String {
    format!("bench-{number}")
}

impl Load {
    /// Events that one call brings.
    const fn step(&self) -> u64 {
        match self.path {
            Path::Check | Path::Track => 1,
            Path::Batch => BATCH,
        }
    }

    /// Whose the event of that number is: tenants take turns, with each call. A batch is one tenant's, as its own service
    /// sends it.
    const fn turn(&self, number: u64) -> u64 {
        number / self.step() % self.tenants
    }

    /// How many events of the load a tenant gets; the last call may bring less.
    pub(super) const fn share(&self, tenant: u64) -> u64 {
        let calls = self.events.div_ceil(self.step());
        let turns = calls / self.tenants + if tenant < calls % self.tenants { 1 } else { 0 };
        let is_last = calls > 0 && (calls - 1) % self.tenants == tenant;
        let missing = if is_last { calls * self.step() - self.events } else { 0 };
        turns * self.step() - missing
    }
}

/// Makes all calls of a load. The first answer that is not ALLOWED ends it.
pub(super) async fn drive(connections: &[Client], load: &Load) -> Result<Outcome, BenchError> {
    let start = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let load = Arc::new(load.clone());
    let callers = if load.path == Path::Batch { load.callers.min(BATCH_CALLERS_MAX) } else { load.callers };
    let mut tasks = JoinSet::new();
    for client in connections.iter().cycle().take(callers) {
        tasks.spawn(call(client.clone(), Arc::clone(&load), Arc::clone(&next)));
    }
    let mut outcome = Outcome { events: load.events, ..Outcome::default() };
    while let Some(latencies) = tasks.join_next().await {
        outcome.latencies.extend(latencies.map_err(|_| BenchError::CallerDied)??);
    }
    outcome.calls = outcome.latencies.len() as u64;
    outcome.elapsed = start.elapsed();
    Ok(outcome)
}

/// One caller: takes the next number until there are no more.
async fn call(client: Client, load: Arc<Load>, next: Arc<AtomicU64>) -> Result<Vec<u32>, BenchError> {
    let mut service = client.track();
    let step = if load.path == Path::Batch { BATCH } else { 1 };
    let mut latencies = Vec::new();
    loop {
        let number = next.fetch_add(step, Ordering::Relaxed);
        if number >= load.events {
            return Ok(latencies);
        }
        let elapsed = match load.path {
            Path::Check => {
                let TrackRequest { event, tenant_id, .. } = request(&load, number);
                let request = CheckRequest { event, tenant_id, ..CheckRequest::default() };
                let start = Instant::now();
                let answer = service.check(request).await.map_err(BenchError::call)?;
                let elapsed = start.elapsed();
                allowed(answer.into_inner().verdict)?;
                elapsed
            }
            Path::Track => {
                let request = request(&load, number);
                let start = Instant::now();
                let answer = service.track(request).await.map_err(BenchError::call)?;
                let elapsed = start.elapsed();
                allowed(answer.into_inner().verdict)?;
                elapsed
            }
            Path::Batch => {
                let numbers = number..load.events.min(number.saturating_add(BATCH));
                let requests = numbers.map(|number| request(&load, number)).collect::<Vec<_>>();
                let sent = requests.len();
                let start = Instant::now();
                let answer =
                    service.track_batch(TrackBatchRequest { requests }).await.map_err(BenchError::call)?;
                let elapsed = start.elapsed();
                let results = answer.into_inner().results;
                if results.len() != sent {
                    return Err(BenchError::NotAllowed(format!(
                        "{} results to {sent} events",
                        results.len()
                    )));
                }
                for result in results {
                    match result.result {
                        Some(track_result::Result::Response(answer)) => allowed(answer.verdict)?,
                        other => return Err(BenchError::NotAllowed(format!("{other:?}"))),
                    }
                }
                elapsed
            }
        };
        latencies.push(u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX));
    }
}

fn request(load: &Load, number: u64) -> TrackRequest {
    let event = UsageEvent {
        id: format!("{}-{number}", load.name),
        service: String::from("bench"),
        endpoint: String::from("/v1/items/{id}"),
        method: String::from("GET"),
        ..UsageEvent::default()
    };
    TrackRequest { event: Some(event), tenant_id: tenant(load.turn(number)), ..TrackRequest::default() }
}

fn allowed(verdict: Option<Verdict>) -> Result<(), BenchError> {
    let verdict = verdict.unwrap_or_default();
    if verdict.decision() == Decision::Allowed {
        Ok(())
    } else {
        Err(BenchError::NotAllowed(format!("{verdict:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_what_the_turns_give() {
        for path in [Path::Track, Path::Batch] {
            for (events, tenants) in [(0, 3), (2, 3), (10, 3), (9, 3), (4_001, 3), (4_000, 7)] {
                let load = Load { path, events, callers: 1, tenants, name: String::new() };
                for tenant in 0..tenants {
                    let given = (0..events).filter(|number| load.turn(*number) == tenant).count();
                    assert_eq!(load.share(tenant), given as u64, "{path:?} {events} {tenants} {tenant}");
                }
            }
        }
    }
}
