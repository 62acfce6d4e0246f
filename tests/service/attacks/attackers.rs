//! Who attacks: what each sends, how fast, and whether it reads.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::attacks::frames::{call, data, id, opening, opening_without_window, prefix};
use crate::flood::{END_HEADERS, END_STREAM, HEADERS, PING, POST, RESET, SETTINGS, WINDOW_UPDATE, frame};

/// An attacker's own address, so that it meets the bounds of one address.
const ATTACKER: &str = "127.0.0.66:0";
/// How long a connection is kept after all was sent, where it is not closed before.
const HELD: Duration = Duration::from_millis(250);
/// An attacker begins anew at most so often: it shares two cores with those that it attacks.
const ROUND_INTERVAL: Duration = Duration::from_millis(10);
/// One byte of a slow attack comes after so long.
const TRICKLE_INTERVAL: Duration = Duration::from_millis(20);
const CONTINUATION: u8 = 9;
const TRACK: &str = "/tollgate.v1.TrackService/Track";
const WATCH: &str = "/tollgate.v1.TrackService/WatchUsage";

/// A kind of attack.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// Connections of one attacker at a time.
    connections: usize,
    manner: Manner,
    /// What is sent on each of them, by somebody with that key.
    bytes: fn(&str) -> Vec<u8>,
}

impl Attack {
    /// What is sent on each connection, by somebody with that key.
    pub(super) fn bytes(&self, key: &str) -> Arc<[u8]> {
        (self.bytes)(key).into()
    }
}

/// How it goes about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Sends everything, reads what comes, and begins anew.
    Floods,
    /// Sends everything, reads nothing, and begins anew.
    Deaf,
    /// Sends the last bytes one by one, and keeps the connection.
    Trickles(usize),
    /// Keeps the connection.
    Stays,
}

pub(super) const ATTACKS: [Attack; 19] = [
    Attack { name: "rapid reset", connections: 1, manner: Manner::Floods, bytes: rapid_reset },
    Attack { name: "resets by the server", connections: 1, manner: Manner::Floods, bytes: overflows },
    Attack { name: "endless headers", connections: 1, manner: Manner::Floods, bytes: endless_headers },
    Attack {
        name: "empty continuations",
        connections: 1,
        manner: Manner::Floods,
        bytes: empty_continuations,
    },
    Attack { name: "pings", connections: 1, manner: Manner::Deaf, bytes: pings },
    Attack { name: "settings", connections: 1, manner: Manner::Deaf, bytes: settings },
    Attack { name: "empty data", connections: 1, manner: Manner::Floods, bytes: empty_data },
    Attack { name: "too many streams", connections: 1, manner: Manner::Floods, bytes: many_streams },
    Attack { name: "garbage", connections: 1, manner: Manner::Floods, bytes: garbage },
    Attack { name: "oversized messages", connections: 1, manner: Manner::Floods, bytes: oversized },
    Attack { name: "compressed messages", connections: 1, manner: Manner::Floods, bytes: compressed },
    Attack { name: "messages that do not end", connections: 60, manner: Manner::Stays, bytes: unfinished },
    Attack { name: "refused and unread", connections: 1, manner: Manner::Floods, bytes: refused },
    Attack { name: "a window of nothing", connections: 4, manner: Manner::Stays, bytes: no_window },
    Attack { name: "answers not read", connections: 4, manner: Manner::Deaf, bytes: not_read },
    Attack { name: "a slow preface", connections: 200, manner: Manner::Trickles(23), bytes: |_| opening() },
    Attack {
        name: "slow headers of HTTP/1.1",
        connections: 200,
        manner: Manner::Trickles(999),
        bytes: slow_headers,
    },
    Attack { name: "slow messages", connections: 8, manner: Manner::Trickles(1_270), bytes: slow_messages },
    Attack { name: "idle connections", connections: 1_500, manner: Manner::Stays, bytes: |_| opening() },
];

/// Attacks until `stop`; how many connections that were opened.
pub(super) async fn attack(
    kind: &'static Attack,
    address: SocketAddr,
    bytes: Arc<[u8]>,
    stop: CancellationToken,
) -> usize {
    let mut opened = 0;
    while !stop.is_cancelled() {
        let mut attackers = tokio::task::JoinSet::new();
        for _ in 0..kind.connections {
            let (bytes, stop) = (bytes.clone(), stop.clone());
            attackers
                .spawn(async move { stop.run_until_cancelled(once(kind.manner, address, &bytes)).await });
        }
        while let Some(ended) = attackers.join_next().await {
            // Most are cut off.
            let opened_none =
                matches!(ended.unwrap(), Some(Err(error)) if error.kind() == io::ErrorKind::AddrInUse);
            opened += usize::from(!opened_none);
        }
        tokio::time::sleep(ROUND_INTERVAL).await;
    }
    opened
}

async fn once(manner: Manner, address: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(ATTACKER.parse().unwrap())?;
    let mut stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    match manner {
        Manner::Floods => {
            let (mut reader, mut writer) = stream.split();
            let flood = async { tokio::join!(writer.write_all(bytes), read(&mut reader)) };
            tokio::time::timeout(HELD, flood).await.ok();
        }
        Manner::Deaf => {
            tokio::time::timeout(HELD, stream.write_all(bytes)).await.ok();
            tokio::time::sleep(HELD).await;
        }
        Manner::Stays => {
            stream.write_all(bytes).await?;
            closed(&mut stream).await;
        }
        Manner::Trickles(last) => {
            let (first, last) = bytes.split_at(bytes.len().saturating_sub(last));
            stream.write_all(first).await?;
            for byte in last {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(TRICKLE_INTERVAL).await;
            }
            closed(&mut stream).await;
        }
    }
    Ok(())
}

async fn read(reader: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut part = vec![0; 64 << 10];
    while reader.read(&mut part).await.is_ok_and(|length| length > 0) {}
}

/// Waits until the server hangs up; who attacks does not come again at once.
async fn closed(stream: &mut TcpStream) {
    read(stream).await;
    tokio::time::sleep(HELD).await;
}

fn streams(count: u32, each: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    opening().into_iter().chain((0..count).flat_map(|number| each(id(number)))).collect()
}

fn rapid_reset(_: &str) -> Vec<u8> {
    streams(1_000, |id| {
        [frame(HEADERS, END_HEADERS, id, &POST), frame(RESET, 0, id, &8_u32.to_be_bytes())].concat()
    })
}

fn overflows(_: &str) -> Vec<u8> {
    let overflow = 0x7fff_ffff_u32.to_be_bytes();
    streams(5_000, |id| {
        [frame(HEADERS, END_HEADERS, id, &POST), frame(WINDOW_UPDATE, 0, id, &overflow)].concat()
    })
}

fn endless_headers(_: &str) -> Vec<u8> {
    let mut bytes = streams(1, |id| frame(HEADERS, 0, id, &POST));
    // A header without an index: `a` with 120 letters.
    let header = [&[0, 1, b'a', 120][..], &[b'x'; 120]].concat();
    (0..256).for_each(|_| bytes.extend(frame(CONTINUATION, 0, 1, &header.repeat(128))));
    bytes
}

fn empty_continuations(_: &str) -> Vec<u8> {
    let mut bytes = streams(1, |id| frame(HEADERS, 0, id, &POST));
    (0..20_000).for_each(|_| bytes.extend(frame(CONTINUATION, 0, 1, &[])));
    bytes
}

fn pings(_: &str) -> Vec<u8> {
    [opening(), frame(PING, 0, 0, b"are you?").repeat(50_000)].concat()
}

fn settings(_: &str) -> Vec<u8> {
    [opening(), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(50_000)].concat()
}

fn empty_data(key: &str) -> Vec<u8> {
    let mut bytes = streams(1, |id| call(id, TRACK, key, "identity"));
    (0..50_000).for_each(|_| bytes.extend(data(1, 0, &[])));
    bytes
}

fn many_streams(key: &str) -> Vec<u8> {
    streams(5_000, |id| call(id, TRACK, key, "identity"))
}

fn garbage(_: &str) -> Vec<u8> {
    [opening(), (0..64 << 10).map(|_| rand::random()).collect()].concat()
}

/// Each says that it has 2 MiB, and sends what may be sent at once.
fn oversized(key: &str) -> Vec<u8> {
    streams(100, |id| {
        let message = [prefix(0, 2 << 20), vec![b'x'; 8_000]].concat();
        [call(id, TRACK, key, "identity"), data(id, 0, &message)].concat()
    })
}

/// Each would be far larger if somebody read it.
fn compressed(key: &str) -> Vec<u8> {
    streams(100, |id| {
        let message = [prefix(1, 8_000), vec![0; 8_000]].concat();
        [call(id, TRACK, key, "gzip"), data(id, END_STREAM, &message)].concat()
    })
}

/// As much of messages as may be sent on one connection before the server reads.
fn unfinished(key: &str) -> Vec<u8> {
    streams(16, |id| {
        let mut bytes = call(id, TRACK, key, "identity");
        bytes.extend(data(id, 0, &prefix(0, 1 << 20)));
        (0..63).for_each(|_| bytes.extend(data(id, 0, &[0; 1_000])));
        bytes
    })
}

fn refused(_: &str) -> Vec<u8> {
    streams(2_000, |id| [call(id, TRACK, "no key", "identity"), data(id, END_STREAM, &[0; 500])].concat())
}

fn watches(key: &str) -> Vec<u8> {
    let watch = |id| [call(id, WATCH, key, "identity"), data(id, END_STREAM, &prefix(0, 0))].concat();
    (0..100).flat_map(|number| watch(id(number))).collect()
}

fn no_window(key: &str) -> Vec<u8> {
    [opening_without_window(), watches(key)].concat()
}

fn not_read(key: &str) -> Vec<u8> {
    [opening(), watches(key), frame(PING, 0, 0, b"are you?").repeat(50_000)].concat()
}

fn slow_headers(_: &str) -> Vec<u8> {
    [&b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: "[..], &[b'x'; 999]].concat()
}

fn slow_messages(key: &str) -> Vec<u8> {
    let begin =
        streams(100, |id| [call(id, TRACK, key, "identity"), data(id, 0, &prefix(0, 1_000))].concat());
    let bytes = (0..127).flat_map(|number| data(id(number % 100), 0, b"x"));
    begin.into_iter().chain(bytes).collect()
}
