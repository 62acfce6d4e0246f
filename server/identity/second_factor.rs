//! Second factors: codes that change with time (RFC 6238), none of them good twice, and recovery codes that are good once.

use std::fmt;

use data_encoding::{BASE32, BASE32_NOPAD};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use totp_rs::{Algorithm, Builder, Secret, Totp, TotpError};

use crate::identity::user::SecondFactor;
use crate::mail::address::Address;
use crate::secrets::seal::{Seal, equal, to_hex};
use crate::secrets::vault::Vault;
use crate::time::Timestamp;

/// Bytes of a shared secret: as many as SHA-1 leaves (RFC 4226, 4).
const SECRET_BYTES: usize = 20;
/// Digits of a code.
const DIGITS: u8 = 6;
/// Seconds for which a code stands.
const STEP_SECONDS: u64 = 30;
/// Steps before and after the present one whose codes are good too, because clocks differ.
const SKEW_STEPS: u16 = 1;
/// Recovery codes that a person gets.
const RECOVERY_CODES: usize = 10;
/// Bytes of one: 16 letters.
const RECOVERY_BYTES: usize = 10;
/// Whose codes they are, as apps show it.
const ISSUER: &str = "Tollgate";

/// Makes second factors, and knows their codes.
pub struct SecondFactors {
    vault: Vault,
    seal: Seal,
}

/// What a person needs to set up a second factor, shown once.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The shared secret in base 32, as apps take it.
    pub secret: SecretString,
    /// The same as an `otpauth://` URI, as apps scan it.
    pub uri: SecretString,
}

impl SecondFactors {
    /// The second factors of an installation.
    #[must_use]
    pub fn new(secret: &SecretBox<[u8; 32]>) -> Self {
        Self { vault: Vault::new(secret, "second factor"), seal: Seal::new(secret, "recovery code") }
    }

    /// A new second factor, that is not confirmed.
    #[must_use]
    pub fn fresh(&self, address: &Address) -> (SecondFactor, Setup) {
        let secret: [u8; SECRET_BYTES] = rand::random();
        let sealed = self.vault.seal(&secret);
        let text = BASE32_NOPAD.encode(&secret);
        let uri = format!(
            "otpauth://totp/{ISSUER}:{}?secret={text}&issuer={ISSUER}&digits={DIGITS}&period={STEP_SECONDS}",
            percent_encoded(address.as_str())
        );
        let setup = Setup { secret: SecretString::from(text), uri: SecretString::from(uri) };
        (SecondFactor { sealed, confirmed_at: None, used_step: 0, recovery: Vec::new() }, setup)
    }

    /// New recovery codes, and what is kept of them.
    #[must_use]
    pub fn recovery(&self) -> (Vec<SecretString>, Vec<String>) {
        let codes = (0..RECOVERY_CODES).map(|_| BASE32.encode(&rand::random::<[u8; RECOVERY_BYTES]>()));
        let (shown, kept) = codes.map(|code| (SecretString::from(parted(&code)), self.digest(&code))).unzip();
        (shown, kept)
    }

    /// Uses up a code of a second factor, one that changes with time or a recovery code; `false`: it is not good, and nothing
    /// was changed. The factor is to be kept, at the revision that it was read at, before the code counts.
    #[must_use]
    pub fn spend(&self, factor: &mut SecondFactor, code: &str, now: Timestamp) -> bool {
        let code: String = code.chars().filter(|letter| !letter.is_whitespace() && *letter != '-').collect();
        if code.len() == usize::from(DIGITS) {
            return self.spend_step(factor, &code, now);
        }
        let digest = self.digest(&code.to_ascii_uppercase());
        let before = factor.recovery.len();
        factor.recovery.retain(|kept| !equal(kept.as_bytes(), digest.as_bytes()));
        factor.recovery.len() < before
    }

    fn spend_step(&self, factor: &mut SecondFactor, code: &str, now: Timestamp) -> bool {
        let Some(secret) = self.vault.open(&factor.sealed) else { return false };
        let Ok(totp) = totp(secret.expose_secret()) else { return false };
        let seconds = u64::try_from(now.seconds()).unwrap_or_default();
        match totp.check(code, seconds).filter(|step| *step > factor.used_step) {
            Some(step) => {
                factor.used_step = step;
                true
            }
            None => false,
        }
    }

    fn digest(&self, code: &str) -> String {
        to_hex(&self.seal.digest(&[code.as_bytes()]))
    }
}

impl fmt::Debug for SecondFactors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecondFactors").finish_non_exhaustive()
    }
}

fn totp(secret: &[u8]) -> Result<Totp, TotpError> {
    let builder = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(DIGITS).with_skew(SKEW_STEPS);
    builder.with_step_duration(STEP_SECONDS).with_secret(Secret::new(secret.into())).build()
}

/// A recovery code in groups that people can copy: `ABCD-EFGH-IJKL-MNOP`.
fn parted(code: &str) -> String {
    let mut text = String::with_capacity(code.len() + code.len() / 4);
    for (place, letter) in code.chars().enumerate() {
        if place > 0 && place % 4 == 0 {
            text.push('-');
        }
        text.push(letter);
    }
    text
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&to_hex(&[byte]).to_ascii_uppercase());
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    /// The secret of RFC 6238, appendix B.
    const RFC_SECRET: &[u8] = b"12345678901234567890";

    fn factors() -> SecondFactors {
        SecondFactors::new(&SecretBox::new(Box::new([7; 32])))
    }

    fn factor(factors: &SecondFactors) -> SecondFactor {
        let sealed = factors.vault.seal(RFC_SECRET);
        SecondFactor { sealed, confirmed_at: None, used_step: 0, recovery: Vec::new() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND)
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // Of the eight digits in the table there, an app of six shows the last six.
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            let factors = factors();
            let mut factor = factor(&factors);
            assert!(factors.spend(&mut factor, code, at(seconds)), "{code}");
            assert!(!factors.spend(&mut factor, code, at(seconds)), "{code} is good once");
        }
    }

    #[test]
    fn code_is_good_for_a_step_before_and_after_and_an_older_one_never_again() {
        let (factors, now) = (factors(), 1_111_111_109);
        let check = |seconds: i64, expected: bool| {
            let mut factor = factor(&factors);
            assert_eq!(factors.spend(&mut factor, "081804", at(seconds)), expected, "at {}", seconds - now);
        };
        for (seconds, is_good) in [(-60, false), (-30, true), (0, true), (30, true), (61, false)] {
            check(now + seconds, is_good);
        }
        let mut factor = factor(&factors);
        let totp = totp(RFC_SECRET).unwrap();
        let later = totp.generate(1_111_111_139).to_string();
        assert!(factors.spend(&mut factor, &later, at(now + 30)));
        assert!(!factors.spend(&mut factor, "081804", at(now + 30)), "its step is over");
    }

    #[test]
    fn recovery_code_is_good_once_however_it_is_written() {
        let factors = factors();
        let mut factor = factor(&factors);
        let (shown, kept) = factors.recovery();
        factor.recovery = kept;
        assert_eq!((shown.len(), factor.recovery.len()), (10, 10));
        let code = shown[3].expose_secret();
        assert!(!format!("{factor:?}").contains(code) && !factor.recovery.contains(&code.to_owned()));
        assert!(factors.spend(&mut factor, &code.to_lowercase().replace('-', " "), at(0)));
        assert!(!factors.spend(&mut factor, code, at(0)));
        assert_eq!(factor.recovery.len(), 9);
        for wrong in ["", "000000", "1234567", "é", &"A".repeat(16), &"9".repeat(10_000)] {
            assert!(!factors.spend(&mut factor, wrong, at(0)), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_at_first_is_what_apps_take() {
        let factors = factors();
        let address = Address::parse("ada+x@example.com").unwrap();
        let (mut factor, setup) = factors.fresh(&address);
        let secret = BASE32_NOPAD.decode(setup.secret.expose_secret().as_bytes()).unwrap();
        let uri = setup.uri.expose_secret();
        assert!(uri.starts_with("otpauth://totp/Tollgate:ada%2Bx%40example.com?secret="), "{uri}");
        assert!(uri.contains(setup.secret.expose_secret()) && !factor.sealed.contains(&to_hex(&secret)));
        let code = totp(&secret).unwrap().generate(3_000).to_string();
        assert!(factors.spend(&mut factor, &code, at(3_000)));
        assert!(!format!("{setup:?}{factors:?}").contains(setup.secret.expose_secret()));
    }
}
