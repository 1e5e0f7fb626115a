//! This contract's words for failures: `{message, code}`, the code being better-auth's where it has one, else the reason
//! phrase of the status.

use domain::{
    Error, Outage,
    error::{Grantee, RefillPart},
    permission::Permission,
};
use poem::http::StatusCode;
use poem_openapi::{Object, types::ToJSON};
use serde_json::Value;

use crate::{
    contract::{Documented, when},
    failure::{Failure, Fields},
    lists::Taken,
};

/// Why the request got no success.
#[derive(Object)]
#[oai(rename = "AthenaError")]
pub(super) struct ErrorBody {
    /// A sentence for people.
    message: String,
    /// A word for programs.
    code: String,
}

/// Operations without a body.
#[derive(Debug)]
pub(super) struct Reading;

impl Documented for Reading {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = when::READING;
}

/// Operations with a body.
#[derive(Debug)]
pub(super) struct Changing;

impl Documented for Changing {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = when::WRITING;
}

pub(super) fn render(failure: &Failure, request_id: &str) -> (StatusCode, Value) {
    let (status, message, code) = words(failure, request_id);
    let body = ErrorBody { message, code: code.map_or_else(|| reason(status), ToOwned::to_owned) };
    (status, body.to_json().unwrap_or_default())
}

/// `PAYLOAD_TOO_LARGE` for 413.
fn reason(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("Unknown").to_uppercase().replace([' ', '-'], "_")
}

const SERVER_ONLY: &str = "The property you're trying to set can only be set from the server auth instance only.";

fn words(failure: &Failure, request_id: &str) -> (StatusCode, String, Option<&'static str>) {
    let bad = StatusCode::BAD_REQUEST;
    let (status, message, code) = match failure {
        Failure::Refused(error) => match error {
            Error::Unauthenticated(_) => UNAUTHORIZED,
            Error::Forbidden(needed) if *needed == Permission::ORG_ADMIN => {
                (bad, SERVER_ONLY, Some("SERVER_ONLY_PROPERTY"))
            }
            Error::Forbidden(_)
            | Error::ExceedsGrants
            | Error::ExceedsExpiry
            | Error::ExceedsAddresses
            | Error::PlatformOnly
            | Error::NoOrganization
            | Error::NotExchangeable => FORBIDDEN,
            Error::TooManyTokens => (StatusCode::CONFLICT, "The API key has too many live tokens", None),
            Error::SetNotFound => (StatusCode::NOT_FOUND, "Permission set not found", None),
            Error::CapReached(_) => (StatusCode::CONFLICT, "The organization has as many keys as it may have", None),
            Error::TooMany { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "The organization has made as many changes as it may in an hour", None)
            }
            Error::PlatformStays | Error::NameTaken | Error::AlreadyMember | Error::LastAdmin | Error::InUse => {
                (StatusCode::CONFLICT, "The organization does not allow this", None)
            }
            Error::TooManyPermissions(Grantee::Requested) => {
                (bad, "The API Key would hold more than 1024 permissions, its permission sets included", None)
            }
            // Permission sets are changed elsewhere.
            Error::TooManyPermissions(Grantee::Key(_) | Grantee::Member(_)) => {
                (StatusCode::CONFLICT, "An API Key or member would hold more than 1024 permissions", None)
            }
            Error::NotFound => (StatusCode::NOT_FOUND, "API Key not found", Some("KEY_NOT_FOUND")),
            Error::UserNotFound => (StatusCode::NOT_FOUND, "User not found", Some("USER_NOT_FOUND")),
            Error::RefillWithout(RefillPart::Amount) => (
                bad,
                "refillAmount is required when refillInterval is provided",
                Some("REFILL_AMOUNT_AND_INTERVAL_REQUIRED"),
            ),
            Error::RefillWithout(RefillPart::Interval) => (
                bad,
                "refillInterval is required when refillAmount is provided",
                Some("REFILL_INTERVAL_AND_AMOUNT_REQUIRED"),
            ),
            Error::NeverValid => (bad, "The key would be expired before it becomes valid", None),
            Error::StillRotating => (StatusCode::CONFLICT, "An older key goes on", None),
            Error::VersionMismatch => (StatusCode::PRECONDITION_FAILED, "The API Key has changed", None),
            Error::InFlight => (StatusCode::CONFLICT, "The same request is being done", None),
            Error::AnswerNotKept => (StatusCode::CONFLICT, "The request was done, and its answer was not kept", None),
            Error::OtherBody => (StatusCode::UNPROCESSABLE_ENTITY, "The request said something else before", None),
            Error::TooManyRequests { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "Too many requests for this organization, try again later", None)
            }
            Error::TooManyShapes => (StatusCode::CONFLICT, "Keys of too many different shapes were imported", None),
            Error::NothingToChange => (bad, "No values to update.", Some("NO_VALUES_TO_UPDATE")),
            Error::EmailTaken => (StatusCode::CONFLICT, "A user with this email already exists", None),
            Error::PlatformExists => (StatusCode::CONFLICT, "There is a platform organization already", None),
            Error::Outage(Outage::Unavailable(_)) => UNAVAILABLE,
            Error::Outage(Outage::Broken(_)) => return defect(request_id),
        },
        Failure::Anonymous | Failure::MalformedCredential => UNAUTHORIZED,
        Failure::CrossSite | Failure::SignUpClosed | Failure::NotFromHere => FORBIDDEN,
        Failure::NotConfigured => (StatusCode::SERVICE_UNAVAILABLE, "This is not configured", None),
        Failure::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "Too many attempts, try again later", None),
        Failure::TooManyLists(Taken::Organization) => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many lists of this organization are being read at once, try again",
            None,
        ),
        Failure::TooManyLists(Taken::Service) => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many lists are being read at once, try again", None)
        }
        Failure::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KiB", None),
        Failure::UnsupportedMediaType => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json", None)
        }
        Failure::MalformedBody(sentence) => return (bad, sentence.clone(), None),
        Failure::Invalid(fields) => return (bad, sentence(fields), Some("VALIDATION_ERROR")),
        Failure::UnknownPath => (StatusCode::NOT_FOUND, "Not found", None),
        Failure::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", None),
        Failure::Timeout | Failure::Busy => UNAVAILABLE,
        Failure::Defect(_) => return defect(request_id),
    };
    (status, message.to_owned(), code)
}

/// As better-auth writes it: the place of each wrong field in brackets.
fn sentence(fields: &Fields) -> String {
    let place = |name: &str| if ["id", "limit", "offset"].contains(&name) { "query" } else { "body" };
    let sentences = fields.iter().map(|(name, wrong)| format!("[{}.{name}] {wrong}", place(name)));
    sentences.collect::<Vec<_>>().join("; ")
}

fn defect(request_id: &str) -> (StatusCode, String, Option<&'static str>) {
    let message = format!("An error occurred on the server (request {request_id})");
    (StatusCode::INTERNAL_SERVER_ERROR, message, None)
}

type Words = (StatusCode, &'static str, Option<&'static str>);

const UNAUTHORIZED: Words = (StatusCode::UNAUTHORIZED, "Unauthorized or invalid session", None);
const FORBIDDEN: Words = (StatusCode::FORBIDDEN, "You do not have permission to perform this action.", None);
const UNAVAILABLE: Words = (StatusCode::SERVICE_UNAVAILABLE, "The service is temporarily unavailable, try again", None);
