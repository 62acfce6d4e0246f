//! Who stands between and wants to read, who wants to write what we never wrote, and who does not answer as it should.

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]
#![expect(clippy::disallowed_methods, reason = "a test has no `Tasks` of its own")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
        Self::greeting("220 mail.example.com\r\n", rules).await
    }

    async fn greeting(greeting: &'static str, rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.write_all(greeting.as_bytes()).await.unwrap();
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

/// Without encryption nothing is said: no name, no password, no address, no letter.
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

/// At each step a server may say "not now" or "never", or nothing. Before it knows for whom the letter is, that is about us.
#[tokio::test]
async fn what_a_server_says_at_each_step_is_about_us_or_about_the_letter() {
    const READY: &str = "220 mail.example.com\r\n";
    const HELLO: (&str, &str) = ("EHLO", "250 mail.example.com\r\n");
    const FROM: (&str, &str) = ("MAIL", "250 fine\r\n");
    const TO: (&str, &str) = ("RCPT", "250 fine\r\n");
    const DATA: (&str, &str) = ("DATA", "354 say it\r\n");
    let cases: [(&str, &'static str, Rules, &str); 16] = [
        ("busy at once", "421 busy\r\n", &[], "away: 421"),
        ("never at all", "554 no\r\n", &[], "away: 554"),
        ("silent at once", "", &[], "away: "),
        ("no greeting", "what?\r\n", &[], "away: "),
        ("greets for ever", READY, &[("EHLO", "250-mail.example.com\r\n250-more\r\n")], "away: "),
        ("silent to our name", READY, &[], "away: "),
        ("busy for the sender", READY, &[HELLO, ("MAIL", "452 full\r\n")], "away: 452"),
        ("never for the sender", READY, &[HELLO, ("MAIL", "550 who?\r\n")], "away: 550"),
        ("silent to the sender", READY, &[HELLO], "away: "),
        ("busy for the recipient", READY, &[HELLO, FROM, ("RCPT", "450 later\r\n")], "away: 450"),
        ("never for the recipient", READY, &[HELLO, FROM, ("RCPT", "553 no\r\n")], "refused: 553"),
        ("silent to the recipient", READY, &[HELLO, FROM], "away: "),
        ("busy for the letter", READY, &[HELLO, FROM, TO, ("DATA", "451 later\r\n")], "away: 451"),
        ("never for the letter", READY, &[HELLO, FROM, TO, ("DATA", "554 no\r\n")], "refused: 554"),
        ("busy when it has it", READY, &[HELLO, FROM, TO, DATA, (".\r", "452 full\r\n")], "away: 452"),
        ("silent when it has it", READY, &[HELLO, FROM, TO, DATA], "away: "),
    ];
    for (case, greeting, rules, expected) in cases {
        let liar = Liar::greeting(greeting, rules).await;
        let timeout = Duration::from_secs(1);
        let began = Instant::now();
        let relay = Relay { timeout, ..relay(liar.address.port(), Encryption::None) };
        let answer = mailer(relay).send(&message("ada@example.com")).await;
        assert!(began.elapsed() < timeout * 5, "{case}: {:?}", began.elapsed());
        let (kind, code) = expected.split_once(": ").unwrap();
        let error = answer.unwrap_err();
        let said = error.to_string();
        assert_eq!(matches!(error, MailerError::Refused { .. }), kind == "refused", "{case}: {said}");
        assert!(said.contains(code), "{case}: {said}");
        assert!(!said.contains("ada@") && !said.contains("c0de"), "{case}: {said}");
    }
}

/// What a server says of a letter is not said again: it names the recipient.
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

/// Whatever an address is made of, the server hears one recipient, and our commands alone.
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
