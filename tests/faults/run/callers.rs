//! The callers: each sends one operation after the other, and some of them again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::AtUnknown;
use crate::driver::{Driver, Sent};
use crate::workload::{Chooser, Operation};

/// Before the next call of somebody who was not answered.
const UNANSWERED_PAUSE: Duration = Duration::from_millis(50);

/// Calls until the time is over, or until nobody answers any more.
pub(super) async fn call_until(
    driver: Arc<Driver>,
    mut chooser: Chooser,
    end: Instant,
    at_unknown: AtUnknown,
) -> Chooser {
    while Instant::now() < end {
        let operation = choose(&driver, &mut chooser);
        if send_and_repeat(&driver, &mut chooser, &operation).await == Sent::Unknown {
            match at_unknown {
                AtUnknown::Stop => break,
                AtUnknown::GoOn => tokio::time::sleep(UNANSWERED_PAUSE).await,
            }
        }
    }
    chooser
}

/// Something to send again, something that follows on an earlier answer, or something new.
fn choose(driver: &Driver, chooser: &mut Chooser) -> Operation {
    let mut state = driver.state();
    if !state.again.is_empty() && chooser.percent(40) {
        let index = chooser.below(state.again.len());
        return state.again.swap_remove(index);
    }
    if !state.open_events.is_empty() && chooser.percent(15) {
        let index = chooser.below(state.open_events.len());
        let event = state.open_events.swap_remove(index);
        let completions = vec![chooser.completion(&event.id)];
        return Operation::Complete { tenant: event.tenant, completions };
    }
    if !state.reservations.is_empty() && chooser.percent(15) {
        let index = chooser.below(state.reservations.len());
        if chooser.percent(30) {
            let reservation = state.reservations[index].0.clone();
            let request_id = format!("extend-{}", chooser.next_id());
            let (additional_micros, ttl) = chooser.extension();
            return Operation::Extend { reservation, request_id, additional_micros, ttl };
        }
        let (reservation, hold_micros) = state.reservations.swap_remove(index);
        let kind = chooser.end(hold_micros);
        if chooser.percent(20) {
            // Another end races it, or comes too late.
            let other = chooser.end(hold_micros);
            state.again.push(Operation::End { reservation: reservation.clone(), kind: other });
        }
        return Operation::End { reservation, kind };
    }
    chooser.next()
}

/// Every fifth operation is sent up to four times more: at once, later, or after the next restart.
async fn send_and_repeat(driver: &Driver, chooser: &mut Chooser, operation: &Operation) -> Sent {
    if !chooser.percent(20) {
        return driver.send(operation).await;
    }
    let times = 1 + chooser.below(4);
    let mut repeats = vec![operation.clone(); times];
    if chooser.percent(10)
        && let Some(last) = repeats.last_mut()
    {
        alter(last);
    }
    match chooser.below(3) {
        0 => {
            let all = repeats.iter().chain([operation]).map(|each| driver.send(each));
            let all = join_all(all).await;
            if all.contains(&Sent::Unknown) { Sent::Unknown } else { Sent::Answered }
        }
        1 => {
            let sent = driver.send(operation).await;
            driver.state().again.extend(repeats);
            sent
        }
        _ => {
            let sent = driver.send(operation).await;
            driver.state().after_restart.extend(repeats);
            sent
        }
    }
}

/// The same event with another content, the same completion with another outcome.
fn alter(operation: &mut Operation) {
    match operation {
        Operation::Call(plan) => drop(plan.event.metadata.insert("note".to_owned(), "another".to_owned())),
        Operation::Complete { completions, .. } => completions[0].status_code = 599,
        Operation::Batch(_) | Operation::Grant { .. } | Operation::Extend { .. } | Operation::End { .. } => {}
    }
}
