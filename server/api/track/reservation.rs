//! `Reserve`, `Extend`, `Settle` and `Release`.

use tollgate_client::v1;

use super::event::{self, Check};
use super::{Ask, Asked, Door, DoorError, durability, subject, timestamp, turned_away, verdict};
use crate::fault::Invalid;
use crate::identity::caller::Caller;
use crate::ledger::admission::{ExtendOrder, ReserveOrder, SettleOrder};
use crate::ledger::event::Event;
use crate::ledger::record::Mode;
use crate::money::MICROS_MAX;
use crate::time::{DAY, MINUTE, SECOND};

/// How long a reservation lives where nothing is said, in microseconds.
const TTL_DEFAULT: i64 = 10 * MINUTE;

impl Door {
    /// Decides about a call and holds credits for it.
    pub async fn reserve(
        &self,
        caller: &Caller,
        request: v1::ReserveRequest,
    ) -> Result<v1::ReserveResponse, DoorError> {
        let (tenant_id, api_key) = (request.tenant_id.clone(), request.api_key.clone());
        let (event, order) = checked_order(request)?;
        let ask =
            Ask { tenant_id: &tenant_id, api_key: &api_key, service: &event.service, mode: Mode::Decide };
        let (entry, key_id) = match self.subject(caller, ask).await? {
            Asked::Tenant { entry, key_id } => (entry, key_id),
            Asked::Refused(verdict) => return Ok(refused(verdict, event.id)),
            Asked::TurnedAway { entry, key_id, refusal } => {
                let id = event.id.clone();
                self.ledger.admission.turn_away(subject(&entry, key_id.as_ref()), event, &refusal)?;
                return Ok(refused(turned_away(&refusal), id));
            }
        };
        let reserved = self.ledger.admission.reserve(subject(&entry, key_id.as_ref()), event, order).await?;
        let (reservation_id, expires_at) = match reserved.held {
            Some((id, expires_at)) => (id, Some(timestamp(expires_at))),
            None => (String::new(), None),
        };
        Ok(v1::ReserveResponse {
            verdict: Some(verdict::verdict(&reserved.tracked.decision, &entry.policy)),
            reservation_id,
            expires_at,
            event_id: reserved.tracked.event_id,
            replayed: reserved.tracked.replayed,
            durability: durability(reserved.tracked.kept).into(),
        })
    }

    /// Moves a reservation's expiry, holds more, or both.
    pub async fn extend(
        &self,
        caller: &Caller,
        request: v1::ExtendRequest,
    ) -> Result<v1::ExtendResponse, DoorError> {
        let mut check = Check::default();
        check.id("reservation_id", &request.reservation_id);
        check.id("request_id", &request.request_id);
        let ttl = request.ttl.map(|ttl| check.length("ttl", ttl, SECOND, DAY));
        let additional_micros = request.additional_credits_micros;
        check.between("additional_credits_micros", additional_micros, 0, MICROS_MAX);
        if ttl.is_none() && additional_micros == 0 {
            check.wrong("ttl", "is missing, and no more credits are asked for: nothing to extend");
        }
        check.done()?;
        let entry = self.resolver.tenant(caller, &request.tenant_id).await?;
        let order = ExtendOrder {
            reservation: request.reservation_id,
            request_id: request.request_id,
            ttl,
            additional_micros,
        };
        let extended = self.ledger.admission.extend(subject(&entry, caller.key_id.as_ref()), order).await?;
        Ok(v1::ExtendResponse {
            verdict: Some(verdict::verdict(&extended.decision, &entry.policy)),
            credits_held_micros: extended.held_micros,
            expires_at: Some(timestamp(extended.expires_at)),
            replayed: extended.replayed,
            durability: durability(extended.kept).into(),
        })
    }

    /// Ends a reservation with what the call cost.
    pub async fn settle(
        &self,
        caller: &Caller,
        request: v1::SettleRequest,
    ) -> Result<v1::SettleResponse, DoorError> {
        let mut check = Check::default();
        check.id("reservation_id", &request.reservation_id);
        if let Some(price) = request.credits_micros {
            check.between("credits_micros", price, 0, MICROS_MAX);
        }
        let v1::SettleRequest { status_code, latency, tokens, quantities, .. } = request;
        let outcome = event::outcome(&mut check, "", status_code, latency, tokens, quantities);
        check.done()?;
        let entry = self.resolver.tenant(caller, &request.tenant_id).await?;
        let price_micros = request.credits_micros;
        let order = SettleOrder { reservation: request.reservation_id, price_micros, outcome };
        let settled = self.ledger.admission.settle(subject(&entry, caller.key_id.as_ref()), order).await?;
        Ok(v1::SettleResponse {
            credits_charged_micros: settled.charged_micros,
            credits_released_micros: settled.released_micros,
            credits_excess_micros: settled.excess_micros,
            credits_remaining_micros: settled.balance_micros,
            replayed: settled.replayed,
            durability: durability(settled.kept).into(),
        })
    }

    /// Ends a reservation at no cost.
    pub async fn release(
        &self,
        caller: &Caller,
        request: v1::ReleaseRequest,
    ) -> Result<v1::ReleaseResponse, DoorError> {
        let mut check = Check::default();
        check.id("reservation_id", &request.reservation_id);
        check.done()?;
        let entry = self.resolver.tenant(caller, &request.tenant_id).await?;
        let subject = subject(&entry, caller.key_id.as_ref());
        let released = self.ledger.admission.release(subject, request.reservation_id).await?;
        Ok(v1::ReleaseResponse {
            credits_released_micros: released.released_micros,
            credits_remaining_micros: released.balance_micros,
            replayed: released.replayed,
            durability: durability(released.kept).into(),
        })
    }
}

fn checked_order(request: v1::ReserveRequest) -> Result<(Event, ReserveOrder), Invalid> {
    let mut check = Check::default();
    let excess_allowed = match v1::ReservationExcess::try_from(request.excess) {
        Ok(v1::ReservationExcess::Allowed) => true,
        Ok(v1::ReservationExcess::Refused | v1::ReservationExcess::Unspecified) => false,
        Err(_) => {
            check.wrong("excess", format!("{} is no way to treat an excess", request.excess));
            false
        }
    };
    check.between("credits_micros", request.credits_micros, 1, MICROS_MAX);
    let ttl = request.ttl.map_or(TTL_DEFAULT, |ttl| check.length("ttl", ttl, SECOND, DAY));
    let event = event::event(&mut check, request.event);
    check.done()?;
    Ok((event, ReserveOrder { micros: request.credits_micros, ttl, excess_allowed }))
}

fn refused(verdict: v1::Verdict, event_id: String) -> v1::ReserveResponse {
    v1::ReserveResponse { verdict: Some(verdict), event_id, ..v1::ReserveResponse::default() }
}
