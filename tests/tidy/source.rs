//! The project's own files, and Rust code without its comments and strings.

use std::path::{Path, PathBuf};

/// Directories that hold nothing of ours.
const FOREIGN: [&str; 6] = [".git", "target", "data", "node_modules", "gen", "dist"];

/// One file of the project.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path from the top, with `/`.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

impl Source {
    /// A file that does not exist, for the tests of the rules.
    pub(crate) fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The code alone: comments and the insides of strings are blank, lines stay where they are.
    pub(crate) fn code(&self) -> String {
        blank(&self.text)
    }

    /// The code above `#[cfg(test)]`.
    pub(crate) fn code_without_tests(&self) -> String {
        let code = self.code();
        match code.find("#[cfg(test)]\nmod tests") {
            Some(end) => code.get(..end).unwrap_or_default().to_owned(),
            None => code,
        }
    }
}

/// The top of the project.
pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under the given directories (or the files themselves) that end in one of `endings`.
pub(crate) fn files(roots: &[&str], endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = roots.iter().map(|root| top().join(root)).collect();
    while let Some(path) = waiting.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !FOREIGN.contains(&name.as_str()) {
                waiting.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(top()).unwrap().to_string_lossy().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
    assert!(!found.is_empty(), "no file ends in {endings:?} under {roots:?}");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// The Rust files that people wrote.
pub(crate) fn rust() -> Vec<Source> {
    files(&["server", "tests", "sdk/rust", "build.rs"], &[".rs"])
}

/// Fails with everything that a rule found.
#[track_caller]
pub(crate) fn expect_clean(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

fn blank(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut place = 0;
    while let Some(&letter) = letters.get(place) {
        let end = match letter {
            '/' if letters.get(place + 1) == Some(&'/') => line_end(&letters, place),
            '/' if letters.get(place + 1) == Some(&'*') => block_end(&letters, place),
            '"' => string_end(&letters, place + 1),
            'r' if !follows_word(&letters, place) => raw_string_end(&letters, place).unwrap_or(place),
            '\'' => char_end(&letters, place).unwrap_or(place),
            _ => place,
        };
        if end == place {
            code.push(letter);
            place += 1;
            continue;
        }
        code.extend(
            letters.iter().take(end).skip(place).map(|&hidden| if hidden == '\n' { '\n' } else { ' ' }),
        );
        place = end;
    }
    code
}

fn follows_word(letters: &[char], place: usize) -> bool {
    // `br"…"` is a raw string too.
    let before = place.checked_sub(1).and_then(|before| letters.get(before));
    before.is_some_and(|before| (before.is_alphanumeric() && *before != 'b') || *before == '_')
}

fn line_end(letters: &[char], place: usize) -> usize {
    let rest = letters.iter().skip(place).position(|&letter| letter == '\n');
    rest.map_or(letters.len(), |length| place + length)
}

fn block_end(letters: &[char], place: usize) -> usize {
    let pairs = letters.windows(2).enumerate().skip(place + 2);
    pairs.into_iter().find(|(_, pair)| *pair == ['*', '/']).map_or(letters.len(), |(end, _)| end + 2)
}

fn string_end(letters: &[char], mut place: usize) -> usize {
    while let Some(letter) = letters.get(place) {
        match letter {
            '\\' => place += 2,
            '"' => return place + 1,
            _ => place += 1,
        }
    }
    letters.len()
}

fn raw_string_end(letters: &[char], place: usize) -> Option<usize> {
    let marks = letters.iter().skip(place + 1).take_while(|&&letter| letter == '#').count();
    if letters.get(place + 1 + marks) != Some(&'"') {
        return None;
    }
    let mut close = vec!['"'];
    close.extend(std::iter::repeat_n('#', marks));
    let inside = place + 2 + marks;
    let length = letters.get(inside..)?.windows(close.len()).position(|window| window == close)?;
    Some(inside + length + close.len())
}

/// `'a'` and `'\n'`, not the lifetime `'a`.
fn char_end(letters: &[char], place: usize) -> Option<usize> {
    match letters.get(place + 1)? {
        '\\' => {
            letters.iter().skip(place + 3).position(|&letter| letter == '\'').map(|length| place + 4 + length)
        }
        _ => (letters.get(place + 2) == Some(&'\'')).then_some(place + 3),
    }
}

#[test]
fn comments_and_strings_are_no_code() {
    let check = |text: &str, expected: &str| {
        let code = Source::sample("x.rs", text).code();
        assert_eq!(expected, code.split_whitespace().collect::<Vec<_>>().join(" "), "{text}");
        assert_eq!(text.lines().count(), code.lines().count(), "{text}");
    };
    check("a // b\nc", "a c");
    check("a /* b\n */ c", "a c");
    check(r#"f("a // b \" c", d)"#, "f( , d)");
    check("r#\"a \" b\"# + c", "+ c");
    check("br\"a\" + c", "b + c");
    check("var\"a\"", "var");
    check("match c { '\"' => 'x', '\\'' => y, _ => z::<'a>() }", "match c { => , => y, _ => z::<'a>() }");
}
