//! The bodies and parameters as the document describes them. What they mean is in `request`.

use std::{borrow::Cow, marker::PhantomData};

use domain::{id::KeyId, quota::MAX_INTEGER};
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde_json::{Map, Value};

use super::{
    lenient::Kind,
    request::{self, Field},
};
use crate::{
    body::Document,
    failure::{Failure, Fields},
    json::{Members, REQUIRED},
    wire::{ParameterSchema, Unread},
};

/// A body of named fields, read leniently.
pub(super) struct Sheet<S> {
    pub(super) members: Map<String, Value>,
    fields: PhantomData<fn() -> S>,
}

/// Which fields a body has.
pub(super) trait Described {
    /// Of the schema.
    const NAME: &'static str;
    /// What it is.
    const DESCRIPTION: &'static str;
    /// The fields, in the documented order.
    const FIELDS: &'static [Field];
    /// Those that must be there.
    const REQUIRED: &'static [&'static str];
    /// Those that may be `null`.
    const NULLABLE: &'static [&'static str];
}

/// The body of create.
pub(super) struct Create;

impl Described for Create {
    const NAME: &'static str = "AthenaCreate";
    const DESCRIPTION: &'static str =
        "A key to be made. Every field is optional; null and \"\" are the same as absent.";
    const FIELDS: &'static [Field] = request::CREATE;
    const REQUIRED: &'static [&'static str] = &[];
    const NULLABLE: &'static [&'static str] = &[
        "name",
        "expiresIn",
        "userId",
        "prefix",
        "remaining",
        "metadata",
        "refillAmount",
        "refillInterval",
        "rateLimitTimeWindow",
        "rateLimitMax",
        "rateLimitEnabled",
        "permissions",
    ];
}

/// The body of update.
pub(super) struct Update;

impl Described for Update {
    const NAME: &'static str = "AthenaUpdate";
    const DESCRIPTION: &'static str = "What changes of a key. What is absent or \"\" stays, null clears.";
    const FIELDS: &'static [Field] = request::UPDATE;
    const REQUIRED: &'static [&'static str] = &["keyId"];
    const NULLABLE: &'static [&'static str] = &[
        "name",
        "expiresIn",
        "remaining",
        "metadata",
        "refillAmount",
        "refillInterval",
        "rateLimitTimeWindow",
        "rateLimitMax",
        "permissions",
    ];
}

/// The body of delete.
pub(super) struct Delete;

impl Described for Delete {
    const NAME: &'static str = "AthenaDelete";
    const DESCRIPTION: &'static str = "Which key.";
    const FIELDS: &'static [Field] = &[("keyId", Kind::Text, "The key.")];
    const REQUIRED: &'static [&'static str] = &["keyId"];
    const NULLABLE: &'static [&'static str] = &[];
}

/// The body of verify.
pub(super) struct Verify;

impl Described for Verify {
    const NAME: &'static str = "AthenaVerify";
    const DESCRIPTION: &'static str = "A key, and what it should be good for.";
    const FIELDS: &'static [Field] = &[
        ("key", Kind::Text, "The text of the key."),
        ("permissions", Kind::Permissions, "Resource to actions, all of which the key must hold; without it, none."),
        (
            "context",
            Kind::Object,
            "`{\"ip\": …}`: from where the key is used. Keys that are bound to addresses need it.",
        ),
    ];
    const REQUIRED: &'static [&'static str] = &["key"];
    const NULLABLE: &'static [&'static str] = &[];
}

impl<S: Described> Type for Sheet<S> {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        S::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(S::NAME.to_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(S::NAME.to_owned(), |_| {
            let property = |(name, kind, description): &Field| {
                let schema = kind.schema(description, S::NULLABLE.contains(name));
                (*name, MetaSchemaRef::Inline(Box::new(schema)))
            };
            MetaSchema {
                description: Some(S::DESCRIPTION),
                required: S::REQUIRED.to_vec(),
                properties: S::FIELDS.iter().map(property).collect(),
                ..MetaSchema::new("object")
            }
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<S: Described> Document for Sheet<S> {
    fn read(members: Members) -> Result<Self, Failure> {
        Ok(Self { members: members.into_map(), fields: PhantomData })
    }
}

/// The identifier of a key, as a parameter that must be there.
#[derive(Debug)]
pub(super) struct KeyIdText;

impl KeyIdText {
    /// The key (`None`: a text that names none).
    pub(super) fn read(text: Option<&Unread<Self>>) -> Result<Option<KeyId>, Failure> {
        match text.map(Unread::text).filter(|text| !str::is_empty(text)) {
            Some(text) => Ok(text.parse().ok()),
            None => Err(Failure::Invalid(Fields::one("id", REQUIRED))),
        }
    }
}

impl ParameterSchema for KeyIdText {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

/// A whole number, as a parameter that may be absent.
#[derive(Debug)]
pub(super) struct ListNumber;

impl ListNumber {
    pub(super) fn read(name: &str, text: Option<&Unread<Self>>) -> Result<Option<u64>, Failure> {
        let Some(text) = text.map(Unread::text).filter(|text| !str::is_empty(text)) else { return Ok(None) };
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| plain && *number <= MAX_INTEGER);
        number.map(Some).ok_or_else(|| Failure::Invalid(Fields::one(name, "must be a whole number")))
    }
}

impl ParameterSchema for ListNumber {
    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(0.0), ..MetaSchema::new_with_format("integer", "int64") }
    }
}
