//! Decimal numbers as text, to millionths and back, exactly: no float is ever made of them.

/// Digits after the point that are kept.
const PLACES: i64 = 6;

/// Why a number cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecimalError {
    #[error("is not a decimal number")]
    NotANumber,
    #[error("has more than 6 digits after the point")]
    TooFine,
    #[error("is too large")]
    TooLarge,
}

/// Millionths of a number as JSON writes it: `2`, `0.5`, `1.5e3`.
pub(super) fn millionths(text: &str) -> Result<i64, DecimalError> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(DecimalError::NotANumber),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if whole.is_empty()
        || exponent_digits.is_empty()
        || ![whole, fraction, exponent_digits].into_iter().all(all_digits)
    {
        return Err(DecimalError::NotANumber);
    }

    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    // An exponent that no number has is as good as the largest one.
    let exponent =
        exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
    let cut = length(&digits).saturating_sub(length(significant));
    let shift = exponent.saturating_sub(length(fraction)).saturating_add(cut).saturating_add(PLACES);
    if shift < 0 {
        return Err(DecimalError::TooFine);
    }
    shifted(significant, shift, negative).ok_or(DecimalError::TooLarge)
}

/// The shortest text of that many millionths.
pub(super) fn text(millionths: i64) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let whole = millionths.unsigned_abs() / 1_000_000;
    let rest = millionths.unsigned_abs() % 1_000_000;
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{rest:06}").trim_end_matches('0').to_owned()
}

fn shifted(digits: &str, shift: i64, negative: bool) -> Option<i64> {
    let number: i128 = digits.parse().ok()?;
    let factor = 10_i128.checked_pow(u32::try_from(shift).ok()?)?;
    let value = number.checked_mul(factor)?;
    i64::try_from(if negative { value.checked_neg()? } else { value }).ok()
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(number: &str, expected: Result<i64, DecimalError>) {
        assert_eq!(expected, millionths(number), "{number}");
    }

    #[test]
    fn what_json_writes_is_read_exactly() {
        check("2", Ok(2_000_000));
        check("2.5", Ok(2_500_000));
        check("0.1", Ok(100_000));
        check("-0", Ok(0));
        check("-1.5", Ok(-1_500_000));
        check("0.000001", Ok(1));
        check("0.0000010000", Ok(1));
        check("1.5e3", Ok(1_500_000_000));
        check("1E-6", Ok(1));
        check("1000000e-12", Ok(1));
        check("9000000000", Ok(9_000_000_000_000_000));
        check("9223372036854.775807", Ok(i64::MAX));
        check("-9223372036854.775808", Ok(i64::MIN));
        check("0e999999999999999999999", Ok(0));
    }

    #[test]
    fn what_cannot_be_kept_exactly_is_refused() {
        check("0.0000001", Err(DecimalError::TooFine));
        check("1.0000001", Err(DecimalError::TooFine));
        check("1e-7", Err(DecimalError::TooFine));
        check("1e-99999999999999999999999", Err(DecimalError::TooFine));
        check("9223372036854.775808", Err(DecimalError::TooLarge));
        check("1e400", Err(DecimalError::TooLarge));
        check("1e99999999999999999999999", Err(DecimalError::TooLarge));
        check(&"9".repeat(10_000), Err(DecimalError::TooLarge));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for wrong in [
            "", "-", ".", "1.", ".5", "+1", "0x1", " 1", "1 ", "1_0", "NaN", "Infinity", "1e", "1e+", "--1",
            "1.2.3", "1e2e3", "١",
        ] {
            check(wrong, Err(DecimalError::NotANumber));
        }
    }

    #[test]
    fn text_is_the_shortest() {
        for (millionths, expected) in
            [(0, "0"), (1, "0.000001"), (2_500_000, "2.5"), (-100_000, "-0.1"), (3_000_000, "3")]
        {
            assert_eq!(expected, text(millionths));
        }
    }

    proptest! {
        #[test]
        fn text_reads_back_as_itself(number: i64) {
            prop_assert_eq!(Ok(number), millionths(&text(number)));
        }

        #[test]
        fn what_is_read_at_all_is_read_exactly(number in "[-+]?[0-9.eE+-]{0,40}") {
            if let Ok(read) = millionths(&number) {
                prop_assert_eq!(Ok(read), millionths(&text(read)));
            }
        }
    }
}
