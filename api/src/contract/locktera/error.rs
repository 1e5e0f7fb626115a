//! This contract's words for failures: `{message, code, fields?, request_id}`, the code being the status.

use domain::{
    Error, Outage,
    error::{Grantee, Limited},
    organization::Capped,
    permission::PermissionSet,
};
use poem::http::StatusCode;
use poem_openapi::{Object, types::ToJSON};
use serde_json::{Map, Value};

use crate::{
    contract::{Documented, when},
    failure::Failure,
    lists::Taken,
    wire::JsonObject,
};

/// Why the request got no success.
#[derive(Object)]
#[oai(rename = "Error", skip_serializing_if_is_none)]
pub(super) struct ErrorBody {
    /// A sentence for people.
    message: String,
    /// The HTTP status.
    code: i32,
    /// What is wrong with which field; with status 400 only.
    fields: Option<JsonObject>,
    /// Names the request in the log of the service.
    request_id: String,
}

/// Operations without a body.
#[derive(Debug)]
pub(super) struct Reading;

impl Documented for Reading {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = when::READING;
}

/// Operations that remove something.
#[derive(Debug)]
pub(super) struct Removing;

impl Documented for Removing {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = when::REMOVING;
}

/// Operations that are done once, if the client says so.
#[derive(Debug)]
pub(super) struct Creating;

impl Documented for Creating {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = when::CREATING;
}

/// Operations with a body.
#[derive(Debug)]
pub(super) struct Writing;

impl Documented for Writing {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = when::WRITING;
}

/// Operations that change one version of something.
#[derive(Debug)]
pub(super) struct Revising;

impl Documented for Revising {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = when::REVISING;
}

/// What everyone may read.
#[derive(Debug)]
pub(super) struct Publishing;

impl Documented for Publishing {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] =
        &[when::DEFECT, (503, "The service has no signing key, or the database is away.")];
}

/// What everyone may read a part of.
#[derive(Debug)]
pub(super) struct PublishingSome;

impl Documented for PublishingSome {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] =
        &[when::INVALID, when::DEFECT, (503, "The service has no signing key, or the database is away.")];
}

pub(super) fn render(failure: &Failure, request_id: &str) -> (StatusCode, Value) {
    let (status, message) = words(failure);
    let mut named = Map::new();
    if let Failure::Invalid(fields) = failure {
        named.extend(fields.iter().map(|(name, wrong)| (name.to_owned(), Value::from(wrong))));
    }
    let body = ErrorBody {
        message,
        code: status.as_u16().into(),
        fields: (status == StatusCode::BAD_REQUEST).then_some(JsonObject(named)),
        request_id: request_id.to_owned(),
    };
    (status, body.to_json().unwrap_or_default())
}

fn words(failure: &Failure) -> (StatusCode, String) {
    let (status, message) = match failure {
        Failure::Refused(error) => match error {
            Error::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "Invalid API key"),
            Error::Forbidden(permission) => {
                return (StatusCode::FORBIDDEN, format!("The permission {permission} is needed for this"));
            }
            Error::ExceedsGrants => (StatusCode::FORBIDDEN, "Nobody can grant more than they hold"),
            Error::ExceedsExpiry => (StatusCode::FORBIDDEN, "A key cannot make a key that expires later than itself"),
            Error::ExceedsAddresses => {
                (StatusCode::FORBIDDEN, "A key cannot make a key that may be used from other addresses than itself")
            }
            Error::NeverValid => (StatusCode::BAD_REQUEST, "The key would be expired before its not_before"),
            Error::NoOrganization => {
                (StatusCode::FORBIDDEN, "This user may act in no organization, or in several and has named none")
            }
            Error::NotExchangeable => (
                StatusCode::FORBIDDEN,
                "A session opens no other, and only the text of a key that is neither metered, nor bound to addresses, nor the platform's becomes a token",
            ),
            Error::TooManyTokens => (StatusCode::CONFLICT, "The API key or its organization has too many live tokens"),
            Error::NotFound | Error::UserNotFound => (StatusCode::NOT_FOUND, "Resource not found"),
            Error::SetNotFound => (StatusCode::NOT_FOUND, "Permission set not found"),
            Error::PlatformOnly => (StatusCode::FORBIDDEN, "Only the platform may do this"),
            Error::PlatformStays => (StatusCode::CONFLICT, "The platform is neither suspended nor removed"),
            Error::NameTaken => (StatusCode::CONFLICT, "The name or external id is taken"),
            Error::AlreadyMember => (StatusCode::CONFLICT, "The user is a member already"),
            Error::LastAdmin => (StatusCode::CONFLICT, "Nobody would be left who may do everything"),
            Error::InUse => (StatusCode::CONFLICT, "Keys or members have this permission set"),
            Error::CapReached(what) => (StatusCode::CONFLICT, full(*what)),
            Error::TooManyPermissions(grantee) => return too_many_permissions(*grantee),
            Error::TooMany { what, .. } => (StatusCode::TOO_MANY_REQUESTS, too_many(*what)),
            Error::RefillWithout(_) => (StatusCode::BAD_REQUEST, "A refill needs an amount and an interval"),
            Error::StillRotating => {
                (StatusCode::CONFLICT, "An older text of the key goes on; both end with a grace time of 0")
            }
            Error::VersionMismatch => (StatusCode::PRECONDITION_FAILED, "The key has another version by now"),
            Error::InFlight => {
                (StatusCode::CONFLICT, "A request with this Idempotency-Key is being done, or its answer was lost")
            }
            Error::AnswerNotKept => (StatusCode::CONFLICT, ANSWER_NOT_KEPT),
            Error::OtherBody => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "A request with this Idempotency-Key was sent before with another body",
            ),
            Error::TooManyRequests { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "Too many requests for this organization, try again later")
            }
            Error::TooManyShapes => (StatusCode::CONFLICT, "Keys of too many different shapes were imported"),
            Error::NothingToChange => (StatusCode::BAD_REQUEST, "There is nothing to change"),
            Error::EmailTaken => (StatusCode::CONFLICT, "A user with this email already exists"),
            Error::PlatformExists => (StatusCode::CONFLICT, "There is a platform organization already"),
            Error::Outage(Outage::Unavailable(_)) => UNAVAILABLE,
            Error::Outage(Outage::Broken(_)) => DEFECT,
        },
        Failure::Anonymous => (StatusCode::UNAUTHORIZED, "An API key is needed for this"),
        Failure::MalformedCredential => (StatusCode::UNAUTHORIZED, "Invalid API key"),
        Failure::CrossSite => (StatusCode::FORBIDDEN, "Requests from other sites are refused"),
        Failure::NotConfigured => (StatusCode::SERVICE_UNAVAILABLE, "Not configured: the service has no signing key"),
        Failure::SignUpClosed => (StatusCode::FORBIDDEN, "Sign-up is closed"),
        Failure::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "Too many attempts, try again later"),
        Failure::NotFromHere => (
            StatusCode::FORBIDDEN,
            "Figures are shown on this machine alone, or at an address of their own (CLAVIGER_METRICS_LISTEN)",
        ),
        Failure::TooManyLists(Taken::Organization) => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many lists of this organization are being read at once, try again")
        }
        Failure::TooManyLists(Taken::Service) => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many lists are being read at once, try again")
        }
        Failure::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KiB"),
        Failure::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json"),
        Failure::MalformedBody(sentence) => return (StatusCode::BAD_REQUEST, sentence.clone()),
        Failure::Invalid(_) => (StatusCode::BAD_REQUEST, "Some fields are not acceptable"),
        Failure::UnknownPath => (StatusCode::NOT_FOUND, "Resource not found"),
        Failure::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
        Failure::Timeout | Failure::Busy => UNAVAILABLE,
        Failure::Defect(_) => DEFECT,
    };
    (status, message.to_owned())
}

fn too_many_permissions(grantee: Grantee) -> (StatusCode, String) {
    let most = PermissionSet::MAX_EFFECTIVE;
    let status = if grantee == Grantee::Requested { StatusCode::BAD_REQUEST } else { StatusCode::CONFLICT };
    (status, format!("{grantee} would hold more than {most} permissions, those of its permission sets included"))
}

const fn full(what: Capped) -> &'static str {
    match what {
        Capped::Keys => "The organization has as many keys as it may have",
        Capped::Members => "The organization has as many members as it may have",
        Capped::Sets => "The organization has as many permission sets as it may have",
    }
}

const fn too_many(what: Limited) -> &'static str {
    match what {
        Limited::Changes => {
            "The organization has made as many changes as it may in an hour; deleting keys, members and permission sets goes on"
        }
        Limited::IdempotencyKeys => {
            "There are as many Idempotency-Keys as there may be; try again later, or without one"
        }
        Limited::Tokens => "There are too many live tokens with different permissions; try again later",
    }
}

const ANSWER_NOT_KEPT: &str = "The request with this Idempotency-Key was done, and its answer was too large to be kept: \
    look at what it has made instead of sending it again";

const UNAVAILABLE: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "The service is temporarily unavailable, try again");
const DEFECT: (StatusCode, &str) = (StatusCode::INTERNAL_SERVER_ERROR, "An error occurred on the server");
