//! Every method of every service, called by every kind of caller: what is answered stands in a table by hand, and a method
//! of the contract without a row fails.

use serde_json::json;
use tollgate_client::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::raw::{get, post_track};
use crate::server::TENANT;

mod columns;
mod contract;
mod ids;
mod requests;
mod rows;
mod scene;
mod wire;

use columns::{Caller, Column};
use contract::{Method, methods, within};
use requests::Asking;
use rows::{LETTERS, rows};
use scene::Scene;

/// These end the caller's session, or stop its tenant: each such call has a tenant and a caller of its own.
const HARMFUL: [&str; 4] = ["Logout", "ChangePassword", "DeleteTenant", "SuspendTenant"];

#[test]
fn the_table_has_every_method_and_every_column() {
    let names: Vec<_> = methods().into_iter().map(|method| method.full_name()).collect();
    let rows = rows();
    let known: Vec<_> = rows.iter().map(|(name, _)| name.clone()).collect();
    let missing: Vec<_> = names.iter().filter(|name| !known.contains(name)).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    assert_eq!(names, known, "a row for each method, in the order of the contract");
    assert_eq!(rows::columns(), Column::ALL.map(Column::name));
    for (name, row) in rows {
        assert_eq!(row.split(' ').count(), Column::ALL.len(), "{name} has an answer for each column");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_caller_is_answered_as_the_table_says() {
    let scene = Scene::new().await;
    let callers = scene.callers().await;
    let mut wrong = Vec::new();
    for method in methods() {
        let mut answers = Vec::new();
        for caller in &callers {
            answers.push(letter(&answered(&scene, &method, caller).await));
        }
        let (name, answers, expected) = (method.full_name(), answers.join(" "), row(&method));
        if answers != expected {
            wrong.push(format!("{name}\n    {answers}\n    {expected} is expected"));
        }
    }
    assert!(wrong.is_empty(), "{} rows are not so:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_every_caller_is_answered_as_the_table_says_too() {
    let scene = Scene::new().await;
    let address = scene.town.server.address();
    let methods = methods();
    let row_of = |name: &str| row(methods.iter().find(|method| method.name == name).unwrap());
    let body = json!({ "tenant_id": TENANT, "service_name": "search", "endpoint": "/find" }).to_string();
    let mut answers = Vec::new();
    for caller in scene.callers().await {
        let bearer = format!("Bearer {}", caller.credential);
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let credential = if caller.credential.is_empty() { &headers[..1] } else { &headers };
        let page = post_track(address, credential, &body).await;
        let reason = page.json()["reason"].as_str().unwrap_or_default().to_owned();
        let code = match page.status {
            200 => Code::Ok,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            other => panic!("{:?}: {other}, {page:?}", caller.column),
        };
        answers.push(letter(&(code, reason)));
    }
    assert_eq!(answers.join(" "), row_of("Track"));
    assert_eq!(get(address, "/.well-known/jwks.json").await.status, 200);
    assert!(row_of("GetJwks").starts_with('+'));
}

/// The row of a method; empty: it has none.
fn row(method: &Method) -> String {
    let found = rows().into_iter().find(|(name, _)| *name == method.full_name());
    found.map(|(_, row)| row).unwrap_or_default()
}

/// What a caller is answered to a good request of a method.
async fn answered(scene: &Scene, method: &Method, caller: &Caller) -> (Code, String) {
    if !HARMFUL.contains(&method.name.as_str()) {
        return call(scene, method, caller, TENANT).await;
    }
    let tenant = scene.tenant().await;
    let caller = caller.column.caller(scene, &tenant).await;
    call(scene, method, &caller, &tenant).await
}

async fn call(scene: &Scene, method: &Method, caller: &Caller, tenant: &str) -> (Code, String) {
    let asking = Asking { scene, tenant, caller, method, instead: None };
    let answer = asking.answer().await;
    if method.name == "RunJob" {
        at_rest(scene).await;
    }
    outcome(method, answer.as_deref())
}

/// Code and reason of an answer; also where several things were asked for, and one of them was refused.
fn outcome(method: &Method, answer: Result<&[u8], &Status>) -> (Code, String) {
    let answer = match answer {
        Ok(bytes) => method.read(bytes),
        Err(status) => {
            let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
            return (status.code(), reason.unwrap_or_default());
        }
    };
    if let Some(error) = within(&answer, "ItemError").first() {
        let error: v1::ItemError = error.transcode_to().unwrap();
        return (Code::from(error.code), error.reason);
    }
    for verdict in within(&answer, "Verdict") {
        let verdict: v1::Verdict = verdict.transcode_to().unwrap();
        assert_eq!(verdict.decision(), v1::Decision::Allowed, "{}: {verdict:?}", method.path);
    }
    (Code::Ok, String::new())
}

/// How the table calls an answer.
fn letter((code, reason): &(Code, String)) -> String {
    let known = LETTERS.iter().find(|(_, known, why)| known == code && why == reason);
    known.map_or_else(|| format!("{code:?}/{reason}"), |(letter, ..)| letter.to_string())
}

/// Waits until no job runs.
async fn at_rest(scene: &Scene) {
    let admin = scene.operator().admin();
    loop {
        let jobs = admin.clone().list_jobs(v1::ListJobsRequest {}).await.unwrap().into_inner().jobs;
        if jobs.iter().flat_map(|job| &job.runs).all(|run| run.end_time.is_some()) {
            return;
        }
        tokio::task::yield_now().await;
    }
}
