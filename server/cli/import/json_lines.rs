//! A file with a JSON object in each line.

use serde_json::Value;
use tollgate_client::v1::UsageEvent;

use crate::cli::import::mapping::{Mapping, fill};

/// The event of a line, or what is wrong with it.
pub(super) fn event(line: &str, mapping: &Mapping) -> Result<UsageEvent, String> {
    let object: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if !object.is_object() {
        return Err(String::from("the line is no JSON object"));
    }
    let mut event = UsageEvent::default();
    for (field, name, _) in mapping.columns() {
        let text = match find(&object, name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(_) | Value::Object(_)) => {
                return Err(format!("{name}: is neither text nor number"));
            }
            Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        };
        fill(&mut event, field, &text).map_err(|wrong| format!("{name}: {wrong}"))?;
    }
    mapping.add_constants(&mut event)?;
    Ok(event)
}

/// The member called `name`, or else the one that its points lead to: `usage.input` in `{"usage": {"input": 1}}`.
fn find<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| name.split('.').try_fold(object, |value, part| value.get(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<UsageEvent, String> {
        let map = ["input_tokens=usage.input".parse()?, "time=at".parse()?];
        event(line, &Mapping::new(&map, &["endpoint=/v1/chat".parse()?])?)
    }

    #[track_caller]
    fn refused(line: &str, expected: &str) {
        let reason = parsed(line).unwrap_err();
        assert!(reason.contains(expected), "`{reason}` does not say `{expected}`");
    }

    #[test]
    fn members_fill_fields() {
        let line = r#"{"at": 1700158546680, "service": "llm", "usage": {"input": 3}, "model": null, "premium": true}"#;
        let event = parsed(line).unwrap();
        assert_eq!(("llm", "/v1/chat", true), (&*event.service, &*event.endpoint, event.premium));
        assert_eq!(Some(3), event.tokens.map(|tokens| tokens.input));
        assert_eq!(Some(680_000_000), event.occurred_at.map(|moment| moment.nanos));
    }

    #[test]
    fn a_broken_line_says_where_it_breaks() {
        refused("{", "EOF");
        refused("[]", "no JSON object");
        refused(r#"{"usage": {"input": "x"}}"#, "usage.input: `x`");
        refused(r#"{"usage": {"input": []}}"#, "neither text nor number");
    }
}
