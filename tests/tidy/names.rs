//! A thing without a room is a room not yet named; every file says what it is for.

use crate::source::{Source, expect_clean, rust};

/// Names that say nothing.
const NAMELESS: [&str; 8] = ["utils", "util", "common", "misc", "types", "helpers", "helper", "shared"];

fn nameless(source: &Source) -> Vec<String> {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let mut findings = Vec::new();
    if NAMELESS.contains(&stem) || source.path.split('/').any(|part| NAMELESS.contains(&part)) {
        findings.push(format!("{}: what is it for? Name it", source.path));
    }
    if name == "mod.rs" {
        findings.push(format!("{}: a room is `name.rs` beside `name/`", source.path));
    }
    let code = source.code();
    for nameless in NAMELESS.iter().filter(|name| code.contains(&format!("mod {name} {{"))) {
        findings.push(format!("{}: what is `mod {nameless}` for? Name it", source.path));
    }
    findings
}

fn unexplained(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").is_some_and(|sentence| sentence.len() > 10);
    if says { Vec::new() } else { vec![format!("{}: begin with `//!` and what it is for", source.path)] }
}

#[test]
fn every_file_has_a_name_that_says_what_it_is_for() {
    expect_clean(&rust().iter().flat_map(nameless).collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is_for() {
    expect_clean(&rust().iter().flat_map(unexplained).collect::<Vec<_>>());
}

#[test]
fn a_name_that_says_nothing_is_found() {
    let check = |path: &str, text: &str, expected: usize| {
        let findings = nameless(&Source::sample(path, text));
        assert_eq!(expected, findings.len(), "{path}: {findings:?}");
    };
    check("server/utils.rs", "", 1);
    check("server/gate/types.rs", "", 1);
    check("server/common/clock.rs", "", 1);
    check("server/gate/mod.rs", "", 1);
    check("server/gate.rs", "mod helpers { }", 1);
    check("server/gate/utilisation.rs", "mod common_case;", 0);
}

#[test]
fn a_file_that_says_nothing_is_found() {
    let check = |text: &str, expected: usize| {
        assert_eq!(expected, unexplained(&Source::sample("server/x.rs", text)).len(), "{text}");
    };
    check("use std::fmt;", 1);
    check("", 1);
    check("//!", 1);
    check("/// Of the first item.\nfn f() {}", 1);
    check("//! What this is for.", 0);
}
