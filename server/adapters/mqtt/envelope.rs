//! What is sent: announcements as `CloudEvents` 1.0 in their structured JSON form, states and statuses as plain JSON.

use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde::Serialize;
use serde_json::value::RawValue;

use super::link::Message;
use super::topic;
use crate::live::announcement::{Announcement, State};

const CLOUD_EVENT: &str = "application/cloudevents+json";
const JSON: &str = "application/json";

/// A `CloudEvent`. `source` and `sequence` say whose order it stands in, and where; without a record of the journal it
/// stands in none.
#[derive(Debug, Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<String>,
    data: &'a RawValue,
}

#[derive(Debug, Serialize)]
struct Status<'a> {
    node: &'a str,
    status: &'static str,
}

/// The message of an announcement.
pub(super) fn announcement(announcement: &Announcement) -> Message {
    let slot = announcement.stamp.map(|stamp| stamp.position.slot);
    let data = serde_json::from_str(&announcement.body).expect("the body of an announcement is JSON");
    let event = CloudEvent {
        specversion: "1.0",
        id: &announcement.id,
        source: slot.map_or_else(|| String::from("/tollgate"), |slot| format!("/tollgate/slots/{slot}")),
        kind: announcement.kind.name(),
        subject: &announcement.tenant,
        time: announcement.at.to_string(),
        datacontenttype: JSON,
        // In the order of text, as the extension wants it.
        sequence: announcement.stamp.map(|stamp| {
            let position = stamp.position;
            format!("{:010}-{:015}-{:07}", position.epoch, position.batch, stamp.place)
        }),
        data,
    };
    Message {
        topic: topic::announcement(&announcement.tenant, &announcement.topic),
        payload: json(&event),
        retain: false,
        properties: properties(CLOUD_EVENT),
    }
}

/// The message of a state: the broker keeps it for those who come later.
pub(super) fn state(state: &State) -> Message {
    Message {
        topic: topic::state(&state.tenant, state.part),
        payload: state.body.clone().into_bytes(),
        retain: true,
        properties: properties(JSON),
    }
}

/// How a process is.
pub(super) fn status(node: &str, status: &'static str) -> Vec<u8> {
    json(&Status { node, status })
}

/// The message of how a process is: the broker keeps it.
pub(super) fn status_message(node: &str, status: &'static str) -> Message {
    let payload = self::status(node, status);
    Message { topic: topic::node(node), payload, retain: true, properties: properties(JSON) }
}

fn properties(content_type: &str) -> PublishProperties {
    PublishProperties {
        // Its payload is UTF-8.
        payload_format_indicator: Some(1),
        content_type: Some(content_type.to_owned()),
        ..PublishProperties::default()
    }
}

fn json<T: Serialize>(thing: &T) -> Vec<u8> {
    serde_json::to_vec(thing).expect("its keys are text and its numbers finite")
}
