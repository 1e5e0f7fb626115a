//! What the errors about reached limits say.

use domain::error::{Capped, Limited};

use crate::routes::reason::ErrorReason;

/// The reason and the message for a maximum number of objects.
pub(super) const fn describe_cap(what: Capped) -> (ErrorReason, &'static str) {
    match what {
        Capped::Keys => (
            ErrorReason::KeyLimitReached,
            "The organization has reached its maximum number of keys; delete some, or ask the operator for more",
        ),
        Capped::Members => (
            ErrorReason::MemberLimitReached,
            "The organization has reached its maximum number of members; remove some, or ask the operator for more",
        ),
        Capped::Sets => (
            ErrorReason::PermissionSetLimitReached,
            "The organization has reached its maximum number of permission sets; delete some, or ask the operator for more",
        ),
        Capped::Invitations => (
            ErrorReason::InvitationLimitReached,
            "The organization has 100 open invitations and recovery links; revoke some, or wait until they expire",
        ),
        Capped::PortalSessions => (
            ErrorReason::PortalSessionLimitReached,
            "The organization has its maximum of 10000 open portal sessions; revoke some, or wait until they expire",
        ),
        Capped::PortalKeys => (
            ErrorReason::PortalKeyLimitReached,
            "The customer has as many keys as the portal session allows; revoke one first",
        ),
        Capped::PortalKeysOfHour => (
            ErrorReason::PortalKeyLimitReached,
            "The customer has created and revoked too many keys within the last hour; try again later",
        ),
        Capped::TrustRules => {
            (ErrorReason::TrustRuleLimitReached, "The organization has its maximum of 100 trust rules; delete some")
        }
    }
}

/// The reason and the message for a limit per period, or on simultaneous objects.
pub(super) const fn describe_limit(what: Limited) -> (ErrorReason, &'static str) {
    match what {
        Limited::Changes => (
            ErrorReason::ChangeLimitReached,
            "The organization has reached its maximum number of changes per hour; deletions are still possible",
        ),
        Limited::IdempotencyKeys => (
            ErrorReason::IdempotencyKeyLimitReached,
            "The maximum number of idempotency keys is reached; try again later, or without one",
        ),
        Limited::Tokens => (
            ErrorReason::ServiceTokenLimitReached,
            "There are too many unexpired tokens with different permissions; try again later",
        ),
        Limited::Requests => (ErrorReason::RateLimited, "Too many requests for this organization; try again later"),
        Limited::PortalRequests => {
            (ErrorReason::RateLimited, "Too many requests of this portal session; try again later")
        }
    }
}
