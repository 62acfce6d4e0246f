//! Moments, between the contract's timestamps and ours.

use prost_types::Timestamp as Message;

use crate::fault::Invalid;
use crate::time::{SECOND, Timestamp};

const NANOS_IN_MICRO: i64 = 1_000;
/// The first second of year 1, and the last of year 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A moment as a message.
pub(in crate::api) fn to_message(moment: Timestamp) -> Message {
    let nanos = moment.micros().rem_euclid(SECOND).saturating_mul(NANOS_IN_MICRO);
    Message { seconds: moment.seconds(), nanos: i32::try_from(nanos).unwrap_or_default() }
}

/// The moment of a message in that field. What is finer than a microsecond is dropped.
pub(in crate::api) fn from_message(field: &str, message: Message) -> Result<Timestamp, Invalid> {
    let nanos = i64::from(message.nanos);
    if !SECONDS.contains(&message.seconds) || !(0..SECOND * NANOS_IN_MICRO).contains(&nanos) {
        return Err(Invalid::field(field, "is not a moment from year 1 to year 9999"));
    }
    let seconds = Timestamp::from_micros(message.seconds.saturating_mul(SECOND));
    Ok(seconds.plus(nanos / NANOS_IN_MICRO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_same_on_both_sides() {
        for micros in [0, 1, -1, 1_773_964_800_123_456, -62_135_596_800_000_000] {
            let moment = Timestamp::from_micros(micros);
            assert_eq!(from_message("at", to_message(moment)), Ok(moment), "{micros}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for (seconds, nanos) in
            [(i64::MAX, 0), (i64::MIN, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000)]
        {
            assert_eq!(from_message("at", Message { seconds, nanos }).unwrap_err().0[0].field, "at");
        }
    }
}
