//! A port of 127.0.0.1 that no other server under test takes, also while its own server is down.

use std::fs::File;
use std::net::TcpListener;

use rand::RngExt as _;

use crate::installed::tools;

/// Below the ports that the system gives to outgoing connections, so that none takes it while its server is down.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port, held until it is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked; the system takes the lock back when this process ends, however it ends.
    _claim: File,
}

impl Port {
    /// Takes a port that nobody listens on.
    ///
    /// # Panics
    /// The directory for the claims on ports cannot be used.
    pub fn take() -> Self {
        let claims = tools().join("ports");
        std::fs::create_dir_all(&claims).expect("a directory for the claims on ports");
        let mut random = rand::rng();
        loop {
            let number = random.random_range(PORTS);
            let claim =
                File::create(claims.join(number.to_string())).expect("a file for the claim on a port");
            if claim.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _claim: claim };
            }
        }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
