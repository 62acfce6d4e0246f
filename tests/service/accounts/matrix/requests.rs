//! Requests that are good: filled field by field, as the descriptor names them.

use std::future::Future;
use std::pin::Pin;

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use tonic::Status;

use super::columns::Caller;
use super::contract::Method;
use super::scene::{PLAN, Scene, Thing};
use crate::accounts::people::{PASSWORD, address};

/// What stands in a field.
#[derive(Clone, Copy, Debug)]
enum Fill {
    Unset,
    Text(&'static str),
    Number(i64),
    /// A name that nothing has.
    Name,
    /// An address that nobody has.
    Address,
    Thing(Thing),
    /// A message that is filled by the same rules.
    Message,
}

/// A code of the form that codes have.
const NO_CODE: &str = "k3Qz0pF8u2WvY7sN4tB1xR6mC9aJ5hL0gD2eS8iU4oE";

/// What stands in a field: by the first rule that ends its place. What has none stays unset.
const RULES: &[(&str, Fill)] = &[
    ("Complete.completions", Fill::Message),
    ("Complete.completions.event_id", Fill::Thing(Thing::Event)),
    ("Complete.completions.status_code", Fill::Number(200)),
    ("CreateTenant.tenant_id", Fill::Name),
    ("EndSession.id", Fill::Thing(Thing::Session)),
    ("Extend.additional_credits_micros", Fill::Number(1)),
    ("GetApiKey.id", Fill::Thing(Thing::Key)),
    ("GetPlan.plan", Fill::Text("free")),
    ("GetUser.address", Fill::Unset),
    ("GrantCredits.credits_micros", Fill::Number(1_000_000)),
    ("Login.address", Fill::Thing(Thing::Address)),
    ("PublishPlanVersion.version", Fill::Number(1)),
    ("RemoveStaff.user_id", Fill::Thing(Thing::Staff)),
    ("Reserve.credits_micros", Fill::Number(1_000_000)),
    ("RevokeApiKey.id", Fill::Thing(Thing::Key)),
    ("RevokeInvitation.id", Fill::Thing(Thing::Invitation)),
    ("RotateApiKey.id", Fill::Thing(Thing::Key)),
    ("RunJob.name", Fill::Text("clean_up")),
    ("TrackBatch.requests", Fill::Message),
    ("UpdateApiKey.id", Fill::Thing(Thing::Key)),
    ("UpdateRole.name", Fill::Thing(Thing::Role)),
    ("DeleteRole.name", Fill::Thing(Thing::Role)),
    ("AddStaff.role", Fill::Text("support")),
    ("address", Fill::Address),
    ("code", Fill::Text(NO_CODE)),
    ("endpoint", Fill::Text("/find")),
    ("event", Fill::Message),
    ("name", Fill::Name),
    ("new_password", Fill::Text("a cow that nobody milks")),
    ("old_password", Fill::Text(PASSWORD)),
    ("password", Fill::Text(PASSWORD)),
    ("permissions", Fill::Text("usage.read")),
    ("plan", Fill::Text(PLAN)),
    ("refresh_token", Fill::Thing(Thing::RefreshToken)),
    ("request_id", Fill::Name),
    ("reservation_id", Fill::Thing(Thing::Reservation)),
    ("role", Fill::Text("viewer")),
    ("service", Fill::Text("search")),
    ("slug", Fill::Name),
    ("spec", Fill::Message),
    ("tenant_id", Fill::Thing(Thing::Tenant)),
    ("user_id", Fill::Thing(Thing::Member)),
];

/// A request of a method, about a tenant.
#[derive(Clone)]
pub(super) struct Asking<'a> {
    pub(super) scene: &'a Scene,
    pub(super) tenant: &'a str,
    pub(super) caller: &'a Caller,
    pub(super) method: &'a Method,
    /// What stands at one place instead.
    pub(super) instead: Option<(&'a str, Value)>,
}

impl Asking<'_> {
    /// What its caller is answered.
    pub(super) async fn answer(&self) -> Result<Vec<u8>, Status> {
        let message = self.message(self.method.input.clone(), String::new()).await;
        self.scene.wire.call(self.method, &self.caller.credential, message.encode_to_vec()).await
    }

    fn message(
        &self,
        kind: MessageDescriptor,
        before: String,
    ) -> Pin<Box<dyn Future<Output = DynamicMessage> + Send + '_>> {
        Box::pin(async move {
            let mut message = DynamicMessage::new(kind.clone());
            for field in kind.fields() {
                let place = format!("{before}{}", field.name());
                if let Some(value) = self.value(&field, &place).await {
                    let value = if field.is_list() { Value::List(vec![value]) } else { value };
                    message.set_field(&field, value);
                }
            }
            message
        })
    }

    async fn value(&self, field: &FieldDescriptor, place: &str) -> Option<Value> {
        if let Some((_, value)) = self.instead.as_ref().filter(|(other, _)| *other == place) {
            return Some(value.clone());
        }
        let rule = self.method.rule(RULES, place).unwrap_or(Fill::Unset);
        let text = match (rule, field.kind()) {
            (Fill::Unset, _) => return None,
            (Fill::Message, Kind::Message(inner)) => {
                return Some(Value::Message(self.message(inner, format!("{place}.")).await));
            }
            (Fill::Number(number), Kind::Int32) => return Some(Value::I32(number.try_into().unwrap())),
            (Fill::Number(number), _) => return Some(Value::I64(number)),
            (Fill::Text(text), _) => text.to_owned(),
            (Fill::Name, _) => self.scene.name(),
            (Fill::Address, _) => address(&self.scene.name()),
            (Fill::Thing(thing), _) => self.scene.make(thing, self.tenant, self.caller).await,
            (Fill::Message, other) => panic!("`{place}` is {other:?} and no message"),
        };
        Some(Value::String(text))
    }
}
