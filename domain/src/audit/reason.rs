//! Why an audited action was denied, and the details of alarms.

use crate::{coded_enum::coded_enum, deny_reason::DenyCode};

coded_enum! {
    /// Why an action was denied. The codes of denied requests are those of the errors that the callers got; the codes of
    /// keys that were rejected as credentials are those of [`DenyCode`], in lower case.
    pub enum AuditReason {
        /// The caller lacks the permission of the event.
        PermissionRequired = "permission_required",
        /// `can_manage` of the caller's key is false.
        CannotManage = "cannot_manage",
        /// The caller would have granted permissions that it does not hold.
        ExceedsPermissions = "exceeds_permissions",
        /// The caller would have granted something for longer than its own key is valid.
        ExceedsExpiry = "exceeds_expiry",
        /// The caller would have granted something outside of the IP allowlist of its own key.
        ExceedsAddresses = "exceeds_addresses",
        /// A session was sent to create a session.
        SessionCannotCreateSession = "session_cannot_create_session",
        /// A session was sent to create a token.
        SessionCannotCreateToken = "session_cannot_create_token",
        /// A token of an identity provider was sent to create a token.
        ApiKeyRequired = "api_key_required",
        /// A key with a usage limit or rate limit was sent to create a token.
        MeteredKeyNotExchangeable = "metered_key_not_exchangeable",
        /// A key with an IP allowlist was sent to create a token.
        RestrictedKeyNotExchangeable = "restricted_key_not_exchangeable",
        /// A key of the platform was sent to create a token.
        PlatformKeyNotExchangeable = "platform_key_not_exchangeable",
        /// A session was sent to rotate the key that it was created with.
        SessionCannotRotateOwnKey = "session_cannot_rotate_own_key",
        /// The sign-in of the session was too long ago.
        FreshSignInRequired = "fresh_sign_in_required",
        /// Only the platform can do this.
        PlatformOnly = "platform_only",
        /// No member with all permissions would have remained.
        LastAdministrator = "last_administrator",
        /// See [`DenyCode::InvalidApiKey`].
        InvalidApiKey = "invalid_api_key",
        /// See [`DenyCode::OrganizationSuspended`].
        OrganizationSuspended = "organization_suspended",
        /// See [`DenyCode::KeyDisabled`].
        KeyDisabled = "key_disabled",
        /// See [`DenyCode::KeyNotYetValid`].
        KeyNotYetValid = "key_not_yet_valid",
        /// See [`DenyCode::KeyExpired`].
        KeyExpired = "key_expired",
        /// See [`DenyCode::AddressNotAllowed`].
        AddressNotAllowed = "address_not_allowed",
        /// See [`DenyCode::InsufficientPermissions`].
        InsufficientPermissions = "insufficient_permissions",
        /// See [`DenyCode::UsageExceeded`].
        UsageExceeded = "usage_exceeded",
        /// See [`DenyCode::RateLimited`].
        RateLimited = "rate_limited",
        /// In events of earlier versions: the credential cannot be exchanged for a session or token.
        NotExchangeable = "not_exchangeable",
        /// The event counts further events, with different reasons and targets.
        Others = "others",
    }
}

impl AuditReason {
    /// The code of a stored reason. Reasons that earlier versions stored with another code have the current one. A code
    /// that this version does not know is unchanged: a newer version may have stored it.
    #[must_use]
    pub fn current_code(stored: &str) -> &str {
        match stored {
            "forbidden" => Self::PermissionRequired.code(),
            "exceeds_grants" => Self::ExceedsPermissions.code(),
            "session_rotates_itself" => Self::SessionCannotRotateOwnKey.code(),
            "last_admin" => Self::LastAdministrator.code(),
            current => current,
        }
    }
}

impl From<DenyCode> for AuditReason {
    fn from(code: DenyCode) -> Self {
        match code {
            DenyCode::InvalidApiKey => Self::InvalidApiKey,
            DenyCode::OrganizationSuspended => Self::OrganizationSuspended,
            DenyCode::KeyDisabled => Self::KeyDisabled,
            DenyCode::KeyNotYetValid => Self::KeyNotYetValid,
            DenyCode::KeyExpired => Self::KeyExpired,
            DenyCode::AddressNotAllowed => Self::AddressNotAllowed,
            DenyCode::InsufficientPermissions => Self::InsufficientPermissions,
            DenyCode::UsageExceeded => Self::UsageExceeded,
            DenyCode::RateLimited => Self::RateLimited,
        }
    }
}

/// What is stored as the reason of a denied action or of an alarm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventDetail {
    /// Why the action was denied.
    Reason(AuditReason),
    /// The beginning of the secret that was used, as it is shown with the key.
    SecretStart(String),
}

impl EventDetail {
    /// The text that is stored.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Reason(reason) => reason.code(),
            Self::SecretStart(start) => start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_rejected_keys_are_those_of_verify_in_lower_case() {
        for code in DenyCode::ALL {
            assert_eq!(AuditReason::from(code).code(), code.code().to_ascii_lowercase());
        }
    }

    #[test]
    fn codes_of_earlier_versions_are_read_as_the_current_ones() {
        for (stored, current) in [
            ("forbidden", "permission_required"),
            ("exceeds_grants", "exceeds_permissions"),
            ("session_rotates_itself", "session_cannot_rotate_own_key"),
            ("last_admin", "last_administrator"),
            ("not_exchangeable", "not_exchangeable"),
            ("code_of_a_newer_version", "code_of_a_newer_version"),
        ] {
            assert_eq!(AuditReason::current_code(stored), current);
        }
        for reason in AuditReason::ALL {
            assert_eq!(AuditReason::current_code(reason.code()), reason.code());
        }
    }
}
