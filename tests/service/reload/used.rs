//! What is renewed is used: at the next letter, the next connection and the next call, also where the old one is not good
//! any more.

use std::time::{Duration, Instant};

use test_servers::certificates::Authority;
use test_servers::{Redis, Smtp, SmtpConfig, SmtpTls};
use tollgate_client::{Client, v1};
use tonic::Code;

use super::{Reloading, expect};
use crate::program::{OPERATOR_KEY, operator};
use crate::telemetry::with_tenant;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const FIRST: &str = "first-s3cret";
const SECOND: &str = "second-s3cret";

/// Somebody signs up, who gets a letter.
async fn sign_up(server: &Reloading, name: &str) {
    let endpoint = format!("http://{}", server.address);
    let nobody = Client::builder().endpoint(endpoint).api_key("nobody").tenant("").build().unwrap();
    let request = v1::SignUpRequest {
        address: format!("{name}@example.com"),
        password: "correct horse battery".into(),
        name: name.to_owned(),
        ..Default::default()
    };
    nobody.auth().sign_up(request).await.unwrap();
}

/// Waits for a letter to somebody.
async fn is_told(mail: &Smtp, name: &str) {
    let began = Instant::now();
    let address = format!("{name}@example.com");
    loop {
        let letters = mail.letters();
        if let Some(letter) = letters.iter().find(|letter| letter.recipients.contains(&address)) {
            assert!(letter.authenticated && letter.encrypted, "{letter:?}");
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no letter for {name}: {letters:?}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn a_new_password_of_the_mail_server_is_used_for_the_next_letter() {
    let files = tempfile::tempdir().unwrap();
    let authority = Authority::new(files.path(), "authority");
    let tls = Some(SmtpTls::Started(authority.server("mail")));
    let login = Some((String::from("tollgate"), String::from(FIRST)));
    let Some(mut mail) = Smtp::start(&SmtpConfig { login, tls }) else { return };
    let ca = authority.certificate().display().to_string();
    let settings = [
        ("TOLLGATE_MAIL_URL", &*format!("smtp://localhost:{}", mail.port())),
        ("TOLLGATE_MAIL_FROM", "no-reply@example.com"),
        ("TOLLGATE_MAIL_CA_FILE", &ca),
    ];
    let password = "TOLLGATE_MAIL_PASSWORD";
    let file = |username: &str| format!("[mail]\nusername = \"{username}\"\n");
    let mut server = Reloading::start_with(&[(password, FIRST)], &settings, &file("tollgate")).await;
    sign_up(&server, "ada").await;
    is_told(&mail, "ada").await;

    mail.change_password(SECOND);
    server.change(password, SECOND);
    expect(&server.hang_up().await, &["renewed: `mail.password`; unchanged: `operator.key`"]);
    sign_up(&server, "ben").await;
    is_told(&mail, "ben").await;

    // What cannot be read leaves the good one in use.
    std::fs::write(server.file(password), "").unwrap();
    expect(
        &server.hang_up().await,
        &["ERROR", "`mail.password` cannot be read again, and what was read before stays: it is empty"],
    );
    sign_up(&server, "eve").await;
    is_told(&mail, "eve").await;

    // The name goes with the password.
    mail.change_login("postbox", FIRST);
    server.change(password, FIRST);
    std::fs::write(server.file("tollgate.toml"), file("postbox")).unwrap();
    expect(&server.hang_up().await, &["renewed: `mail.password`, `mail.username`; unchanged"]);
    sign_up(&server, "joe").await;
    is_told(&mail, "joe").await;
    expect(&server.hang_up().await, &["renewed: nothing"]);
    server.end(&[FIRST, SECOND]).await;
}

/// Whether a call is decided by the counters in Redis.
async fn is_counted(server: &Reloading, id: &str) -> bool {
    let event = v1::UsageEvent {
        id: id.to_owned(),
        service: "search".into(),
        endpoint: "/".into(),
        ..Default::default()
    };
    let request = v1::TrackRequest { tenant_id: "acme".into(), event: Some(event), ..Default::default() };
    let tracked = operator(server.address).track().track(request).await.unwrap().into_inner();
    assert_eq!(v1::Decision::Allowed, tracked.verdict.unwrap().decision());
    let list = v1::ListEventsRequest {
        tenant_id: "acme".into(),
        freshness: v1::Freshness::Fresh.into(),
        page_size: 1_000,
        ..v1::ListEventsRequest::default()
    };
    let events = operator(server.address).track().list_events(list).await.unwrap().into_inner().events;
    !events.iter().find(|event| event.event.as_ref().is_some_and(|event| event.id == id)).unwrap().degraded
}

/// Waits until calls are counted in Redis, or are not.
async fn until_counted(server: &Reloading, expected: bool) {
    let began = Instant::now();
    for attempt in 0.. {
        if is_counted(server, &format!("{expected}-{attempt}-{:x}", rand::random::<u64>())).await == expected
        {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{}", server.program.said());
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn a_new_password_of_redis_is_used_for_the_next_connection() {
    let Some(redis) = Redis::start() else { return };
    let place = redis.url().replace("redis://", "");
    let url = |password: &str| format!("redis://tollgate:{password}@{place}");
    let user = |password: &str| {
        let allowed = ["~*", "&*", "+@all"];
        let (reset, password) = ("resetpass", format!(">{password}"));
        let mut words = vec!["ACL", "SETUSER", "tollgate", "on", reset, &password];
        words.extend(allowed);
        assert_eq!("OK", redis.command(&words));
    };
    user(FIRST);
    let variable = "TOLLGATE_REDIS_URL";
    let settings = [("TOLLGATE_REDIS_TIMEOUT_MS", "5000"), ("TOLLGATE_REDIS_LIMITS_FAIL", "open")];
    let mut server = Reloading::start(&[(variable, &url(FIRST))], &settings).await;
    with_tenant(&operator(server.address)).await;
    until_counted(&server, true).await;

    user(SECOND);
    // Connections that are there stay as they are.
    assert!(is_counted(&server, "known").await);
    assert_ne!("0", redis.command(&["CLIENT", "KILL", "USER", "tollgate"]));
    until_counted(&server, false).await;
    server.program.says("Redis refuses the user or the password of `redis.url`").await;

    server.change(variable, &url(SECOND));
    expect(&server.hang_up().await, &["renewed: `redis.url`; unchanged: `operator.key`"]);
    until_counted(&server, true).await;

    server.change(variable, &url(FIRST).replace("127.0.0.1", "127.0.0.2"));
    let said = server.hang_up().await;
    expect(&said, &["`redis.url` has changed and needs a restart: it leads to another server or database"]);
    assert_ne!("0", redis.command(&["CLIENT", "KILL", "USER", "tollgate"]));
    until_counted(&server, true).await;
    server.end(&[FIRST, SECOND]).await;
}

#[tokio::test]
async fn a_new_key_of_the_operator_is_good_at_once_and_the_old_one_is_not() {
    let other = "another-operator-of-the-service-tests-s3cret";
    let mut server = Reloading::start(&[("TOLLGATE_OPERATOR_KEY", OPERATOR_KEY)], &[]).await;
    let endpoint = format!("http://{}", server.address);
    let list = async |key: &str| {
        let client = Client::builder().endpoint(endpoint.as_str()).api_key(key).tenant("").build().unwrap();
        let answer = client.admin().list_tenants(v1::ListTenantsRequest::default()).await;
        answer.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!((Ok(()), Err(Code::Unauthenticated)), (list(OPERATOR_KEY).await, list(other).await));
    server.change("TOLLGATE_OPERATOR_KEY", other);
    // It is used when it is told, and not before.
    assert_eq!(Ok(()), list(OPERATOR_KEY).await);
    expect(&server.hang_up().await, &["renewed: `operator.key`; unchanged: `operator.pepper`"]);
    assert_eq!((Err(Code::Unauthenticated), Ok(())), (list(OPERATOR_KEY).await, list(other).await));
    server.end(&[OPERATOR_KEY, other]).await;
}

#[tokio::test]
async fn a_key_that_was_made_at_the_first_start_is_read_again_too() {
    let mut server = Reloading::start(&[], &[("TOLLGATE_OPERATOR_KEY", OPERATOR_KEY)]).await;
    // What the settings give wins over it.
    super::write(&server.data.path().join("operator.key"), "made-by-somebody-else-and-kept-in-the-data");
    expect(&server.hang_up().await, &["renewed: nothing; unchanged: `operator.key`, `operator.pepper`"]);
    super::write(&server.data.path().join("pepper"), &"0".repeat(64));
    expect(
        &server.hang_up().await,
        &["`operator.pepper` has changed and is not used", "unchanged: `operator.key`"],
    );
    server.end(&[OPERATOR_KEY, "made-by-somebody"]).await;
}
