//! This contract's words for failures: the envelope with `"success": false` and `"data": null`.

use domain::{Error, Outage};
use poem::http::StatusCode;
use poem_openapi::{Object, types::ToJSON};
use serde_json::Value;

use crate::{
    contract::{Documented, when},
    failure::{Failure, Fields},
    json::REQUIRED,
    lists::Taken,
    wire::{JsonObject, Nullable},
};

/// Why the request got no success.
#[derive(Object)]
#[oai(rename = "EnvelopeError")]
pub(super) struct ErrorBody {
    /// Always false.
    success: bool,
    /// A sentence for people.
    message: String,
    /// Always null.
    data: Nullable<JsonObject>,
}

/// Signing up.
#[derive(Debug)]
pub(super) struct SigningUp;

impl Documented for SigningUp {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = &[
        (400, "The body is not acceptable, or a user with this e-mail address exists."),
        (403, "Sign-up is closed, or a browser sent this for another site."),
        when::TOO_LARGE,
        when::UNSUPPORTED,
        (429, "Too many attempts to sign up from this address."),
        when::DEFECT,
        when::UNAVAILABLE,
    ];
}

/// Checking a key.
#[derive(Debug)]
pub(super) struct Checking;

impl Documented for Checking {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] =
        &[when::UNAUTHENTICATED, when::TOO_MANY, when::DEFECT, when::UNAVAILABLE];
}

pub(super) fn render(failure: &Failure, request_id: &str) -> (StatusCode, Value) {
    let (status, message) = words(failure, request_id);
    let body = ErrorBody { success: false, message, data: Nullable(None) };
    (status, body.to_json().unwrap_or_default())
}

fn words(failure: &Failure, request_id: &str) -> (StatusCode, String) {
    let (status, message) = match failure {
        Failure::Refused(error) => match error {
            // The user or organization went while the key was being checked: so has the key.
            Error::Unauthenticated(_) | Error::NotFound => INVALID_KEY,
            Error::Forbidden(_) | Error::ExceedsGrants | Error::ExceedsExpiry | Error::ExceedsAddresses => {
                (StatusCode::FORBIDDEN, "The API key may not do this")
            }
            Error::NoOrganization | Error::NotExchangeable => {
                (StatusCode::FORBIDDEN, "The credential is not meant for this")
            }
            Error::TooManyTokens => (StatusCode::CONFLICT, "The API key has too many live tokens"),
            Error::PlatformOnly => (StatusCode::FORBIDDEN, "Only the platform may do this"),
            Error::UserNotFound | Error::SetNotFound => (StatusCode::NOT_FOUND, "Resource not found"),
            Error::PlatformStays
            | Error::NameTaken
            | Error::AlreadyMember
            | Error::LastAdmin
            | Error::InUse
            | Error::TooManyShapes
            | Error::CapReached(_) => (StatusCode::CONFLICT, "The organization does not allow this"),
            Error::TooManyPermissions(_) => {
                (StatusCode::BAD_REQUEST, "The API key would hold more than 1024 permissions, its sets included")
            }
            Error::TooManyRequests { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "Too many requests for this organization, try again later")
            }
            Error::TooMany { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "The organization has made as many changes as it may in an hour")
            }
            Error::AnswerNotKept => (StatusCode::CONFLICT, "The request was done, and its answer was not kept"),
            Error::NeverValid => (StatusCode::BAD_REQUEST, "The key would never be valid"),
            Error::RefillWithout(_) => (StatusCode::BAD_REQUEST, "A refill needs an amount and an interval"),
            Error::StillRotating => (StatusCode::CONFLICT, "An older API key goes on"),
            Error::VersionMismatch => (StatusCode::PRECONDITION_FAILED, "The API key has changed"),
            Error::InFlight => (StatusCode::CONFLICT, "The same request is being done"),
            Error::OtherBody => (StatusCode::UNPROCESSABLE_ENTITY, "The request said something else before"),
            Error::NothingToChange => (StatusCode::BAD_REQUEST, "There is nothing to change"),
            Error::EmailTaken => (StatusCode::BAD_REQUEST, "User with this email already exists"),
            Error::PlatformExists => (StatusCode::CONFLICT, "There is a platform organization already"),
            Error::Outage(Outage::Unavailable(_)) => UNAVAILABLE,
            Error::Outage(Outage::Broken(_)) => return defect(request_id),
        },
        Failure::Anonymous | Failure::MalformedCredential => INVALID_KEY,
        Failure::CrossSite => (StatusCode::FORBIDDEN, "Requests from other sites are refused"),
        Failure::NotConfigured => (StatusCode::SERVICE_UNAVAILABLE, "This is not configured"),
        Failure::NotFromHere => (StatusCode::FORBIDDEN, "This is for clients on this machine alone"),
        Failure::SignUpClosed => (StatusCode::FORBIDDEN, "Sign-up is closed"),
        Failure::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "Too many attempts, try again later"),
        Failure::TooManyLists(Taken::Organization) => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many lists of this organization are being read at once, try again")
        }
        Failure::TooManyLists(Taken::Service) => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many lists are being read at once, try again")
        }
        Failure::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KiB"),
        Failure::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json"),
        Failure::MalformedBody(sentence) => return (StatusCode::BAD_REQUEST, sentence.clone()),
        Failure::Invalid(fields) => return (StatusCode::BAD_REQUEST, sentence(fields)),
        Failure::UnknownPath => (StatusCode::NOT_FOUND, "Resource not found"),
        Failure::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
        Failure::Timeout | Failure::Busy => UNAVAILABLE,
        Failure::Defect(_) => return defect(request_id),
    };
    (status, message.to_owned())
}

/// The documents have one sentence for a bad e-mail address; for other fields the sentence names the first wrong one.
fn sentence(fields: &Fields) -> String {
    match fields.iter().next() {
        Some(("user_email", wrong)) if wrong != REQUIRED => "Invalid email address".to_owned(),
        Some((name, wrong)) => format!("{name} {wrong}"),
        None => "The request is not acceptable".to_owned(),
    }
}

fn defect(request_id: &str) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("An error occurred on the server (request {request_id})"))
}

const INVALID_KEY: (StatusCode, &str) = (StatusCode::UNAUTHORIZED, "Invalid API key");
const UNAVAILABLE: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "The service is temporarily unavailable, try again");
