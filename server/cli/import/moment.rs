//! The ways in which files write a moment.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use prost_types::Timestamp;

use crate::cli::import::mapping::decimal;

/// How access logs write it: `17/May/2015:10:05:03 +0000`.
const COMBINED: &str = "%d/%b/%Y:%H:%M:%S %z";

/// Epoch times are told apart by their size: below this they are seconds, until the year 5138.
const SECONDS_END: i64 = 100_000_000_000;
const MILLISECONDS_END: i64 = SECONDS_END * 1_000;
const MICROSECONDS_END: i64 = MILLISECONDS_END * 1_000;

/// A moment as RFC 3339, as date and time in UTC, or as seconds, milliseconds, microseconds or nanoseconds since 1970.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return epoch(text);
    }
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.parse::<DateTime>().ok()?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    protobuf(moment)
}

/// A moment as an access log writes it.
pub(super) fn parse_combined(text: &str) -> Option<Timestamp> {
    protobuf(jiff::Timestamp::strptime(COMBINED, text).ok()?)
}

fn epoch(text: &str) -> Option<Timestamp> {
    let whole = decimal(text, 0)?;
    let digits = match whole {
        ..SECONDS_END => 9,
        SECONDS_END..MILLISECONDS_END => 6,
        MILLISECONDS_END..MICROSECONDS_END => 3,
        MICROSECONDS_END.. => 0,
    };
    protobuf(jiff::Timestamp::from_nanosecond(decimal(text, digits)?.into()).ok()?)
}

fn protobuf(moment: jiff::Timestamp) -> Option<Timestamp> {
    let nanoseconds = moment.as_nanosecond();
    Some(Timestamp {
        seconds: i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?,
        nanos: i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(i64, i32)>) {
        let moment = parse(text).map(|moment| (moment.seconds, moment.nanos));
        assert_eq!(expected, moment, "{text}");
    }

    #[test]
    fn every_way_to_write_a_moment_is_read() {
        check("2023-11-16 18:15:46.6805900", Some((1_700_158_546, 680_590_000)));
        check("2023-11-16T18:15:46", Some((1_700_158_546, 0)));
        check("2023-11-16T18:15:46.5Z", Some((1_700_158_546, 500_000_000)));
        check("2023-11-16T20:15:46+02:00", Some((1_700_158_546, 0)));
        check("1700158546", Some((1_700_158_546, 0)));
        check("1700158546.68", Some((1_700_158_546, 680_000_000)));
        check("1700158546680", Some((1_700_158_546, 680_000_000)));
        check("1700158546680590", Some((1_700_158_546, 680_590_000)));
        check("1700158546680590123", Some((1_700_158_546, 680_590_123)));
        check("1969-12-31T23:59:59.5Z", Some((-1, 500_000_000)));
    }

    #[test]
    fn what_is_no_moment_is_not_guessed() {
        for text in
            ["", ".", "1.2.3", "yesterday", "2023-13-01 00:00:00", "99999999999999999999", "16/11/2023"]
        {
            check(text, None);
        }
    }

    #[test]
    fn access_logs_name_their_months() {
        let moment = parse_combined("17/May/2015:12:05:03 +0200").map(|moment| moment.seconds);
        assert_eq!(Some(1_431_857_103), moment);
        assert_eq!(None, parse_combined("17/Mai/2015:12:05:03 +0200"));
    }
}
