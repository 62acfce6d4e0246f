//! How a server begins: a broker that does not let it in ends the start, one that is away does not.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::broker::{AUDITOR, Broker, free_port};
use crate::listener::Listener;
use crate::server::{Server, command, settings};

/// How long a start that fails may take.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// What a server says that does not start with these settings.
fn refused(settings: &[(&'static str, String)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(directory.path(), settings);
    command.arg("--listen").arg(format!("127.0.0.1:{}", free_port()));
    let log = directory.path().join("log");
    command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if began.elapsed() > PATIENCE => break None,
            None => std::thread::sleep(POLL),
        }
    };
    // One that starts all the same must not outlive the test.
    drop(child.kill());
    child.wait().unwrap();
    let said = std::fs::read_to_string(log).unwrap();
    assert!(status.is_some_and(|status| !status.success()), "{said}");
    said
}

fn with(broker: &Broker, name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    let mut settings = settings(broker);
    settings.retain(|(known, _)| *known != name);
    settings.push((name, value.to_owned()));
    settings
}

#[test]
fn wrong_password_ends_the_start_and_is_not_said() {
    let Some(broker) = Broker::start() else { return };
    let said = refused(&with(&broker, "TOLLGATE_MQTT_PASSWORD", "a-wrong-secret"));
    assert!(said.contains("refuses the client `tollgate-slot-0` of `[mqtt]`"), "{said}");
    assert!(said.contains("password is wrong") && !said.contains("a-wrong-secret"), "{said}");
}

#[test]
fn settings_that_cannot_be_are_refused_by_their_name() {
    let Some(broker) = Broker::start() else { return };
    let check = |name: &'static str, value: &str, expected: &str| {
        let said = refused(&with(&broker, name, value));
        assert!(said.contains(expected), "{said}");
    };
    check("TOLLGATE_MQTT_URL", "mqtt://name:a-secret@127.0.0.1", "`url` must be");
    check("TOLLGATE_MQTT_URL", "mqtts://localhost", "`mqtt.ca_file` is not set");
    check("TOLLGATE_MQTT_KEEPALIVE_SECONDS", "1", "`keepalive_seconds` is 1");
    check("TOLLGATE_MQTT_INFLIGHT_MAX", "0", "`inflight_max` is 0");
    check("TOLLGATE_MQTT_INGEST", "perhaps", "perhaps");
    check("TOLLGATE_MQTT_TOPIC", "x", "topic");
    let said = refused(&with(&broker, "TOLLGATE_MQTT_URL", "mqtt://name:a-secret@127.0.0.1"));
    assert!(!said.contains("a-secret"), "{said}");
}

#[tokio::test]
async fn broker_that_is_away_is_waited_for() {
    let Some(mut broker) = Broker::start() else { return };
    broker.end();
    let server = Server::start(&broker).await;
    server.acme().await;
    let kept = server.track(std::iter::once(String::from("early"))).await;
    assert_eq!(kept, ["early"]);
    broker.go_on();
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/acme/#").await;
    // The call itself may have been told before anybody listened; how things stand is told to all.
    auditor.message(|message| message.text("/quotas/0/used") == "1").await;
}

#[tokio::test]
async fn broker_is_believed_by_its_certificate() {
    let Some(broker) = Broker::start_tls() else { return };
    let address = format!("mqtts://localhost:{}", broker.port());
    let mut settings = with(&broker, "TOLLGATE_MQTT_URL", &address);
    settings.push(("TOLLGATE_MQTT_CA_FILE", broker.ca_file().display().to_string()));
    let server = Server::with(settings.clone()).await;
    assert!(server.log().contains("connected to the broker"), "{}", server.log());

    let Some(stranger) = Broker::start_tls() else { return };
    settings.retain(|(name, _)| *name != "TOLLGATE_MQTT_CA_FILE");
    settings.push(("TOLLGATE_MQTT_CA_FILE", stranger.ca_file().display().to_string()));
    let said = refused(&settings);
    assert!(said.contains("is not trusted"), "{said}");
    settings.pop();
    settings.push(("TOLLGATE_MQTT_CA_FILE", String::from("/nowhere.pem")));
    let said = refused(&settings);
    assert!(said.contains("`/nowhere.pem`, cannot be read"), "{said}");
}
