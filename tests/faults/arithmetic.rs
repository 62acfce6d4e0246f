//! The arithmetic of the verdict on logs made by hand: each kind of lie is found, and the truth is not accused.

mod case;
mod fleet;

use prost_types::Timestamp;
use tollgate_client::v1::{DenialReason, LedgerEvent};

use self::case::{Case, PRICE, TENANT, allowed, complete, kept};
use crate::history::{
    Answer, Blind, Blindness, End, EndAnswer, EndKind, Ending, GrantAnswer, GrantSent, Kept, Name, Span,
};
use crate::verdict::Promise;

type Lie = fn(&mut Case);

#[test]
fn the_truth_is_not_accused() {
    let mut case = Case::honest();
    let verdict = case.verdict();
    assert!(verdict.is_clean(), "{verdict}");

    // An answer that was lost may or may not be kept, and a retry is a replay.
    case.sent("four", Answer::Unknown);
    assert!(case.verdict().is_clean());
    case.events.push(kept("four", 2));
    assert!(case.verdict().is_clean());
    case.sent("four", allowed(true));
    assert!(case.verdict().is_clean());
    // What was refused may pass later.
    case.sent("three", allowed(false));
    case.events.push(kept("three", 3));
    case.events[3].decided_at = Some(Timestamp { seconds: 60, nanos: 0 });
    let verdict = case.verdict();
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn a_lie_about_an_event_is_found() {
    use Promise::{NothingInvented, NothingLost, NothingTwice};
    check(&[
        ("an acknowledged event is gone", NothingLost, |case| drop(case.events.pop())),
        ("an event is there twice", NothingTwice, |case| case.events.push(kept("one", 2))),
        ("an event was sent by nobody", NothingInvented, |case| case.events.push(kept("nobody", 2))),
        ("a refused event is there", NothingInvented, |case| case.events.push(kept("three", 2))),
        ("another content is kept", NothingInvented, |case| {
            case.events[0].event.as_mut().unwrap().method = "GET".to_owned();
        }),
        ("a retry is not called one", NothingTwice, |case| case.sent("one", allowed(false))),
        ("a retry is refused", NothingTwice, |case| {
            case.sent("one", Answer::Denied(DenialReason::RateLimited));
        }),
        ("a retry is called another content", NothingTwice, |case| case.sent("one", Answer::Conflict)),
        ("a retry has another price", NothingTwice, |case| {
            let Answer::Kept(kept) = allowed(true) else { return };
            case.sent("one", Answer::Kept(Kept { charged_micros: PRICE + 1, ..kept }));
        }),
        ("a known event cannot be completed", NothingLost, |case| complete(case, 200, Ending::NotFound)),
        ("an outcome is gone", NothingLost, |case| complete(case, 200, Ending::Done { replayed: false })),
        ("an event has two outcomes", NothingTwice, |case| {
            complete(case, 200, Ending::Done { replayed: false });
            complete(case, 404, Ending::Done { replayed: false });
        }),
        ("an outcome was sent by nobody", NothingInvented, |case| {
            case.events[0].event.as_mut().unwrap().status_code = 200;
        }),
    ]);
}

#[test]
fn a_lie_about_a_sum_is_found() {
    use Promise::SumsExact;
    check(&[
        ("a total is wrong", SumsExact, |case| case.lie = Some(|has| has.totals.calls += 1)),
        ("a minute is wrong", SumsExact, |case| {
            case.lie = Some(|has| has.minutes[0].totals.as_mut().unwrap().units += 1);
        }),
        ("an hour is missing", SumsExact, |case| case.lie = Some(|has| has.hours.clear())),
        ("a day is there twice", SumsExact, |case| {
            case.lie = Some(|has| has.days.push(has.days[0].clone()));
        }),
        ("a value of a dimension is wrong", SumsExact, |case| {
            case.lie = Some(|has| has.dimensions[0].1[0].value = "/other".to_owned());
        }),
    ]);
}

#[test]
fn a_lie_about_credits_is_found() {
    use Promise::CreditsConserved;
    check(&[
        ("the balance is too high", CreditsConserved, |case| {
            case.lie = Some(|has| has.wallet.balance_micros += 1);
        }),
        ("a debit is counted twice", CreditsConserved, |case| {
            case.lie = Some(|has| {
                has.wallet.debited_micros += PRICE;
                has.wallet.balance_micros -= PRICE;
                has.wallet.grants[0].remaining_micros -= PRICE;
            });
        }),
        ("a grant is gone", CreditsConserved, |case| {
            let grant = GrantSent { credits_micros: 7, answer: GrantAnswer::Granted { id: "h".to_owned() } };
            case.history.grants.insert(Name::new(TENANT, "second"), vec![grant]);
        }),
        ("a charge is not the price", CreditsConserved, |case| {
            case.events[0].credits_charged_micros += 1;
            case.events[0].grants[0].credits_micros += 1;
        }),
    ]);
}

/// A grant of 5 was burned twice: once by who could not see the other.
fn burned_twice() -> Case {
    let mut case = Case::honest();
    let name = Name::new(TENANT, "grant");
    case.history.grants.get_mut(&name).unwrap()[0].credits_micros = PRICE;
    case.lie = Some(|has| {
        has.wallet.granted_micros = PRICE;
        has.wallet.debited_micros = PRICE;
        has.wallet.overage_micros = PRICE;
        has.wallet.balance_micros = 0;
        has.wallet.grants.clear();
        has.limits.credits_remaining_micros = Some(0);
    });
    case
}

#[test]
fn a_grant_is_burned_twice_only_where_a_store_was_away() {
    let mut case = burned_twice();
    assert!(case.verdict().breaks(Promise::CreditsConserved));
    let span = case.history.calls[&Name::new(TENANT, "one")][0].span;
    case.history.blinds.push(Blind { span, from: 0, until: 0, kind: Blindness::JournalAway });
    let verdict = case.verdict();
    assert!(verdict.is_clean(), "{verdict}");
    case.lie = Some(|has| {
        // As much again is charged to nobody's event.
        has.wallet.overage_micros = 2 * PRICE;
        has.wallet.debited_micros = 0;
        has.wallet.balance_micros = PRICE;
    });
    assert!(case.verdict().breaks(Promise::CreditsConserved));
}

#[test]
fn a_lie_about_a_limit_is_found() {
    use Promise::{CountersAgree, LimitsHeld, NoDefect};
    check(&[
        ("a sliding window let four of three pass", LimitsHeld, |case| {
            for (id, used) in [("five", 2), ("six", 3)] {
                case.sent(id, allowed(false));
                case.events.push(kept(id, used));
            }
        }),
        ("a bucket let more pass than burst and rate", LimitsHeld, |case| {
            // Three at once and three a second later: enough for the window, too many for the bucket.
            for (used, id, seconds) in [(2, "five", 0), (3, "six", 1), (4, "seven", 1), (5, "eight", 1)] {
                case.sent(id, allowed(false));
                let decided_at = Some(Timestamp { seconds, nanos: 0 });
                case.events.push(LedgerEvent { decided_at, ..kept(id, used) });
            }
        }),
        ("two decisions took one unit", LimitsHeld, |case| {
            case.events[1].counters[0] = case.events[0].counters[0].clone();
        }),
        ("the counters are off by one", CountersAgree, |case| {
            case.lie = Some(|has| has.limits.limits[0].remaining = Some(7));
        }),
        ("the server says that it is broken", NoDefect, |case| {
            case.history.defects.push("INTERNAL".to_owned());
        }),
    ]);
}

#[test]
fn a_reservation_that_ends_wrongly_is_found() {
    let settled = |replayed| EndAnswer::Done { charged_micros: PRICE, replayed };
    let settle = EndKind::Settle { credits_micros: PRICE, status_code: 0 };
    let gone = |reason: &str| EndAnswer::Gone(reason.to_owned());
    type Ends<'a> = &'a [(EndKind, EndAnswer)];
    let cases: [(&str, bool, Ends<'_>); 10] = [
        ("once", true, &[(settle, settled(false))]),
        ("once, and asked twice", true, &[(settle, settled(false)), (settle, settled(true))]),
        (
            "a late release",
            true,
            &[(settle, settled(false)), (EndKind::Release, gone("RESERVATION_SETTLED"))],
        ),
        ("twice", false, &[(settle, settled(false)), (settle, settled(false))]),
        (
            "two ways",
            false,
            &[
                (settle, settled(false)),
                (EndKind::Release, EndAnswer::Done { charged_micros: 0, replayed: false }),
            ],
        ),
        ("settled and expired", false, &[(settle, settled(false)), (settle, gone("RESERVATION_EXPIRED"))]),
        ("a retry is no replay", false, &[(settle, settled(false)), (settle, gone("RESERVATION_SETTLED"))]),
        ("released by nobody", false, &[(settle, gone("RESERVATION_RELEASED"))]),
        ("lost", false, &[(settle, gone("RESERVATION_NOT_FOUND"))]),
        ("another price", false, &[(settle, EndAnswer::Done { charged_micros: PRICE + 1, replayed: false })]),
    ];
    for (name, is_right, ends) in cases {
        let mut case = Case::honest();
        for (kind, answer) in ends {
            let span = Span { began: case.history.tick(), ended: case.history.tick() };
            let sent = case.history.ends.entry(Name::new(TENANT, "res_1")).or_default();
            sent.push(End { span, kind: *kind, answer: answer.clone() });
        }
        case.events[0].reservation_id = "res_1".to_owned();
        let verdict = case.verdict();
        assert_eq!(!verdict.breaks(Promise::ReservationsEndOnce), is_right, "{name}:\n{verdict}");
    }
}

fn check(lies: &[(&str, Promise, Lie)]) {
    for (name, promise, lie) in lies {
        let mut case = Case::honest();
        lie(&mut case);
        assert!(case.verdict().breaks(*promise), "not found: {name}:\n{}", case.verdict());
    }
}
