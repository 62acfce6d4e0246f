//! What scripts are asked and answer: the few forms of `MessagePack` that they use.

use crate::time::Timestamp;

/// The largest number that a script's double tells from its neighbours. Nothing that is counted is above it; what is, is a
/// bound that nothing reaches, and is asked about as this.
const NUMBER_MAX: i64 = (1 << 53) - 1;

/// Writes what a script is asked.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A writer with room for a usual demand.
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(256))
    }

    pub(super) fn list(&mut self, length: usize) -> &mut Self {
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..16), _) => self.0.push(0x90 | short),
            (_, Ok(long)) => self.tagged(0xdc, &long.to_be_bytes()),
            _ => self.tagged(0xdd, &u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()),
        }
        self
    }

    pub(super) fn whole(&mut self, number: i64) -> &mut Self {
        let number = number.clamp(-NUMBER_MAX, NUMBER_MAX);
        match u32::try_from(number) {
            Ok(short @ 0..128) => self.0.push(short.to_le_bytes()[0]),
            Ok(long) => self.tagged(0xce, &long.to_be_bytes()),
            Err(_) => self.tagged(0xd3, &number.to_be_bytes()),
        }
        self
    }

    pub(super) fn count(&mut self, number: u64) -> &mut Self {
        self.whole(i64::try_from(number).unwrap_or(NUMBER_MAX))
    }

    pub(super) fn moment(&mut self, moment: Timestamp) -> &mut Self {
        self.whole(moment.micros())
    }

    pub(super) fn maybe(&mut self, number: Option<i64>) -> &mut Self {
        match number {
            Some(number) => self.whole(number),
            None => self.none(),
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
            (Ok(short @ 0..32), _) => self.0.push(0xa0 | short),
            (_, Ok(long)) => self.tagged(0xda, &long.to_be_bytes()),
            _ => self.tagged(0xdb, &u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()),
        }
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.push(0xc2 | u8::from(flag));
        self
    }

    /// Nothing, which scripts write as `false`.
    pub(super) fn none(&mut self) -> &mut Self {
        self.flag(false)
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.0.extend_from_slice(bytes);
    }
}

/// Something that should be there is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut;

/// Reads what a script answered, in order. `None`: it is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are left to be read.
    pub(super) const fn left(&self) -> usize {
        self.0.len()
    }

    /// The length of a list, whose elements follow.
    pub(super) fn list(&mut self) -> Option<usize> {
        match self.byte()? {
            // A script cannot tell an empty list from an empty map.
            0x80 => Some(0),
            tag @ 0x90..=0x9f => Some(usize::from(tag & 0x0f)),
            0xdc => self.long().map(usize::from),
            0xdd => usize::try_from(self.longer()?).ok(),
            _ => None,
        }
    }

    pub(super) fn whole(&mut self) -> Option<i64> {
        match self.byte()? {
            tag @ 0..=0x7f => Some(i64::from(tag)),
            tag @ 0xe0..=0xff => Some(i64::from(tag.cast_signed())),
            0xcc => self.byte().map(i64::from),
            0xcd => self.long().map(i64::from),
            0xce => self.longer().map(i64::from),
            0xcf | 0xd3 => Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?)),
            0xd0 => self.byte().map(|byte| i64::from(byte.cast_signed())),
            0xd1 => self.long().map(|long| i64::from(long.cast_signed())),
            0xd2 => self.longer().map(|longer| i64::from(longer.cast_signed())),
            _ => None,
        }
    }

    pub(super) fn count(&mut self) -> Option<u64> {
        u64::try_from(self.whole()?).ok()
    }

    pub(super) fn moment(&mut self) -> Option<Timestamp> {
        self.whole().map(Timestamp::from_micros)
    }

    /// Whether something follows, or `false` in its place.
    pub(super) fn follows(&mut self) -> Option<bool> {
        let is_there = *self.0.first()? != 0xc2;
        if !is_there {
            self.byte()?;
        }
        Some(is_there)
    }

    /// A number, or `false` in its place.
    pub(super) fn maybe(&mut self) -> Result<Option<i64>, Cut> {
        if self.follows().ok_or(Cut)? { self.whole().ok_or(Cut).map(Some) } else { Ok(None) }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0xc2 => Some(false),
            0xc3 => Some(true),
            _ => None,
        }
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            tag @ 0xa0..=0xbf => usize::from(tag & 0x1f),
            0xd9 | 0xc4 => usize::from(self.byte()?),
            0xda | 0xc5 => usize::from(self.long()?),
            0xdb | 0xc6 => usize::try_from(self.longer()?).ok()?,
            _ => return None,
        };
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn long(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn longer(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for number in
            [0, 1, 127, 128, 255, 65_535, 65_536, u32::MAX.into(), NUMBER_MAX, -1, -129, -NUMBER_MAX]
        {
            let bytes = Writer::new().whole(number).take();
            assert_eq!(Reader::new(&bytes).whole(), Some(number));
        }
        assert_eq!(Reader::new(&Writer::new().whole(i64::MAX).take()).whole(), Some(NUMBER_MAX));
    }

    #[test]
    fn the_short_forms_that_scripts_write_are_read() {
        for (bytes, number) in [
            (&[0xff_u8][..], -1),
            (&[0xcc, 200], 200),
            (&[0xcd, 1, 0], 256),
            (&[0xd0, 0x80], -128),
            (&[0xd1, 0xff, 0], -256),
            (&[0xd2, 0xff, 0xff, 0, 0], -65_536),
        ] {
            assert_eq!(Reader::new(bytes).whole(), Some(number));
        }
    }

    #[test]
    fn texts_and_lists_of_every_length_are_read_as_they_were_written() {
        for length in [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let text = "x".repeat(length);
            let bytes = Writer::new().list(length).text(&text).none().flag(true).take();
            let mut reader = Reader::new(&bytes);
            assert_eq!((reader.list(), reader.text()), (Some(length), Some(&*text)));
            assert_eq!((reader.follows(), reader.flag(), reader.flag()), (Some(false), Some(true), None));
        }
    }

    #[test]
    fn what_is_cut_off_is_not_there() {
        let bytes = Writer::new().text("whole").take();
        assert_eq!(Reader::new(&bytes[..3]).text(), None);
        assert_eq!(Reader::new(&[]).whole(), None);
    }
}
