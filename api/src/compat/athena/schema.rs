//! Declares the request bodies of this API with their schemas, and its query parameters.

use domain::{
    id::KeyId,
    keys::{list::MAX_SKIPPED, quota::MAX_INTEGER},
};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};

use super::lenient::Kind;
use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::{ParameterSchema, RawParam},
    strict_json::REQUIRED,
};

/// Declares a request body that is parsed leniently: the struct, its schema and its parser. A row is a field: its name in JSON and
/// in Rust, its type, the meaning of `null`, the [`Kind`], and the description.
///
/// - `required`: an `Option`, which is always `Some` in a parsed body;
/// - `optional`: an `Option`; `null` is rejected;
/// - `null_is_absent`: an `Option`; `null` is the same as absent;
/// - `nullable`: a [`Sent`](super::lenient::Sent), for a field that `null` clears.
macro_rules! lenient_document {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident = $schema:literal, $description:literal {
            $( $json:literal $field:ident: $type:ty = $null:ident $kind:expr, $text:literal; )+
        }
    ) => {
        $(#[$meta])*
        $visibility struct $name {
            $( $field: $type, )+
        }

        impl $crate::http::body::Document for $name {
            fn read(
                fields: $crate::http::strict_json::JsonFields,
            ) -> Result<Self, $crate::http::api_error::ApiError> {
                let mut body = $crate::compat::athena::lenient::Body::new(fields.into_map());
                $(
                    let sent = $crate::compat::athena::lenient::Kind::take($kind, &mut body, $json);
                    let $field = $crate::compat::athena::schema::lenient_document!(@read $null, body, $json, sent);
                )+
                body.finish()?;
                Ok(Self { $( $field, )+ })
            }
        }

        $crate::http::openapi_types::value_type!(
            [] $name,
            $schema,
            poem_openapi::registry::MetaSchemaRef::Reference($schema.to_owned()),
            |registry| registry.create_schema::<Self, _>($schema.to_owned(), |registry| {
                let required = [$( ($json, stringify!($null) == "required"), )+];
                poem_openapi::registry::MetaSchema {
                    description: Some($description),
                    required: required.into_iter().filter_map(|(name, is)| is.then_some(name)).collect(),
                    properties: vec![$({
                        let is_nullable = matches!(stringify!($null), "nullable" | "null_is_absent");
                        ($json, $crate::compat::athena::schema::property(registry, $kind, $text, is_nullable))
                    }),+],
                    ..poem_openapi::registry::MetaSchema::new("object")
                }
            })
        );
    };

    (@read required, $body:ident, $json:literal, $sent:ident) => { $body.required($json, $sent) };
    (@read optional, $body:ident, $json:literal, $sent:ident) => { $body.optional($json, $sent) };
    (@read null_is_absent, $body:ident, $json:literal, $sent:ident) => { $sent.into_option() };
    (@read nullable, $body:ident, $json:literal, $sent:ident) => { $sent };
}

pub(super) use lenient_document;

/// The schema of a field.
pub(super) fn property<K: Kind>(
    registry: &mut Registry,
    kind: K,
    description: &'static str,
    nullable: bool,
) -> MetaSchemaRef {
    K::register(registry);
    MetaSchemaRef::Inline(Box::new(MetaSchema { description: Some(description), nullable, ..kind.schema() }))
}

/// A required parameter: the id of a key.
#[derive(Debug)]
pub(super) struct KeyIdText;

impl KeyIdText {
    /// The id of the key. `None`: the text is not an id.
    pub(super) fn read(text: Option<&RawParam<Self>>) -> Result<Option<KeyId>, ApiError> {
        match text.map(RawParam::text).filter(|text| !str::is_empty(text)) {
            Some(text) => Ok(text.parse().ok()),
            None => Err(ApiError::Invalid(Fields::one("id", REQUIRED))),
        }
    }
}

impl ParameterSchema for KeyIdText {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

/// The optional parameter `limit`: a whole number.
#[derive(Debug)]
pub(super) struct ListLimit;

impl ListLimit {
    pub(super) fn read(text: Option<&RawParam<Self>>) -> Result<Option<u64>, ApiError> {
        read_number("limit", text, MAX_INTEGER)
    }
}

impl ParameterSchema for ListLimit {
    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(0.0), ..MetaSchema::new_with_format("integer", "int64") }
    }
}

/// The optional parameter `offset`: a whole number up to [`MAX_SKIPPED`].
#[derive(Debug)]
pub(super) struct ListOffset;

impl ListOffset {
    pub(super) fn read(text: Option<&RawParam<Self>>) -> Result<u64, ApiError> {
        Ok(read_number("offset", text, MAX_SKIPPED)?.unwrap_or(0))
    }
}

impl ParameterSchema for ListOffset {
    fn schema() -> MetaSchema {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let maximum = Some(MAX_SKIPPED as f64);
        MetaSchema { maximum, ..ListLimit::schema() }
    }
}

/// Reads a query parameter that is a whole number up to `max`. `None`: it is absent or empty.
fn read_number<T>(name: &str, text: Option<&RawParam<T>>, max: u64) -> Result<Option<u64>, ApiError> {
    let Some(text) = text.map(RawParam::text).filter(|text| !str::is_empty(text)) else { return Ok(None) };
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| plain && *number <= max);
    number
        .map(Some)
        .ok_or_else(|| ApiError::Invalid(Fields::one(name, format_args!("must be a whole number from 0 to {max}"))))
}
