//! Why a request got no success, in no contract's words. Each contract's `error.rs` says it in its own.

use std::fmt;

use domain::{Error, Outage, text::Invalid};

use crate::lists::Taken;

/// Everything that can be answered instead of a success.
#[derive(Debug)]
pub enum Failure {
    /// A use case refused, or the world failed it.
    Refused(Error),
    /// No credential was sent.
    Anonymous,
    /// What was sent as a credential cannot be one, or there are two that differ.
    MalformedCredential,
    /// A browser sent the request on behalf of another site.
    CrossSite,
    /// Sign-up is closed.
    SignUpClosed,
    /// The operator has not given the service what it needs for this.
    NotConfigured,
    /// Too many attempts from this address; the next one is heard in so many seconds.
    TooManyAttempts {
        /// Seconds.
        retry_after: u64,
    },
    /// There is no place for the request, or no room for its body.
    Busy,
    /// What is for clients on this machine alone was asked for from elsewhere.
    NotFromHere,
    /// Too many lists are being read already.
    TooManyLists(Taken),
    /// The body is larger than the operation takes.
    TooLarge,
    /// The body is declared to be something else than JSON.
    UnsupportedMediaType,
    /// The body is not JSON of the expected kind; the sentence says where it goes wrong.
    MalformedBody(String),
    /// Fields of the body or the query are not acceptable.
    Invalid(Fields),
    /// No operation at this path.
    UnknownPath,
    /// No such method at this path.
    MethodNotAllowed,
    /// The answer took too long.
    Timeout,
    /// A defect of ours.
    Defect(String),
}

/// Names of fields, each with what is wrong with it, in the order they were looked at.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// One wrong field.
    #[must_use]
    pub fn one(name: &str, wrong: impl fmt::Display) -> Self {
        let mut fields = Self::default();
        fields.add(name, wrong);
        fields
    }

    /// Notes what is wrong with a field.
    pub fn add(&mut self, name: &str, wrong: impl fmt::Display) {
        self.0.push((name.to_owned(), wrong.to_string()));
    }

    /// Holds a field against its rule; what is wrong with it is noted.
    pub fn check<T>(&mut self, name: &str, value: Result<T, Invalid>) -> Option<T> {
        value.map_err(|invalid| self.add(name, invalid)).ok()
    }

    /// As [`Fields::check`], for a field that may be absent.
    pub fn check_optional<T>(&mut self, name: &str, value: Option<Result<T, Invalid>>) -> Option<T> {
        value.and_then(|value| self.check(name, value))
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A failure if anything was noted.
    pub fn into_result(self) -> Result<(), Failure> {
        if self.is_empty() { Ok(()) } else { Err(Failure::Invalid(self)) }
    }

    /// Name and what is wrong, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, wrong)| (name.as_str(), wrong.as_str()))
    }
}

impl Failure {
    /// The challenge of a 401, or of a 403 for a missing permission (RFC 6750 §3).
    #[must_use]
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Anonymous => Some("Bearer"),
            Self::MalformedCredential | Self::Refused(Error::Unauthenticated(_)) => {
                Some("Bearer error=\"invalid_token\"")
            }
            Self::Refused(Error::Forbidden(_) | Error::ExceedsGrants) => Some("Bearer error=\"insufficient_scope\""),
            _ => None,
        }
    }

    /// The same about a part of the document: its fields are named from there.
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

    /// Seconds after which the same request may fare better.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { retry_after }
            | Self::Refused(Error::TooManyRequests { retry_after } | Error::TooMany { retry_after, .. }) => {
                Some(*retry_after)
            }
            Self::TooManyLists(_) => Some(2),
            Self::Busy | Self::Timeout | Self::Refused(Error::Outage(Outage::Unavailable(_))) => Some(1),
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Display for Failure {
    /// The private cause, for the log: without anything that a caller wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Anonymous => f.write_str("no credential"),
            Self::MalformedCredential => f.write_str("a credential that cannot be one"),
            Self::CrossSite => f.write_str("sent by a browser for another site"),
            Self::NotConfigured => f.write_str("not configured"),
            Self::SignUpClosed => f.write_str("sign-up is closed"),
            Self::TooManyAttempts { .. } => f.write_str("too many attempts from this address"),
            Self::Busy => f.write_str("no place for the request, or no room for its body"),
            Self::NotFromHere => f.write_str("for clients on this machine alone"),
            Self::TooManyLists(Taken::Organization) => f.write_str("too many lists of the organization at once"),
            Self::TooManyLists(Taken::Service) => f.write_str("too many lists at once"),
            Self::TooLarge => f.write_str("the body is too large"),
            Self::UnsupportedMediaType => f.write_str("the body is not declared as JSON"),
            Self::MalformedBody(_) => f.write_str("the body is not JSON of the expected kind"),
            Self::Invalid(_) => f.write_str("a field is not acceptable"),
            Self::UnknownPath => f.write_str("no operation at this path"),
            Self::MethodNotAllowed => f.write_str("no such method at this path"),
            Self::Timeout => f.write_str("the answer took too long"),
            Self::Defect(cause) => write!(f, "a defect: {cause}"),
        }
    }
}

impl std::error::Error for Failure {}
