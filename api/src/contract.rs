//! The published contracts: translators between HTTP and the domain.
//!
//! Each is a folder of the same shape: operations, `dto` (JSON ↔ domain), `error` (its words and statuses). They do not
//! know each other and share nothing but the edge. If one were deleted, its folder, its tests and its mentions here
//! and in [`crate::app`] would go. Every operation has the same order: admit the caller, authorize, read the
//! body, check it, act.

use std::marker::PhantomData;

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse, Tags,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde_json::Value;

use crate::{failure::Failure, json_text::JsonText};

pub mod athena;
pub mod livekit;
pub mod locktera;
pub mod once_only;

/// How a contract says that something failed.
pub struct Shape {
    /// The paths that the contract answers for: this one and everything below it.
    pub prefix: &'static str,
    /// Its words: status and body for a failure and the request's id.
    pub render: fn(&Failure, &str) -> (StatusCode, Value),
}

/// The contracts with a prefix of their own. Everywhere else failures have the shape of the first.
pub const SHAPES: [Shape; 3] = [locktera::SHAPE, livekit::SHAPE, athena::SHAPE];

/// The contract that answers for `path`.
#[must_use]
pub fn shape_of(path: &str) -> &'static Shape {
    let below =
        |shape: &&Shape| path.strip_prefix(shape.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    const { &SHAPES }.iter().find(below).unwrap_or(const { &SHAPES[0] })
}

/// A success: 200 with a JSON body. (The framework's `Json` puts a charset into the media type, which JSON has none of
/// and which becomes part of the names that clients generate.)
pub struct Success<T>(pub T);

impl<T: ToJSON> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type("application/json").body(self.0.to_json_string())
    }
}

impl<T: ToJSON> ApiResponse for Success<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Done.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// As [`Success`], for what is answered often: a text that was written in the shape of `T`.
pub struct Written<T> {
    text: Vec<u8>,
    shape: PhantomData<fn() -> T>,
}

impl<T> Written<T> {
    /// A text that is a `T`.
    #[must_use]
    pub fn new(text: JsonText) -> Self {
        Self { text: text.into_bytes(), shape: PhantomData }
    }
}

impl<T> IntoResponse for Written<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type("application/json").body(self.text)
    }
}

impl<T: ToJSON> ApiResponse for Written<T> {
    fn meta() -> MetaResponses {
        let mut meta = Success::<T>::meta();
        for response in &mut meta.responses {
            response.headers.push(MetaHeader { required: false, ..header(STALE, "integer") });
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// The chapters of the document, one for each contract.
#[derive(Tags)]
pub enum Tag {
    /// Keys of an organization (the contract of Locktera's API key management).
    Organizations,
    /// Sign-up and check of a key (the contract of the LiveKit agents API).
    #[oai(rename = "LiveKit")]
    LiveKit,
    /// Signing in, and tokens that others check.
    Credentials,
    /// Is this key good? What services ask on every request of their own.
    Verify,
    /// The whole life of a key, and verify (the contract of Athena, which is better-auth's API key plugin).
    Athena,
}

/// Which failures an operation documents.
pub trait Documented {
    /// The body of a failure.
    type Body: Type;
    /// Status and when it is answered.
    const STATUSES: &'static [(u16, &'static str)];
}

/// The failure of an operation that documents `D`. It is rendered at the edge, by the contract's [`Shape`].
#[derive(Debug)]
pub struct Failed<D> {
    failure: Failure,
    documented: PhantomData<fn() -> D>,
}

impl<E: Into<Failure>, D> From<E> for Failed<D> {
    fn from(error: E) -> Self {
        Self { failure: error.into(), documented: PhantomData }
    }
}

impl<D> From<Failed<D>> for poem::Error {
    fn from(failed: Failed<D>) -> Self {
        // The status is the contract's to say; this one is never seen.
        Self::new(failed.failure, StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl<D: Documented> ApiResponse for Failed<D> {
    fn meta() -> MetaResponses {
        let responses = D::STATUSES.iter().map(|(status, description)| MetaResponse {
            description,
            status: Some(*status),
            status_range: None,
            content: vec![MetaMediaType { content_type: "application/json", schema: D::Body::schema_ref() }],
            headers: headers(*status),
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        D::Body::register(registry);
    }
}

fn headers(status: u16) -> Vec<MetaHeader> {
    match status {
        401 => vec![header(("WWW-Authenticate", "The challenge of RFC 6750."), "string")],
        429 | 503 => vec![header(("Retry-After", "Seconds to wait before another attempt."), "integer")],
        _ => Vec::new(),
    }
}

const STALE: (&str, &str) = (
    "Claviger-Stale",
    "The answer may be so many seconds old: this node has not heard of the changes of the others for longer than usual.",
);

/// A header that answers have.
pub(crate) fn header((name, description): (&str, &str), ty: &'static str) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new(ty))),
    }
}

/// The descriptions of failures that all contracts share.
pub mod when {
    /// 400.
    pub const INVALID: (u16, &str) = (400, "The body or a parameter is not acceptable.");
    /// 401.
    pub const UNAUTHENTICATED: (u16, &str) = (401, "No credential, or one that is not good.");
    /// 403.
    pub const FORBIDDEN: (u16, &str) = (403, "The caller may not do this.");
    /// 404.
    pub const NOT_FOUND: (u16, &str) = (404, "No such thing in the caller's reach.");
    /// 409.
    pub const CONFLICT: (u16, &str) = (409, "Another one has the name, a cap is reached, or somebody depends on it.");
    /// 412.
    pub const OTHER_VERSION: (u16, &str) = (412, "It has another version than `If-Match` names.");
    /// 413.
    pub const TOO_LARGE: (u16, &str) = (413, "The body is larger than 64 KiB, or 4 MiB where it is about many keys.");
    /// 415.
    pub const UNSUPPORTED: (u16, &str) = (415, "The body is not declared as application/json.");
    /// 429.
    pub const TOO_MANY: (u16, &str) =
        (429, "Too many failed attempts from this address, or too many requests or changes of the organization.");
    /// 500.
    pub const DEFECT: (u16, &str) = (500, "A defect of the service.");
    /// 503.
    pub const UNAVAILABLE: (u16, &str) =
        (503, "The database is away, the answer took too long, or the service is busy.");

    /// What an operation without a body may answer.
    pub const READING: &[(u16, &str)] =
        &[INVALID, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, TOO_MANY, DEFECT, UNAVAILABLE];
    /// What an operation that removes something may answer.
    pub const REMOVING: &[(u16, &str)] =
        &[INVALID, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, CONFLICT, TOO_MANY, DEFECT, UNAVAILABLE];
    /// What an operation may answer that changes a version.
    pub const REVISING: &[(u16, &str)] = &[
        INVALID,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        CONFLICT,
        OTHER_VERSION,
        TOO_LARGE,
        UNSUPPORTED,
        TOO_MANY,
        DEFECT,
        UNAVAILABLE,
    ];
    /// 422.
    pub const OTHER_BODY: (u16, &str) = (422, "A request with the same `Idempotency-Key` had another body.");
    /// What an operation may answer that is done once, if the client says so.
    pub const CREATING: &[(u16, &str)] = &[
        INVALID,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        CONFLICT,
        TOO_LARGE,
        UNSUPPORTED,
        OTHER_BODY,
        TOO_MANY,
        DEFECT,
        UNAVAILABLE,
    ];
    /// What an operation with a body may answer.
    pub const WRITING: &[(u16, &str)] = &[
        INVALID,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        CONFLICT,
        TOO_LARGE,
        UNSUPPORTED,
        TOO_MANY,
        DEFECT,
        UNAVAILABLE,
    ];
}
