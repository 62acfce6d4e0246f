//! A row of the ledger as the contract's `LedgerEvent`.

use tollgate_client::v1;

use crate::api::track::{duration, timestamp};
use crate::ledger::event::Event;
use crate::ledger::record::{Body, Charge, GrantBurn, Mode, Record, Refusal};
use crate::ledger::standing::Standing;
use crate::time::Timestamp;

/// A call that was counted, as it stands.
pub(super) fn counted(standing: Standing) -> Option<v1::LedgerEvent> {
    let Standing { record, credits_micros, overage_micros } = standing;
    let Some(Body::Usage(usage)) = record.body else { return None };
    let mode = match usage.mode() {
        Mode::Decide => v1::TrackMode::Decide,
        Mode::Record => v1::TrackMode::Record,
        Mode::Import => v1::TrackMode::Import,
    };
    // What a living reservation holds is not paid.
    let is_paid = usage.hold.is_none() || credits_micros > 0;
    let grants = if is_paid { usage.burns } else { Vec::new() };
    Some(v1::LedgerEvent {
        event: Some(event(usage.event, record.at_micros)),
        mode: mode.into(),
        decision: v1::Decision::Allowed.into(),
        credits_charged_micros: credits_micros,
        decided_at: Some(timestamp(Timestamp::from_micros(record.at_micros))),
        plan: usage.plan,
        plan_version: version(usage.plan_version),
        counters: usage.charges.into_iter().map(counter).collect(),
        grants: grants.into_iter().map(grant).collect(),
        overage_micros,
        api_key_id: usage.api_key_id,
        reservation_id: usage.hold.map(|hold| hold.reservation).unwrap_or_default(),
        degraded: usage.degraded,
        ..v1::LedgerEvent::default()
    })
}

/// A call that was refused.
pub(super) fn refused(record: Record) -> Option<v1::LedgerEvent> {
    let Some(Body::Refusal(refusal)) = record.body else { return None };
    let Refusal { event: call, api_key_id, plan, plan_version, reason, denied_by, degraded } = refusal;
    Some(v1::LedgerEvent {
        event: Some(event(call, record.at_micros)),
        mode: v1::TrackMode::Decide.into(),
        decision: v1::Decision::Denied.into(),
        reason,
        denied_by,
        decided_at: Some(timestamp(Timestamp::from_micros(record.at_micros))),
        plan,
        plan_version: version(plan_version),
        api_key_id,
        degraded,
        ..v1::LedgerEvent::default()
    })
}

fn event(event: Event, decided_at_micros: i64) -> v1::UsageEvent {
    let tokens = event.tokens.map(|tokens| v1::Tokens {
        input: tokens.input,
        output: tokens.output,
        cached_input: tokens.cached_input,
        cache_write_input: tokens.cache_write_input,
    });
    let occurred_at = event.occurred_at_micros.unwrap_or(decided_at_micros);
    v1::UsageEvent {
        id: event.id,
        service: event.service,
        endpoint: event.endpoint,
        method: event.method,
        feature: event.feature,
        status_code: i32::try_from(event.status_code).unwrap_or(0),
        latency: event.latency_micros.map(duration),
        weight: Some(event.weight),
        credits_micros: event.caller_price_micros,
        premium: event.premium,
        tokens,
        model: event.model,
        region: event.region,
        country: event.country,
        api_version: event.api_version,
        consumers: event.consumers.iter().map(|consumer| self::consumer(consumer)).collect(),
        quantities: event.quantities,
        dimensions: event.dimensions,
        metadata: event.metadata,
        occurred_at: Some(timestamp(Timestamp::from_micros(occurred_at))),
    }
}

fn consumer(consumer: &str) -> v1::Consumer {
    let (kind, id) = consumer.split_once(':').unwrap_or(("", consumer));
    let kind = match kind {
        "user" => v1::ConsumerKind::User,
        "bot" => v1::ConsumerKind::Bot,
        "key" => v1::ConsumerKind::Key,
        "integration" => v1::ConsumerKind::Integration,
        _ => v1::ConsumerKind::Unspecified,
    };
    v1::Consumer { kind: kind.into(), id: id.to_owned() }
}

fn counter(charge: Charge) -> v1::CounterChange {
    v1::CounterChange {
        name: charge.name,
        used_before: charge.used_before,
        used_after: charge.used_after,
        limit: charge.limit,
    }
}

fn grant(burn: GrantBurn) -> v1::GrantBurn {
    v1::GrantBurn { grant_id: burn.grant, credits_micros: burn.micros }
}

fn version(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}
