//! Tokens of pages: where a list goes on, good only for the list that made them.

use secrecy::SecretBox;

use crate::fault::{Fault, Invalid, Reason};
use crate::secrets::seal::{Digest, Seal, equal, from_hex, to_hex};
use crate::store::records::Place;

const SIZE_DEFAULT: usize = 100;
const SIZE_MAX: usize = 1_000;
/// Half a digest is more than anybody can guess.
const CHECK_BYTES: usize = 16;

/// Makes tokens, and reads its own.
#[derive(Clone, Debug)]
pub struct Pages {
    seal: Seal,
}

/// A list that has pages.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// The method that lists.
    pub method: &'static str,
    /// The tenant whose list it is; may be empty.
    pub tenant: &'a str,
    /// What else the list is of, in any stable form.
    pub filter: &'a [u8],
}

/// A token is none of ours, or belongs to another tenant or filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("page_token is not one of this list's")]
pub struct PageTokenInvalid;

impl Fault for PageTokenInvalid {
    fn reason(&self) -> Reason {
        Reason::PageTokenInvalid
    }
}

impl Pages {
    /// Tokens of an installation.
    #[must_use]
    pub fn new(secret: &SecretBox<[u8; 32]>) -> Self {
        Self { seal: Seal::new(secret, "page") }
    }

    /// The token that opens the page after `position`.
    #[must_use]
    pub fn seal(&self, list: List<'_>, position: &[u8]) -> String {
        let digest = self.digest(list, position);
        let (check, _) = digest.split_at(CHECK_BYTES);
        to_hex(&[check, position].concat())
    }

    /// The position that a token was made of; `None`: it is empty, which opens the first page.
    pub fn open(&self, list: List<'_>, token: &str) -> Result<Option<Vec<u8>>, PageTokenInvalid> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = from_hex(token).ok_or(PageTokenInvalid)?;
        let (check, position) = bytes.split_at_checked(CHECK_BYTES).ok_or(PageTokenInvalid)?;
        let digest = self.digest(list, position);
        let (expected, _) = digest.split_at(CHECK_BYTES);
        if equal(check, expected) { Ok(Some(position.to_vec())) } else { Err(PageTokenInvalid) }
    }

    /// The token of the page after a place in a range index; empty: there is none.
    #[must_use]
    pub fn seal_place(&self, list: List<'_>, next: Option<&Place>) -> String {
        next.map(|place| self.seal(list, format!("{}\0{}", place.value, place.id).as_bytes()))
            .unwrap_or_default()
    }

    /// The place that a token of [`Pages::seal_place`] was made of.
    pub fn open_place(&self, list: List<'_>, token: &str) -> Result<Option<Place>, PageTokenInvalid> {
        let Some(position) = self.open(list, token)? else { return Ok(None) };
        let text = String::from_utf8(position).map_err(|_| PageTokenInvalid)?;
        let (value, id) = text.split_once('\0').ok_or(PageTokenInvalid)?;
        Ok(Some(Place { value: value.to_owned(), id: id.to_owned() }))
    }

    fn digest(&self, list: List<'_>, position: &[u8]) -> Digest {
        let length = |part: &[u8]| part.len().to_le_bytes();
        let (method, tenant) = (list.method.as_bytes(), list.tenant.as_bytes());
        // With their lengths, no two lists of parts are alike.
        let lengths = [length(method), length(tenant), length(list.filter)].concat();
        self.seal.digest(&[&lengths, method, tenant, list.filter, position])
    }
}

/// How many entries a page shall have.
pub fn page_size(size: i32) -> Result<usize, Invalid> {
    match usize::try_from(size) {
        Ok(0) => Ok(SIZE_DEFAULT),
        Ok(size) if size <= SIZE_MAX => Ok(size),
        _ => Err(Invalid::field("page_size", format!("{size} is not 0 to {SIZE_MAX}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List<'_> = List { method: "ListEvents", tenant: "acme", filter: b"day" };

    fn pages(secret: u8) -> Pages {
        Pages::new(&SecretBox::new(Box::new([secret; 32])))
    }

    #[test]
    fn token_opens_the_list_that_made_it_and_no_other() {
        let place = Place { value: String::from("0017"), id: String::from("key_1") };
        let token = pages(1).seal_place(LIST, Some(&place));
        assert_eq!(pages(1).open_place(LIST, &token), Ok(Some(place)));
        assert_eq!(pages(1).seal_place(LIST, None), "");
        assert_eq!(pages(1).open(LIST, ""), Ok(None));
        for (pages, list) in [
            (pages(2), LIST),
            (pages(1), List { method: "ListApiKeys", ..LIST }),
            (pages(1), List { method: "ListEvens!", ..LIST }),
            (pages(1), List { tenant: "acne", ..LIST }),
            (pages(1), List { filter: b"dax", ..LIST }),
            (pages(1), List { filter: b"month", ..LIST }),
            (pages(1), List { tenant: "acmed", filter: b"ay", ..LIST }),
        ] {
            assert_eq!(pages.open(list, &token), Err(PageTokenInvalid), "{list:?}");
        }
    }

    #[test]
    fn any_changed_digit_makes_a_token_invalid() {
        let token = pages(1).seal(LIST, b"position");
        for place in 0..token.len() {
            let digit = |(at, digit): (usize, char)| match (at == place, digit) {
                (true, '0') => '1',
                (true, _) => '0',
                (false, digit) => digit,
            };
            let changed: String = token.char_indices().map(digit).collect();
            assert_eq!(pages(1).open(LIST, &changed), Err(PageTokenInvalid));
        }
        for wrong in ["abc", "é", "00"] {
            assert_eq!(pages(1).open(LIST, wrong), Err(PageTokenInvalid), "`{wrong}`");
        }
    }

    #[test]
    fn size_of_a_page_is_bounded() {
        assert_eq!((page_size(0), page_size(1), page_size(1_000)), (Ok(100), Ok(1), Ok(1_000)));
        assert!(page_size(-1).is_err() && page_size(1_001).is_err());
    }
}
