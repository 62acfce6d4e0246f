//! The traffic: 19,366 requests to a language model service on one evening of 2023. `tests/data/README.md` says whose.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tollgate_client::v1::Tokens;

const TEXT: &str = include_str!("../../../tests/data/llm_requests.csv");

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// How long after the first request it came.
    pub(super) after: Duration,
    pub(super) tokens: Tokens,
}

/// All requests in order of time.
pub(super) fn requests() -> Vec<Request> {
    let lines = TEXT.lines().skip(1);
    let rows: Vec<_> = lines.map(|line| row(line).expect("the committed file has three columns")).collect();
    let Some(first) = rows.iter().map(|(moment, _)| *moment).min() else { return Vec::new() };
    let mut requests: Vec<_> = rows
        .into_iter()
        .map(|(moment, tokens)| Request { after: moment.duration_since(first).unsigned_abs(), tokens })
        .collect();
    requests.sort_by_key(|request| request.after);
    requests
}

fn row(line: &str) -> Option<(Timestamp, Tokens)> {
    let mut columns = line.split(',');
    let moment: DateTime = columns.next()?.parse().ok()?;
    let moment = moment.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let input = columns.next()?.parse().ok()?;
    let output = columns.next()?.trim_end().parse().ok()?;
    Some((moment, Tokens { input, output, ..Tokens::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_traffic_is_all_there() {
        let requests = requests();
        let sum =
            |count: fn(&Tokens) -> i64| requests.iter().map(|request| count(&request.tokens)).sum::<i64>();
        assert_eq!(19_366, requests.len());
        assert_eq!((22_361_870, 4_088_665), (sum(|tokens| tokens.input), sum(|tokens| tokens.output)));
        assert_eq!(3_501, requests.last().unwrap().after.as_secs());
    }
}
