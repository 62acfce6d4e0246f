//! Patterns of endpoints: `*` stands for a run of characters without `/`, `**` for any run.

use std::fmt;
use std::sync::Arc;

/// A pattern that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 255;

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is nothing in it.
    #[error("a pattern has at least one character")]
    Empty,
    /// It does not fit.
    #[error("a pattern of {0} bytes is longer than {PATTERN_BYTES_MAX}")]
    TooLong(usize),
    /// It has `***`, which could be read in two ways.
    #[error("a pattern has no more than two `*` in a row")]
    TooManyStars,
    /// It has a control character, which no endpoint has.
    #[error("a pattern has no control characters")]
    ControlCharacter,
}

impl Pattern {
    /// The pattern of that text.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong(text.len()));
        }
        if text.contains("***") {
            return Err(PatternError::TooManyStars);
        }
        if text.chars().any(char::is_control) {
            return Err(PatternError::ControlCharacter);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The text it was made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole endpoint fits the pattern. The time it takes grows with the endpoint's length, whatever the
    /// pattern: endpoints come from strangers.
    #[must_use]
    pub fn matches(&self, endpoint: &str) -> bool {
        let (pattern, endpoint) = (self.0.as_bytes(), endpoint.as_bytes());
        let literal = pattern.iter().position(|&byte| byte == b'*').unwrap_or(pattern.len());
        let (prefix, pattern) = pattern.split_at(literal);
        let Some(rest) = endpoint.strip_prefix(prefix) else { return false };
        match pattern {
            [] => rest.is_empty(),
            b"*" => !rest.contains(&b'/'),
            b"**" => true,
            _ => walk(pattern, rest),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Follows all places of the pattern at once, one character of the text after the other.
fn walk(pattern: &[u8], text: &[u8]) -> bool {
    let mut places = Places::default();
    places.reach(pattern, 0);
    for &byte in text {
        let mut next = Places::default();
        for place in places.each() {
            match star(pattern, place) {
                Some(Star::Any) => next.reach(pattern, place),
                Some(Star::Run) if byte != b'/' => next.reach(pattern, place),
                Some(Star::Run) => {}
                None if pattern.get(place) == Some(&byte) => next.reach(pattern, place.saturating_add(1)),
                None => {}
            }
        }
        places = next;
    }
    places.has(pattern.len())
}

enum Star {
    Run,
    Any,
}

fn star(pattern: &[u8], place: usize) -> Option<Star> {
    match pattern.get(place..)? {
        [b'*', b'*', ..] => Some(Star::Any),
        [b'*', ..] => Some(Star::Run),
        _ => None,
    }
}

/// A set of places in a pattern, 0 to [`PATTERN_BYTES_MAX`].
#[derive(Clone, Copy, Default)]
struct Places([u128; 2]);

impl Places {
    /// Adds a place, and those behind it that an empty run leads to.
    fn reach(&mut self, pattern: &[u8], mut place: usize) {
        loop {
            if let Some(half) = self.0.get_mut(place >> 7) {
                *half |= 1 << (place & 127);
            }
            place = match star(pattern, place) {
                Some(Star::Any) => place.saturating_add(2),
                Some(Star::Run) => place.saturating_add(1),
                None => return,
            };
        }
    }

    fn has(&self, place: usize) -> bool {
        self.0.get(place >> 7).is_some_and(|half| half >> (place & 127) & 1 == 1)
    }

    fn each(self) -> impl Iterator<Item = usize> {
        let [low, high] = self.0;
        bits(low, 0).chain(bits(high, 128))
    }
}

fn bits(mut half: u128, first: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = usize::try_from(half.trailing_zeros()).ok().filter(|&bit| bit < 128)?;
        half &= !(1 << bit);
        Some(first.saturating_add(bit))
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn check(pattern: &str, endpoint: &str, expected: bool) {
        let pattern = Pattern::parse(pattern).unwrap();
        assert_eq!(pattern.matches(endpoint), expected, "`{pattern}` on `{endpoint}`");
    }

    #[test]
    fn a_star_stays_in_its_segment_and_two_do_not() {
        check("/notes", "/notes", true);
        check("/notes", "/notes/", false);
        check("/notes", "/note", false);
        check("/notes/*", "/notes/7", true);
        check("/notes/*", "/notes/", true);
        check("/notes/*", "/notes", false);
        check("/notes/*", "/notes/7/pages", false);
        check("/notes/**", "/notes/7/pages", true);
        check("/notes/**", "/notes", false);
        check("**", "", true);
        check("*", "a/b", false);
        check("**/pages", "/notes/7/pages", true);
        check("**/pages", "/notes/pages/7", false);
        check("/*/pages/*", "/notes/pages/7", true);
        check("/*/pages/*", "/notes/7/pages/7", false);
        check("/**/pages/*", "/notes/7/pages/7", true);
        check("*b*/c", "abab/c", true);
        check("*b*/c", "ab/b/c", false);
        check("**a*b", "a/ab", true);
        check("**a*b", "ab/a/b", false);
        check("/grüße/*", "/grüße/ä", true);
        check("/a.c", "/abc", false);
    }

    #[test]
    fn a_pattern_of_255_bytes_matches_to_its_end() {
        let text = format!("**{}*{}", "a".repeat(200), "b".repeat(52));
        assert_eq!(text.len(), PATTERN_BYTES_MAX);
        check(&text, &format!("x{}/{}x{}", "a".repeat(3), "a".repeat(200), "b".repeat(52)), true);
        check(&text, &format!("{}x{}", "a".repeat(200), "b".repeat(51)), false);
    }

    #[test]
    fn a_malformed_pattern_is_refused() {
        assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
        assert_eq!(Pattern::parse(&"a".repeat(256)), Err(PatternError::TooLong(256)));
        assert_eq!(Pattern::parse("/a/***"), Err(PatternError::TooManyStars));
        assert_eq!(Pattern::parse("/a\n"), Err(PatternError::ControlCharacter));
    }

    #[test]
    fn an_endpoint_made_to_be_slow_is_not() {
        let pattern = Pattern::parse(&"**a*b".repeat(50)).unwrap();
        let started = Instant::now();
        assert!(!pattern.matches(&"a".repeat(1024)));
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
