//! The contract of `Rollups`.

use std::sync::Arc;

use tollgate::ledger::rollups::{Detail, RollupKey, Rollups, StoredRollup};
use tollgate::ledger::stamp::Position;
use tollgate::time::{HOUR, Timestamp};

use crate::backends::backends;

fn key(tenant: &str, hour: i64) -> RollupKey {
    RollupKey { tenant: Arc::from(tenant), hour: Timestamp::from_micros(hour * HOUR) }
}

fn rollup(tenant: &str, hour: i64, revision: u64, text: &str) -> StoredRollup {
    StoredRollup {
        key: key(tenant, hour),
        revision,
        positions: vec![
            Position { slot: 0, epoch: 1, batch: revision + 1 },
            Position { slot: 63, epoch: u64::from(u32::MAX), batch: 9 },
        ],
        totals: format!("totals {text}").into_bytes(),
        minutes: format!("minutes {text}").into_bytes(),
        dimensions: format!("dimensions {text}").into_bytes(),
    }
}

async fn get(rollups: &dyn Rollups, key: RollupKey) -> Option<StoredRollup> {
    rollups.get(&[key]).await.expect("an answer").remove(0)
}

async fn range(rollups: &dyn Rollups, tenant: &str, hours: (i64, i64), detail: Detail) -> Vec<StoredRollup> {
    let [start, end] = [hours.0, hours.1].map(|hour| Timestamp::from_micros(hour * HOUR));
    rollups.range(tenant, start, end, detail, usize::MAX).await.expect("an answer")
}

#[tokio::test]
async fn rollup_changes_wholly_where_its_revision_is_still_the_given_one() {
    for backend in backends() {
        let name = backend.name();
        let mut rollups = backend.rollups().await;
        // What is replaced, at which revision, whether it is, and the revision and text after it.
        let cases = [
            (1, "too early", false, None),
            (0, "first", true, Some((1, "first"))),
            (0, "again", false, Some((1, "first"))),
            (1, "second", true, Some((2, "second"))),
            (1, "late", false, Some((2, "second"))),
            (3, "ahead", false, Some((2, "second"))),
            (2, "third", true, Some((3, "third"))),
        ];
        for (revision, text, expected, after) in cases {
            let replaced = rollups.replace(vec![rollup("a", 5, revision, text)]).await.unwrap();
            assert_eq!(replaced, [expected], "{name}: {text}");
            drop(rollups);
            rollups = backend.rollups().await;
            let kept =
                after.map(|(kept, text)| StoredRollup { revision: kept, ..rollup("a", 5, kept - 1, text) });
            assert_eq!(get(&*rollups, key("a", 5)).await, kept, "{name}: after {text}");
        }
    }
}

#[tokio::test]
async fn each_rollup_is_replaced_on_its_own() {
    for backend in backends() {
        let name = backend.name();
        let rollups = backend.rollups().await;
        rollups.replace(vec![rollup("a", 1, 0, "kept")]).await.unwrap();
        let several = vec![rollup("b", 1, 0, "new"), rollup("a", 1, 7, "no"), rollup("a", 2, 0, "new")];
        assert_eq!(rollups.replace(several).await.unwrap(), [true, false, true], "{name}");
        let found = rollups.get(&[key("a", 2), key("a", 1), key("c", 1), key("b", 1)]).await.unwrap();
        let texts: Vec<_> =
            found.iter().map(|found| found.as_ref().map(|found| found.totals.clone())).collect();
        let expected = [Some("totals new"), Some("totals kept"), None, Some("totals new")];
        assert_eq!(texts, expected.map(|text| text.map(|text| text.as_bytes().to_vec())), "{name}");
    }
}

#[tokio::test]
async fn range_has_the_hours_of_one_tenant_in_order_from_its_start_to_before_its_end() {
    for backend in backends() {
        let name = backend.name();
        let rollups = backend.rollups().await;
        for hour in [3, -1, 1, 2, 5] {
            rollups.replace(vec![rollup("a", hour, 0, ""), rollup("ab", hour, 0, "")]).await.unwrap();
        }
        for (hours, expected) in [
            ((1, 3), vec![1, 2]),
            ((-9, 9), vec![-1, 1, 2, 3, 5]),
            ((4, 5), vec![]),
            ((3, 1), vec![]),
            ((0, 0), vec![]),
        ] {
            let found = range(&*rollups, "a", hours, Detail::Totals).await;
            let found: Vec<_> = found.into_iter().map(|found| found.key).collect();
            let expected: Vec<_> = expected.into_iter().map(|hour| key("a", hour)).collect();
            assert_eq!(found, expected, "{name}: {hours:?}");
        }
        for (limit, expected) in [(usize::MAX, 5), (6, 5), (5, 5), (2, 2), (0, 0)] {
            let (start, detail) = (Timestamp::from_micros(i64::MIN), Detail::Totals);
            let first = rollups.range("a", start, Timestamp::MAX, detail, limit).await.unwrap();
            let hours: Vec<_> = first.into_iter().map(|found| found.key).collect();
            let all = [-1, 1, 2, 3, 5].map(|hour| key("a", hour));
            assert_eq!(hours, all[..expected], "{name}: the first {limit}");
        }
        assert!(range(&*rollups, "nobody", (-9, 9), Detail::Totals).await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn range_reads_the_details_that_are_asked_for_and_no_others() {
    for backend in backends() {
        let name = backend.name();
        let rollups = backend.rollups().await;
        let whole = rollup("a", 1, 0, "x");
        rollups.replace(vec![whole.clone()]).await.unwrap();
        let kept = StoredRollup { revision: 1, ..whole };
        for (detail, expected) in [
            (Detail::Totals, StoredRollup { minutes: vec![], dimensions: vec![], ..kept.clone() }),
            (Detail::Minutes, StoredRollup { dimensions: vec![], ..kept.clone() }),
            (Detail::Dimensions, StoredRollup { minutes: vec![], ..kept.clone() }),
        ] {
            assert_eq!(range(&*rollups, "a", (1, 2), detail).await, [expected], "{name}: {detail:?}");
        }
    }
}
