//! Errors of requests, before a contract renders them with its own statuses and messages (`error.rs`).

use std::fmt;

use domain::{Error, Outage, change::Change, validated_string::ValidationError};
use poem::http::StatusCode;

use crate::http::list_slots::ExhaustedSlots;

/// Why a request failed.
#[derive(Debug)]
pub enum ApiError {
    /// The use case returned an error.
    Domain(Error),
    /// No credential was sent.
    Anonymous,
    /// The credential is malformed, or two different ones were sent.
    MalformedCredential,
    /// The token of a portal session was sent to an operation of the API. It is valid only below `/portal`.
    PortalToken,
    /// A browser sent the request on behalf of another site.
    CrossSite,
    /// Sign-up is closed.
    SignUpClosed,
    /// The service has no signing key, which this operation needs.
    NotConfigured,
    /// The service does not know its public URL, which is the issuer of tokens.
    NoPublicUrl,
    /// Browsers have no passkeys at the URL of the service, or it has none.
    PasskeysUnavailable,
    /// Too many attempts from this IP address.
    TooManyAttempts {
        /// Seconds to wait before the next attempt.
        retry_after: u64,
    },
    /// Overloaded: the maximum number of requests, or of bytes of bodies, is reached.
    Busy,
    /// Only clients on this machine can do this.
    LocalOnly,
    /// The maximum number of lists that are read at the same time is reached.
    TooManyLists(ExhaustedSlots),
    /// The head of the request breaks a rule of HTTP. The message says which.
    MalformedRequest(&'static str),
    /// The client did not send the body in time. Nothing was executed.
    BodyTimeout,
    /// The body is larger than the operation accepts.
    TooLarge {
        /// The maximum size, in bytes.
        limit: usize,
    },
    /// The content type of the body is not JSON.
    UnsupportedMediaType,
    /// The body has a content coding, such as `gzip`.
    UnsupportedEncoding,
    /// The body is not JSON of the expected type. The message says where.
    MalformedBody(String),
    /// Fields of the body or the query are invalid.
    Invalid(Fields),
    /// No operation has this path.
    UnknownPath,
    /// No operation of this path has this method.
    MethodNotAllowed,
    /// The request timed out. It may have been executed.
    Timeout,
    /// An error that only the OAuth API has.
    OAuth(OAuthError),
    /// A defect of the service.
    Defect(String),
}

/// The errors that only the OAuth API has (RFC 6749 §5.2), with messages for humans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OAuthError {
    /// The id and the secret of the client are not those of a valid key.
    InvalidClient,
    /// The request is invalid. The message says why.
    InvalidRequest(&'static str),
    /// The requested permissions are invalid. The message says why.
    InvalidScope(&'static str),
    /// The service that a token is for is missing or invalid (RFC 8707 §2). The message says why.
    InvalidTarget(&'static str),
    /// The grant type is not supported.
    UnsupportedGrantType,
    /// Tokens of this type cannot be revoked (RFC 7009 §2.2.1).
    UnsupportedTokenType,
}

/// Invalid fields, each with a message, in the order of the checks.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// One invalid field.
    #[must_use]
    pub fn one(name: &str, wrong: impl fmt::Display) -> Self {
        let mut fields = Self::default();
        fields.add(name, wrong);
        fields
    }

    /// Adds an invalid field. `wrong` is the message without the name, such as "is required".
    pub fn add(&mut self, name: &str, wrong: impl fmt::Display) {
        self.0.push((name.to_owned(), wrong.to_string()));
    }

    /// Returns a valid value. `None`: it is invalid, and the field was added.
    pub fn check<T>(&mut self, name: &str, value: Result<T, ValidationError>) -> Option<T> {
        value.map_err(|invalid| self.add(name, invalid)).ok()
    }

    /// As [`Fields::check`], for a field that may be absent.
    pub fn check_optional<T>(&mut self, name: &str, value: Option<Result<T, ValidationError>>) -> Option<T> {
        value.and_then(|value| self.check(name, value))
    }

    /// As [`Fields::check`], for the value that a change sets. If it is invalid, the change keeps the current value.
    pub fn check_change<T, U>(
        &mut self,
        name: &str,
        change: Change<T>,
        parse: impl FnOnce(T) -> Result<U, ValidationError>,
    ) -> Change<U> {
        match change {
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
            Change::Set(value) => Change::set_or_keep(self.check(name, parse(value))),
        }
    }

    /// Whether all fields are valid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// [`ApiError::Invalid`] if any field is invalid.
    pub fn into_result(self) -> Result<(), ApiError> {
        if self.is_empty() { Ok(()) } else { Err(ApiError::Invalid(self)) }
    }

    /// The fields as (name, message), in the order of the checks.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, wrong)| (name.as_str(), wrong.as_str()))
    }
}

impl ApiError {
    /// The challenge of a 401, or of a 403 for a missing permission (RFC 6750 §3).
    #[must_use]
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Anonymous | Self::Domain(Error::PortalSessionRequired) => Some("Bearer"),
            Self::OAuth(OAuthError::InvalidClient) => Some("Basic realm=\"claviger\", charset=\"UTF-8\""),
            Self::MalformedCredential | Self::PortalToken | Self::Domain(Error::Unauthenticated(_)) => {
                Some("Bearer error=\"invalid_token\"")
            }
            Self::Domain(Error::Forbidden(_) | Error::CannotManage | Error::ExceedsPermissions) => {
                Some("Bearer error=\"insufficient_scope\"")
            }
            _ => None,
        }
    }

    /// Prefixes the names of invalid fields with `place`, the path of their object, such as `keys[3]`.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        match self {
            Self::Invalid(Fields(fields)) => {
                let named = fields.into_iter().map(|(name, wrong)| (format!("{place}.{name}"), wrong));
                Self::Invalid(Fields(named.collect()))
            }
            other => other,
        }
    }

    /// The value of `Retry-After` in seconds, if the same request may succeed later.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { retry_after } | Self::Domain(Error::TooMany { retry_after, .. }) => {
                Some(*retry_after)
            }
            Self::TooManyLists(_) => Some(2),
            Self::Busy | Self::Timeout | Self::Domain(Error::Outage(Outage::Unavailable(_))) => Some(1),
            _ => None,
        }
    }
}

/// A size limit for humans: in MiB or KiB, whichever is whole.
#[must_use]
pub fn size(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    if bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{} KiB", bytes / KIB) }
}

/// The message of [`ApiError::TooManyAttempts`]: it says when to try again, in seconds.
#[must_use]
pub fn too_many_attempts(retry_after: u64) -> String {
    let unit = if retry_after == 1 { "second" } else { "seconds" };
    format!("Too many attempts from this IP address; try again in {retry_after} {unit}")
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl From<ApiError> for poem::Error {
    fn from(error: ApiError) -> Self {
        // Each contract has its own status for the error; this one is never sent.
        Self::new(error, StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl fmt::Display for ApiError {
    /// The cause, for the log only. It does not contain anything that the caller sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(error) => error.fmt(f),
            Self::Anonymous => f.write_str("no credential"),
            Self::MalformedCredential => f.write_str("malformed credential"),
            Self::PortalToken => f.write_str("the token of a portal session, which is only for the portal"),
            Self::CrossSite => f.write_str("cross-site request"),
            Self::NotConfigured => f.write_str("not configured"),
            Self::NoPublicUrl => f.write_str("CLAVIGER_PUBLIC_ORIGIN is not set"),
            Self::SignUpClosed => f.write_str("sign-up is closed"),
            Self::PasskeysUnavailable => f.write_str("the public URL of the service does not allow passkeys"),
            Self::TooManyAttempts { .. } => f.write_str("too many attempts from this address"),
            Self::OAuth(error) => write!(f, "{error:?}"),
            Self::Busy => f.write_str("overloaded: too many requests, or too little memory for the body"),
            Self::LocalOnly => f.write_str("only for clients on this machine"),
            Self::TooManyLists(ExhaustedSlots::Organization) => {
                f.write_str("too many concurrent lists of the organization")
            }
            Self::TooManyLists(ExhaustedSlots::Service) => f.write_str("too many concurrent lists"),
            Self::MalformedRequest(_) => f.write_str("the head of the request is malformed"),
            Self::BodyTimeout => f.write_str("the client did not send the body in time"),
            Self::TooLarge { .. } => f.write_str("the body is too large"),
            Self::UnsupportedMediaType => f.write_str("the content type is not JSON"),
            Self::UnsupportedEncoding => f.write_str("the body has a content coding"),
            Self::MalformedBody(_) => f.write_str("the body is malformed"),
            Self::Invalid(_) => f.write_str("a field is invalid"),
            Self::UnknownPath => f.write_str("no operation at this path"),
            Self::MethodNotAllowed => f.write_str("method not allowed at this path"),
            Self::Timeout => f.write_str("the request timed out"),
            Self::Defect(cause) => write!(f, "internal error: {cause}"),
        }
    }
}

impl std::error::Error for ApiError {}
