//! Bytes that are no message, or one of a kind that nobody would send.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost::Message as _;
use tollgate_client::v1;
use tonic::Code;

use crate::program::OPERATOR_KEY;
use crate::raw::{Raw, framed};
use crate::server::Server;

const TRACK: &str = "/tollgate.v1.TrackService/Track";
const BATCH: &str = "/tollgate.v1.TrackService/TrackBatch";
/// Random messages for each method.
const CASES: u32 = 200;

/// What a caller can be told about bytes that it made up.
const BLAMELESS: [Code; 8] = [
    Code::Ok,
    Code::InvalidArgument,
    Code::NotFound,
    Code::AlreadyExists,
    Code::FailedPrecondition,
    Code::PermissionDenied,
    Code::OutOfRange,
    Code::Unimplemented,
];

/// The paths of all methods of the contract whose answer ends by itself.
fn methods() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(tollgate::api::DESCRIPTOR).unwrap();
    let services = files.file.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)));
    let paths = services.flat_map(|(file, service)| {
        service
            .method
            .iter()
            .filter(|method| !method.server_streaming())
            .map(move |method| format!("/{}.{}/{}", file.package(), service.name(), method.name()))
    });
    paths.collect()
}

/// A field of a message with a value that the field may not have.
fn field(number: u32, wire: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | u32::from(wire)), &mut bytes);
    bytes.extend(payload);
    bytes
}

fn length_delimited(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut length = Vec::new();
    prost::encoding::encode_varint(u64::try_from(payload.len()).unwrap(), &mut length);
    length.extend(payload);
    field(number, 2, &length)
}

#[tokio::test]
async fn random_bytes_end_no_call_with_a_defect() {
    let server = Server::new().await;
    let before = server.snapshot().await;
    let mut random = TestRunner::deterministic();
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    for key in [OPERATOR_KEY.to_owned(), server.key().await] {
        for path in methods() {
            // A refusal before the message was read resets its stream, and a connection has 1,024 of those.
            let raw = Raw::connect(server.address(), &key).await;
            for _ in 0..CASES {
                let message = bytes.new_tree(&mut random).unwrap().current();
                // An empty message is a good request to many a method.
                let answer = raw.call(&path, &message).await;
                assert!(BLAMELESS.contains(&answer.code), "{path} {message:?}: {answer:?}");
            }
        }
    }
    assert_eq!(before.usage, server.snapshot().await.usage);
}

#[tokio::test]
async fn what_cannot_be_read_is_the_callers_mistake() {
    let server = Server::new().await;
    let before = server.snapshot().await;
    let raw = Raw::connect(server.address(), &server.key().await).await;
    let service = b"search".as_slice();
    let mut nested = Vec::new();
    for _ in 0..200 {
        nested = length_delimited(1, &nested);
    }
    for (name, message) in [
        ("a varint that ends too early", field(4, 0, &[0x80])),
        ("a varint of 11 bytes", field(4, 0, &[0xff; 11])),
        ("a length beyond the message", field(1, 2, &[0xff, 0xff, 0xff, 0xff, 0x07])),
        ("a wire type that there is not", field(1, 7, &[0])),
        ("a number where a message stands", field(1, 0, &[1])),
        ("field number 0", vec![0x00]),
        ("text that is not UTF-8", length_delimited(1, &length_delimited(2, &[0xff, 0xfe]))),
        (
            "text that is an unpaired surrogate",
            length_delimited(1, &length_delimited(2, &[0xed, 0xa0, 0x80])),
        ),
        ("an end of a group without a beginning", field(30, 4, &[])),
        ("groups in groups", [field(30, 3, &[]).repeat(200), length_delimited(2, service)].concat()),
    ] {
        let answer = raw.call(TRACK, &message).await;
        assert_eq!(Code::InvalidArgument, answer.code, "{name}: {answer:?}");
        assert!(
            answer.message.contains("cannot%20be%20read") || answer.message.contains("cannot be read"),
            "{name}: {answer:?}"
        );
    }
    assert_eq!(before, server.snapshot().await);
}

#[tokio::test]
async fn what_is_not_known_is_passed_over() {
    let server = Server::new().await;
    let raw = Raw::connect(server.address(), &server.key().await).await;
    let event = v1::UsageEvent { service: "search".into(), endpoint: "/find".into(), ..Default::default() };
    let request = v1::TrackRequest { event: Some(event), ..Default::default() };
    let mut message = request.encode_to_vec();
    message.extend(length_delimited(9_999, b"of a later version"));
    assert_eq!(Code::Ok, raw.call(TRACK, &message).await.code);
    assert_eq!(1, server.snapshot().await.usage.calls);
}

#[tokio::test]
async fn too_much_at_once_is_refused() {
    let server = Server::new().await;
    let before = server.snapshot().await;
    let raw = Raw::connect(server.address(), &server.key().await).await;
    let request = v1::TrackRequest::default();
    let batch = |size| v1::TrackBatchRequest { requests: vec![request.clone(); size] }.encode_to_vec();
    for (name, path, message) in [
        ("a batch of none", BATCH, batch(0)),
        ("a batch of 1,001", BATCH, batch(1_001)),
        ("500,000 empty items", BATCH, length_delimited(1, &[]).repeat(500_000)),
        (
            "500,000 completions",
            "/tollgate.v1.TrackService/Complete",
            length_delimited(2, &[]).repeat(500_000),
        ),
    ] {
        let answer = raw.call(path, &message).await;
        assert_eq!(Code::InvalidArgument, answer.code, "{name}: {answer:?}");
    }
    let large = v1::TrackRequest { api_key: "k".repeat(2 << 20), ..Default::default() }.encode_to_vec();
    let answer = raw.call(TRACK, &large).await;
    assert_eq!((Code::OutOfRange, "MESSAGE_TOO_LARGE"), (answer.code, &*answer.reason), "2 MiB");
    // The length alone is enough: nobody waits for what it promises.
    let promised = [vec![0], u32::MAX.to_be_bytes().to_vec(), b"x".to_vec()].concat();
    assert_eq!(Code::OutOfRange, raw.call_with(TRACK, &promised, &[]).await.code, "4 GiB promised");
    assert_eq!(before, server.snapshot().await);
}

#[tokio::test]
async fn compressed_requests_are_not_spoken() {
    let server = Server::new().await;
    let before = server.snapshot().await;
    let raw = Raw::connect(server.address(), &server.key().await).await;
    for coding in ["gzip", "deflate", "zstd", "br"] {
        let answer = raw.call_with(TRACK, &framed(1, &[0x1f, 0x8b, 8]), &[("grpc-encoding", coding)]).await;
        assert_eq!(
            (Code::Unimplemented, "UNSUPPORTED"),
            (answer.code, &*answer.reason),
            "{coding}: {answer:?}"
        );
    }
    for (name, body) in [
        ("a flag without a coding", framed(1, b"x")),
        ("a flag that there is not", framed(7, b"x")),
        ("no message", Vec::new()),
    ] {
        let answer = raw.call_with(TRACK, &body, &[]).await;
        assert_eq!(
            (Code::InvalidArgument, "INVALID_FIELD"),
            (answer.code, &*answer.reason),
            "{name}: {answer:?}"
        );
    }
    assert_eq!(before, server.snapshot().await);
}

#[tokio::test]
async fn deadlines_that_are_none_do_no_harm() {
    let server = Server::new().await;
    let raw = Raw::connect(server.address(), &server.key().await).await;
    let message = v1::WhoAmIRequest::default().encode_to_vec();
    for (timeout, expected) in [
        ("99999999H", Some(Code::Ok)),
        ("-1S", None),
        ("1e3S", None),
        ("1Y", None),
        ("", None),
        ("S", None),
        ("123456789S", None),
    ] {
        let headers = [("grpc-timeout", timeout)];
        let answer = raw.call_with("/tollgate.v1.AuthService/WhoAmI", &framed(0, &message), &headers).await;
        assert!(expected.is_none_or(|code| code == answer.code), "`{timeout}`: {answer:?}");
        assert_ne!(Code::Internal, answer.code, "`{timeout}`: {answer:?}");
    }
    assert_eq!(Code::Ok, raw.call("/tollgate.v1.AuthService/WhoAmI", &message).await.code);
}
