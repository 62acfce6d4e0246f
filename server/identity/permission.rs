//! What a caller may do, and what each method of the contract takes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Permission {
    /// Decide about calls and keep them.
    UsageTrack,
    /// Do so for any tenant, and read any tenant's usage.
    UsageTrackAny,
    /// Import history of any age.
    UsageImport,
    /// Read usage.
    UsageRead,
    /// Read the catalogue.
    PlansRead,
    /// Make and publish plans.
    PlansWrite,
    /// Read a subscription.
    SubscriptionsRead,
    /// Change a subscription.
    SubscriptionsWrite,
    /// Read a wallet.
    WalletRead,
    /// Give credits.
    CreditsGrant,
    /// Read keys.
    KeysRead,
    /// Make and revoke keys.
    KeysWrite,
    /// Read tenants.
    TenantsRead,
    /// Make, suspend and resume tenants.
    TenantsWrite,
    /// Read jobs and how they went.
    JobsRead,
    /// Run jobs.
    JobsWrite,
    /// Read who belongs to a tenant.
    MembersRead,
    /// Invite people, change their roles, and remove them.
    MembersWrite,
    /// Let in again who was locked out.
    MembersUnlock,
    /// Read roles.
    RolesRead,
    /// Make and change roles.
    RolesWrite,
    /// Read the audit log.
    AuditRead,
    /// Make service tokens.
    TokensWrite,
    /// Change the keys that tokens are signed with.
    SigningKeysWrite,
    /// Own a tenant: end it, and take all that is held on it.
    TenantOwn,
    /// Name any tenant in whatever else is allowed.
    TenantsAny,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 26] = [
        Self::UsageTrack,
        Self::UsageTrackAny,
        Self::UsageImport,
        Self::UsageRead,
        Self::PlansRead,
        Self::PlansWrite,
        Self::SubscriptionsRead,
        Self::SubscriptionsWrite,
        Self::WalletRead,
        Self::CreditsGrant,
        Self::KeysRead,
        Self::KeysWrite,
        Self::TenantsRead,
        Self::TenantsWrite,
        Self::JobsRead,
        Self::JobsWrite,
        Self::MembersRead,
        Self::MembersWrite,
        Self::MembersUnlock,
        Self::RolesRead,
        Self::RolesWrite,
        Self::AuditRead,
        Self::TokensWrite,
        Self::SigningKeysWrite,
        Self::TenantOwn,
        Self::TenantsAny,
    ];

    /// Its name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UsageTrack => "usage.track",
            Self::UsageTrackAny => "usage.track.any",
            Self::UsageImport => "usage.import",
            Self::UsageRead => "usage.read",
            Self::PlansRead => "plans.read",
            Self::PlansWrite => "plans.write",
            Self::SubscriptionsRead => "subscriptions.read",
            Self::SubscriptionsWrite => "subscriptions.write",
            Self::WalletRead => "wallet.read",
            Self::CreditsGrant => "credits.grant",
            Self::KeysRead => "keys.read",
            Self::KeysWrite => "keys.write",
            Self::TenantsRead => "tenants.read",
            Self::TenantsWrite => "tenants.write",
            Self::JobsRead => "jobs.read",
            Self::JobsWrite => "jobs.write",
            Self::MembersRead => "members.read",
            Self::MembersWrite => "members.write",
            Self::MembersUnlock => "members.unlock",
            Self::RolesRead => "roles.read",
            Self::RolesWrite => "roles.write",
            Self::AuditRead => "audit.read",
            Self::TokensWrite => "tokens.write",
            Self::SigningKeysWrite => "signing_keys.write",
            Self::TenantOwn => "tenant.own",
            Self::TenantsAny => "tenants.any",
        }
    }

    /// The permission with that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// Nothing: who is not known yet has to begin somewhere. A credential that is sent all the same is not looked at.
    Nothing,
    /// Any good credential.
    Authenticated,
    /// A permission.
    Permission(Permission),
}

include!(concat!(env!("OUT_DIR"), "/permissions.rs"));

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// Those of a tenant's key.
    pub const TENANT: Self = Self::NONE
        .with(Permission::UsageTrack)
        .with(Permission::UsageRead)
        .with(Permission::PlansRead)
        .with(Permission::SubscriptionsRead)
        .with(Permission::WalletRead)
        .with(Permission::KeysRead)
        .with(Permission::KeysWrite)
        .with(Permission::TokensWrite);
    /// Those of a service account's key.
    pub const SERVICE_ACCOUNT: Self = Self::NONE
        .with(Permission::UsageTrack)
        .with(Permission::UsageTrackAny)
        .with(Permission::UsageRead)
        .with(Permission::PlansRead)
        .with(Permission::TokensWrite);
    /// None.
    pub const NONE: Self = Self(0);

    /// Those of an operator: every one.
    #[must_use]
    pub fn operator() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// With another one.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        Self(self.0 | 1 << permission as u8)
    }

    /// Without one.
    #[must_use]
    pub const fn without(self, permission: Permission) -> Self {
        Self(self.0 & !(1 << permission as u8))
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// Those that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of the other set are in this one.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Their names, sorted.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        let mut names: Vec<_> = self.iter().map(|permission| permission.name().to_owned()).collect();
        names.sort();
        names
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        permissions.into_iter().fold(Self::NONE, Self::with)
    }
}

/// Kept by name, so that their order in the program does not matter.
impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Permission::name))
    }
}

/// A name that this server does not know grants nothing.
impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(names.iter().filter_map(|name| Permission::named(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    const CONTRACT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.binpb"));

    #[test]
    fn every_method_of_the_contract_says_what_it_takes() {
        let files = prost_types::FileDescriptorSet::decode(CONTRACT).unwrap();
        let mut methods = 0;
        for file in &files.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    assert!(required(&path).is_some(), "`{path}` takes nothing");
                    methods += 1;
                }
            }
        }
        assert!(methods >= 30, "only {methods} methods");
        assert_eq!(required("/tollgate.v1.TrackService/Nothing"), None);
        assert_eq!(required("/grpc.health.v1.Health/Check"), None);
    }

    #[test]
    fn what_each_kind_of_caller_may_do_is_as_promised() {
        let tenant = "keys.read keys.write plans.read subscriptions.read tokens.write usage.read usage.track wallet.read";
        assert_eq!(Permissions::TENANT.names().join(" "), tenant);
        let service_account = "plans.read tokens.write usage.read usage.track usage.track.any";
        assert_eq!(Permissions::SERVICE_ACCOUNT.names().join(" "), service_account);
        assert_eq!(Permissions::operator().names().len(), Permission::ALL.len());
    }

    #[test]
    fn permissions_are_kept_by_name_and_unknown_names_grant_nothing() {
        let kept = serde_json::to_string(&Permissions::SERVICE_ACCOUNT).unwrap();
        assert_eq!(kept, r#"["usage.track","usage.track.any","usage.read","plans.read","tokens.write"]"#);
        let read: Permissions = serde_json::from_str(r#"["usage.read","world.rule"]"#).unwrap();
        assert_eq!(read, Permissions::NONE.with(Permission::UsageRead));
    }

    #[test]
    fn names_and_permissions_are_one_to_one() {
        for permission in Permission::ALL {
            assert_eq!(Permission::named(permission.name()), Some(permission));
        }
        assert_eq!(Permission::named("authenticated"), None);
    }
}
