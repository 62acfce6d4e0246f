//! I1, I2 and I3: what was acknowledged is there, once, with one answer, and nothing else is.

use std::collections::BTreeMap;

use tollgate_client::v1::{Completion, Durability, LedgerEvent, UsageEvent};

use super::{Promise, Verdict};
use crate::evidence::Evidence;
use crate::history::{Answer, Call, CompletionSent, EndAnswer, EndKind, Ending, History, Kept, Name, Way};

/// Marks are bounded in number; each operation is two ticks, and the largest has 151 events.
const REMEMBERED_TICKS: u64 = 5_000;
/// A little less than the hour for which marks are read back.
const REMEMBERED_SECONDS: i64 = 55 * 60;

pub(crate) fn judge(history: &History, evidence: &Evidence, verdict: &mut Verdict) {
    let mut ledger: BTreeMap<Name, Vec<&LedgerEvent>> = BTreeMap::new();
    for (tenant, has) in &evidence.tenants {
        for kept in &has.events {
            let id = kept.event.as_ref().map_or("", |event| &event.id);
            ledger.entry(Name::new(tenant, id)).or_default().push(kept);
        }
    }
    for (name, calls) in &history.calls {
        let rows = ledger.get(name).map_or(&[][..], Vec::as_slice);
        nothing_lost(name, calls, rows, verdict);
        let may_be_forgotten = |call: &Call| may_be_forgotten(call, history, evidence.gathered_at);
        answers_agree(name, calls, may_be_forgotten, verdict);
        // Of two outcomes of an event without a mark the ledger keeps the first, whatever was answered (rules H, Q).
        if !calls.iter().any(may_be_forgotten) {
            completions_agree(name, history, rows, verdict);
        }
    }
    for (name, rows) in &ledger {
        if rows.len() > 1 {
            verdict.accuse(Promise::NothingTwice, format!("{name:?} is {} times in the ledger", rows.len()));
        }
        let calls = history.calls.get(name).map_or(&[][..], Vec::as_slice);
        for row in rows {
            nothing_invented(name, calls, row, history, verdict);
        }
    }
}

fn nothing_lost(name: &Name, calls: &[Call], rows: &[&LedgerEvent], verdict: &mut Verdict) {
    if let Some(call) = calls.iter().find(|call| call.kept().is_some())
        && rows.is_empty()
    {
        verdict.accuse(Promise::NothingLost, format!("{name:?} was acknowledged and is gone: {call:?}"));
    }
}

/// Rule Q: all answers to one id are the first one, as long as it is remembered. The charge is the same even then.
fn answers_agree(
    name: &Name,
    calls: &[Call],
    may_be_forgotten: impl Fn(&Call) -> bool,
    verdict: &mut Verdict,
) {
    let mut accuse = |detail: &str, one: &Call, other: &Call| {
        let detail = format!("{name:?}: {detail}: {one:?} and {other:?}");
        verdict.accuse(Promise::NothingTwice, detail);
    };
    let all: Vec<(&Call, &Kept)> =
        calls.iter().filter_map(|call| call.kept().map(|kept| (call, kept))).collect();
    if let Some((first, first_kept)) = all.first()
        && let Some((call, _)) = all.iter().find(|(_, kept)| kept.charged_micros != first_kept.charged_micros)
    {
        accuse("two charges", first, call);
    }
    let kept: Vec<&(&Call, &Kept)> = all.iter().filter(|(call, _)| !may_be_forgotten(call)).collect();
    let Some((first, first_kept)) = kept.first() else { return };
    for (call, answer) in &kept {
        if answer.decision != first_kept.decision || answer.reservation != first_kept.reservation {
            accuse("two decisions", first, call);
        }
        if canonical(&call.event) != canonical(&first.event) {
            accuse("two contents", first, call);
        }
    }
    if let [(one, _), (other, _), ..] =
        kept.iter().filter(|(_, kept)| !kept.replayed).collect::<Vec<_>>().as_slice()
    {
        accuse("two first answers", one, other);
    }
    for call in calls.iter().filter(|call| !may_be_forgotten(call)) {
        let is_remembered = |earlier: &Call| call.span.began - earlier.span.ended < REMEMBERED_TICKS;
        let known =
            kept.iter().find(|(earlier, _)| call.span.is_after(earlier.span) && is_remembered(earlier));
        let Some((earlier, _)) = known else { continue };
        let same = canonical(&call.event) == canonical(&earlier.event);
        match &call.answer {
            Answer::Denied(_) => accuse("refused after it was kept", earlier, call),
            Answer::Conflict if same => accuse("no conflict, and called one", earlier, call),
            Answer::Kept(kept) if !kept.replayed => accuse("not called a replay", earlier, call),
            Answer::Kept(_) | Answer::Conflict | Answer::NotTaken | Answer::Unknown => {}
        }
    }
}

/// Whether there may be no mark of a call. What was recorded of a time before the last hour is not read back when counters
/// are loaded.
fn may_be_forgotten(call: &Call, history: &History, gathered_at: i64) -> bool {
    let occurred_at = call.event.occurred_at.map_or(i64::MAX, |at| at.seconds);
    let is_old = call.way == Way::Record && occurred_at < gathered_at - REMEMBERED_SECONDS;
    is_old || is_unmarked(call, history)
}

/// What was on its way while the counters' store was away or forgot may be in none (rule N), and a mark of what is kept
/// locally counts for nothing after ten seconds (rules E, Q).
fn is_unmarked(call: &Call, history: &History) -> bool {
    let is_local = call.kept().is_some_and(|kept| kept.durability == Durability::Local);
    is_local || history.is_blind(call.span)
}

fn nothing_invented(
    name: &Name,
    calls: &[Call],
    row: &LedgerEvent,
    history: &History,
    verdict: &mut Verdict,
) {
    let mut accuse = |detail: String| verdict.accuse(Promise::NothingInvented, format!("{name:?}: {detail}"));
    let nothing = UsageEvent::default();
    let event = row.event.as_ref().unwrap_or(&nothing);
    // Without a mark the ledger keeps what came first, whatever was answered to what came second (rule H).
    let certain = calls.iter().any(|call| call.kept().is_some())
        && !calls.iter().any(|call| is_unmarked(call, history));
    let possible: Vec<&Call> = calls
        .iter()
        .filter(|call| call.kept().is_some() || (!certain && call.answer == Answer::Unknown))
        .collect();
    if possible.is_empty() {
        accuse(format!("is in the ledger, and its answers were {calls:?}"));
        return;
    }
    let outcomes = outcomes(name, row, history);
    let explained = possible.iter().any(|call| {
        let plain = outcomes.none.then(|| canonical(&call.event));
        let completed = outcomes.possible.iter().map(|outcome| completed(&call.event, outcome));
        plain.into_iter().chain(completed).any(|sent| same_content(&sent, event))
    });
    if !explained {
        let sent = &possible[0].event;
        accuse(format!("was sent as {sent:?} with {:?}, is kept as {event:?}", outcomes.possible));
    }
}

/// What may have been added to an event since.
struct Outcomes {
    /// Whether it may have none.
    none: bool,
    possible: Vec<Completion>,
}

fn outcomes(name: &Name, row: &LedgerEvent, history: &History) -> Outcomes {
    let sent = history.completions.get(name).map_or(&[][..], Vec::as_slice);
    let ends = history.ends.get(&Name::new(&name.tenant, &row.reservation_id)).map_or(&[][..], Vec::as_slice);
    let settled = |kind: EndKind| match kind {
        EndKind::Settle { status_code, .. } => Some(Completion { status_code, ..Default::default() }),
        EndKind::Release => None,
    };
    let done = |one: &&CompletionSent| matches!(one.answer, Ending::Done { .. });
    let ended = ends.iter().find(|end| matches!(end.answer, EndAnswer::Done { .. }));
    let mut certain: Vec<Completion> = sent.iter().filter(done).map(|one| one.completion.clone()).collect();
    certain.extend(ended.and_then(|end| settled(end.kind)));
    let is_blind = sent.iter().any(|one| history.is_blind(one.span))
        || ends.iter().any(|end| history.is_blind(end.span));
    if !certain.is_empty() && !is_blind {
        return Outcomes { none: false, possible: certain };
    }
    let unknown = sent.iter().filter(|one| one.answer == Ending::Unknown).map(|one| one.completion.clone());
    let unknown_ends = ends.iter().filter(|end| end.answer == EndAnswer::Unknown);
    let unknown = unknown.chain(unknown_ends.filter_map(|end| settled(end.kind)));
    let is_certain = !certain.is_empty();
    certain.extend(unknown);
    Outcomes { none: !is_certain, possible: certain }
}

/// An outcome is added once; an event that was acknowledged is known.
fn completions_agree(name: &Name, history: &History, rows: &[&LedgerEvent], verdict: &mut Verdict) {
    let sent = history.completions.get(name).map_or(&[][..], Vec::as_slice);
    if sent.iter().any(|one| history.is_blind(one.span)) {
        return;
    }
    let done: Vec<&CompletionSent> =
        sent.iter().filter(|one| matches!(one.answer, Ending::Done { .. })).collect();
    // Where the mark of the event is gone, two sendings at once may both be called the first. The outcome is one.
    if done.iter().any(|one| one.completion != done[0].completion) {
        verdict.accuse(Promise::NothingTwice, format!("{name:?} was completed more than once: {done:?}"));
    }
    let acknowledged = history.calls[name].iter().filter(|call| call.kept().is_some());
    let known_since = acknowledged.map(|call| call.span.ended).min();
    for one in sent {
        let after =
            |other: &CompletionSent| one.span.is_after(other.span) && other.completion == one.completion;
        match one.answer {
            Ending::NotFound if known_since.is_some_and(|since| one.span.began > since) => {
                verdict.accuse(Promise::NothingLost, format!("{name:?} was kept, and cannot be completed"));
            }
            Ending::Conflict if done.iter().any(|other| after(other)) => {
                verdict.accuse(Promise::NothingTwice, format!("{name:?}: one outcome is called two"));
            }
            _ => {}
        }
    }
    if let (Some(one), [row]) = (done.first(), rows)
        && row.event.as_ref().is_none_or(|event| event.status_code != one.completion.status_code)
    {
        verdict.accuse(Promise::NothingLost, format!("{name:?}: the outcome {one:?} is not on {row:?}"));
    }
}

/// The same in one form: what is unset is what it means.
fn canonical(event: &UsageEvent) -> UsageEvent {
    let mut event = event.clone();
    event.weight = Some(event.weight.unwrap_or(1));
    event.tokens = event.tokens.filter(|tokens| *tokens != Default::default());
    event
}

fn completed(event: &UsageEvent, outcome: &Completion) -> UsageEvent {
    let mut event = canonical(event);
    event.status_code = outcome.status_code;
    event.latency = event.latency.or(outcome.latency);
    event.tokens = event.tokens.or(outcome.tokens);
    event.quantities.extend(outcome.quantities.clone());
    event
}

/// The server sets the time where the caller did not.
fn same_content(sent: &UsageEvent, kept: &UsageEvent) -> bool {
    let mut kept = canonical(kept);
    if sent.occurred_at.is_none() {
        kept.occurred_at = None;
    }
    *sent == kept
}

/// How an event that is kept was brought, as far as that is known.
pub(crate) fn way_of(calls: &[Call]) -> Option<Way> {
    calls.iter().find(|call| call.kept().is_some() || call.answer == Answer::Unknown).map(|call| call.way)
}
