//! The audit log: it misses nothing, and what was done to it is found.

use std::sync::Arc;

use tollgate::identity::audit::entry::{Actor, ActorKind, Entry, Outcome};
use tollgate::identity::audit::note::Note;
use tollgate::identity::audit::{Action, Audit, Broken};
use tollgate::store::records::{Kept, Records};
use tollgate::time::{DAY, MINUTE};
use tollgate_client::v1;
use tonic::Code;

use crate::door::{Door, as_operator, reason, with_key};
use crate::rooms::Rooms;

fn action(scope: &str, method: &str) -> Action {
    let actor = Actor { kind: ActorKind::Member, id: String::from("usr_1") };
    Action { actor, method: method.to_owned(), peer: String::from("192.0.2.7"), scope: scope.to_owned() }
}

async fn fill(audit: &Audit, scope: &str, entries: usize) {
    for number in 0..entries {
        let note = Note { target: format!("role/{number}"), ..Note::default() };
        audit.record(action(scope, "CreateRole"), note, Outcome::Done).await.expect("an entry is kept");
    }
}

async fn entry(rooms: &Rooms, number: u64) -> Kept<Entry> {
    let entries = Records::<Entry>::new(rooms.store.documents.clone());
    entries.get(&Entry::id_of("acme", number)).await.expect("an answer").expect("an entry")
}

async fn write(rooms: &Rooms, entry: &Kept<Entry>) {
    let entries = Records::<Entry>::new(rooms.store.documents.clone());
    assert!(entries.replace(entry).await.expect("an answer"));
}

async fn remove(rooms: &Rooms, number: u64) {
    let entries = Records::<Entry>::new(rooms.store.documents.clone());
    assert!(entries.delete(&Entry::id_of("acme", number), 1).await.expect("an answer"));
}

#[tokio::test]
async fn whole_log_is_found_whole_from_any_place() {
    let rooms = Rooms::new().await;
    fill(&rooms.audit, "acme", 5).await;
    fill(&rooms.audit, "", 2).await;
    for (scope, first, entries) in
        [("acme", 0, 5), ("acme", 1, 5), ("acme", 3, 3), ("", 1, 2), ("nobody", 0, 0)]
    {
        let verified = rooms.audit.verify(scope, first).await.unwrap();
        assert_eq!(
            (verified.entries, verified.broken, verified.next),
            (entries, None, None),
            "{scope} {first}"
        );
    }
}

#[tokio::test]
async fn any_edit_is_found() {
    let edits: [fn(&mut Entry); 10] = [
        |entry| entry.said.method = String::from("CreateRolf"),
        |entry| entry.said.target.push('0'),
        |entry| entry.said.actor.id = String::from("usr_2"),
        |entry| entry.said.actor.kind = ActorKind::Operator,
        |entry| entry.said.peer.clear(),
        |entry| entry.said.outcome = Outcome::Denied(String::new()),
        |entry| entry.said.at = entry.said.at.plus(1),
        |entry| entry.said.after = String::from("{}"),
        |entry| entry.previous = String::new(),
        |entry| entry.digest = entry.digest.replace('a', "b"),
    ];
    for (place, edit) in edits.into_iter().enumerate() {
        let rooms = Rooms::new().await;
        fill(&rooms.audit, "acme", 4).await;
        let mut edited = entry(&rooms, 2).await;
        let before = edited.record.clone();
        edit(&mut edited.record);
        if edited.record == before {
            continue;
        }
        write(&rooms, &edited).await;
        let verified = rooms.audit.verify("acme", 0).await.unwrap();
        assert_eq!((verified.entries, verified.broken), (1, Some(Broken::Changed(2))), "edit {place}");
    }
}

#[tokio::test]
async fn entry_is_erased_only_where_its_tenant_has_ended() {
    let rooms = Rooms::new().await;
    fill(&rooms.audit, "acme", 4).await;
    let kept = entry(&rooms, 2).await;
    let mut erased = serde_json::to_value(&kept.record).unwrap();
    for text in ["peer", "before", "after", "salt"] {
        erased[text] = String::new().into();
    }
    erased["is_erased"] = true.into();
    let record = serde_json::from_value(erased).unwrap();
    write(&rooms, &Kept { record, revision: kept.revision }).await;
    let found = rooms.audit.verify("acme", 0).await.unwrap();
    assert_eq!(found.broken, Some(Broken::Changed(2)), "the tenant is there");
    rooms.tenants.delete("acme", 1).await.unwrap();
    assert_eq!(
        rooms.audit.verify("acme", 0).await.unwrap().broken,
        Some(Broken::Changed(2)),
        "it may come back"
    );
    rooms.store.time.advance(DAY);
    let found = rooms.audit.verify("acme", 0).await.unwrap();
    assert_eq!((found.entries, found.broken), (4, None), "what is left is as it was written");
    let mut edited = entry(&rooms, 2).await;
    edited.record.said.actor.id = String::from("usr_2");
    write(&rooms, &edited).await;
    assert_eq!(rooms.audit.verify("acme", 0).await.unwrap().broken, Some(Broken::Changed(2)));
}

#[tokio::test]
async fn missing_and_swapped_entries_are_found() {
    for missing in 1..=4 {
        let rooms = Rooms::new().await;
        fill(&rooms.audit, "acme", 4).await;
        remove(&rooms, missing).await;
        let verified = rooms.audit.verify("acme", 0).await.unwrap();
        assert_eq!(verified.broken, Some(Broken::Missing(missing)), "entry {missing}");
    }
    let rooms = Rooms::new().await;
    fill(&rooms.audit, "acme", 4).await;
    let (mut second, mut third) = (entry(&rooms, 2).await, entry(&rooms, 3).await);
    std::mem::swap(&mut second.record.said, &mut third.record.said);
    std::mem::swap(&mut second.record.digest, &mut third.record.digest);
    write(&rooms, &second).await;
    write(&rooms, &third).await;
    assert_eq!(rooms.audit.verify("acme", 0).await.unwrap().broken, Some(Broken::Changed(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_changes_at_once_on_two_servers_make_one_chain() {
    let here = Rooms::new().await;
    let there = here.beside().await;
    let appends = (0..50).map(|number| {
        let audit = Arc::clone(if number % 2 == 0 { &here.audit } else { &there.audit });
        async move {
            let intent = audit.begin(action("acme", "GrantCredits")).await?;
            audit.end(intent, Note::default(), Outcome::Done).await
        }
    });
    for appended in futures_util::future::join_all(appends).await {
        appended.unwrap();
    }
    let verified = here.audit.verify("acme", 0).await.unwrap();
    assert_eq!((verified.entries, verified.broken), (50, None));
}

#[tokio::test]
async fn action_whose_server_ended_gets_its_entry_from_a_job() {
    let rooms = Rooms::new().await;
    let _begun = rooms.audit.begin(action("acme", "DeleteRole")).await.unwrap();
    assert_eq!(rooms.audit.sweep(10).await.unwrap(), 0, "it may go on");
    rooms.store.time.advance(MINUTE + 1);
    assert_eq!(rooms.audit.sweep(10).await.unwrap(), 1);
    assert_eq!(rooms.audit.sweep(10).await.unwrap(), 0);
    let page = rooms.audit.list("acme", None, 10).await.unwrap();
    let said = &page.records[0].said;
    assert_eq!((said.method.as_str(), &said.outcome), ("DeleteRole", &Outcome::Unknown));
}

#[tokio::test]
async fn what_is_changed_is_kept_with_who_and_what_and_without_secrets() {
    let mut door = Door::new().await;
    let key = door.key_of("acme").await;
    let list = || v1::ListAuditEntriesRequest { tenant_id: String::from("acme"), ..Default::default() };
    let suspend =
        v1::SuspendTenantRequest { tenant_id: String::from("acme"), reason: String::from("unpaid") };
    door.admin.suspend_tenant(with_key(&key, suspend.clone())).await.unwrap_err();
    door.admin.suspend_tenant(as_operator(suspend)).await.unwrap();
    let missing = v1::ResumeTenantRequest { tenant_id: String::from("nobody") };
    door.admin.resume_tenant(as_operator(missing)).await.unwrap_err();
    let entries = door.admin.list_audit_entries(as_operator(list())).await.unwrap().into_inner().entries;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| format!("{} {:?} {}", entry.method, entry.actor_kind(), entry.outcome().as_str_name()))
        .collect();
    let expected = [
        "SuspendTenant Operator AUDIT_OUTCOME_DONE",
        "SuspendTenant Tenant AUDIT_OUTCOME_DENIED",
        "CreateApiKey Operator AUDIT_OUTCOME_DONE",
    ];
    assert_eq!(seen, expected);
    assert!(entries[0].before.contains("active") && entries[0].after.contains("unpaid"), "{:?}", entries[0]);
    assert_eq!(
        (entries[0].target.as_str(), entries[1].reason.as_str()),
        ("tenant/acme", "PERMISSION_MISSING")
    );
    assert!(entries[2].target.starts_with("api_key/key_") && entries[2].after.contains("usage.track"));
    let secret = key.rsplit('_').next().unwrap();
    assert!(!format!("{entries:?}").contains(secret));

    let all = v1::ListAuditEntriesRequest::default();
    let platform = door.admin.list_audit_entries(as_operator(all)).await.unwrap().into_inner().entries;
    assert_eq!(
        (platform[0].method.as_str(), platform[0].reason.as_str()),
        ("ResumeTenant", "TENANT_NOT_FOUND")
    );
    let verify = v1::VerifyAuditLogRequest { tenant_id: String::from("acme"), first_number: 0 };
    let verified = door.admin.verify_audit_log(as_operator(verify)).await.unwrap().into_inner();
    assert_eq!((verified.verified_count, verified.broken_number, verified.next_number), (3, 0, 0));
    let own = door.admin.list_audit_entries(with_key(&key, list())).await.unwrap_err();
    assert_eq!((own.code(), reason(&own).as_str()), (Code::PermissionDenied, "PERMISSION_MISSING"));
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_done_or_its_answer_is_withheld() {
    for (kind, is_done) in [("audit_intent", false), ("audit_entry", true)] {
        let mut door = Door::new().await;
        let suspend = v1::SuspendTenantRequest { tenant_id: String::from("acme"), reason: String::new() };
        door.rooms.store.watched.refuse(Some(kind));
        let refused = door.admin.suspend_tenant(as_operator(suspend)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
        door.rooms.store.watched.refuse(None);
        let get = v1::GetTenantRequest { tenant_id: String::from("acme") };
        let tenant = door.admin.get_tenant(as_operator(get)).await.unwrap().into_inner().tenant.unwrap();
        assert_eq!(tenant.state() == v1::TenantState::Suspended, is_done, "{kind}");
        door.rooms.store.time.advance(MINUTE + 1);
        let swept = door.rooms.audit.sweep(10).await.unwrap();
        assert_eq!(swept, usize::from(is_done), "the intent of what was done is found, {kind}");
    }
}

#[tokio::test]
async fn chain_goes_on_though_nobody_knows_how_far_it_goes() {
    let rooms = Rooms::new().await;
    fill(&rooms.audit, "acme", 300).await;
    let revision = rooms.store.documents.get("audit_head", "of/acme").await.unwrap().unwrap().revision;
    assert!(rooms.store.documents.delete("audit_head", "of/acme", revision).await.unwrap());
    fill(&rooms.audit, "acme", 1).await;
    let verified = rooms.audit.verify("acme", 0).await.unwrap();
    assert_eq!((verified.entries, verified.broken), (301, None));
}
