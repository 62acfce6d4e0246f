//! A server with people: made in its store as another server would make them, with hashes that cost little.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tollgate::adapters::sqlite::documents::SqliteDocuments;
use tollgate::adapters::sqlite::ledger;
use tollgate::config::Config;
use tollgate::identity::hasher::{Cost, Hasher};
use tollgate::identity::member::Member;
use tollgate::identity::password::Password;
use tollgate::identity::user::{Deletion, User};
use tollgate::mail::address::Address;
use tollgate::store::changes::{Subject, Teller};
use tollgate::store::records::{Change, Records};
use tollgate::store::{Documents, Order, Search, StoreError};
use tollgate::time::{Clock as _, DAY, ManualClock};
use tollgate_client::{Client, v1};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::server::{Server, TENANT};

pub(super) const PASSWORD: &str = "a horse that nobody rides";

const POLL: Duration = Duration::from_millis(20);
/// How long every server may take to hear of a change.
const HEARD: Duration = Duration::from_secs(5);

/// A server, and its store as another server has it.
pub(super) struct Town {
    pub(super) server: Server,
    pub(super) documents: Arc<dyn Documents>,
    hasher: Hasher,
}

impl Town {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With a change of its settings.
    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let server = Server::new().await.restarted(|config| {
            config.accounts.argon2_memory_kib = number(64);
            config.accounts.argon2_passes = number(1);
            change(config);
        });
        let server = server.await;
        let database = ledger::open(&server.data().join("ledger.db")).unwrap();
        let cost = Cost { memory_kib: number(64), passes: number(1), lanes: number(1) };
        Self {
            server,
            documents: Arc::new(SqliteDocuments::new(&database)),
            hasher: Hasher::new(cost, 1).unwrap(),
        }
    }

    /// A person who has that role in the first tenant.
    pub(super) async fn member(&self, name: &str, role: &str) -> User {
        let user = self.user(name, |_| {}).await;
        self.join(&user, TENANT, role).await;
        user
    }

    /// A person who belongs nowhere, with a change.
    pub(super) async fn user(&self, name: &str, change: impl FnOnce(&mut User)) -> User {
        let password = Password::given(&SecretString::from(PASSWORD)).unwrap();
        let now = self.clock().now();
        let mut user = User {
            id: format!("usr_{name}"),
            name: name.to_owned(),
            address: Address::parse(&address(name)).unwrap(),
            confirmed_at: Some(now),
            password: self.hasher.hash(password).await.unwrap(),
            password_at: now,
            second_factor: None,
            is_suspended: false,
            created_at: now,
            origin: name.to_owned(),
            deletion: None,
        };
        change(&mut user);
        Records::new(Arc::clone(&self.documents)).insert(&user).await.unwrap();
        user
    }

    /// Makes that person a member; `tenant` is empty for the staff.
    pub(super) async fn join(&self, user: &User, tenant: &str, role: &str) {
        // No two memberships are of one age, as between people.
        self.clock().advance(1);
        let member = Member::new(tenant, &user.id, role, self.clock().now());
        Records::new(Arc::clone(&self.documents)).insert(&member).await.unwrap();
    }

    /// Changes the record of a membership as another server does; `None` ends it.
    pub(super) async fn change_member(&self, user: &User, role: Option<&str>) {
        let id = Member::id_of(TENANT, &user.id);
        let members = Records::<Member>::new(Arc::clone(&self.documents));
        let change = async {
            let mut kept = members.get(&id).await?.unwrap();
            match role {
                Some(role) => {
                    role.clone_into(&mut kept.record.role);
                    members.replace(&kept).await
                }
                None => members.delete(&id, kept.revision).await,
            }
        };
        assert!(self.teller().tell(Subject::Member(id.clone()), change).await.unwrap());
    }

    /// Suspends or resumes a person as another server does.
    pub(super) async fn suspend(&self, user: &User, is_suspended: bool) {
        let users = Records::<User>::new(Arc::clone(&self.documents));
        let change = users.update(&user.id, |user| {
            user.is_suspended = is_suspended;
            Ok::<_, StoreError>(Change::Keep)
        });
        self.teller().tell(Subject::User(user.id.clone()), change).await.unwrap();
    }

    /// Deletes a person as another server does.
    pub(super) async fn delete(&self, user: &User) {
        let (users, at) = (Records::<User>::new(Arc::clone(&self.documents)), self.clock().now());
        let change = users.update(&user.id, |user| {
            let ends_at = at.plus(DAY);
            user.deletion = Some(Deletion { at, ends_at, has_begun: false, leaving: String::new() });
            Ok::<_, StoreError>(Change::Keep)
        });
        self.teller().tell(Subject::User(user.id.clone()), change).await.unwrap();
    }

    /// The letters that were sent, by what stands over them, when none waits any more.
    pub(super) async fn letters(&self) -> Vec<String> {
        let (kind, index, order) = ("letter", "due", Order::Ascending);
        let waiting = Search { kind, index, prefix: "", after: None, order, limit: 1 };
        while !self.documents.find(waiting).await.unwrap().is_empty() {
            tokio::time::sleep(POLL).await;
        }
        let files = std::fs::read_dir(self.server.data().join("mail")).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        let subject =
            |text: &str| text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned));
        files.iter().map(|file| subject(&std::fs::read_to_string(file).unwrap()).unwrap()).collect()
    }

    /// What a login answers.
    pub(super) async fn log_in(&self, name: &str) -> Result<v1::LoginResponse, Status> {
        self.try_login(&address(name), PASSWORD, None).await
    }

    pub(super) async fn try_login(
        &self,
        address: &str,
        password: &str,
        tenant: Option<&str>,
    ) -> Result<v1::LoginResponse, Status> {
        let request = v1::LoginRequest {
            address: address.to_owned(),
            password: password.to_owned(),
            tenant_id: tenant.map(str::to_owned),
            code: String::new(),
        };
        Ok(self.nobody().auth().login(request).await?.into_inner())
    }

    pub(super) async fn refresh(&self, token: &str) -> Result<v1::SessionTokens, Status> {
        let request = v1::RefreshTokenRequest { refresh_token: token.to_owned() };
        let answer = self.nobody().auth().refresh_token(request).await?;
        Ok(answer.into_inner().tokens.unwrap())
    }

    /// Who the server says that a credential is of.
    pub(super) async fn who(&self, credential: &str) -> Result<v1::WhoAmIResponse, Status> {
        Ok(self.server.client(credential).auth().who_am_i(v1::WhoAmIRequest {}).await?.into_inner())
    }

    /// Waits until the server has heard of a change, which takes at most five seconds.
    pub(super) async fn hears(
        &self,
        credential: &str,
        expected: impl Fn(Result<v1::WhoAmIResponse, Status>) -> bool,
    ) {
        let heard = async {
            while !expected(self.who(credential).await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(HEARD, heard).await.expect("the server has not heard in time");
    }

    /// A client without any good credential.
    pub(super) fn nobody(&self) -> Client {
        self.server.client("nobody")
    }

    pub(super) fn clock(&self) -> &ManualClock {
        self.server.clock()
    }

    fn teller(&self) -> Teller {
        Teller::new(&self.documents, self.server.shared_clock())
    }
}

pub(super) fn address(name: &str) -> String {
    format!("{name}@example.com")
}

/// Code and reason of a refusal.
#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
    (status.code(), reason.unwrap_or_default())
}

/// The same as [`refused`] answers.
pub(super) fn refusal(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}
