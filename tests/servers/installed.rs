//! What this machine has, and what a test does without it.

use std::io::Write as _;
use std::path::PathBuf;

/// Names the servers that must be there: comma-separated, or `all`.
const REQUIRE: &str = "TOLLGATE_TEST_REQUIRE";
/// Where programs that only tests need are kept.
const TOOLS: &str = "TOLLGATE_TEST_TOOLS";
/// Where programs are that an ordinary user's `PATH` may lack.
const USUAL: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/usr/local/go/bin", "/usr/local/bin"];

/// The path of a program: from the tools, `PATH`, or where it usually is.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = USUAL.iter().map(PathBuf::from);
    let mut places = std::iter::once(tools().join("bin")).chain(std::env::split_paths(&path)).chain(usual);
    places.find_map(|place| Some(place.join(name)).filter(|program| program.is_file()))
}

/// The directory of programs that only tests need, kept between runs.
pub(crate) fn tools() -> PathBuf {
    let own = std::env::var_os(TOOLS).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/tollgate-tools"));
    own.or_else(home).unwrap_or_else(|| std::env::temp_dir().join("tollgate-tools"))
}

/// Says that a test goes without `server`, or fails where it is required.
///
/// # Panics
/// `TOLLGATE_TEST_REQUIRE` lists `server` or says `all`.
pub(crate) fn skip<T>(server: &str, reason: &str) -> Option<T> {
    let required = std::env::var_os(REQUIRE).unwrap_or_default().to_string_lossy().into_owned();
    assert!(!requires(&required, server), "{REQUIRE} lists `{server}`, but {reason}");
    // Written past the test's own capture, because a skipped test passes and shows nothing of itself.
    let line = format!("skipped: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("the error stream takes a line");
    None
}

fn requires(list: &str, server: &str) -> bool {
    list.split(',').map(str::trim).any(|name| name == server || name == "all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_requires_what_it_names() {
        let check = |list: &str, server: &str, expected: bool| {
            assert_eq!(expected, requires(list, server), "{list}: {server}");
        };
        check("", "redis", false);
        check("redis", "redis", true);
        check("mosquitto, redis", "redis", true);
        check("all", "redis", true);
        check("valkey", "redis", false);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(None, program("a-program-that-nobody-wrote"));
        assert!(program("sh").is_some());
    }
}
