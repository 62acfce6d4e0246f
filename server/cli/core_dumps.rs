//! What a program that dies leaves behind: nothing, because its memory has every secret in it.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// From now on the system writes no core of this process, whatever it was started with.
pub(super) fn forbid() -> io::Result<()> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}
