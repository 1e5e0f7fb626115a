//! Why a sign-in failed: the page gets a code in its address. The details are only logged.

use domain::Error;

use crate::{auth::sign_in::SignInFailure, http::api_error::ApiError};

/// Why a sign-in failed. `api/dashboard/src/lib/sign-in-errors.ts` has a sentence for each code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There is no such provider, or this service has no signing key.
    UnknownProvider,
    /// The browser has begun no sign-in, or its cookie has expired. This does not count as a failed attempt: any site can make a
    /// browser send such a request.
    NotBegun,
    /// The sign-in took too long, has ended already, or the answer is for another one, such as that of another tab.
    Expired,
    /// The person or the provider has refused.
    Denied,
    /// The provider or this service is not available now.
    Unavailable,
    /// The answer of the provider is not valid.
    InvalidAnswer,
    /// The person was asked to sign in again, and has not.
    NotFresh,
    /// The provider's account does not meet the rules of this service.
    NotAllowed,
    /// No organization has the person as a member.
    NoMembership,
    /// The link is unknown, expired, revoked or redeemed.
    InvitationNotFound,
    /// The organization of the link does not accept this provider.
    InvitationNotAllowed,
    /// The person is a member of the organization already.
    AlreadyMember,
    /// The organization of the link has too many members or changes.
    LimitReached,
    /// There were too many failed attempts.
    TooManyAttempts,
}

impl Reason {
    /// The code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::UnknownProvider => "unknown_provider",
            Self::NotBegun | Self::Expired => "expired",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::InvalidAnswer => "invalid_answer",
            Self::NotFresh => "not_fresh",
            Self::NotAllowed => "not_allowed",
            Self::NoMembership => "no_membership",
            Self::InvitationNotFound => "invitation_not_found",
            Self::InvitationNotAllowed => "invitation_not_allowed",
            Self::AlreadyMember => "already_member",
            Self::LimitReached => "limit_reached",
            Self::TooManyAttempts => "too_many_attempts",
        }
    }

    /// Whether the failure counts as a failed attempt to authenticate. A wrong or late `state` does not: any site can make a
    /// browser begin a sign-in and send it.
    pub(super) fn is_failed_attempt(self) -> bool {
        matches!(self, Self::InvalidAnswer | Self::NotFresh | Self::InvitationNotFound)
    }
}

/// A failed sign-in: the reason for the page, and the cause for the log.
pub(super) struct Failed {
    pub(super) reason: Reason,
    pub(super) cause: String,
}

impl Failed {
    pub(super) fn new(reason: Reason, cause: &str) -> Self {
        Self { reason, cause: cause.to_owned() }
    }
}

impl From<SignInFailure> for Failed {
    fn from(failure: SignInFailure) -> Self {
        let reason = match failure {
            SignInFailure::Unavailable(_) => Reason::Unavailable,
            SignInFailure::InvalidAnswer(_) => Reason::InvalidAnswer,
            SignInFailure::NotFresh => Reason::NotFresh,
            SignInFailure::NotAllowed => Reason::NotAllowed,
        };
        Self { reason, cause: failure.to_string() }
    }
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        let reason = match &error {
            ApiError::TooManyAttempts { .. } => Reason::TooManyAttempts,
            ApiError::Domain(error) => match error {
                Error::UnknownPerson(_) => Reason::NoMembership,
                Error::Unauthenticated(_) => Reason::NotAllowed,
                Error::InvitationNotFound => Reason::InvitationNotFound,
                Error::ProviderNotAllowed => Reason::InvitationNotAllowed,
                Error::AlreadyMember => Reason::AlreadyMember,
                Error::CapReached(_) | Error::TooMany { .. } | Error::TooManyPermissions(_) => Reason::LimitReached,
                _ => Reason::Unavailable,
            },
            _ => Reason::Unavailable,
        };
        Self { reason, cause: error.to_string() }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::from(ApiError::from(error))
    }
}
