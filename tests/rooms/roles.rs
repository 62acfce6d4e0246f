//! What roles allow: ours in every tenant, and a tenant's own nowhere else.

use tollgate::identity::permission::{Permission, Permissions};
use tollgate::identity::roles::{OPERATOR, OWNER};

use crate::rooms::Rooms;

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
