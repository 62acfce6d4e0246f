//! A retry of a request gets the first answer.

use tollgate::identity::requests::{Begun, Request, RequestsError};

use crate::rooms::Rooms;

fn request(id: &str) -> Request<'_> {
    Request { scope: "operator", method: "CreateTenant", id, payload: b"acme" }
}

#[tokio::test]
async fn retry_gets_the_first_answer() {
    let rooms = Rooms::new().await;
    let Begun::Do(work) = rooms.requests.begin(request("r1")).await.unwrap() else { panic!("it is new") };
    rooms.requests.finish(&work, b"first").await.unwrap();
    rooms.requests.finish(&work, b"second").await.unwrap();
    assert_eq!(rooms.requests.begin(request("r1")).await.unwrap(), Begun::Done(b"first".to_vec()));
}

#[tokio::test]
async fn retry_of_a_request_that_ended_half_way_makes_the_same_things() {
    let rooms = Rooms::new().await;
    let first = rooms.requests.begin(request("r1")).await.unwrap();
    assert_eq!(rooms.requests.begin(request("r1")).await.unwrap(), first);
    assert!(matches!(first, Begun::Do(_)));
}

#[tokio::test]
async fn id_with_another_content_is_a_conflict_before_and_after_the_answer() {
    let rooms = Rooms::new().await;
    let other = Request { payload: b"other", ..request("r1") };
    let Begun::Do(work) = rooms.requests.begin(request("r1")).await.unwrap() else { panic!("it is new") };
    for _ in 0..2 {
        let refused = rooms.requests.begin(other).await;
        assert!(matches!(refused, Err(RequestsError::Conflict(id)) if id == "r1"));
        rooms.requests.finish(&work, b"first").await.unwrap();
    }
}

#[tokio::test]
async fn id_belongs_to_its_caller_and_its_method() {
    let rooms = Rooms::new().await;
    let mut seeds = Vec::new();
    for other in [
        request("r1"),
        Request { scope: "tenant/acme", ..request("r1") },
        Request { method: "CreatePlan", ..request("r1") },
        request("r2"),
        request(""),
        request(""),
    ] {
        let Begun::Do(work) = rooms.requests.begin(other).await.unwrap() else { panic!("{other:?} is new") };
        seeds.push(work.seed);
    }
    seeds.sort();
    seeds.dedup();
    assert_eq!(seeds.len(), 6);
}

#[tokio::test]
async fn id_is_bounded() {
    let rooms = Rooms::new().await;
    let longest = "a".repeat(128);
    assert!(rooms.requests.begin(request(&longest)).await.is_ok());
    for wrong in ["a b", "é", &"a".repeat(129)] {
        let refused = rooms.requests.begin(request(wrong)).await;
        assert!(matches!(refused, Err(RequestsError::Invalid(_))), "`{wrong}`");
    }
}
