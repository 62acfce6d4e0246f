//! A letter as mail programs read it: headers, and its words as text and as HTML.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use crate::mail::address::Address;
use crate::mail::mailer::{MailerError, Message};

/// The name beside the address that letters come from.
const FROM: &str = "Tollgate";

/// A letter, and from whom to whom it goes.
pub(super) struct Formatted {
    pub(super) envelope: Envelope,
    /// In ASCII, whatever it says.
    pub(super) bytes: Vec<u8>,
}

/// A letter from that address.
pub(super) fn format(message: &Message, from: &Address) -> Result<Formatted, MailerError> {
    let unusual =
        |error: &dyn std::error::Error| MailerError::refused(format!("it cannot be written: {error}"));
    let (sender, recipient) = (address(from)?, address(&message.to)?);
    let (_, domain) = from.as_str().split_once('@').unwrap_or_default();
    let written_at = u64::try_from(message.written_at.micros()).unwrap_or_default();
    let built = lettre::Message::builder()
        .from(Mailbox::new(Some(FROM.to_owned()), sender.clone()))
        .to(Mailbox::new(None, recipient.clone()))
        .subject(message.subject)
        .message_id(Some(format!("<{}@{domain}>", message.id)))
        .date(UNIX_EPOCH + Duration::from_micros(written_at))
        // So that nobody's note of absence answers it (RFC 3834).
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            String::from("auto-generated"),
        ))
        .multipart(MultiPart::alternative_plain_html(message.text.clone(), message.html.clone()))
        .map_err(|error| unusual(&error))?;
    let envelope = Envelope::new(Some(sender), vec![recipient]).map_err(|error| unusual(&error))?;
    Ok(Formatted { envelope, bytes: built.formatted() })
}

/// The driver writes an address into a command as it is, and in this version it takes a quoted name with a line break in it
/// for one. So the address is looked at once more, here where it leaves us.
fn address(address: &Address) -> Result<lettre::Address, MailerError> {
    let again = Address::parse(address.as_str());
    let again = again.map_err(|error| MailerError::refused(format!("the address {error}")))?;
    let parsed = again.as_str().parse::<lettre::Address>();
    parsed.map_err(|error| MailerError::refused(format!("the address cannot be used: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn message() -> Message {
        Message {
            id: String::from("0123abc"),
            to: Address::parse("o'hara+tag@example.com").unwrap(),
            subject: "Confirm your address",
            text: String::from("Hello Åsa,\n.\nFrom here on.\n"),
            html: format!("<p>Hello Åsa</p>\n.\n{}", "long ".repeat(400)),
            written_at: Timestamp::from_micros(1_795_588_200_000_000),
        }
    }

    #[test]
    fn headers_are_ours_and_lines_are_short_and_plain() {
        let from = Address::parse("no-reply@example.org").unwrap();
        let formatted = format(&message(), &from).unwrap_or_else(|error| panic!("{error}"));
        let text = String::from_utf8(formatted.bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let headers: Vec<&str> = head.split("\r\n").collect();
        for expected in [
            "From: Tollgate <no-reply@example.org>",
            "To: o'hara+tag@example.com",
            "Subject: Confirm your address",
            "Message-ID: <0123abc@example.org>",
            "Date: Wed, 25 Nov 2026 06:30:00 +0000",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(headers.contains(&expected), "`{expected}` in {head}");
        }
        assert!(body.is_ascii() && body.contains("Hello =C3=85sa,"), "{body}");
        assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{text}");
        assert_eq!(
            format!("{:?}", formatted.envelope.to()),
            r#"[Address { serialized: "o'hara+tag@example.com", at_start: 10 }]"#
        );
    }
}
