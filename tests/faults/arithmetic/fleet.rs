//! What a fault of the stores may do to a log, and what it may not.

use prost_types::Timestamp;
use tollgate_client::v1::{Decision, Durability, LedgerEvent};

use super::case::{Case, PRICE, allowed, kept};
use crate::history::{Answer, Blind, Blindness, Kept, Span};
use crate::verdict::Promise;

const SECOND: i64 = 1_000_000;

/// The counters' store forgot, and then came the last call of the log. Its sliding window has 3 a second.
fn forgotten(case: &mut Case, from: i64, until: i64, kind: Blindness) {
    let tick = case.history.tick();
    case.history.blinds.push(Blind { span: Span { began: tick, ended: tick }, from, until, kind });
}

/// One call more at second 0, which began before what happens next if it is `on_its_way`.
fn fourth(case: &mut Case, on_its_way: bool) {
    for (id, used) in [("five", 2), ("six", 3)] {
        case.sent(id, allowed(false));
        case.events.push(LedgerEvent { counters: Vec::new(), ..kept(id, used) });
    }
    if on_its_way {
        let (_, calls) = case.history.calls.iter_mut().find(|(name, _)| name.id == "six").unwrap();
        calls[0].span.ended = u64::MAX;
    }
}

#[test]
fn what_was_on_its_way_may_pass_a_limit_when_counters_are_lost() {
    let check = |on_its_way: bool, from: i64, kind: Blindness, is_clean: bool| {
        let mut case = Case::honest();
        fourth(&mut case, on_its_way);
        forgotten(&mut case, from, from, kind);
        let verdict = case.verdict();
        assert_eq!(
            !verdict.breaks(Promise::LimitsHeld),
            is_clean,
            "{on_its_way} {from} {kind:?}:\n{verdict}"
        );
        assert!(!is_clean || !verdict.beyond.is_empty(), "it is not said what passed");
    };
    check(true, 0, Blindness::Lost, true);
    check(false, 0, Blindness::Lost, false);
    // Each replica has its share while the counters are away.
    check(false, 0, Blindness::Away, true);
    // The loss of a mark alone, and a loss at another time, explain nothing.
    check(true, 0, Blindness::JournalAway, false);
    check(true, 5 * SECOND, Blindness::Lost, false);
}

#[test]
fn a_retry_may_be_a_first_answer_where_its_mark_was_lost() {
    let check = |durability: Durability, is_blind: bool, is_clean: bool| {
        let mut case = Case::honest();
        let reservation = String::new();
        let answer = Kept {
            decision: Decision::Allowed,
            charged_micros: PRICE,
            replayed: false,
            durability,
            reservation,
        };
        case.sent("five", Answer::Kept(answer));
        case.events
            .push(LedgerEvent { decided_at: Some(Timestamp { seconds: 60, nanos: 0 }), ..kept("five", 2) });
        if is_blind {
            let (_, calls) = case.history.calls.iter_mut().find(|(name, _)| name.id == "five").unwrap();
            calls[0].span.ended += 1;
            forgotten(&mut case, 60 * SECOND, 60 * SECOND, Blindness::Lost);
        }
        case.sent("five", allowed(false));
        let verdict = case.verdict();
        assert_eq!(verdict.is_clean(), is_clean, "{durability:?} {is_blind}:\n{verdict}");
    };
    check(Durability::Committed, false, false);
    check(Durability::Committed, true, true);
    check(Durability::Local, false, true);
}

#[test]
fn what_is_kept_locally_must_be_there_in_the_end() {
    let mut case = Case::honest();
    let Answer::Kept(kept) = allowed(false) else { return };
    case.sent("five", Answer::Kept(Kept { durability: Durability::Local, ..kept }));
    assert!(case.verdict().breaks(Promise::NothingLost));
}
