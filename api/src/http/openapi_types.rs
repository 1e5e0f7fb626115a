//! Types of requests and responses that several contracts share, with exact schemas in the OpenAPI document.

use std::{borrow::Cow, marker::PhantomData};

use domain::change::Change;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde_json::{Map, Value};

use crate::http::strict_json::FromJson;

/// A field that is always present and may be `null`. (`Option` would be documented as a field that may be absent.)
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
            // Keywords next to a `$ref` are ignored, so it is wrapped in an `allOf`. With a `type` next to the `allOf`, some
            // generators (progenitor, openapi-python-client) reject null; a `oneOf` with null is not supported by others.
            reference @ MetaSchemaRef::Reference(_) => {
                let schema = MetaSchema { nullable: true, all_of: vec![reference], ..MetaSchema::ANY };
                MetaSchemaRef::Inline(Box::new(schema))
            }
            inline => inline.merge(MetaSchema { nullable: true, ..MetaSchema::ANY }),
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.0.as_raw_value()
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        self.0.raw_element_iter()
    }
}

impl<T: ToJSON> ToJSON for Nullable<T> {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.as_ref().and_then(ToJSON::to_json).unwrap_or(Value::Null))
    }
}

// The derive of an object requires both directions, also for types that are only in responses.
impl<T: ParseFromJSON> ParseFromJSON for Nullable<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Option::<T>::parse_from_json(value).map(Self).map_err(ParseError::propagate)
    }
}

/// A field of an update: if it is absent, the setting is unchanged; `null` clears it.
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

// The derive of an object requires both directions, also for types that are only in requests.
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

/// A field of an update that cannot be empty: if it is absent, the setting is unchanged; `null` is invalid.
#[derive(Clone, Copy, Debug)]
pub struct Replace<T>(pub Option<T>);

impl<T: Type> Type for Replace<T> {
    const IS_REQUIRED: bool = false;

    type RawValueType = T::RawValueType;
    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.0.as_raw_value()
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        self.0.raw_element_iter()
    }
}

// The derive of an object requires both directions, also for types that are only in requests.
impl<T: ToJSON> ToJSON for Replace<T> {
    fn to_json(&self) -> Option<Value> {
        self.0.as_ref().and_then(ToJSON::to_json)
    }
}

impl<T: ParseFromJSON> ParseFromJSON for Replace<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Option::<T>::parse_from_json(value).map(Self).map_err(ParseError::propagate)
    }
}

/// Implements [`Type`] for a type that is a single JSON value, with its schema or a reference to it, and the registration of that.
macro_rules! value_type {
    ([$($generics:tt)*] $type:ty, $name:expr, $schema:expr, |$registry:ident| $register:expr) => {
        impl<$($generics)*> Type for $type {
            const IS_REQUIRED: bool = true;

            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                $schema
            }

            fn register($registry: &mut poem_openapi::registry::Registry) {
                $register
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

/// [`value_type`] with an inline schema.
macro_rules! plain_type {
    ([$($generics:tt)*] $type:ty, $name:literal, $schema:expr) => {
        $crate::http::openapi_types::value_type!(
            [$($generics)*] $type, $name, MetaSchemaRef::Inline(Box::new($schema)), |_registry| {}
        );
    };
}

/// [`value_type`] with a named schema that is referenced.
macro_rules! named_type {
    ($type:ty, $name:literal, $schema:expr) => {
        $crate::http::openapi_types::value_type!(
            [] $type, $name, MetaSchemaRef::Reference($name.to_owned()),
            |registry| registry.create_schema::<Self, _>($name.to_owned(), |_| $schema)
        );
    };
}

/// A JSON object with any members.
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
        Self::from_json(value.unwrap_or_default()).ok_or_else(ParseError::expected_input)
    }
}

impl FromJson for JsonObject {
    const EXPECTED: &'static str = Map::EXPECTED;

    fn from_json(value: Value) -> Option<Self> {
        Map::from_json(value).map(Self)
    }
}

/// A JSON object whose values all have the type `T`. The order of the members is kept.
#[derive(Clone, Debug)]
pub struct JsonMap<T>(pub Vec<(String, T)>);

plain_type!([T: Type] JsonMap<T>, "json_map", MetaSchema {
    additional_properties: Some(Box::new(T::schema_ref())),
    ..MetaSchema::new("object")
});

impl<T: ToJSON> ToJSON for JsonMap<T> {
    fn to_json(&self) -> Option<Value> {
        let members = self.0.iter().filter_map(|(name, value)| Some((name.clone(), value.to_json()?)));
        Some(Value::Object(members.collect()))
    }
}

impl<T: ParseFromJSON> ParseFromJSON for JsonMap<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let members = Map::from_json(value.unwrap_or_default()).ok_or_else(ParseError::expected_input)?;
        let parse = |(name, value)| T::parse_from_json(Some(value)).map(|value| (name, value));
        members.into_iter().map(parse).collect::<Result<_, _>>().map(Self).map_err(ParseError::propagate)
    }
}

/// A parameter of the path or the query that the operation parses itself, after authorization. `S` is its schema.
#[derive(Debug)]
pub struct RawParam<S> {
    text: String,
    schema: PhantomData<fn() -> S>,
}

pub(crate) use {named_type, plain_type, value_type};

/// The schema of a parameter in the OpenAPI document.
pub trait ParameterSchema {
    /// The complete schema.
    fn schema() -> MetaSchema;

    /// The inline schema, or a reference to a schema that [`Self::register`] registers.
    #[must_use]
    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(Self::schema()))
    }

    /// Registers the schema if [`Self::schema_ref`] is a reference.
    fn register(_registry: &mut Registry) {}
}

/// The schema of a UUID.
#[derive(Debug)]
pub struct Id;

impl ParameterSchema for Id {
    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("string", "uuid")
    }
}

impl<S> RawParam<S> {
    /// The value as it was sent, percent-decoded.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl RawParam<Id> {
    /// The id. `None`: the value is not an id, so nothing has it.
    #[must_use]
    pub fn id<T: std::str::FromStr>(&self) -> Option<T> {
        self.text.parse().ok()
    }
}

value_type!([S: ParameterSchema] RawParam<S>, "parameter", S::schema_ref(), |registry| S::register(registry));

impl<S: ParameterSchema> ParseFromParameter for RawParam<S> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self { text: value.to_owned(), schema: PhantomData })
    }
}
