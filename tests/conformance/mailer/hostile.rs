//! Who stands between and wants to read, and who wants to write what we never wrote (J102, J103, J106).

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]
#![expect(clippy::disallowed_methods, reason = "a test has no `Tasks` of its own")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tollgate::adapters::smtp::{Encryption, Relay};
use tollgate::mail::address::Address;
use tollgate::mail::mailer::{Mailer, MailerError};

use super::{mailer, message, relay};

/// A server that answers each command by these rules, the first whose word it begins with; all it hears is kept.
struct Liar {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

type Rules = &'static [(&'static str, &'static str)];

impl Liar {
    async fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 mail.example.com\r\n").await.unwrap();
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).await.is_ok_and(|bytes| bytes > 0) {
                let said = String::from_utf8_lossy(&line).into_owned();
                let answer = rules.iter().find(|(word, _)| said.starts_with(word));
                ears.lock().unwrap().push(said);
                line.clear();
                if let Some((_, answer)) = answer
                    && stream.write_all(answer.as_bytes()).await.is_err()
                {
                    return;
                }
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().concat()
    }
}

/// J106. Without encryption nothing is said: no name, no password, no address, no letter.
#[tokio::test]
async fn server_that_does_not_encrypt_is_told_nothing() {
    const PLAIN: &str = "250-mail.example.com\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n";
    const OFFERS: &str = "250-mail.example.com\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n";
    // What comes after the 220 in the clear would be taken for the answers of the encrypted server.
    const AHEAD: &str = "220 go ahead\r\n250-mail.example.com\r\n250 AUTH PLAIN\r\n235 fine\r\n250 fine\r\n\
                         250 fine\r\n354 say it\r\n250 taken\r\n";
    let cases: [(&str, Rules); 6] = [
        ("stripped", &[("EHLO", PLAIN), ("AUTH", "235 fine\r\n"), ("", "250 fine\r\n")]),
        ("refused", &[("EHLO", OFFERS), ("STARTTLS", "454 not now\r\n"), ("", "250 fine\r\n")]),
        ("refused for good", &[("EHLO", OFFERS), ("STARTTLS", "554 never\r\n"), ("", "250 fine\r\n")]),
        (
            "answered with something else",
            &[("EHLO", OFFERS), ("STARTTLS", "250 fine\r\n"), ("", "250 fine\r\n")],
        ),
        ("answers ahead", &[("EHLO", OFFERS), ("STARTTLS", AHEAD)]),
        ("no EHLO at all", &[("EHLO", "502 what?\r\n"), ("", "250 fine\r\n")]),
    ];
    for (case, rules) in cases {
        let liar = Liar::start(rules).await;
        let timeout = Duration::from_secs(3);
        let to_liar = Relay { timeout, ..relay(liar.address.port(), Encryption::StartTls) };
        let answer = mailer(Relay { host: String::from("127.0.0.1"), ..to_liar })
            .send(&message("ada@example.com"))
            .await;
        assert!(matches!(answer, Err(MailerError::Away { .. })), "{case}: {answer:?}");
        let heard = liar.heard();
        for word in ["AUTH", "MAIL", "RCPT", "DATA", "ada@", "no-reply", "c0de"] {
            assert!(!heard.contains(word), "{case}: `{word}` in {heard}");
        }
        assert!(heard.starts_with("EHLO"), "{case}: {heard}");
    }
}

/// J106. What a server says of a letter is not said again: it names the recipient.
#[tokio::test]
async fn words_of_the_server_are_not_repeated() {
    let rules: Rules = &[
        ("EHLO", "250 mail.example.com\r\n"),
        ("MAIL", "250 fine\r\n"),
        ("RCPT", "550 5.1.1 <ada@example.com> has no c0de here\r\n"),
    ];
    let liar = Liar::start(rules).await;
    let answer = mailer(relay(liar.address.port(), Encryption::None)).send(&message("ada@example.com")).await;
    let said = answer.unwrap_err().to_string();
    assert_eq!(said, "the mail server refuses the letter: it answers the recipient with 550");
}

/// J102, J103. Whatever an address is made of, the server hears one recipient, and our commands alone.
#[tokio::test]
async fn no_address_brings_a_command_or_a_recipient() {
    for text in [
        "\"a\r\nRCPT TO:<b@example.com>\r\n\"@example.com",
        "\"a\nb\"@example.com",
        "a@example.com>\r\nRCPT TO:<b@example.com",
        "a@example.com\r\nDATA\r\n",
        "a@example.com\n.\n",
        "a\r@example.com",
        "a\0b@example.com",
        "a@example.com,b@example.com",
        "a@example.com b@example.com",
        "a@example.com> SIZE=1",
        "<a@example.com>",
        "a@bücher.example",
        "ä@example.com",
        &format!("{}@example.com", "a".repeat(320)),
        &format!("a@{}example.com", "b.".repeat(160)),
    ] {
        assert!(Address::parse(text).is_err(), "{text:?}");
        let kept = serde_json::to_string(text).unwrap();
        assert!(serde_json::from_str::<Address>(&kept).is_err(), "{text:?}: also not from a store");
    }
    // All that an address may be made of, and nothing that the server would take for more.
    let rules: Rules = &[
        ("EHLO", "250 mail.example.com\r\n"),
        ("DATA", "354 say it\r\n"),
        ("QUIT", "221 bye\r\n"),
        ("MAIL", "250 fine\r\n"),
        ("RCPT", "250 fine\r\n"),
        (".\r", "250 taken\r\n"),
    ];
    let liar = Liar::start(rules).await;
    let unusual = "!#$%&'*+/=?^_`{|}~-@xn--bcher-kva.example";
    mailer(relay(liar.address.port(), Encryption::None)).send(&message(unusual)).await.unwrap();
    let heard = liar.heard();
    let recipients: Vec<_> = heard.lines().filter(|line| line.starts_with("RCPT")).collect();
    assert_eq!(recipients, [format!("RCPT TO:<{unusual}>")]);
    // The letter has such lines itself: they stay in it.
    assert!(heard.contains("\r\n..\r\n") && heard.matches("\r\n.\r\n").count() == 1, "{heard}");
}
