//! Errors of this API: the envelope with `"success": false` and `"data": null`.

use domain::{Error, Outage, error::Limited};
use poem::http::StatusCode;
use poem_openapi::{Object, types::ToJSON};
use serde_json::Value;

use crate::http::{
    api_error::{ApiError, Fields, size, too_many_attempts},
    contract::{Documented, responses},
    key_policy_errors::broken_rules_sentence,
    list_slots::ExhaustedSlots,
    openapi_types::{JsonObject, Nullable},
    strict_json::REQUIRED,
};

/// An error.
#[derive(Debug, Object)]
#[oai(rename = "LiveKitError")]
pub(super) struct ErrorBody {
    /// Always false.
    success: bool,
    /// Message for humans.
    message: String,
    /// Always null.
    data: Nullable<JsonObject>,
}

/// The documented errors of sign-up.
#[derive(Debug)]
pub(super) struct SigningUp;

impl Documented for SigningUp {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = &[
        (400, "The body is invalid, or a user with this e-mail address has already signed up."),
        (403, "Sign-up is closed, or a browser sent the request from another site."),
        responses::TOO_LARGE,
        responses::UNSUPPORTED,
        (429, "Rate limited: too many sign-ups from this IP address."),
        responses::DEFECT,
        responses::UNAVAILABLE,
    ];
}

/// The documented errors of checking a key.
#[derive(Debug)]
pub(super) struct Checking;

impl Documented for Checking {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] =
        &[responses::UNAUTHENTICATED, responses::TOO_MANY, responses::DEFECT, responses::UNAVAILABLE];
}

pub(super) fn render(failure: &ApiError, request_id: &str) -> (StatusCode, Value) {
    let (status, message) = describe(failure, request_id);
    let body = ErrorBody { success: false, message, data: Nullable(None) };
    (status, body.to_json().unwrap_or_default())
}

#[expect(clippy::too_many_lines, reason = "a table: one entry for each error")]
fn describe(failure: &ApiError, request_id: &str) -> (StatusCode, String) {
    let (status, message) = match failure {
        ApiError::Domain(error) => match error {
            // The user or organization was deleted while the key was being checked, and the key with it.
            Error::Unauthenticated(_) | Error::NotFound => INVALID_KEY,
            Error::Forbidden(_)
            | Error::CannotManage
            | Error::ExceedsPermissions
            | Error::ExceedsExpiry
            | Error::ExceedsAddresses => (StatusCode::FORBIDDEN, "The API key lacks a permission for this"),
            Error::NoOrganization
            | Error::UnknownPerson(_)
            | Error::PersonRequired
            | Error::KeyRequired
            | Error::PortalSessionRequired
            | Error::PortalActionNotAllowed(_)
            | Error::PasskeyRejected
            | Error::PasskeyAccountRequired
            | Error::ProviderNotAllowed
            | Error::NotExchangeable(_)
            | Error::SessionRotatesItself
            | Error::FreshSignInRequired => (StatusCode::FORBIDDEN, "This credential cannot be used here"),
            Error::TooManyTokens => (StatusCode::CONFLICT, "The API key has too many valid tokens"),
            Error::PlatformOnly => (StatusCode::FORBIDDEN, "Only platform callers can do this"),
            Error::UserNotFound | Error::SetNotFound | Error::InvitationNotFound | Error::PortalLinkNotFound => {
                (StatusCode::NOT_FOUND, "Resource not found")
            }
            Error::PlatformProtected
            | Error::NameTaken
            | Error::ExternalIdTaken
            | Error::AlreadyMember
            | Error::LastAdmin
            | Error::LastPasskey
            | Error::TooManyPasskeys
            | Error::InUse
            | Error::TooManyKeyFormats
            | Error::CapReached(_) => {
                (StatusCode::CONFLICT, "This conflicts with the current state of the organization")
            }
            Error::TooManyPermissions(_) => (
                StatusCode::BAD_REQUEST,
                "The API key would hold more than 1024 permissions, including its permission sets",
            ),
            Error::TooMany { what: Limited::Requests, .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "Too many requests for this organization; try again later")
            }
            Error::TooMany { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "The organization has reached its maximum number of changes per hour")
            }
            Error::IdempotentResponseNotStored => {
                (StatusCode::CONFLICT, "The request was executed, but its response was not stored")
            }
            Error::KeyPolicyViolated(broken) | Error::ListedKeyViolatesPolicy(_, broken) => {
                return (StatusCode::BAD_REQUEST, broken_rules_sentence(broken));
            }
            Error::NeverValid => (StatusCode::BAD_REQUEST, "The key would expire before it becomes valid"),
            Error::RefillWithout(_) => (StatusCode::BAD_REQUEST, "A refill requires both an amount and an interval"),
            Error::RotationInProgress => (StatusCode::CONFLICT, "A previous secret is still valid"),
            Error::NewestSecretUsed => (StatusCode::CONFLICT, "The newest secret was used"),
            Error::NoPreviousSecret => (StatusCode::CONFLICT, "No previous secret is valid"),
            Error::SecretInUse => (StatusCode::CONFLICT, "Another API key has this secret"),
            Error::ConcurrentChanges => {
                (StatusCode::CONFLICT, "Other requests changed the API key at the same time; try again")
            }
            Error::VersionMismatch => (StatusCode::PRECONDITION_FAILED, "The API key was changed in the meantime"),
            Error::IdempotentRequestInProgress => (StatusCode::CONFLICT, "The same request is in progress"),
            Error::IdempotencyKeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "The idempotency key was already used with a different body")
            }
            Error::NothingToChange => (StatusCode::BAD_REQUEST, "The request changes nothing; set at least one field"),
            Error::EmailTaken => (StatusCode::BAD_REQUEST, "User with this email already exists"),
            Error::PlatformExists => (StatusCode::CONFLICT, "The platform organization already exists"),
            Error::Outage(Outage::Unavailable(_)) => UNAVAILABLE,
            Error::Outage(Outage::Broken(_)) => return defect(request_id),
        },
        ApiError::Anonymous | ApiError::MalformedCredential | ApiError::PortalToken => INVALID_KEY,
        ApiError::CrossSite => (StatusCode::FORBIDDEN, "Cross-site requests are not allowed"),
        ApiError::NotConfigured => (StatusCode::SERVICE_UNAVAILABLE, "The service has no signing key"),
        ApiError::NoPublicUrl | ApiError::PasskeysUnavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "The service has no public origin")
        }
        ApiError::LocalOnly => (StatusCode::FORBIDDEN, "This is only available to clients on this machine"),
        ApiError::SignUpClosed => (StatusCode::FORBIDDEN, "Sign-up is closed"),
        ApiError::TooManyAttempts { retry_after } => {
            return (StatusCode::TOO_MANY_REQUESTS, too_many_attempts(*retry_after));
        }
        ApiError::TooManyLists(ExhaustedSlots::Organization) => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many lists of this organization are being read; try again later")
        }
        ApiError::TooManyLists(ExhaustedSlots::Service) => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many lists are being read; try again later")
        }
        ApiError::MalformedRequest(sentence) => (StatusCode::BAD_REQUEST, *sentence),
        ApiError::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "The body was not received in time"),
        ApiError::TooLarge { limit } => {
            return (StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {}", size(*limit)));
        }
        ApiError::UnsupportedEncoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must not be compressed"),
        ApiError::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json"),
        ApiError::MalformedBody(sentence) => return (StatusCode::BAD_REQUEST, sentence.clone()),
        ApiError::Invalid(fields) => return (StatusCode::BAD_REQUEST, sentence(fields)),
        ApiError::OAuth(_) => (StatusCode::BAD_REQUEST, "The request is invalid"),
        ApiError::UnknownPath => (StatusCode::NOT_FOUND, "Resource not found"),
        ApiError::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
        ApiError::Timeout | ApiError::Busy => UNAVAILABLE,
        ApiError::Defect(_) => return defect(request_id),
    };
    (status, message.to_owned())
}

/// The message for invalid fields. LiveKit's documentation has a fixed message for an invalid e-mail address; otherwise the message
/// is about the first invalid field.
fn sentence(fields: &Fields) -> String {
    match fields.iter().next() {
        Some(("user_email", wrong)) if wrong != REQUIRED => "Invalid email address".to_owned(),
        Some((name, wrong)) => format!("{name} {wrong}"),
        None => "The request is invalid".to_owned(),
    }
}

fn defect(request_id: &str) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("An error occurred on the server (request {request_id})"))
}

const INVALID_KEY: (StatusCode, &str) = (StatusCode::UNAUTHORIZED, "Invalid API key");
const UNAVAILABLE: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "The service is temporarily unavailable; try again");
