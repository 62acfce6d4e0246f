//! Keeps a connection, and begins another where one ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, SubAck, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::link::{Link, Message};
use super::options::{self, UNACKNOWLEDGED_MAX};
use super::{Broker, envelope, ingest, topic};
use crate::live::inbox::Inbox;

/// Before the first try to connect again; each further wait is twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Between two lines of the log about a broker that stays away.
const SPEAK: Duration = Duration::from_secs(60);
/// How long the connection outlives the order to end, for those who still have something to send.
const LAST_WORDS: Duration = Duration::from_secs(4);
/// What the driver's queue has room for beside messages: acknowledgements, a subscription, the status, the end.
const REQUESTS_BESIDE: usize = UNACKNOWLEDGED_MAX as usize + 8;

/// A driver that is connected, and its senders' side.
pub(super) type Opened = (EventLoop, Arc<Link>);

pub(super) struct Connection {
    pub(super) broker: Broker,
    options: MqttOptions,
    inbox: Option<Arc<dyn Inbox>>,
    spoken: Mutex<Option<Instant>>,
}

impl Connection {
    pub(super) const fn new(broker: Broker, options: MqttOptions, inbox: Option<Arc<dyn Inbox>>) -> Self {
        Self { broker, options, inbox, spoken: Mutex::new(None) }
    }

    /// Connects, once.
    pub(super) async fn open(&self) -> Result<Opened, ConnectionError> {
        let capacity = usize::from(self.broker.inflight_max) + REQUESTS_BESIDE;
        let (client, mut events) =
            AsyncClient::new(options::next(&self.options, self.broker.login.as_ref()), capacity);
        // The first event of a connection is the broker's welcome.
        events.poll().await?;
        let link = Link::new(client, self.broker.inflight_max);
        // The queues are empty, so there is room.
        drop(link.send(self.status("online")).await);
        if self.inbox.is_some() {
            drop(link.client.try_subscribe(topic::INGEST, QoS::AtLeastOnce));
        }
        info!(
            broker = self.broker.host,
            "connected to the broker at {}:{}", self.broker.host, self.broker.port
        );
        *self.spoken.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok((events, Arc::new(link)))
    }

    /// Stays connected until nobody is left who could send.
    pub(super) async fn run(
        self,
        first: Option<Opened>,
        links: watch::Sender<Option<Arc<Link>>>,
        stop: CancellationToken,
    ) {
        let mut opened = first;
        let mut retry = RETRY_FIRST;
        loop {
            let began = Instant::now();
            if let Some((events, link)) = opened.take() {
                links.send_replace(Some(Arc::clone(&link)));
                let ended = self.drive(events, &link, &links, &stop).await;
                links.send_replace(None);
                link.end();
                match ended {
                    Ok(()) => return,
                    Err(error) => self.tell_away(&error),
                }
            }
            // A broker that closes each connection at once is not asked all the time.
            if began.elapsed() > RETRY_MAX {
                retry = RETRY_FIRST;
            }
            tokio::select! {
                () = tokio::time::sleep(retry) => {}
                () = no_sender(&links, &stop) => return,
            }
            retry = retry.saturating_mul(2).min(RETRY_MAX);
            opened = tokio::select! {
                opened = self.open() => match opened {
                    Ok(opened) => Some(opened),
                    Err(error) => {
                        self.tell_away(&error);
                        None
                    }
                },
                () = no_sender(&links, &stop) => return,
            };
        }
    }

    /// Drives a connection to its end; without an error, the end was ours.
    async fn drive(
        &self,
        mut events: EventLoop,
        link: &Arc<Link>,
        links: &watch::Sender<Option<Arc<Link>>>,
        stop: &CancellationToken,
    ) -> Result<(), ConnectionError> {
        let (arrived, arriving) = mpsc::channel(usize::from(UNACKNOWLEDGED_MAX));
        let polling = async {
            loop {
                match events.poll().await? {
                    Event::Outgoing(Outgoing::Publish(number)) if number > 0 => link.numbered(number),
                    Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
                    Event::Incoming(Packet::PubAck(acknowledgement)) => link.acknowledged(&acknowledgement),
                    Event::Incoming(Packet::SubAck(answer)) => tell_subscription(&answer),
                    Event::Incoming(Packet::Publish(publish)) => {
                        // What finds no room was sent without the wish to be acknowledged, or comes again.
                        drop(arrived.try_send(publish));
                    }
                    Event::Incoming(_) | Event::Outgoing(_) => {}
                }
            }
        };
        let receiving = async {
            if let Some(inbox) = &self.inbox {
                ingest::run(&**inbox, arriving, &link.client, stop).await;
            }
            std::future::pending::<()>().await;
        };
        let closing = async {
            no_sender(links, stop).await;
            if link.send(self.status("offline")).await.is_ok() {
                drop(link.client.try_disconnect());
            }
            std::future::pending::<()>().await;
        };
        // The driver is never left in the middle of its work, but at the end of the connection.
        tokio::select! {
            ended = polling => ended,
            () = receiving => Ok(()),
            () = closing => Ok(()),
            () = link.ended().cancelled_owned() => Err(ConnectionError::RequestsDone),
        }
    }

    /// Says that the broker is away, once a minute.
    pub(super) fn tell_away(&self, error: &ConnectionError) {
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if spoken.is_some_and(|spoken| spoken.elapsed() < SPEAK) {
            return;
        }
        *spoken = Some(Instant::now());
        let Broker { host, port, .. } = &self.broker;
        warn!(%error, broker = host, "the broker at {host}:{port} is away; announcements wait for it: {error}");
    }

    fn status(&self, status: &'static str) -> Message {
        envelope::status_message(&self.broker.node, status)
    }
}

/// Returns when nobody is left who could send, or the server has been ending for long.
async fn no_sender(links: &watch::Sender<Option<Arc<Link>>>, stop: &CancellationToken) {
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = links.closed() => {}
        () = too_long => {}
    }
}

fn tell_subscription(answer: &SubAck) {
    let refused = |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
    if let Some(code) = answer.return_codes.iter().find(refused) {
        error!(?code, "the broker does not let us subscribe `{}`: {code:?}", topic::INGEST);
    }
}
