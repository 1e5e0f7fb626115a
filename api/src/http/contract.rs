//! What the published contracts share: responses, errors and their documentation. A contract maps HTTP to the domain and back.
//!
//! Each contract is a folder with the same parts: operations, `dto` (JSON ↔ domain), `error` (its statuses and messages).
//! Contracts do not depend on each other. To remove one, delete its folder, its tests and its mentions in [`crate::error_formats`] and
//! [`crate::app`].
//! Every operation has the same steps: authenticate the caller, authorize, read the body, validate it, execute. The first two are
//! extractors where possible ([`crate::auth::authorized`]).

use std::marker::PhantomData;

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{
    ApiResponse, Tags,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde_json::Value;

use crate::http::{api_error::ApiError, json_writer::JsonText};

/// How a contract renders errors.
pub struct ErrorFormat {
    /// The path prefix of the contract: it has this path and all paths below it.
    pub prefix: &'static str,
    /// Returns the status and the body of an error. The second argument is the request id.
    pub render: fn(&ApiError, &str) -> (StatusCode, Value),
}

/// A response with status 200 and a JSON body. (`Json` of poem-openapi adds a charset to the media type. JSON has none, and code
/// generators put it into names.)
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

/// As [`Success`], for frequent responses: a body that was serialized by hand and has the schema of `T`.
pub struct RawJson<T> {
    text: Vec<u8>,
    body: PhantomData<fn() -> T>,
}

impl<T> RawJson<T> {
    /// A body with the schema of `T`.
    #[must_use]
    pub fn new(text: JsonText) -> Self {
        Self { text: text.into_bytes(), body: PhantomData }
    }
}

impl<T> IntoResponse for RawJson<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type("application/json").body(self.text)
    }
}

impl<T: ToJSON> ApiResponse for RawJson<T> {
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

/// The tags of the operations in the OpenAPI document, in the order of the document. If an operation has two, the last one counts.
#[derive(Tags)]
pub enum Tag {
    /// The API keys of an organization: create, list, change, rotate, delete, restore and import them. Compatible with Locktera's
    /// API key management.
    Keys,
    /// Verification of keys, for services that receive them with requests.
    Verification,
    /// The users of an organization, and users across organizations.
    Members,
    /// Named permissions that can be attached to keys and members.
    #[oai(rename = "Permission sets")]
    PermissionSets,
    /// Which tokens of identity providers are exchanged for short-lived tokens, so that workloads need no secret.
    #[oai(rename = "Trust rules")]
    TrustRules,
    /// A page on which the customers of an organization manage their own keys.
    Portal,
    /// Organizations: the owners of keys.
    Organizations,
    /// The number of verifications over time.
    Usage,
    /// Who did what in an organization.
    #[oai(rename = "Audit log")]
    AuditLog,
    /// Sessions of browsers, access tokens of services, and the caller.
    #[oai(rename = "Sessions and tokens")]
    SessionsAndTokens,
    /// Introspection, tokens and revocation for clients of OAuth 2.0.
    #[oai(rename = "OAuth")]
    OAuth,
    /// Management and verification of keys, compatible with Athena (the API key plugin of better-auth).
    Athena,
    /// Sign-up and key check, compatible with the LiveKit agents API.
    #[oai(rename = "LiveKit")]
    LiveKit,
}

impl Tag {
    /// The names of all tags, in the order of the document.
    pub(crate) const ORDER: [&str; 13] = [
        "Keys",
        "Verification",
        "Members",
        "Permission sets",
        "Trust rules",
        "Portal",
        "Organizations",
        "Usage",
        "Audit log",
        "Sessions and tokens",
        "OAuth",
        "Athena",
        "LiveKit",
    ];
}

/// The error responses that an operation documents.
pub trait Documented {
    /// The schema of the body of an error.
    type Body: Type;
    /// The HTTP statuses with their descriptions.
    const STATUSES: &'static [(u16, &'static str)];
    /// Whether the operation reads `If-Match`.
    const HAS_IF_MATCH: bool = false;
}

/// As `D`, for operations that read `If-Match`.
#[derive(Debug)]
pub struct Conditional<D>(PhantomData<fn() -> D>);

impl<D: Documented> Documented for Conditional<D> {
    type Body = D::Body;
    const STATUSES: &'static [(u16, &'static str)] = D::STATUSES;
    const HAS_IF_MATCH: bool = true;
}

/// All statuses of the errors of an operation, with their descriptions, by status.
fn statuses<D: Documented>() -> Vec<(u16, &'static str)> {
    let mut statuses = D::STATUSES.to_vec();
    if D::HAS_IF_MATCH {
        statuses.push(responses::OTHER_VERSION);
    }
    if statuses.contains(&responses::TOO_LARGE) {
        statuses.push(responses::BODY_TIMEOUT);
    }
    statuses.sort_by_key(|(status, _)| *status);
    statuses
}

/// Declares the documented statuses of kinds of operations, for any error body `B`.
macro_rules! documented {
    ($($(#[$about:meta])* $name:ident = $statuses:path;)+) => {$(
        $(#[$about])*
        #[derive(Debug)]
        pub struct $name<B>(PhantomData<fn() -> B>);

        impl<B: Type> Documented for $name<B> {
            type Body = B;
            const STATUSES: &'static [(u16, &'static str)] = $statuses;
        }
    )+};
}

documented! {
    /// Operations without a body.
    Reading = responses::READING;
    /// Operations that delete something.
    Removing = responses::REMOVING;
    /// Operations that take an idempotency key.
    Creating = responses::CREATING;
    /// Operations with a body.
    Writing = responses::WRITING;
}

/// The error of an operation that documents `D`. The pipeline renders it with the contract's [`ErrorFormat`].
#[derive(Debug)]
pub struct ErrorResponse<D> {
    failure: ApiError,
    documented: PhantomData<fn() -> D>,
}

impl<E: Into<ApiError>, D> From<E> for ErrorResponse<D> {
    fn from(error: E) -> Self {
        Self { failure: error.into(), documented: PhantomData }
    }
}

impl<D> From<ErrorResponse<D>> for poem::Error {
    fn from(failed: ErrorResponse<D>) -> Self {
        failed.failure.into()
    }
}

impl<D: Documented> ApiResponse for ErrorResponse<D> {
    fn meta() -> MetaResponses {
        let responses = statuses::<D>().into_iter().map(|(status, description)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType { content_type: "application/json", schema: D::Body::schema_ref() }],
            headers: headers(status),
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        D::Body::register(registry);
    }
}

fn headers(status: u16) -> Vec<MetaHeader> {
    match status {
        401 => vec![header(("WWW-Authenticate", "Authentication challenge (RFC 6750)."), "string")],
        429 | 503 => vec![header(("Retry-After", "Seconds to wait before the next attempt."), "integer")],
        _ => Vec::new(),
    }
}

const STALE: (&str, &str) = (
    "Claviger-Stale",
    "Maximum age of the result in seconds: this node has not received the changes of other nodes for longer than usual.",
);

/// The header that every response has, with its description.
pub(crate) const REQUEST_ID: (&str, &str) = (
    "x-request-id",
    "Id of the request, as in the log of the service: that of the request header `x-request-id` if it is valid.",
);

/// The documentation of a required response header. `ty` is a JSON schema type.
pub(crate) fn header((name, description): (&str, &str), ty: &'static str) -> MetaHeader {
    // The numbers in headers are seconds or counts.
    let schema = MetaSchema { minimum: (ty == "integer").then_some(0.0), ..MetaSchema::new(ty) };
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(schema)),
    }
}

/// The documented statuses with their descriptions, for all contracts.
pub mod responses {
    /// 400: invalid request.
    pub const INVALID: (u16, &str) = (400, "The body or a parameter is invalid.");
    /// 401: not authenticated.
    pub const UNAUTHENTICATED: (u16, &str) = (401, "No credential was sent, or it is invalid.");
    /// 403: not authorized.
    pub const FORBIDDEN: (u16, &str) =
        (403, "The caller lacks a permission for this, or its key cannot manage this service.");
    /// 404: not found.
    pub const NOT_FOUND: (u16, &str) = (404, "It does not exist, or the caller has no access to it.");
    /// 408: the body is late.
    pub const BODY_TIMEOUT: (u16, &str) =
        (408, "The body was received too slowly. The request was not executed, and the connection is closed.");
    /// 409: conflict.
    pub const CONFLICT: (u16, &str) = (
        409,
        "Conflict with the current state of the organization, or with a simultaneous request: the message says which.",
    );
    /// 412: the version has changed.
    pub const OTHER_VERSION: (u16, &str) =
        (412, "The current version is not the one in `If-Match`, or the object has no versions.");
    /// 413: body too large.
    pub const TOO_LARGE: (u16, &str) = (413, "The body is larger than 64 KiB (4 MiB for operations on many keys).");
    /// 415: unsupported media type.
    pub const UNSUPPORTED: (u16, &str) = (415, "The content type is not application/json, or the body is compressed.");
    /// 429: rate limited.
    pub const TOO_MANY: (u16, &str) =
        (429, "Rate limited: too many requests, changes or failed attempts; the message says which.");
    /// 500: internal error.
    pub const DEFECT: (u16, &str) = (500, "Internal error of the service.");
    /// 503: unavailable.
    pub const UNAVAILABLE: (u16, &str) =
        (503, "The database is unavailable, the request timed out, or the service is overloaded.");

    /// Statuses of operations without a body.
    pub const READING: &[(u16, &str)] =
        &[INVALID, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, TOO_MANY, DEFECT, UNAVAILABLE];
    /// Statuses of operations that delete something.
    pub const REMOVING: &[(u16, &str)] =
        &[INVALID, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, CONFLICT, TOO_MANY, DEFECT, UNAVAILABLE];
    /// 422: idempotency key reused with another body.
    pub const OTHER_BODY: (u16, &str) = (422, "The same `Idempotency-Key` was already used with a different body.");
    /// Statuses of operations that take an idempotency key.
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
    /// Statuses of operations with a body.
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
