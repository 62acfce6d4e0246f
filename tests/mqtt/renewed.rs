//! A password that was changed at the broker and in its file is used for the next connection, once the server is told.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::broker::{AUDITOR, Broker, SERVER};
use crate::listener::Listener;
use crate::server::{Server, settings};

const RENEWED: &str = "renewed-password-of-the-server";

fn write(file: &Path, password: &str) {
    std::fs::write(file, format!("{password}\n")).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_new_password_is_used_for_the_next_connection() {
    let Some(mut broker) = Broker::start() else { return };
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("password");
    write(&file, SERVER.1);
    let mut settings = settings(&broker);
    settings.retain(|(name, _)| *name != "TOLLGATE_MQTT_PASSWORD");
    settings.push(("TOLLGATE_MQTT_PASSWORD_FILE", file.display().to_string()));
    let server = Server::with(settings).await;
    server.acme().await;
    server.says("connected to the broker").await;

    broker.change_password(RENEWED);
    server.says("is away; announcements wait for it").await;
    assert_eq!(server.track(std::iter::once(String::from("late"))).await, ["late"]);
    write(&file, RENEWED);
    server.hang_up();
    server.says("renewed: `mqtt.password`; unchanged: `operator.key`").await;
    let auditor = Listener::connect(&broker, AUDITOR);
    auditor.subscribe("tollgate/v1/acme/#").await;
    // The call itself may have been told before anybody listened; how things stand is told to all.
    auditor.message(|message| message.text("/quotas/0/used") == "1").await;
    assert!(!server.log().contains(RENEWED) && !server.log().contains(SERVER.1), "{}", server.log());
}
