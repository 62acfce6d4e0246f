//! A function fits on a screen, and a file can be read in one sitting.
//!
//! Good ones are far shorter: 5 to 40 lines and 50 to 250. The bounds here are where two thoughts are certain. Tests at
//! the foot of a file or in one of their own are not counted, because their cases are data.

use crate::source::{Source, expect_clean, rust};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 500;

fn too_long(source: &Source) -> Vec<String> {
    let code = source.code_without_tests();
    let mut findings = Vec::new();
    let lines = code.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", source.path));
    }
    for (name, lines) in functions(&code) {
        if lines > FUNCTION_LINES_MAX {
            findings
                .push(format!("{}: `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}", source.path));
        }
    }
    findings
}

/// The functions that have a body, with their lines from name to closing brace.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (place, _) in code.match_indices("fn ") {
        let before = code.get(..place).unwrap_or_default().chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let text = code.get(place..).unwrap_or_default();
        let name: String =
            text.chars().skip(3).take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        if let Some(lines) = body_lines(text).filter(|_| !name.is_empty()) {
            found.push((name, lines));
        }
    }
    found
}

/// `None`: a declaration without a body.
fn body_lines(text: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (place, letter) in text.char_indices() {
        match letter {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' if braces <= 1 => return Some(text.get(..=place)?.lines().count()),
            '}' => braces -= 1,
            _ => {}
        }
    }
    None
}

/// Whether the file is the tests of another one, which says so: `#[cfg(test)] mod tests;`.
fn is_tests(source: &Source, all: &[Source]) -> bool {
    let Some((room, name)) = source.path.strip_suffix(".rs").and_then(|path| path.rsplit_once('/')) else {
        return false;
    };
    let declaration = format!("#[cfg(test)]\nmod {name};");
    all.iter().any(|parent| parent.path == format!("{room}.rs") && parent.text.contains(&declaration))
}

#[test]
fn nothing_is_too_long() {
    let all = rust();
    let program = all.iter().filter(|source| !is_tests(source, &all));
    expect_clean(&program.flat_map(too_long).collect::<Vec<_>>());
}

#[test]
fn tests_in_a_file_of_their_own_are_tests() {
    let check = |parent: &str, expected: bool| {
        let all = [Source::sample("server/gate.rs", parent), Source::sample("server/gate/model.rs", "")];
        assert_eq!(expected, is_tests(&all[1], &all), "{parent}");
    };
    check("#[cfg(test)]\nmod model;", true);
    check("mod model;", false);
    check("#[cfg(test)]\nmod models;", false);
}

#[test]
fn what_is_too_long_is_found() {
    let check = |text: &str, expected: usize| {
        let findings = too_long(&Source::sample("server/x.rs", text));
        assert_eq!(expected, findings.len(), "{findings:?}");
    };
    let body = |lines: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
    check(&body(FUNCTION_LINES_MAX), 0);
    check(&body(FUNCTION_LINES_MAX + 1), 1);
    check(&format!("trait T {{ fn f(a: [u8; 3]);\n{} }}", "// a\n".repeat(FUNCTION_LINES_MAX)), 0);
    check(&"use a;\n".repeat(FILE_LINES_MAX), 0);
    check(&"use a;\n".repeat(FILE_LINES_MAX + 1), 1);
    check(&format!("#[cfg(test)]\nmod tests {{\n{}}}", "use a;\n".repeat(FILE_LINES_MAX)), 0);
}
