//! What is held on a tenant: all of it is exported, in pieces, and no secret; and what of it ends with the tenant.

use std::collections::BTreeMap;

use serde_json::Value;
use tollgate::time::{DAY, HOUR, SECOND};
use tollgate_client::v1;

use crate::accounts::people::{PASSWORD, Town, address};
use crate::accounts::tenants::{export, ran};
use crate::program::OPERATOR_KEY;
use crate::server::{NOW, TENANT};

/// More calls than are read at once, over more hours than are read at once.
const CALLS: i64 = 250;
const HOURS: i64 = 9;

/// A tenant of which everything is held that can be. Answers what is secret.
async fn busy(town: &Town) -> Vec<String> {
    town.member("ada", "owner").await;
    let bob = town.user("bob", |_| {}).await;
    town.join(&bob, TENANT, "developer").await;
    town.join(&bob, "elsewhere", "viewer").await;
    let login = town.log_in("ada").await.unwrap();
    let tokens = login.tokens.unwrap();
    let mut owner = town.server.client(&tokens.access_token).auth();
    let invite = v1::InviteMemberRequest {
        address: address("guest"),
        role: String::from("viewer"),
        ..Default::default()
    };
    owner.invite_member(invite).await.unwrap();
    let role = v1::CreateRoleRequest {
        name: String::from("auditor"),
        permissions: vec![String::from("audit.read")],
        ..Default::default()
    };
    owner.create_role(role).await.unwrap();
    let begin = v1::BeginSecondFactorRequest { password: PASSWORD.to_owned() };
    let factor = owner.begin_second_factor(begin).await.unwrap().into_inner().secret;
    let key = town.server.key().await;
    let grant = v1::GrantCreditsRequest {
        tenant_id: TENANT.to_owned(),
        credits_micros: 5_000_000,
        name: String::from("welcome"),
        request_id: String::from("grant"),
        ..Default::default()
    };
    town.server.operator().plans().grant_credits(grant).await.unwrap();
    track(town, &key).await;
    vec![tokens.access_token, tokens.refresh_token, factor, PASSWORD.to_owned(), key, OPERATOR_KEY.to_owned()]
}

/// Calls in many hours, and one that is refused.
async fn track(town: &Town, key: &str) {
    let client = town.server.client(key);
    let call = |number: i64| v1::UsageEvent {
        id: format!("call-{number}"),
        service: String::from("search"),
        endpoint: String::from("/find"),
        dimensions: [(String::from("team"), format!("team-{}", number % 3))].into(),
        occurred_at: Some(prost_types::Timestamp {
            seconds: NOW - (number % HOURS) * HOUR / SECOND,
            nanos: 0,
        }),
        ..Default::default()
    };
    let record = |event| v1::TrackRequest { mode: v1::TrackMode::Record.into(), ..client.request(event) };
    let requests = (0..CALLS).map(|number| record(call(number))).collect();
    client.track().track_batch(v1::TrackBatchRequest { requests }).await.unwrap();
    let premium = v1::UsageEvent { id: String::from("refused"), premium: true, occurred_at: None, ..call(0) };
    let verdict = client.track().track(client.request(premium)).await.unwrap().into_inner().verdict.unwrap();
    assert_eq!(verdict.decision(), v1::Decision::Denied, "{verdict:?}");
}

/// Digests and hashes as the store has them.
fn hashes(town: &Town) -> Vec<String> {
    let db = rusqlite::Connection::open(town.server.data().join("ledger.db")).unwrap();
    let mut all = db
        .prepare("SELECT kind, id, body FROM documents WHERE kind IN ('api_key', 'user', 'code', 'letter')")
        .unwrap();
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let mut hashes = Vec::new();
    for row in rows {
        let (kind, id, body): (String, String, Vec<u8>) = row.unwrap();
        let record: Value = serde_json::from_slice(&body).unwrap();
        let mut keep = |value: &Value| hashes.extend(value.as_str().map(str::to_owned));
        match kind.as_str() {
            "api_key" => keep(&record["digest"]),
            "user" => {
                keep(&record["password"]);
                keep(&record["second_factor"]["sealed"]);
            }
            "code" => hashes.push(id),
            _ => {}
        }
    }
    hashes
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).map(|line| &line["record"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_held_is_exported_and_no_secret() {
    let town = Town::new().await;
    let server = &town.server;
    let other =
        v1::CreateTenantRequest { tenant_id: "other".into(), name: "Other".into(), ..Default::default() };
    server.operator().admin().create_tenant(other).await.unwrap();
    server.key_of("other").await;
    let secrets = busy(&town).await;
    let owner = server.client(&secrets[0]);
    let lines = export(server, &owner, "").await;
    let mut counts = BTreeMap::new();
    lines.iter().for_each(|line| *counts.entry(line["kind"].as_str().unwrap()).or_insert(0) += 1);
    let calls = usize::try_from(CALLS).unwrap();
    let expected = [
        ("tenant", 1),
        ("subscription", 1),
        ("api_key", 1),
        ("session", 1),
        ("member", 2),
        ("roster", 1),
        ("invitation", 1),
        ("wallet", 1),
        ("event", calls),
        ("refusal", 1),
    ];
    for (kind, count) in expected {
        assert_eq!(counts.get(kind), Some(&count), "{kind}: {counts:?}");
    }
    assert_eq!(lines[0]["kind"], "tenant");
    let methods: Vec<_> =
        of_kind(&lines, "audit_entry").iter().map(|entry| entry["method"].as_str().unwrap()).collect();
    for method in
        ["CreateTenant", "CreateApiKey", "InviteMember", "CreateRole", "GrantCredits", "ExportTenant"]
    {
        assert!(methods.contains(&method), "{method}: {methods:?}");
    }
    assert_eq!(of_kind(&lines, "invitation")[0]["address"], address("guest"));
    assert_eq!(of_kind(&lines, "roster")[0]["roles"]["auditor"]["permissions"][0], "audit.read");
    assert_eq!(of_kind(&lines, "member")[1]["person"]["address"], address("bob"));
    let wallet = of_kind(&lines, "wallet")[0];
    let grants: Vec<_> = wallet["grants"].as_array().unwrap().iter().map(|grant| &grant["name"]).collect();
    assert!(grants.contains(&&Value::from("welcome")), "{wallet}");
    let kept = server.snapshot().await;
    assert_eq!(wallet["balance_micros"], kept.balance_micros);
    assert_usage(&lines);

    let text = lines.iter().map(Value::to_string).collect::<String>();
    let random = |secret: &str| secret.rsplit('_').next().unwrap().to_owned();
    let hashes = hashes(&town);
    assert!(hashes.len() >= 6, "{hashes:?}");
    for secret in secrets.iter().map(|secret| random(secret)).chain(hashes) {
        assert!(!text.contains(&secret), "the export has `{secret}`");
    }
    for foreign in ["\"other\"", "Other", "elsewhere"] {
        assert!(!text.contains(foreign), "the export has `{foreign}`");
    }
}

/// The sums of the hours are those of the calls, and so are the sums of each dimension.
fn assert_usage(lines: &[Value]) {
    let hours = of_kind(lines, "usage_hour");
    let sum = |records: &[&Value]| records.iter().map(|sums| sums["calls"].as_i64().unwrap()).sum::<i64>();
    let whole: Vec<_> =
        hours.iter().filter(|hour| hour["dimension"].is_null()).map(|hour| &hour["sums"]).collect();
    assert_eq!((i64::try_from(whole.len()).unwrap(), sum(&whole)), (HOURS, CALLS));
    assert_eq!(whole.iter().map(|sums| sums["refused"].as_i64().unwrap()).sum::<i64>(), 1);
    let mut dimensions = BTreeMap::<_, Vec<&Value>>::new();
    for hour in hours.iter().filter(|hour| hour["sums"].is_null()) {
        let values = hour["values"].as_object().unwrap().values();
        dimensions.entry(hour["dimension"].as_str().unwrap()).or_default().extend(values);
    }
    for name in ["service", "endpoint", "api_key_id", "team"] {
        assert_eq!(sum(&dimensions[name]), CALLS, "{name}");
    }
    let events = of_kind(lines, "event");
    let mut ids: Vec<_> = events.iter().map(|event| event["event"]["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "none twice");
    assert_eq!(of_kind(lines, "refusal")[0]["event"]["id"], "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_people_ends_with_the_tenant() {
    let town = Town::new().await;
    busy(&town).await;
    let mut admin = town.server.operator().admin();
    let name = |name: &str| v1::UpdateTenantRequest {
        tenant_id: TENANT.into(),
        name: Some(name.into()),
        ..Default::default()
    };
    admin.update_tenant(name("Lovelace and Daughter")).await.unwrap();
    let deletion = v1::DeleteTenantRequest { tenant_id: TENANT.into(), grace_days: Some(1) };
    admin.delete_tenant(deletion).await.unwrap();
    town.clock().advance(DAY);
    assert!(ran(&town.server, "end_tenants").await.starts_with("ended 1 tenants"));
    let lines = export(&town.server, &town.server.operator(), TENANT).await;
    for kind in ["api_key", "session", "member", "roster", "invitation"] {
        assert!(of_kind(&lines, kind).is_empty(), "{kind}");
    }
    assert_eq!(of_kind(&lines, "event").len(), usize::try_from(CALLS).unwrap());
    let text = lines.iter().map(Value::to_string).collect::<String>();
    for gone in ["example.com", "Lovelace"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    let renamed = of_kind(&lines, "audit_entry");
    let renamed = renamed.iter().find(|entry| entry["method"] == "UpdateTenant").unwrap();
    assert_eq!((&renamed["is_erased"], &renamed["peer"]), (&Value::from(true), &Value::from("")));
    let verify = v1::VerifyAuditLogRequest { tenant_id: TENANT.into(), ..Default::default() };
    let verified = admin.verify_audit_log(verify).await.unwrap().into_inner();
    assert!(verified.verified_count > 5 && verified.broken_number == 0, "{verified:?}");
    let missing = v1::GetUserRequest { address: address("ada"), ..Default::default() };
    admin.get_user(missing).await.expect_err("a person ends with the last membership");
    let bob = v1::GetUserRequest { address: address("bob"), ..Default::default() };
    admin.get_user(bob).await.expect("who belongs elsewhere stays");
}
