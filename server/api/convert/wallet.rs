//! A tenant's credits, from the account to the messages of wallet and grant.

use tollgate_client::v1;

use crate::api::convert::time::to_message;
use crate::ledger::account::{Account, GrantAccount};
use crate::time::Timestamp;

/// A wallet, as an account has it.
pub(in crate::api) fn wallet(tenant: &str, account: &Account) -> v1::Wallet {
    let mut grants: Vec<_> =
        account.grants.iter().filter(|grant| grant.free() > 0 || grant.held_micros > 0).collect();
    // Rule S: by priority, then earliest expiry, then id.
    grants.sort_by_key(|grant| (grant.priority, grant.expires_at_micros.unwrap_or(i64::MAX), &grant.id));
    v1::Wallet {
        tenant_id: tenant.to_owned(),
        balance_micros: account.balance_micros(),
        held_micros: account.held_micros(),
        overage_micros: account.overage(),
        granted_micros: account.granted_micros,
        debited_micros: account.debited(),
        breakage_micros: account.breakage_micros,
        grants: grants.into_iter().map(grant).collect(),
    }
}

/// A grant, as an account has it.
pub(in crate::api) fn grant(grant: &GrantAccount) -> v1::Grant {
    v1::Grant {
        id: grant.id.clone(),
        credits_micros: grant.micros,
        remaining_micros: grant.free(),
        priority: i32::try_from(grant.priority).unwrap_or(i32::MAX),
        expire_time: grant.expires_at_micros.map(|micros| to_message(Timestamp::from_micros(micros))),
        name: grant.name.clone(),
        create_time: Some(to_message(Timestamp::from_micros(grant.created_at_micros))),
    }
}
