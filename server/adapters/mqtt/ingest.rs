//! Usage that is sent to us: each message goes to the inbox, and is acknowledged when that is done with it.

use std::time::Duration;

use futures_util::StreamExt as _;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::v5::Publish;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, debug_span};

use super::options::UNACKNOWLEDGED_MAX;
use super::topic;
use crate::live::inbox::{Delivery, Inbox, Receipt};
use crate::trace;

/// The user property that has the sender's credential.
const AUTHORIZATION: &str = "authorization";
/// The user property that has the sender's own id of the message.
const MESSAGE_ID: &str = "message_id";
/// Before a message is given to the inbox again; each further wait is twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Takes messages until the server ends. What is not acknowledged then is delivered again.
pub(super) async fn run(
    inbox: &dyn Inbox,
    arriving: mpsc::Receiver<Publish>,
    client: &AsyncClient,
    stop: &CancellationToken,
) {
    let handled = ReceiverStream::new(arriving).map(|publish| async move {
        let dealt_with = match delivery(&publish) {
            Some(delivery) => deliver(inbox, &delivery, stop).instrument(span(&publish)).await,
            None => true,
        };
        dealt_with.then_some(publish)
    });
    // Acknowledgements go out in the order of the messages, as the protocol wants it.
    let mut handled = std::pin::pin!(handled.buffered(UNACKNOWLEDGED_MAX.into()));
    while let Some(Some(publish)) = handled.next().await {
        // The queue has room for all that are not acknowledged; where the connection ended, the message comes again.
        drop(client.try_ack(&publish));
    }
}

/// Whether the inbox is done with it; not so where the server ends.
async fn deliver(inbox: &dyn Inbox, delivery: &Delivery, stop: &CancellationToken) -> bool {
    let mut retry = RETRY_FIRST;
    while !stop.is_cancelled() {
        if inbox.receive(delivery).await == Receipt::Done {
            return true;
        }
        stop.run_until_cancelled(tokio::time::sleep(retry)).await;
        retry = retry.saturating_mul(2).min(RETRY_MAX);
    }
    false
}

/// The span of a message: it goes on with the trace that its sender began.
fn span(publish: &Publish) -> Span {
    let span = debug_span!(target: "tollgate::broker", "ingest", otel.kind = "consumer");
    trace::go_on(&span, &|name| {
        let (_, value) = properties(publish).iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.as_str())
    });
    span
}

fn delivery(publish: &Publish) -> Option<Delivery> {
    let values = |name: &str| {
        properties(publish)
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>()
    };
    Some(Delivery {
        tenant: topic::ingest_tenant(&publish.topic)?,
        authorization: values(AUTHORIZATION).into_iter().map(SecretString::from).collect(),
        message_id: values(MESSAGE_ID).pop().unwrap_or_default(),
        payload: publish.payload.clone(),
    })
}

fn properties(publish: &Publish) -> &[(String, String)] {
    publish.properties.as_ref().map_or(&[][..], |properties| &properties.user_properties)
}
