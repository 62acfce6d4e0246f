//! What is secret shows itself to nobody who prints it, and cannot be written down by mistake.

use std::fmt::Debug;
use std::time::Duration;

use secrecy::{SecretBox, SecretString};
use serde_json::json;
use tollgate::adapters::smtp::{Encryption, Relay};
use tollgate::app::Secrets;
use tollgate::config::Config;
use tollgate::data_directory::{KeyOrigin, OperatorKey};
use tollgate::identity::accounts::SigningUp;
use tollgate::identity::codes::Code;
use tollgate::identity::lending::Lent;
use tollgate::identity::login::Attempt;
use tollgate::identity::password::Password;
use tollgate::identity::second_factor::{SecondFactors, Setup};
use tollgate::identity::sessions::Opened;
use tollgate::identity::user::User;
use tollgate::mail::address::Address;
use tollgate::mail::letter::{Letter, Subject};
use tollgate::mail::mailer::Message;
use tollgate::mail::outbox::Waiting;
use tollgate::secrets::current::{Current, Login};
use tollgate::time::Timestamp;

const CANARY: &str = "canary-that-nobody-may-see";

/// Does not compile where one of the types can be serialized: the call would mean two functions.
macro_rules! cannot_be_serialized {
    ($($secret:ty),+ $(,)?) => {$(
        const _: fn() = || {
            trait Plain<Case> {
                fn exists() {}
            }
            struct Serialized;
            impl<T: ?Sized> Plain<()> for T {}
            impl<T: ?Sized + serde::Serialize> Plain<Serialized> for T {}
            <$secret as Plain<_>>::exists();
        };
    )+};
}

cannot_be_serialized!(
    SecretString,
    SecretBox<[u8; 32]>,
    SecretBox<Vec<u8>>,
    Password,
    Code,
    Setup,
    Opened,
    Lent,
    OperatorKey,
    Secrets,
    Relay,
    Config,
    Message,
    SecondFactors,
);

fn secret() -> SecretString {
    SecretString::from(CANARY)
}

fn shown(what: &impl Debug) -> [String; 2] {
    [format!("{what:?}"), format!("{what:#?}")]
}

/// A person whose every secret is one that can be found.
fn person() -> User {
    let second_factor = json!({
        "sealed": CANARY, "confirmed_at": null, "used_step": 0, "recovery": [CANARY],
    });
    let person = json!({
        "id": "usr_1", "name": CANARY, "address": format!("{CANARY}@example.com"), "confirmed_at": null,
        "password": CANARY, "password_at": Timestamp::EPOCH, "second_factor": second_factor,
        "is_suspended": false, "created_at": Timestamp::EPOCH, "origin": "test",
    });
    serde_json::from_value(person).expect("a person")
}

fn config() -> Config {
    let mut config = Config::default();
    config.operator.key = Some(secret());
    config.operator.pepper = Some(secret());
    config.mail.password = Some(secret());
    config.mqtt.password = Some(secret());
    config.redis.url = Some(secret());
    config.mongodb.uri = Some(secret());
    config.sentry.dsn = Some(secret());
    config
}

#[test]
fn what_is_printed_has_no_secret() {
    let (until, password) = (Timestamp::EPOCH, secret());
    let to = Address::parse(&format!("{CANARY}@example.com")).expect("an address");
    let code = || String::from(CANARY);
    let subjects = [
        Subject::ConfirmAddress { code: code(), until },
        Subject::ResetPassword { code: code(), until },
        Subject::ChangeAddress { code: code(), until },
        Subject::Locked { code: code(), until },
        Subject::Invitation { tenant: code(), by: code(), role: code(), code: code(), until },
    ];
    let letters = subjects.map(|subject| Letter { to: to.clone(), name: String::new(), subject });
    let waiting =
        letters.map(|letter| Waiting { id: String::from("let_1"), letter, written_at: until, tries: 0 });
    let message = Message {
        id: String::from("1"),
        to: to.clone(),
        subject: "You are invited",
        text: code(),
        html: code(),
        written_at: until,
    };
    let relay = Relay {
        host: String::from("mail.example.com"),
        port: 587,
        encryption: Encryption::StartTls,
        login: Some(Current::new(Login { username: String::from("tollgate"), password: secret() })),
        from: to.clone(),
        ca_file: None,
        timeout: Duration::from_secs(1),
    };
    let new = SigningUp {
        address: "a",
        password: secret(),
        name: "Ada",
        tenant_name: "",
        plan: "",
        request_id: "",
    };
    let attempt = Attempt { address: "a", password: &password, tenant: None, code: "", from: None };
    for shown in [
        shown(&Password::given(&password)),
        shown(&OperatorKey { secret: secret(), origin: KeyOrigin::Configured }),
        shown(&Setup { secret: secret(), uri: secret() }),
        shown(&Lent { token: secret(), expires_at: until }),
        shown(&Secrets { pepper: SecretBox::new(Box::new([7; 32])), operator_key: secret() }),
        shown(&config()),
        shown(&relay),
        shown(&message),
        shown(&waiting),
        shown(&new),
        shown(&attempt),
        shown(&person()),
        shown(&to),
    ]
    .concat()
    {
        assert!(!shown.contains(CANARY) && !shown.contains("7, 7"), "{shown}");
    }
}
