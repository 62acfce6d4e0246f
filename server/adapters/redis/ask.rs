//! What the scripts are asked: a demand with the limits that it stands on.

use crate::adapters::redis::wire::Writer;
use crate::gate::call::{Demand, Effect};
use crate::gate::counters::{End, Extend};
use crate::gate::decision::LimitKind;
use crate::gate::gates::applies;
use crate::gate::hold::RESERVATION_LIFE_MAX;
use crate::gate::period::Period;
use crate::gate::policy::{LimitKey, Policy, Quota, RateKind, RateLimit, Scope};
use crate::time::Timestamp;

/// The key of a tenant's hash, with which all its other keys begin. What could move the hash tag is written as `%` and two
/// digits.
pub(super) fn key(tenant: &str) -> String {
    use std::fmt::Write as _;
    let mut key = String::with_capacity(tenant.len().saturating_add(5));
    key.push_str("tg:{");
    for byte in tenant.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b':' => key.push(char::from(byte)),
            _ => drop(write!(key, "%{byte:02x}")),
        }
    }
    key.push('}');
    key
}

/// A limit that a demand stands on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// A rate.
    Rate(&'a RateLimit),
    /// A quota.
    Quota(&'a Quota),
}

impl Asked<'_> {
    pub(super) const fn key(self) -> LimitKey {
        match self {
            Self::Rate(rate) => rate.key,
            Self::Quota(quota) => quota.key,
        }
    }

    /// Whether its counter is a field of the tenant's hash and says all.
    pub(super) fn stands_in_hash(self) -> bool {
        match self {
            Self::Rate(rate) => rate.scope == Scope::Tenant && rate.kind != RateKind::Sliding,
            Self::Quota(_) => true,
        }
    }

    pub(super) const fn rate(self) -> Option<RateKind> {
        match self {
            Self::Rate(rate) => Some(rate.kind),
            Self::Quota(_) => None,
        }
    }
}

/// The limits that a demand stands on, in the order in which scripts number them.
pub(super) fn limits<'a>(policy: &'a Policy, demand: &Demand<'_>) -> Vec<Asked<'a>> {
    let call = &demand.call;
    let rates = policy.rates.iter().filter(|rate| {
        let has_members = match rate.scope {
            Scope::Tenant => true,
            Scope::ApiKey => call.api_key.is_some(),
            Scope::Consumer => !call.consumers.is_empty(),
        };
        has_members && applies(rate.endpoints.as_ref(), call.endpoint)
    });
    let quotas = policy.quotas.iter().filter(|quota| applies(quota.endpoints.as_ref(), call.endpoint));
    rates.map(Asked::Rate).chain(quotas.map(Asked::Quota)).collect()
}

/// The fields of a tenant's hash that a question about these limits reads.
pub(super) fn fields(limits: &[Asked<'_>]) -> Vec<Vec<u8>> {
    let counters = limits.iter().map(|limit| [&b"c"[..], &limit.key().0.to_be_bytes()].concat());
    [&b"i"[..], b"h", b"g"].map(<[u8]>::to_vec).into_iter().chain(counters).collect()
}

/// A demand for `decide.lua`.
pub(super) fn demand(
    time: Option<Timestamp>,
    policy: &Policy,
    demand: &Demand<'_>,
    limits: &[Asked<'_>],
    period: Option<Period>,
) -> Vec<u8> {
    let call = &demand.call;
    let (effect, occurred_at, hold) = match demand.effect {
        Effect::Charge => ("charge", None, None),
        Effect::Dry => ("dry", None, None),
        Effect::Record { occurred_at } => ("record", Some(occurred_at), None),
        Effect::Hold { reservation, ttl, excess_allowed } => {
            ("hold", None, Some((reservation, ttl, excess_allowed)))
        }
    };
    let mut out = Writer::new();
    out.list(16).maybe(time.map(Timestamp::micros)).text(effect);
    out.bytes(&demand.event.0.to_be_bytes()).bytes(&demand.payload.0.to_be_bytes());
    out.whole(demand.price_micros).whole(call.weight).list(limits.len());
    for limit in limits {
        put_limit(&mut out, *limit, demand);
    }
    put_period(&mut out, period);
    if policy.allowance_micros > 0 {
        out.text(&format!("allowance:{}:", policy.subscription));
    } else {
        out.none();
    }
    let is_closed = !matches!(demand.effect, Effect::Record { .. }) && policy.admit(call).is_err();
    out.whole(policy.overage_max_micros).flag(is_closed).maybe(occurred_at.map(Timestamp::micros));
    match hold {
        Some((reservation, ttl, excess_allowed)) => out.text(reservation).whole(ttl).flag(excess_allowed),
        None => out.none().none().none(),
    };
    out.take()
}

/// An extension for `extend.lua`.
pub(super) fn extend(time: Option<Timestamp>, extend: &Extend<'_>, period: Period) -> Vec<u8> {
    let mut out = Writer::new();
    out.list(9).maybe(time.map(Timestamp::micros));
    out.bytes(&extend.event.0.to_be_bytes()).bytes(&extend.payload.0.to_be_bytes());
    out.text(extend.reservation).maybe(extend.ttl).whole(extend.additional_micros);
    put_period(&mut out, Some(period));
    out.whole(RESERVATION_LIFE_MAX).take()
}

/// An end for `end.lua`.
pub(super) fn end(time: Option<Timestamp>, end: &End<'_>, period: Period) -> Vec<u8> {
    let kind = if end.price_micros.is_some() { "settled" } else { "released" };
    let mut out = Writer::new();
    out.list(8).maybe(time.map(Timestamp::micros));
    out.bytes(&end.event.0.to_be_bytes()).bytes(&end.payload.0.to_be_bytes());
    out.text(end.reservation).whole(end.price_micros.unwrap_or(0)).text(kind);
    put_period(&mut out, Some(period));
    out.take()
}

/// The number that scripts know a kind by.
pub(super) const fn kind(kind: LimitKind) -> i64 {
    match kind {
        LimitKind::Sliding => 1,
        LimitKind::Bucket => 2,
        LimitKind::Fixed => 3,
        LimitKind::Quota => 4,
    }
}

fn put_period(out: &mut Writer, period: Option<Period>) {
    match period {
        Some(period) => out.moment(period.start).moment(period.end),
        None => out.none().none(),
    };
}

fn put_limit(out: &mut Writer, limit: Asked<'_>, demand: &Demand<'_>) {
    out.list(7).bytes(&limit.key().0.to_be_bytes());
    let rate = match limit {
        Asked::Rate(rate) => rate,
        Asked::Quota(quota) => {
            out.whole(kind(LimitKind::Quota)).whole(0).maybe(quota.limit).none().text(&quota.name).none();
            return;
        }
    };
    let burst = match rate.kind {
        RateKind::Bucket { burst } => Some(burst),
        RateKind::Sliding | RateKind::Fixed => None,
    };
    out.whole(kind(rate.kind.limit_kind()))
        .whole(rate.window)
        .whole(rate.limit)
        .maybe(burst)
        .text(&rate.name);
    match (rate.scope, demand.call.api_key) {
        (Scope::ApiKey, Some(key)) => out.list(1).text(key),
        (Scope::Consumer, _) => put_members(out, demand.call.consumers),
        (Scope::Tenant | Scope::ApiKey, _) => out.none(),
    };
}

/// Each member once.
fn put_members<'a>(out: &'a mut Writer, members: &[String]) -> &'a mut Writer {
    let earlier = |index: usize| members.get(..index).unwrap_or_default();
    let once = members.iter().enumerate().filter(|(index, member)| !earlier(*index).contains(member));
    let once: Vec<_> = once.map(|(_, member)| member).collect();
    out.list(once.len());
    for member in once {
        out.text(member);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_moves_the_hash_tag() {
        for (tenant, expected) in [
            ("ten_01.a-B:c", "tg:{ten_01.a-B:c}"),
            ("{evil}", "tg:{%7bevil%7d}"),
            ("a}b", "tg:{a%7db}"),
            ("%7b", "tg:{%257b}"),
            ("ä\0", "tg:{%c3%a4%00}"),
        ] {
            assert_eq!(key(tenant), expected);
        }
    }
}
