//! What was measured, for people and for programs. All numbers are whole, and scaled where they are shown.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use crate::cli::bench::load::Outcome;

/// The processor time of processes, by name.
pub(super) type Used = Vec<(&'static str, Duration)>;

/// All paths.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) floor_check: Measured,
    pub(super) floor_track: Measured,
    /// A server that sends one script a call to Redis, where the counters are.
    pub(super) bare: Option<Measured>,
    pub(super) first: Measured,
    pub(super) check: Measured,
    pub(super) track: Measured,
    pub(super) batch: Measured,
}

/// One path of one server.
#[derive(Debug, Default)]
pub(super) struct Measured {
    outcome: Outcome,
    cpu: Used,
}

impl Measured {
    /// Adds a round, with the processor times before and after it.
    pub(super) fn add(&mut self, outcome: Outcome, before: &Used, after: &Used) {
        self.outcome.events += outcome.events;
        self.outcome.calls += outcome.calls;
        self.outcome.elapsed += outcome.elapsed;
        self.outcome.latencies.extend(outcome.latencies);
        self.outcome.latencies.sort_unstable();
        self.cpu.resize(after.len(), ("", Duration::ZERO));
        for ((sum, before), after) in self.cpu.iter_mut().zip(before).zip(after) {
            *sum = (after.0, sum.1 + after.1.saturating_sub(before.1));
        }
    }

    /// Processor time for one event, of all processes, in nanoseconds.
    fn cpu_nanos(&self) -> u128 {
        self.nanos(self.cpu.iter().map(|(_, used)| *used).sum())
    }

    /// The same of each process, by name.
    fn cpu_nanos_by_process(&self) -> impl Iterator<Item = (&'static str, u128)> + '_ {
        self.cpu.iter().map(|(name, used)| (*name, self.nanos(*used)))
    }

    fn nanos(&self, used: Duration) -> u128 {
        used.as_nanos() / u128::from(self.outcome.events.max(1))
    }

    fn events_per_second(&self) -> u128 {
        u128::from(self.outcome.events) * 1_000_000_000 / self.outcome.elapsed.as_nanos().max(1)
    }

    /// The latency that so many percent of the calls do not exceed, in microseconds.
    fn latency_micros(&self, percent: usize) -> u32 {
        let calls = self.outcome.latencies.len();
        let place = (calls * percent).div_ceil(100).saturating_sub(1);
        self.outcome.latencies.get(place).copied().unwrap_or_default()
    }
}

impl Results {
    /// Each path with the floor that it stands on: an event of a batch is compared with a call.
    fn rows(&self) -> Vec<(&'static str, &Measured, Option<&Measured>)> {
        let mut rows = vec![
            ("floor check", &self.floor_check, None),
            ("floor track", &self.floor_track, None),
            ("check", &self.check, Some(&self.floor_check)),
            ("track", &self.track, Some(&self.floor_track)),
            ("track, first of each tenant", &self.first, Some(&self.floor_track)),
            ("batch", &self.batch, Some(&self.floor_track)),
        ];
        if let Some(bare) = &self.bare {
            rows.insert(2, ("one script a check", bare, Some(&self.floor_check)));
        }
        rows
    }

    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "path",
            "calls",
            "events",
            "s",
            "events/s",
            "CPU µs/event",
            "× floor",
            "p50 ms",
            "p99 ms",
            "CPU µs/event by process",
        ]);
        for (name, measured, floor) in self.rows() {
            let ratio = floor.map(|floor| scaled(ratio_percent(measured, floor), 2)).unwrap_or_default();
            let row = [
                name.to_owned(),
                measured.outcome.calls.to_string(),
                measured.outcome.events.to_string(),
                scaled(measured.outcome.elapsed.as_millis(), 3),
                measured.events_per_second().to_string(),
                scaled(measured.cpu_nanos(), 3),
                ratio,
                scaled(measured.latency_micros(50).into(), 3),
                scaled(measured.latency_micros(99).into(), 3),
                by_process(measured),
            ];
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    pub(super) fn json(&self) -> String {
        let rows = self.rows().into_iter().map(|(name, measured, floor)| {
            json!({
                "path": name,
                "calls": measured.outcome.calls,
                "events": measured.outcome.events,
                "elapsed_ms": whole(measured.outcome.elapsed.as_millis()),
                "events_per_second": whole(measured.events_per_second()),
                "cpu_ns_per_event": whole(measured.cpu_nanos()),
                "cpu_ns_per_event_by_process": measured
                    .cpu_nanos_by_process()
                    .map(|(name, nanos)| (name, whole(nanos)))
                    .collect::<BTreeMap<_, _>>(),
                "floor_percent": floor.map(|floor| whole(ratio_percent(measured, floor))),
                "latency_p50_us": measured.latency_micros(50),
                "latency_p99_us": measured.latency_micros(99),
            })
        });
        json!({ "paths": rows.collect::<Vec<_>>() }).to_string()
    }
}

fn by_process(measured: &Measured) -> String {
    let each = measured.cpu_nanos_by_process().map(|(name, nanos)| format!("{name} {}", scaled(nanos, 3)));
    each.collect::<Vec<_>>().join(", ")
}

fn ratio_percent(measured: &Measured, floor: &Measured) -> u128 {
    measured.cpu_nanos() * 100 / floor.cpu_nanos().max(1)
}

fn whole(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A whole number with so many of its digits after the point.
fn scaled(value: u128, digits: u32) -> String {
    let unit = 10_u128.pow(digits);
    let width = usize::try_from(digits).unwrap_or_default();
    format!("{}.{:0width$}", value / unit, value % unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(latencies: Vec<u32>, cpu: Duration) -> Measured {
        let events = latencies.len() as u64;
        let mut measured = Measured::default();
        let outcome = Outcome { events, calls: events, elapsed: Duration::from_secs(2), latencies };
        let before = vec![("server", Duration::from_secs(1)), ("store", Duration::from_secs(1))];
        let after =
            vec![("server", Duration::from_secs(1) + cpu / 2), ("store", Duration::from_secs(1) + cpu / 2)];
        measured.add(outcome, &before, &after);
        measured
    }

    #[test]
    fn percentiles_are_calls_that_were_made() {
        let hundred = measured((1..=100).rev().collect(), Duration::ZERO);
        assert_eq!((50, 99), (hundred.latency_micros(50), hundred.latency_micros(99)));
        let one = measured(vec![7], Duration::ZERO);
        assert_eq!((7, 7), (one.latency_micros(50), one.latency_micros(99)));
        assert_eq!(0, Measured::default().latency_micros(99));
    }

    #[test]
    fn a_ratio_is_the_cpu_of_an_event_against_that_of_a_call() {
        let floor = measured(vec![1; 100], Duration::from_micros(1_000));
        let product = measured(vec![1; 200], Duration::from_micros(3_600));
        assert_eq!("1.80", scaled(ratio_percent(&product, &floor), 2));
        assert_eq!(100, product.events_per_second());
        assert_eq!("18.000", scaled(product.cpu_nanos(), 3));
        assert_eq!("server 9.000, store 9.000", by_process(&product));
    }
}
