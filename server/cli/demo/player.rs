//! Plays the traffic: each request at its time, by the tenant whose turn it is.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tollgate_client::Client;
use tollgate_client::v1::{
    Consumer, ConsumerKind, Decision, ReservationExcess, ReserveRequest, SettleRequest, Tokens, UsageEvent,
};
use uuid::Uuid;

use crate::cli::demo::DemoError;
use crate::cli::demo::cast::{CREDIT, INPUT_MICROS_PER_MILLION, Manner, Member, OUTPUT_MICROS_PER_MILLION};
use crate::cli::demo::live::Live;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::tally::Tally;
use crate::cli::demo::trace::{self, Request};

/// Calls under way at once; a server that is slower than the traffic gets it later.
const CALLS_AT_ONCE: usize = 256;
/// The turns that tenants take.
const TURNS: usize = 20;
/// The model writes at most so much, which is what a reservation holds for.
const OUTPUT_TOKENS_MAX: i64 = 2_048;
/// The model takes so long for a token that it writes.
const OUTPUT_TOKEN_TIME: Duration = Duration::from_millis(15);
const USERS: usize = 97;
/// A prompt above it goes to the large model.
const PROMPT_LARGE: i64 = 1_000;

/// One playing of the traffic.
#[derive(Debug)]
pub(super) struct Player<'a> {
    members: &'a [Member],
    speed: u32,
    /// Event ids begin with it, so that a second demo is no retry of the first.
    run: Arc<str>,
    slots: Arc<Semaphore>,
}

impl<'a> Player<'a> {
    pub(super) fn new(members: &'a [Member], speed: NonZeroU32) -> Self {
        let run = format!("demo-{}", Uuid::now_v7().simple()).into();
        Self { members, speed: speed.get(), run, slots: Arc::new(Semaphore::new(CALLS_AT_ONCE)) }
    }

    /// Plays it all and gives what each tenant was answered.
    pub(super) async fn play(&self, live: &Live, screen: &mut Screen) -> Result<Vec<Tally>, DemoError> {
        let requests = trace::requests();
        let mut tallies = vec![Tally::default(); self.members.len()];
        let mut calls = JoinSet::new();
        let mut frames = tokio::time::interval(screen.frame());
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let start = Instant::now();
        let mut next = 0;
        while next < requests.len() || !calls.is_empty() {
            let due = requests.get(next).map(|request| start + request.after / self.speed);
            tokio::select! {
                // A tick of the screen must not be starved by calls that are always due.
                biased;
                _ = frames.tick() => {
                    screen.progress(next, requests.len(), start.elapsed());
                    screen.table(&live.states(), self.members)?;
                }
                Some(ended) = calls.join_next() => {
                    let (member, tally): (usize, Tally) = ended.map_err(|_| DemoError::CallerDied)??;
                    if let Some(sum) = tallies.get_mut(member) {
                        sum.merge(&tally);
                    }
                }
                () = tokio::time::sleep_until(due.unwrap_or(start)), if due.is_some() => {
                    if let Some(request) = requests.get(next) {
                        self.start(&mut calls, next, *request).await;
                    }
                    next += 1;
                }
            }
        }
        screen.progress(next, requests.len(), start.elapsed());
        Ok(tallies)
    }

    async fn start(
        &self,
        calls: &mut JoinSet<Result<(usize, Tally), DemoError>>,
        number: usize,
        request: Request,
    ) {
        let place = self.turn(number);
        let Some(member) = self.members.get(place) else { return };
        let (client, manner) = (member.client.clone(), member.role.manner);
        let event = event(&self.run, number, request.tokens);
        let thinking =
            OUTPUT_TOKEN_TIME * u32::try_from(request.tokens.output).unwrap_or_default() / self.speed;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        calls.spawn(async move {
            let _slot = slot;
            let mut tally = Tally::default();
            match manner {
                Manner::Track => track(&client, event, request.tokens, &mut tally).await?,
                Manner::Reserve => reserve(&client, event, request.tokens, thinking, &mut tally).await?,
            }
            Ok((place, tally))
        });
    }

    /// Whose turn it is: the shares lie side by side in twenty turns.
    fn turn(&self, number: usize) -> usize {
        let mut turn = number % TURNS;
        for (place, member) in self.members.iter().enumerate() {
            if turn < member.role.share {
                return place;
            }
            turn -= member.role.share;
        }
        0
    }
}

fn event(run: &str, number: usize, tokens: Tokens) -> UsageEvent {
    let user = Consumer { kind: ConsumerKind::User.into(), id: (number % USERS).to_string() };
    let model = if tokens.input > PROMPT_LARGE { "chat-large" } else { "chat-small" };
    UsageEvent {
        id: format!("{run}-{number}"),
        service: String::from("llm"),
        endpoint: String::from("/v1/chat"),
        method: String::from("POST"),
        model: model.to_owned(),
        consumers: vec![user],
        ..UsageEvent::default()
    }
}

async fn track(
    client: &Client,
    mut event: UsageEvent,
    tokens: Tokens,
    tally: &mut Tally,
) -> Result<(), DemoError> {
    event.tokens = Some(tokens);
    event.status_code = 200;
    let answer = client.track().track(client.request(event)).await.map_err(DemoError::call)?.into_inner();
    let verdict = answer.verdict.unwrap_or_default();
    if verdict.decision() == Decision::Denied {
        tally.refuse(&verdict);
    } else {
        tally.add(tokens, verdict.credits_charged_micros);
    }
    Ok(())
}

async fn reserve(
    client: &Client,
    event: UsageEvent,
    tokens: Tokens,
    thinking: Duration,
    tally: &mut Tally,
) -> Result<(), DemoError> {
    let most = tokens.input * INPUT_MICROS_PER_MILLION + OUTPUT_TOKENS_MAX * OUTPUT_MICROS_PER_MILLION;
    let request = ReserveRequest {
        event: Some(event),
        credits_micros: most.div_euclid(CREDIT) + 1,
        excess: ReservationExcess::Allowed.into(),
        ..ReserveRequest::default()
    };
    let answer = client.track().reserve(request).await.map_err(DemoError::call)?.into_inner();
    let verdict = answer.verdict.unwrap_or_default();
    if verdict.decision() == Decision::Denied {
        tally.refuse(&verdict);
        return Ok(());
    }
    tokio::time::sleep(thinking).await;
    let request = SettleRequest {
        reservation_id: answer.reservation_id,
        status_code: 200,
        latency: thinking.try_into().ok(),
        tokens: Some(tokens),
        ..SettleRequest::default()
    };
    let answer = client.track().settle(request).await.map_err(DemoError::call)?.into_inner();
    tally.add(tokens, answer.credits_charged_micros);
    Ok(())
}
