//! What each letter says, and that nobody else says anything in it.

use super::*;
use crate::mail::address::Address;

/// 2026-11-25T06:30:00Z.
const AT: Timestamp = Timestamp::from_micros(1_795_588_200_000_000);
const CODE: &str = "Zm9vYmFy_-0";
/// What must not become a part of a page, a link, or a second header.
const EVIL: &str = "<script>alert(1)</script>\r\nBcc: b@example.com\r\n\r\nhttps://evil.example/?a=\"b\"&c";

fn subjects(name: &str) -> Vec<Subject> {
    let code = || String::from(CODE);
    vec![
        Subject::ConfirmAddress { code: code(), until: AT },
        Subject::AccountExists,
        Subject::ResetPassword { code: code(), until: AT },
        Subject::PasswordChanged { at: AT },
        Subject::ChangeAddress { code: code(), until: AT },
        Subject::AddressChanged { at: AT },
        Subject::Invitation {
            tenant: name.to_owned(),
            by: name.to_owned(),
            role: name.to_owned(),
            code: code(),
            until: AT,
        },
        Subject::Locked { until: AT, code: code() },
        Subject::SecondFactor { is_on: true, at: AT },
        Subject::SecondFactor { is_on: false, at: AT },
        Subject::SessionStolen { at: AT },
    ]
}

fn message(subject: Subject, name: &str, link_base: Option<&str>) -> Message {
    let to = Address::parse("ada@example.com").unwrap();
    let letter = Letter { to, name: name.to_owned(), subject };
    let waiting = Waiting { id: "let_1".into(), letter, written_at: AT, tries: 0 };
    Words::new(link_base.map(str::to_owned)).unwrap().of(&waiting).unwrap()
}

#[test]
fn every_letter_says_the_same_as_text_and_as_html() {
    for subject in subjects("Acme") {
        let (name, code) = (subject.name(), subject.code().map(|(code, _)| code.to_owned()));
        let message = message(subject, "Ada", None);
        assert!(
            message.html.contains(&format!(
                "<h1 style=\"font-size:20px;line-height:1.3;margin:0 0 16px\">{}</h1>",
                message.subject
            )),
            "{name}"
        );
        for said in [&message.text, &message.html] {
            assert!(
                !said.contains("{{") && !said.contains("{%") && !said.contains("---\n"),
                "{name}: {said}"
            );
            assert_eq!(said.contains(CODE), code.is_some(), "{name}: {said}");
            assert_eq!(
                said.contains("It is good until 25 November 2026, 06:30 UTC, and once."),
                code.is_some()
            );
        }
        for paragraph in message.html.split("<p style=\"margin:0 0 16px\">").skip(1) {
            let said = paragraph.split("</p>").next().unwrap().replace("&#x27;", "'");
            assert!(message.text.contains(&said), "{name}: the text lacks `{said}`");
        }
        assert!(!format!("{message:?}").contains(CODE) && !format!("{message:?}").contains("ada"));
    }
}

#[test]
fn a_link_carries_the_code_where_no_server_logs_it() {
    for subject in subjects("Acme") {
        let has_code = subject.code().is_some();
        let message = message(subject, "Ada", Some("https://app.example.com/account"));
        for said in [&message.text, &message.html] {
            let said = said.replace("&#x2f;", "/");
            let link = said.split("https://app.example.com/account/").nth(1);
            assert_eq!(link.is_some_and(|link| link.contains(&format!("#code={CODE}"))), has_code, "{said}");
        }
    }
    assert_eq!(in_link("a b&c\"/é"), "a%20b%26c%22%2F%C3%A9");
}

/// Nobody sends a stranger what they like by calling themselves so.
#[test]
fn a_name_is_no_markup_no_link_and_no_header() {
    for subject in subjects(EVIL) {
        let name = subject.name();
        let message = message(subject, EVIL, Some("https://app.example.com"));
        for said in [&message.text, &message.html] {
            for harm in ["<script", "evil.example", "//evil", "b@example.com", "\nBcc"] {
                assert!(!said.contains(harm), "{name}: `{harm}` in {said}");
            }
        }
        assert!(message.subject.bytes().all(|byte| byte == b' ' || byte.is_ascii_alphabetic()));
        assert!(message.id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let html = message(subjects("Tom & \"Jerry\"").remove(6), "", None).html;
    assert!(html.contains("Tom &amp; &quot;Jerry&quot;"), "{html}");
}

#[test]
fn nobody_is_called_nothing() {
    let invitation = message(subjects("\u{200b}").remove(6), "", None);
    assert!(invitation.text.contains("Somebody invites you to “a tenant”"), "{}", invitation.text);
    let reset = message(subjects("").remove(2), " ", None);
    assert!(reset.text.contains("Hello,\n"), "{}", reset.text);
}
