//! People of a tenant: invited, come by the code of the letter, and logged in with a password.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tollgate_client::v1::{AcceptInvitationRequest, InviteMemberRequest, LoginRequest};

use crate::connection::Connection;
use crate::fleet::Fleet;
use crate::server::Server;

const PASSWORD: &str = "a horse that nobody rides";
/// The characters of a code that goes by mail.
const CODE_LENGTH: usize = 43;
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Somebody who can log in.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) number: usize,
    pub(super) id: String,
    address: String,
}

impl Person {
    /// Invites somebody to a tenant, who comes.
    pub(super) async fn join(fleet: &Fleet, tenant: &str, number: usize, role: &str) -> Self {
        let (all, address) = (fleet.all(), format!("person-{number}@example.com"));
        let invite = InviteMemberRequest {
            tenant_id: tenant.to_owned(),
            address: address.clone(),
            role: role.to_owned(),
            ..Default::default()
        };
        all.auth().invite_member(all.ask(invite)).await.unwrap();
        // Whichever replica sends a letter has it in its own directory.
        let places: Vec<_> = fleet.replicas.iter().map(Server::mail).collect();
        let code = code(&places, &address).await;
        let accept = AcceptInvitationRequest { code, name: address.clone(), password: PASSWORD.to_owned() };
        let id = all.auth().accept_invitation(accept).await.unwrap().into_inner().user_id;
        Self { number, id, address }
    }

    /// The id and the access token of a new session.
    pub(super) async fn log_in(&self, by: &Connection) -> (String, String) {
        let (address, password) = (self.address.clone(), PASSWORD.to_owned());
        let login = LoginRequest { address, password, ..Default::default() };
        let login = by.auth().login(login).await.unwrap().into_inner();
        (login.session_id, login.tokens.unwrap().access_token)
    }
}

/// The code of the letter to an address.
async fn code(places: &[PathBuf], address: &str) -> String {
    let began = Instant::now();
    loop {
        for letter in places.iter().flat_map(letters) {
            if let Some(code) = code_in(&letter).filter(|_| letter.contains(&format!("To: {address}"))) {
                return code;
            }
        }
        assert!(began.elapsed() < PATIENCE, "no letter comes to {address}");
        tokio::time::sleep(POLL).await;
    }
}

/// The letters in a directory that may not be there yet.
fn letters(place: &PathBuf) -> Vec<String> {
    let files = std::fs::read_dir(place).into_iter().flatten().map(|file| file.unwrap().path());
    let whole = files.filter(|path| path.extension().is_some_and(|ending| ending == "eml"));
    whole.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// The code stands alone on a line of the letter's text, four spaces in.
fn code_in(letter: &str) -> Option<String> {
    let is_code = |text: &&str| text.len() == CODE_LENGTH && !text.contains(' ');
    letter.lines().filter_map(|line| line.strip_prefix("    ")).find(is_code).map(str::to_owned)
}
