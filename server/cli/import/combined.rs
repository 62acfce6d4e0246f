//! A line of a web server's access log: `client identity user [time] "request" status bytes "referrer" "agent"`.

use tollgate_client::v1::{Consumer, ConsumerKind, UsageEvent};

use crate::cli::import::mapping::Mapping;
use crate::cli::import::moment;

/// What the calls count under unless `--set service=…` says otherwise.
const SERVICE: &str = "web";
/// The bounds of the contract, in bytes. Longer texts are cut: a strange path is no reason to lose a call.
const ENDPOINT_MAX: usize = 1_024;
const METADATA_MAX: usize = 1_024;
const METHOD_MAX: usize = 32;

/// The event of a line, or what is wrong with it.
pub(super) fn event(line: &str, mapping: &Mapping) -> Result<UsageEvent, String> {
    let mut rest = Rest(line);
    let client = rest.word().ok_or("there is no client")?;
    let _identity = rest.word().ok_or("there is no identity")?;
    let user = rest.word().ok_or("there is no user")?;
    let time = rest.between('[', ']').ok_or("there is no [time]")?;
    let request = rest.quoted().ok_or("there is no \"request\"")?;
    let status = rest.word().ok_or("there is no status")?;
    let bytes = rest.word().ok_or("there is no size")?;
    // The common format ends here.
    let referrer = rest.quoted().unwrap_or_default();
    let agent = rest.quoted().unwrap_or_default();

    let mut event = UsageEvent { service: String::from(SERVICE), ..UsageEvent::default() };
    event.occurred_at = Some(moment::parse_combined(time).ok_or_else(|| format!("`{time}` is no time"))?);
    event.status_code = status.parse().map_err(|_| format!("`{status}` is no status"))?;
    if bytes != "-" {
        let bytes = bytes.parse().map_err(|_| format!("`{bytes}` is no size"))?;
        event.quantities.insert(String::from("bytes"), bytes);
    }
    event.consumers.push(Consumer { kind: ConsumerKind::User.into(), id: client.to_owned() });
    let request = Request::of(&request);
    event.method = cut(request.method, METHOD_MAX).to_owned();
    event.endpoint = cut(request.path, ENDPOINT_MAX).to_owned();
    let notes = [("referrer", &*referrer), ("user_agent", &*agent), ("query", request.query), ("user", user)];
    for (name, value) in notes.into_iter().filter(|(_, value)| !matches!(*value, "" | "-")) {
        event.metadata.insert(name.to_owned(), cut(value, METADATA_MAX).to_owned());
    }
    mapping.add_constants(&mut event)?;
    Ok(event)
}

/// What a client asked for.
#[derive(Debug)]
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Request<'a> {
    /// The parts of `GET /path?query HTTP/1.1`. What is no request, as when somebody speaks TLS to a plain port, was a
    /// call all the same, and is its own path.
    fn of(text: &'a str) -> Self {
        let parts = text.split_once(' ').and_then(|(method, rest)| {
            let (target, protocol) = rest.rsplit_once(' ')?;
            protocol.starts_with("HTTP/").then_some((method, target.trim()))
        });
        let Some((method, target)) = parts.filter(|(_, target)| !target.is_empty()) else {
            return Self { method: "", path: if text.is_empty() { "-" } else { text }, query: "" };
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { method, path, query }
    }
}

/// At most `bytes_max` bytes of a text, at the end of a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// What is not read yet of a line.
#[derive(Debug)]
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn word(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        self.0 = rest;
        Some(word).filter(|word| !word.is_empty())
    }

    fn between(&mut self, open: char, close: char) -> Option<&'a str> {
        let (inside, rest) = self.0.trim_start().strip_prefix(open)?.split_once(close)?;
        self.0 = rest;
        Some(inside)
    }

    /// A quoted text; a backslash takes the meaning from the quote or backslash after it.
    fn quoted(&mut self) -> Option<String> {
        let text = self.0.trim_start().strip_prefix('"')?;
        let mut inside = String::new();
        let mut letters = text.char_indices();
        while let Some((place, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.0 = text.get(place + 1..)?;
                    return Some(inside);
                }
                '\\' => match letters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => inside.push(escaped),
                    Some((_, other)) => inside.extend(['\\', other]),
                    None => return None,
                },
                _ => inside.push(letter),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(request: &str, end: &str) -> Result<UsageEvent, String> {
        let line = format!("10.0.0.1 - - [17/May/2015:10:05:03 +0000] \"{request}\" {end}");
        event(&line, &Mapping::new(&[], &[])?)
    }

    #[track_caller]
    fn check_request(request: &str, method: &str, endpoint: &str) {
        let event = parsed(request, "200 1 \"-\" \"-\"").unwrap();
        assert_eq!((method, endpoint), (event.method.as_str(), event.endpoint.as_str()), "{request}");
    }

    #[track_caller]
    fn refused(line: &str, expected: &str) {
        let reason = event(line, &Mapping::new(&[], &[]).unwrap()).unwrap_err();
        assert!(reason.contains(expected), "`{reason}` does not say `{expected}`");
    }

    #[test]
    fn a_line_becomes_an_event() {
        let event = parsed("GET /a/b?c=d HTTP/1.1", r#"404 324 "http://x/" "Bot \"one\" 1.0""#).unwrap();
        assert_eq!(
            ("web", "GET", "/a/b", 404),
            (&*event.service, &*event.method, &*event.endpoint, event.status_code)
        );
        assert_eq!(Some(1_431_857_103), event.occurred_at.map(|moment| moment.seconds));
        assert_eq!(Some(&324), event.quantities.get("bytes"));
        assert_eq!("10.0.0.1", event.consumers[0].id);
        let metadata: Vec<_> = event.metadata.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(
            vec![("query", "c=d"), ("referrer", "http://x/"), ("user_agent", "Bot \"one\" 1.0")],
            metadata
        );
    }

    #[test]
    fn a_size_of_dash_is_no_quantity() {
        assert!(parsed("GET / HTTP/1.1", "304 - \"-\" \"-\"").unwrap().quantities.is_empty());
    }

    #[test]
    fn common_format_has_neither_referrer_nor_agent() {
        assert!(parsed("GET / HTTP/1.1", "200 5").unwrap().metadata.is_empty());
    }

    #[test]
    fn what_is_no_request_was_a_call_all_the_same() {
        check_request("GET /a HTTP/1.1", "GET", "/a");
        check_request("GET /a b HTTP/1.0", "GET", "/a b");
        check_request("-", "", "-");
        check_request("", "", "-");
        check_request(r"\x16\x03\x01", "", r"\x16\x03\x01");
        check_request("GET /a", "", "GET /a");
    }

    #[test]
    fn texts_are_cut_at_the_end_of_a_character() {
        let event = parsed(&format!("GET /{} HTTP/1.1", "é".repeat(600)), "200 5").unwrap();
        assert_eq!(1_023, event.endpoint.len());
    }

    #[test]
    fn what_was_set_wins() {
        let set = ["service=site".parse().unwrap(), "region=eu".parse().unwrap()];
        let line = r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#;
        let event = event(line, &Mapping::new(&[], &set).unwrap()).unwrap();
        assert_eq!(("site", "eu"), (&*event.service, &*event.region));
    }

    #[test]
    fn a_broken_line_says_where_it_breaks() {
        refused("", "no client");
        refused("h - -", "no [time]");
        refused("h - - [noon] \"GET / HTTP/1.1\" 200 5", "`noon` is no time");
        refused("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1 200 5", "no \"request\"");
        refused("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" fine 5", "`fine` is no status");
        refused("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200", "no size");
        refused("h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 big", "`big` is no size");
    }
}
