//! What the callers know together: the log, and what can follow on it.

use tollgate_client::v1::Completion;
use tonic::Status;

use super::Sent;
use crate::connection::Failure;
use crate::history::{
    Answer, Call, CompletionSent, End, EndAnswer, EndKind, Ending, History, Kept, Name, Span, Way,
};
use crate::workload::{CallPlan, Operation};

/// What the callers know.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) history: History,
    /// To be sent again soon.
    pub(crate) again: Vec<Operation>,
    /// To be sent again after the next restart.
    pub(crate) after_restart: Vec<Operation>,
    /// What was not answered.
    pub(crate) unanswered: Vec<Operation>,
    /// Events that can be completed.
    pub(crate) open_events: Vec<Name>,
    /// Reservations that live, with what they hold.
    pub(crate) reservations: Vec<(Name, i64)>,
}

impl State {
    /// What is to be sent once the server is back. A caller that has heard that an event is kept does not ask again: if it was
    /// lost, nobody brings it back.
    pub(crate) fn take_due(&mut self) -> Vec<Operation> {
        let mut due = std::mem::take(&mut self.after_restart);
        for operation in std::mem::take(&mut self.unanswered) {
            match operation {
                Operation::Call(plan) if self.is_kept(&plan) => {}
                Operation::Batch(mut plans) => {
                    plans.retain(|plan| !self.is_kept(plan));
                    if !plans.is_empty() {
                        due.push(Operation::Batch(plans));
                    }
                }
                other => due.push(other),
            }
        }
        due
    }

    fn is_kept(&self, plan: &CallPlan) -> bool {
        let calls = self.history.calls.get(&Name::new(&plan.tenant, &plan.event.id));
        calls.is_some_and(|calls| calls.iter().any(|call| call.kept().is_some()))
    }

    pub(super) fn span(&mut self, began: u64) -> Span {
        Span { began, ended: self.history.tick() }
    }

    pub(super) fn note_call(&mut self, began: u64, plan: &CallPlan, answer: Result<Answer, Failure>) -> Sent {
        let name = Name::new(&plan.tenant, &plan.event.id);
        let answer = match answer {
            Ok(answer) => answer,
            Err(Failure::Unknown) => Answer::Unknown,
            Err(Failure::NotTaken) => Answer::NotTaken,
            Err(Failure::Reason(reason)) if reason == "EVENT_CONFLICT" => Answer::Conflict,
            // It was never decided, and is too old for that now.
            Err(Failure::Reason(reason)) if reason == "INVALID_FIELD" && plan.is_old() => Answer::NotTaken,
            Err(Failure::Reason(reason)) => {
                self.history.defects.push(format!("{reason} to {plan:?}"));
                Answer::NotTaken
            }
        };
        if let Answer::Kept(kept) = &answer {
            self.learn(&name, plan, kept);
        }
        let sent = if answer == Answer::Unknown { Sent::Unknown } else { Sent::Answered };
        let span = self.span(began);
        let call = Call { span, event: plan.event.clone(), way: plan.way, answer };
        self.history.calls.entry(name).or_default().push(call);
        sent
    }

    /// What can be done to an event that is kept.
    fn learn(&mut self, name: &Name, plan: &CallPlan, kept: &Kept) {
        // The first answer may have been lost, and then a replay is the first that was heard.
        if self.is_kept(plan) {
            return;
        }
        match plan.way {
            Way::Reserve { hold_micros } if plan.ttl > 1 => {
                self.reservations.push((Name::new(&plan.tenant, &kept.reservation), hold_micros));
            }
            Way::Decide | Way::Record if plan.event.status_code == 0 => self.open_events.push(name.clone()),
            Way::Decide | Way::Record | Way::Reserve { .. } => {}
        }
    }

    pub(super) fn note_completions(
        &mut self,
        began: u64,
        tenant: &str,
        completions: &[Completion],
        answers: Vec<Result<bool, Failure>>,
    ) -> Sent {
        let span = self.span(began);
        let mut all = Sent::Answered;
        for (completion, answer) in completions.iter().zip(answers) {
            let answer = match answer {
                Ok(replayed) => Ending::Done { replayed },
                Err(Failure::Unknown) => {
                    all = Sent::Unknown;
                    Ending::Unknown
                }
                Err(Failure::NotTaken) => Ending::NotTaken,
                Err(Failure::Reason(reason)) => match reason.as_str() {
                    "COMPLETION_CONFLICT" => Ending::Conflict,
                    "EVENT_NOT_FOUND" => Ending::NotFound,
                    _ => {
                        self.history.defects.push(format!("{reason} to {completion:?}"));
                        Ending::NotTaken
                    }
                },
            };
            let name = Name::new(tenant, &completion.event_id);
            let sent = CompletionSent { span, completion: completion.clone(), answer };
            self.history.completions.entry(name).or_default().push(sent);
        }
        all
    }

    pub(super) fn note_end(
        &mut self,
        began: u64,
        reservation: &Name,
        kind: EndKind,
        answer: Result<(i64, bool), Status>,
    ) -> Sent {
        let answer = match answer.map_err(|status| Failure::of(&status)) {
            Ok((charged_micros, replayed)) => EndAnswer::Done { charged_micros, replayed },
            Err(Failure::Unknown) => EndAnswer::Unknown,
            Err(Failure::NotTaken) => EndAnswer::NotTaken,
            Err(Failure::Reason(reason)) if reason == "SETTLEMENT_ABOVE_HOLD" => {
                // It lives on, and is to be ended for nothing.
                self.reservations.push((reservation.clone(), 0));
                EndAnswer::AboveHold
            }
            Err(Failure::Reason(reason)) if reason.starts_with("RESERVATION_") => EndAnswer::Gone(reason),
            Err(Failure::Reason(reason)) => {
                self.history.defects.push(format!("{reason} to {kind:?} of {reservation:?}"));
                EndAnswer::NotTaken
            }
        };
        let sent = if answer == EndAnswer::Unknown { Sent::Unknown } else { Sent::Answered };
        let span = self.span(began);
        self.history.ends.entry(reservation.clone()).or_default().push(End { span, kind, answer });
        sent
    }
}
