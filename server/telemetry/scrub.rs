//! What must not leave: keys, credentials, passwords in addresses, and people's addresses are struck out of every text.

use std::borrow::Cow;
use std::io::{self, Write};

/// What stands in the place of what was struck out.
const STRUCK: &str = "[struck]";
/// How the keys of callers begin.
const KEY: &str = "tg_";
/// How signed tokens begin: `{"` in base 64. There are points in them.
const TOKEN: &str = "eyJ";
/// Words after which a credential comes.
const SCHEMES: [&str; 2] = ["bearer", "basic"];
/// Names whose value is a credential, in lower case.
const NAMES: [&str; 8] =
    ["password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "x-api-key"];

/// The text without secrets.
#[must_use]
pub fn scrub(text: &str) -> Cow<'_, str> {
    if !is_suspect(text) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut before = Before::Nothing;
    for piece in text.split_inclusive(is_border) {
        let border = piece.chars().next_back().filter(|last| is_border(*last)).map_or(0, char::len_utf8);
        let (word, border) = piece.split_at(piece.len().saturating_sub(border));
        if !word.is_empty() {
            clean.push_str(&scrub_word(word, before));
        }
        clean.push_str(border);
        before = before.then(word, border);
    }
    Cow::Owned(clean)
}

/// Whether anything in it could be struck out: most lines have nothing.
fn is_suspect(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains('@')
        || lower.contains(KEY)
        || text.contains(TOKEN)
        || SCHEMES.iter().chain(&NAMES).any(|word| lower.contains(word))
}

const fn is_border(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(
            letter,
            '"' | '\'' | '`' | ',' | ';' | '(' | ')' | '<' | '>' | '{' | '}' | '[' | ']' | '|'
        )
        || matches!(letter, '=' | '&' | '\\')
}

/// What was read just before a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// The name of a credential, whose value comes next.
    Name,
    /// `Bearer`: a credential comes next.
    Scheme,
}

impl Before {
    fn then(self, word: &str, border: &str) -> Self {
        let name = word.trim_end_matches(':').to_ascii_lowercase();
        if SCHEMES.contains(&name.as_str()) && !border.is_empty() {
            return Self::Scheme;
        }
        let is_value_next = word.ends_with(':') || border == "=" || border == "\"";
        if NAMES.iter().any(|known| name.ends_with(known)) && is_value_next {
            return Self::Name;
        }
        // Between a name and its value there may be nothing but borders, as in `"password":"…"`.
        if word.trim_matches(':').is_empty() { self } else { Self::Nothing }
    }
}

fn scrub_word(word: &str, before: Before) -> Cow<'_, str> {
    let is_credential = match before {
        Before::Nothing => false,
        Before::Scheme => true,
        // `authorization: Bearer …`: the scheme itself may stay.
        Before::Name => {
            !word.trim_matches(':').is_empty() && !SCHEMES.contains(&word.to_ascii_lowercase().as_str())
        }
    };
    if is_credential {
        return Cow::Borrowed(STRUCK);
    }
    if let Some((address, rest)) = word.split_once("://") {
        return scrub_address(word, address, rest);
    }
    if let Some(before) = before_credential(word) {
        return Cow::Owned(format!("{before}{STRUCK}"));
    }
    let is_mail = word.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'));
    if is_mail { Cow::Borrowed(STRUCK) } else { Cow::Borrowed(word) }
}

/// Of an address, all before the last `@` goes: a password may hold a slash or an `@` that nobody encoded.
fn scrub_address<'a>(word: &'a str, scheme: &str, rest: &str) -> Cow<'a, str> {
    let (mask, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => (format!("{STRUCK}@"), rest),
        None => (String::new(), rest),
    };
    match before_credential(rest) {
        Some(before) => Cow::Owned(format!("{scheme}://{mask}{before}{STRUCK}")),
        None if mask.is_empty() => Cow::Borrowed(word),
        None => Cow::Owned(format!("{scheme}://{mask}{rest}")),
    }
}

/// What stands before a key or a token; `None`: there is neither.
fn before_credential(text: &str) -> Option<&str> {
    let key = text.split_once(KEY).map(|(before, _)| before);
    let token = text.split_once(TOKEN).filter(|(_, rest)| rest.contains('.')).map(|(before, _)| before);
    key.into_iter().chain(token).min_by_key(|before| before.len())
}

/// Writes lines without secrets. Each write is a whole line, as the log makes them.
#[derive(Debug)]
pub(super) struct Clean<W>(pub(super) W);

impl<W: Write> Write for Clean<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(scrub(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(expected, scrub(text), "{text}");
    }

    #[test]
    fn keys_are_struck_out() {
        check("key tg_tenant_0190_abc is revoked", "key [struck] is revoked");
        check("`tg_service_1`, x", "`[struck]`, x");
        check("/api/track?key=tg_tenant_1&x=1", "/api/track?key=[struck]&x=1");
        check("http://127.0.0.1:80/tg_tenant_1/x", "http://127.0.0.1:80/[struck]");
    }

    #[test]
    fn tokens_are_struck_out() {
        check("there is no tenant `eyJhbGciOi.eyJpc3Mi.c2ln`", "there is no tenant `[struck]`");
        check("http://127.0.0.1:80/eyJhbGciOi.eyJpc3Mi.c2ln", "http://127.0.0.1:80/[struck]");
        check("/eyJhbGciOi.eyJpc3Mi.tg_c2ln x", "/[struck] x");
        check("event eyJhbGciOi", "event eyJhbGciOi");
    }

    #[test]
    fn credentials_are_struck_out_after_their_name() {
        check("authorization: Bearer abc.def x", "authorization: Bearer [struck] x");
        check("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [struck]");
        check("x-api-key: abc", "x-api-key: [struck]");
        check("password=hunter2&user=a", "password=[struck]&user=a");
        check(r#"{"password":"hunter2","user":"a"}"#, r#"{"password":"[struck]","user":"a"}"#);
        check(r#"{"broker_password": "hunter2"}"#, r#"{"broker_password": "[struck]"}"#);
        check("the password of the operator is wrong", "the password of the operator is wrong");
        check("page tokens are opaque", "page tokens are opaque");
    }

    #[test]
    fn addresses_lose_who_and_keep_where() {
        check(
            "no answer of mongodb://me:pa/s@s@db.test:27017/x",
            "no answer of mongodb://[struck]@db.test:27017/x",
        );
        check("redis://:word@127.0.0.1:6379", "redis://[struck]@127.0.0.1:6379");
        check("http://127.0.0.1:4317/v1?a=b", "http://127.0.0.1:4317/v1?a=b");
        check("mail to ada@example.com failed", "mail to [struck] failed");
        check("at 12@x and @here", "at 12@x and @here");
    }

    #[test]
    fn what_has_no_secret_is_not_touched() {
        let line = r#"{"level":"ERROR","message":"could not fold the batch of tenant `acme`: disk full"}"#;
        assert!(matches!(scrub(line), Cow::Borrowed(_)));
        check("", "");
        check("schlüssel=ä", "schlüssel=ä");
    }

    #[test]
    fn a_line_is_cleaned_as_it_is_written() {
        let mut log = Clean(Vec::new());
        log.write_all(b"a tg_tenant_1\n").unwrap();
        assert_eq!(b"a [struck]\n".as_slice(), log.0);
    }
}
