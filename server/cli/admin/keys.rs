//! `tollgate admin keys`: the keys of tenants and of service accounts.

use std::io::{self, Write as _};

use serde_json::json;
use tollgate_client::{Client, v1};

use crate::cli::admin::show::{Rows, moment};
use crate::cli::admin::{AdminError, Format};

const PAGE: i32 = 1_000;
const DAY_SECONDS: i64 = 86_400;

/// What to do with keys.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum KeysCommand {
    /// List the keys of a tenant, newest first.
    List {
        /// The tenant's id [default: those of service accounts].
        #[arg(default_value = "")]
        tenant: String,
    },
    /// Make a key, and print its secret, this once.
    Create {
        /// Its name for people.
        name: String,
        /// The tenant that it speaks for [default: it is a service account's].
        #[arg(long, default_value = "")]
        tenant: String,
        /// What it may do, for example `usage.track`; again for more [default: all that its kind may].
        #[arg(long = "permission")]
        permissions: Vec<String>,
        /// A service that calls may be about; again for more [default: all].
        #[arg(long = "service")]
        services: Vec<String>,
        /// A network that it may be sent from, for example `10.0.0.0/8`; again for more [default: all].
        #[arg(long = "network")]
        networks: Vec<String>,
    },
    /// Make a key that takes the place of another, and print its secret, this once.
    Rotate {
        /// The key's id.
        key: String,
        /// How many days the old one is good beside it.
        #[arg(long, default_value_t = 0)]
        overlap_days: i64,
    },
    /// End a key at once.
    Revoke {
        /// The key's id.
        key: String,
    },
}

/// Does it.
pub(super) async fn run(client: &Client, command: KeysCommand, format: Format) -> Result<(), AdminError> {
    let mut auth = client.auth();
    let request_id = uuid::Uuid::now_v7().to_string();
    match command {
        KeysCommand::List { tenant } => list(client, tenant, format).await,
        KeysCommand::Create { name, tenant, permissions, services, networks } => {
            let kind =
                if tenant.is_empty() { v1::ApiKeyKind::ServiceAccount } else { v1::ApiKeyKind::Tenant };
            let request = v1::CreateApiKeyRequest {
                kind: kind.into(),
                tenant_id: tenant,
                name,
                permissions,
                request_id,
                allowed_services: services,
                allowed_networks: networks,
                ..Default::default()
            };
            let answer = auth.create_api_key(request).await?.into_inner();
            told(&answer.api_key.unwrap_or_default(), &answer.secret, format)
        }
        KeysCommand::Rotate { key, overlap_days } => {
            let seconds = overlap_days.saturating_mul(DAY_SECONDS);
            let overlap = Some(prost_types::Duration { seconds, nanos: 0 });
            let request = v1::RotateApiKeyRequest { id: key, overlap, request_id, ..Default::default() };
            let answer = auth.rotate_api_key(request).await?.into_inner();
            told(&answer.api_key.unwrap_or_default(), &answer.secret, format)
        }
        KeysCommand::Revoke { key } => {
            let revoked = auth.revoke_api_key(v1::RevokeApiKeyRequest { id: key }).await?.into_inner();
            Ok(rows(revoked.api_key).show(format)?)
        }
    }
}

async fn list(client: &Client, tenant_id: String, format: Format) -> Result<(), AdminError> {
    let mut keys = Vec::new();
    let mut request = v1::ListApiKeysRequest { tenant_id, page_size: PAGE, ..Default::default() };
    loop {
        let page = client.auth().list_api_keys(request.clone()).await?.into_inner();
        keys.extend(page.api_keys);
        if page.next_page_token.is_empty() {
            return Ok(rows(keys).show(format)?);
        }
        request.page_token = page.next_page_token;
    }
}

/// The secret is alone on its line, so that a program can take it.
fn told(key: &v1::ApiKey, secret: &str, format: Format) -> Result<(), AdminError> {
    match format {
        Format::Json => writeln!(io::stdout(), "{:#}", json!({ "key": key.id, "secret": secret }))?,
        Format::Table => writeln!(io::stdout(), "{}\n{secret}", key.id)?,
    }
    Ok(())
}

fn rows(keys: impl IntoIterator<Item = v1::ApiKey>) -> Rows {
    let mut rows =
        Rows::new(&["key", "name", "services", "networks", "created", "last used", "ends", "revoked"]);
    for key in keys {
        let (services, networks) = (key.allowed_services.join(" "), key.allowed_networks.join(" "));
        let moments = [key.create_time, key.last_use_time, key.expire_time, key.revoke_time].map(moment);
        rows.push([key.id, key.name, services, networks].into_iter().chain(moments));
    }
    rows
}
