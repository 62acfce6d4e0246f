//! The kinds of callers.

use std::sync::Arc;

use tollgate::adapters::sqlite::documents::SqliteDocuments;
use tollgate::adapters::sqlite::ledger;
use tollgate::identity::permission::{Permission, Permissions};
use tollgate::identity::roles::Roles;
use tollgate::store::Documents;
use tollgate::time::{ManualClock, Timestamp};
use tollgate_client::v1;

use crate::program::OPERATOR_KEY;
use crate::server::{Server, TENANT};

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// No credential.
    Nobody,
    /// A member with the role `viewer`, and so on.
    Viewer,
    Developer,
    Billing,
    Admin,
    Owner,
    /// A tenant's key with all that it may have.
    Key,
    /// A tenant's key with one permission only.
    Narrow,
    ServiceAccount,
    /// Staff with the role `support`.
    Support,
    /// Staff with the role `operator`, and the operator's key.
    Operator,
}

impl Column {
    pub(super) const ALL: [Self; 11] = [
        Self::Nobody,
        Self::Viewer,
        Self::Developer,
        Self::Billing,
        Self::Admin,
        Self::Owner,
        Self::Key,
        Self::Narrow,
        Self::ServiceAccount,
        Self::Support,
        Self::Operator,
    ];

    /// What it is in a row.
    pub(super) const fn letter(self) -> char {
        match self {
            Self::Nobody => '-',
            Self::Viewer => 'V',
            Self::Developer => 'D',
            Self::Billing => 'B',
            Self::Admin => 'A',
            Self::Owner => 'O',
            Self::Key => 'K',
            Self::Narrow => 'N',
            Self::ServiceAccount => 'S',
            Self::Support => 'P',
            Self::Operator => 'X',
        }
    }

    /// A credential at a server; `None`: it takes a login.
    pub(super) async fn credential(self, server: &Server) -> Option<String> {
        let key = async |kind: v1::ApiKeyKind, tenant: &str, permissions: &[&str]| {
            let request = v1::CreateApiKeyRequest {
                kind: kind.into(),
                tenant_id: tenant.to_owned(),
                name: String::from("a key"),
                permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
                ..Default::default()
            };
            server.operator().auth().create_api_key(request).await.unwrap().into_inner().secret
        };
        match self {
            Self::Nobody => Some(String::new()),
            Self::Key => Some(key(v1::ApiKeyKind::Tenant, TENANT, &[]).await),
            Self::Narrow => Some(key(v1::ApiKeyKind::Tenant, TENANT, &["wallet.read"]).await),
            Self::ServiceAccount => Some(key(v1::ApiKeyKind::ServiceAccount, "", &[]).await),
            Self::Operator => Some(OPERATOR_KEY.to_owned()),
            Self::Viewer | Self::Developer | Self::Billing | Self::Admin | Self::Owner | Self::Support => {
                None
            }
        }
    }

    const fn role(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Viewer => Some((TENANT, "viewer")),
            Self::Developer => Some((TENANT, "developer")),
            Self::Billing => Some((TENANT, "billing")),
            Self::Admin => Some((TENANT, "admin")),
            Self::Owner => Some((TENANT, "owner")),
            Self::Support => Some(("", "support")),
            Self::Operator => Some(("", "operator")),
            Self::Nobody | Self::Key | Self::Narrow | Self::ServiceAccount => None,
        }
    }
}

/// What such a caller may do; `None`: it is not known who it is.
pub(super) async fn permissions(column: Column) -> Option<Permissions> {
    if let Some((tenant, role)) = column.role() {
        let directory = tempfile::tempdir().unwrap();
        let database = ledger::open(&directory.path().join("ledger.db")).unwrap();
        let documents: Arc<dyn Documents> = Arc::new(SqliteDocuments::new(&database));
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1)));
        let roles = Roles::open(&documents, clock).await.unwrap();
        return roles.permissions(tenant, role).await.unwrap();
    }
    match column {
        Column::Key => Some(Permissions::TENANT),
        Column::Narrow => Some(Permissions::NONE.with(Permission::WalletRead)),
        Column::ServiceAccount => Some(Permissions::SERVICE_ACCOUNT),
        _ => None,
    }
}
