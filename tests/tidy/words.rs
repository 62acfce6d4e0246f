//! The project speaks of itself alone: of no machine that it was written on, and of no host that it does not need.

use crate::source::{Source, expect_clean, files, top};

/// Everything that is read by people.
const ENDINGS: [&str; 10] = [".rs", ".proto", ".md", ".toml", ".lock", ".yaml", ".yml", ".sh", ".py", "run"];

/// Hosts that the project may name: its own examples, where its dependencies come from, and standards.
const HOSTS: [&str; 15] = [
    "host",
    "127.0.0.1",
    "localhost",
    "0.0.0.0",
    "[::1]",
    "example.com",
    "docs.rs",
    "crates.io",
    "github.com",
    "rust-lang.org",
    "www.apache.org",
    "www.rfc-editor.org",
    "datatracker.ietf.org",
    "buf.build",
    "grpc.io",
];

/// Where every dependency comes from.
const INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Directories in which people keep their own things.
const HOMES: [&str; 3] = ["/home/", "/Users/", "/root/"];

fn strange_words(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let own = top().display().to_string();
    for path in HOMES.iter().copied().chain([own.as_str()]).filter(|path| path.len() > 1) {
        if source.text.contains(path) {
            findings.push(format!("{}: says the path `{path}` of one machine", source.path));
        }
    }
    let numbers = source.text.split(" #").skip(1).chain(source.text.split("(#").skip(1));
    for _ in numbers.filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit())) {
        findings.push(format!("{}: points to a numbered note; say here what it says", source.path));
    }
    for host in hosts(&source.text).filter(|host| !is_known(host)) {
        findings.push(format!("{}: names the host `{host}`", source.path));
    }
    if source.path.ends_with(".lock") {
        let sources = source.text.lines().filter_map(|line| line.strip_prefix("source = "));
        for strange in sources.filter(|place| place.trim_matches('"') != INDEX) {
            findings.push(format!("{}: a dependency comes from {strange}", source.path));
        }
    }
    findings
}

fn hosts(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("https://").skip(1).chain(text.split("http://").skip(1));
    links.map(|link| {
        let end = link.find(|letter: char| !(letter.is_ascii_alphanumeric() || ".-[:]_@".contains(letter)));
        let place = link.get(..end.unwrap_or(link.len())).unwrap_or_default();
        // What stands before an `@` is whom the link is for.
        let host = place.rsplit('@').next().unwrap_or_default();
        let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
        host.trim_end_matches(['.', ':'])
    })
}

/// Names that are reserved for examples are known too; one that is put together elsewhere is empty, one of a letter is made up.
fn is_known(host: &str) -> bool {
    host.len() < 2
        || HOSTS
            .iter()
            .any(|known| host == *known || host.strip_suffix(known).is_some_and(|sub| sub.ends_with('.')))
        || [".test", ".invalid", ".example"].iter().any(|ending| host.ends_with(ending))
        || host.starts_with("[::1]")
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let everything = files(&["."], &ENDINGS);
    // This file has to say the words that it looks for.
    let own = everything.iter().filter(|source| source.path != "tests/tidy/words.rs");
    expect_clean(&own.flat_map(strange_words).collect::<Vec<_>>());
}

#[test]
fn a_word_about_somebody_elses_machine_is_found() {
    let check = |path: &str, text: &str, expected: usize| {
        let findings = strange_words(&Source::sample(path, text));
        assert_eq!(expected, findings.len(), "{text}: {findings:?}");
    };
    check("README.md", "run /home/somebody/bin/tollgate", 1);
    check("README.md", &format!("run {}/target/release/tollgate", top().display()), 1);
    check("server/x.rs", "// See (#12).", 1);
    check("README.md", "see https://wiki.corp.internal/page", 1);
    check("README.md", "see http://127.0.0.1:7180/healthz, http://api.example.com/x and https://docs.rs.", 0);
    check("server/x.rs", "format!(\"http://{address}\")", 0);
    check("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"", 0);
    check("Cargo.lock", "source = \"git+https://github.com/somebody/fork\"", 1);
    check("sdk/go/go.mod", "https://proxy.corp.internal", 1);
}
