//! `tollgate admin` against a server: what operators do every day.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::accounts::people::{Town, address};
use crate::program::OPERATOR_KEY;
use crate::server::{Server, TENANT};

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

#[tokio::test(flavor = "multi_thread")]
async fn people_and_the_audit_log_are_looked_after_from_the_command_line() {
    let town = Town::new().await;
    let (ada, bob) = (town.member("ada", "owner").await, town.member("bob", "developer").await);
    let server = &town.server;
    let listed = json(server, &["users", "list"]).await;
    let names = |rows: &Value| {
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&listed), ["ada", "bob"]);
    assert_eq!(names(&json(server, &["users", "list", "--limit", "1"]).await), ["ada"]);
    let by_id = json(server, &["users", "get", &bob.id]).await;
    assert_eq!(by_id, json(server, &["users", "get", &address("bob")]).await);
    assert_eq!(by_id[0], listed[1]);

    for _ in 0..5 {
        town.try_login(&address("bob"), "another password", None).await.unwrap_err();
    }
    town.log_in("bob").await.unwrap_err();
    json(server, &["users", "unlock", &bob.id]).await;
    town.log_in("bob").await.unwrap();
    for (what, state) in [("suspend", "suspended"), ("resume", "active")] {
        let changed = json(server, &["users", what, &bob.id]).await;
        assert_eq!(changed[0]["state"].as_str(), Some(state));
        assert_eq!(town.log_in("bob").await.is_ok(), state == "active");
    }

    for (what, whom, state) in [
        ("delete", address("bob"), "deleted"),
        ("undelete", bob.id.clone(), "active"),
        ("delete", bob.id.clone(), "deleted"),
        ("undelete", address("BOB"), "active"),
    ] {
        let changed = json(server, &["users", what, &whom]).await;
        assert_eq!(changed[0]["state"].as_str(), Some(state), "{what} {whom}");
        assert_eq!(changed[0]["ends"].as_str().unwrap().is_empty(), state == "active");
        assert_eq!(town.log_in("bob").await.is_ok(), state == "active");
    }
    let owner = admin(server, &["users", "delete", &address("ada")]).await;
    assert!(
        !owner.status.success() && String::from_utf8_lossy(&owner.stderr).contains("`acme`"),
        "{owner:?}"
    );
    let nobody = admin(server, &["users", "delete", &address("nobody")]).await;
    assert!(!nobody.status.success(), "{nobody:?}");

    let changed = json(server, &["members", "role", TENANT, &bob.id, "viewer"]).await;
    assert_eq!(changed[0]["role"].as_str(), Some("viewer"));
    assert_eq!(names(&json(server, &["members", "list", TENANT]).await), ["ada", "bob"]);
    assert_eq!(names(&json(server, &["members", "remove", TENANT, &bob.id]).await), ["ada"]);
    let last = admin(server, &["members", "remove", TENANT, &ada.id]).await;
    assert!(!last.status.success() && String::from_utf8_lossy(&last.stderr).contains("owner"), "{last:?}");

    let entries = json(server, &["audit", "list", TENANT]).await;
    let methods: Vec<_> =
        entries.as_array().unwrap().iter().map(|entry| entry["method"].as_str().unwrap()).collect();
    assert!(methods.iter().any(|method| method.contains("RemoveMember")), "{methods:?}");
    assert_eq!(json(server, &["audit", "list", TENANT, "--limit", "1"]).await[0], entries[0]);
    let table = admin(server, &["audit", "list"]).await;
    assert!(String::from_utf8_lossy(&table.stdout).contains("SuspendUser"), "{table:?}");
    verify(server).await;
}

/// The audit log is whole, until somebody edits what stands in the store.
async fn verify(server: &Server) {
    let whole = json(server, &["audit", "verify", TENANT]).await;
    let (state, verified) = (whole[0]["state"].as_str(), whole[0]["verified"].as_str().unwrap());
    assert!(state == Some("whole") && verified.parse::<u64>().unwrap() >= 2, "{whole}");
    let db = rusqlite::Connection::open(server.data().join("ledger.db")).unwrap();
    let edit = "UPDATE documents SET body = CAST(replace(CAST(body AS TEXT), 'RemoveMember', 'RenameMember') AS BLOB) \
                WHERE kind = 'audit_entry'";
    assert!(db.execute(edit, []).unwrap() > 0);
    let broken = admin(server, &["audit", "verify", TENANT, "--json"]).await;
    assert!(!broken.status.success(), "{broken:?}");
    let told: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert_eq!(told[0]["state"].as_str(), Some("changed"), "{told}");
    assert_ne!(told[0]["broken"].as_str(), Some(""), "{told}");
}
