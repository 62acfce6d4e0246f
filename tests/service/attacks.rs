//! Attacks on the port: the program lives, its memory stays bounded, and others are served.
//!
//! `TOLLGATE_ATTACK_SECONDS` is how long each attack goes on; without it, a moment. The table that is printed has the p99
//! of other callers, quiet and under attack.

mod attackers;
pub(crate) mod frames;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tollgate_client::{Client, v1};

use crate::attacks::attackers::{ATTACKS, Attack, attack};
use crate::program::{OPERATOR_KEY, Program, free_address, operator, ready, tollgate};

/// By how much an attack may let the memory of the program grow.
const GROWTH_BYTES_MAX: u64 = 50_000_000;
/// What the program may hold of messages that do not end. At first it is more than this test would let pass.
const RECEIVED_BYTES: &str = "16777216";
/// What other callers are, and how often each of them calls.
const CALLERS: usize = 4;
const CALL_INTERVAL: Duration = Duration::from_millis(2);
const CALL_PATIENCE: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(300);
const ATTACKERS: usize = 2;

/// A program with a tenant, and a key of it.
struct Victim {
    program: Program,
    address: SocketAddr,
    key: String,
    _data: tempfile::TempDir,
}

impl Victim {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let address = free_address();
        let mut command = tollgate(&["--listen", &address.to_string()], data.path());
        command.env("TOLLGATE_LIMITS_RECEIVED_BYTES", RECEIVED_BYTES);
        let program = Program::spawn(command);
        ready(address).await;
        let request = v1::CreateTenantRequest {
            tenant_id: "acme".into(),
            name: "Acme".into(),
            plan: "enterprise".into(),
            ..Default::default()
        };
        operator(address).admin().create_tenant(request).await.unwrap();
        let request = v1::CreateApiKeyRequest {
            kind: v1::ApiKeyKind::Tenant.into(),
            tenant_id: "acme".into(),
            name: "test".into(),
            ..Default::default()
        };
        let key = operator(address).auth().create_api_key(request).await.unwrap().into_inner().secret;
        Self { program, address, key, _data: data }
    }

    /// What the program holds in memory, in bytes.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// The p99 of calls that are made for that long. All of them are answered.
    async fn p99(&self, time: Duration) -> Duration {
        let callers = (0..CALLERS).map(|_| {
            let client = Client::builder().endpoint(format!("http://{}", self.address)).api_key(&self.key);
            tokio::task::spawn(call_for(client.tenant("").build().unwrap(), time))
        });
        let mut times = Vec::new();
        for caller in callers.collect::<Vec<_>>() {
            times.extend(caller.await.unwrap());
        }
        times.sort_unstable();
        times[times.len() * 99 / 100]
    }

    /// The largest that its memory is until `stop`.
    async fn memory_peak(&self, stop: &CancellationToken) -> u64 {
        let mut peak = self.memory();
        while stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(20))).await.is_some() {
            peak = peak.max(self.memory());
        }
        peak
    }

    /// Stands an attack; what others saw, quiet and meanwhile, and by how much the memory grew.
    async fn stands(&self, kind: &'static Attack, time: Duration) -> (Duration, Duration, u64) {
        let bytes = kind.bytes(&self.key);
        let quiet = self.p99(time).await;
        let before = self.memory();
        let stop = CancellationToken::new();
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|_| {
                let attack = attack(kind, self.address, bytes.clone(), stop.clone());
                // On a thread of its own, an attacker takes no turns from the callers.
                tokio::task::spawn_blocking(|| alone().block_on(attack))
            })
            .collect();
        let calling = async {
            let under_attack = self.p99(time).await;
            stop.cancel();
            under_attack
        };
        let (under_attack, peak) = tokio::join!(calling, self.memory_peak(&stop));
        for attacker in attackers {
            assert_ne!(0, attacker.await.unwrap(), "{}: nobody attacked", kind.name);
        }
        (quiet, under_attack, peak.saturating_sub(before))
    }
}

fn alone() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) async fn call_for(client: Client, time: Duration) -> Vec<Duration> {
    let event =
        v1::UsageEvent { service: "search".into(), endpoint: "/find".into(), ..v1::UsageEvent::default() };
    let request = v1::CheckRequest { event: Some(event), ..v1::CheckRequest::default() };
    let began = Instant::now();
    let mut times = Vec::new();
    while began.elapsed() < time {
        let asked = Instant::now();
        let mut track = client.track();
        let answer = tokio::time::timeout(CALL_PATIENCE, track.check(request.clone())).await;
        answer.expect("a caller waits for too long").expect("a caller is not served");
        times.push(asked.elapsed());
        tokio::time::sleep(CALL_INTERVAL).await;
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
async fn who_attacks_the_port_harms_nobody_else() {
    let seconds = std::env::var("TOLLGATE_ATTACK_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let time = seconds.map_or(MOMENT, Duration::from_secs);
    let mut victim = Victim::start().await;
    // The first calls load what all later ones find.
    victim.p99(MOMENT).await;
    println!("{:<28}{:>12}{:>12}{:>8}{:>14}", "attack", "p99 quiet", "p99 then", "ratio", "memory");
    for kind in &ATTACKS {
        let (quiet, under_attack, growth) = victim.stands(kind, time).await;
        let ratio = under_attack.as_secs_f64() / quiet.as_secs_f64();
        let growth_mb = growth / 1_000_000;
        println!("{:<28}{quiet:>12.1?}{under_attack:>12.1?}{ratio:>8.1}{growth_mb:>11} MB", kind.name);
        assert!(!victim.program.has_ended(), "{}: the program has ended", kind.name);
        assert!(growth <= GROWTH_BYTES_MAX, "{}: the memory grew by {growth} bytes", kind.name);
    }
    victim.program.terminate();
    let ended = victim.program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(&victim.key) && !ended.stderr.contains(OPERATOR_KEY));
}
