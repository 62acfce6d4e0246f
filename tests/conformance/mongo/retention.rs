//! Old rows go with all that belongs to them, a few at once.

use tollgate::adapters::mongo::events::MongoEvents;
use tollgate::gate::call::EventKey;
use tollgate::ledger::events::{Events, RefusalRow};
use tollgate::time::Timestamp;

use super::replicas::{amendment, row};
use super::{config, connect};

#[tokio::test]
async fn old_rows_are_deleted_with_their_amendments_and_refusals_too() {
    let Some(config) = config() else { return };
    let events = MongoEvents::open(&connect(&config).await).await.unwrap();
    events.insert((1..=5).map(row).collect()).await.unwrap();
    events.amend(vec![amendment(11, 1), amendment(14, 4)]).await.unwrap();
    let refusal = |key| {
        let row = row(key);
        RefusalRow { stamp: row.stamp, tenant: row.tenant, occurred_at: row.occurred_at, body: row.body }
    };
    events.refuse(vec![refusal(2), refusal(6)]).await.unwrap();

    let before = Timestamp::from_micros(4);
    let mut deleted = Vec::new();
    loop {
        let count = events.purge(before, 2).await.unwrap();
        assert!(count <= 2);
        deleted.push(count);
        if count == 0 {
            break;
        }
    }
    assert_eq!(deleted.iter().sum::<usize>(), 4, "three rows and a refusal: {deleted:?}");
    let kept = events.get(&[1, 2, 3, 4, 5].map(EventKey)).await.unwrap();
    assert_eq!(kept.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, false, true, true]);
    assert_eq!(events.amendment(EventKey(11)).await.unwrap(), None);
    assert!(events.amendment(EventKey(14)).await.unwrap().is_some());
    assert_eq!(events.purge(before, 0).await.unwrap(), 0);
}
