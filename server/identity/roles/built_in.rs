//! The roles that every installation has.

use crate::identity::permission::{Permission, Permissions};
use crate::identity::roles::engine::Policies;

/// Who owns a tenant.
pub const OWNER: &str = "owner";
/// Who may do everything in the installation.
pub const OPERATOR: &str = "operator";

/// A role of ours.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    /// The roles whose permissions it has too.
    inherits: &'static [&'static str],
    permissions: &'static [Permission],
}

/// The roles of each tenant, least first.
pub(super) const TENANT: [BuiltIn; 5] = [
    BuiltIn {
        name: "viewer",
        inherits: &[],
        permissions: &[Permission::UsageRead, Permission::PlansRead, Permission::SubscriptionsRead],
    },
    BuiltIn { name: "billing", inherits: &["viewer"], permissions: &[Permission::WalletRead] },
    BuiltIn {
        name: "developer",
        inherits: &["viewer"],
        permissions: &[
            Permission::UsageTrack,
            Permission::KeysRead,
            Permission::KeysWrite,
            Permission::TokensWrite,
        ],
    },
    BuiltIn {
        name: "admin",
        inherits: &["developer", "billing"],
        permissions: &[
            Permission::MembersRead,
            Permission::MembersWrite,
            Permission::MembersUnlock,
            Permission::RolesRead,
            Permission::RolesWrite,
            Permission::AuditRead,
        ],
    },
    BuiltIn { name: OWNER, inherits: &["admin"], permissions: &[Permission::TenantOwn] },
];

/// The roles of who works for the installation.
pub(super) const STAFF: [BuiltIn; 2] = [
    BuiltIn {
        name: "support",
        inherits: &[],
        permissions: &[
            Permission::TenantsAny,
            Permission::TenantsRead,
            Permission::MembersRead,
            Permission::MembersUnlock,
            Permission::RolesRead,
            Permission::AuditRead,
            Permission::UsageRead,
            Permission::PlansRead,
            Permission::SubscriptionsRead,
            Permission::WalletRead,
            Permission::KeysRead,
            Permission::JobsRead,
        ],
    },
    BuiltIn { name: OPERATOR, inherits: &[], permissions: &Permission::ALL },
];

/// All that a role may have that a tenant makes: what an owner may, but to own it.
pub(super) const GRANTABLE: Permissions = Permissions::NONE
    .with(Permission::UsageTrack)
    .with(Permission::UsageRead)
    .with(Permission::PlansRead)
    .with(Permission::SubscriptionsRead)
    .with(Permission::WalletRead)
    .with(Permission::KeysRead)
    .with(Permission::KeysWrite)
    .with(Permission::MembersRead)
    .with(Permission::MembersWrite)
    .with(Permission::MembersUnlock)
    .with(Permission::RolesRead)
    .with(Permission::RolesWrite)
    .with(Permission::AuditRead)
    .with(Permission::TokensWrite);

/// What our roles may do in any tenant. No tenant has that domain: a tenant's own has a `:` before its id.
pub(super) fn tenant() -> Policies {
    policies("tenant", &TENANT)
}

/// What our roles may do in the installation.
pub(super) fn staff() -> Policies {
    policies("platform", &STAFF)
}

fn policies(domain: &str, roles: &[BuiltIn]) -> Policies {
    let grants = |role: &BuiltIn| (role.name.to_owned(), role.permissions.iter().copied().collect());
    let inherits = |role: &BuiltIn| {
        let name = role.name.to_owned();
        role.inherits.iter().map(move |other| (name.clone(), (*other).to_owned())).collect::<Vec<_>>()
    };
    Policies {
        domain: domain.to_owned(),
        grants: roles.iter().map(grants).collect(),
        inherits: roles.iter().flat_map(inherits).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::roles::engine::work_out;

    const VIEWER: &str = "plans.read subscriptions.read usage.read";
    const BILLING: &str = "plans.read subscriptions.read usage.read wallet.read";
    const DEVELOPER: &str =
        "keys.read keys.write plans.read subscriptions.read tokens.write usage.read usage.track";
    const ADMIN: &str = "audit.read keys.read keys.write members.read members.unlock members.write plans.read \
                         roles.read roles.write subscriptions.read tokens.write usage.read usage.track wallet.read";
    const SUPPORT: &str = "audit.read jobs.read keys.read members.read members.unlock plans.read roles.read \
                           subscriptions.read tenants.any tenants.read usage.read wallet.read";

    #[tokio::test]
    async fn built_in_roles_may_do_what_is_promised() {
        let tenant = work_out(tenant()).await.unwrap();
        let staff = work_out(staff()).await.unwrap();
        for (table, role, expected) in [
            (&tenant, "viewer", VIEWER),
            (&tenant, "billing", BILLING),
            (&tenant, "developer", DEVELOPER),
            (&tenant, "admin", ADMIN),
            (&staff, "support", SUPPORT),
        ] {
            assert_eq!(table[role].names().join(" "), expected, "{role}");
        }
        assert_eq!(tenant[OWNER], tenant["admin"].with(Permission::TenantOwn));
        assert_eq!(staff[OPERATOR], Permissions::operator());
        assert_eq!((tenant.len(), staff.len()), (5, 2));
        assert_eq!(GRANTABLE, tenant["admin"], "a tenant's own role may have what an admin has");
    }
}
