//! A server whose people's secrets are all noted: what each is, and that it really went through.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tollgate_client::v1::auth_service_client::AuthServiceClient;
use tollgate_client::{Client, v1};
use tonic::transport::Endpoint;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use crate::raw::exchange;

/// Where all people of these tests get their mail.
pub(super) const DOMAIN: &str = "canary-people.test";
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// The characters of a code that goes by mail.
const CODE_LENGTH: usize = 43;
const FILE_MODE: u32 = 0o600;

/// A server, and what must never be said of what it was told.
pub(super) struct Aviary {
    address: SocketAddr,
    mail: PathBuf,
    /// What each secret is, and the secret.
    pub(super) secrets: Vec<(&'static str, String)>,
    /// All answers that were errors.
    pub(super) errors: Vec<Status>,
    codes: HashSet<String>,
}

impl Aviary {
    pub(super) fn new(address: SocketAddr, data: &Path) -> Self {
        Self {
            address,
            mail: data.join("mail"),
            secrets: Vec::new(),
            errors: Vec::new(),
            codes: HashSet::new(),
        }
    }

    pub(super) fn client(&self, credential: &str) -> Client {
        let endpoint = format!("http://{}", self.address);
        Client::builder().endpoint(endpoint).api_key(credential).tenant("").build().unwrap()
    }

    /// A client without a credential, from another address of this machine.
    pub(super) async fn stranger(&self, from: IpAddr) -> AuthServiceClient<tonic::transport::Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        AuthServiceClient::new(endpoint.local_address(Some(from)).connect().await.unwrap())
    }

    /// Remembers a secret, and hands it back.
    pub(super) fn note(&mut self, what: &'static str, secret: &str) -> String {
        assert!(secret.len() >= 16, "{what} is too short to be looked for");
        self.secrets.push((what, secret.to_owned()));
        secret.to_owned()
    }

    pub(super) fn note_tokens(&mut self, tokens: Option<v1::SessionTokens>) -> (String, String) {
        let tokens = tokens.unwrap();
        let access = self.note("an access token", &tokens.access_token);
        (access, self.note("a refresh token", &tokens.refresh_token))
    }

    /// That it was refused for that reason.
    #[track_caller]
    pub(super) fn refused<T: std::fmt::Debug>(
        &mut self,
        answer: Result<Response<T>, Status>,
        expected: &[&str],
    ) {
        let status = answer.unwrap_err();
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        assert!(expected.contains(&reason.unwrap_or_default().as_str()), "{status:?}");
        self.errors.push(status);
    }

    /// The code of the next letter. Nobody but the owner can read the letter.
    pub(super) async fn code(&mut self, what: &'static str) -> String {
        let began = Instant::now();
        loop {
            for entry in std::fs::read_dir(&self.mail).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|ending| ending != "eml") {
                    continue;
                }
                assert_eq!(FILE_MODE, std::fs::metadata(&path).unwrap().permissions().mode() & 0o777);
                let code = code_in(&std::fs::read_to_string(&path).unwrap());
                if let Some(code) = code.filter(|code| self.codes.insert(code.clone())) {
                    return self.note(what, &code);
                }
            }
            assert!(began.elapsed() < PATIENCE, "no letter brings {what}");
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn log_in(
        &self,
        name: &str,
        password: &str,
        code: &str,
    ) -> Result<Response<v1::LoginResponse>, Status> {
        let request = v1::LoginRequest {
            address: address(name),
            password: password.to_owned(),
            tenant_id: None,
            code: code.to_owned(),
        };
        self.client("nobody").auth().login(request).await
    }

    pub(super) async fn metrics(&self) -> String {
        exchange(self.address, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await
    }
}

pub(super) fn address(name: &str) -> String {
    format!("{name}@{DOMAIN}")
}

/// The code stands alone on a line of the letter's text, four spaces in.
fn code_in(letter: &str) -> Option<String> {
    let is_code = |text: &&str| {
        text.len() == CODE_LENGTH
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    letter.lines().filter_map(|line| line.strip_prefix("    ")).find(is_code).map(str::to_owned)
}
