//! Types that several contracts put on the wire, with the truth about them in the OpenAPI document.

use std::{borrow::Cow, marker::PhantomData};

use domain::change::Change;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde_json::{Map, Value};

use crate::json::FromMember;

/// A field that is always there and may be `null`. (`Option` would be documented as a field that may be missing.)
#[derive(Clone, Debug)]
pub struct Nullable<T>(pub Option<T>);

impl<T: Type> Type for Nullable<T> {
    const IS_REQUIRED: bool = true;

    type RawValueType = T::RawValueType;
    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        format!("nullable_{}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        match T::schema_ref() {
            // Beside a reference nothing else counts, and not every generator reads "nullable" beside "allOf": so it is one
            // of two, and the other is null.
            reference @ MetaSchemaRef::Reference(_) => {
                let null = MetaSchema { nullable: true, enum_items: vec![Value::Null], ..MetaSchema::new("object") };
                let null = MetaSchemaRef::Inline(Box::new(null));
                MetaSchemaRef::Inline(Box::new(MetaSchema { one_of: vec![reference, null], ..MetaSchema::ANY }))
            }
            inline => inline.merge(MetaSchema { nullable: true, ..MetaSchema::ANY }),
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.0.as_ref().and_then(Type::as_raw_value)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        match &self.0 {
            Some(value) => value.raw_element_iter(),
            None => Box::new(std::iter::empty()),
        }
    }
}

impl<T: ToJSON> ToJSON for Nullable<T> {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.as_ref().and_then(ToJSON::to_json).unwrap_or(Value::Null))
    }
}

// The derive of an object wants both directions, also where a type is only ever answered.
impl<T: ParseFromJSON> ParseFromJSON for Nullable<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Option::<T>::parse_from_json(value).map(Self).map_err(ParseError::propagate)
    }
}

/// A field of an update: absent keeps, `null` clears.
#[derive(Clone, Debug)]
pub struct Patch<T>(pub Change<T>);

impl<T: Type> Type for Patch<T> {
    const IS_REQUIRED: bool = false;

    type RawValueType = T::RawValueType;
    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        format!("patch_{}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        Nullable::<T>::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        if let Change::Set(value) = &self.0 { value.as_raw_value() } else { None }
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        if let Change::Set(value) = &self.0 { value.raw_element_iter() } else { Box::new(std::iter::empty()) }
    }
}

// The derive of an object wants both directions, also where a type is only ever read.
impl<T: ToJSON> ToJSON for Patch<T> {
    fn to_json(&self) -> Option<Value> {
        match &self.0 {
            Change::Keep => None,
            Change::Clear => Some(Value::Null),
            Change::Set(value) => value.to_json(),
        }
    }
}

impl<T: ParseFromJSON> ParseFromJSON for Patch<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let parsed = Option::<T>::parse_from_json(value).map_err(ParseError::propagate)?;
        Ok(Self(parsed.map_or(Change::Keep, Change::Set)))
    }
}

/// Implements [`Type`] for a type that is one plain value on the wire.
macro_rules! plain_type {
    ([$($generics:tt)*] $type:ty, $name:literal, $schema:expr) => {
        impl<$($generics)*> Type for $type {
            const IS_REQUIRED: bool = true;

            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }
    };
}

/// A JSON object of any members.
#[derive(Clone, Debug)]
pub struct JsonObject(pub Map<String, Value>);

plain_type!([] JsonObject, "json_object", MetaSchema {
    additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)))),
    ..MetaSchema::new("object")
});

impl ToJSON for JsonObject {
    fn to_json(&self) -> Option<Value> {
        Some(Value::Object(self.0.clone()))
    }
}

impl ParseFromJSON for JsonObject {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Self::from_member(value.unwrap_or_default()).ok_or_else(ParseError::expected_input)
    }
}

impl FromMember for JsonObject {
    const EXPECTED: &'static str = Map::EXPECTED;

    fn from_member(value: Value) -> Option<Self> {
        Map::from_member(value).map(Self)
    }
}

/// A parameter of the path or the query as it was written; it is looked at when the operation says so.
#[derive(Debug)]
pub struct Unread<S> {
    text: String,
    schema: PhantomData<fn() -> S>,
}

pub(crate) use plain_type;

/// What a parameter should be, for the document.
pub trait ParameterSchema {
    /// Its schema.
    fn schema() -> MetaSchema;
}

/// A UUID.
#[derive(Debug)]
pub struct Id;

impl ParameterSchema for Id {
    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("string", "uuid")
    }
}

impl<S> Unread<S> {
    /// What was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Unread<Id> {
    /// The identifier, if it is one; what is not one names nothing.
    #[must_use]
    pub fn id<T: std::str::FromStr>(&self) -> Option<T> {
        self.text.parse().ok()
    }
}

plain_type!([S: ParameterSchema] Unread<S>, "parameter", S::schema());

impl<S: ParameterSchema> ParseFromParameter for Unread<S> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self { text: value.to_owned(), schema: PhantomData })
    }
}
