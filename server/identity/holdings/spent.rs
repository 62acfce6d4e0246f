//! The wallet of a tenant: what it was granted, what it spent, and what holds it back.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::identity::holdings::{Holding, Part, shown};
use crate::ledger::account::{Account, GrantAccount, HoldAccount, WindowAccount};
use crate::ledger::record::GrantBurn;
use crate::ledger::works::Ledger;
use crate::store::StoreError;
use crate::store::records::Place;

const KIND: &str = "wallet";

/// The wallet of a tenant: one record.
#[derive(Debug)]
pub(super) struct Wallet(pub(super) Ledger);

/// A wallet as it is exported. What has no other unit is in micro-credits.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    balance_micros: i64,
    held_micros: i64,
    granted_micros: i64,
    debited_micros: i64,
    breakage_micros: i64,
    overage_micros: i64,
    grants: &'a [GrantAccount],
    reservations: Vec<Reservation<'a>>,
    limits: Vec<Limit<'a>>,
}

/// A reservation that lives.
#[derive(Debug, Serialize)]
struct Reservation<'a> {
    id: &'a str,
    event_id: &'a str,
    held: &'a [GrantBurn],
    opened_at_micros: i64,
    expires_at_micros: i64,
}

/// How much of a limit is used.
#[derive(Debug, Serialize)]
struct Limit<'a> {
    name: &'a str,
    member: &'a str,
    used: i64,
    window_micros: i64,
    begun_at_micros: i64,
}

#[async_trait]
impl Holding for Wallet {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn some(&self, tenant: &str, _after: Option<&Place>) -> Result<Part, StoreError> {
        self.0.fresh().await.map_err(StoreError::unavailable)?;
        let account = self.0.accounts.get(&Arc::from(tenant)).await?.account;
        Ok(Part { records: vec![shown(KIND, &Shown::from(&account), &[])?], next: None })
    }

    async fn remove(&self, _tenant: &str) -> Result<usize, StoreError> {
        Ok(0)
    }
}

impl<'a> From<&'a Account> for Shown<'a> {
    fn from(account: &'a Account) -> Self {
        Self {
            balance_micros: account.balance_micros(),
            held_micros: account.held_micros(),
            granted_micros: account.granted_micros,
            debited_micros: account.debited_micros,
            breakage_micros: account.breakage_micros,
            overage_micros: account.overage_micros,
            grants: &account.grants,
            reservations: account.holds.iter().filter(|hold| hold.lives()).map(reservation).collect(),
            limits: account.windows.iter().map(limit).collect(),
        }
    }
}

fn reservation(hold: &HoldAccount) -> Reservation<'_> {
    Reservation {
        id: &hold.reservation,
        event_id: &hold.event_id,
        held: &hold.burns,
        opened_at_micros: hold.opened_at_micros,
        expires_at_micros: hold.expires_at_micros,
    }
}

fn limit(window: &WindowAccount) -> Limit<'_> {
    Limit {
        name: &window.name,
        member: &window.member,
        used: window.used,
        window_micros: window.window_micros,
        begun_at_micros: window.mark_micros,
    }
}
