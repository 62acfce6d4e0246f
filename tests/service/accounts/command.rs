//! `tollgate admin` against a server: what operators do every day.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::program::OPERATOR_KEY;
use crate::server::Server;

async fn admin(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("admin")
        .args(arguments)
        .env_clear()
        .env("TOLLGATE_ENDPOINT", format!("http://{}", server.address()))
        .env("TOLLGATE_API_KEY", OPERATOR_KEY)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

/// What the command printed as JSON; it succeeds.
async fn json(server: &Server, arguments: &[&str]) -> Value {
    let output = admin(server, &[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_daily_work_is_done_from_the_command_line() {
    let server = Server::new().await;
    let made =
        json(&server, &["tenants", "create", "Bolt", "--id", "bolt", "--time-zone", "Europe/Lisbon"]).await;
    assert_eq!((made[0]["tenant"].as_str(), made[0]["zone"].as_str()), (Some("bolt"), Some("Europe/Lisbon")));
    let listed = json(&server, &["tenants", "list", "--query", "bo"]).await;
    assert_eq!(listed, made);
    for (arguments, state) in [
        (&["tenants", "suspend", "bolt", "--reason", "unpaid"][..], "suspended"),
        (&["tenants", "resume", "bolt"], "active"),
        (&["tenants", "delete", "bolt", "--grace-days", "40"], "deleted"),
        (&["tenants", "undelete", "bolt"], "active"),
        (&["tenants", "get", "bolt"], "active"),
    ] {
        assert_eq!(json(&server, arguments).await[0]["state"].as_str(), Some(state), "{arguments:?}");
    }
    let renamed = json(&server, &["tenants", "update", "bolt", "--name", "Nut"]).await;
    assert_eq!(renamed[0]["name"].as_str(), Some("Nut"));

    let key = json(&server, &["keys", "create", "web", "--tenant", "bolt", "--service", "search"]).await;
    assert!(key["secret"].as_str().unwrap().starts_with("tg_tenant_"));
    let id = key["key"].as_str().unwrap().to_owned();
    let rotated = json(&server, &["keys", "rotate", &id, "--overlap-days", "1"]).await;
    let keys = json(&server, &["keys", "list", "bolt"]).await;
    assert_eq!(keys.as_array().unwrap().len(), 2);
    assert!(!keys.to_string().contains("tg_tenant_"), "{keys}");
    let revoked = json(&server, &["keys", "revoke", rotated["key"].as_str().unwrap()]).await;
    assert_ne!(revoked[0]["revoked"].as_str(), Some(""));

    let plans = json(&server, &["plans", "list"]).await;
    assert!(plans.as_array().unwrap().iter().any(|plan| plan["plan"] == "pro"), "{plans}");
    assert_eq!(json(&server, &["plans", "change", "bolt", "pro"]).await[0]["plan"].as_str(), Some("pro"));
    json(&server, &["credits", "grant", "bolt", "2000000", "--name", "welcome"]).await;
    let granted = json(&server, &["credits", "get", "bolt"]).await;
    assert_ne!(granted[0]["granted_micros"].as_str(), Some("0"));

    let export = admin(&server, &["tenants", "export", "bolt"]).await;
    assert!(String::from_utf8_lossy(&export.stdout).lines().count() >= 4, "{export:?}");
    let table = admin(&server, &["tenants", "list"]).await;
    assert!(String::from_utf8_lossy(&table.stdout).contains("acme"), "{table:?}");
    let nobody = admin(&server, &["tenants", "get", "nobody"]).await;
    assert!(
        !nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains("nobody"),
        "{nobody:?}"
    );
}
