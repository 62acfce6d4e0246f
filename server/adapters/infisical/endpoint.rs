//! One question and its answer over HTTP: TLS, or this machine alone, and never more than was asked for.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;

use http::header::{ACCEPT, HOST, USER_AGENT};
use http::request::Builder;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio_rustls::rustls::RootCertStore;

use crate::adapters::infisical::InfisicalError;
use crate::connector::{self, Alpn, Connector};
use crate::secrets::SourceError;

/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How the program names itself.
const AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));

/// Where questions are asked.
pub(super) struct Endpoint {
    connector: Connector,
    /// The host and the port as the address says them.
    authority: String,
    /// What stands before every path, without a `/` at its end.
    prefix: String,
}

impl Endpoint {
    /// The server of that address. Only this machine is spoken to in the clear.
    pub(super) fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, InfisicalError> {
        if url.contains(['@', '?', '#']) {
            return Err(InfisicalError::Url);
        }
        let address: Uri = url.parse().map_err(|_| InfisicalError::Url)?;
        let connector = Connector::to(&address, || roots(ca_file))?;
        if !connector.is_encrypted() && !is_this_machine(connector.host()) {
            return Err(InfisicalError::Clear);
        }
        Ok(Self {
            connector,
            authority: address.authority().ok_or(InfisicalError::Url)?.as_str().to_owned(),
            prefix: address.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The beginning of a question.
    pub(super) fn request(&self, method: Method, path: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(HOST, &self.authority)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "application/json")
    }

    /// Asks, and answers the content of a 200. A redirection is not followed: the question has a secret in it.
    pub(super) async fn exchange(
        &self,
        question: &'static str,
        request: Request<Full<Bytes>>,
    ) -> Result<Bytes, SourceError> {
        let stream = self.connector.connect(Alpn::Http1).await.map_err(unreachable)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(unreachable)?;
            let status = answer.status();
            if status != StatusCode::OK {
                return Err(SourceError::Refused { question, status: status.as_u16() });
            }
            let content = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            content.map(|content| content.to_bytes()).map_err(|error| {
                if error.is::<LengthLimitError>() {
                    return SourceError::TooLarge { question, bytes_max: ANSWER_BYTES_MAX };
                }
                unreachable(error)
            })
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => {
                ended.map_err(unreachable)?;
                exchange.await
            }
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn unreachable(error: impl Display) -> SourceError {
    SourceError::Unreachable { problem: error.to_string() }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, InfisicalError> {
    let Some(path) = ca_file else { return Ok(connector::system_roots()?) };
    let wrong = |problem| InfisicalError::Certificates { path: path.to_owned(), problem };
    connector::named_roots(path).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_travel_in_the_clear_on_this_machine_alone() {
        let check = |url: &str, expected: Option<InfisicalError>| {
            let refused = Endpoint::new(url, None).err();
            assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
            assert_eq!(expected, refused, "{url}");
        };
        check("http://127.0.0.1:8080", None);
        check("http://[::1]/", None);
        check("http://localhost:8080/infisical/", None);
        check("http://infisical.example.com", Some(InfisicalError::Clear));
        check(&format!("http://{}", std::net::Ipv4Addr::new(10, 0, 0, 1)), Some(InfisicalError::Clear));
        check("http://localhost.example.com", Some(InfisicalError::Clear));
        check("http://127.0.0.1.example.com", Some(InfisicalError::Clear));
        check("http://me:s3cret@127.0.0.1", Some(InfisicalError::Url));
        check("https://127.0.0.1/?s3cret", Some(InfisicalError::Url));
        check("https://127.0.0.1/#s3cret", Some(InfisicalError::Url));
        check("ftp://127.0.0.1", Some(InfisicalError::Url));
        check("127.0.0.1:8080", Some(InfisicalError::Url));
        check("infisical", Some(InfisicalError::Url));
    }

    #[test]
    fn a_path_of_the_address_stands_before_every_question() {
        let uri = |url: &str| {
            let endpoint = Endpoint::new(url, None).unwrap();
            endpoint.request(Method::GET, "/api?a=b").body(()).unwrap().uri().to_string()
        };
        assert_eq!("/api?a=b", uri("http://127.0.0.1:8080"));
        assert_eq!("/infisical/api?a=b", uri("http://127.0.0.1:8080/infisical/"));
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let refused = || Endpoint::new("https://infisical.example.com", Some(&path)).err().unwrap();
        assert!(matches!(refused(), InfisicalError::Certificates { .. }));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(refused().to_string().contains("it has none"), "{}", refused());
    }
}
