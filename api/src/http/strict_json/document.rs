//! The macro that declares a request body: the struct, its OpenAPI schema and its strict reader.

use super::{FromJson, JsonFields};
use crate::http::openapi_types::{Patch, Replace};

/// The type of a field of a body: required, or an `Option` (absent and `null` are the same), or in updates a [`Patch`] (absent:
/// unchanged, `null`: cleared) or a [`Replace`] (absent: unchanged, `null`: invalid).
pub trait Field: Sized {
    /// Takes the field `name`. `None`: it is missing or has another type, which `fields` has recorded.
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self>;
}

impl<T: FromJson> Field for T {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        fields.required(name)
    }
}

impl<T: FromJson> Field for Option<T> {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        Some(fields.optional(name))
    }
}

impl<T: FromJson> Field for Patch<T> {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        Some(Self(fields.change(name)))
    }
}

impl<T: FromJson> Field for Replace<T> {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        Some(Self(fields.replacement(name)))
    }
}

/// Fields that are declared together: a body, or a part that several bodies share.
pub trait Part: Sized {
    /// Takes all its fields. `None`: at least one is missing or has another type, which `fields` has recorded.
    fn take(fields: &mut JsonFields) -> Option<Self>;
}

/// Declares a body. The struct is written as for `#[derive(Object)]`, which the macro adds; each field has a type that implements
/// [`Field`], and cannot be renamed. Parts follow the fields, as `..limits: KeyLimits`: each is a struct that is declared with this
/// macro, too, and its fields are fields of the body.
///
/// Generates the struct, [`Part`], and [`Document`](crate::http::body::Document), which reports all wrong fields at once, unknown
/// ones included.
macro_rules! document {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field:ident: $type:ty, )*
            $( ..$part:ident: $part_type:ty, )*
        }
    ) => {
        #[derive(poem_openapi::Object)]
        $(#[$meta])*
        $visibility struct $name {
            $( $(#[$field_meta])* $field: $type, )*
            $( #[oai(flatten)] $part: $part_type, )*
        }

        impl $crate::http::strict_json::Part for $name {
            fn take(fields: &mut $crate::http::strict_json::JsonFields) -> Option<Self> {
                $( let $field = $crate::http::strict_json::Field::take(fields, stringify!($field)); )*
                $( let $part = $crate::http::strict_json::Part::take(fields); )*
                Some(Self { $( $field: $field?, )* $( $part: $part?, )* })
            }
        }

        impl $crate::http::body::Document for $name {
            fn read(
                mut fields: $crate::http::strict_json::JsonFields,
            ) -> Result<Self, $crate::http::api_error::ApiError> {
                let document = $crate::http::strict_json::Part::take(&mut fields);
                fields.finish_strictly()?;
                Ok(document.expect("a missing or wrong field was recorded"))
            }
        }
    };
}

pub(crate) use document;

#[cfg(test)]
mod tests {
    use domain::change::Change;
    use poem_openapi::{registry::Registry, types::Type};
    use serde_json::{Value, json};

    use super::*;
    use crate::http::{api_error::ApiError, body::Document};

    document! {
        /// Limits.
        struct KeyLimits {
            /// A field of a part.
            max: Patch<u64>,
        }
    }

    document! {
        /// A body.
        #[oai(rename = "SampleBody")]
        struct Body {
            /// A required field.
            name: String,
            /// An optional field.
            #[oai(skip_serializing_if_is_none)]
            tags: Option<Vec<String>>,
            /// A field of an update.
            enabled: Patch<bool>,
            /// A field of an update that cannot be empty.
            kept: Replace<bool>,
            ..limits: KeyLimits,
        }
    }

    fn read(body: Value) -> Result<Body, Vec<(String, String)>> {
        Body::read(JsonFields::of(body).expect("an object")).map_err(|error| {
            let ApiError::Invalid(fields) = error else { panic!("{error:?}") };
            fields.iter().map(|(name, wrong)| (name.to_owned(), wrong.to_owned())).collect()
        })
    }

    #[test]
    fn fields_are_read_by_their_types() {
        let Ok(body) = read(json!({"name": "n", "tags": ["a"], "enabled": true, "kept": false, "max": null})) else {
            panic!("valid")
        };
        assert_eq!((body.name.as_str(), body.tags), ("n", Some(vec!["a".to_owned()])));
        assert_eq!((body.enabled.0, body.kept.0, body.limits.max.0), (Change::Set(true), Some(false), Change::Clear));
        let Ok(body) = read(json!({"name": "n", "tags": null})) else { panic!("valid") };
        assert_eq!((body.tags, body.enabled.0, body.kept.0), (None, Change::Keep, None));
    }

    #[test]
    fn all_wrong_fields_are_reported_at_once() {
        let wrong =
            read(json!({"tags": 1, "enabled": "yes", "kept": null, "max": 1.5, "mx": 1})).err().expect("all are wrong");
        let names: Vec<&str> = wrong.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["name", "tags", "enabled", "kept", "max", "mx"]);
        assert_eq!(wrong[3].1, "must not be null; leave it out to keep its value");
        assert_eq!((wrong[0].1.as_str(), wrong[5].1.as_str()), ("is required", "is not a known field"));
    }

    #[test]
    fn the_schema_has_the_fields_that_are_read() {
        let mut registry = Registry::new();
        Body::register(&mut registry);
        let schema = &registry.schemas["SampleBody"];
        let names: Vec<&str> = schema.properties.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            (names, schema.required.as_slice()),
            (vec!["name", "tags", "enabled", "kept", "max"], ["name"].as_slice())
        );
        assert_eq!(schema.description, Some("A body."));
    }
}
