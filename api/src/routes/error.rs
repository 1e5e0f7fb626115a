//! Errors of the native API: `{message, code, reason, fields?, request_id}`. `code` is the HTTP status.

mod limits;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use domain::{
    Error, Outage,
    error::{Grantee, NotExchangeable, RefillPart, UnknownPerson},
    id::Identity,
    permissions::Permissions,
};
use poem::http::StatusCode;
use poem_openapi::{Object, types::ToJSON};
use serde_json::Value;

use self::limits::{describe_cap, describe_limit};
use super::reason::ErrorReason;
use crate::http::{
    api_error::{ApiError, Fields, size, too_many_attempts},
    contract::{self, Documented, responses},
    key_policy_errors::broken_rules,
    list_slots::ExhaustedSlots,
    openapi_codes::Code,
    openapi_types::JsonMap,
};

/// An error.
#[derive(Debug, Object)]
#[oai(rename = "ApiError", skip_serializing_if_is_none)]
pub(super) struct ErrorBody {
    /// Message for humans.
    message: String,
    /// HTTP status code.
    #[oai(validator(minimum(value = "400"), maximum(value = "599")))]
    code: i32,
    reason: Code<ErrorReason>,
    /// What is wrong with each invalid field, or with each broken rule of a key policy; with status 400 only.
    fields: Option<JsonMap<String>>,
    /// Id of the request, as in the log of the service.
    request_id: String,
}

pub(super) type Reading = contract::Reading<ErrorBody>;
pub(super) type Removing = contract::Removing<ErrorBody>;
pub(super) type Creating = contract::Creating<ErrorBody>;
pub(super) type Writing = contract::Writing<ErrorBody>;

/// The documented errors of operations that need no credential.
#[derive(Debug)]
pub(super) struct Publishing;

impl Documented for Publishing {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = &[
        responses::INVALID,
        responses::DEFECT,
        (503, "The service has no signing key or no public origin, or the database is unavailable."),
    ];
}

/// The documented errors of the preview of an invitation.
#[derive(Debug)]
pub(super) struct OpeningLink;

impl Documented for OpeningLink {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = &[
        responses::INVALID,
        (404, "The link is unknown, expired, revoked or redeemed."),
        responses::TOO_LARGE,
        responses::UNSUPPORTED,
        responses::TOO_MANY,
        responses::DEFECT,
        responses::UNAVAILABLE,
    ];
}

pub(super) fn render(failure: &ApiError, request_id: &str) -> (StatusCode, Value) {
    let (reason, message) = describe(failure);
    let status = reason.status();
    let mut named = Vec::new();
    let mut add = |fields: &Fields| {
        named.extend(fields.iter().map(|(name, wrong)| (name.to_owned(), wrong.to_owned())));
    };
    if let ApiError::Invalid(fields) = failure {
        add(fields);
    }
    if let ApiError::Domain(Error::KeyPolicyViolated(broken)) = failure {
        add(&broken_rules("", broken));
    }
    if let ApiError::Domain(Error::ListedKeyViolatesPolicy(index, broken)) = failure {
        add(&broken_rules(&format!("keys[{index}]."), broken));
    }
    let body = ErrorBody {
        message: message.into_owned(),
        code: status.as_u16().into(),
        reason: Code::new(reason.code()),
        fields: (status == StatusCode::BAD_REQUEST).then_some(JsonMap(named)),
        request_id: request_id.to_owned(),
    };
    (status, body.to_json().unwrap_or_default())
}

/// The reason, and a message for humans that says what is wrong and how to correct it.
fn describe(failure: &ApiError) -> (ErrorReason, Cow<'static, str>) {
    let (reason, message) = match failure {
        ApiError::Domain(error) => return describe_domain_error(error),
        ApiError::Anonymous => {
            (ErrorReason::Unauthenticated, "Authentication is required: send an API key, or an access token or session")
        }
        ApiError::MalformedCredential => (ErrorReason::InvalidCredential, INVALID_CREDENTIAL),
        ApiError::PortalToken => (
            ErrorReason::InvalidCredential,
            "The token of a portal session is only valid below /portal; send an API key, an access token or a session",
        ),
        ApiError::CrossSite => {
            (ErrorReason::CrossSiteRequest, "Cross-site requests are not allowed; send it from a page of this service")
        }
        ApiError::NotConfigured => (
            ErrorReason::NotConfigured,
            "The service has no signing key; its operator can set CLAVIGER_SIGNING_KEY_FILE",
        ),
        ApiError::NoPublicUrl => (
            ErrorReason::PublicOriginRequired,
            "The service does not know the issuer of its tokens; its operator can set CLAVIGER_PUBLIC_ORIGIN",
        ),
        ApiError::SignUpClosed => (ErrorReason::SignUpClosed, "Sign-up is closed; ask the operator of the service"),
        ApiError::PasskeysUnavailable => (
            ErrorReason::PasskeysUnavailable,
            "Passkeys need the name of a host and HTTPS, or localhost; the operator can set CLAVIGER_PUBLIC_ORIGIN",
        ),
        ApiError::TooManyAttempts { retry_after } => {
            return (ErrorReason::TooManyAttempts, too_many_attempts(*retry_after).into());
        }
        ApiError::LocalOnly => (
            ErrorReason::LocalOnly,
            "Metrics are only served to clients on this machine, or at CLAVIGER_METRICS_LISTEN",
        ),
        ApiError::TooManyLists(ExhaustedSlots::Organization) => {
            (ErrorReason::TooManyLists, "Too many lists of this organization are being read; try again later")
        }
        ApiError::TooManyLists(ExhaustedSlots::Service) => {
            (ErrorReason::Overloaded, "Too many lists are being read; try again later")
        }
        ApiError::MalformedRequest(sentence) => (ErrorReason::MalformedRequest, *sentence),
        ApiError::BodyTimeout => (
            ErrorReason::BodyTimeout,
            "The body was not received in time, and nothing was executed; send it again without pauses",
        ),
        ApiError::TooLarge { limit } => {
            let message = format!("The body is larger than {}; send less at once", size(*limit));
            return (ErrorReason::BodyTooLarge, message.into());
        }
        ApiError::UnsupportedEncoding => (
            ErrorReason::UnsupportedMediaType,
            "The body must not be compressed; send it without the header Content-Encoding",
        ),
        ApiError::UnsupportedMediaType => {
            (ErrorReason::UnsupportedMediaType, "The body must be application/json; set the header Content-Type")
        }
        ApiError::MalformedBody(sentence) => return (ErrorReason::MalformedBody, sentence.clone().into()),
        ApiError::Invalid(_) => (ErrorReason::InvalidFields, "Some fields are invalid"),
        ApiError::OAuth(_) => (ErrorReason::MalformedBody, "The request is invalid"),
        ApiError::UnknownPath => (ErrorReason::UnknownPath, "No operation has this path; see /docs"),
        ApiError::MethodNotAllowed => {
            (ErrorReason::MethodNotAllowed, "Method not allowed; the header Allow has the methods of this path")
        }
        ApiError::Timeout => {
            (ErrorReason::Timeout, "The request timed out and may have been executed; check before trying again")
        }
        ApiError::Busy => (ErrorReason::Overloaded, "The service is overloaded; try again later"),
        ApiError::Defect(_) => (ErrorReason::Internal, INTERNAL),
    };
    (reason, message.into())
}

#[expect(clippy::too_many_lines, reason = "a table: one entry for each error")]
fn describe_domain_error(error: &Error) -> (ErrorReason, Cow<'static, str>) {
    let (reason, message) = match error {
        Error::Unauthenticated(_) => (ErrorReason::InvalidCredential, INVALID_CREDENTIAL),
        Error::Forbidden(permission) => {
            return (ErrorReason::PermissionRequired, format!("The permission {permission} is required").into());
        }
        Error::CannotManage => (ErrorReason::CannotManage, CANNOT_MANAGE),
        Error::ExceedsPermissions => {
            (ErrorReason::ExceedsPermissions, "The caller cannot grant permissions it does not hold")
        }
        Error::ExceedsExpiry => (ErrorReason::ExceedsExpiry, EXCEEDS_EXPIRY),
        Error::ExceedsAddresses => (ErrorReason::ExceedsAddresses, EXCEEDS_ADDRESSES),
        Error::NeverValid => (ErrorReason::NeverValid, "expires_at must be later than not_before"),
        Error::KeyPolicyViolated(_) | Error::ListedKeyViolatesPolicy(..) => (
            ErrorReason::KeyPolicyViolated,
            "The key would break rules of the key policies that apply to it; see fields",
        ),
        Error::NoOrganization => (
            ErrorReason::OrganizationRequired,
            "The user has accepted no membership, or several; name the organization in the path: /orgs/{org_id}/…",
        ),
        Error::UnknownPerson(person) => {
            return (ErrorReason::OrganizationRequired, describe_unknown_person(person).into());
        }
        Error::InvitationNotFound => (
            ErrorReason::InvitationNotFound,
            "The link is unknown, expired, revoked or redeemed; ask an administrator of the organization for a new one",
        ),
        Error::PortalLinkNotFound => (
            ErrorReason::PortalLinkNotFound,
            "The link is unknown, expired, revoked or was opened; open the portal again from the website that led to it",
        ),
        Error::PortalSessionRequired => (
            ErrorReason::PortalSessionRequired,
            "The token of a valid portal session is required; open the portal again from the website that led to it",
        ),
        Error::PortalActionNotAllowed(action) => {
            let message = format!(
                "The portal session does not allow `{action}`; create a session whose allowed actions contain it"
            );
            return (ErrorReason::PortalActionNotAllowed, message.into());
        }
        Error::KeyRequired => {
            (ErrorReason::ApiKeyRequired, "Only an API key can create a portal session; send the one of your backend")
        }
        Error::PersonRequired => (
            ErrorReason::PersonRequired,
            "Only a person can do this, not an API key; send an access token or a session of an identity provider",
        ),
        Error::ProviderNotAllowed => (
            ErrorReason::ProviderNotAllowed,
            "Your identity provider is not configured for this organization, or your token is for another one; sign in in \
            another way",
        ),
        Error::PasskeyRejected => (
            ErrorReason::PasskeyRejected,
            "The passkey is unknown, or the response of the authenticator is invalid, expired or was used; begin again",
        ),
        Error::PasskeyAccountRequired => (
            ErrorReason::PasskeyAccountRequired,
            "Only a person who signs in with a passkey has passkeys; an API key or an identity provider has none",
        ),
        Error::LastPasskey => (
            ErrorReason::LastPasskey,
            "It is your only passkey, so you could not sign in any more; add another one first",
        ),
        Error::TooManyPasskeys => (ErrorReason::PasskeyLimitReached, "You have 20 passkeys; remove one first"),
        Error::NotExchangeable(cause) => describe_not_exchangeable(*cause),
        Error::SessionRotatesItself => (
            ErrorReason::SessionCannotRotateOwnKey,
            "A session cannot rotate the API key that it was created with; use the key itself as the credential",
        ),
        Error::FreshSignInRequired => (
            ErrorReason::FreshSignInRequired,
            "This needs a sign-in within the last 10 minutes; sign in again, or send the API key or access token itself",
        ),
        Error::TooManyTokens => (
            ErrorReason::TokenLimitReached,
            "The API key or its organization has too many valid tokens with different permissions; wait until some expire",
        ),
        Error::NotFound => (ErrorReason::NotFound, "Resource not found"),
        Error::UserNotFound => {
            (ErrorReason::UserNotFound, "The user of the key is not a member of the organization; add the user first")
        }
        Error::SetNotFound => (
            ErrorReason::PermissionSetNotFound,
            "The organization has no such permission set; list them to get the ids",
        ),
        Error::PlatformOnly => {
            (ErrorReason::PlatformOnly, "Only platform callers can do this; use a key of the platform")
        }
        Error::PlatformProtected => {
            (ErrorReason::PlatformProtected, "The platform organization cannot be suspended or deleted")
        }
        Error::NameTaken => (ErrorReason::NameTaken, "The name is already in use in the organization; choose another"),
        Error::ExternalIdTaken => {
            (ErrorReason::ExternalIdTaken, "Another organization already has this external_id; choose another")
        }
        Error::AlreadyMember => (ErrorReason::AlreadyMember, "The user is already a member; update the member instead"),
        Error::LastAdmin => (
            ErrorReason::LastAdministrator,
            "The organization must keep a member with all permissions (*); give them to another member first",
        ),
        Error::InUse => {
            (ErrorReason::PermissionSetInUse, "Keys or members have this permission set; detach=true detaches it first")
        }
        Error::CapReached(what) => describe_cap(*what),
        Error::TooManyPermissions(grantee) => return describe_too_many_permissions(*grantee),
        Error::TooMany { what, .. } => describe_limit(*what),
        Error::RefillWithout(RefillPart::Amount) => {
            (ErrorReason::RefillAmountRequired, "A refill requires an amount; set refill_amount")
        }
        Error::RefillWithout(RefillPart::Interval) => {
            (ErrorReason::RefillIntervalRequired, "A refill requires an interval; set refill_interval")
        }
        Error::RotationInProgress => (
            ErrorReason::RotationInProgress,
            "A previous secret is still valid, and the newest one was used; revoke the previous one, or rotate with \
            grace_seconds 0",
        ),
        Error::NewestSecretUsed => (
            ErrorReason::NewestSecretUsed,
            "The newest secret was used, so the rotation cannot be undone; rotate the key again",
        ),
        Error::NoPreviousSecret => {
            (ErrorReason::NoPreviousSecret, "No previous secret is valid, so there is no rotation to undo")
        }
        Error::SecretInUse => {
            (ErrorReason::SecretInUse, "A key of the organization has or had this secret; generate another one")
        }
        Error::ConcurrentChanges => {
            (ErrorReason::ConcurrentChanges, "Other requests changed this at the same time; read it and try again")
        }
        Error::VersionMismatch => (
            ErrorReason::VersionMismatch,
            "The current version is not in If-Match, or the object has no versions; get it and try again",
        ),
        Error::IdempotentRequestInProgress => (
            ErrorReason::IdempotentRequestInProgress,
            "A request with this Idempotency-Key is in progress, or its response was lost; wait, then check its result",
        ),
        Error::IdempotentResponseNotStored => (
            ErrorReason::IdempotentResponseNotStored,
            "The request with this Idempotency-Key was executed, but its response was too large to store: check its \
            result instead of sending it again",
        ),
        Error::IdempotencyKeyReused => (
            ErrorReason::IdempotencyKeyReused,
            "This Idempotency-Key was already used with a different body; use a new one for each request",
        ),
        Error::TooManyKeyFormats => (
            ErrorReason::KeyFormatLimitReached,
            "The organization has imported or supplied secrets with too many different formats; use one of these formats",
        ),
        Error::NothingToChange => (ErrorReason::NothingToChange, "The request changes nothing; set at least one field"),
        Error::EmailTaken => (ErrorReason::EmailTaken, "A user with this email already exists; use another email"),
        Error::PlatformExists => (ErrorReason::PlatformExists, "The platform organization already exists"),
        Error::Outage(Outage::Unavailable(_)) => {
            (ErrorReason::Unavailable, "The service is temporarily unavailable; try again")
        }
        Error::Outage(Outage::Broken(_)) => (ErrorReason::Internal, INTERNAL),
    };
    (reason, message.into())
}

/// What an administrator has to add. The person's own token says it, too.
fn describe_unknown_person(person: &UnknownPerson) -> String {
    let UnknownPerson { identity: Identity { issuer, subject }, organization } = person;
    match organization {
        None => format!(
            "No organization has this user as a member; an administrator can add the issuer {issuer:?} with the subject \
             {subject:?}"
        ),
        Some(named) => format!(
            "The access token names the organization {:?}, but no organization for its issuer {issuer:?} has this \
             external_id; the platform can set it. The user is the subject {subject:?}",
            named.as_str()
        ),
    }
}

const fn describe_not_exchangeable(cause: NotExchangeable) -> (ErrorReason, &'static str) {
    match cause {
        NotExchangeable::SessionForSession => (
            ErrorReason::SessionCannotCreateSession,
            "Sessions cannot create sessions; send an API key or an access token of the identity provider",
        ),
        NotExchangeable::SessionForToken => {
            (ErrorReason::SessionCannotCreateToken, "Sessions cannot create tokens; send an API key")
        }
        NotExchangeable::NotAKey => {
            (ErrorReason::ApiKeyRequired, "Only API keys can be exchanged for tokens; send an API key")
        }
        NotExchangeable::Metered => (
            ErrorReason::MeteredKeyNotExchangeable,
            "Keys with a usage limit or rate limit cannot be exchanged for tokens; use a key without limits",
        ),
        NotExchangeable::HasAddresses => (
            ErrorReason::RestrictedKeyNotExchangeable,
            "Keys with an IP allowlist cannot be exchanged for tokens; use a key without one",
        ),
        NotExchangeable::Platform => (
            ErrorReason::PlatformKeyNotExchangeable,
            "Platform keys cannot be exchanged for tokens; use a key of another organization",
        ),
    }
}

fn describe_too_many_permissions(grantee: Grantee) -> (ErrorReason, Cow<'static, str>) {
    let max = Permissions::MAX_EFFECTIVE;
    let reason = match grantee {
        Grantee::Requested => ErrorReason::TooManyPermissions,
        Grantee::Key(_) => ErrorReason::KeyWouldExceedPermissions,
        Grantee::Member(_) => ErrorReason::MemberWouldExceedPermissions,
    };
    let message = format!("{grantee} would hold more than {max} permissions, including those of its permission sets");
    (reason, message.into())
}

const EXCEEDS_EXPIRY: &str = "Your key expires: it can only create or extend keys that expire no later, and cannot add \
    permissions or permission sets to members or to keys that last longer, add permissions to permission sets, create or extend trust rules, \
    or restore organizations";
const EXCEEDS_ADDRESSES: &str = "Your key has allowed addresses: it can only create or extend keys within these, and cannot \
    add permissions or permission sets to members or to other keys, add permissions to permission sets, create or extend trust rules, \
    or restore organizations";

const CANNOT_MANAGE: &str =
    "This API key cannot manage Claviger: its can_manage is false. Use a key whose can_manage is true";

const INVALID_CREDENTIAL: &str = "Invalid API key, access token or session; send a valid one";
const INTERNAL: &str = "An error occurred on the server; give its operator the request id";
