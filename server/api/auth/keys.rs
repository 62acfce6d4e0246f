//! The methods about API keys: making, listing, changing, rotating and ending them.

use secrecy::ExposeSecret as _;
use tollgate_client::v1;
use tonic::Status;

use crate::api::auth::AuthApi;
use crate::api::convert::time::{from_message, to_message};
use crate::api::once::{Call, once};
use crate::api::page::{List, page_size};
use crate::api::status::from_fault;
use crate::fault::Invalid;
use crate::identity::api_key::{ApiKey, KeyKind};
use crate::identity::caller::{Caller, CallerKind};
use crate::identity::keys::{KeyChange, KeysError, NewKey, Rotation};
use crate::identity::permission::Permission;
use crate::time::SECOND;

const NANOS_IN_MICRO: i64 = 1_000;

impl AuthApi {
    pub(super) async fn new_key(
        &self,
        caller: &Caller,
        request: v1::CreateApiKeyRequest,
    ) -> Result<v1::CreateApiKeyResponse, Status> {
        let (kind, tenant) = self.owner(caller, &request).await?;
        let expires_at = request.expire_time.map(|moment| from_message("expire_time", moment)).transpose();
        let expires_at = expires_at.map_err(|error| from_fault(&error))?;
        let (request_id, method) = (request.request_id.as_str(), "CreateApiKey");
        let call = Call { caller, method, request_id, request: &request };
        once(&self.requests, call, without_secret, |seed| {
            let new = NewKey {
                seed,
                kind,
                tenant,
                name: request.name.clone(),
                expires_at,
                permissions: request.permissions.clone(),
                services: request.allowed_services.clone(),
                networks: request.allowed_networks.clone(),
            };
            async {
                let (key, secret) = self.keys.create(caller, new).await?;
                let secret = secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default();
                Ok::<_, KeysError>(v1::CreateApiKeyResponse { api_key: Some(message(key)), secret })
            }
        })
        .await
    }

    pub(super) async fn page_of_keys(
        &self,
        caller: &Caller,
        asked: &v1::ListApiKeysRequest,
    ) -> Result<v1::ListApiKeysResponse, Status> {
        let tenant = if asked.tenant_id.is_empty()
            && matches!(caller.kind, CallerKind::Operator | CallerKind::Staff { .. })
        {
            None
        } else {
            let tenant = self.resolver.tenant(caller, &asked.tenant_id).await;
            Some(tenant.map_err(|error| from_fault(&error))?.id.to_string())
        };
        let list = List { method: "ListApiKeys", tenant: tenant.as_deref().unwrap_or_default(), filter: &[] };
        let size = page_size(asked.page_size).map_err(|error| from_fault(&error))?;
        let after = self.pages.open_place(list, &asked.page_token).map_err(|error| from_fault(&error))?;
        let page = self.keys.list(tenant.as_deref(), after.as_ref(), size).await;
        let page = page.map_err(|error| from_fault(&error))?;
        Ok(v1::ListApiKeysResponse {
            api_keys: page.records.into_iter().map(message).collect(),
            next_page_token: self.pages.seal_place(list, page.next.as_ref()),
        })
    }

    pub(super) async fn one_key(
        &self,
        caller: &Caller,
        request: &v1::GetApiKeyRequest,
    ) -> Result<v1::GetApiKeyResponse, Status> {
        let key = self.keys.get(caller, named(&request.id)?).await.map_err(|error| from_fault(&error))?;
        Ok(v1::GetApiKeyResponse { api_key: Some(message(key)) })
    }

    pub(super) async fn change_key(
        &self,
        caller: &Caller,
        request: v1::UpdateApiKeyRequest,
    ) -> Result<v1::UpdateApiKeyResponse, Status> {
        let change = KeyChange {
            name: request.name,
            services: request.allowed_services.map(|list| list.services),
            networks: request.allowed_networks.map(|list| list.networks),
        };
        let changed = self.keys.change(caller, named(&request.id)?, change).await;
        let key = changed.map_err(|error| from_fault(&error))?;
        Ok(v1::UpdateApiKeyResponse { api_key: Some(message(key)) })
    }

    pub(super) async fn rotate_key(
        &self,
        caller: &Caller,
        request: &v1::RotateApiKeyRequest,
    ) -> Result<v1::RotateApiKeyResponse, Status> {
        let id = named(&request.id)?;
        let overlap = overlap(request.overlap).map_err(|error| from_fault(&error))?;
        let expires_at = request.expire_time.map(|moment| from_message("expire_time", moment)).transpose();
        let expires_at = expires_at.map_err(|error| from_fault(&error))?;
        let (request_id, method) = (request.request_id.as_str(), "RotateApiKey");
        let call = Call { caller, method, request_id, request };
        let without_secret = |answer: &mut v1::RotateApiKeyResponse| answer.secret.clear();
        once(&self.requests, call, without_secret, |seed| async move {
            let (key, secret, rotated) =
                self.keys.rotate(caller, id, Rotation { seed, overlap, expires_at }).await?;
            Ok::<_, KeysError>(v1::RotateApiKeyResponse {
                api_key: Some(message(key)),
                secret: secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default(),
                rotated: Some(message(rotated)),
            })
        })
        .await
    }

    pub(super) async fn end_key(
        &self,
        caller: &Caller,
        request: &v1::RevokeApiKeyRequest,
    ) -> Result<v1::RevokeApiKeyResponse, Status> {
        let revoked = self.keys.revoke(caller, named(&request.id)?).await;
        let key = revoked.map_err(|error| from_fault(&error))?;
        Ok(v1::RevokeApiKeyResponse { api_key: Some(message(key)) })
    }

    /// For whom a new key shall speak.
    async fn owner(
        &self,
        caller: &Caller,
        request: &v1::CreateApiKeyRequest,
    ) -> Result<(KeyKind, Option<String>), Status> {
        match v1::ApiKeyKind::try_from(request.kind) {
            Ok(v1::ApiKeyKind::Unspecified | v1::ApiKeyKind::Tenant) => {
                let tenant = self.resolver.tenant(caller, &request.tenant_id).await;
                let tenant = tenant.map_err(|error| from_fault(&error))?;
                Ok((KeyKind::Tenant, Some(tenant.id.to_string())))
            }
            Ok(v1::ApiKeyKind::ServiceAccount) => {
                caller.require(Permission::UsageTrackAny).map_err(|error| from_fault(&error))?;
                if !request.tenant_id.is_empty() {
                    let description = "must be empty for a service account";
                    return Err(from_fault(&Invalid::field("tenant_id", description)));
                }
                Ok((KeyKind::ServiceAccount, None))
            }
            Err(_) => {
                let description = format!("{} is none that can be chosen", request.kind);
                Err(from_fault(&Invalid::field("kind", description)))
            }
        }
    }
}

fn named(id: &str) -> Result<&str, Status> {
    if id.is_empty() { Err(from_fault(&Invalid::field("id", "is required"))) } else { Ok(id) }
}

/// Microseconds; a length that is none is said by its field.
fn overlap(length: Option<prost_types::Duration>) -> Result<i64, Invalid> {
    let Some(length) = length else { return Ok(0) };
    let seconds = length.seconds.checked_mul(SECOND);
    let micros = seconds.and_then(|micros| micros.checked_add(i64::from(length.nanos) / NANOS_IN_MICRO));
    micros.ok_or_else(|| Invalid::field("overlap", format!("{} s are too many", length.seconds)))
}

fn without_secret(answer: &mut v1::CreateApiKeyResponse) {
    answer.secret.clear();
}

fn message(key: ApiKey) -> v1::ApiKey {
    let kind = match key.kind {
        KeyKind::Tenant => v1::ApiKeyKind::Tenant,
        KeyKind::ServiceAccount => v1::ApiKeyKind::ServiceAccount,
    };
    v1::ApiKey {
        id: key.id,
        kind: kind.into(),
        tenant_id: key.tenant.unwrap_or_default(),
        name: key.name,
        permissions: key.permissions.names(),
        create_time: Some(to_message(key.created_at)),
        expire_time: key.expires_at.map(to_message),
        revoke_time: key.revoked_at.map(to_message),
        allowed_services: key.restrictions.services,
        allowed_networks: key.restrictions.networks.iter().map(ToString::to_string).collect(),
        last_use_time: key.used_at.map(to_message),
        rotated_to: key.rotated_to.unwrap_or_default(),
    }
}
