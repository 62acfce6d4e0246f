//! Sends operations, writes down what was answered, and keeps what shall be sent again.

mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use prost_types::Duration;
use tollgate_client::v1::{
    CompleteRequest, Decision, Durability, ExtendRequest, GrantCreditsRequest, ItemError, ReleaseRequest,
    ReserveRequest, SettleRequest, TrackBatchRequest, TrackMode, TrackRequest, TrackResponse, Verdict,
    track_result,
};

use self::state::State;
use crate::connection::{Connection, Failure};
use crate::history::{Answer, EndKind, Extension, GrantAnswer, GrantSent, Kept, Name, Way};
use crate::tenants::Tenants;
use crate::workload::{CallPlan, Operation};

/// Less than it takes to sync a disk.
const IMPATIENCE: std::time::Duration = std::time::Duration::from_micros(700);

/// The callers' common knowledge.
#[derive(Debug)]
pub(crate) struct Driver {
    connection: Connection,
    tenants: Tenants,
    state: Mutex<State>,
}

/// Whether all of an operation was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Answered,
    Unknown,
}

impl Driver {
    pub(crate) fn new(connection: Connection, tenants: Tenants) -> Self {
        Self { connection, tenants, state: Mutex::default() }
    }

    pub(crate) const fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an operation once. One whose answer is not known is kept for after the restart.
    pub(crate) async fn send(&self, operation: &Operation) -> Sent {
        let began = self.state().history.tick();
        let sent = match operation {
            Operation::Call(plan) if self.is_impatient(plan) => self.send_impatiently(began, plan).await,
            Operation::Call(plan) => self.send_call(began, plan).await,
            Operation::Batch(plans) => self.send_batch(began, plans).await,
            Operation::Complete { tenant, completions } => {
                let request = CompleteRequest { tenant_id: tenant.clone(), completions: completions.clone() };
                let answer = self.connection.tracking().complete(self.connection.ask(request)).await;
                let answers = answer.map(|response| {
                    response.into_inner().results.into_iter().map(|result| match result.error {
                        None => Ok(result.replayed),
                        Some(error) => Err(failure_of(&error)),
                    })
                });
                let answers: Vec<Result<bool, Failure>> = match answers {
                    Ok(answers) => answers.collect(),
                    Err(status) => vec![Err(Failure::of(&status)); completions.len()],
                };
                self.state().note_completions(began, tenant, completions, answers)
            }
            Operation::Grant { .. } => self.send_grant(operation).await,
            Operation::Extend { .. } => self.send_extension(began, operation).await,
            Operation::End { reservation, kind } => self.send_end(began, reservation, *kind).await,
        };
        if sent == Sent::Unknown {
            self.state().unanswered.push(operation.clone());
        }
        sent
    }

    /// Some callers go away at their first try, and come back at once.
    fn is_impatient(&self, plan: &CallPlan) -> bool {
        plan.event.id.ends_with('7')
            && !self.state().history.calls.contains_key(&Name::new(&plan.tenant, &plan.event.id))
    }

    async fn send_impatiently(&self, began: u64, plan: &CallPlan) -> Sent {
        match tokio::time::timeout(IMPATIENCE, self.send_call(began, plan)).await {
            Ok(sent) => sent,
            Err(_) => {
                let mut state = self.state();
                state.note_call(began, plan, Err(Failure::Unknown));
                state.again.push(Operation::Call(Box::new(plan.clone())));
                Sent::Answered
            }
        }
    }

    async fn send_call(&self, began: u64, plan: &CallPlan) -> Sent {
        let answer = match plan.way {
            Way::Reserve { hold_micros } => {
                let request = ReserveRequest {
                    event: Some(plan.event.clone()),
                    tenant_id: plan.tenant.clone(),
                    credits_micros: hold_micros,
                    ttl: Some(Duration { seconds: plan.ttl, nanos: 0 }),
                    excess: plan.excess.into(),
                    ..Default::default()
                };
                let response = self.connection.tracking().reserve(self.connection.ask(request)).await;
                response.map(|response| {
                    let response = response.into_inner();
                    let durability = response.durability();
                    answer_of(response.verdict, response.replayed, durability, &response.reservation_id)
                })
            }
            Way::Decide | Way::Record => {
                // Each tenant asks by itself as often as the operator asks for it.
                let own = plan.event.id.ends_with(['1', '3', '5', '7', '9']);
                let connection = match self.tenants.keys.get(&plan.tenant) {
                    Some(key) if own => &self.connection.with_credential(key),
                    _ => &self.connection,
                };
                let response = connection.tracking().track(connection.ask(track_request(plan))).await;
                response.map(|response| answer_of_track(response.into_inner()))
            }
        };
        self.state().note_call(began, plan, answer.map_err(|status| Failure::of(&status)))
    }

    async fn send_batch(&self, began: u64, plans: &[CallPlan]) -> Sent {
        let request = TrackBatchRequest { requests: plans.iter().map(track_request).collect() };
        let response = self.connection.tracking().track_batch(self.connection.ask(request)).await;
        let mut state = self.state();
        let answers: Vec<Result<Answer, Failure>> = match response {
            Ok(response) => {
                let results = response.into_inner().results.into_iter();
                results
                    .map(|result| match result.result {
                        Some(track_result::Result::Response(response)) => Ok(answer_of_track(response)),
                        Some(track_result::Result::Error(error)) => Err(failure_of(&error)),
                        None => Err(Failure::Reason("an empty result".to_owned())),
                    })
                    .collect()
            }
            Err(status) => vec![Err(Failure::of(&status)); plans.len()],
        };
        if answers.len() != plans.len() {
            state.history.defects.push(format!("{} results for {} calls", answers.len(), plans.len()));
        }
        let mut all = Sent::Answered;
        for (plan, answer) in plans.iter().zip(answers) {
            if state.note_call(began, plan, answer) == Sent::Unknown {
                all = Sent::Unknown;
            }
        }
        all
    }

    async fn send_grant(&self, operation: &Operation) -> Sent {
        let Operation::Grant { tenant, request_id, credits_micros, expires } = operation else {
            return Sent::Answered;
        };
        let request = GrantCreditsRequest {
            tenant_id: tenant.clone(),
            credits_micros: *credits_micros,
            expire_time: *expires,
            request_id: request_id.clone(),
            ..Default::default()
        };
        let response = self.connection.plans().grant_credits(self.connection.ask(request)).await;
        let mut state = self.state();
        let answer = match response.map_err(|status| Failure::of(&status)) {
            Ok(response) => GrantAnswer::Granted { id: response.into_inner().grant.unwrap_or_default().id },
            Err(Failure::Unknown) => GrantAnswer::Unknown,
            // A grant that was to end before it was heard of is refused.
            Err(Failure::Reason(reason)) if reason == "INVALID_FIELD" && expires.is_some() => {
                GrantAnswer::NotTaken
            }
            Err(Failure::NotTaken) => GrantAnswer::NotTaken,
            Err(Failure::Reason(reason)) => {
                state.history.defects.push(format!("{reason} to {operation:?}"));
                GrantAnswer::NotTaken
            }
        };
        let sent = if answer == GrantAnswer::Unknown { Sent::Unknown } else { Sent::Answered };
        let grants = state.history.grants.entry(Name::new(tenant, request_id)).or_default();
        grants.push(GrantSent { credits_micros: *credits_micros, answer });
        sent
    }

    async fn send_extension(&self, began: u64, operation: &Operation) -> Sent {
        let Operation::Extend { reservation, request_id, additional_micros, ttl } = operation else {
            return Sent::Answered;
        };
        let request = ExtendRequest {
            tenant_id: reservation.tenant.clone(),
            reservation_id: reservation.id.clone(),
            request_id: request_id.clone(),
            ttl: Some(Duration { seconds: *ttl, nanos: 0 }),
            additional_credits_micros: *additional_micros,
        };
        let response = self.connection.tracking().extend(self.connection.ask(request)).await;
        let mut state = self.state();
        let span = state.span(began);
        let (sent, replayed) = match response.map_err(|status| Failure::of(&status)) {
            Ok(response) => {
                let response = response.into_inner();
                let allowed = response.verdict.is_some_and(|it| it.decision() == Decision::Allowed);
                (Sent::Answered, allowed.then_some(response.replayed))
            }
            Err(Failure::Unknown) => (Sent::Unknown, None),
            Err(Failure::NotTaken) => (Sent::Answered, None),
            Err(Failure::Reason(reason)) => {
                if !reason.starts_with("RESERVATION_") || reason == "RESERVATION_NOT_FOUND" {
                    state.history.defects.push(format!("{reason} to {operation:?}"));
                }
                (Sent::Answered, None)
            }
        };
        let extension = Extension { span, reservation: reservation.id.clone(), replayed };
        let name = Name::new(&reservation.tenant, request_id);
        state.history.extensions.entry(name).or_default().push(extension);
        sent
    }

    async fn send_end(&self, began: u64, reservation: &Name, kind: EndKind) -> Sent {
        let answer = match kind {
            EndKind::Settle { credits_micros, status_code } => {
                let request = SettleRequest {
                    tenant_id: reservation.tenant.clone(),
                    reservation_id: reservation.id.clone(),
                    credits_micros: Some(credits_micros),
                    status_code,
                    ..Default::default()
                };
                let response = self.connection.tracking().settle(self.connection.ask(request)).await;
                response.map(|response| {
                    let response = response.into_inner();
                    (response.credits_charged_micros, response.replayed)
                })
            }
            EndKind::Release => {
                let request = ReleaseRequest {
                    tenant_id: reservation.tenant.clone(),
                    reservation_id: reservation.id.clone(),
                };
                let response = self.connection.tracking().release(self.connection.ask(request)).await;
                response.map(|response| (0, response.into_inner().replayed))
            }
        };
        self.state().note_end(began, reservation, kind, answer)
    }
}

fn track_request(plan: &CallPlan) -> TrackRequest {
    let mode = if plan.way == Way::Record { TrackMode::Record } else { TrackMode::Decide };
    TrackRequest {
        event: Some(plan.event.clone()),
        tenant_id: plan.tenant.clone(),
        mode: mode.into(),
        ..Default::default()
    }
}

fn answer_of_track(response: TrackResponse) -> Answer {
    let durability = response.durability();
    answer_of(response.verdict, response.replayed, durability, "")
}

fn answer_of(verdict: Option<Verdict>, replayed: bool, durability: Durability, reservation: &str) -> Answer {
    let verdict = verdict.unwrap_or_default();
    if verdict.decision() == Decision::Denied {
        return Answer::Denied(verdict.reason());
    }
    Answer::Kept(Kept {
        decision: verdict.decision(),
        charged_micros: verdict.credits_charged_micros,
        replayed,
        durability,
        reservation: reservation.to_owned(),
    })
}

fn failure_of(error: &ItemError) -> Failure {
    Failure::of_reason(&error.reason)
}
