//! The access log of a web server: 5,000 lines of May 2015. Sixteen of them repeat others exactly, half of them step back
//! in time, and 432 have no size.

use std::collections::BTreeMap;

use tollgate_client::v1::Dimension;

use crate::importer::{Summary, data, run};
use crate::server::Server;

const BYTES: i64 = 1_312_869_333;
const STATUSES: [(&str, i64); 7] =
    [("200", 4_450), ("206", 21), ("301", 113), ("304", 305), ("403", 1), ("404", 108), ("500", 2)];
const CLIENTS: usize = 965;
const BUSIEST: (&str, i64) = ("user:66.249.73.135", 279);
const PATHS: usize = 944;
const PATH_BYTES_MAX: usize = 595;

#[tokio::test(flavor = "multi_thread")]
async fn an_access_log_is_in_the_ledger_as_it_was_written() {
    let mut server = Server::start().await;
    let file = data("web_access.log");
    let first = run(&server, &file, &["--format", "combined"]).await;
    let expected = Summary { read: 5_000, imported: 5_000, there_already: 0, rejected: 0, exit_code: 0 };
    assert_eq!(expected, first);
    check(&server).await;

    let again = run(&server, &file, &["--format", "combined"]).await;
    assert_eq!(Summary { imported: 0, there_already: 5_000, ..expected }, again);
    check(&server).await;

    server.crash();
    server.start_again().await;
    check(&server).await;
    let after_restart = run(&server, &file, &["--format", "combined"]).await;
    assert_eq!((5_000, 0), (after_restart.imported + after_restart.there_already, after_restart.rejected));
    check(&server).await;
}

async fn check(server: &Server) {
    let totals = server.totals().await;
    let errors = STATUSES.iter().filter(|(status, _)| *status >= "400").map(|(_, calls)| calls).sum::<i64>();
    assert_eq!((5_000, 5_000, errors), (totals.calls, totals.units, totals.errors));
    assert_eq!(BTreeMap::from([(String::from("bytes"), BYTES)]), totals.quantities);
    assert_eq!((0, 0), (totals.refused, totals.credits_micros));

    let statuses = STATUSES.map(|(status, calls)| (status.to_owned(), calls));
    assert_eq!(BTreeMap::from(statuses), server.calls_by(Dimension::StatusCode).await);
    let clients = server.calls_by(Dimension::Consumer).await;
    assert_eq!((CLIENTS, 5_000), (clients.len(), clients.values().sum::<i64>()));
    assert_eq!(Some(&BUSIEST.1), clients.get(BUSIEST.0));
    let paths = server.calls_by(Dimension::Endpoint).await;
    assert_eq!((PATHS, 5_000), (paths.len(), paths.values().sum::<i64>()));
    assert_eq!(Some(PATH_BYTES_MAX), paths.keys().map(String::len).max());
    check_events(server).await;
}

async fn check_events(server: &Server) {
    let events: Vec<_> = server.events().await.into_iter().filter_map(|event| event.event).collect();
    assert_eq!(5_000, events.len());
    assert_eq!(BYTES, events.iter().filter_map(|event| event.quantities.get("bytes")).sum::<i64>());
    assert_eq!(432, events.iter().filter(|event| event.quantities.is_empty()).count());
    let moments = events.iter().map(|event| event.occurred_at.map(|moment| (moment.seconds, moment.nanos)));
    assert!(moments.is_sorted(), "events are listed in order of time");
    let agents = events.iter().filter(|event| event.metadata.contains_key("user_agent")).count();
    assert_eq!(AGENTS, agents);
}

/// Lines whose user agent is not `-`.
const AGENTS: usize = 4_858;
