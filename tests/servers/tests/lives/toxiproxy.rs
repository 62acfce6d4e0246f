//! Toxiproxy between a client and Redis.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use test_servers::{Proxy, Redis, Stream, Toxiproxy};

use crate::answers;

const DELAY: Duration = Duration::from_millis(200);

#[test]
fn a_way_is_harmed_and_healed() {
    let (Some(redis), Some(toxiproxy)) = (Redis::start(), Toxiproxy::start()) else { return };
    let proxy = toxiproxy.proxy("redis", &format!("127.0.0.1:{}", redis.port()));
    assert_eq!("+PONG\r\n", ping(&proxy).unwrap());

    proxy.toxic("latency", Stream::ToClient, &format!(r#"{{"latency":{}}}"#, DELAY.as_millis()));
    let since = Instant::now();
    assert_eq!("+PONG\r\n", ping(&proxy).unwrap());
    assert!(since.elapsed() >= DELAY, "{:?}", since.elapsed());
    proxy.heal();

    proxy.toxic("limit_data", Stream::ToClient, r#"{"bytes":3}"#);
    assert_eq!("+PO", ping(&proxy).unwrap());
    proxy.heal();

    proxy.toxic("timeout", Stream::ToServer, r#"{"timeout":0}"#);
    assert!(ping(&proxy).is_err(), "a black hole answered");
    proxy.heal();

    proxy.cut();
    assert!(!answers(proxy.port()));
    proxy.heal();
    assert_eq!("+PONG\r\n", ping(&proxy).unwrap());

    drop(toxiproxy);
    assert!(!answers(proxy.port()));
}

/// A line, or as much of it as comes before the connection closes.
fn ping(proxy: &Proxy) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(proxy.address())?;
    stream.set_read_timeout(Some(DELAY * 5))?;
    stream.write_all(b"PING\r\n")?;
    let mut reply = String::new();
    let mut letter = [0];
    while !reply.ends_with('\n') && stream.read(&mut letter)? == 1 {
        reply.push(char::from(letter[0]));
    }
    Ok(reply)
}
