//! The contract of `Documents`.

use std::sync::Arc;

use tollgate::store::{Document, Documents, Inserted, Order, Replaced, Search};

use crate::backends::backends;

fn document(id: &str, body: &str, unique: &str, range: &str) -> Document {
    let some = |name, value: &str| if value.is_empty() { vec![] } else { vec![(name, value.to_owned())] };
    Document {
        kind: "thing",
        id: id.to_owned(),
        revision: 0,
        body: body.as_bytes().to_vec(),
        unique: some("slug", unique),
        ranges: some("age", range),
    }
}

fn at(revision: u64, document: Document) -> Document {
    Document { revision, ..document }
}

async fn body(documents: &dyn Documents, id: &str) -> Option<(u64, String)> {
    let found = documents.get("thing", id).await.expect("an answer")?;
    assert!(found.unique.is_empty() && found.ranges.is_empty(), "index values do not come back");
    Some((found.revision, String::from_utf8(found.body).expect("the body that was put")))
}

#[tokio::test]
async fn new_document_is_at_revision_one_and_found_by_id_and_by_unique_value() {
    for backend in backends() {
        let (name, documents) = (backend.name(), backend.documents().await);
        assert_eq!(documents.insert(document("a", "1", "free", "")).await.unwrap(), Inserted::Yes, "{name}");
        assert_eq!(body(&*documents, "a").await, Some((1, String::from("1"))));
        assert_eq!(documents.get_by("thing", "slug", "free").await.unwrap().unwrap().id, "a");
        assert_eq!(documents.get_by("thing", "slug", "gold").await.unwrap(), None);
        assert_eq!(documents.get_by("thing", "other", "free").await.unwrap(), None);
        assert_eq!(documents.get("other", "a").await.unwrap(), None);
        let ids = [String::from("b"), String::from("a"), String::from("a")];
        let many = documents.get_many("thing", &ids).await.unwrap();
        assert_eq!(many.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
    }
}

#[tokio::test]
async fn taken_id_or_unique_value_changes_nothing() {
    for backend in backends() {
        let (name, documents) = (backend.name(), backend.documents().await);
        documents.insert(document("a", "1", "free", "5")).await.unwrap();
        for (other, index) in
            [(document("a", "2", "gold", "6"), "id"), (document("b", "2", "free", "6"), "slug")]
        {
            let inserted = documents.insert(other).await.unwrap();
            assert_eq!(inserted, Inserted::Taken { index: index.to_owned() }, "{name}");
        }
        assert_eq!(body(&*documents, "a").await, Some((1, String::from("1"))));
        assert_eq!(body(&*documents, "b").await, None);
        assert_eq!(documents.get_by("thing", "slug", "gold").await.unwrap(), None);
        assert_eq!(values(&*documents, Order::Ascending, "").await, ["5 a"]);
        // The same values in another kind are nobody's.
        let other_kind = Document { kind: "other", ..document("a", "1", "free", "5") };
        assert_eq!(documents.insert(other_kind).await.unwrap(), Inserted::Yes);
    }
}

#[tokio::test]
async fn replacement_needs_the_revision_that_was_read() {
    for backend in backends() {
        let (name, documents) = (backend.name(), backend.documents().await);
        documents.insert(document("a", "1", "", "")).await.unwrap();
        documents.insert(document("b", "1", "", "")).await.unwrap();
        let replaced = documents
            .replace_many(vec![
                at(1, document("a", "2", "", "")),
                at(7, document("b", "2", "", "")),
                at(1, document("missing", "2", "", "")),
                at(0, document("new", "2", "", "")),
                at(0, document("b", "2", "", "")),
                at(2, document("a", "3", "", "")),
            ])
            .await
            .unwrap();
        let yes = |revision| Replaced::Yes { revision };
        let changed = Replaced::Changed;
        let expected = [yes(2), changed.clone(), changed.clone(), yes(1), changed, yes(3)];
        assert_eq!(replaced, expected, "{name}");
        assert_eq!(body(&*documents, "a").await, Some((3, String::from("3"))));
        assert_eq!(body(&*documents, "b").await, Some((1, String::from("1"))));
        assert_eq!(body(&*documents, "missing").await, None);
        assert_eq!(body(&*documents, "new").await, Some((1, String::from("2"))));
    }
}

#[tokio::test]
async fn index_values_change_with_their_document() {
    for backend in backends() {
        let (name, documents) = (backend.name(), backend.documents().await);
        documents.insert(document("a", "1", "free", "5")).await.unwrap();
        documents.insert(document("b", "1", "gold", "6")).await.unwrap();
        let stolen = documents.replace_many(vec![at(1, document("b", "2", "free", "7"))]).await.unwrap();
        assert_eq!(stolen, [Replaced::Changed], "{name}: another document has the value");
        assert_eq!(body(&*documents, "b").await, Some((1, String::from("1"))));

        documents.replace_many(vec![at(1, document("a", "2", "silver", "9"))]).await.unwrap();
        assert_eq!(documents.get_by("thing", "slug", "free").await.unwrap(), None);
        assert_eq!(documents.get_by("thing", "slug", "silver").await.unwrap().unwrap().id, "a");
        assert_eq!(values(&*documents, Order::Ascending, "").await, ["6 b", "9 a"]);
        let now_free = documents.replace_many(vec![at(1, document("b", "2", "free", "6"))]).await.unwrap();
        assert_eq!(now_free, [Replaced::Yes { revision: 2 }]);
    }
}

#[tokio::test]
async fn deletion_needs_the_revision_and_frees_the_values() {
    for backend in backends() {
        let (name, documents) = (backend.name(), backend.documents().await);
        documents.insert(document("a", "1", "free", "5")).await.unwrap();
        assert!(!documents.delete("thing", "a", 2).await.unwrap(), "{name}");
        assert!(!documents.delete("thing", "b", 1).await.unwrap());
        assert!(documents.delete("thing", "a", 1).await.unwrap());
        assert_eq!(body(&*documents, "a").await, None);
        assert!(values(&*documents, Order::Ascending, "").await.is_empty());
        assert_eq!(documents.insert(document("b", "1", "free", "5")).await.unwrap(), Inserted::Yes);
    }
}

async fn values(documents: &dyn Documents, order: Order, prefix: &str) -> Vec<String> {
    page(documents, order, prefix, None, 100).await
}

async fn page(
    documents: &dyn Documents,
    order: Order,
    prefix: &str,
    after: Option<(&str, &str)>,
    limit: usize,
) -> Vec<String> {
    let search = Search { kind: "thing", index: "age", prefix, after, order, limit };
    let found = documents.find(search).await.expect("an answer");
    found.into_iter().map(|found| format!("{} {}", found.value, found.document.id)).collect()
}

/// Order, prefix, after, limit, what is found.
type Case<'a> = (Order, &'a str, Option<(&'a str, &'a str)>, usize, &'a [&'a str]);

#[tokio::test]
async fn pages_follow_the_index_then_the_id_in_both_directions() {
    for backend in backends() {
        let (name, documents) = (backend.name(), backend.documents().await);
        for (id, value) in [("c", "1/a"), ("a", "1/b"), ("b", "1/b"), ("d", "2/a"), ("e", "2/é"), ("f", "1")]
        {
            documents.insert(document(id, "", "", value)).await.unwrap();
        }
        documents.insert(document("unindexed", "", "", "")).await.unwrap();
        let up = Order::Ascending;
        let down = Order::Descending;
        let cases: [Case<'_>; 11] = [
            (up, "", None, 9, &["1 f", "1/a c", "1/b a", "1/b b", "2/a d", "2/é e"]),
            (down, "", None, 9, &["2/é e", "2/a d", "1/b b", "1/b a", "1/a c", "1 f"]),
            (up, "1/", None, 9, &["1/a c", "1/b a", "1/b b"]),
            (down, "1/", None, 2, &["1/b b", "1/b a"]),
            (down, "1/", Some(("1/b", "a")), 9, &["1/a c"]),
            (up, "1/", Some(("1/b", "a")), 9, &["1/b b"]),
            (up, "1/", Some(("1/b", "b")), 9, &[]),
            (up, "2/", Some(("1/b", "b")), 9, &["2/a d", "2/é e"]),
            (down, "1/", Some(("2/a", "d")), 9, &["1/b b", "1/b a", "1/a c"]),
            (up, "2/é", None, 9, &["2/é e"]),
            (up, "3", None, 9, &[]),
        ];
        for (order, prefix, after, limit, expected) in cases {
            let found = page(&*documents, order, prefix, after, limit).await;
            assert_eq!(found, expected, "{name}: {order:?} `{prefix}` after {after:?}");
        }
    }
}

#[tokio::test]
async fn of_many_writers_at_one_revision_one_wins() {
    for backend in backends() {
        let (name, documents) = (backend.name(), backend.documents().await);
        documents.insert(document("a", "1", "", "")).await.unwrap();
        let writers = (0..16).map(|writer| {
            let documents = Arc::clone(&documents);
            async move {
                let body = writer.to_string();
                documents.replace_many(vec![at(1, document("a", &body, "", ""))]).await.unwrap()
            }
        });
        let answers = futures_util::future::join_all(writers).await;
        let won = answers.iter().filter(|answer| answer[..] == [Replaced::Yes { revision: 2 }]).count();
        assert_eq!(won, 1, "{name}");
    }
}
