//! The names of topics. No name of a tenant, a service or a node can make a level of its own, or a wildcard.
//!
//! Of a name, ASCII letters, digits and `.`, `_`, `~`, `-` stay; every other byte of its UTF-8 is `%` and two hexadecimal
//! digits. So `/`, `+`, `#`, `$` and control characters never reach a topic. A tenant named `nodes` is `%6Eodes`, because
//! `nodes` has a meaning of its own there.

use std::fmt::Write as _;

use crate::live::announcement::{StatePart, Topic};

/// What all topics begin with.
const ROOT: &str = "tollgate/v1";
/// The level under which processes tell how they are.
const NODES: &str = "nodes";
/// The longest topic of the protocol.
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// Where usage is sent to us: each message reaches one of all replicas.
pub const INGEST: &str = "$share/tollgate/tollgate/v1/+/ingest/#";

/// The topic of an announcement.
#[must_use]
pub fn announcement(name: &str, topic: &Topic) -> String {
    match topic {
        Topic::Usage { service } => bounded(format!("{ROOT}/{}/usage/{}", tenant(name), level(service))),
        Topic::Alerts => bounded(format!("{ROOT}/{}/alerts", tenant(name))),
    }
}

/// The topic of a state.
#[must_use]
pub fn state(name: &str, part: StatePart) -> String {
    let part = match part {
        StatePart::Limits => "limits",
        StatePart::Balance => "balance",
    };
    bounded(format!("{ROOT}/{}/state/{part}", tenant(name)))
}

/// The topic on which a process tells how it is.
#[must_use]
pub fn node(name: &str) -> String {
    bounded(format!("{ROOT}/{NODES}/{}/status", level(name)))
}

/// The tenant whose usage is sent on a topic; `None`: it is no such topic.
#[must_use]
pub fn ingest_tenant(topic: &[u8]) -> Option<String> {
    let rest = std::str::from_utf8(topic).ok()?.strip_prefix(ROOT)?.strip_prefix('/')?;
    let (level, rest) = rest.split_once('/')?;
    let is_ingest = rest == "ingest" || rest.starts_with("ingest/");
    if !is_ingest || level == NODES {
        return None;
    }
    decode(level)
}

fn tenant(name: &str) -> String {
    if name == NODES { String::from("%6Eodes") } else { level(name) }
}

/// One level of a topic. An empty name would be a level too: it is the byte 0, which no name begins with.
fn level(name: &str) -> String {
    if name.is_empty() {
        return String::from("%00");
    }
    let mut level = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-') {
            level.push(char::from(byte));
        } else {
            write!(level, "%{byte:02X}").expect("a string takes all that is written");
        }
    }
    level
}

fn decode(level: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(level.len());
    let mut rest = level.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Names that reach us are far shorter: a tenant has 64 bytes, a service 128. One from elsewhere is cut between its bytes.
fn bounded(mut topic: String) -> String {
    topic.truncate(TOPIC_BYTES_MAX);
    topic
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(service: &str) -> String {
        announcement("acme", &Topic::Usage { service: service.to_owned() })
    }

    #[track_caller]
    fn check(service: &str, expected: &str) {
        assert_eq!(usage(service), format!("tollgate/v1/acme/usage/{expected}"), "{service:?}");
    }

    #[test]
    fn no_name_makes_a_level_or_a_wildcard() {
        check("search", "search");
        check("Search-2.0_~", "Search-2.0_~");
        check("a/b", "a%2Fb");
        check("+", "%2B");
        check("#", "%23");
        check("$SYS/broker", "%24SYS%2Fbroker");
        check("a\0b", "a%00b");
        check("../../other/alerts", "..%2F..%2Fother%2Falerts");
        check("100%", "100%25");
        check("", "%00");
        check("é\u{202e}\n", "%C3%A9%E2%80%AE%0A");
    }

    #[test]
    fn names_that_differ_have_topics_that_differ() {
        assert_ne!(usage("a/b"), usage("a%2Fb"));
        assert_ne!(announcement("nodes", &Topic::Alerts), format!("{ROOT}/nodes/alerts"));
    }

    #[test]
    fn no_topic_is_longer_than_the_protocol_allows() {
        assert_eq!(usage(&"/".repeat(65_536)).len(), TOPIC_BYTES_MAX);
        assert_eq!(usage(&"+".repeat(128)).len(), "tollgate/v1/acme/usage/".len() + 3 * 128);
    }

    #[test]
    fn sender_of_usage_is_in_its_topic() {
        let check = |topic: &str, expected: Option<&str>| {
            assert_eq!(ingest_tenant(topic.as_bytes()).as_deref(), expected, "{topic}");
        };
        check("tollgate/v1/acme/ingest", Some("acme"));
        check("tollgate/v1/acme/ingest/a/b", Some("acme"));
        check("tollgate/v1/%6Eodes/ingest/x", Some("nodes"));
        check("tollgate/v1/acme/ingested", None);
        check("tollgate/v1/nodes/ingest/x", None);
        check("tollgate/v1/acme/usage/x", None);
        check("tollgate/v2/acme/ingest/x", None);
        check("tollgate/v1/%2/ingest/x", None);
        check("tollgate/v1/%C3/ingest/x", None);
    }
}
