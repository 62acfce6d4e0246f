//! The kinds of callers, and how each gets what it calls with.

use tollgate_client::v1;

use super::scene::{STRANGERS, Scene};
use crate::program::OPERATOR_KEY;

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// No credential.
    Nobody,
    /// Somebody who has logged in to the tenant with the role `viewer`, and so on.
    Viewer,
    Developer,
    Billing,
    Admin,
    Owner,
    /// A key of the tenant with all that it may have.
    Key,
    /// A key of the tenant with one permission only.
    Narrow,
    ServiceAccount,
    /// A token that the service account made, with all that it may lend.
    Token,
    /// Somebody of the staff who has logged in with the role `support`, and so on.
    Support,
    Operator,
    OperatorKey,
    /// The owner of another tenant, who has logged in there.
    Stranger,
}

/// Somebody who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) column: Column,
    pub(super) credential: String,
    /// Who it is, where it is a person: the name, and where it has logged in.
    pub(super) person: Option<(String, String)>,
}

impl Column {
    /// In the order of the table.
    pub(super) const ALL: [Self; 14] = [
        Self::Nobody,
        Self::Viewer,
        Self::Developer,
        Self::Billing,
        Self::Admin,
        Self::Owner,
        Self::Key,
        Self::Narrow,
        Self::ServiceAccount,
        Self::Token,
        Self::Support,
        Self::Operator,
        Self::OperatorKey,
        Self::Stranger,
    ];

    /// What it is called in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "-",
            Self::Viewer => "V",
            Self::Developer => "D",
            Self::Billing => "B",
            Self::Admin => "A",
            Self::Owner => "O",
            Self::Key => "K",
            Self::Narrow => "N",
            Self::ServiceAccount => "S",
            Self::Token => "T",
            Self::Support => "P",
            Self::Operator => "X",
            Self::OperatorKey => "Y",
            Self::Stranger => "F",
        }
    }

    /// A caller of that kind, where calls are about that tenant.
    pub(super) async fn caller(self, scene: &Scene, tenant: &str) -> Caller {
        if let Some((tenant, role)) = self.role(tenant) {
            let name = scene.person(tenant, role).await;
            let credential = scene.log_in(&name, tenant).await.0.access_token;
            return Caller { column: self, credential, person: Some((name, tenant.to_owned())) };
        }
        let credential = match self {
            Self::OperatorKey => OPERATOR_KEY.to_owned(),
            Self::Key => scene.key(v1::ApiKeyKind::Tenant, tenant, &[]).await.1,
            Self::Narrow => scene.key(v1::ApiKeyKind::Tenant, tenant, &["wallet.read"]).await.1,
            Self::ServiceAccount => scene.key(v1::ApiKeyKind::ServiceAccount, "", &[]).await.1,
            Self::Token => scene.lent(&scene.key(v1::ApiKeyKind::ServiceAccount, "", &[]).await.1).await,
            _ => String::new(),
        };
        Caller { column: self, credential, person: None }
    }

    /// Where it belongs, and as what.
    const fn role(self, tenant: &str) -> Option<(&str, &str)> {
        match self {
            Self::Viewer => Some((tenant, "viewer")),
            Self::Developer => Some((tenant, "developer")),
            Self::Billing => Some((tenant, "billing")),
            Self::Admin => Some((tenant, "admin")),
            Self::Owner => Some((tenant, "owner")),
            Self::Support => Some(("", "support")),
            Self::Operator => Some(("", "operator")),
            Self::Stranger => Some((STRANGERS, "owner")),
            Self::Nobody
            | Self::Key
            | Self::Narrow
            | Self::ServiceAccount
            | Self::Token
            | Self::OperatorKey => None,
        }
    }
}
