//! A tenant at rest: most of a million tenants are not being called, so what is known of them is packed.

use std::sync::Arc;

use crate::adapters::memory::tenant::Tenant;
use crate::gate::decision::CounterId;
use crate::gate::period::Period;
use crate::gate::policy::LimitKey;
use crate::gate::state::{Counter, Grant, SlidingLog, State};
use crate::time::Timestamp;

/// A tenant in as few bytes as it takes. Never leaves this process.
#[derive(Debug)]
pub(super) struct Resting(Box<[u8]>);

impl Resting {
    /// Packs a tenant; `None`: it holds reservations or counts members, and so is in use.
    pub(super) fn pack(tenant: &Tenant) -> Option<Self> {
        let state = &tenant.state;
        if state.counters.has_members() || !state.reservations.is_empty() {
            return None;
        }
        let mut packer = Packer::default();
        packer.moment(tenant.used_at);
        packer.maybe(tenant.corrected.map(u64::cast_signed));
        packer.whole(state.epoch.cast_signed());
        packer.whole(state.number.cast_signed());
        packer.maybe(state.period.map(|period| period.start.micros()));
        if let Some(period) = state.period {
            packer.moment(period.end);
        }
        packer.whole(state.period_number.cast_signed());
        packer.whole(state.overage_micros);
        packer.count(state.counters.iter().count());
        for (id, counter) in state.counters.iter() {
            packer.bytes.extend_from_slice(&id.limit.0.to_le_bytes());
            packer.counter(counter);
        }
        packer.count(state.grants.len());
        for grant in &state.grants {
            packer.count(grant.id.len());
            packer.bytes.extend_from_slice(grant.id.as_bytes());
            packer.whole(i64::from(grant.priority));
            packer.maybe(grant.expires_at.map(Timestamp::micros));
            packer.whole(grant.remaining_micros);
        }
        Some(Self(packer.bytes.into_boxed_slice()))
    }

    /// When it was used last.
    pub(super) fn used_at(&self) -> Timestamp {
        Reader(&self.0).moment().unwrap_or(Timestamp::EPOCH)
    }

    /// The tenant as it was packed. `None` would be a defect of the packing: then the tenant is loaded anew (rule K).
    pub(super) fn unpack(&self) -> Option<Tenant> {
        let mut reader = Reader(&self.0);
        let used_at = reader.moment()?;
        let corrected = if reader.follows()? { Some(reader.whole()?.cast_unsigned()) } else { None };
        let epoch = reader.whole()?.cast_unsigned();
        let number = reader.whole()?.cast_unsigned();
        let period = if reader.follows()? {
            Some(Period { start: reader.moment()?, end: reader.moment()? })
        } else {
            None
        };
        let period_number = reader.whole()?.cast_unsigned();
        let overage_micros = reader.whole()?;
        let mut state = State { epoch, number, period, period_number, overage_micros, ..State::default() };
        for _ in 0..reader.count()? {
            let limit = LimitKey(u64::from_le_bytes(reader.take(8)?.try_into().ok()?));
            state.counters.insert(&CounterId { limit, member: Arc::default() }, reader.counter()?);
        }
        let grants = reader.count()?;
        state.grants.reserve_exact(grants);
        for _ in 0..grants {
            let length = reader.count()?;
            state.grants.push(Grant {
                id: Arc::from(str::from_utf8(reader.take(length)?).ok()?),
                priority: u8::try_from(reader.whole()?).ok()?,
                expires_at: if reader.follows()? { Some(reader.moment()?) } else { None },
                remaining_micros: reader.whole()?,
            });
        }
        Some(Tenant { state, corrected, used_at, tidied_at: used_at, is_queued: true })
    }
}

/// Writes numbers seven bits to a byte, small ones of either sign in few bytes.
#[derive(Debug, Default)]
struct Packer {
    bytes: Vec<u8>,
}

impl Packer {
    fn whole(&mut self, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.bytes.push(low_byte(rest) | 0x80);
            rest >>= 7;
        }
        self.bytes.push(low_byte(rest));
    }

    fn count(&mut self, count: usize) {
        self.whole(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn moment(&mut self, moment: Timestamp) {
        self.whole(moment.micros());
    }

    fn maybe(&mut self, number: Option<i64>) {
        self.bytes.push(u8::from(number.is_some()));
        if let Some(number) = number {
            self.whole(number);
        }
    }

    fn counter(&mut self, counter: &Counter) {
        match counter {
            Counter::Sliding(log) => {
                self.bytes.push(1);
                self.count(log.entries.len());
                // Entries stand close together: the first is a moment, the others are distances.
                let mut before = Timestamp::EPOCH;
                for &(at, units) in &log.entries {
                    self.whole(at.since(before));
                    self.whole(units);
                    before = at;
                }
            }
            Counter::Bucket { at, units, parts } => {
                self.bytes.push(2);
                self.moment(*at);
                self.whole(*units);
                self.whole(*parts);
            }
            Counter::Fixed { start, used } => {
                self.bytes.push(3);
                self.moment(*start);
                self.whole(*used);
            }
            Counter::Quota { period_start, used } => {
                self.bytes.push(4);
                self.moment(*period_start);
                self.whole(*used);
            }
        }
    }
}

/// Reads what a [`Packer`] wrote.
#[derive(Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn whole(&mut self) -> Option<i64> {
        let mut folded = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            folded |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed());
            }
        }
        None
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.whole()?).ok()
    }

    fn moment(&mut self) -> Option<Timestamp> {
        self.whole().map(Timestamp::from_micros)
    }

    /// Whether a number follows.
    fn follows(&mut self) -> Option<bool> {
        Some(self.byte()? != 0)
    }

    fn counter(&mut self) -> Option<Counter> {
        Some(match self.byte()? {
            1 => {
                let mut log = Box::new(SlidingLog::default());
                let mut at = Timestamp::EPOCH;
                for _ in 0..self.count()? {
                    at = at.plus(self.whole()?);
                    log.push(at, self.whole()?);
                }
                Counter::Sliding(log)
            }
            2 => Counter::Bucket { at: self.moment()?, units: self.whole()?, parts: self.whole()? },
            3 => Counter::Fixed { start: self.moment()?, used: self.whole()? },
            4 => Counter::Quota { period_start: self.moment()?, used: self.whole()? },
            _ => return None,
        })
    }
}

fn low_byte(number: u64) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_793_534_400_000_000);

    fn check(state: State) {
        let tenant =
            Tenant { state, corrected: Some(u64::MAX), used_at: NOON, tidied_at: NOON, is_queued: true };
        let resting = Resting::pack(&tenant).unwrap();
        assert_eq!(resting.used_at(), NOON);
        assert_eq!(format!("{:?}", resting.unpack().unwrap()), format!("{tenant:?}"));
    }

    fn counters(counters: Vec<Counter>) -> State {
        let mut state = State::default();
        for (limit, counter) in (1..).zip(counters) {
            state.counters.insert(&CounterId { limit: LimitKey(limit), member: Arc::default() }, counter);
        }
        state
    }

    #[test]
    fn a_tenant_wakes_up_as_it_went_to_rest() {
        check(State::default());
        let mut log = SlidingLog::default();
        for entry in 0..300 {
            log.push(NOON.plus(entry * entry * 1_000), entry + 1);
        }
        check(counters(vec![
            Counter::Sliding(Box::new(log)),
            Counter::Sliding(Box::default()),
            Counter::Bucket { at: NOON, units: 9_000_000_000_000_000, parts: 59_999_999 },
            Counter::Fixed { start: Timestamp::from_micros(i64::MIN), used: i64::MAX },
            Counter::Quota { period_start: NOON, used: -1 },
        ]));
        let grant = |id: &str, expires_at, remaining_micros| Grant {
            id: Arc::from(id),
            priority: 255,
            expires_at,
            remaining_micros,
        };
        check(State {
            number: u64::MAX,
            period: Some(Period { start: NOON, end: Timestamp::MAX }),
            period_number: 7,
            overage_micros: i64::MAX,
            grants: vec![grant("grüße", None, 5), grant("", Some(NOON), 0)],
            ..State::default()
        });
    }

    #[test]
    fn a_tenant_with_one_bucket_one_quota_and_a_wallet_takes_few_bytes() {
        let mut state = counters(vec![
            Counter::Bucket { at: NOON, units: 5, parts: 59_999_999 },
            Counter::Quota { period_start: NOON, used: 1_234 },
        ]);
        state.period = Some(Period { start: NOON, end: NOON });
        let id = Arc::from("allowance:sub_01890a5d-ac96-774b-bcce-b302099a8057:1793534400000000");
        state.grants =
            vec![Grant { id, priority: 100, expires_at: Some(NOON), remaining_micros: 999_000_000 }];
        let tenant = Tenant { state, corrected: None, used_at: NOON, tidied_at: NOON, is_queued: true };
        let bytes = Resting::pack(&tenant).unwrap().0.len();
        assert!(bytes <= 176, "{bytes}");
    }
}
