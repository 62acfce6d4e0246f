//! Sends a batch, and again what of it was not taken, until each item is in the ledger or known to be wrong.

use std::time::Duration;

use rand::RngExt as _;
use tollgate_client::Client;
use tollgate_client::v1::{Decision, ItemError, TrackBatchRequest, TrackResult, track_result};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::cli::import::batch::Item;
use crate::cli::import::file::Line;

/// About a minute in all: a server that restarts is waited for, one that is gone is not.
const ATTEMPTS_MAX: u32 = 16;
const DELAY_FIRST: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) imported: u64,
    pub(super) there_already: u64,
    pub(super) rejected: Vec<(Line, String)>,
}

/// Why a batch could not be sent. Each of its items is in the ledger or not; a rerun with the same ids settles it.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The server would refuse every line: there is no such tenant, or the key may not import.
    #[error("the server refuses to import: {0}")]
    Refused(String),
    /// The server could not take it in all the time that was given to it.
    #[error("the server did not take it in {ATTEMPTS_MAX} attempts: {0}")]
    Unavailable(String),
    /// The answer does not fit the request.
    #[error("the server answered {results} results to {items} items")]
    Mismatched {
        /// How many results came.
        results: usize,
        /// How many items were sent.
        items: usize,
    },
}

/// Sends the items until each is settled. The ids make every repetition safe (rule Q).
pub(super) async fn send(client: &Client, mut items: Vec<Item>) -> Result<Sent, SendError> {
    let mut sent = Sent::default();
    let mut problem = String::new();
    for attempt in 0..ATTEMPTS_MAX {
        let requests = items.iter().map(|item| item.request.clone()).collect();
        let wait = match client.track().track_batch(TrackBatchRequest { requests }).await {
            Ok(answer) => {
                let results = answer.into_inner().results;
                if results.len() != items.len() {
                    return Err(SendError::Mismatched { results: results.len(), items: items.len() });
                }
                let unsettled;
                (items, unsettled) = sort(items, results, &mut sent)?;
                problem = unsettled.unwrap_or(problem);
                None
            }
            Err(status) if is_passing(status.code()) => {
                let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
                status.message().clone_into(&mut problem);
                wait
            }
            Err(status) => return Err(SendError::Refused(status.message().to_owned())),
        };
        if items.is_empty() {
            return Ok(sent);
        }
        tokio::time::sleep(delay(attempt, wait)).await;
    }
    Err(SendError::Unavailable(problem))
}

/// Counts the items that are settled, and gives back the others with what the server said of the last.
fn sort(
    items: Vec<Item>,
    results: Vec<TrackResult>,
    sent: &mut Sent,
) -> Result<(Vec<Item>, Option<String>), SendError> {
    let mut unsettled = Vec::new();
    let mut problem = None;
    for (item, result) in items.into_iter().zip(results) {
        match result.result {
            Some(track_result::Result::Response(answer)) => {
                let verdict = answer.verdict.unwrap_or_default();
                if verdict.decision() == Decision::Denied {
                    sent.rejected.push((item.line, verdict.message));
                } else if answer.replayed {
                    sent.there_already += 1;
                } else {
                    sent.imported += 1;
                }
            }
            Some(track_result::Result::Error(error)) if is_passing(Code::from_i32(error.code)) => {
                problem = Some(error.message);
                unsettled.push(item);
            }
            Some(track_result::Result::Error(error)) if is_hopeless(Code::from_i32(error.code)) => {
                return Err(SendError::Refused(error.message));
            }
            Some(track_result::Result::Error(error)) => sent.rejected.push((item.line, describe(error))),
            None => sent.rejected.push((item.line, String::from("the server did not say what became of it"))),
        }
    }
    Ok((unsettled, problem))
}

fn describe(error: ItemError) -> String {
    if error.field.is_empty() || error.message.starts_with(&error.field) {
        error.message
    } else {
        format!("{}: {}", error.field, error.message)
    }
}

/// Whether another attempt may succeed. A connection that breaks is `Unknown` or `Cancelled` to tonic.
const fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Cancelled
    )
}

/// Whether every other line would meet the same.
const fn is_hopeless(code: Code) -> bool {
    matches!(code, Code::NotFound | Code::PermissionDenied | Code::Unauthenticated)
}

/// Doubles from attempt to attempt, but at least what the server asked for; half of it is chance, so that many that
/// were turned away do not all come back at once.
fn delay(attempt: u32, asked: Option<Duration>) -> Duration {
    let full = DELAY_FIRST.saturating_mul(1 << attempt.min(10)).min(DELAY_MAX);
    let chance = rand::rng().random_range(500..=1_000);
    (full * chance / 1_000).max(asked.unwrap_or_default().min(DELAY_MAX))
}

#[cfg(test)]
mod tests {
    use tollgate_client::v1::{TrackRequest, TrackResponse, Verdict};

    use super::*;

    fn item(number: u64) -> Item {
        Item::new(Line::of(number, "text"), TrackRequest::default())
    }

    fn answered(response: TrackResponse) -> TrackResult {
        TrackResult { result: Some(track_result::Result::Response(response)) }
    }

    fn failed(code: Code, message: &str) -> TrackResult {
        let error = ItemError { code: code.into(), message: message.to_owned(), ..ItemError::default() };
        TrackResult { result: Some(track_result::Result::Error(error)) }
    }

    #[test]
    fn each_item_of_an_answer_is_counted_rejected_or_sent_again() {
        let denied = Verdict { decision: Decision::Denied.into(), ..Verdict::default() };
        let results = vec![
            answered(TrackResponse::default()),
            answered(TrackResponse { replayed: true, ..TrackResponse::default() }),
            answered(TrackResponse { verdict: Some(denied), ..TrackResponse::default() }),
            failed(Code::InvalidArgument, "too long"),
            failed(Code::AlreadyExists, "another content"),
            failed(Code::Unavailable, "the disk is full"),
            failed(Code::ResourceExhausted, "busy"),
            TrackResult::default(),
        ];
        let mut sent = Sent::default();
        let (unsettled, problem) = sort((0..8).map(item).collect(), results, &mut sent).unwrap();
        assert_eq!((1, 1), (sent.imported, sent.there_already));
        assert_eq!(vec![2, 3, 4, 7], sent.rejected.iter().map(|(line, _)| line.number).collect::<Vec<_>>());
        assert_eq!(vec![5, 6], unsettled.iter().map(|item| item.line.number).collect::<Vec<_>>());
        assert_eq!(Some("busy"), problem.as_deref());
    }

    #[test]
    fn what_every_line_would_meet_ends_the_run() {
        let results = vec![failed(Code::NotFound, "no tenant")];
        let refused = sort(vec![item(1)], results, &mut Sent::default());
        assert!(matches!(refused, Err(SendError::Refused(why)) if why == "no tenant"));
    }

    #[test]
    fn waiting_grows_to_a_bound_and_honours_the_server() {
        assert!(delay(0, None) <= DELAY_FIRST && delay(0, None) >= DELAY_FIRST / 2);
        assert!(delay(40, None) <= DELAY_MAX && delay(40, None) >= DELAY_MAX / 2);
        assert!(delay(0, Some(Duration::from_secs(2))) == Duration::from_secs(2));
        assert!(delay(0, Some(Duration::from_secs(600))) == DELAY_MAX);
    }
}
