//! One connection as senders see it: messages in, a receipt for each.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAck, PubAckReason, PublishProperties};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::live::publisher::PublishError;

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
    pub(super) properties: PublishProperties,
}

/// The broker's answer to a message; an error: the connection ended before it came.
pub(super) type Receipt = oneshot::Receiver<PubAckReason>;

/// One connection.
pub(super) struct Link {
    pub(super) client: AsyncClient,
    waiting: Mutex<Waiting>,
    permits: Arc<Semaphore>,
    ended: CancellationToken,
}

/// Those who wait for a receipt.
#[derive(Debug, Default)]
struct Waiting {
    /// Messages that have no number yet, in the order in which the driver numbers them.
    unnumbered: VecDeque<Waiter>,
    /// Messages that are on their way, by their number.
    sent: HashMap<u16, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    receipt: oneshot::Sender<PubAckReason>,
    _permit: OwnedSemaphorePermit,
}

impl Link {
    pub(super) fn new(client: AsyncClient, inflight_max: u16) -> Self {
        Self {
            client,
            waiting: Mutex::default(),
            permits: Arc::new(Semaphore::new(inflight_max.into())),
            ended: CancellationToken::new(),
        }
    }

    /// Sends a message, when the broker has acknowledged enough of those before it.
    pub(super) async fn send(&self, message: Message) -> Result<Receipt, PublishError> {
        let permit = tokio::select! {
            permit = Arc::clone(&self.permits).acquire_owned() => permit,
            () = self.ended.cancelled() => return Err(PublishError::Away),
        };
        let Ok(permit) = permit else { return Err(PublishError::Away) };
        self.enter(message, permit)
    }

    /// Message and waiter enter their queues together, so that both have the same order.
    fn enter(&self, message: Message, permit: OwnedSemaphorePermit) -> Result<Receipt, PublishError> {
        let (sender, receipt) = oneshot::channel();
        let Message { topic, payload, retain, properties } = message;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let sent =
            self.client.try_publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties);
        // The driver's queue has room for all that have a permit: it is full only where nobody empties it any more.
        if sent.is_err() {
            return Err(PublishError::Away);
        }
        waiting.unnumbered.push_back(Waiter { receipt: sender, _permit: permit });
        Ok(receipt)
    }

    /// The driver has given the next message that number.
    pub(super) fn numbered(&self, number: u16) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiter) = waiting.unnumbered.pop_front() {
            waiting.sent.insert(number, waiter);
        }
    }

    /// The broker has answered a message.
    pub(super) fn acknowledged(&self, acknowledgement: &PubAck) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiter) = waiting.sent.remove(&acknowledgement.pkid) {
            // Nobody waits for it any more where the sender gave up.
            waiter.receipt.send(acknowledgement.reason).unwrap_or_default();
        }
    }

    /// The connection is over: whoever waits is told.
    pub(super) fn end(&self) {
        self.ended.cancel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Waiting::default();
    }

    /// Is cancelled when the connection is over, or is to be.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("ended", &self.ended.is_cancelled()).finish_non_exhaustive()
    }
}
