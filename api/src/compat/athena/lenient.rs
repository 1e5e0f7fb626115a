//! Lenient parsing of request bodies. Athena's documentation shows every value as a string, and its SDK can only send strings. Other
//! clients send JSON numbers, booleans and objects. Both are accepted:
//!
//! - a whole number, or a string of one without sign or leading zeros;
//! - a boolean, or `"true"` and `"false"`;
//! - an object, or a string that holds one as JSON;
//! - `""` is the same as absent.

use std::{borrow::Cow, net::IpAddr};

use domain::{change::Change, keys::quota, permissions::Permissions, validated_string::ValidationError};
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde_json::{Map, Value};

use super::dto::PermissionMap;
use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::named_type,
    strict_json,
};

/// A field of a request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent<T> {
    /// Absent, or `""`.
    Absent,
    /// `null`.
    Null,
    /// A valid value.
    Value(T),
}

impl<T> Sent<T> {
    /// The value in a request that creates a key: `null` is the same as absent.
    pub(super) fn into_option(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// The change in a request that updates a key: `null` clears the field.
    pub(super) fn change(self) -> Change<T> {
        match self {
            Self::Absent => Change::Keep,
            Self::Null => Change::Clear,
            Self::Value(value) => Change::Set(value),
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A body whose fields are taken out one by one. Unknown fields are ignored.
#[derive(Debug)]
pub(super) struct Body {
    members: Map<String, Value>,
    wrong: Fields,
}

impl Body {
    pub(super) fn new(members: Map<String, Value>) -> Self {
        Self { members, wrong: Fields::default() }
    }

    /// Takes a string, and parses it with `rule`.
    fn text<T>(&mut self, name: &str, rule: impl Fn(&str) -> Result<T, ValidationError>) -> Sent<T> {
        match self.take(name) {
            Sent::Value(Value::String(text)) => self.checked(name, rule(&text)),
            Sent::Value(_) => self.invalid(name, "must be a string"),
            Sent::Null => Sent::Null,
            Sent::Absent => Sent::Absent,
        }
    }

    /// Takes a whole number from `min` to `max`, both inclusive.
    fn integer(&mut self, name: &str, min: u64, max: u64) -> Sent<u64> {
        let value = match self.take(name) {
            Sent::Value(value) => value,
            Sent::Null => return Sent::Null,
            Sent::Absent => return Sent::Absent,
        };
        let text = match &value {
            // The digits as they were written, so that nothing overflows, and 1.0 and 1e3 are rejected.
            Value::Number(number) => Cow::Owned(number.to_string()),
            Value::String(text) => Cow::Borrowed(text.as_str()),
            _ => return self.invalid(name, EXPECTED_INTEGER),
        };
        let is_canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
        match text.parse::<u64>() {
            Ok(number) if is_canonical => {
                let number = quota::integer(number, min).ok().filter(|number| *number <= max);
                self.checked(name, number.ok_or(ValidationError::Range { min, max }))
            }
            _ if is_canonical => self.checked(name, Err(ValidationError::Range { min, max })),
            _ => self.invalid(name, EXPECTED_INTEGER),
        }
    }

    /// Takes a boolean.
    fn boolean(&mut self, name: &str) -> Sent<bool> {
        match self.take(name) {
            Sent::Value(Value::Bool(value)) => Sent::Value(value),
            Sent::Value(Value::String(text)) if text == "true" => Sent::Value(true),
            Sent::Value(Value::String(text)) if text == "false" => Sent::Value(false),
            Sent::Value(_) => self.invalid(name, "must be true or false"),
            Sent::Null => Sent::Null,
            Sent::Absent => Sent::Absent,
        }
    }

    /// Takes an object.
    fn object(&mut self, name: &str) -> Sent<Map<String, Value>> {
        match self.take(name) {
            Sent::Value(Value::Object(map)) => Sent::Value(map),
            Sent::Value(Value::String(text)) => match strict_json::parse(text.as_bytes()) {
                Ok(Value::Object(map)) => Sent::Value(map),
                _ => self.invalid(name, "must be an object, or a string containing one as JSON"),
            },
            Sent::Value(_) => self.invalid(name, "must be an object"),
            Sent::Null => Sent::Null,
            Sent::Absent => Sent::Absent,
        }
    }

    /// Takes permissions as a map from resource to actions.
    fn permissions(&mut self, name: &str) -> Sent<Permissions> {
        let map = match self.object(name) {
            Sent::Value(map) => map,
            Sent::Null => return Sent::Null,
            Sent::Absent => return Sent::Absent,
        };
        let actions = |value: &'_ Value| -> Option<Vec<String>> {
            value.as_array()?.iter().map(|action| action.as_str().map(ToOwned::to_owned)).collect()
        };
        let lists: Option<Vec<(&str, Vec<String>)>> =
            map.iter().map(|(resource, value)| Some((resource.as_str(), actions(value)?))).collect();
        match lists {
            None => self.invalid(name, "must map each resource to an array of actions"),
            Some(lists) => {
                let lists = lists.iter().map(|(resource, actions)| (*resource, actions.iter().map(String::as_str)));
                self.checked(name, Permissions::from_map(lists))
            }
        }
    }

    /// Takes the IP address of the client that sent the key: an object whose field `ip` is an address. Other fields are ignored, as
    /// in all objects of this API.
    fn address(&mut self, name: &str) -> Sent<IpAddr> {
        let Some(mut context) = self.object(name).into_option() else { return Sent::Absent };
        match context.remove("ip") {
            None | Some(Value::Null) => Sent::Absent,
            Some(Value::String(text)) if text.is_empty() => Sent::Absent,
            Some(Value::String(text)) => match text.parse() {
                Ok(address) => Sent::Value(address),
                Err(_) => self.invalid(name, EXPECTED_CONTEXT),
            },
            Some(_) => self.invalid(name, EXPECTED_CONTEXT),
        }
    }

    /// The value of a required field. Records an error if it is absent or `null`.
    pub(super) fn required<T>(&mut self, name: &str, sent: Sent<T>) -> Option<T> {
        match sent {
            Sent::Value(value) => Some(value),
            Sent::Absent | Sent::Null => {
                if !self.wrong.iter().any(|(wrong, _)| wrong == name) {
                    self.wrong.add(name, strict_json::REQUIRED);
                }
                None
            }
        }
    }

    /// The value of an optional field. Records an error if it is `null`.
    pub(super) fn optional<T>(&mut self, name: &str, sent: Sent<T>) -> Option<T> {
        if matches!(sent, Sent::Null) {
            self.wrong.add(name, "must not be null");
        }
        sent.into_option()
    }

    /// Ends the parsing. Fails with all recorded errors.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        self.wrong.into_result()
    }

    fn take(&mut self, name: &str) -> Sent<Value> {
        match self.members.remove(name) {
            None => Sent::Absent,
            Some(Value::String(text)) if text.is_empty() => Sent::Absent,
            Some(Value::Null) => Sent::Null,
            Some(value) => Sent::Value(value),
        }
    }

    fn checked<T>(&mut self, name: &str, value: Result<T, ValidationError>) -> Sent<T> {
        self.wrong.check(name, value).map_or(Sent::Absent, Sent::Value)
    }

    fn invalid<T>(&mut self, name: &str, wrong: &str) -> Sent<T> {
        self.wrong.add(name, wrong);
        Sent::Absent
    }
}

const EXPECTED_INTEGER: &str = "must be a whole number, or a string containing one";

const EXPECTED_CONTEXT: &str = "must contain an IP address as ip";

/// A kind of field: how its value is parsed, and its schema. The schema has the JSON type of the value. That strings are also
/// accepted is in the descriptions: with a choice between an object and a string, many generators leave out the object.
pub(super) trait Kind {
    /// The type of the parsed value.
    type Value;

    /// Takes the field out of a body.
    fn take(self, body: &mut Body, name: &str) -> Sent<Self::Value>;

    /// The schema of the field.
    fn schema(self) -> MetaSchema;

    /// Registers the named schema that [`Kind::schema`] refers to, if any.
    fn register(_: &mut Registry) {}
}

/// A string that is parsed by this function.
pub(super) struct Text<T>(pub(super) fn(&str) -> Result<T, ValidationError>);

/// A whole number: its minimum and its maximum, both inclusive. `None`: the maximum of all integers in the API.
pub(super) struct Integer(pub(super) u32, pub(super) Option<u32>);

/// A boolean.
pub(super) struct Boolean;

/// A JSON object.
pub(super) struct Object;

/// A map from resource to actions.
pub(super) struct PermissionsByResource;

/// The IP address of the client that sent a key.
pub(super) struct Client;

impl<T> Kind for Text<T> {
    type Value = T;

    fn take(self, body: &mut Body, name: &str) -> Sent<T> {
        body.text(name, self.0)
    }

    fn schema(self) -> MetaSchema {
        MetaSchema::new("string")
    }
}

impl Kind for Integer {
    type Value = u64;

    fn take(self, body: &mut Body, name: &str) -> Sent<u64> {
        body.integer(name, self.0.into(), self.1.map_or(quota::MAX_INTEGER, u64::from))
    }

    fn schema(self) -> MetaSchema {
        let (minimum, maximum) = (Some(self.0.into()), self.1.map(f64::from));
        MetaSchema { minimum, maximum, ..MetaSchema::new_with_format("integer", "uint64") }
    }
}

impl Kind for Boolean {
    type Value = bool;

    fn take(self, body: &mut Body, name: &str) -> Sent<bool> {
        body.boolean(name)
    }

    fn schema(self) -> MetaSchema {
        MetaSchema::new("boolean")
    }
}

impl Kind for Object {
    type Value = Map<String, Value>;

    fn take(self, body: &mut Body, name: &str) -> Sent<Self::Value> {
        body.object(name)
    }

    fn schema(self) -> MetaSchema {
        reference::<MetadataMap>()
    }

    fn register(registry: &mut Registry) {
        MetadataMap::register(registry);
    }
}

impl Kind for PermissionsByResource {
    type Value = Permissions;

    fn take(self, body: &mut Body, name: &str) -> Sent<Permissions> {
        body.permissions(name)
    }

    fn schema(self) -> MetaSchema {
        reference::<PermissionMap>()
    }

    fn register(registry: &mut Registry) {
        PermissionMap::register(registry);
    }
}

impl Kind for Client {
    type Value = IpAddr;

    fn take(self, body: &mut Body, name: &str) -> Sent<IpAddr> {
        body.address(name)
    }

    fn schema(self) -> MetaSchema {
        reference::<Context>()
    }

    fn register(registry: &mut Registry) {
        Context::register(registry);
    }
}

/// A reference to a named schema, which can have a description of its own.
fn reference<T: Type>() -> MetaSchema {
    MetaSchema { all_of: vec![T::schema_ref()], ..MetaSchema::ANY }
}

/// The schema of metadata in requests.
struct MetadataMap;

named_type!(
    MetadataMap,
    "AthenaMetadata",
    MetaSchema {
        description: Some("An object, or a string containing one as JSON."),
        additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)))),
        ..MetaSchema::new("object")
    }
);

/// The schema of the client that sent a key.
struct Context;

named_type!(
    Context,
    "AthenaContext",
    MetaSchema {
        description: Some("The client that sent the key. Requests can also send it as a string of JSON."),
        properties: vec![(
            "ip",
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                description: Some("IP address of the client."),
                ..MetaSchema::new("string")
            }))
        )],
        ..MetaSchema::new("object")
    }
);
