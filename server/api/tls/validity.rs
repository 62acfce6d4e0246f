//! Until when a certificate is good: the one date that is read from it here.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::time::Timestamp;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The optional version, which stands first.
const VERSION: u8 = 0xa0;

/// The end of a certificate's validity; `None` where the certificate is not what X.509 says.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (outer, _) = value(certificate, SEQUENCE)?;
    let (mut fields, _) = value(outer, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = skipped(fields)?;
    }
    // Serial number, algorithm and issuer.
    for _ in 0..3 {
        fields = skipped(fields)?;
    }
    let (validity, _) = value(fields, SEQUENCE)?;
    let end = skipped(validity)?;
    match end.first()? {
        &UTC_TIME => {
            let (text, _) = value(end, UTC_TIME)?;
            // Two digits of a year are of this century up to 49 (RFC 5280).
            let century = if text.first()? < &b'5' { "20" } else { "19" };
            moment(&format!("{century}{}", std::str::from_utf8(text).ok()?))
        }
        _ => moment(std::str::from_utf8(value(end, GENERALIZED_TIME)?.0).ok()?),
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some(Timestamp::from_micros(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond()))
}

/// The content of the first value, which has this tag, and what follows it.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    if bytes.first() != Some(&tag) {
        return None;
    }
    let (length, content) = length(bytes.get(1..)?)?;
    content.split_at_checked(length)
}

fn skipped(bytes: &[u8]) -> Option<&[u8]> {
    value(bytes, *bytes.first()?).map(|(_, rest)| rest)
}

/// A length, and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let Some(digits) = first.checked_sub(0x80) else { return Some((first.into(), rest)) };
    let (digits, rest) = rest.split_at_checked(digits.into()).filter(|(digits, _)| digits.len() <= 4)?;
    let length =
        digits.iter().try_fold(0_usize, |sum, digit| sum.checked_mul(256)?.checked_add((*digit).into()))?;
    Some((length, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of which only the dates are real.
    fn certificate(version: &[u8], end: &[u8]) -> Vec<u8> {
        let sequence = |content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[SEQUENCE, 0x82, length[0], length[1]], content].concat()
        };
        let begin = [&[UTC_TIME, 13][..], b"260101000000Z"].concat();
        let validity = sequence(&[&begin[..], end].concat());
        let fields =
            [version, &[2, 1, 7], &sequence(&[6, 0]), &sequence(&[0; 300]), &validity, &[5, 0]].concat();
        sequence(&sequence(&fields))
    }

    #[track_caller]
    fn check(version: &[u8], end: &[u8], expected: Option<&str>) {
        let found = not_after(&certificate(version, end)).map(|moment| moment.to_string());
        assert_eq!(expected, found.as_deref());
    }

    #[test]
    fn the_end_is_found() {
        let version = [VERSION, 3, 2, 1, 2];
        check(&version, b"\x17\x0d270203040506Z", Some("2027-02-03T04:05:06Z"));
        check(&[], b"\x17\x0d490203040506Z", Some("2049-02-03T04:05:06Z"));
        check(&[], b"\x17\x0d500203040506Z", Some("1950-02-03T04:05:06Z"));
        check(&version, b"\x18\x0f20510203040506Z", Some("2051-02-03T04:05:06Z"));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        check(&[], b"\x17\x0d270203040506X", None);
        check(&[], b"\x16\x0d270203040506Z", None);
        check(&[], b"", None);
        let whole = certificate(&[], b"\x17\x0d270203040506Z");
        for length in 0..whole.len() - 1 {
            assert_eq!(None, not_after(&whole[..length]), "{length} bytes");
        }
        assert_eq!(None, not_after(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff, 0]));
    }
}
