//! What every call carries: the credential, and a deadline where it has none.

use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{GrpcMethod, Request, Status};

const HEADER: &str = "x-api-key";
const DEADLINE_HEADER: &str = "grpc-timeout";
/// Answers of these methods have no end, so they have no deadline.
const STREAMS: [&str; 1] = ["WatchUsage"];

/// Puts the key and the deadline on each call.
#[derive(Clone, Debug)]
pub struct Credential {
    api_key: AsciiMetadataValue,
    deadline: Duration,
}

impl Credential {
    pub(crate) fn new(mut api_key: AsciiMetadataValue, deadline: Duration) -> Self {
        // It is then printed nowhere, and HTTP/2 keeps it out of its compression table.
        api_key.set_sensitive(true);
        Self { api_key, deadline }
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(HEADER, self.api_key.clone());
        let streams =
            request.extensions().get::<GrpcMethod<'_>>().is_some_and(|it| STREAMS.contains(&it.method()));
        if !streams && !request.metadata().contains_key(DEADLINE_HEADER) {
            request.set_timeout(self.deadline);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(method: &'static str, own_deadline: Option<Duration>) -> Request<()> {
        let key = AsciiMetadataValue::from_static("hidden");
        let mut credential = Credential::new(key, Duration::from_secs(15));
        assert!(!format!("{credential:?}").contains("hidden"));
        let mut request = Request::new(());
        request.extensions_mut().insert(GrpcMethod::new("tollgate.v1.TrackService", method));
        if let Some(deadline) = own_deadline {
            request.set_timeout(deadline);
        }
        credential.call(request).unwrap()
    }

    #[track_caller]
    fn check(method: &'static str, own_deadline: Option<Duration>, expected: Option<&str>) {
        let request = called(method, own_deadline);
        let deadline = request.metadata().get(DEADLINE_HEADER).map(|value| value.to_str().unwrap());
        assert_eq!(expected, deadline, "{method}");
    }

    #[test]
    fn every_call_that_ends_has_a_deadline() {
        check("Track", None, Some("15000000u"));
        check("Track", Some(Duration::from_secs(1)), Some("1000000u"));
        check("WatchUsage", None, None);
    }

    #[test]
    fn the_key_is_sent_and_never_printed() {
        let request = called("Track", None);
        assert_eq!("hidden", request.metadata().get(HEADER).unwrap().to_str().unwrap());
        assert!(!format!("{request:?}").contains("hidden"));
    }
}
