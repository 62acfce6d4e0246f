//! A real server, spoken to in each way: what it takes, and what it does not.

use std::time::{Duration, Instant};

use test_servers::Received;
use tollgate::adapters::mail_files::MailFiles;
use tollgate::adapters::smtp::{Encryption, Relay};
use tollgate::mail::address::Address;
use tollgate::mail::mailer::{Mailer, MailerError};
use tollgate::secrets::current::{Current, Login};

use super::{mailer, message, relay, server};

const WAYS: [Encryption; 3] = [Encryption::StartTls, Encryption::Tls, Encryption::None];

#[tokio::test]
async fn letter_arrives_as_it_was_written_and_in_secret() {
    for encryption in WAYS {
        let Some(server) = server(encryption) else { return };
        let mailer = mailer(relay(server.port(), encryption));
        mailer.send(&message("o'hara+tag@example.com")).await.unwrap();
        let letters = server.letters();
        let [Received { encrypted, authenticated, sender, recipients, text, html, .. }] = letters.as_slice()
        else {
            panic!("{encryption:?}: {letters:?}")
        };
        let is_secret = encryption != Encryption::None;
        assert_eq!((*encrypted, *authenticated), (is_secret, is_secret), "{encryption:?}");
        assert_eq!(
            (sender.as_str(), recipients.as_slice()),
            ("no-reply@example.org", &[String::from("o'hara+tag@example.com")][..])
        );
        // A line with a stop alone ends no letter.
        assert_eq!(text.replace("\r\n", "\n").trim_end(), message("a@example.com").text.trim_end());
        assert_eq!(html.replace("\r\n", "\n").trim_end(), message("a@example.com").html.trim_end());
        for (name, value) in [
            ("From", "Tollgate <no-reply@example.org>"),
            ("To", "o'hara+tag@example.com"),
            ("Subject", "Choose a new password"),
            ("Message-ID", "<0123456789abcdef@example.org>"),
            ("Auto-Submitted", "auto-generated"),
        ] {
            assert_eq!(letters[0].header(name), value, "{name}");
        }
    }
}

#[tokio::test]
async fn files_hold_the_same_letter() {
    let directory = tempfile::tempdir().unwrap();
    let from = Address::parse("no-reply@example.org").unwrap();
    let files = MailFiles::open(&directory.path().join("mail"), from).unwrap();
    files.send(&message("ada@example.com")).await.unwrap();
    let entries: Vec<_> = std::fs::read_dir(directory.path().join("mail")).unwrap().collect();
    let file = std::fs::read_to_string(entries[0].as_ref().unwrap().path()).unwrap();
    assert_eq!(entries.len(), 1);
    for part in
        ["To: ada@example.com\r\n", "Message-ID: <0123456789abcdef@example.org>", "c0de-of-the-letter"]
    {
        assert!(file.contains(part), "`{part}` in {file}");
    }
}

/// What a server does with a letter, and what is made of it.
#[tokio::test]
async fn refusal_is_about_the_letter_or_about_us() {
    let Some(server) = server(Encryption::StartTls) else { return };
    let right = relay(server.port(), Encryption::StartTls);
    let wrong = |change: fn(&mut Relay)| {
        let mut relay = right.clone();
        change(&mut relay);
        relay
    };
    let wrong_password = wrong(|relay| {
        let login = Login { username: "tollgate".into(), password: "another-password".into() };
        relay.login = Some(Current::new(login));
    });
    let no_login = wrong(|relay| relay.login = None);
    let wrong_host = wrong(|relay| relay.host = String::from("127.0.0.2"));
    let other_authority = wrong(|relay| relay.ca_file = None);
    let in_the_clear = wrong(|relay| {
        (relay.encryption, relay.login) = (Encryption::None, None);
    });
    let from_the_start = wrong(|relay| {
        (relay.encryption, relay.timeout) = (Encryption::Tls, Duration::from_secs(3));
    });
    let cases: [(&str, &Relay, &str, Result<(), &str>); 12] = [
        ("taken", &right, "ada@example.com", Ok(())),
        ("busy at first", &right, "busy@example.com", Err("away: 451")),
        ("taken then", &right, "busy@example.com", Ok(())),
        ("always busy", &right, "full@example.com", Err("away: 451")),
        ("unknown", &right, "nobody@example.com", Err("refused: 550")),
        ("refused when it is there", &right, "refuses@example.com", Err("refused: 554")),
        ("wrong password", &wrong_password, "ada@example.com", Err("away: 535")),
        ("no password", &no_login, "ada@example.com", Err("away: 530")),
        ("no STARTTLS of ours", &in_the_clear, "ada@example.com", Err("away: 530")),
        ("no TLS from the start", &from_the_start, "ada@example.com", Err("away: ")),
        ("another host's certificate", &wrong_host, "ada@example.com", Err("away: ")),
        ("a certificate that nobody signed", &other_authority, "ada@example.com", Err("away: ")),
    ];
    let mut taken = 0;
    for (case, relay, to, expected) in cases {
        let answer = mailer(relay.clone()).send(&message(to)).await;
        taken += usize::from(answer.is_ok());
        match (&answer, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(expected)) => {
                let (kind, code) = expected.split_once(": ").unwrap();
                let is_refused = matches!(error, MailerError::Refused { .. });
                let said = error.to_string();
                assert_eq!(is_refused, kind == "refused", "{case}: {said}");
                assert!(said.contains(code), "{case}: {said}");
                for secret in ["password-of", "another-password", "c0de", to] {
                    assert!(!said.contains(secret), "{case}: {said}");
                }
            }
            _ => panic!("{case}: {answer:?}"),
        }
    }
    assert_eq!(server.letters().len(), taken);
    assert!(server.letters().iter().all(|letter| letter.encrypted && letter.authenticated));
}

#[tokio::test]
async fn server_that_hangs_or_is_gone_is_away_in_a_bounded_time() {
    for encryption in WAYS {
        let Some(mut server) = server(encryption) else { return };
        let timeout = Duration::from_secs(1);
        let impatient = mailer(Relay { timeout, ..relay(server.port(), encryption) });
        server.pause();
        let began = Instant::now();
        let answer = impatient.send(&message("ada@example.com")).await;
        assert!(matches!(answer, Err(MailerError::Away { .. })), "{encryption:?}: {answer:?}");
        assert!(began.elapsed() < timeout * 5, "{encryption:?}");
        server.resume();
        server.kill();
        let answer = impatient.send(&message("ada@example.com")).await;
        assert!(matches!(answer, Err(MailerError::Away { .. })), "{encryption:?}: {answer:?}");
        server.restart();
        mailer(relay(server.port(), encryption)).send(&message("bob@example.com")).await.unwrap();
        assert_eq!(server.letters().last().unwrap().recipients, ["bob@example.com"]);
    }
}
