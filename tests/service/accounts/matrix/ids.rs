//! Whoever names what is another tenant's is answered as if it were not there, whatever the field: a field of the contract
//! that nobody knows here fails.

use prost::Message as _;
use prost_reflect::Value;
use tollgate_client::v1;
use tonic::{Code, Status};
use tonic_types::pb;

use super::columns::{Caller, Column};
use super::contract::{Method, methods, within};
use super::outcome;
use super::requests::Asking;
use super::scene::{STRANGERS, Scene, Thing};
use crate::server::TENANT;

/// What a text of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    /// The name of something that is a tenant's.
    Of(Thing),
    /// A name that callers give, which means something only within their own tenant.
    Event,
    Request,
    /// Where a list or a stream of a tenant goes on.
    Page,
    Resume,
    /// The name of something that is no tenant's, a secret, or any words.
    Free,
}

/// What a text is: by the first rule that ends its place.
const TEXTS: &[(&str, Text)] = &[
    // Lists of all tenants, of all people and of what everybody has.
    ("ListPlans.page_token", Text::Free),
    ("ListStaff.page_token", Text::Free),
    ("ListTenants.page_token", Text::Free),
    ("ListUsers.page_token", Text::Free),
    ("AddStaff.role", Text::Free),
    ("ChangeMemberRole.role", Text::Of(Thing::Role)),
    ("DeleteRole.name", Text::Of(Thing::Role)),
    ("EndSession.id", Text::Of(Thing::Session)),
    ("GetApiKey.id", Text::Of(Thing::Key)),
    ("InviteMember.role", Text::Of(Thing::Role)),
    ("RevokeApiKey.id", Text::Of(Thing::Key)),
    ("RevokeInvitation.id", Text::Of(Thing::Invitation)),
    ("RotateApiKey.id", Text::Of(Thing::Key)),
    ("UpdateApiKey.id", Text::Of(Thing::Key)),
    ("UpdateRole.name", Text::Of(Thing::Role)),
    ("completions.event_id", Text::Of(Thing::Event)),
    ("consumers.id", Text::Free),
    ("event.id", Text::Event),
    ("page_token", Text::Page),
    ("request_id", Text::Request),
    ("reservation_id", Text::Of(Thing::Reservation)),
    ("resume_token", Text::Resume),
    ("tenant_id", Text::Of(Thing::Tenant)),
    ("user_id", Text::Of(Thing::Member)),
];

/// Fields that are free wherever they stand.
const FREE: &str = "address allowed_networks allowed_services api_key api_version code country currency custom_name \
    description endpoint endpoints feature features method model name networks new_password old_password \
    password permissions plan query reason refresh_token region service services slug tenant_name \
    time_zone unit untracked_endpoints value";

/// A call that names what is another's, or what is not there.
struct Case<'a> {
    caller: &'a Caller,
    method: &'a Method,
    place: String,
    foreign: String,
    missing: String,
}

/// All that a caller can tell one answer from another by.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    code: Code,
    words: Vec<String>,
}

#[test]
fn of_every_text_of_a_request_it_is_known_what_it_is() {
    let mut unknown = Vec::new();
    for method in methods() {
        let texts = method.texts().into_iter().filter(|place| kind(&method, place).is_none());
        unknown.extend(texts.map(|place| format!("{}.{place}", method.name)));
    }
    assert!(unknown.is_empty(), "nobody knows whether these name what is a tenant's: {unknown:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_as_what_is_not_there() {
    let scene = Scene::new().await;
    let methods = methods();
    let mut callers = Vec::new();
    for column in [Column::Owner, Column::Key, Column::Operator] {
        callers.push(column.caller(&scene, STRANGERS).await);
    }
    let cases = cases(&scene, &methods, &callers).await;
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    let before = held(&scene).await;
    for Case { caller, method, place, foreign, missing } in &cases {
        let ask = async |text: &str| {
            let instead = Some((place.as_str(), Value::String(text.to_owned())));
            let asking = Asking { scene: &scene, tenant: STRANGERS, caller, method, instead };
            let answer = asking.answer().await;
            (outcome(method, answer.as_deref()).0, seen(method, answer, text))
        };
        let ((code, theirs), (_, nothing)) = (ask(foreign).await, ask(missing).await);
        let name = format!("{:?} of another tenant, {}.{place}", caller.column, method.name);
        assert_eq!(theirs, nothing, "{name}");
        if matches!(kind(method, place), Some(Text::Of(_) | Text::Page | Text::Resume)) {
            assert_ne!(code, Code::Ok, "{name}: {theirs:?}");
        }
    }
    assert_eq!(held(&scene).await, before, "nothing has happened to what is another's");
}

fn kind(method: &Method, place: &str) -> Option<Text> {
    let field = place.rsplit('.').next().unwrap_or_default();
    method.rule(TEXTS, place).or_else(|| FREE.split(' ').any(|free| free == field).then_some(Text::Free))
}

/// Every place of every method that can name what is another's. Who may name any tenant names its own there.
async fn cases<'a>(scene: &Scene, methods: &'a [Method], callers: &'a [Caller]) -> Vec<Case<'a>> {
    let owner = Column::Owner.caller(scene, TENANT).await;
    for thing in [Thing::Key, Thing::Member, Thing::Invitation, Thing::Event].repeat(2) {
        scene.make(thing, TENANT, &owner).await;
    }
    // Now the events are in the lists.
    scene.town.server.snapshot().await;
    let mut cases = Vec::new();
    for method in methods {
        for place in method.texts() {
            let kind = kind(method, &place).unwrap();
            if kind == Text::Free {
                continue;
            }
            let foreign = foreign(scene, &owner, method, &place, kind).await;
            let missing = missing(&foreign);
            for caller in callers {
                let may_name_tenants = caller.column == Column::Operator;
                if may_name_tenants && (kind == Text::Of(Thing::Tenant) || !method.has("tenant_id")) {
                    continue;
                }
                let (place, foreign, missing) = (place.clone(), foreign.clone(), missing.clone());
                cases.push(Case { caller, method, place, foreign, missing });
            }
        }
    }
    cases
}

/// What stands at that place where the first tenant calls.
async fn foreign(scene: &Scene, owner: &Caller, method: &Method, place: &str, kind: Text) -> String {
    let ask = async |place: &str, value: Value| {
        let instead = Some((place, value));
        let asking = Asking { scene, tenant: TENANT, caller: owner, method, instead };
        asking.answer().await
    };
    let field = |answer: Result<Vec<u8>, Status>, name: &str| {
        let answer = method.read(&answer.unwrap());
        let token = answer.get_field_by_name(name).unwrap().as_str().unwrap().to_owned();
        assert_ne!(token, "", "{} has no {name}", method.name);
        token
    };
    match kind {
        Text::Of(thing) => scene.make(thing, TENANT, owner).await,
        Text::Event => scene.make(Thing::Event, TENANT, owner).await,
        Text::Request => {
            let id = scene.name();
            // Who may not do it has not done it.
            drop(ask(place, Value::String(id.clone())).await);
            id
        }
        Text::Page => field(ask("page_size", Value::I32(1)).await, "next_page_token"),
        Text::Resume => field(ask(place, Value::String(String::new())).await, place),
        Text::Free => String::new(),
    }
}

/// A name of the same form and length that nothing has.
fn missing(name: &str) -> String {
    let place = name.rfind('_').map_or(0, |end| end + 1);
    let other = |letter: u8| match letter {
        b'0' => b'1',
        b'1'..=b'9' => b'0',
        b'a' => b'b',
        _ => b'a',
    };
    let mut letters = name.as_bytes().to_vec();
    letters[place] = other(letters[place]);
    String::from_utf8(letters).unwrap()
}

/// What can be seen of an answer, without the name that was asked for and what is new in every answer.
fn seen(method: &Method, answer: Result<Vec<u8>, Status>, name: &str) -> Seen {
    let mut seen = match answer {
        Err(status) => {
            let mut headers: Vec<_> = status.metadata().keys().map(|key| format!("{key:?}")).collect();
            headers.sort();
            let words = [status.message().to_owned()].into_iter().chain(headers).chain(details(&status));
            Seen { code: status.code(), words: words.collect() }
        }
        Ok(bytes) => Seen { code: Code::Ok, words: told(method, &bytes, name) },
    };
    seen.words.iter_mut().for_each(|words| *words = words.replace(name, "…"));
    seen
}

/// What an answer that is no error tells of whom it is about: what was refused, or done before, and a tenant's name.
fn told(method: &Method, bytes: &[u8], name: &str) -> Vec<String> {
    let answer = method.read(bytes);
    let errors = within(&answer, "ItemError").into_iter().map(|error| {
        let error: v1::ItemError = error.transcode_to().unwrap();
        format!("{error:?}")
    });
    let tracked = within(&answer, "TrackResponse").into_iter().chain([answer.clone()]);
    let replayed =
        tracked.filter_map(|one| one.get_field_by_name("replayed").map(|value| format!("{value:?}")));
    let is_named = String::from_utf8_lossy(bytes).replace(name, "…").contains(TENANT);
    errors.chain(replayed).chain([format!("names the first tenant: {is_named}")]).collect()
}

/// The details of an error, without the id of the call.
fn details(status: &Status) -> Vec<String> {
    let details = pb::Status::decode(status.details()).unwrap().details;
    let text = |detail: prost_types::Any| {
        if !detail.type_url.ends_with("/google.rpc.ErrorInfo") {
            return format!("{} {}", detail.type_url, String::from_utf8_lossy(&detail.value));
        }
        let info = pb::ErrorInfo::decode(detail.value.as_slice()).unwrap();
        let mut metadata: Vec<_> = info.metadata.into_iter().filter(|(name, _)| name != "call_id").collect();
        metadata.sort();
        format!("{} {} {metadata:?}", info.domain, info.reason)
    };
    details.into_iter().map(text).collect()
}

/// All that is held on the first tenant, but for who looked at it.
async fn held(scene: &Scene) -> Vec<String> {
    scene.town.server.snapshot().await;
    let request = v1::ExportTenantRequest { tenant_id: TENANT.to_owned() };
    let mut export = scene.operator().admin().export_tenant(request).await.unwrap().into_inner();
    let mut lines = Vec::new();
    while let Some(line) = export.message().await.unwrap() {
        lines.extend(Some(line.line).filter(|line| !line.contains("\"kind\":\"audit_entry\"")));
    }
    lines
}
