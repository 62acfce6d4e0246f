//! Mosquitto: its store stays, and it lets in whom it shall.

use std::time::Duration;

use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS};
use test_servers::{Mosquitto, MosquittoConfig};

use crate::answers;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn what_was_retained_stays() {
    let Some(mut broker) = Mosquitto::start(&MosquittoConfig::default()) else { return };
    let (client, mut connection) = connect(&broker, None);
    for word in ["first", "last"] {
        client.publish("a/b", QoS::AtLeastOnce, true, word).unwrap();
        wait(&mut connection, |packet| matches!(packet, Packet::PubAck(_)).then_some(()));
    }
    // It saves soon after its acknowledgement.
    std::thread::sleep(Duration::from_millis(500));
    broker.kill();
    assert!(!answers(broker.port()));
    broker.restart();
    let (client, mut connection) = connect(&broker, None);
    client.subscribe("a/#", QoS::AtLeastOnce).unwrap();
    assert_eq!("last", received(&mut connection));
    let port = broker.port();
    drop(broker);
    assert!(!answers(port));
}

#[test]
fn users_have_passwords_and_rules() {
    let users = [("alice", "of alice"), ("bob", "of bob")];
    let config = MosquittoConfig {
        users: users.map(|(name, password)| (name.to_owned(), password.to_owned())).into(),
        acl: ["user alice", "topic write a/#", "user bob", "topic read a/#"].map(str::to_owned).into(),
        tls: None,
    };
    let Some(broker) = Mosquitto::start(&config) else { return };
    for wrong in [None, Some(("alice", "of bob")), Some(("eve", "of eve"))] {
        let (_client, mut connection) = connect(&broker, wrong);
        assert!(connection.recv_timeout(PATIENCE).unwrap().is_err(), "{wrong:?} came in");
    }
    let (bob, mut ears) = connect(&broker, Some(users[1]));
    bob.subscribe("#", QoS::AtLeastOnce).unwrap();
    wait(&mut ears, |packet| matches!(packet, Packet::SubAck(_)).then_some(()));
    // Bob may not write: of what he and Alice say, only hers is heard.
    bob.publish("a/b", QoS::AtLeastOnce, false, "by bob").unwrap();
    wait(&mut ears, |packet| matches!(packet, Packet::PubAck(_)).then_some(()));
    let (alice, mut mouth) = connect(&broker, Some(users[0]));
    alice.publish("a/b", QoS::AtLeastOnce, false, "by alice").unwrap();
    wait(&mut mouth, |packet| matches!(packet, Packet::PubAck(_)).then_some(()));
    assert_eq!("by alice", received(&mut ears));
}

fn connect(broker: &Mosquitto, user: Option<(&str, &str)>) -> (Client, Connection) {
    let name = user.map_or("nobody", |(name, _)| name);
    let mut options = MqttOptions::new(name, "127.0.0.1", broker.port());
    if let Some((name, password)) = user {
        options.set_credentials(name, password);
    }
    Client::new(options, 10)
}

fn received(connection: &mut Connection) -> String {
    wait(connection, |packet| match packet {
        Packet::Publish(message) => Some(String::from_utf8(message.payload.to_vec()).unwrap()),
        _ => None,
    })
}

fn wait<T>(connection: &mut Connection, wanted: impl Fn(Packet) -> Option<T>) -> T {
    loop {
        if let Event::Incoming(packet) = connection.recv_timeout(PATIENCE).unwrap().unwrap()
            && let Some(found) = wanted(packet)
        {
            return found;
        }
    }
}
