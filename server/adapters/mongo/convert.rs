//! Values as MongoDB keeps them: numbers signed, keys and stamps as text in the order of what they say, bodies as bytes.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document};

use crate::ledger::stamp::{Position, Stamp};
use crate::store::StoreError;

/// The name under which every document has its key.
pub(super) const ID: &str = "_id";

/// A number without sign, in a document.
pub(super) fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|error| StoreError::corrupt("a number", error))
}

/// Bytes, in a document.
pub(super) fn bytes(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() })
}

/// A key or a hash, as digits.
pub(super) fn wide(number: u128) -> String {
    format!("{number:032x}")
}

/// A moment, as digits in the order of time.
pub(super) fn sortable(micros: i64) -> String {
    // The lowest is all zeros.
    format!("{:016x}", micros.cast_unsigned() ^ (1 << 63))
}

/// The moment of [`sortable`] digits.
pub(super) fn moment(digits: &str) -> Option<i64> {
    let number = u64::from_str_radix(digits, 16).ok()?;
    Some((number ^ (1 << 63)).cast_signed())
}

const PLACE_BITS: u32 = 26;
const BATCH_BITS: u32 = 56;
const EPOCH_BITS: u32 = 40;
const SLOT_BITS: u32 = 6;

/// A stamp as one number, in the order of stamps. An error: it is not one of ours.
pub(super) fn stamp_number(stamp: Stamp) -> Result<u128, StoreError> {
    let Stamp { position: Position { slot, epoch, batch }, place } = stamp;
    let mut number = 0;
    for (part, bits) in [
        (u64::from(slot), SLOT_BITS),
        (epoch, EPOCH_BITS),
        (batch, BATCH_BITS),
        (u64::from(place), PLACE_BITS),
    ] {
        if part >> bits != 0 {
            return Err(StoreError::corrupt(format!("the stamp {stamp:?}"), "it is beyond all bounds"));
        }
        number = (number << bits) | u128::from(part);
    }
    Ok(number)
}

/// The stamp of such a number.
pub(super) fn stamp_of(number: u128) -> Stamp {
    let part = |shift: u32, bits: u32| {
        // The mask is shorter than the type.
        u64::try_from((number >> shift) & ((1 << bits) - 1)).unwrap_or(u64::MAX)
    };
    let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Stamp {
        position: Position {
            slot: short(part(PLACE_BITS + BATCH_BITS + EPOCH_BITS, SLOT_BITS)),
            epoch: part(PLACE_BITS + BATCH_BITS, EPOCH_BITS),
            batch: part(PLACE_BITS, BATCH_BITS),
        },
        place: short(part(0, PLACE_BITS)),
    }
}

/// A document that is read; a field that is missing or of another type is an error by its name.
#[derive(Debug)]
pub(super) struct Fields(pub(super) Document);

impl Fields {
    pub(super) fn text(&self, name: &str) -> Result<&str, StoreError> {
        self.0.get_str(name).map_err(|error| unreadable(name, error))
    }

    pub(super) fn signed(&self, name: &str) -> Result<i64, StoreError> {
        self.0.get_i64(name).map_err(|error| unreadable(name, error))
    }

    pub(super) fn unsigned(&self, name: &str) -> Result<u64, StoreError> {
        u64::try_from(self.signed(name)?).map_err(|error| unreadable(name, error))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, StoreError> {
        self.0.get_bool(name).map_err(|error| unreadable(name, error))
    }

    pub(super) fn wide(&self, name: &str) -> Result<u128, StoreError> {
        u128::from_str_radix(self.text(name)?, 16).map_err(|error| unreadable(name, error))
    }

    /// Bytes, taken out.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, StoreError> {
        match self.0.remove(name) {
            Some(Bson::Binary(binary)) => Ok(binary.bytes),
            _ => Err(unreadable(name, "it is missing, or is no bytes")),
        }
    }
}

/// A field that cannot be read.
pub(super) fn unreadable(
    name: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::corrupt(format!("a document whose `{name}`"), source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(slot: u32, epoch: u64, batch: u64, place: u32) -> Stamp {
        Stamp { position: Position { slot, epoch, batch }, place }
    }

    #[test]
    fn stamps_come_back_and_keep_their_order() {
        let stamps = [
            stamp(0, 1, 1, 0),
            stamp(0, 1, 1, 9),
            stamp(0, 1, 2, 0),
            stamp(0, 2, 1, 0),
            stamp(1, 1, 1, 0),
            stamp(63, (1 << 40) - 1, (1 << 56) - 1, (1 << 26) - 1),
        ];
        let numbers: Vec<_> = stamps.iter().map(|stamp| stamp_number(*stamp).unwrap()).collect();
        assert!(numbers.is_sorted());
        for (stamp, number) in stamps.iter().zip(numbers) {
            assert_eq!(stamp_of(number), *stamp);
        }
    }

    #[test]
    fn a_stamp_that_does_not_fit_is_refused() {
        for stamp in
            [stamp(64, 1, 1, 0), stamp(0, 1 << 40, 1, 0), stamp(0, 1, 1 << 56, 0), stamp(0, 1, 1, 1 << 26)]
        {
            assert!(stamp_number(stamp).is_err(), "{stamp:?}");
        }
    }

    #[test]
    fn moments_come_back_and_keep_their_order() {
        let moments = [i64::MIN, -3_600_000_000, -1, 0, 1, 1_794_830_400_000_000, i64::MAX];
        let digits: Vec<_> = moments.iter().map(|micros| sortable(*micros)).collect();
        assert!(digits.is_sorted());
        for (micros, digits) in moments.iter().zip(digits) {
            assert_eq!(moment(&digits), Some(*micros));
        }
    }
}
