//! Sends what waits in the outbox, each letter until it is taken or a day has passed.
//!
//! A letter is taken by one server at a time, so that several send it once. One that was handed over and whose server ended
//! before it was removed is sent again, under the same id: at least once.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::mail::mailer::{Mailer, MailerError};
use crate::mail::outbox::{Outbox, Taken};
use crate::mail::words::Words;
use crate::store::StoreError;
use crate::time::{Clock, DAY, HOUR, SECOND};

/// Between two looks for what is due: posted by another server, or to be tried again.
const LOOK: Duration = Duration::from_secs(5);
/// Letters that are looked at in one round.
const PAGE: usize = 100;
/// Before the second try; each further wait is twice as long.
const AGAIN_FIRST: i64 = 10 * SECOND;
/// The longest wait between two tries.
const AGAIN_MAX: i64 = HOUR;
/// How long a letter is tried.
const PATIENCE: i64 = DAY;
/// Letters by `subject` and `outcome`: sent, again, refused, late.
const LETTERS: &str = "tollgate_letters_total";

/// What sends letters.
#[derive(Debug)]
pub struct Delivery {
    /// Where they wait.
    pub outbox: Arc<Outbox>,
    /// Who takes them.
    pub mailer: Arc<dyn Mailer>,
    /// How they are put.
    pub words: Words,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The shortest time between two letters of this server.
    pub pace: Duration,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Sent,
    Again,
    Refused,
    Late,
}

impl Delivery {
    /// Sends until it is stopped. The letter that is being sent then is sent to its end.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.round(&stop).await {
                // There may be more than were looked at.
                Ok(tried) if tried > 0 => continue,
                Ok(_) => {}
                Err(error) => warn!(error = %error, "letters wait: {error}"),
            }
            tokio::select! {
                () = self.outbox.posted() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Tries what is due, unless it is stopped; answers how many letters were tried.
    pub async fn round(&self, stop: &CancellationToken) -> Result<usize, StoreError> {
        let mut tried = 0_usize;
        for id in self.outbox.due(PAGE).await? {
            if stop.is_cancelled() {
                break;
            }
            let Some(taken) = self.outbox.take(&id).await? else { continue };
            let next = Instant::now() + self.pace;
            self.attempt(taken).await?;
            tried = tried.saturating_add(1);
            stop.run_until_cancelled(tokio::time::sleep_until(next)).await;
        }
        Ok(tried)
    }

    async fn attempt(&self, taken: Taken) -> Result<(), StoreError> {
        let waiting = taken.waiting();
        let (id, subject) = (waiting.id.clone(), waiting.letter.subject.name());
        let (outcome, problem) = self.send(&taken).await;
        counter!(LETTERS, "subject" => subject, "outcome" => outcome.name()).increment(1);
        match outcome {
            Outcome::Again => {
                let pause = pause(waiting.tries);
                warn!(
                    letter = id,
                    subject,
                    "letter `{id}` ({subject}) waits for {} s: {problem}",
                    pause / SECOND
                );
                return self.outbox.put_back(taken, self.clock.now().plus(pause)).await;
            }
            Outcome::Sent => info!(letter = id, subject, "letter `{id}` ({subject}) is sent"),
            Outcome::Refused | Outcome::Late => {
                warn!(letter = id, subject, "letter `{id}` ({subject}) is given up: {problem}");
            }
        }
        self.outbox.remove(&taken).await
    }

    /// What became of a letter, and why.
    async fn send(&self, taken: &Taken) -> (Outcome, String) {
        let waiting = taken.waiting();
        let now = self.clock.now();
        if waiting.letter.subject.code().is_some_and(|(_, until)| until <= now) {
            return (Outcome::Late, String::from("its code is good no longer"));
        }
        let message = match self.words.of(waiting) {
            Ok(message) => message,
            Err(error) => return (Outcome::Refused, error.to_string()),
        };
        match self.mailer.send(&message).await {
            Ok(()) => (Outcome::Sent, String::new()),
            Err(error @ MailerError::Refused { .. }) => (Outcome::Refused, error.to_string()),
            Err(error) if self.clock.now().since(waiting.written_at) >= PATIENCE => {
                (Outcome::Late, format!("for a day, {error}"))
            }
            Err(error) => (Outcome::Again, error.to_string()),
        }
    }
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Again => "again",
            Self::Refused => "refused",
            Self::Late => "late",
        }
    }
}

/// How long to wait after so many tries, in microseconds.
const fn pause(tries: u32) -> i64 {
    let doublings = if tries > 16 { 16 } else { tries.saturating_sub(1) };
    let pause = AGAIN_FIRST.saturating_mul(1 << doublings);
    if pause < AGAIN_MAX { pause } else { AGAIN_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let seconds: Vec<i64> = (0..12).map(|tries| pause(tries) / SECOND).collect();
        assert_eq!(seconds, [10, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(pause(u32::MAX), AGAIN_MAX);
    }
}
