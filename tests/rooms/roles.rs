//! What roles allow: ours in every tenant, and a tenant's own nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;
use tollgate::fault::{Fault as _, Reason};
use tollgate::identity::own_roles::Wanted;
use tollgate::identity::permission::{Permission, Permissions};
use tollgate::identity::roles::{OPERATOR, OWNER};
use uuid::Uuid;

use crate::rooms::Rooms;

async fn two() -> (Rooms, Rooms) {
    let here = Rooms::new().await;
    let there = here.beside().await;
    (here, there)
}

#[tokio::test]
async fn roles_of_tenants_and_of_the_staff_are_apart() {
    let rooms = Rooms::new().await;
    let find = async |tenant: &str, role: &str| rooms.roles.permissions(tenant, role).await.unwrap();
    let owner = find("acme", OWNER).await.expect("every tenant has owners");
    assert!(owner.has(Permission::TenantOwn) && !owner.has(Permission::TenantsAny));
    assert_eq!(find("", OPERATOR).await, Some(Permissions::operator()));
    for (tenant, role) in [
        ("acme", OPERATOR),
        ("acme", "support"),
        ("acme", "auditor"),
        ("acme", "*"),
        ("acme", "role:owner"),
        ("acme", "as:owner"),
        ("acme", "OWNER"),
        ("acme", ""),
        ("", OWNER),
        ("", "*"),
        ("", ""),
        ("", "auditor"),
    ] {
        assert_eq!(find(tenant, role).await, None, "`{role}` of `{tenant}`");
    }
}

fn wanted<'a>(name: &'a str, permissions: &'a [String]) -> Wanted<'a> {
    Wanted { name, description: "for a test", permissions }
}

fn named(permissions: &[Permission]) -> Vec<String> {
    permissions.iter().map(|permission| permission.name().to_owned()).collect()
}

#[tokio::test]
async fn own_role_is_its_tenants_alone_and_heard_by_the_other_server() {
    let (here, there) = two().await;
    let owner = here.member("acme", "usr_owner", OWNER).await;
    let (read, more) =
        (named(&[Permission::UsageRead]), named(&[Permission::UsageRead, Permission::KeysRead]));
    assert_eq!(there.roles.permissions("acme", "auditor").await.unwrap(), None);
    let seed = Uuid::from_u128(1);
    for _ in 0..2 {
        here.own_roles.create(&owner, "acme", seed, wanted("auditor", &read)).await.unwrap();
    }
    let again = here.own_roles.create(&owner, "acme", Uuid::from_u128(2), wanted("auditor", &read)).await;
    assert_eq!(again.unwrap_err().reason(), Reason::RoleExists);
    let allowed = Some(Permissions::NONE.with(Permission::UsageRead));
    assert_eq!(here.roles.permissions("acme", "auditor").await.unwrap(), allowed);
    there.hearing.hear().await.unwrap();
    assert_eq!(there.roles.permissions("acme", "auditor").await.unwrap(), allowed);
    assert_eq!(there.roles.permissions("other", "auditor").await.unwrap(), None);

    here.own_roles.update(&owner, "acme", wanted("auditor", &more)).await.unwrap();
    assert_eq!(there.roles.permissions("acme", "auditor").await.unwrap(), allowed, "it has not heard yet");
    there.hearing.hear().await.unwrap();
    let allowed = allowed.map(|some| some.with(Permission::KeysRead));
    assert_eq!(there.roles.permissions("acme", "auditor").await.unwrap(), allowed);
    here.own_roles.delete(&owner, "acme", "auditor").await.unwrap();
    there.hearing.hear().await.unwrap();
    assert_eq!(there.roles.permissions("acme", "auditor").await.unwrap(), None);
}

#[tokio::test]
async fn nobody_makes_a_role_of_more_than_it_has() {
    let rooms = Rooms::new().await;
    let owner = rooms.member("acme", "usr_owner", OWNER).await;
    let (members, roles) = (Permission::MembersWrite, Permission::RolesWrite);
    let keeper = Wanted { name: "keeper", description: "", permissions: &named(&[roles]) };
    rooms.own_roles.create(&owner, "acme", Uuid::from_u128(1), keeper).await.unwrap();
    let above = named(&[roles, members]);
    rooms.own_roles.create(&owner, "acme", Uuid::from_u128(2), wanted("above", &above)).await.unwrap();
    let keeper = rooms.member("acme", "usr_keeper", "keeper").await;
    let (more, less) = (named(&[roles, members]), named(&[roles]));
    let refused = [
        rooms.own_roles.create(&keeper, "acme", Uuid::from_u128(3), wanted("x", &more)).await.map(|_| ()),
        // Its own role.
        rooms.own_roles.update(&keeper, "acme", wanted("keeper", &more)).await.map(|_| ()),
        // One that has more than it has, made less.
        rooms.own_roles.update(&keeper, "acme", wanted("above", &less)).await.map(|_| ()),
        rooms.own_roles.delete(&keeper, "acme", "above").await.map(|_| ()),
    ];
    for refused in refused {
        assert_eq!(refused.unwrap_err().reason(), Reason::GrantExceedsOwn);
    }
    rooms.own_roles.create(&keeper, "acme", Uuid::from_u128(4), wanted("x", &less)).await.unwrap();
    for (name, permissions) in [
        ("owner", &less),
        ("operator", &less),
        ("*", &less),
        ("role:x", &less),
        ("", &less),
        ("y", &named(&[Permission::TenantOwn])),
        ("y", &named(&[Permission::TenantsAny])),
        ("y", &vec![String::from("*")]),
        ("y", &vec![String::from(".*")]),
        ("y", &Vec::new()),
    ] {
        let refused =
            rooms.own_roles.create(&owner, "acme", Uuid::from_u128(5), wanted(name, permissions)).await;
        assert_eq!(refused.unwrap_err().reason(), Reason::InvalidField, "{name} {permissions:?}");
    }
}

#[tokio::test]
async fn tenant_has_a_bounded_number_of_roles() {
    let rooms = Rooms::new().await;
    let owner = rooms.member("acme", "usr_owner", OWNER).await;
    let read = named(&[Permission::UsageRead]);
    for number in 0..32 {
        let name = format!("role-{number}");
        let made =
            rooms.own_roles.create(&owner, "acme", Uuid::from_u128(number), wanted(&name, &read)).await;
        made.unwrap();
    }
    let full = rooms.own_roles.create(&owner, "acme", Uuid::from_u128(99), wanted("one-more", &read)).await;
    assert_eq!(full.unwrap_err().reason(), Reason::RosterFull);
    assert_eq!(rooms.roles.permissions("acme", "role-31").await.unwrap().unwrap().names(), ["usage.read"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reload_under_load_never_opens_a_window() {
    let rooms = Arc::new(Rooms::new().await);
    let owner = rooms.member("acme", "usr_owner", OWNER).await;
    let (one, other) = (named(&[Permission::UsageRead]), named(&[Permission::KeysRead]));
    rooms.own_roles.create(&owner, "acme", Uuid::from_u128(1), wanted("auditor", &one)).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut checks = JoinSet::new();
    checks.spawn({
        let (rooms, done) = (Arc::clone(&rooms), Arc::clone(&done));
        async move {
            let mut seen = [0_u32; 2];
            for _ in 0..10_000 {
                let allowed = rooms.roles.permissions("acme", "auditor").await.unwrap().expect("it is there");
                let place = [Permission::UsageRead, Permission::KeysRead]
                    .iter()
                    .position(|one| allowed == Permissions::NONE.with(*one));
                seen[place.unwrap_or_else(|| panic!("{:?}", allowed.names()))] += 1;
                for (tenant, role) in
                    [("acme", "auditors"), ("acme", "*"), ("other", "auditor"), ("", "auditor")]
                {
                    assert_eq!(rooms.roles.permissions(tenant, role).await.unwrap(), None);
                }
            }
            done.store(true, Ordering::SeqCst);
            seen
        }
    });
    let mut reloads = 0_u32;
    while !done.load(Ordering::SeqCst) {
        let permissions = if reloads.is_multiple_of(2) { &other } else { &one };
        rooms.own_roles.update(&owner, "acme", wanted("auditor", permissions)).await.unwrap();
        reloads += 1;
    }
    let seen = checks.join_next().await.unwrap().unwrap();
    assert!(reloads > 1 && seen.iter().all(|seen| *seen > 0), "{reloads} reloads, seen {seen:?}");
}
