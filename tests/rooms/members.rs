//! Who belongs to a tenant: nobody grants or takes more than it has, and one owner stays.

use tollgate::fault::{Fault as _, Reason};
use tollgate::identity::members::{By, MembersError};
use tollgate::identity::own_roles::Wanted;
use tollgate::identity::roles::OWNER;
use tollgate::identity::roles::roster::{Move, Roster};
use tollgate::store::StoreError;
use tollgate::store::records::{Change, Records};
use uuid::Uuid;

use crate::rooms::Rooms;

const ROLES: [&str; 5] = ["viewer", "billing", "developer", "admin", "owner"];

async fn roster(rooms: &Rooms, tenant: &str) -> Roster {
    let rosters = Records::<Roster>::new(rooms.store.documents.clone());
    rosters.get(&Roster::id_of(tenant)).await.expect("an answer").expect("a roster").record
}

async fn role_of(rooms: &Rooms, user: &str) -> Option<String> {
    rooms.members.get("acme", user).await.expect("an answer").map(|member| member.role)
}

#[tokio::test]
async fn nobody_grants_or_takes_more_than_it_has() {
    for from in ROLES {
        for to in ROLES {
            for by in ROLES {
                let rooms = Rooms::new().await;
                rooms.member("acme", "usr_owner", OWNER).await;
                rooms.member("acme", "usr_target", from).await;
                let caller = rooms.member("acme", "usr_caller", by).await;
                let changed = rooms.members.change_role(By::Caller(&caller), "acme", "usr_target", to).await;
                let own = rooms.roles.permissions("acme", by).await.unwrap().unwrap();
                let mut may = true;
                for role in [from, to] {
                    may &= own.covers(rooms.roles.permissions("acme", role).await.unwrap().unwrap());
                }
                // Nothing changes, so nothing is granted.
                may |= from == to;
                let expected = if may { to } else { from };
                assert_eq!(changed.is_ok(), may, "{by} makes {from} {to}");
                assert_eq!(role_of(&rooms, "usr_target").await.as_deref(), Some(expected));
            }
        }
    }
}

#[tokio::test]
async fn admin_makes_no_owner_and_removes_none_and_anybody_may_leave() {
    let rooms = Rooms::new().await;
    rooms.member("acme", "usr_1", OWNER).await;
    rooms.member("acme", "usr_2", OWNER).await;
    let admin = rooms.member("acme", "usr_admin", "admin").await;
    let viewer = rooms.member("acme", "usr_viewer", "viewer").await;
    let refused = [
        rooms.members.change_role(By::Caller(&admin), "acme", "usr_admin", OWNER).await,
        rooms.members.change_role(By::Caller(&admin), "acme", "usr_viewer", OWNER).await,
        rooms.members.change_role(By::Caller(&admin), "acme", "usr_1", "viewer").await,
        rooms.members.remove(By::Caller(&admin), "acme", "usr_1").await,
        rooms.members.remove(By::Caller(&viewer), "acme", "usr_admin").await,
    ];
    for refused in refused {
        assert_eq!(refused.unwrap_err().reason(), Reason::GrantExceedsOwn);
    }
    rooms.members.remove(By::Caller(&viewer), "acme", "usr_viewer").await.unwrap();
    rooms.members.remove(By::Caller(&admin), "acme", "usr_admin").await.unwrap();
    assert_eq!((role_of(&rooms, "usr_viewer").await, role_of(&rooms, "usr_admin").await), (None, None));
}

#[tokio::test]
async fn last_owner_stays_whoever_asks() {
    let rooms = Rooms::new().await;
    let owner = rooms.member("acme", "usr_owner", OWNER).await;
    let operator = rooms.operator().await;
    for by in [By::Caller(&owner), By::Caller(&operator), By::Decided] {
        let refused = rooms.members.change_role(by, "acme", "usr_owner", "admin").await;
        assert!(matches!(refused, Err(MembersError::LastOwner)), "{refused:?}");
        let refused = rooms.members.remove(by, "acme", "usr_owner").await;
        assert!(matches!(refused, Err(MembersError::LastOwner)), "{refused:?}");
    }
    rooms.member("acme", "usr_second", OWNER).await;
    rooms.members.remove(By::Caller(&owner), "acme", "usr_owner").await.unwrap();
    assert_eq!(roster(&rooms, "acme").await.owners, ["usr_second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_owners_who_leave_at_once_one_stays() {
    for round in 0..20 {
        let here = Rooms::new().await;
        let there = here.beside().await;
        let first = here.member("acme", "usr_1", OWNER).await;
        let second = here.member("acme", "usr_2", OWNER).await;
        let (left, right) = tokio::join!(
            here.members.remove(By::Caller(&first), "acme", "usr_1"),
            there.members.change_role(By::Caller(&second), "acme", "usr_2", "viewer"),
        );
        assert_eq!(u8::from(left.is_ok()) + u8::from(right.is_ok()), 1, "round {round}: {left:?} {right:?}");
        let owners = roster(&here, "acme").await.owners;
        assert_eq!(owners.len(), 1);
        assert_eq!(role_of(&here, &owners[0]).await.as_deref(), Some(OWNER));
    }
}

#[tokio::test]
async fn change_whose_server_ended_half_way_is_finished_by_the_next() {
    for is_made in [false, true] {
        let rooms = Rooms::new().await;
        let owner = rooms.member("acme", "usr_owner", OWNER).await;
        rooms.member("acme", "usr_1", OWNER).await;
        let member = rooms.members.get("acme", "usr_1").await.unwrap().unwrap();
        let half = Move {
            user: String::from("usr_1"),
            revision: 1,
            from: Some(String::from(OWNER)),
            to: Some(String::from("viewer")),
            since: member.created_at,
        };
        let rosters = Records::<Roster>::new(rooms.store.documents.clone());
        let begin = |roster: &mut Roster| {
            roster.moving = Some(half.clone());
            Ok::<_, StoreError>(Change::Keep)
        };
        rosters.update(&Roster::id_of("acme"), begin).await.unwrap();
        if is_made {
            let members = Records::new(rooms.store.documents.clone());
            let demote = |member: &mut tollgate::identity::member::Member| {
                member.role = String::from("viewer");
                Ok::<_, StoreError>(Change::Keep)
            };
            members.update("acme/usr_1", demote).await.unwrap();
        }
        let refused = rooms.members.remove(By::Caller(&owner), "acme", "usr_owner").await;
        assert!(
            matches!(refused, Err(MembersError::LastOwner)),
            "the other one is no owner any more: {refused:?}"
        );
        assert_eq!(role_of(&rooms, "usr_1").await.as_deref(), Some("viewer"));
        let roster = roster(&rooms, "acme").await;
        assert_eq!((roster.owners.as_slice(), roster.moving), ([String::from("usr_owner")].as_slice(), None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_changes_at_once_are_all_counted() {
    let here = Rooms::new().await;
    let there = here.beside().await;
    let owner = here.member("acme", "usr_owner", OWNER).await;
    let permissions = [String::from("usage.read")];
    let auditor = Wanted { name: "auditor", description: "", permissions: &permissions };
    here.own_roles.create(&owner, "acme", Uuid::from_u128(1), auditor).await.unwrap();
    let users: Vec<_> = (0..50).map(|number| format!("usr_{number}")).collect();
    let joins = users.iter().enumerate().map(|(place, user)| {
        let rooms = if place % 2 == 0 { &here } else { &there };
        rooms.members.join(By::Decided, "acme", user, "auditor")
    });
    for joined in futures_util::future::join_all(joins).await {
        joined.unwrap();
    }
    assert_eq!(roster(&here, "acme").await.roles["auditor"].members, 50);
    let in_use = here.own_roles.delete(&owner, "acme", "auditor").await.unwrap_err();
    assert_eq!(in_use.reason(), Reason::RoleInUse);
    for user in &users {
        here.members.remove(By::Caller(&owner), "acme", user).await.unwrap();
    }
    here.own_roles.delete(&owner, "acme", "auditor").await.unwrap();
    let gone = here.members.join(By::Decided, "acme", "usr_late", "auditor").await.unwrap_err();
    assert_eq!(gone.reason(), Reason::RoleNotFound);
}

#[tokio::test]
async fn staff_is_named_by_operators_alone() {
    let rooms = Rooms::new().await;
    let operator = rooms.operator().await;
    rooms.members.join(By::Caller(&operator), "", "usr_support", "support").await.unwrap();
    let support = rooms.caller("", "usr_support").await;
    let owner = rooms.member("acme", "usr_owner", OWNER).await;
    for caller in [&support, &owner] {
        let refused = rooms.members.join(By::Caller(caller), "", "usr_x", "operator").await.unwrap_err();
        assert_eq!(refused.reason(), Reason::GrantExceedsOwn);
    }
    let strange = rooms.members.join(By::Caller(&operator), "", "usr_x", OWNER).await.unwrap_err();
    assert_eq!(strange.reason(), Reason::RoleNotFound);
    rooms.members.remove(By::Caller(&operator), "", "usr_support").await.unwrap();
}
