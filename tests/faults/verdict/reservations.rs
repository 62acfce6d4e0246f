//! I7: a reservation ends exactly once, and costs what its end said.

use std::collections::BTreeMap;

use tollgate_client::v1::LedgerEvent;

use super::{Promise, Verdict};
use crate::evidence::Evidence;
use crate::history::{End, EndAnswer, EndKind, History, Name};

pub(crate) fn judge(history: &History, evidence: &Evidence, verdict: &mut Verdict) {
    let mut rows: BTreeMap<Name, &LedgerEvent> = BTreeMap::new();
    for (tenant, has) in &evidence.tenants {
        for row in has.events.iter().filter(|row| !row.reservation_id.is_empty()) {
            if rows.insert(Name::new(tenant, &row.reservation_id), row).is_some() {
                let detail = format!("{tenant}: two events opened `{}`", row.reservation_id);
                verdict.accuse(Promise::ReservationsEndOnce, detail);
            }
        }
    }
    for (name, ends) in &history.ends {
        let mut accuse = |detail: String| {
            verdict.accuse(Promise::ReservationsEndOnce, format!("{name:?}: {detail}: {ends:?}"));
        };
        // Without a mark the ledger keeps the end that came first, whatever was answered to another (rules H, T).
        if !ends.iter().any(|end| history.is_blind(end.span)) {
            ended_once(ends, &mut accuse);
        }
        if let Some(row) = rows.get(name) {
            cost_as_ended(ends, row, &mut accuse);
        }
    }
    extended_once(history, verdict);
}

fn ended_once(ends: &[End], accuse: &mut impl FnMut(String)) {
    let done: Vec<(EndKind, i64, bool)> = ends
        .iter()
        .filter_map(|end| match end.answer {
            EndAnswer::Done { charged_micros, replayed } => Some((end.kind, charged_micros, replayed)),
            _ => None,
        })
        .collect();
    if done.iter().filter(|(_, _, replayed)| !replayed).count() > 1 {
        accuse("ended twice".to_owned());
    }
    if done.iter().any(|(kind, charged, _)| (*kind, *charged) != (done[0].0, done[0].1)) {
        accuse("ended in two ways".to_owned());
    }
    for (kind, charged, _) in &done {
        let price = match kind {
            EndKind::Settle { credits_micros, .. } => *credits_micros,
            EndKind::Release => 0,
        };
        if price != *charged {
            accuse("charged another price than it was ended with".to_owned());
        }
    }
    for end in ends {
        let EndAnswer::Gone(reason) = &end.answer else { continue };
        let is_same = |other: &&End| {
            matches!(other.answer, EndAnswer::Done { .. })
                && other.kind == end.kind
                && end.span.is_after(other.span)
        };
        if ends.iter().any(|other| is_same(&other)) {
            accuse("the same end was no replay".to_owned());
        }
        let could_be = |wanted: fn(&EndKind) -> bool| {
            let happened = |end: &&End| !matches!(end.answer, EndAnswer::Gone(_) | EndAnswer::AboveHold);
            ends.iter().filter(happened).any(|end| wanted(&end.kind))
        };
        match reason.as_str() {
            "RESERVATION_EXPIRED" if !done.is_empty() => accuse("ended and expired".to_owned()),
            "RESERVATION_SETTLED" if !could_be(|kind| matches!(kind, EndKind::Settle { .. })) => {
                accuse("settled by nobody".to_owned());
            }
            "RESERVATION_RELEASED" if !could_be(|kind| *kind == EndKind::Release) => {
                accuse("released by nobody".to_owned());
            }
            "RESERVATION_NOT_FOUND" => accuse("was opened and is gone".to_owned()),
            _ => {}
        }
    }
}

fn cost_as_ended(ends: &[End], row: &LedgerEvent, accuse: &mut impl FnMut(String)) {
    let mut costs: Vec<i64> = ends
        .iter()
        .filter_map(|end| match end.answer {
            EndAnswer::Done { charged_micros, .. } => Some(charged_micros),
            _ => None,
        })
        .collect();
    let unknown = ends.iter().any(|end| end.answer == EndAnswer::Unknown);
    if costs.is_empty() && !unknown {
        // It has expired.
        costs.push(0);
    }
    if !costs.is_empty() && !costs.contains(&row.credits_charged_micros) {
        accuse(format!("costs {} in the ledger", row.credits_charged_micros));
    }
}

/// One request extends once: all its answers but one are replays.
fn extended_once(history: &History, verdict: &mut Verdict) {
    for (name, sent) in &history.extensions {
        let is_remembered = !sent.iter().any(|one| history.is_blind(one.span));
        if is_remembered && sent.iter().filter(|one| one.replayed == Some(false)).count() > 1 {
            let detail = format!("{name:?} extended `{}` more than once", sent[0].reservation);
            verdict.accuse(Promise::ReservationsEndOnce, detail);
        }
    }
}
