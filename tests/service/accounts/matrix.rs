//! Every method of every service, for every kind of caller: what is expected stands in a table by hand, and a method of the
//! contract without a row fails.

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tollgate::api::DESCRIPTOR;
use tollgate_client::v1;
use tonic::Code;

use crate::program::OPERATOR_KEY;
use crate::raw::{Answer, Raw};
use crate::server::{Server, TENANT};

mod columns;
mod rows;

use columns::{Column, permissions};
use rows::ROWS;

/// A method of the contract.
#[derive(Clone, Debug)]
struct Method {
    name: String,
    path: String,
    streams: bool,
    input: DescriptorProto,
}

fn methods() -> Vec<Method> {
    let files = FileDescriptorSet::decode(DESCRIPTOR).unwrap().file;
    let files: Vec<_> = files.into_iter().filter(|file| file.package() == "tollgate.v1").collect();
    let message = |name: &str| {
        let mut all = files.iter().flat_map(|file| &file.message_type);
        all.find(|message| format!(".tollgate.v1.{}", message.name()) == name).unwrap().clone()
    };
    let mut methods = Vec::new();
    for service in files.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            methods.push(Method {
                name: method.name().to_owned(),
                path: format!("/tollgate.v1.{}/{}", service.name(), method.name()),
                streams: method.server_streaming() || method.client_streaming(),
                input: message(method.input_type()),
            });
        }
    }
    methods
}

impl Method {
    /// Whether that column may call it, by the table.
    fn expects(&self, column: Column) -> bool {
        let row = ROWS.iter().find(|(name, _)| *name == self.name);
        let (_, may) = row.unwrap_or_else(|| panic!("`{}` has no row in the matrix", self.path));
        *may == "anyone" || (*may == "any" && column != Column::Nobody) || may.contains(column.letter())
    }

    /// A request with one text in it; `None`: it has no such field.
    fn request(&self, field: &str, value: &str) -> Option<Vec<u8>> {
        let field = self.input.field.iter().find(|one| one.name() == field)?;
        let mut bytes = Vec::new();
        prost::encoding::string::encode(field.number().unsigned_abs(), &value.to_owned(), &mut bytes);
        Some(bytes)
    }
}

#[test]
fn every_method_has_a_row_and_every_row_a_method() {
    let names: Vec<_> = methods().into_iter().map(|method| method.name).collect();
    let missing: Vec<_> = names.iter().filter(|name| !ROWS.iter().any(|(row, _)| row == name)).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    let strange: Vec<_> = ROWS.iter().filter(|(row, _)| !names.iter().any(|name| name == row)).collect();
    assert!(strange.is_empty(), "without a method: {strange:?}");
}

#[tokio::test]
async fn every_role_may_call_what_the_table_says() {
    for column in Column::ALL {
        let permissions = permissions(column).await;
        for method in methods() {
            let required = tollgate::identity::permission::required(&method.path).unwrap();
            let may = match (required, permissions) {
                (tollgate::identity::permission::Required::Nothing, _) => true,
                (_, None) => false,
                (tollgate::identity::permission::Required::Authenticated, Some(_)) => true,
                (tollgate::identity::permission::Required::Permission(one), Some(all)) => all.has(one),
            };
            assert_eq!(may, method.expects(column), "{column:?} calls {}", method.path);
        }
    }
}

#[tokio::test]
async fn the_port_lets_those_in_that_the_table_says() {
    let server = Server::new().await;
    for column in Column::ALL {
        let Some(credential) = column.credential(&server).await else { continue };
        let raw = Raw::connect(server.address(), &credential).await;
        for method in methods() {
            let may = method.expects(column);
            // What streams would not end.
            if may && method.streams {
                continue;
            }
            let answer = raw.call(&method.path, &[]).await;
            let is_in = answer.code != Code::Unauthenticated && answer.reason != "PERMISSION_MISSING";
            assert_eq!(is_in, may, "{column:?} calls {}: {answer:?}", method.path);
        }
    }
}

/// The answers to a request with that text in that field, for what is another's and for what is not there.
async fn pair(raw: &Raw, method: &Method, field: &str, texts: [&str; 2]) -> Option<(Answer, Answer)> {
    let mut answers = Vec::new();
    for text in texts {
        let mut answer = raw.call(&method.path, &method.request(field, text)?).await;
        answer.message = answer.message.replace(text, "…");
        answers.push(answer);
    }
    let missing = answers.pop()?;
    Some((answers.pop()?, missing))
}

#[tokio::test]
async fn tenant_of_another_is_as_one_that_is_not_there() {
    let server = Server::new().await.with_tenant("other", "free").await;
    let raw = Raw::connect(server.address(), &server.key_of("other").await).await;
    let mut asked = 0;
    for method in methods() {
        let Some((foreign, missing)) = pair(&raw, &method, "tenant_id", [TENANT, "nobody"]).await else {
            continue;
        };
        assert_eq!(foreign, missing, "{}", method.path);
        assert_ne!(foreign.code, Code::Ok, "{}", method.path);
        asked += 1;
    }
    assert!(asked >= 20, "only {asked} methods name a tenant");
}

#[tokio::test]
async fn thing_of_another_is_as_one_that_is_not_there() {
    let server = Server::new().await.with_trusting_plan().await.with_tenant("other", "free").await;
    let (mine, theirs) = (server.key_of("other").await, server.key().await);
    let client = server.client(&theirs);
    let reserve =
        v1::ReserveRequest { event: Some(event()), credits_micros: 1_000_000, ..Default::default() };
    let reserved = client.track().reserve(reserve).await.unwrap().into_inner();
    let me = client.auth().who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner();
    let raw = Raw::connect(server.address(), &mine).await;
    let all = methods();
    for (name, field, foreign) in [
        ("RevokeApiKey", "id", me.api_key_id.as_str()),
        ("Settle", "reservation_id", &reserved.reservation_id),
        ("Release", "reservation_id", &reserved.reservation_id),
        ("Extend", "reservation_id", &reserved.reservation_id),
    ] {
        let method = all.iter().find(|method| method.name == name).unwrap();
        let missing = format!("{}0", foreign.split_at(foreign.len() - 1).0);
        let (foreign, missing) = pair(&raw, method, field, [foreign, &missing]).await.unwrap();
        assert_eq!(foreign, missing, "{name}");
        assert_ne!(foreign.code, Code::Ok, "{name}");
    }
    // And nothing has happened to it.
    client.auth().who_am_i(v1::WhoAmIRequest {}).await.expect("the key is good");
}

#[tokio::test]
async fn member_of_another_tenant_is_as_nobody() {
    let server = Server::new().await.with_tenant("other", "free").await;
    let raw = Raw::connect(server.address(), OPERATOR_KEY).await;
    let all = methods();
    for name in ["ChangeMemberRole", "RemoveMember"] {
        let method = all.iter().find(|method| method.name == name).unwrap();
        for user in ["usr_somebody", "*", "of/acme", "../acme"] {
            let mut request = method.request("tenant_id", "other").unwrap();
            request.extend(method.request("user_id", user).unwrap());
            request.extend(method.request("role", "viewer").unwrap_or_default());
            let answer = raw.call(&method.path, &request).await;
            assert_eq!(
                (answer.code, answer.reason.as_str()),
                (Code::NotFound, "MEMBER_NOT_FOUND"),
                "{name} {user}"
            );
        }
    }
}

fn event() -> v1::UsageEvent {
    v1::UsageEvent { service: String::from("search"), endpoint: String::from("/find"), ..Default::default() }
}
