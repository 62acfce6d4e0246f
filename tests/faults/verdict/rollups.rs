//! I4: every rollup is the sum of its events, for each minute, hour, day and value of a dimension.

use std::collections::BTreeMap;

use tollgate_client::v1::{LedgerEvent, UsageRow};

use super::sums::{Sums, values};
use super::{Promise, Verdict};
use crate::evidence::Evidence;

type Steps = BTreeMap<(i64, String), Sums>;

pub(crate) fn judge(evidence: &Evidence, verdict: &mut Verdict) {
    for (tenant, has) in &evidence.tenants {
        let mut all = Sums::default();
        has.events.iter().for_each(|event| all.add(event));
        compare(tenant, "all", [(0, all)], [(0, Sums::claimed(&has.totals))], verdict);

        for (step, seconds, rows) in
            [("minute", 60, &has.minutes), ("hour", 3_600, &has.hours), ("day", 86_400, &has.days)]
        {
            let computed = computed(&has.events, seconds, |_| vec![String::new()]);
            compare(tenant, step, computed, claimed(rows), verdict);
        }
        for (dimension, rows) in &has.dimensions {
            let computed = computed(&has.events, 3_600, |event| values(event, dimension));
            let name = format!("hour by {:?} {}", dimension.dimension(), dimension.custom_name);
            compare(tenant, &name, computed, claimed(rows), verdict);
        }
    }
}

fn computed(events: &[LedgerEvent], seconds: i64, values: impl Fn(&LedgerEvent) -> Vec<String>) -> Steps {
    let mut steps = Steps::new();
    for event in events {
        let occurred = event.event.as_ref().and_then(|event| event.occurred_at).unwrap_or_default().seconds;
        for value in values(event) {
            steps.entry((occurred - occurred.rem_euclid(seconds), value)).or_default().add(event);
        }
    }
    steps
}

/// A step in which there were only refusals has a row and no sums.
fn claimed(rows: &[UsageRow]) -> impl Iterator<Item = ((i64, String), Sums)> {
    rows.iter().filter_map(|row| {
        let sums = Sums::claimed(&row.totals.clone().unwrap_or_default());
        let start = row.start.unwrap_or_default().seconds;
        (sums != Sums::default()).then(|| ((start, row.value.clone()), sums))
    })
}

fn compare<K: Ord + std::fmt::Debug>(
    tenant: &str,
    what: &str,
    computed: impl IntoIterator<Item = (K, Sums)>,
    claimed: impl IntoIterator<Item = (K, Sums)>,
    verdict: &mut Verdict,
) {
    let computed: BTreeMap<K, Sums> = computed.into_iter().collect();
    let mut seen: BTreeMap<K, Sums> = BTreeMap::new();
    for (key, sums) in claimed {
        if seen.contains_key(&key) {
            verdict.accuse(Promise::SumsExact, format!("{tenant}: {what} {key:?} is listed twice"));
        }
        seen.insert(key, sums);
    }
    for key in computed.keys().chain(seen.keys().filter(|key| !computed.contains_key(key))) {
        let (events, claim) = (computed.get(key), seen.get(key));
        let is_same = match (events, claim) {
            (Some(events), Some(claim)) => events.is_claimed_by(claim),
            (events, claim) => events == claim,
        };
        if !is_same {
            let detail =
                format!("{tenant}: {what} {key:?}: its events sum up to {events:?}, it says {claim:?}");
            verdict.accuse(Promise::SumsExact, detail);
        }
    }
}
