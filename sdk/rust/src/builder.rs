//! How a client is made: from what the program says, and else from the environment.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Endpoint, Uri};

use crate::client::Client;
use crate::credential::Credential;
use crate::tls::Tls;

/// Where a Tollgate listens that was told nothing else.
pub const ENDPOINT_DEFAULT: &str = "http://127.0.0.1:7180";

/// The server says within ten seconds whether a decision is durable; whoever hangs up earlier does not get to know.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that died without a word is noticed after these two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("tollgate-rust/", env!("CARGO_PKG_VERSION"));

/// What a client needs to know. What is not said is taken from the environment.
#[derive(Clone, Default)]
pub struct Builder {
    endpoint: Option<String>,
    api_key: Option<String>,
    tenant: Option<String>,
    deadline: Option<Duration>,
    tls: Tls,
}

impl Builder {
    /// Where the server is, for example `http://127.0.0.1:7180`; with `https://`, under TLS. Else `TOLLGATE_ENDPOINT`, else [`ENDPOINT_DEFAULT`].
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// The credential, sent as `x-api-key`. Else `TOLLGATE_API_KEY`.
    #[must_use]
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }

    /// The tenant that [`Client::request`] names. Else `TOLLGATE_TENANT`, else none: the tenant of the key.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// How long a call may take that sets no deadline of its own. Else 15 seconds. Streams have none.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The file of the roots (PEM) that the server's certificate is judged by. Else `TOLLGATE_CA_FILE`, else the system's.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.ca_file = Some(path.into());
        self
    }

    /// The files of the certificate and the key (PEM) that the client shows to a server that asks for them. Else
    /// `TOLLGATE_CERTIFICATE_FILE` and `TOLLGATE_KEY_FILE`, else none.
    #[must_use]
    pub fn identity_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.certificate_file = Some(certificate.into());
        self.tls.key_file = Some(key.into());
        self
    }

    /// The client. It connects at its first call, and again whenever the connection was lost.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn build(self) -> Result<Client, BuildError> {
        let endpoint = self.endpoint.or_else(|| environment("TOLLGATE_ENDPOINT"));
        let endpoint = endpoint.unwrap_or_else(|| String::from(ENDPOINT_DEFAULT));
        let api_key =
            self.api_key.or_else(|| environment("TOLLGATE_API_KEY")).ok_or(BuildError::ApiKeyMissing)?;
        let tenant = self.tenant.or_else(|| environment("TOLLGATE_TENANT")).unwrap_or_default();
        let transport = transport(endpoint, self.tls)?;
        let credential = Credential::new(header(&api_key)?, self.deadline.unwrap_or(DEADLINE_DEFAULT));
        Ok(Client::new(transport.connect_lazy(), credential, tenant))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, api_key, tenant, deadline, tls } = self;
        f.debug_struct("Builder")
            .field("endpoint", endpoint)
            .field("api_key", &api_key.as_ref().map(|_| "secret"))
            .field("tenant", tenant)
            .field("deadline", deadline)
            .field("tls", tls)
            .finish()
    }
}

/// Why a client cannot be made. No variant says the key.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no credential.
    #[error("no API key: set one, or the variable TOLLGATE_API_KEY")]
    ApiKeyMissing,
    /// The credential cannot be sent as a header.
    #[error("the API key has characters that no key has")]
    ApiKeyMalformed,
    /// The address is none.
    #[error("the endpoint `{endpoint}` is not like `http://host:port` or `https://host:port`")]
    EndpointMalformed {
        /// What was given.
        endpoint: String,
    },
    /// One of the client's certificate and its key is known without the other.
    #[error("a client shows a certificate and its key: `{set}` is set and `{unset}` is not")]
    IdentityIncomplete {
        /// The variable of the one.
        set: &'static str,
        /// The variable of the other.
        unset: &'static str,
    },
    /// A file of certificates is missing, or may not be read.
    #[error("the file `{}` of `{variable}` cannot be read", path.display())]
    Unreadable {
        /// The variable that it could be named by.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The certificates cannot be used, or the system has no roots.
    #[error("TLS to `{endpoint}` cannot be prepared")]
    Tls {
        /// Where to.
        endpoint: String,
        /// Why not.
        #[source]
        source: tonic::transport::Error,
    },
}

fn transport(endpoint: String, tls: Tls) -> Result<Endpoint, BuildError> {
    let secured = endpoint.starts_with("https://");
    // Without a scheme, `localhost:7180` would be read as a host alone, and fail at the first call only.
    if !secured && !endpoint.starts_with("http://") {
        return Err(BuildError::EndpointMalformed { endpoint });
    }
    let Ok(uri) = endpoint.parse::<Uri>() else { return Err(BuildError::EndpointMalformed { endpoint }) };
    let Ok(plain) = Endpoint::from(uri).user_agent(USER_AGENT) else {
        return Err(BuildError::EndpointMalformed { endpoint });
    };
    let plain = plain
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    if !secured {
        return Ok(plain);
    }
    plain.tls_config(tls.config()?).map_err(|source| BuildError::Tls { endpoint, source })
}

fn header(api_key: &str) -> Result<AsciiMetadataValue, BuildError> {
    AsciiMetadataValue::try_from(api_key).map_err(|_| BuildError::ApiKeyMalformed)
}

pub(crate) fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a library has no configuration of its own")]
    let value = std::env::var(name).ok();
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(endpoint: &str, api_key: &str, expected: &str) {
        let error = Client::builder().endpoint(endpoint).api_key(api_key).build().unwrap_err().to_string();
        assert!(error.contains(expected), "`{error}` does not say `{expected}`");
    }

    #[test]
    fn what_cannot_work_is_said_before_the_first_call() {
        check("localhost:7180", "key", "not like");
        check("", "key", "not like");
        check("http://a b", "key", "not like");
        check("ftp://localhost:7180", "key", "not like");
        check("http://localhost:7180", "one\ntwo", "no key has");
    }

    #[test]
    fn certificates_that_cannot_be_used_are_said() {
        let secured = || Client::builder().endpoint("https://localhost:7180").api_key("key");
        let error = secured().ca_file("/nowhere/roots.pem").build().unwrap_err().to_string();
        assert!(error.contains("/nowhere/roots.pem") && error.contains("TOLLGATE_CA_FILE"), "{error}");
        let error =
            secured().identity_files("/nowhere/a.pem", "/nowhere/b.pem").build().unwrap_err().to_string();
        assert!(error.contains("/nowhere/a.pem"), "{error}");
    }

    #[test]
    fn the_key_is_never_said() {
        let builder = Client::builder().api_key("hidden\n");
        assert!(!format!("{builder:?}").contains("hidden"));
        let error = builder.build().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hidden"));
    }
}
