//! What a look at a tenant's hash shows: enough for a question whose counters stand in it.

use deadpool_redis::redis::Value;

use crate::adapters::redis::ask::Asked;
use crate::adapters::redis::link::Answered;
use crate::adapters::redis::told;
use crate::adapters::redis::wire::Cut;
use crate::gate::decision::CounterId;
use crate::gate::state::{Counter, State};
use crate::gate::window::CLOCK_AHEAD_MAX;
use crate::time::{MINUTE, SECOND, Timestamp};

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    /// Redis's clock.
    pub(super) now: Timestamp,
    /// The tenant; `None`: it is not installed here.
    pub(super) tenant: Option<Tenant<'a>>,
}

/// A tenant that is installed.
#[derive(Debug)]
pub(super) struct Tenant<'a> {
    header: &'a [u8],
    grants: &'a [u8],
    counters: &'a [Value],
}

/// Reads the fields and the time.
pub(super) fn read(answered: &Answered) -> Option<Seen<'_>> {
    let [Value::Array(fields), Value::Array(time)] = answered.values.as_slice() else { return None };
    let [seconds, micros] = time.as_slice() else { return None };
    let now = Timestamp::from_micros(number(seconds)?.checked_mul(SECOND)?.checked_add(number(micros)?)?);
    let [identity, header, grants, counters @ ..] = fields.as_slice() else { return None };
    let tenant = match (identity, header, grants) {
        (Value::BulkString(identity), Value::BulkString(header), Value::BulkString(grants))
            if *identity == *answered.identity.as_bytes() =>
        {
            Some(Tenant { header, grants, counters })
        }
        _ => None,
    };
    Some(Seen { now, tenant })
}

impl Tenant<'_> {
    /// The tenant with the counters of these limits. `None`: it is to be looked after, or a time in it is ahead and must
    /// be pulled back (rule O), which takes a script.
    pub(super) fn state(&self, limits: &[Asked<'_>], now: Timestamp) -> Result<Option<State>, Cut> {
        let (mut state, looked_after) = told::kept_state(self.header, self.grants).ok_or(Cut)?;
        if now.since(looked_after).saturating_abs() >= MINUTE {
            return Ok(None);
        }
        for (limit, counter) in limits.iter().zip(self.counters) {
            let Value::BulkString(counter) = counter else { continue };
            let counter = told::counter_kept(counter).ok_or(Cut)?;
            let is_ahead = match counter {
                Counter::Bucket { at: stored, .. } | Counter::Fixed { start: stored, .. } => {
                    stored.since(now) > CLOCK_AHEAD_MAX
                }
                Counter::Sliding(_) | Counter::Quota { .. } => false,
            };
            if is_ahead {
                return Ok(None);
            }
            let id = CounterId { limit: limit.key(), member: Default::default() };
            state.counters.insert(&id, counter);
        }
        Ok(Some(state))
    }
}

fn number(value: &Value) -> Option<i64> {
    let Value::BulkString(digits) = value else { return None };
    str::from_utf8(digits).ok()?.parse().ok()
}
