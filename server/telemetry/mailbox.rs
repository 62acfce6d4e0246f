//! How an envelope reaches Sentry: one thread of its own, a short queue before it, and nobody ever waits.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use metrics::counter;
use sentry::{Envelope, Transport};
use tracing::warn;

use crate::connector::{Alpn, Connector};
use crate::telemetry::SENTRY_LOST;

/// Envelopes that wait, at most.
const WAITING_MAX: usize = 64;
/// How long one envelope may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The answer is a few words; more is not read.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// How long nothing is sent when Sentry has had enough and does not say for how long.
const REST: Duration = Duration::from_secs(60);
/// The longest rest that is kept to.
const REST_MAX: Duration = Duration::from_secs(3_600);

/// Where envelopes are thrown in.
#[derive(Debug)]
pub(super) struct Mailbox(SyncSender<Job>);

enum Job {
    Send(Box<Envelope>),
    /// Everything before was sent when this is answered.
    Flush(SyncSender<()>),
}

/// Whom envelopes go to.
pub(super) struct Recipient {
    pub(super) connector: Connector,
    pub(super) url: Uri,
    /// The value of the header by which Sentry knows the project.
    pub(super) auth: String,
}

impl Mailbox {
    /// Begins the thread, which ends when the mailbox is dropped.
    pub(super) fn open(recipient: Recipient) -> std::io::Result<Self> {
        let (sender, jobs) = sync_channel(WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || runtime.block_on(deliver(&recipient, &jobs));
        thread::Builder::new().name(String::from("sentry")).spawn(work)?;
        Ok(Self(sender))
    }
}

impl Transport for Mailbox {
    fn send_envelope(&self, envelope: Envelope) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.0.try_send(Job::Send(Box::new(envelope)))
        {
            lost();
        }
    }

    fn flush(&self, patience: Duration) -> bool {
        let began = Instant::now();
        let (done, wait) = sync_channel(1);
        let mut job = Job::Flush(done);
        while let Err(TrySendError::Full(back)) = self.0.try_send(job) {
            if began.elapsed() >= patience {
                return false;
            }
            job = back;
            thread::sleep(Duration::from_millis(10));
        }
        wait.recv_timeout(patience.saturating_sub(began.elapsed())).is_ok()
    }
}

/// Each queued envelope in its turn. The thread has nothing else to do, so that it may wait for the next one.
async fn deliver(recipient: &Recipient, jobs: &Receiver<Job>) {
    let mut rests_until = None;
    while let Ok(job) = jobs.recv() {
        let envelope = match job {
            Job::Send(envelope) => envelope,
            Job::Flush(done) => {
                // Nobody may wait for it any more.
                let _gone = done.send(()).is_err();
                continue;
            }
        };
        if rests_until.is_some_and(|until| Instant::now() < until) {
            lost();
            continue;
        }
        rests_until = match tokio::time::timeout(PATIENCE, recipient.post(&envelope)).await {
            Ok(Ok(answer)) => rest_after(&answer).map(|rest| Instant::now() + rest),
            Ok(Err(error)) => {
                lost();
                warn!(error = %error, "an error could not be told to Sentry: {error}");
                None
            }
            Err(_) => {
                lost();
                warn!("an error could not be told to Sentry in {} s", PATIENCE.as_secs());
                None
            }
        };
    }
}

fn lost() {
    counter!(SENTRY_LOST).increment(1);
}

/// How long nothing is sent after that answer.
fn rest_after(answer: &Response<Incoming>) -> Option<Duration> {
    let status = answer.status();
    if status.is_success() {
        return None;
    }
    lost();
    warn!(%status, "Sentry did not take an error: it answered {status}");
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let rest = seconds.map_or(REST, Duration::from_secs).min(REST_MAX);
    (status == StatusCode::TOO_MANY_REQUESTS).then_some(rest)
}

impl Recipient {
    async fn post(&self, envelope: &Envelope) -> Result<Response<Incoming>, PostError> {
        let mut body = Vec::new();
        envelope.to_writer(&mut body)?;
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::post(path)
            .header(HOST, self.url.authority().map_or("", |authority| authority.as_str()))
            .header(CONTENT_TYPE, "application/x-sentry-envelope")
            .header("x-sentry-auth", &self.auth)
            .body(Full::new(Bytes::from(body)))?;
        let stream = self.connector.connect(Alpn::Http1).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let mut answer = sender.send_request(request).await?;
            // What is left of the answer is of no interest, and neither is whether all of it came.
            drop(Limited::new(answer.body_mut(), ANSWER_BYTES_MAX).collect().await);
            Ok(answer)
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => {
                ended?;
                exchange.await
            }
        }
    }
}

/// An envelope did not arrive.
#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("there is no connection: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
    #[error("the exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
}
