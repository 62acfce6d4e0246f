//! Accounts that absorb records in every order.

use crate::ledger::account::Account;
use crate::ledger::account::absorbing::{CLOSED_KEPT, total};
use crate::ledger::event::Event;
use crate::ledger::record::{
    Body, Breakage, End, EndKind, Extension, GrantBurn, GrantPosted, Hold, Record, Usage,
};
use crate::time::HOUR;

fn record((counter_epoch, number): (u64, u64), body: Body) -> Record {
    Record { counter_epoch, number, body: Some(body), ..Record::default() }
}

/// A reservation until 100 that was decided as number 5 of epoch 1, and extensions by epoch, number and expiry.
fn check(extensions: &[((u64, u64), i64)], expected: i64) {
    let hold = Hold { reservation: "r".to_owned(), expires_at_micros: 100, excess_allowed: false };
    let usage = Usage { event: Event::default(), hold: Some(hold), ..Usage::default() };
    let mut account = Account::default();
    account.absorb(&record((1, 5), Body::Usage(usage)));
    for (decided, expires_at_micros) in extensions {
        let expires_at_micros = *expires_at_micros;
        let extension = Extension { reservation: "r".to_owned(), expires_at_micros, ..Extension::default() };
        account.absorb(&record(*decided, Body::Extension(extension)));
    }
    assert_eq!(account.hold("r").expect("it lives").expires_at_micros, expected);
}

#[test]
fn the_last_extension_decides_when_a_reservation_ends() {
    check(&[], 100);
    check(&[((1, 6), 200)], 200);
    check(&[((1, 6), 50)], 50);
    check(&[((1, 7), 50), ((1, 6), 200)], 50);
    check(&[((1, 7), 200), ((2, 1), 50)], 50);
}

fn burned(micros: i64) -> Vec<GrantBurn> {
    vec![GrantBurn { grant: "g".to_owned(), micros }]
}

/// A grant of 20; a reservation that holds 6, is extended by 3, and by time alone, and then pays 7 and frees 2.
fn life() -> [Record; 5] {
    let hold = Hold { reservation: "r".to_owned(), expires_at_micros: 100, excess_allowed: false };
    let opened = Usage { event: Event::default(), burns: burned(6), hold: Some(hold), ..Usage::default() };
    let extended =
        |expires_at_micros, burns| Extension { reservation: "r".to_owned(), expires_at_micros, burns };
    let end = End {
        reservation: "r".to_owned(),
        kind: EndKind::Settled.into(),
        paid: burned(7),
        released: burned(2),
        ..End::default()
    };
    let grant = GrantPosted { id: "g".to_owned(), micros: 20, ..GrantPosted::default() };
    [
        record((0, 0), Body::Grant(grant)),
        record((1, 1), Body::Usage(opened)),
        record((1, 2), Body::Extension(extended(200, burned(3)))),
        record((1, 3), Body::Extension(extended(300, Vec::new()))),
        record((1, 4), Body::End(end)),
    ]
}

/// All orders in which five records of five slots may come.
fn orders(left: &[usize]) -> Vec<Vec<usize>> {
    if left.is_empty() {
        return vec![Vec::new()];
    }
    let first = |&one: &usize| {
        let rest = left.iter().copied().filter(|other| *other != one).collect::<Vec<_>>();
        orders(&rest).into_iter().map(move |order| [vec![one], order].concat())
    };
    left.iter().flat_map(first).collect()
}

#[test]
fn records_of_several_slots_add_up_in_every_order() {
    let life = life();
    for order in orders(&[0, 1, 2, 3, 4]) {
        let mut account = Account::default();
        for place in &order {
            account.absorb(&life[*place]);
        }
        let sums = (account.balance_micros(), account.held_micros(), account.debited_micros);
        assert_eq!(sums, (13, 0, 7), "{order:?}");
        assert!(account.hold("r").is_none(), "{order:?}");
        account.decided_at_micros = HOUR + 301;
        account.clean();
        assert_eq!(account.holds, [], "{order:?}");
    }
}

#[test]
fn a_living_reservation_has_all_that_its_slots_hold_in_every_order() {
    let life = life();
    for order in orders(&[0, 1, 2, 3]) {
        let mut account = Account::default();
        for place in &order {
            account.absorb(&life[*place]);
        }
        let hold = account.hold("r").expect("it lives");
        assert_eq!((total(&hold.burns), hold.expires_at_micros), (9, 300), "{order:?}");
        assert_eq!((hold.burns[0].micros, account.held_micros()), (6, 9), "{order:?}: what it took first");
    }
}

#[test]
fn an_extension_that_never_became_durable_is_freed_by_nobodys_credits() {
    // The counters held 6 and 3 more; the journal has the 6, and an end that paid 7 and freed 2.
    let life = life();
    for order in orders(&[0, 1, 4]) {
        let mut account = Account::default();
        for place in &order {
            account.absorb(&life[*place]);
        }
        let sums = (account.balance_micros(), account.held_micros(), account.debited_micros);
        assert_eq!(sums, (13, 0, 7), "{order:?}");
        account.decided_at_micros = HOUR + 1;
        account.clean();
        assert_eq!(account.holds, [], "{order:?}");
    }
}

fn granted(micros: i64, expires_at_micros: Option<i64>) -> Record {
    let grant = GrantPosted { id: "g".to_owned(), micros, expires_at_micros, ..GrantPosted::default() };
    record((0, 0), Body::Grant(grant))
}

fn paid(micros: i64, period_start_micros: i64) -> Record {
    let burns = burned(micros);
    record((0, 0), Body::Usage(Usage { burns, period_start_micros, ..Usage::default() }))
}

/// What it says of its credits: free, held, paid, lost and beyond all grants.
fn words(account: &Account) -> [i64; 5] {
    let (balance, held) = (account.balance_micros(), account.held_micros());
    [balance, held, account.debited(), account.breakage_micros, account.overage()]
}

#[test]
fn what_a_grant_no_longer_covers_is_overage_in_every_order() {
    // Of 20, 6 are held, 15 and 4 are paid by who could not see each other, and of the 6 only 2 are paid in the end.
    let [_, opened, ..] = life();
    let end = End {
        reservation: "r".to_owned(),
        kind: EndKind::Settled.into(),
        paid: burned(2),
        released: burned(4),
        ..End::default()
    };
    let life = [granted(20, None), opened, paid(15, 0), paid(4, 0), record((1, 2), Body::End(end))];
    for order in orders(&[0, 1, 2, 3, 4]) {
        let mut account = Account::default();
        for place in &order {
            account.absorb(&life[*place]);
            account.clean();
            let [balance, held, paid, lost, _] = words(&account);
            assert_eq!(account.granted_micros - paid - lost - held, balance, "{order:?}");
        }
        assert_eq!(words(&account), [0, 0, 20, 0, 1], "{order:?}");
    }
}

#[test]
fn a_hold_on_what_a_grant_no_longer_has_holds_what_it_has() {
    let [_, opened, ..] = life();
    let mut account = Account::default();
    for record in [granted(20, None), paid(17, 0), opened] {
        account.absorb(&record);
    }
    assert_eq!(words(&account), [0, 3, 17, 0, 0]);
}

#[test]
fn a_grant_that_ends_below_zero_leaves_overage_and_no_breakage() {
    let mut account = Account::default();
    account.absorb(&granted(20, Some(100)));
    account.absorb(&paid(23, 0));
    account.absorb(&record((0, 0), Body::Breakage(Breakage { grant: "g".to_owned() })));
    assert_eq!(words(&account), [0, 0, 20, 0, 3]);
    account.decided_at_micros = CLOSED_KEPT + 100;
    account.clean();
    assert_eq!((words(&account), account.grants.len()), ([0, 0, 20, 0, 3], 0));
}

#[test]
fn what_comes_after_its_grant_was_closed_is_overage() {
    let grant = GrantPosted {
        id: "g".to_owned(),
        micros: 20,
        expires_at_micros: Some(100),
        ..GrantPosted::default()
    };
    let late = Usage { event: Event::default(), burns: burned(4), ..Usage::default() };
    let mut account = Account::default();
    account.absorb(&record((0, 0), Body::Grant(grant)));
    account.absorb(&record((0, 0), Body::Breakage(Breakage { grant: "g".to_owned() })));
    account.clean();
    account.absorb(&record((1, 1), Body::Usage(late)));
    let sums = (account.balance_micros(), account.breakage_micros, account.overage_micros);
    assert_eq!((sums, account.debited_micros), ((0, 20, 4), 0));
    account.decided_at_micros = CLOSED_KEPT + 101;
    account.clean();
    assert_eq!(account.grants, []);
}
