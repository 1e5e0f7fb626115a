//! Errors of this API: `{message, code}`. The code is that of better-auth if it has one, otherwise the reason phrase of the status.

use domain::{
    Error, Outage,
    error::{Grantee, Limited, RefillPart},
    permissions::Permission,
};
use poem::http::StatusCode;
use poem_openapi::{Object, types::ToJSON};
use serde_json::Value;

use crate::http::{
    api_error::{ApiError, Fields, size, too_many_attempts},
    contract,
    key_policy_errors::broken_rules_sentence,
    list_slots::ExhaustedSlots,
};

/// An error.
#[derive(Debug, Object)]
#[oai(rename = "AthenaError")]
pub(super) struct ErrorBody {
    /// Message for humans.
    message: String,
    /// Machine-readable code.
    code: String,
}

pub(super) type Reading = contract::Reading<ErrorBody>;
pub(super) type Changing = contract::Writing<ErrorBody>;

pub(super) fn render(failure: &ApiError, request_id: &str) -> (StatusCode, Value) {
    let (status, message, code) = describe(failure, request_id);
    let body = ErrorBody { message, code: code.map_or_else(|| status_code(status), ToOwned::to_owned) };
    (status, body.to_json().unwrap_or_default())
}

/// The reason phrase of a status as a code, such as `PAYLOAD_TOO_LARGE` for 413.
fn status_code(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("Unknown").to_uppercase().replace([' ', '-'], "_")
}

const SERVER_ONLY: &str = "The property you're trying to set can only be set from the server auth instance only.";

fn describe(failure: &ApiError, request_id: &str) -> (StatusCode, String, Option<&'static str>) {
    let bad = StatusCode::BAD_REQUEST;
    let (status, message, code) = match failure {
        ApiError::Domain(error) => return describe_domain_error(error, request_id),
        ApiError::Anonymous | ApiError::MalformedCredential | ApiError::PortalToken => UNAUTHORIZED,
        ApiError::CrossSite | ApiError::SignUpClosed | ApiError::LocalOnly => FORBIDDEN,
        ApiError::NotConfigured => (StatusCode::SERVICE_UNAVAILABLE, "The service has no signing key", None),
        ApiError::NoPublicUrl | ApiError::PasskeysUnavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "The service has no public origin", None)
        }
        ApiError::TooManyAttempts { retry_after } => {
            return (StatusCode::TOO_MANY_REQUESTS, too_many_attempts(*retry_after), None);
        }
        ApiError::TooManyLists(ExhaustedSlots::Organization) => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many lists of this organization are being read; try again later", None)
        }
        ApiError::TooManyLists(ExhaustedSlots::Service) => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many lists are being read; try again later", None)
        }
        ApiError::MalformedRequest(sentence) => (bad, *sentence, None),
        ApiError::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "The body was not received in time", None),
        ApiError::TooLarge { limit } => {
            return (StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {}", size(*limit)), None);
        }
        ApiError::UnsupportedEncoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must not be compressed", None),
        ApiError::UnsupportedMediaType => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json", None)
        }
        ApiError::MalformedBody(sentence) => return (bad, sentence.clone(), None),
        ApiError::Invalid(fields) => return (bad, sentence(fields), Some("VALIDATION_ERROR")),
        ApiError::OAuth(_) => (bad, "The request is invalid", None),
        ApiError::UnknownPath => (StatusCode::NOT_FOUND, "Not found", None),
        ApiError::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", None),
        ApiError::Timeout | ApiError::Busy => UNAVAILABLE,
        ApiError::Defect(_) => return defect(request_id),
    };
    (status, message.to_owned(), code)
}

fn describe_domain_error(error: &Error, request_id: &str) -> (StatusCode, String, Option<&'static str>) {
    let bad = StatusCode::BAD_REQUEST;
    let (status, message, code) = match error {
        Error::Unauthenticated(_) => UNAUTHORIZED,
        Error::Forbidden(needed) if *needed == Permission::ORG_ADMIN => {
            (bad, SERVER_ONLY, Some("SERVER_ONLY_PROPERTY"))
        }
        Error::CannotManage => {
            (StatusCode::FORBIDDEN, "This API Key cannot manage API keys: canManage is false", Some("CANNOT_MANAGE"))
        }
        Error::Forbidden(_)
        | Error::ExceedsPermissions
        | Error::ExceedsExpiry
        | Error::ExceedsAddresses
        | Error::SessionRotatesItself
        | Error::PlatformOnly
        | Error::NoOrganization
        | Error::UnknownPerson(_)
        | Error::PersonRequired
        | Error::KeyRequired
        | Error::PortalSessionRequired
        | Error::PortalActionNotAllowed(_)
        | Error::PasskeyRejected
        | Error::PasskeyAccountRequired
        | Error::ProviderNotAllowed
        | Error::NotExchangeable(_) => FORBIDDEN,
        Error::FreshSignInRequired => {
            (StatusCode::FORBIDDEN, "This needs a sign-in within the last 10 minutes; sign in again", None)
        }
        Error::TooManyTokens => (StatusCode::CONFLICT, "The API key has too many valid tokens", None),
        Error::SetNotFound => (StatusCode::NOT_FOUND, "Permission set not found", None),
        Error::CapReached(_) => (StatusCode::CONFLICT, "The organization has reached its maximum number of keys", None),
        Error::TooMany { what: Limited::Requests, .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many requests for this organization; try again later", None)
        }
        Error::TooMany { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "The organization has reached its maximum number of changes per hour", None)
        }
        Error::PlatformProtected
        | Error::NameTaken
        | Error::ExternalIdTaken
        | Error::AlreadyMember
        | Error::LastAdmin
        | Error::LastPasskey
        | Error::TooManyPasskeys
        | Error::InUse => (StatusCode::CONFLICT, "This conflicts with the current state of the organization", None),
        Error::TooManyPermissions(Grantee::Requested) => {
            (bad, "The API Key would hold more than 1024 permissions, including its permission sets", None)
        }
        // This API has no operations on permission sets.
        Error::TooManyPermissions(Grantee::Key(_) | Grantee::Member(_)) => {
            (StatusCode::CONFLICT, "An API Key or member would hold more than 1024 permissions", None)
        }
        Error::NotFound => (StatusCode::NOT_FOUND, "API Key not found", Some("KEY_NOT_FOUND")),
        // This API has no operations on invitations and portal sessions.
        Error::PortalLinkNotFound => (StatusCode::NOT_FOUND, "Link not found", None),
        Error::InvitationNotFound => (StatusCode::NOT_FOUND, "Invitation not found", None),
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
        Error::KeyPolicyViolated(broken) | Error::ListedKeyViolatesPolicy(_, broken) => {
            return (bad, broken_rules_sentence(broken), Some("KEY_POLICY_VIOLATED"));
        }
        Error::NeverValid => (bad, "The key would expire before it becomes valid", None),
        Error::RotationInProgress => (StatusCode::CONFLICT, "A previous secret is still valid", None),
        Error::NewestSecretUsed => (StatusCode::CONFLICT, "The newest secret was used", None),
        Error::NoPreviousSecret => (StatusCode::CONFLICT, "No previous secret is valid", None),
        Error::SecretInUse => (StatusCode::CONFLICT, "Another API Key has this secret", None),
        Error::ConcurrentChanges => {
            (StatusCode::CONFLICT, "Other requests changed the API Key at the same time; read it and try again", None)
        }
        Error::VersionMismatch => (StatusCode::PRECONDITION_FAILED, "The API Key was changed in the meantime", None),
        Error::IdempotentRequestInProgress => (StatusCode::CONFLICT, "The same request is in progress", None),
        Error::IdempotentResponseNotStored => {
            (StatusCode::CONFLICT, "The request was executed, but its response was not stored", None)
        }
        Error::IdempotencyKeyReused => {
            (StatusCode::UNPROCESSABLE_ENTITY, "The idempotency key was already used with a different body", None)
        }
        Error::TooManyKeyFormats => (
            StatusCode::CONFLICT,
            "The organization has imported or supplied secrets with too many different formats",
            None,
        ),
        Error::NothingToChange => (bad, "No values to update.", Some("NO_VALUES_TO_UPDATE")),
        Error::EmailTaken => (StatusCode::CONFLICT, "A user with this email already exists", None),
        Error::PlatformExists => (StatusCode::CONFLICT, "The platform organization already exists", None),
        Error::Outage(Outage::Unavailable(_)) => UNAVAILABLE,
        Error::Outage(Outage::Broken(_)) => return defect(request_id),
    };
    (status, message.to_owned(), code)
}

/// The message for invalid fields, as better-auth writes it: `[body.name]` or `[query.name]`, then what is wrong.
fn sentence(fields: &Fields) -> String {
    let location = |name: &str| if ["id", "limit", "offset"].contains(&name) { "query" } else { "body" };
    let sentences = fields.iter().map(|(name, wrong)| format!("[{}.{name}] {wrong}", location(name)));
    sentences.collect::<Vec<_>>().join("; ")
}

fn defect(request_id: &str) -> (StatusCode, String, Option<&'static str>) {
    let message = format!("An error occurred on the server (request {request_id})");
    (StatusCode::INTERNAL_SERVER_ERROR, message, None)
}

type ErrorParts = (StatusCode, &'static str, Option<&'static str>);

const UNAUTHORIZED: ErrorParts = (StatusCode::UNAUTHORIZED, "Unauthorized or invalid session", None);
const FORBIDDEN: ErrorParts = (StatusCode::FORBIDDEN, "You do not have permission to perform this action.", None);
const UNAVAILABLE: ErrorParts =
    (StatusCode::SERVICE_UNAVAILABLE, "The service is temporarily unavailable; try again", None);
