//! Requests over HTTP that are wrong in themselves.

use serde_json::json;

use crate::raw::{exchange, post_track};
use crate::server::Server;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_body_that_is_wrong_is_refused_with_its_field() {
    let server = Server::new().await;
    let key = server.key().await;
    let before = server.snapshot().await;
    let deep = format!("{{\"service_name\":{}", "[".repeat(10_000));
    for (body, status, said) in [
        ("", 400, "EOF"),
        ("null", 400, "invalid type"),
        ("[]", 400, "expected struct"),
        ("{", 400, "EOF"),
        (r#"{"endpoint":"/e"}"#, 400, "missing field `service_name`"),
        (r#"{"service_name":"s","endpoint":"/e","credits":1}"#, 400, "unknown field `credits`"),
        (r#"{"service_name":"s","endpoint":"/e","endpoint":"/f"}"#, 400, "duplicate field `endpoint`"),
        (r#"{"service_name":"s","endpoint":"/e","weight":NaN}"#, 400, "expected value"),
        (r#"{"service_name":"s","endpoint":"/e","credits_used":NaN}"#, 400, "expected value"),
        (r#"{"service_name":"s","endpoint":"/e","credits_used":Infinity}"#, 400, "expected value"),
        (r#"{"service_name":"s","endpoint":"/e","credits_used":1e400}"#, 400, "credits_used: is too large"),
        (
            r#"{"service_name":"s","endpoint":"/e","credits_used":0.0000001}"#,
            400,
            "credits_used: has more than 6",
        ),
        (r#"{"service_name":"s","endpoint":"/e","credits_used":-1}"#, 400, "credits_used: is below zero"),
        (r#"{"service_name":"","endpoint":"/e"}"#, 400, "service_name: "),
        (r#"{"service_name":"s","endpoint":"/e","event_id":"a b"}"#, 400, "event_id: "),
        (r#"{"service_name":"s","endpoint":"/e","weight":0}"#, 400, "weight: "),
        (
            r#"{"service_name":"s","endpoint":"/e","occurred_at":"2020-01-01T00:00:00Z"}"#,
            400,
            "occurred_at: ",
        ),
        (r#"{"service_name":"\ud800","endpoint":"/e"}"#, 400, "hex escape"),
        (deep.as_str(), 400, "invalid type"),
    ] {
        let page = post_track(server.address(), &[JSON, ("x-api-key", &key)], body).await;
        assert_eq!(status, page.status, "{body:.100}: {page:?}");
        let problem = page.json();
        assert_eq!(json!("INVALID_FIELD"), problem["reason"], "{body:.100}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{body:.100}: {problem}");
    }
    assert_eq!(before, server.snapshot().await);
}

#[tokio::test]
async fn only_json_of_a_bounded_size_is_read() {
    let server = Server::new().await;
    let key = server.key().await;
    let before = server.snapshot().await;
    let good = r#"{"service_name":"s","endpoint":"/e"}"#;
    let large = format!("{{\"service_name\":\"{}\"}}", "s".repeat(70_000));
    for (headers, body, status) in [
        (vec![("content-type", "text/plain")], good, 415),
        (vec![("content-type", "application/x-www-form-urlencoded")], good, 415),
        (vec![], good, 415),
        (vec![JSON, ("content-encoding", "gzip")], good, 415),
        (vec![JSON], large.as_str(), 413),
    ] {
        let headers: Vec<_> = headers.into_iter().chain([("x-api-key", key.as_str())]).collect();
        let page = post_track(server.address(), &headers, body).await;
        assert_eq!(status, page.status, "{headers:?}: {page:?}");
        assert_eq!("application/problem+json", page.header("content-type"), "{headers:?}");
    }
    let with_charset = [("content-type", "application/json; charset=utf-8"), ("x-api-key", key.as_str())];
    assert_eq!(before, server.snapshot().await);
    assert_eq!(200, post_track(server.address(), &with_charset, good).await.status);
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_refused() {
    let server = Server::new().await;
    let key = server.key().await;
    let body = b"{\"service_name\":\"\xff\xfe\",\"endpoint\":\"/e\"}";
    let head = format!(
        "POST /api/track HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\nx-api-key: {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = exchange(server.address(), &[head.as_bytes(), body].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_length_that_is_a_lie_holds_nobody_up() {
    let server = Server::new().await;
    let key = server.key().await;
    let head = format!(
        "POST /api/track HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-api-key: {key}\r\ncontent-length: 99999999999\r\n\r\n"
    );
    let answer = exchange(server.address(), head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}
