//! HTTP/2 as an attacker writes it: no more of it than an attack needs.

use crate::flood::{DATA, END_HEADERS, HEADERS, SETTINGS, frame};

/// What every client of HTTP/2 begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `POST http`, by the static table of HPACK.
const POST_HTTP: [u8; 2] = [0x83, 0x86];
/// A literal path, by the static table of HPACK.
const PATH: u8 = 4;
const INITIAL_WINDOW_SIZE: u8 = 4;

/// The id of the stream with that number.
pub(super) fn id(number: u32) -> u32 {
    2 * number + 1
}

/// The preface and the settings of a client.
pub(super) fn opening() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The same, of a client that takes no answers.
pub(super) fn opening_without_window() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[0, INITIAL_WINDOW_SIZE, 0, 0, 0, 0])].concat()
}

/// The headers of a call; what it sends comes later.
pub(crate) fn call(stream: u32, path: &str, key: &str, coding: &str) -> Vec<u8> {
    let mut block = POST_HTTP.to_vec();
    block.push(PATH);
    block.extend(text(path));
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("x-api-key", key),
        ("grpc-encoding", coding),
    ] {
        block.push(0);
        block.extend(text(name));
        block.extend(text(value));
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// A part of what a call sends.
pub(super) fn data(stream: u32, flags: u8, part: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, part)
}

/// The begin of a message of so many bytes.
pub(super) fn prefix(compressed: u8, bytes: u32) -> Vec<u8> {
    [&[compressed][..], &bytes.to_be_bytes()].concat()
}

fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 127, "`{text}` is too long for one byte of length");
    [&[length], text.as_bytes()].concat()
}
