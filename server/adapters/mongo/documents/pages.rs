//! Pages of a range index: which documents stand in it, in the order of the index and with the help of the index.

use mongodb::bson::{Document as Kept, doc};

use crate::adapters::mongo::convert::ID;
use crate::adapters::mongo::documents::indexes::range_field;
use crate::store::{Order, Search};

/// The documents of a page. Text is in the order of its bytes.
pub(super) fn filter(search: &Search<'_>) -> Kept {
    let field = range_field(search.index);
    let mut bounds = doc! { "$gte": search.prefix };
    if let Some(end) = after_prefix(search.prefix) {
        bounds.insert("$lt", end);
    }
    let Some((value, id)) = search.after else { return doc! { field: bounds } };
    let beyond = match search.order {
        Order::Ascending => "$gt",
        Order::Descending => "$lt",
    };
    // Each branch is one stretch of the index.
    let same_value = doc! { "$and": [{ &field: bounds.clone() }, { &field: value, ID: { beyond: id } }] };
    let other_value = doc! { "$and": [{ &field: bounds }, { &field: { beyond: value } }] };
    doc! { "$or": [same_value, other_value] }
}

/// The order of a page.
pub(super) fn sort(search: &Search<'_>) -> Kept {
    let direction = match search.order {
        Order::Ascending => 1,
        Order::Descending => -1,
    };
    doc! { range_field(search.index): direction, ID: direction }
}

/// The first text after all that start with `prefix`; `None`: none is.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut text: Vec<char> = prefix.chars().collect();
    while let Some(last) = text.pop() {
        // The order of bytes is that of the letters' numbers; between 0xd7ff and 0xe000 there are none.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            text.push(next);
            return Some(text.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_text_after_a_prefix_is_above_all_that_start_with_it() {
        for (prefix, expected) in [
            ("", None),
            ("a", Some("b")),
            ("1/", Some("10")),
            ("é", Some("ê")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), expected, "{prefix}");
            if let Some(after) = after_prefix(prefix) {
                assert!(*after > *format!("{prefix}\u{10ffff}"), "{prefix}");
            }
        }
    }
}
