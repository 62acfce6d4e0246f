//! Errors of the server, told to Sentry: the lines of the log at that level, once each and without secrets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sentry::protocol::{Context as SentryContext, Event as SentryEvent, Level as SentryLevel};
use sentry::types::{Dsn, ParseDsnError};
use sentry::{Client, ClientOptions, TransportFactory, TransportOptions};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::config::SentryConfig;
use crate::connector::{self, AddressError, Connector};
use crate::telemetry::mailbox::{Mailbox, Recipient};
use crate::telemetry::scrub::scrub;

/// How the program names itself to Sentry.
const AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
/// The fields of a line that Sentry can search for.
const TAGS: [&str; 3] = ["call_id", "tenant", "reason"];
/// How much of one text is sent.
const CHARACTERS_MAX: usize = 4_000;

/// Sends what is logged as an error. Its clones are one.
#[derive(Clone)]
pub(super) struct Reporter {
    client: Arc<Client>,
}

/// Errors cannot be told to Sentry.
#[derive(Debug, thiserror::Error)]
pub enum SentryError {
    /// The DSN is none. What it says is a secret, and is not said.
    #[error("the setting `dsn` of `sentry` is no DSN")]
    Dsn(#[source] ParseDsnError),
    /// Its host cannot be reached by that address.
    #[error("the setting `dsn` of `sentry` cannot be used: {0}")]
    Address(#[from] AddressError),
    /// The system gives no thread.
    #[error("no thread for Sentry")]
    Thread(#[source] std::io::Error),
}

impl Reporter {
    /// To the project of that DSN.
    pub(super) fn new(config: &SentryConfig, dsn: &SecretString) -> Result<Self, SentryError> {
        let dsn: Dsn = dsn.expose_secret().parse().map_err(SentryError::Dsn)?;
        let url = dsn.envelope_api_url().as_str().parse().map_err(|_| AddressError::Malformed)?;
        let connector = Connector::to(&url, connector::system_roots)?;
        let recipient = Recipient { connector, url, auth: dsn.to_auth(Some(AGENT)).to_string() };
        let mailbox = Mailbox::open(recipient).map_err(SentryError::Thread)?;
        let mut options = ClientOptions::new()
            .transport(Fixed(Arc::new(mailbox)))
            .release(concat!("tollgate@", env!("CARGO_PKG_VERSION")))
            .default_integrations(false)
            .send_default_pii(false);
        options.dsn = Some(dsn);
        options.user_agent = Cow::Borrowed(AGENT);
        options.environment = said(&config.environment);
        options.server_name = said(&config.server_name);
        Ok(Self { client: Arc::new(Client::with_options(options)) })
    }

    /// Waits until all errors are sent, at most that long; `false`: some were not.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        self.client.close(Some(patience))
    }
}

/// The one transport of a client.
struct Fixed(Arc<Mailbox>);

impl TransportFactory for Fixed {
    fn create_transport_with_options(&self, _: TransportOptions) -> Arc<dyn sentry::Transport> {
        Arc::clone(&self.0) as _
    }
}

impl<S: Subscriber> Layer<S> for Reporter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let place = event.metadata();
        self.client.capture_event(line.report(place.target(), place.file(), place.line()), None);
    }
}

/// What a line of the log says. Nothing that is not in the line is ever sent: no header, no body, no variable.
#[derive(Debug, Default)]
struct Line {
    message: String,
    fields: BTreeMap<String, String>,
}

impl Line {
    fn report(self, target: &str, file: Option<&str>, line: Option<u32>) -> SentryEvent<'static> {
        let (tags, mut rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.fields.into_iter().partition(|(name, _)| TAGS.contains(&name.as_str()));
        if let (Some(file), Some(line)) = (file, line) {
            rest.insert(String::from("place"), format!("{file}:{line}"));
        }
        let rest = rest.into_iter().map(|(name, text)| (name, text.into())).collect();
        SentryEvent {
            level: SentryLevel::Error,
            logger: Some(target.to_owned()),
            message: Some(self.message),
            tags: tags.into_iter().collect(),
            contexts: [(String::from("log"), SentryContext::Other(rest))].into_iter().collect(),
            ..SentryEvent::default()
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        let text = scrub(&text).chars().take(CHARACTERS_MAX).collect();
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.insert(field.name().to_owned(), text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

fn said(name: &str) -> Option<Cow<'static, str>> {
    (!name.is_empty()).then(|| Cow::Owned(name.to_owned()))
}
