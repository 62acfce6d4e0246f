//! FerretDB: its data stays, and one document is changed by one caller at a time.

use mongodb::Client;
use mongodb::bson::{Document, doc};
use test_servers::FerretDb;

use crate::answers;

const CALLERS: i32 = 16;

#[tokio::test]
async fn ferretdb_keeps_its_data() {
    let Some(mut ferretdb) = FerretDb::start() else { return };
    let client = Client::with_uri_str(ferretdb.uri()).await.unwrap();
    let collection = client.database("lives").collection::<Document>("kept");
    collection.insert_one(doc! { "_id": 1, "word": "kept" }).await.unwrap();
    if ferretdb.is_foreign() {
        client.database("lives").drop().await.unwrap();
        return;
    }
    ferretdb.kill();
    assert!(!answers(ferretdb.port()));
    ferretdb.restart();
    let found = collection.find_one(doc! { "_id": 1 }).await.unwrap().unwrap();
    assert_eq!("kept", found.get_str("word").unwrap());
    let port = ferretdb.port();
    drop(ferretdb);
    assert!(!answers(port));
}

#[tokio::test]
async fn of_many_conditional_updates_one_wins() {
    let Some(ferretdb) = FerretDb::start() else { return };
    let client = Client::with_uri_str(ferretdb.uri()).await.unwrap();
    let database = client.database("lives");
    let collection = database.collection::<Document>("changed");
    collection.insert_one(doc! { "_id": "a", "revision": 0, "sum": 0 }).await.unwrap();
    for revision in 0..10 {
        let changes = (0..CALLERS).map(|_| {
            let collection = collection.clone();
            let change = async move {
                let next = doc! { "$set": { "revision": revision + 1 } };
                let changed = collection.update_one(doc! { "_id": "a", "revision": revision }, next);
                let won = changed.await.unwrap().modified_count;
                collection.update_one(doc! { "_id": "a" }, doc! { "$inc": { "sum": 1 } }).await.unwrap();
                won
            };
            Box::pin(change)
        });
        let mut tasks = tokio::task::JoinSet::new();
        for change in changes {
            tasks.spawn(change);
        }
        let won: u64 = tasks.join_all().await.iter().sum();
        assert_eq!(1, won, "callers that changed revision {revision}");
    }
    let found = collection.find_one(doc! { "_id": "a" }).await.unwrap().unwrap();
    assert_eq!(10 * CALLERS, found.get_i32("sum").unwrap());
    database.drop().await.unwrap();
}
