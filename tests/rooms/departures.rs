//! People who are deleted: out at once, back within the grace, and gone without a trace after it, wherever a server ends.

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]

use secrecy::SecretString;
use tollgate::fault::{Fault as _, Reason};
use tollgate::identity::accounts::{AccountsError, Guest, Inviting};
use tollgate::identity::departures::{DeparturesError, Ending};
use tollgate::identity::login::{Attempt, LoginError};
use tollgate::identity::member::{self, Member};
use tollgate::identity::members::{By, MembersError};
use tollgate::identity::roles::OWNER;
use tollgate::identity::roles::roster::Roster;
use tollgate::identity::session::{self, Session};
use tollgate::identity::sessions::Opened;
use tollgate::identity::user::{self, User};
use tollgate::store::StoreError;
use tollgate::store::records::{Change, Records};
use tollgate::time::{DAY, MINUTE};
use uuid::Uuid;

use crate::accounts::{ADDRESS, PASSWORD, ada, all, code_of, last_code, letters, person, secret, signed_up};
use crate::rooms::Rooms;

const GRACE: u32 = 30;
const SECOND: &str = "bob@example.com";

async fn log_in(rooms: &Rooms, address: &str) -> Result<Opened, LoginError> {
    let password = &SecretString::from(PASSWORD);
    let attempt = Attempt { address, password, tenant: None, code: "", from: None };
    rooms.people.logins.log_in(attempt).await.map(|entered| entered.opened)
}

/// Ada, who owns a tenant together with somebody else: who she is, and the tenant.
async fn ada_who_may_leave(rooms: &Rooms) -> (User, String) {
    let caller = signed_up(rooms, ADDRESS).await;
    let tenant = caller.tenant().unwrap().to_string();
    rooms.member(&tenant, "usr_second", OWNER).await;
    (person(rooms, ADDRESS).await, tenant)
}

/// What the store has that names one of these texts: kind and body.
fn traces(rooms: &Rooms, texts: &[&str]) -> Vec<(String, String)> {
    let db = rusqlite::Connection::open(rooms.store.directory.path().join("ledger.db")).unwrap();
    let mut all = db.prepare("SELECT kind, id, CAST(body AS TEXT) FROM documents").unwrap();
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)));
    let rows = rows.unwrap().map(Result::unwrap);
    let found = rows.filter(|(kind, id, body): &(String, _, _)| {
        // Every server is told of a change, for ten minutes.
        kind != "change" && texts.iter().any(|text| id.contains(text) || body.contains(text))
    });
    found.map(|(kind, id, body)| (format!("{kind} {id}"), body)).collect()
}

#[tokio::test]
async fn whoever_is_deleted_is_as_nobody_until_it_is_taken_back() {
    let rooms = Rooms::new().await;
    let (user, tenant) = ada_who_may_leave(&rooms).await;
    let opened = log_in(&rooms, ADDRESS).await.unwrap();
    let token = secrecy::ExposeSecret::expose_secret(&opened.access);
    rooms.keyring.authenticate(token).await.unwrap();
    rooms.accounts.request_reset(ADDRESS).await.unwrap();
    rooms.accounts.sweep().await.unwrap();
    let reset = last_code(&rooms, ADDRESS).await;

    let deleted = rooms.departures.delete(&user.id, GRACE).await.unwrap();
    rooms.store.time.advance(MINUTE);
    assert_eq!(rooms.departures.delete(&user.id, 1).await.unwrap(), deleted, "twice changes nothing");
    rooms.keyring.authenticate(token).await.unwrap_err();
    assert!(
        matches!(rooms.people.sessions.refresh(&opened.refresh, "").await, Err(error) if error.reason() == Reason::RefreshTokenInvalid)
    );
    assert!(matches!(log_in(&rooms, ADDRESS).await, Err(LoginError::Failed)));
    assert!(all::<Session>(&rooms, session::EXPIRY).await.is_empty());
    let refused = rooms.accounts.reset(&reset, &secret("another of the two")).await;
    assert!(matches!(refused, Err(AccountsError::CodeInvalid)));
    let before = letters(&rooms).await.len();
    rooms.accounts.sign_up(ada(ADDRESS, "")).await.unwrap();
    rooms.accounts.request_reset(ADDRESS).await.unwrap();
    rooms.accounts.resend_confirmation(ADDRESS).await.unwrap();
    rooms.accounts.sweep().await.unwrap();
    assert_eq!(letters(&rooms).await.len(), before, "nobody is written to");
    let inviter = rooms.member("acme", "usr_inviter", "admin").await;
    let new = Inviting { seed: Uuid::now_v7(), tenant: "acme", address: ADDRESS, role: "viewer" };
    rooms.accounts.invite(&inviter, new).await.unwrap();
    let code = last_code(&rooms, ADDRESS).await;
    let guest = || Guest { code: &code, user: None, name: "", password: Some(secret(PASSWORD)) };
    assert!(matches!(rooms.accounts.accept(guest()).await, Err(AccountsError::CodeInvalid)));

    rooms.store.time.advance(i64::from(GRACE) * DAY - 2 * MINUTE);
    assert_eq!(rooms.departures.end(&user.id).await.unwrap(), Ending::Otherwise, "the grace goes on");
    let back = rooms.departures.undelete(&user.id).await.unwrap();
    assert_eq!(back, user, "as it was");
    assert_eq!(rooms.departures.undelete(&user.id).await.unwrap(), user, "who was not deleted stays");
    rooms.keyring.authenticate(token).await.unwrap_err();
    log_in(&rooms, ADDRESS).await.unwrap();
    assert_eq!(rooms.members.get(&tenant, &user.id).await.unwrap().unwrap().role, OWNER);
}

#[tokio::test]
async fn last_owners_are_refused_by_the_names_of_their_tenants() {
    let rooms = Rooms::new().await;
    let caller = signed_up(&rooms, ADDRESS).await;
    let (id, tenant) = (caller.user().unwrap().to_string(), caller.tenant().unwrap().to_string());
    rooms.member("acme", &id, OWNER).await;
    let refused = rooms.departures.delete(&id, GRACE).await.unwrap_err();
    assert_eq!(
        (refused.reason(), refused.metadata()[0].1.clone()),
        (Reason::LastOwner, format!("{tenant},acme"))
    );
    assert!(refused.to_string().contains("`acme`"), "{refused}");
    assert_eq!(person(&rooms, ADDRESS).await.deletion, None, "nothing has changed");

    let second = rooms.member("acme", "usr_second", OWNER).await;
    rooms.member(&tenant, "usr_second", OWNER).await;
    rooms.departures.delete(&id, GRACE).await.unwrap();
    for by in [By::Caller(&second), By::Decided] {
        let refused = rooms.members.remove(by, "acme", "usr_second").await;
        assert!(
            matches!(refused, Err(MembersError::LastOwner)),
            "who was deleted does not count: {refused:?}"
        );
    }
    rooms.departures.undelete(&id).await.unwrap();
    rooms.members.remove(By::Caller(&second), "acme", "usr_second").await.unwrap();

    let unknown = rooms.departures.delete("usr_nobody", GRACE).await;
    assert!(matches!(unknown, Err(DeparturesError::NotFound(_))));
    assert!(matches!(rooms.departures.undelete("usr_nobody").await, Err(DeparturesError::NotFound(_))));
    let long = rooms.departures.delete(&id, 366).await.unwrap_err();
    assert_eq!((long.reason(), long.violations()[0].field.as_str()), (Reason::InvalidField, "grace_days"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_owners_who_go_at_once_one_stays() {
    for round in 0..20 {
        let here = Rooms::new().await;
        let there = here.beside().await;
        let mut ids = Vec::new();
        for address in [ADDRESS, SECOND] {
            let id = signed_up(&here, address).await.user().unwrap().to_string();
            here.member("acme", &id, OWNER).await;
            ids.push(id);
        }
        for id in &ids {
            let tenants = all::<Member>(&here, member::USER).await;
            for member in tenants.iter().filter(|member| member.user == *id && member.tenant != "acme") {
                here.member(&member.tenant, "usr_other", OWNER).await;
            }
        }
        let other = async {
            if round % 2 == 0 {
                return there.departures.delete(&ids[1], GRACE).await.is_ok();
            }
            let left = there.members.remove(By::Decided, "acme", &ids[1]).await;
            left.is_ok()
        };
        let (first, second) = tokio::join!(here.departures.delete(&ids[0], GRACE), other);
        assert!(!(first.is_ok() && second), "round {round}: nobody owns it");
        let users = all::<User>(&here, user::AGE).await;
        let deleted = users.iter().filter(|user| user.deletion.is_some()).count();
        let expected = usize::from(first.is_ok()) + usize::from(second && round % 2 == 0);
        assert_eq!(deleted, expected, "round {round}: who was refused is not deleted");
    }
}

/// Everything that can be held on somebody: a session, a second factor, codes, letters and an invitation that was accepted.
async fn ada_with_everything(rooms: &Rooms) -> User {
    let (user, tenant) = ada_who_may_leave(rooms).await;
    let caller = rooms.caller(&tenant, &user.id).await;
    let setup = rooms.accounts.begin_second_factor(&caller, &secret(PASSWORD)).await.unwrap();
    let inviter = rooms.member("acme", "usr_inviter", "admin").await;
    let new = Inviting { seed: Uuid::from_u128(7), tenant: "acme", address: ADDRESS, role: "viewer" };
    rooms.accounts.invite(&inviter, new).await.unwrap();
    rooms.store.time.advance(MINUTE);
    let code = last_code(rooms, ADDRESS).await;
    let guest = Guest { code: &code, user: Some(&user.id), name: "", password: None };
    rooms.accounts.accept(guest).await.unwrap();
    log_in(rooms, ADDRESS).await.unwrap();
    let shown = secrecy::ExposeSecret::expose_secret(&setup.secret);
    let code = code_of(shown, rooms.store.clock().now());
    rooms.accounts.confirm_second_factor(&caller, &code).await.unwrap();
    rooms.accounts.request_reset(ADDRESS).await.unwrap();
    rooms.accounts.request_address(&caller, &secret(PASSWORD), "new@example.com").await.unwrap();
    rooms.accounts.sweep().await.unwrap();
    assert!(letters(rooms).await.len() >= 4);
    user
}

#[tokio::test]
async fn end_that_was_cut_off_anywhere_is_finished_by_the_next() {
    for writes in 0..64 {
        let here = Rooms::new().await;
        let user = ada_with_everything(&here).await;
        here.departures.delete(&user.id, 1).await.unwrap();
        here.store.time.advance(DAY);
        here.store.watched.set_writes_left(writes);
        let killed = here.departures.end(&user.id).await;

        let there = here.beside().await;
        if writes > 0 && killed.is_err() {
            let late = there.departures.undelete(&user.id).await.unwrap_err();
            assert!(matches!(late, DeparturesError::Ended(_)), "{late:?}");
        }
        let due = there.departures.due(None, 10).await.unwrap().records;
        assert_eq!(due.len(), usize::from(killed.is_err()), "after {writes} writes");
        for user in due {
            assert_eq!(there.departures.end(&user.id).await.unwrap(), Ending::Ended, "after {writes} writes");
        }
        assert_eq!(there.departures.end(&user.id).await.unwrap(), Ending::Otherwise);
        let texts = [ADDRESS, user.id.as_str()];
        assert_eq!(traces(&there, &texts), [], "after {writes} writes");
        if killed.is_ok() {
            assert!(writes > 10, "an end takes many writes");
            let again = signed_up(&there, ADDRESS).await;
            assert_ne!(again.user().unwrap().as_ref(), user.id, "the address is free");
            return;
        }
    }
    panic!("an end takes fewer writes than that");
}

#[tokio::test]
async fn deletion_that_was_cut_off_anywhere_is_made_by_a_second_try() {
    for writes in 0..32 {
        let here = Rooms::new().await;
        let (user, _) = ada_who_may_leave(&here).await;
        log_in(&here, ADDRESS).await.unwrap();
        here.store.watched.set_writes_left(writes);
        let killed = here.departures.delete(&user.id, GRACE).await;
        let there = here.beside().await;
        there.departures.delete(&user.id, GRACE).await.unwrap();
        assert!(person(&there, ADDRESS).await.deletion.is_some());
        assert!(all::<Session>(&there, session::EXPIRY).await.is_empty());
        if killed.is_ok() {
            assert!(writes > 4);
            return;
        }
    }
    panic!("a deletion takes fewer writes than that");
}

#[tokio::test]
async fn whoever_became_the_last_owner_waits_for_another_one() {
    let rooms = Rooms::new().await;
    let (user, tenant) = ada_who_may_leave(&rooms).await;
    rooms.departures.delete(&user.id, 0).await.unwrap();
    // As no room does it: the other owner is gone.
    let members = Records::<Member>::new(rooms.store.documents.clone());
    members.remove(&Member::id_of(&tenant, "usr_second")).await.unwrap();
    let rosters = Records::<Roster>::new(rooms.store.documents.clone());
    let forget = |roster: &mut Roster| {
        roster.owners.retain(|owner| owner == &user.id);
        Ok::<_, StoreError>(Change::Keep)
    };
    rosters.update(&Roster::id_of(&tenant), forget).await.unwrap();
    assert_eq!(rooms.departures.end(&user.id).await.unwrap(), Ending::Owns(tenant.clone()));
    rooms.member(&tenant, "usr_third", OWNER).await;
    assert_eq!(rooms.departures.end(&user.id).await.unwrap(), Ending::Ended);
}
