//! Messages written in one pass: what is nested is written first and its length put before it.
//!
//! prost asks each message for its length before it writes it, once for every message around it. A rollup nests five deep
//! and is written again with each round of the fold, so that cost more than all the rest of it.

use prost::encoding::{WireType, encode_key, encode_varint};

/// A message in the making.
#[derive(Debug, Default)]
pub struct Wire {
    bytes: Vec<u8>,
}

/// The longest length prefix of a nested message.
const PREFIX_BYTES_MAX: usize = 10;

impl Wire {
    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A number; zero is left out.
    pub fn number(&mut self, tag: u32, value: i64) {
        if value != 0 {
            self.set_number(tag, value);
        }
    }

    /// A number that may be zero; `None` is left out.
    pub fn optional_number(&mut self, tag: u32, value: Option<i64>) {
        if let Some(value) = value {
            self.set_number(tag, value);
        }
    }

    /// A text; an empty one is left out.
    pub fn text(&mut self, tag: u32, text: &str) {
        if !text.is_empty() {
            self.nested(tag, |wire| wire.bytes.extend_from_slice(text.as_bytes()));
        }
    }

    /// Numbers, packed; none are left out.
    pub fn packed(&mut self, tag: u32, numbers: impl ExactSizeIterator<Item = u64>) {
        if numbers.len() > 0 {
            self.nested(tag, |wire| numbers.for_each(|number| encode_varint(number, &mut wire.bytes)));
        }
    }

    /// A message in this one.
    pub fn nested(&mut self, tag: u32, write: impl FnOnce(&mut Self)) {
        encode_key(tag, WireType::LengthDelimited, &mut self.bytes);
        let start = self.bytes.len();
        // Most are short enough for a prefix of one byte; those that are not are moved.
        self.bytes.push(0);
        write(self);
        let length = self.bytes.len() - start - 1;
        if let Ok(short @ 0..128) = u8::try_from(length) {
            self.bytes[start] = short;
            return;
        }
        let mut prefix = Vec::with_capacity(PREFIX_BYTES_MAX);
        encode_varint(u64::try_from(length).unwrap_or(u64::MAX), &mut prefix);
        self.bytes.splice(start..=start, prefix);
    }

    fn set_number(&mut self, tag: u32, value: i64) {
        encode_key(tag, WireType::Varint, &mut self.bytes);
        encode_varint(value.cast_unsigned(), &mut self.bytes);
    }
}
