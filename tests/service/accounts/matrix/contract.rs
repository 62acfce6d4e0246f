//! The methods of the contract, and the fields of what they take, as its descriptor says.

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
    ReflectMessage as _,
};
use tollgate::api::DESCRIPTOR;

/// The contract's own messages.
const PACKAGE: &str = "tollgate.v1";

/// A method of the contract.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub(super) name: String,
    /// Such as `/tollgate.v1.TrackService/Track`.
    pub(super) path: String,
    /// Whether its answer goes on.
    pub(super) streams: bool,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
}

/// All methods, in the order of the contract.
pub(super) fn methods() -> Vec<Method> {
    let pool = DescriptorPool::decode(DESCRIPTOR).unwrap();
    let services = pool.services().filter(|service| service.package_name() == PACKAGE);
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let method = |method: prost_reflect::MethodDescriptor| {
        assert!(!method.is_client_streaming(), "{} is called with one message here", method.full_name());
        Method {
            name: method.name().to_owned(),
            path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
            streams: method.is_server_streaming(),
            input: method.input(),
            output: method.output(),
        }
    };
    methods.map(method).collect()
}

impl Method {
    /// The places of all texts in its request, such as `event.id`. What is in a map has names of the caller's making.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut found = Vec::new();
        texts(&self.input, "", &mut found);
        found
    }

    /// The first of some rules that is for a place in its request: it ends the place, as `event.id` and `Track.event.id` do.
    pub(super) fn rule<T: Copy>(&self, rules: &[(&str, T)], place: &str) -> Option<T> {
        let whole = format!(".{}.{place}", self.name);
        let found =
            rules.iter().find(|(end, _)| whole.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')));
        found.map(|(_, rule)| *rule)
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.input.get_field_by_name(field).is_some()
    }

    /// Such as `TrackService/Track`.
    pub(super) fn full_name(&self) -> String {
        self.path.trim_start_matches('/').trim_start_matches(PACKAGE).trim_start_matches('.').to_owned()
    }

    /// What it answered.
    pub(super) fn read(&self, bytes: &[u8]) -> DynamicMessage {
        DynamicMessage::decode(self.output.clone(), bytes).unwrap()
    }
}

fn texts(message: &MessageDescriptor, before: &str, found: &mut Vec<String>) {
    for field in message.fields() {
        let place = format!("{before}{}", field.name());
        match field.kind() {
            Kind::String => found.push(place),
            Kind::Message(inner) if is_ours(&field) => texts(&inner, &format!("{place}."), found),
            _ => {}
        }
    }
}

/// Whether it is a message of the contract, and no map.
fn is_ours(field: &FieldDescriptor) -> bool {
    let Kind::Message(message) = field.kind() else { return false };
    message.package_name() == PACKAGE && !field.is_map()
}

/// All messages of that name in an answer.
pub(super) fn within(answer: &DynamicMessage, name: &str) -> Vec<DynamicMessage> {
    let mut found = Vec::new();
    collect(answer, name, &mut found);
    found
}

fn collect(message: &DynamicMessage, name: &str, found: &mut Vec<DynamicMessage>) {
    if message.descriptor().name() == name {
        found.push(message.clone());
    }
    for (field, value) in message.fields().filter(|(field, _)| is_ours(field)) {
        match field.cardinality() {
            Cardinality::Repeated => {
                let each = value.as_list().unwrap_or_default().iter().filter_map(|value| value.as_message());
                each.for_each(|message| collect(message, name, found));
            }
            _ => value.as_message().into_iter().for_each(|message| collect(message, name, found)),
        }
    }
}
