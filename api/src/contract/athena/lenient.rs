//! The leniency of this contract, all of it. Its documents show every value as a string, its own SDK can send nothing else,
//! and other clients send what the values are: both are taken.
//!
//! - a whole number, or a string of one without sign or leading zeros;
//! - a boolean, or `"true"` and `"false"`;
//! - an object, or a string that holds one as JSON;
//! - `""` is the same as absent.

use std::{borrow::Cow, net::IpAddr};

use domain::{change::Change, permission::PermissionSet, quota, text::Invalid};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde_json::{Map, Value};

use crate::{
    failure::{Failure, Fields},
    json,
};

/// A field as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent<T> {
    /// Not at all, or empty.
    Absent,
    /// As `null`.
    Null,
    /// With a value.
    Value(T),
}

impl<T> Sent<T> {
    /// What a create makes of it: `null` is the same as absent.
    pub(super) fn given(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// What an update makes of it: `null` clears.
    pub(super) fn change(self) -> Change<T> {
        match self {
            Self::Absent => Change::Keep,
            Self::Null => Change::Clear,
            Self::Value(value) => Change::Set(value),
        }
    }

    pub(super) fn is_value(&self) -> bool {
        matches!(self, Self::Value(_))
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// The members of a body, taken out one by one. Members that nobody takes are ignored.
#[derive(Debug)]
pub(super) struct Body {
    members: Map<String, Value>,
    wrong: Fields,
}

impl Body {
    pub(super) fn new(members: Map<String, Value>) -> Self {
        Self { members, wrong: Fields::default() }
    }

    /// A string. Its rule is given as it is the domain's.
    pub(super) fn text<T>(&mut self, name: &str, rule: impl Fn(&str) -> Result<T, Invalid>) -> Sent<T> {
        match self.take(name) {
            Sent::Value(Value::String(text)) => self.checked(name, rule(&text)),
            Sent::Value(_) => self.refuse(name, "must be a string"),
            Sent::Null => Sent::Null,
            Sent::Absent => Sent::Absent,
        }
    }

    /// A whole number from `min` to `max`.
    pub(super) fn integer(&mut self, name: &str, min: u64, max: u64) -> Sent<u64> {
        let value = match self.take(name) {
            Sent::Value(value) => value,
            Sent::Null => return Sent::Null,
            Sent::Absent => return Sent::Absent,
        };
        let text = match &value {
            // The digits as they were written: nothing wraps, and 1.0 or 1e3 are no whole numbers here.
            Value::Number(number) => Cow::Owned(number.to_string()),
            Value::String(text) => Cow::Borrowed(text.as_str()),
            _ => return self.refuse(name, WHOLE),
        };
        let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
        match text.parse::<u64>() {
            Ok(number) if plain => {
                let number = quota::integer(number, min).ok().filter(|number| *number <= max);
                self.checked(name, number.ok_or(Invalid::Range { min, max }))
            }
            _ if plain => self.checked(name, Err(Invalid::Range { min, max })),
            _ => self.refuse(name, WHOLE),
        }
    }

    /// True or false.
    pub(super) fn boolean(&mut self, name: &str) -> Sent<bool> {
        match self.take(name) {
            Sent::Value(Value::Bool(value)) => Sent::Value(value),
            Sent::Value(Value::String(text)) if text == "true" => Sent::Value(true),
            Sent::Value(Value::String(text)) if text == "false" => Sent::Value(false),
            Sent::Value(_) => self.refuse(name, "must be true or false"),
            Sent::Null => Sent::Null,
            Sent::Absent => Sent::Absent,
        }
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str) -> Sent<Map<String, Value>> {
        match self.take(name) {
            Sent::Value(Value::Object(map)) => Sent::Value(map),
            Sent::Value(Value::String(text)) => match json::parse(text.as_bytes()) {
                Ok(Value::Object(map)) => Sent::Value(map),
                _ => self.refuse(name, "must be an object, or a string that holds one as JSON"),
            },
            Sent::Value(_) => self.refuse(name, "must be an object"),
            Sent::Null => Sent::Null,
            Sent::Absent => Sent::Absent,
        }
    }

    /// Permissions in the map form.
    pub(super) fn permissions(&mut self, name: &str) -> Sent<PermissionSet> {
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
            None => self.refuse(name, "must give each resource an array of actions"),
            Some(lists) => {
                let lists = lists.iter().map(|(resource, actions)| (*resource, actions.iter().map(String::as_str)));
                self.checked(name, PermissionSet::from_map(lists))
            }
        }
    }

    /// What is known about who shows a key: an object whose member `ip` is an address. Other members are ignored, as everywhere in
    /// this contract.
    pub(super) fn address(&mut self, name: &str) -> Option<IpAddr> {
        let mut context = self.object(name).given()?;
        match context.remove("ip")? {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) if text.parse::<IpAddr>().is_ok() => text.parse().ok(),
            _ => {
                self.wrong.add(name, "must hold an IP address as ip");
                None
            }
        }
    }

    /// Notes that a field has to be there, or may not be `null`.
    pub(super) fn require<T>(&mut self, name: &str, sent: Sent<T>) -> Option<T> {
        match sent {
            Sent::Value(value) => Some(value),
            Sent::Absent | Sent::Null => {
                if !self.wrong.iter().any(|(wrong, _)| wrong == name) {
                    self.wrong.add(name, json::REQUIRED);
                }
                None
            }
        }
    }

    /// A field that may be absent but not `null`.
    pub(super) fn not_null<T>(&mut self, name: &str, sent: Sent<T>) -> Option<T> {
        if matches!(sent, Sent::Null) {
            self.wrong.add(name, "must not be null");
        }
        sent.given()
    }

    /// Ends the reading.
    pub(super) fn finish(self) -> Result<(), Failure> {
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

    fn checked<T>(&mut self, name: &str, value: Result<T, Invalid>) -> Sent<T> {
        self.wrong.check(name, value).map_or(Sent::Absent, Sent::Value)
    }

    fn refuse<T>(&mut self, name: &str, wrong: &str) -> Sent<T> {
        self.wrong.add(name, wrong);
        Sent::Absent
    }
}

const WHOLE: &str = "must be a whole number, or a string of one";

/// The kinds of fields, for the document.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Integer,
    Boolean,
    Object,
    Permissions,
}

impl Kind {
    /// What a field of this kind takes.
    pub(super) fn schema(self, description: &'static str, nullable: bool) -> MetaSchema {
        let inline = |schema| MetaSchemaRef::Inline(Box::new(schema));
        let either = |first: MetaSchema, second: MetaSchema| MetaSchema {
            one_of: vec![inline(MetaSchema { nullable, ..first }), inline(second)],
            ..MetaSchema::ANY
        };
        let any_of_text = |enum_items: &[&str]| MetaSchema {
            enum_items: enum_items.iter().map(|text| Value::from(*text)).collect(),
            ..MetaSchema::new("string")
        };
        let map =
            |values| MetaSchema { additional_properties: Some(Box::new(inline(values))), ..MetaSchema::new("object") };
        let schema = match self {
            Self::Text => MetaSchema { nullable, ..MetaSchema::new("string") },
            Self::Integer => {
                let digits = MetaSchema { pattern: Some("^(0|[1-9][0-9]*)$".to_owned()), ..MetaSchema::new("string") };
                either(MetaSchema::new_with_format("integer", "int64"), digits)
            }
            Self::Boolean => either(MetaSchema::new("boolean"), any_of_text(&["true", "false"])),
            Self::Object => either(map(MetaSchema::ANY), MetaSchema::new("string")),
            Self::Permissions => {
                let actions =
                    MetaSchema { items: Some(Box::new(inline(MetaSchema::new("string")))), ..MetaSchema::new("array") };
                either(map(actions), MetaSchema::new("string"))
            }
        };
        MetaSchema { description: Some(description), ..schema }
    }
}
