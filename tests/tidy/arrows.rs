//! Arrows point inward: a room knows those before it, never those after, and no room knows a driver or a protocol.

use crate::source::{Source, expect_clean, files};

/// Small words that everybody may use.
const WORDS: [&str; 10] =
    ["cache", "failpoint", "fault", "id", "money", "secrets", "store", "tasks", "time", "trace"];
/// The rooms in reading order.
const ROOMS: [&str; 9] =
    ["gate", "ledger", "plans", "billing", "mail", "identity", "insight", "live", "jobs"];
/// What only the door and the adapters name.
const OUTSIDE: [&str; 11] = [
    "axum",
    "http",
    "hyper",
    "lettre",
    "mongodb",
    "redis",
    "rumqttc",
    "rusqlite",
    "tollgate_client",
    "tonic",
    "tower",
];
/// What stands around the rooms, with what each may name beside words, rooms and itself.
const AROUND: [(&str, &[&str]); 9] = [
    ("connector", &[]),
    ("adapters", &["connector"]),
    ("config", &[]),
    ("data_directory", &["config"]),
    ("telemetry", &["config", "connector"]),
    ("api", &["config", "telemetry"]),
    ("app", &["adapters", "api", "config", "data_directory", "telemetry"]),
    ("cli", &["api", "app", "config", "data_directory", "telemetry"]),
    ("lib", &[]),
];

fn outward(source: &Source) -> Vec<String> {
    let Some(home) = home(&source.path) else { return Vec::new() };
    let code = source.code();
    let Some(allowed) = allowed(&home) else {
        return vec![format!("{}: `{home}` is not on the map in tests/tidy/arrows.rs", source.path)];
    };
    let mut findings = Vec::new();
    for name in named_modules(&code) {
        if name != home
            && !allowed.contains(&name.as_str())
            && name.starts_with(|first: char| first.is_lowercase())
        {
            findings.push(format!("{}: `{home}` names `{name}`, which stands outside of it", source.path));
        }
    }
    if is_inside(&home) {
        for driver in OUTSIDE.iter().filter(|driver| names_crate(&code, driver)) {
            findings.push(format!("{}: the room `{home}` names `{driver}`; let a port do that", source.path));
        }
        if code.contains("super::super") {
            findings.push(format!("{}: say `crate::`, so that the arrow can be seen", source.path));
        }
    }
    findings
}

/// The module at the top of the crate that a file belongs to.
fn home(path: &str) -> Option<String> {
    let inside = path.strip_prefix("server/")?;
    let first = inside.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "main" && name != "dashboard").then(|| name.to_owned())
}

fn is_inside(home: &str) -> bool {
    WORDS.contains(&home) || ROOMS.contains(&home)
}

fn allowed(home: &str) -> Option<Vec<&'static str>> {
    if WORDS.contains(&home) {
        return Some(WORDS.to_vec());
    }
    if let Some(place) = ROOMS.iter().position(|room| *room == home) {
        return Some(WORDS.iter().chain(ROOMS.iter().take(place)).copied().collect());
    }
    let (_, beside) = AROUND.iter().find(|(name, _)| *name == home)?;
    Some(WORDS.iter().chain(&ROOMS).chain(*beside).copied().collect())
}

/// What follows `crate::` anywhere, also in groups: `use crate::{gate, ledger::event}`.
fn named_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group_heads(group)),
            None => names.push(word(rest)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The first word of each part of a group at its own depth.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut heads = vec![word(group.trim_start())];
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(word(group.get(place + 1..).unwrap_or_default().trim_start())),
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Whether the code has a path that begins with the crate.
fn names_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let used = [format!("use {name};"), format!("use {name} as")];
    let begins = code.match_indices(&path).any(|(place, _)| {
        let before = code.get(..place).unwrap_or_default();
        let in_path = before.ends_with("::") && !before.ends_with(" ::") && !before.ends_with("(::");
        !in_path && !before.ends_with(|last: char| last.is_alphanumeric() || last == '_')
    });
    begins || used.iter().any(|text| code.contains(text.as_str()))
}

#[test]
fn arrows_point_inward() {
    expect_clean(&files(&["server"], &[".rs"]).iter().flat_map(outward).collect::<Vec<_>>());
}

#[test]
fn an_outward_arrow_is_found() {
    let check = |path: &str, text: &str, expected: usize| {
        let findings = outward(&Source::sample(path, text));
        assert_eq!(expected, findings.len(), "{path}: {text}: {findings:?}");
    };
    check("server/gate/limit.rs", "use crate::ledger::event::Event;", 1);
    check("server/gate/limit.rs", "use crate::{time::Clock, ledger::{event, plans}, api};", 2);
    check("server/gate/limit.rs", "fn f() { crate::adapters::sqlite::open() }", 1);
    check("server/gate/limit.rs", "use crate::gate::policy; use crate::time; // crate::api", 0);
    check("server/gate.rs", "use tonic::Status;", 1);
    check("server/gate.rs", "fn f() -> ::tonic::Status {} use crate::gate::http::tonic::x;", 1);
    check("server/gate.rs", "use atomic::x; use super::super::ledger::x;", 1);
    check("server/time.rs", "use crate::gate::Call;", 1);
    check("server/ledger/fold.rs", "use crate::gate::Call;", 0);
    check("server/live.rs", "use crate::jobs::Job;", 1);
    check("server/api/track.rs", "use crate::adapters::memory;", 1);
    check("server/api/track.rs", "use crate::ledger; use tonic::Status; use tollgate_client::v1;", 0);
    check("server/adapters/memory.rs", "use crate::api; use crate::gate;", 1);
    check("server/cli/demo.rs", "use crate::adapters; use tollgate_client::Client;", 1);
    check("server/app.rs", "use crate::{adapters, ledger, api};", 0);
    check("server/app.rs", "use crate::cli;", 1);
    check("server/helpers.rs", "fn f() {}", 1);
}
