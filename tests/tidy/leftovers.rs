//! Nothing half done is left behind: no place to fill in, no test that does not run, no output for debugging.

use crate::source::{Source, expect_clean, rust};

/// What is never right in code.
const LEFTOVERS: [&str; 6] =
    ["todo!", "unimplemented!", "dbg!", "#[ignore", "#[allow(dead_code", "#[expect(dead_code"];
/// What is never right in a comment.
const UNFINISHED: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

fn left_over(source: &Source) -> Vec<String> {
    let code = source.code();
    let in_code = LEFTOVERS.iter().filter(|word| code.contains(**word));
    let in_text = UNFINISHED.iter().filter(|word| source.text.contains(**word));
    in_code.chain(in_text).map(|word| format!("{}: `{word}` is left over", source.path)).collect()
}

#[test]
fn nothing_is_left_over() {
    // This file has to say the words that it looks for.
    let own = rust().into_iter().filter(|source| source.path != "tests/tidy/leftovers.rs");
    expect_clean(&own.flat_map(|source| left_over(&source)).collect::<Vec<_>>());
}

#[test]
fn what_is_left_over_is_found() {
    let check = |text: &str, expected: usize| {
        let findings = left_over(&Source::sample("server/x.rs", text));
        assert_eq!(expected, findings.len(), "{text}: {findings:?}");
    };
    check("fn f() { todo!() }", 1);
    check("fn f() { unimplemented!() }", 1);
    check("fn f() { dbg!(x); }", 1);
    check("#[ignore = \"slow\"]\n#[test]\nfn f() {}", 1);
    check("#[allow(dead_code)]\nfn f() {}", 1);
    check("// TODO: more\nfn f() {}", 1);
    check("/// The macro `dbg!` is not used.\nfn f() {}", 0);
}
