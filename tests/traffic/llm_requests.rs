//! The requests to a language model service: 19,366 of one evening of 2023, stamped to 100 nanoseconds.

use std::collections::VecDeque;

use crate::importer::{LLM, Summary, data, run};
use crate::server::Server;

const CALLS: i64 = 19_366;
const TOKENS: (i64, i64) = (22_361_870, 4_088_665);
/// The most that came in any sixty seconds.
const PEAK: usize = 522;
const MINUTE_MICROS: i64 = 60_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn token_counts_are_in_the_ledger_as_they_were_written() {
    let mut server = Server::start().await;
    let file = data("llm_requests.csv");
    let first = run(&server, &file, &LLM).await;
    let expected = Summary { read: 19_366, imported: 19_366, there_already: 0, rejected: 0, exit_code: 0 };
    assert_eq!(expected, first);
    check(&server).await;

    let again = run(&server, &file, &LLM).await;
    assert_eq!(Summary { imported: 0, there_already: 19_366, ..expected }, again);
    server.crash();
    server.start_again().await;
    check(&server).await;
}

async fn check(server: &Server) {
    let totals = server.totals().await;
    let tokens = totals.tokens.unwrap_or_default();
    assert_eq!((CALLS, TOKENS), (totals.calls, (tokens.input, tokens.output)));

    let events: Vec<_> = server.events().await.into_iter().filter_map(|event| event.event).collect();
    let counted: Vec<_> = events.iter().filter_map(|event| event.tokens).collect();
    let input = counted.iter().map(|tokens| tokens.input).sum::<i64>();
    let output = counted.iter().map(|tokens| tokens.output).sum::<i64>();
    assert_eq!((19_366, TOKENS), (events.len(), (input, output)));
    let moments = events.iter().filter_map(|event| event.occurred_at);
    assert_eq!(
        PEAK,
        peak(moments.map(|moment| moment.seconds * 1_000_000 + i64::from(moment.nanos) / 1_000))
    );
}

/// The most of the moments, which are in order, that lie in any sixty seconds.
fn peak(moments: impl Iterator<Item = i64>) -> usize {
    let mut minute = VecDeque::new();
    let mut most = 0;
    for moment in moments {
        minute.push_back(moment);
        while minute.front().is_some_and(|first| moment - first >= MINUTE_MICROS) {
            minute.pop_front();
        }
        most = most.max(minute.len());
    }
    most
}
