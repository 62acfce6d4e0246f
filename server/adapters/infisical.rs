//! The port [`SecretSource`] on Infisical: a login of a machine identity, then the secrets of one folder.

mod endpoint;

use std::collections::btree_map::Entry;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use hyper::body::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::adapters::infisical::endpoint::Endpoint;
use crate::connector::AddressError;
use crate::secrets::{Found, SecretSource, SourceError};

/// How long the login and the secrets may take together.
const PATIENCE: Duration = Duration::from_secs(10);
/// The two questions, as errors name them.
const LOGIN: &str = "the login";
const SECRETS: &str = "the question for the secrets";

/// Where secrets are, and who may read them.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The server: `https://host`, or `http://` on this machine.
    pub url: String,
    /// The id of the machine identity.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The project.
    pub workspace_id: String,
    /// Its environment.
    pub environment: String,
    /// The folder.
    pub secret_path: String,
    /// Certificates that sign the server's, in PEM. `None`: those that the system trusts.
    pub ca_file: Option<PathBuf>,
}

/// A server of Infisical cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfisicalError {
    /// Its address is none.
    #[error("infisical.url must be `https://host`, without a name, a password, `?` or `#`")]
    Url,
    /// Everybody on the way would read the secrets.
    #[error(
        "infisical.url begins with `http://` and is not on this machine: secrets do not travel in the clear"
    )]
    Clear,
    /// The file of certificates cannot be used.
    #[error("infisical.ca_file `{}` cannot be used: {problem}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The system trusts nobody.
    #[error("infisical.ca_file is not set, and no certificate of the system's trust store can be read")]
    Untrusting,
}

impl From<AddressError> for InfisicalError {
    fn from(error: AddressError) -> Self {
        match error {
            AddressError::Malformed | AddressError::Credentials => Self::Url,
            AddressError::Untrusting => Self::Untrusting,
        }
    }
}

/// A folder of secrets in Infisical.
pub struct Infisical {
    endpoint: Endpoint,
    folder: Folder,
}

impl Infisical {
    /// The folder, which nobody is asked for yet.
    pub fn new(folder: Folder) -> Result<Self, InfisicalError> {
        let endpoint = Endpoint::new(&folder.url, folder.ca_file.as_deref())?;
        Ok(Self { endpoint, folder })
    }

    async fn log_in(&self) -> Result<SecretString, SourceError> {
        let credentials = serde_json::json!({
            "clientId": self.folder.client_id,
            "clientSecret": self.folder.client_secret.expose_secret(),
        });
        let mut request = self.request(Method::POST, "/api/v1/auth/universal-auth/login", LOGIN)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Full::new(Bytes::from(credentials.to_string()));
        let admitted: Admitted = parsed(LOGIN, &self.endpoint.exchange(LOGIN, request).await?)?;
        Ok(admitted.access_token)
    }

    async fn listing(&self, token: &SecretString) -> Result<Listing, SourceError> {
        let Folder { workspace_id, environment, secret_path, .. } = &self.folder;
        let question = format!(
            "/api/v3/secrets/raw?workspaceId={}&environment={}&secretPath={}",
            encoded(workspace_id),
            encoded(environment),
            encoded(secret_path)
        );
        let mut request = self.request(Method::GET, &question, SECRETS)?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
        let mut bearer = bearer
            .map_err(|_| SourceError::Malformed { question: LOGIN, problem: String::from("no token") })?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        parsed(SECRETS, &self.endpoint.exchange(SECRETS, request).await?)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        question: &'static str,
    ) -> Result<Request<Full<Bytes>>, SourceError> {
        let request = self.endpoint.request(method, path).body(Full::default());
        request.map_err(|error| SourceError::Unreachable { problem: format!("{question}: {error}") })
    }
}

#[async_trait]
impl SecretSource for Infisical {
    async fn read(&self, wanted: &[String]) -> Result<Found, SourceError> {
        let listed = async { self.listing(&self.log_in().await?).await };
        let late = |_| SourceError::Late { seconds: PATIENCE.as_secs() };
        let listing = tokio::time::timeout(PATIENCE, listed).await.map_err(late)??;
        chosen(listing, wanted)
    }
}

/// The token lets who has it read every secret of the folder.
impl fmt::Debug for Infisical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Infisical").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
struct Admitted {
    #[serde(rename = "accessToken")]
    access_token: SecretString,
}

#[derive(Debug, Deserialize)]
struct Listing {
    secrets: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    secret_key: String,
    secret_value: SecretString,
    /// The value is a few words in its place: the identity may see the secret, and not read it.
    #[serde(default)]
    secret_value_hidden: bool,
}

/// What is wanted of the folder.
fn chosen(listing: Listing, wanted: &[String]) -> Result<Found, SourceError> {
    let mut found = Found::new();
    for listed in listing.secrets {
        if !wanted.contains(&listed.secret_key) {
            continue;
        }
        if listed.secret_value_hidden {
            return Err(SourceError::Hidden { name: listed.secret_key });
        }
        match found.entry(listed.secret_key) {
            Entry::Vacant(place) => drop(place.insert(listed.secret_value)),
            Entry::Occupied(place) => return Err(SourceError::Twice { name: place.key().clone() }),
        }
    }
    Ok(found)
}

fn parsed<T: DeserializeOwned>(question: &'static str, answer: &[u8]) -> Result<T, SourceError> {
    serde_json::from_slice(answer).map_err(|error| {
        // The parser's own words quote what it met, which may be a secret.
        let problem = format!("line {}, column {}", error.line(), error.column());
        SourceError::Malformed { question, problem }
    })
}

/// A text as part of a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a text takes what is written to it");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<Vec<(String, String)>, SourceError> {
        let wanted = [String::from("TOLLGATE_OPERATOR_KEY"), String::from("TOLLGATE_REDIS_URL")];
        let found = chosen(parsed(SECRETS, answer.as_bytes())?, &wanted)?;
        Ok(found.into_iter().map(|(name, secret)| (name, secret.expose_secret().to_owned())).collect())
    }

    #[test]
    fn what_is_wanted_is_taken_and_nothing_else() {
        let check = |answer: &str, expected: &[(&str, &str)]| {
            let found = read(answer).unwrap();
            let found: Vec<_> = found.iter().map(|(name, secret)| (name.as_str(), secret.as_str())).collect();
            assert_eq!(expected, found, "{answer}");
        };
        check(r#"{"secrets":[]}"#, &[]);
        check(r#"{"secrets":[{"secretKey":"OTHER","secretValue":"x"}],"imports":[]}"#, &[]);
        check(
            r#"{"secrets":[{"secretKey":"TOLLGATE_REDIS_URL","secretValue":"s3cret","version":3,
                "secretValueHidden":false},{"secretKey":"OTHER","secretValue":"","secretValueHidden":true}]}"#,
            &[("TOLLGATE_REDIS_URL", "s3cret")],
        );
    }

    #[test]
    fn what_is_wrong_is_refused_without_saying_it() {
        let check = |answer: &str, expected: &str| {
            let error = read(answer).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        };
        check("s3cret", "not understood");
        check(r#""s3cret""#, "not understood");
        check(r#"{"secrets":"s3cret"}"#, "not understood");
        check(r#"{"secrets":[{"secretKey":"TOLLGATE_REDIS_URL"}]}"#, "not understood");
        check(r#"{"secrets":[{"secretKey":["s3cret"],"secretValue":"x"}]}"#, "not understood");
        let one = r#"{"secretKey":"TOLLGATE_REDIS_URL","secretValue":"s3cret""#;
        check(&format!(r#"{{"secrets":[{one}}},{one}}}]}}"#), "`TOLLGATE_REDIS_URL` twice");
        check(&format!(r#"{{"secrets":[{one},"secretValueHidden":true}}]}}"#), "does not show");
    }

    #[test]
    fn a_text_in_a_query_changes_nothing_around_it() {
        assert_eq!("%2Fa%20b%26c%3Dd%C3%A9%23-._~1", encoded("/a b&c=dé#-._~1"));
    }
}
