//! Fifty callers over three replicas at a limit of five: exactly five pass.

use super::{Fleet, Setup};
use crate::crowds;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_five_of_fifty_pass_a_limit_of_five_over_three_replicas() {
    let Some(fleet) = Fleet::start(Setup::CALM).await else { return };
    let (one, all) = (&fleet.each()[0], fleet.all());
    crowds::exactly_five_pass(one, &all).await;
    crowds::one_event_counts_once(one, &all).await;
}
