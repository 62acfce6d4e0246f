//! What `upkeep.lua` is asked, and what it answers.

use std::sync::Arc;

use rand::RngExt as _;

use crate::adapters::redis::told;
use crate::adapters::redis::wire::{Reader, Writer};
use crate::gate::call::{EventKey, PayloadHash};
use crate::gate::counters::{Correction, Over, Revived};
use crate::gate::decision::{Burn, CounterId};
use crate::gate::state::{Counter, EndKind, Grant, Mark, Reservation, State};
use crate::time::Timestamp;

/// How many marks, members or entries of logs are installed by one script call: it holds up the server for a millisecond.
const PART: usize = 1_000;

/// A part of a sliding log by its name, with its entries: time and units.
type Log<'a> = (Vec<u8>, Vec<&'a (Timestamp, i64)>);
/// A member's counter by its name, and when it is free again.
type Member = (Vec<u8>, Vec<u8>, Timestamp);

/// A tenant to install: what lies beside its hash comes first, so that it is there when the hash is.
#[derive(Debug)]
pub(super) struct Installation<'a> {
    state: &'a State,
    /// Names this installation, so that nothing of another one is taken for its own.
    life: String,
}

impl<'a> Installation<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        let life: u64 = rand::rng().random();
        Self { state, life: format!("{life:016x}") }
    }

    /// What is asked, one after the other.
    pub(super) fn parts(&self, time: Option<Timestamp>) -> Vec<Vec<u8>> {
        let mut parts: Vec<_> =
            self.state.marks.chunks(PART).map(|marks| part_of_marks(time, marks)).collect();
        let (mut whole, mut members, mut logs) = (Vec::new(), Vec::<Member>::new(), Vec::<Log<'_>>::new());
        for (id, counter) in self.state.counters.iter() {
            let name = [&id.limit.0.to_be_bytes()[..], id.member.as_bytes()].concat();
            if let Counter::Sliding(log) = counter {
                let entries: Vec<_> = log.entries.iter().collect();
                logs.extend(entries.chunks(PART).map(|entries| (name.clone(), entries.to_vec())));
            }
            let Some(packed) = packed(counter) else { continue };
            if id.member.is_empty() {
                whole.push(([&b"c"[..], &name].concat(), packed));
            } else {
                members.push((name, packed, counter.free_by()));
            }
        }
        parts.extend(logs.chunks(PART / 100).map(|logs| self.part(time, logs, &[])));
        parts.extend(members.chunks(PART).map(|members| self.part(time, &[], members)));
        for (id, hold) in &self.state.reservations {
            whole.push(([&b"r"[..], id.as_bytes()].concat(), kept_reservation(hold)));
        }
        parts.push(self.hash(time, &whole));
        parts
    }

    fn part(&self, time: Option<Timestamp>, logs: &[Log<'_>], members: &[Member]) -> Vec<u8> {
        let mut out = begin(time, "part", 3);
        out.text(&self.life).list(logs.len());
        for (name, entries) in logs {
            out.list(2).bytes(name).list(entries.len());
            for (at, units) in entries {
                out.list(2).moment(*at).whole(*units);
            }
        }
        out.list(members.len());
        for (name, counter, free_at) in members {
            out.list(3).bytes(name).bytes(counter).moment(*free_at);
        }
        out.take()
    }

    fn hash(&self, time: Option<Timestamp>, fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let state = self.state;
        let mut out = begin(time, "install", 3);
        out.list(9).count(state.epoch).count(state.number);
        match state.period {
            Some(period) => out.moment(period.start).moment(period.end),
            None => out.none().none(),
        };
        out.count(state.period_number).whole(state.overage_micros).none().whole(0).text(&self.life);
        out.list(state.grants.len());
        for grant in &state.grants {
            put_grant(&mut out, grant);
        }
        out.list(fields.len().saturating_mul(2));
        for (field, value) in fields {
            out.bytes(field).bytes(value);
        }
        out.take()
    }
}

fn part_of_marks(time: Option<Timestamp>, marks: &[Mark]) -> Vec<u8> {
    let mut out = begin(time, "marks", 1);
    let completed = marks.iter().filter_map(|mark| Some((mark, mark.outcome?)));
    let completed: Vec<_> = completed.collect();
    out.list(marks.len().saturating_add(completed.len()));
    for mark in marks {
        put_mark(&mut out, mark.event, mark.payload, mark.at, mark.price_micros);
    }
    for (mark, outcome) in completed {
        put_mark(&mut out, mark.event.completion(), outcome, mark.at, 0);
    }
    out.take()
}

pub(super) fn committed(time: Option<Timestamp>, events: &[EventKey]) -> Vec<u8> {
    let mut out = begin(time, "committed", 1);
    out.list(events.len());
    for event in events {
        out.bytes(&event.0.to_be_bytes());
    }
    out.take()
}

pub(super) fn grant(time: Option<Timestamp>, grant: &Grant) -> Vec<u8> {
    let mut out = begin(time, "grant", 1);
    put_grant(&mut out, grant);
    out.take()
}

pub(super) fn expired(time: Option<Timestamp>, reservations: &[Over], grants: &[Arc<str>]) -> Vec<u8> {
    let mut out = begin(time, "expired", 2);
    out.list(reservations.len());
    for over in reservations {
        out.list(2).text(&over.reservation).maybe(over.opened_at.map(Timestamp::micros));
    }
    out.list(grants.len());
    for id in grants {
        out.text(id);
    }
    out.take()
}

pub(super) fn complete(time: Option<Timestamp>, event: EventKey, outcome: PayloadHash) -> Vec<u8> {
    let mut out = begin(time, "complete", 3);
    out.bytes(&event.0.to_be_bytes()).bytes(&event.completion().0.to_be_bytes());
    out.bytes(&outcome.0.to_be_bytes()).take()
}

pub(super) fn read(time: Option<Timestamp>) -> Vec<u8> {
    begin(time, "read", 0).take()
}

pub(super) fn correct(time: Option<Timestamp>, correction: &Correction) -> Vec<u8> {
    let mut out = begin(time, "correct", 6);
    out.count(correction.epoch).count(correction.number).list(correction.counters.len());
    for (id, units) in &correction.counters {
        out.list(3).bytes(&id.limit.0.to_be_bytes()).text(&id.member).whole(*units);
    }
    out.list(correction.grants.len());
    for (id, micros) in &correction.grants {
        out.list(2).text(id).whole(*micros);
    }
    out.whole(correction.overage_micros).list(correction.revived.len());
    for Revived { reservation, ended_at, held } in &correction.revived {
        out.list(3).text(reservation).maybe(ended_at.map(Timestamp::micros));
        put_reservation(&mut out, held);
    }
    out.take()
}

/// All that is known of a tenant, as `read` answers it.
pub(super) fn state(reader: &mut Reader<'_>) -> Option<State> {
    let mut state = told::state(reader)?;
    for members in [false, true] {
        for _ in 0..reader.list()? / 2 {
            let (field, value) = (reader.bytes()?, reader.bytes()?);
            match field.split_first()? {
                _ if members => add_counter(&mut state, field, value)?,
                (b'c', name) => add_counter(&mut state, name, value)?,
                (b'r', id) => {
                    let id = Arc::from(str::from_utf8(id).ok()?);
                    state.reservations.insert(id, told::kept_reservation(value)?);
                }
                _ => {}
            }
        }
    }
    Some(state)
}

fn add_counter(state: &mut State, name: &[u8], value: &[u8]) -> Option<()> {
    let (limit, member) = name.split_at_checked(8)?;
    let member = Arc::from(str::from_utf8(member).ok()?);
    let counter = told::counter_kept(value)?;
    state.counters.insert(&CounterId { limit: told::limit_key(limit)?, member }, counter);
    Some(())
}

fn begin(time: Option<Timestamp>, operation: &str, more: usize) -> Writer {
    let mut out = Writer::new();
    out.list(more.saturating_add(2)).maybe(time.map(Timestamp::micros)).text(operation);
    out
}

fn put_mark(out: &mut Writer, event: EventKey, payload: PayloadHash, at: Timestamp, price_micros: i64) {
    out.list(4).bytes(&event.0.to_be_bytes()).bytes(&payload.0.to_be_bytes()).moment(at).whole(price_micros);
}

fn put_grant(out: &mut Writer, grant: &Grant) {
    out.list(4).text(&grant.id).whole(grant.priority.into());
    out.maybe(grant.expires_at.map(Timestamp::micros)).whole(grant.remaining_micros);
}

/// A counter as it is kept; `None`: a log that holds nothing, which is none.
fn packed(counter: &Counter) -> Option<Vec<u8>> {
    let mut out = Writer::new();
    match counter {
        Counter::Sliding(log) => {
            let (oldest, newest) = (log.entries.front()?.0, log.newest()?);
            out.list(4).whole(1).moment(newest).whole(log.units).moment(oldest);
        }
        Counter::Bucket { at, units, parts } => {
            out.list(4).whole(2).moment(*at).whole(*units).whole(*parts);
        }
        Counter::Fixed { start, used } => {
            out.list(3).whole(3).moment(*start).whole(*used);
        }
        Counter::Quota { period_start, used } => {
            out.list(3).whole(4).moment(*period_start).whole(*used);
        }
    }
    Some(out.take())
}

fn kept_reservation(hold: &Reservation) -> Vec<u8> {
    let mut out = Writer::new();
    put_reservation(&mut out, hold);
    out.take()
}

fn put_reservation(out: &mut Writer, hold: &Reservation) {
    out.list(if hold.ended.is_some() { 8 } else { 6 });
    put_burns(out, &hold.held);
    out.moment(hold.opened_at).moment(hold.expires_at).flag(hold.excess_allowed);
    match &hold.ended {
        None => out.none().none(),
        Some(end) => {
            let kind = match end.kind {
                EndKind::Settled => "settled",
                EndKind::Released => "released",
                EndKind::Expired => "expired",
            };
            put_burns(out.text(kind).moment(end.at), &end.took);
            out.whole(end.overage_micros)
        }
    };
}

fn put_burns(out: &mut Writer, burns: &[Burn]) {
    out.list(burns.len());
    for Burn { grant, micros } in burns {
        out.list(2).text(grant).whole(*micros);
    }
}
