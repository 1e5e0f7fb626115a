//! Errors of this API: `{error, error_description}` (RFC 6749 §5.2). Its codes are those of RFC 6749, RFC 6750, RFC 7009 and
//! RFC 8707.

use std::borrow::Cow;

use domain::{Error, Outage, error::NotExchangeable};
use poem::http::StatusCode;
use poem_openapi::{Object, types::ToJSON};
use serde_json::Value;

use crate::http::{
    api_error::{ApiError, Fields, OAuthError, size, too_many_attempts},
    contract::{Documented, responses},
};

/// An error.
#[derive(Debug, Object)]
#[oai(rename = "OAuthError")]
pub(super) struct ErrorBody {
    /// Machine-readable code.
    error: String,
    /// Message for humans.
    error_description: String,
}

const INVALID: (u16, &str) = (400, "The form or a parameter is invalid, or the request is refused: see `error`.");
const INVALID_CLIENT: (u16, &str) = (401, "The client is not authenticated.");

/// The documented errors of introspection and revocation.
#[derive(Debug)]
pub(super) struct Authenticated;

impl Documented for Authenticated {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = &[
        INVALID,
        INVALID_CLIENT,
        responses::FORBIDDEN,
        responses::TOO_LARGE,
        responses::TOO_MANY,
        responses::DEFECT,
        responses::UNAVAILABLE,
    ];
}

/// The documented errors of the token endpoint.
#[derive(Debug)]
pub(super) struct Issuing;

impl Documented for Issuing {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = &[
        INVALID,
        INVALID_CLIENT,
        responses::TOO_LARGE,
        (429, "Rate limited: too many failed authentications, requests or tokens."),
        responses::DEFECT,
        (503, "The service has no signing key or no public origin, or the database is unavailable."),
    ];
}

/// The documented errors of the metadata.
#[derive(Debug)]
pub(super) struct Publishing;

impl Documented for Publishing {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] =
        &[(404, "The service has no signing key or no public origin, so it issues no tokens."), responses::DEFECT];
}

/// Renders an error of the metadata: a service that cannot issue tokens has none.
pub(super) fn render_of_metadata(failure: &ApiError, request_id: &str) -> (StatusCode, Value) {
    let (status, body) = render(failure, request_id);
    let is_unconfigured = matches!(failure, ApiError::NotConfigured | ApiError::NoPublicUrl);
    (if is_unconfigured { StatusCode::NOT_FOUND } else { status }, body)
}

/// Renders an error.
pub(super) fn render(failure: &ApiError, request_id: &str) -> (StatusCode, Value) {
    let (status, error, description) = describe(failure, request_id);
    let body = ErrorBody { error: error.to_owned(), error_description: description.into_owned() };
    (status, body.to_json().unwrap_or_default())
}

type Described = (StatusCode, &'static str, Cow<'static, str>);

const BAD: StatusCode = StatusCode::BAD_REQUEST;
const INVALID_REQUEST: &str = "invalid_request";
const UNAVAILABLE: &str = "temporarily_unavailable";
const SERVER_ERROR: &str = "server_error";

fn describe(failure: &ApiError, request_id: &str) -> Described {
    let (status, error, description) = match failure {
        ApiError::Domain(error) => return describe_domain_error(error, request_id),
        ApiError::OAuth(error) => return describe_oauth_error(error),
        ApiError::Anonymous => (
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "No credential was sent; send the id and the secret of an API key",
        ),
        ApiError::MalformedCredential | ApiError::PortalToken => INVALID_TOKEN,
        ApiError::CrossSite | ApiError::SignUpClosed | ApiError::LocalOnly => {
            (StatusCode::FORBIDDEN, "access_denied", "This is not allowed for requests of this kind")
        }
        ApiError::NotConfigured => (
            StatusCode::SERVICE_UNAVAILABLE,
            SERVER_ERROR,
            "The service has no signing key; its operator can set CLAVIGER_SIGNING_KEY_FILE",
        ),
        // The operations of this API use no passkeys.
        ApiError::NoPublicUrl | ApiError::PasskeysUnavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            SERVER_ERROR,
            "The service does not know the issuer of its tokens; its operator can set CLAVIGER_PUBLIC_ORIGIN",
        ),
        ApiError::TooManyAttempts { retry_after } => {
            return (StatusCode::TOO_MANY_REQUESTS, UNAVAILABLE, too_many_attempts(*retry_after).into());
        }
        ApiError::TooManyLists(_) | ApiError::Busy | ApiError::Timeout => OVERLOADED,
        ApiError::MalformedRequest(sentence) => (BAD, INVALID_REQUEST, *sentence),
        ApiError::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, INVALID_REQUEST, "The body was not received in time"),
        ApiError::TooLarge { limit } => {
            let description = format!("The body is larger than {}", size(*limit));
            return (StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, description.into());
        }
        ApiError::UnsupportedMediaType => (
            BAD,
            INVALID_REQUEST,
            "The body must be a form and not JSON; set the header Content-Type to application/x-www-form-urlencoded",
        ),
        ApiError::UnsupportedEncoding => (BAD, INVALID_REQUEST, "The body must not be compressed"),
        ApiError::MalformedBody(sentence) => return (BAD, INVALID_REQUEST, sentence.clone().into()),
        ApiError::Invalid(fields) => return (BAD, INVALID_REQUEST, sentence(fields).into()),
        ApiError::UnknownPath => (StatusCode::NOT_FOUND, INVALID_REQUEST, "No operation has this path; see /docs"),
        ApiError::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, "Method not allowed"),
        ApiError::Defect(_) => return defect(request_id),
    };
    (status, error, description.into())
}

fn describe_oauth_error(error: &OAuthError) -> Described {
    let (status, error, description) = match error {
        OAuthError::InvalidClient => (
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "The client is not valid; client_id must be the id of an API key, and client_secret its secret",
        ),
        OAuthError::InvalidRequest(description) => (BAD, INVALID_REQUEST, *description),
        OAuthError::InvalidScope(description) => (BAD, "invalid_scope", *description),
        OAuthError::InvalidTarget(description) => (BAD, "invalid_target", *description),
        OAuthError::UnsupportedGrantType => (
            BAD,
            "unsupported_grant_type",
            "grant_type must be client_credentials or urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        OAuthError::UnsupportedTokenType => (
            BAD,
            "unsupported_token_type",
            "API keys are not revoked here; delete or disable the key: DELETE or PATCH /orgs/{org_id}/api_keys/{key_id}",
        ),
    };
    (status, error, description.into())
}

fn describe_domain_error(error: &Error, request_id: &str) -> Described {
    let (status, error, description) = match error {
        Error::Unauthenticated(_) => INVALID_TOKEN,
        Error::Forbidden(permission) => {
            let description = format!("The permission {permission} is required");
            return (StatusCode::FORBIDDEN, "insufficient_scope", description.into());
        }
        Error::CannotManage => (
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            "This API key cannot manage Claviger: its can_manage is false",
        ),
        Error::ExceedsPermissions => {
            (BAD, "invalid_scope", "The API key or trust rule does not have all permissions in scope")
        }
        Error::NotExchangeable(cause) => (BAD, "unauthorized_client", describe_not_exchangeable(*cause)),
        Error::NoOrganization | Error::UnknownPerson(_) => {
            (StatusCode::FORBIDDEN, "access_denied", "The user acts in no organization; send an API key")
        }
        Error::NotFound | Error::UserNotFound | Error::SetNotFound | Error::InvitationNotFound => {
            (StatusCode::NOT_FOUND, INVALID_REQUEST, "It does not exist, or the caller has no access to it")
        }
        Error::TooManyTokens => (
            StatusCode::TOO_MANY_REQUESTS,
            UNAVAILABLE,
            "The API key or trust rule, or its organization, has unexpired tokens with too many different permissions; try \
            again later",
        ),
        Error::TooMany { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, UNAVAILABLE, "There are too many requests or tokens; try again later")
        }
        // The operations of this API have none of these.
        Error::PortalLinkNotFound
        | Error::PortalSessionRequired
        | Error::PortalActionNotAllowed(_)
        | Error::ExceedsExpiry
        | Error::ExceedsAddresses
        | Error::NeverValid
        | Error::KeyPolicyViolated(_)
        | Error::ListedKeyViolatesPolicy(..)
        | Error::SessionRotatesItself
        | Error::FreshSignInRequired
        | Error::PersonRequired
        | Error::KeyRequired
        | Error::PasskeyRejected
        | Error::PasskeyAccountRequired
        | Error::LastPasskey
        | Error::TooManyPasskeys
        | Error::ProviderNotAllowed
        | Error::PlatformOnly
        | Error::PlatformProtected
        | Error::PlatformExists
        | Error::NameTaken
        | Error::ExternalIdTaken
        | Error::EmailTaken
        | Error::AlreadyMember
        | Error::LastAdmin
        | Error::InUse
        | Error::CapReached(_)
        | Error::TooManyKeyFormats
        | Error::TooManyPermissions(_)
        | Error::RefillWithout(_)
        | Error::RotationInProgress
        | Error::NewestSecretUsed
        | Error::NoPreviousSecret
        | Error::SecretInUse
        | Error::ConcurrentChanges
        | Error::VersionMismatch
        | Error::IdempotentRequestInProgress
        | Error::IdempotentResponseNotStored
        | Error::IdempotencyKeyReused
        | Error::NothingToChange => (BAD, INVALID_REQUEST, "The request conflicts with the current state"),
        Error::Outage(Outage::Unavailable(_)) => OVERLOADED,
        Error::Outage(Outage::Broken(_)) => return defect(request_id),
    };
    (status, error, description.into())
}

const fn describe_not_exchangeable(cause: NotExchangeable) -> &'static str {
    match cause {
        NotExchangeable::SessionForSession | NotExchangeable::SessionForToken | NotExchangeable::NotAKey => {
            "Only API keys can be exchanged for tokens; send an API key"
        }
        NotExchangeable::Metered => {
            "Keys with a usage limit or rate limit cannot be exchanged for tokens; use a key without limits"
        }
        NotExchangeable::HasAddresses => {
            "Keys with an IP allowlist cannot be exchanged for tokens; use a key without one"
        }
        NotExchangeable::Platform => "Platform keys cannot be exchanged for tokens; use a key of another organization",
    }
}

/// The message for invalid parameters.
fn sentence(fields: &Fields) -> String {
    fields.iter().map(|(name, wrong)| format!("{name} {wrong}")).collect::<Vec<_>>().join("; ")
}

fn defect(request_id: &str) -> Described {
    let description = format!("An error occurred on the server (request {request_id})");
    (StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR, description.into())
}

const INVALID_TOKEN: (StatusCode, &str, &str) =
    (StatusCode::UNAUTHORIZED, "invalid_token", "Invalid API key, access token or session; send a valid one");
const OVERLOADED: (StatusCode, &str, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, "The service is temporarily unavailable; try again");
