//! The door for usage that comes over a broker: one event or many, recorded once, by who shows a key of the tenant.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tollgate_client::v1;
use tonic::Code;
use tracing::warn;

use crate::api::http::request::TrackBody;
use crate::api::status::{from_fault, reason_name};
use crate::api::track::{BATCH_MAX, Door, DoorError};
use crate::fault::{Fault, Invalid, Kind, Reason};
use crate::identity::caller::Caller;
use crate::identity::keyring::{CredentialError, Keyring};
use crate::identity::permission::Permission;
use crate::live::inbox::{Delivery, Inbox, Receipt};
use crate::telemetry::INGESTED;

/// The largest message.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// The longest id of a message, and the longest credential.
const MESSAGE_ID_BYTES_MAX: usize = 128;
const CREDENTIAL_BYTES_MAX: usize = 1_024;
/// Before a credential, in any case of its letters.
const BEARER: &str = "bearer ";
/// Between two lines of the log about what was refused: who sends nonsense does not fill the log.
const SPEAK: Duration = Duration::from_secs(60);

/// Takes usage from a broker.
#[derive(Debug)]
pub struct Ingest {
    door: Door,
    keyring: Arc<Keyring>,
    spoken: Mutex<Option<Instant>>,
}

/// A message is not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("the credential is not a key of tenant `{0}` that may track")]
    Foreign(String),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Door(#[from] DoorError),
}

impl Fault for Refused {
    fn reason(&self) -> Reason {
        match self {
            Self::Credential(error) => error.reason(),
            Self::Foreign(_) => Reason::TenantForbidden,
            Self::Invalid(error) => error.reason(),
            Self::Door(error) => error.reason(),
        }
    }
}

impl Ingest {
    /// A door to the ledger, for those whom the keyring knows.
    #[must_use]
    pub const fn new(door: Door, keyring: Arc<Keyring>) -> Self {
        Self { door, keyring, spoken: Mutex::new(None) }
    }

    async fn take(&self, delivery: &Delivery) -> Result<v1::TrackBatchResponse, Refused> {
        let caller = self.sender(delivery).await?;
        let requests = requests(delivery)?;
        Ok(self.door.track_batch(&caller, v1::TrackBatchRequest { requests }).await?)
    }

    /// The tenant itself, by a key of its own. Others may track for it too, but not from here: they could write to its topic
    /// and to no other.
    async fn sender(&self, delivery: &Delivery) -> Result<Arc<Caller>, Refused> {
        let authorization = match delivery.authorization.as_slice() {
            [] => return Err(CredentialError::Missing.into()),
            [one] => one.expose_secret(),
            _ => return Err(CredentialError::Ambiguous.into()),
        };
        let credential = match authorization.split_at_checked(BEARER.len()) {
            Some((scheme, credential)) if scheme.eq_ignore_ascii_case(BEARER) => credential.trim_start(),
            _ => return Err(CredentialError::Invalid.into()),
        };
        if credential.len() > CREDENTIAL_BYTES_MAX {
            return Err(CredentialError::Invalid.into());
        }
        // From where it was sent only the broker knows: a key that is allowed some networks is of no use here.
        let caller = self.keyring.authenticate(credential).await?.at(None);
        let is_its_own = caller.tenant().is_some_and(|tenant| **tenant == *delivery.tenant);
        if !is_its_own || !caller.permissions.has(Permission::UsageTrack) {
            return Err(Refused::Foreign(delivery.tenant.clone()));
        }
        Ok(caller)
    }

    /// Counts a refusal, and says so now and then. The tenant and the problem are the sender's words: they are quoted.
    fn refused(&self, reason: &'static str, tenant: &str, problem: &str) {
        counter!(INGESTED, "result" => reason).increment(1);
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if spoken.is_none_or(|spoken| spoken.elapsed() >= SPEAK) {
            *spoken = Some(Instant::now());
            warn!(?tenant, reason, "usage from the broker is refused, for {tenant:?}: {problem:?}");
        }
    }
}

#[async_trait]
impl Inbox for Ingest {
    async fn receive(&self, delivery: &Delivery) -> Receipt {
        let results = match self.take(delivery).await {
            Ok(response) => response.results,
            Err(refused) if is_passing(refused.reason()) => return Receipt::Later,
            Err(refused) => {
                // A defect is told in the log, as everywhere, and not asked for again.
                let status = from_fault(&refused);
                self.refused(reason_name(refused.reason()), &delivery.tenant, status.message());
                return Receipt::Done;
            }
        };
        let errors: Vec<_> = results.iter().filter_map(error).collect();
        // What was recorded is a replay when all come again.
        if errors
            .iter()
            .any(|error| [Code::Unavailable, Code::ResourceExhausted].contains(&error.code.into()))
        {
            return Receipt::Later;
        }
        let recorded = results.len().saturating_sub(errors.len());
        counter!(INGESTED, "result" => "RECORDED").increment(u64::try_from(recorded).unwrap_or(u64::MAX));
        for error in errors {
            let reason = v1::ErrorReason::from_str_name(&format!("ERROR_REASON_{}", error.reason));
            let reason = reason.unwrap_or_default().as_str_name();
            self.refused(reason.trim_start_matches("ERROR_REASON_"), &delivery.tenant, &error.message);
        }
        Receipt::Done
    }
}

/// Whether the same message may be good at another time.
fn is_passing(reason: Reason) -> bool {
    matches!(reason.kind(), Kind::Unavailable | Kind::Exhausted)
}

fn error(result: &v1::TrackResult) -> Option<&v1::ItemError> {
    match &result.result {
        Some(v1::track_result::Result::Error(error)) => Some(error),
        Some(v1::track_result::Result::Response(_)) | None => None,
    }
}

/// What a message asks for: an object is one event, an array is many.
fn requests(delivery: &Delivery) -> Result<Vec<v1::TrackRequest>, Invalid> {
    let Delivery { payload, message_id, .. } = delivery;
    if payload.len() > MESSAGE_BYTES_MAX {
        let size = payload.len();
        return Err(Invalid::field(
            "message",
            format!("has {size} bytes; at most {MESSAGE_BYTES_MAX} are allowed"),
        ));
    }
    if message_id.len() > MESSAGE_ID_BYTES_MAX {
        return Err(Invalid::field("message_id", format!("has more than {MESSAGE_ID_BYTES_MAX} bytes")));
    }
    let unreadable =
        |error: serde_json::Error| Invalid::field("message", format!("is not the JSON of events: {error}"));
    let is_many = payload.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let events: Vec<TrackBody> = if is_many {
        serde_json::from_slice(payload).map_err(unreadable)?
    } else {
        vec![serde_json::from_slice(payload).map_err(unreadable)?]
    };
    if events.is_empty() || events.len() > BATCH_MAX {
        let count = events.len();
        return Err(Invalid::field("message", format!("has {count} events; 1 to {BATCH_MAX} are allowed")));
    }
    let requests = events.into_iter().enumerate().map(|(place, event)| request(delivery, place, event));
    requests.collect()
}

fn request(delivery: &Delivery, place: usize, event: TrackBody) -> Result<v1::TrackRequest, Invalid> {
    let mut request = event.into_request()?;
    request.mode = v1::TrackMode::Record.into();
    if let Some(event) = request.event.as_mut().filter(|event| event.id.is_empty()) {
        // A broker delivers a message again: without a name of its own, a second event would look like the first.
        if delivery.message_id.is_empty() {
            return Err(Invalid::field("event_id", "is missing, and the message has no `message_id`"));
        }
        event.id = made_id(delivery, place);
    }
    Ok(request)
}

/// The id of an event that has none: always the same for the same message.
fn made_id(delivery: &Delivery, place: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(delivery.message_id.len().to_le_bytes());
    hash.update(&delivery.message_id);
    hash.update(place.to_le_bytes());
    hash.update(&delivery.payload);
    let digest = hash.finalize();
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("mqtt-{hex}")
}

#[cfg(test)]
mod tests {
    use prost::bytes::Bytes;

    use super::*;

    fn read(message_id: &str, payload: impl Into<Bytes>) -> Result<Vec<String>, String> {
        let delivery = Delivery {
            tenant: String::from("acme"),
            authorization: Vec::new(),
            message_id: message_id.to_owned(),
            payload: payload.into(),
        };
        let requests = requests(&delivery).map_err(|error| error.to_string())?;
        Ok(requests.into_iter().filter_map(|request| Some(request.event?.id)).collect())
    }

    const CALL: &str = r#"{"service_name":"s","endpoint":"/e"}"#;

    #[test]
    fn one_event_and_many_are_read() {
        let named = r#"{"service_name":"s","endpoint":"/e","event_id":"a"}"#;
        assert_eq!(read("", named), Ok(vec![String::from("a")]));
        assert_eq!(read("", format!(" [{named},{named}]")), Ok(vec![String::from("a"); 2]));
    }

    #[test]
    fn event_without_an_id_has_that_of_its_message_and_place() {
        let two = format!("[{CALL},{CALL}]");
        let ids = read("m1", two.clone()).unwrap();
        assert_ne!(ids[0], ids[1]);
        assert_eq!(read("m1", two.clone()), Ok(ids.clone()), "delivered again");
        assert_ne!(read("m2", two), Ok(ids));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let check = |payload: String, expected: &str| {
            let problem = read("", payload).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        };
        check(CALL.to_owned(), "event_id: is missing");
        check(String::new(), "is not the JSON of events");
        check(String::from("[]"), "has 0 events");
        check(String::from("[1,1]"), "is not the JSON of events");
        check(format!("[{}]", vec![CALL; 1_001].join(",")), "has 1001 events");
        check(" ".repeat(MESSAGE_BYTES_MAX + 1), "has 262145 bytes");
        check(r#"{"service_name":"s","endpoint":"/e","mode":"import"}"#.to_owned(), "unknown field");
    }
}
