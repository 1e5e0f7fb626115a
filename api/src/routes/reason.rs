//! The machine-readable reasons of errors.

use std::borrow::Cow;

use poem::http::StatusCode;

use crate::http::openapi_codes::CodeList;

/// Declares the reasons, each with its code, status and description.
macro_rules! reasons {
    ($($variant:ident = $code:literal, $status:literal, $description:literal;)+) => {
        /// Why a request failed. Each reason has one status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorReason {
            $(#[doc = $description] $variant,)+
        }

        impl ErrorReason {
            /// All reasons, in the order of their HTTP status.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$variant),+];

            const CODES: [&'static str; Self::ALL.len()] = [$($code),+];
            const STATUSES: [u16; Self::ALL.len()] = [$($status),+];

            /// The code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                Self::CODES[self as usize]
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                StatusCode::from_u16(Self::STATUSES[self as usize]).expect("a status of three digits")
            }
        }

        impl CodeList for ErrorReason {
            const NAME: &'static str = "ErrorReason";
            const DESCRIPTION: &'static str = concat!(
                "Machine-readable reason of an error. Each has one status. Later versions may add reasons.\n",
                $("\n- `", $code, "` (", $status, "): ", $description),+
            );

            fn codes() -> Vec<Cow<'static, str>> {
                Self::CODES.map(Cow::Borrowed).to_vec()
            }
        }
    };
}

reasons! {
    InvalidFields = "invalid_fields", 400, "A field of the body or a parameter is invalid: see `fields`.";
    MalformedBody = "malformed_body", 400, "The body is not JSON of the expected type.";
    MalformedRequest = "malformed_request", 400,
        "The head of the request breaks a rule of HTTP: `message` says which.";
    NothingToChange = "nothing_to_change", 400, "The update sets no field.";
    NeverValid = "never_valid", 400, "`expires_at` is not later than `not_before`.";
    KeyPolicyViolated = "key_policy_violated", 400,
        "The key would break rules of its organization or of its permission sets: see `fields`.";
    RefillAmountRequired = "refill_amount_required", 400, "A refill interval was set without an amount.";
    RefillIntervalRequired = "refill_interval_required", 400, "A refill amount was set without an interval.";
    TooManyPermissions = "too_many_permissions", 400,
        "The key or member would hold more than 1,024 permissions, including those of its permission sets.";
    Unauthenticated = "unauthenticated", 401, "No credential was sent.";
    InvalidCredential = "invalid_credential", 401,
        "The credential is malformed, unknown, expired, revoked or disabled.";
    PortalSessionRequired = "portal_session_required", 401, "The request has no token of a valid portal session.";
    PermissionRequired = "permission_required", 403, "The caller lacks the permission that `message` names.";
    CannotManage = "cannot_manage", 403,
        "The key of the request cannot manage this service (`can_manage` is false), whatever its permissions.";
    ExceedsPermissions = "exceeds_permissions", 403, "The caller would grant permissions that it does not hold.";
    ExceedsExpiry = "exceeds_expiry", 403, "The key of the caller expires, and would grant something for longer.";
    ExceedsAddresses = "exceeds_addresses", 403,
        "The key of the caller has an IP allowlist, and would grant something outside of it.";
    OrganizationRequired = "organization_required", 403,
        "The user has accepted no membership, or several: the path must name the organization.";
    PersonRequired = "person_required", 403, "Only a person can do this, and the caller has an API key.";
    ProviderNotAllowed = "provider_not_allowed", 403,
        "The identity provider of the caller is not configured for the organization, or their token is for another one.";
    PasskeyRejected = "passkey_rejected", 403,
        "The passkey is unknown, or the response of the authenticator is invalid, expired or was used.";
    PasskeyAccountRequired = "passkey_account_required", 403,
        "Only a person who signs in with a passkey can do this.";
    SessionCannotCreateSession = "session_cannot_create_session", 403, "A session was sent to create a session.";
    SessionCannotCreateToken = "session_cannot_create_token", 403, "A session was sent to create a token.";
    ApiKeyRequired = "api_key_required", 403, "Only an API key can be exchanged for a token, or create a portal session.";
    MeteredKeyNotExchangeable = "metered_key_not_exchangeable", 403,
        "A key with a usage limit or rate limit cannot be exchanged for a token.";
    RestrictedKeyNotExchangeable = "restricted_key_not_exchangeable", 403,
        "A key with an IP allowlist cannot be exchanged for a token.";
    PlatformKeyNotExchangeable = "platform_key_not_exchangeable", 403,
        "A key of the platform cannot be exchanged for a token.";
    SessionCannotRotateOwnKey = "session_cannot_rotate_own_key", 403,
        "A session was sent to rotate the key that it was created with.";
    FreshSignInRequired = "fresh_sign_in_required", 403,
        "The session needs a sign-in within the last 10 minutes for this: sign in again.";
    PortalActionNotAllowed = "portal_action_not_allowed", 403, "The portal session does not allow this.";
    PlatformOnly = "platform_only", 403, "Only the platform can do this.";
    CrossSiteRequest = "cross_site_request", 403, "A browser sent the request on behalf of another site.";
    SignUpClosed = "sign_up_closed", 403, "Sign-up is closed.";
    LocalOnly = "local_only", 403, "Only clients on the machine of the service can do this.";
    NotFound = "not_found", 404, "It does not exist, or the caller has no access to it.";
    UserNotFound = "user_not_found", 404, "The user is not a member of the organization.";
    PermissionSetNotFound = "permission_set_not_found", 404, "A permission set does not exist in the organization.";
    InvitationNotFound = "invitation_not_found", 404,
        "The invitation or recovery link is unknown, expired, revoked or redeemed.";
    PortalLinkNotFound = "portal_link_not_found", 404,
        "The link of a portal session is unknown, expired, revoked or opened.";
    UnknownPath = "unknown_path", 404, "No operation has this path.";
    MethodNotAllowed = "method_not_allowed", 405, "No operation of this path has this method.";
    BodyTimeout = "body_timeout", 408,
        "The body of the request was not received in time. Nothing was executed; the connection is closed.";
    NameTaken = "name_taken", 409, "The name is in use in the organization.";
    ExternalIdTaken = "external_id_taken", 409, "Another organization has this `external_id`.";
    EmailTaken = "email_taken", 409, "A user has signed up with this email.";
    AlreadyMember = "already_member", 409, "The user is a member already.";
    LastPasskey = "last_passkey", 409, "It is the only passkey of the account.";
    PasskeyLimitReached = "passkey_limit_reached", 409, "The account has its maximum of 20 passkeys.";
    LastAdministrator = "last_administrator", 409, "The organization must keep a member with all permissions (`*`).";
    PermissionSetInUse = "permission_set_in_use", 409, "Keys or members have the permission set.";
    KeyLimitReached = "key_limit_reached", 409, "The organization has reached its maximum number of keys.";
    MemberLimitReached = "member_limit_reached", 409, "The organization has reached its maximum number of members.";
    PermissionSetLimitReached = "permission_set_limit_reached", 409,
        "The organization has reached its maximum number of permission sets.";
    InvitationLimitReached = "invitation_limit_reached", 409,
        "The organization has reached its maximum number of open invitations and recovery links.";
    TrustRuleLimitReached = "trust_rule_limit_reached", 409, "The organization has its maximum of 100 trust rules.";
    PortalSessionLimitReached = "portal_session_limit_reached", 409,
        "The organization has its maximum of 10,000 open portal sessions.";
    PortalKeyLimitReached = "portal_key_limit_reached", 409,
        "The customer has as many keys as the portal session allows, or has created and revoked too many within the last hour.";
    KeyFormatLimitReached = "key_format_limit_reached", 409, "The organization has imported or supplied secrets with too many different formats.";
    TokenLimitReached = "token_limit_reached", 409,
        "The key or its organization has unexpired tokens with too many different permissions.";
    KeyWouldExceedPermissions = "key_would_exceed_permissions", 409,
        "A key with the permission set would hold more than 1,024 permissions.";
    MemberWouldExceedPermissions = "member_would_exceed_permissions", 409,
        "A member with the permission set would hold more than 1,024 permissions.";
    RotationInProgress = "rotation_in_progress", 409,
        "The previous secret of the key is still valid, and the newest one was used.";
    NewestSecretUsed = "newest_secret_used", 409, "The newest secret of the key was used: its rotation cannot be undone.";
    NoPreviousSecret = "no_previous_secret", 409, "The key has no previous secret that is valid.";
    SecretInUse = "secret_in_use", 409, "A key of the organization has or had the secret.";
    ConcurrentChanges = "concurrent_changes", 409, "Other requests changed the same data at the same time.";
    IdempotentRequestInProgress = "idempotent_request_in_progress", 409,
        "A request with this `Idempotency-Key` is in progress, or its response was lost.";
    IdempotentResponseNotStored = "idempotent_response_not_stored", 409,
        "The request with this `Idempotency-Key` was executed, but its response was too large to store.";
    PlatformProtected = "platform_protected", 409, "The platform organization cannot be suspended or deleted.";
    PlatformExists = "platform_exists", 409, "The platform organization exists already.";
    VersionMismatch = "version_mismatch", 412,
        "The current version is not the one in `If-Match`, or the object has no versions.";
    BodyTooLarge = "body_too_large", 413, "The body is larger than the operation accepts.";
    UnsupportedMediaType = "unsupported_media_type", 415,
        "The content type is not `application/json`, or the body is compressed.";
    IdempotencyKeyReused = "idempotency_key_reused", 422, "This `Idempotency-Key` was used with a different body.";
    RateLimited = "rate_limited", 429, "Too many requests for this organization, or of this portal session.";
    TooManyAttempts = "too_many_attempts", 429, "Too many failed attempts from this IP address.";
    TooManyLists = "too_many_lists", 429, "Too many lists of the organization are being read.";
    ChangeLimitReached = "change_limit_reached", 429,
        "The organization has reached its maximum number of changes per hour. Deletions are still possible.";
    IdempotencyKeyLimitReached = "idempotency_key_limit_reached", 429,
        "The maximum number of idempotency keys per hour is reached.";
    ServiceTokenLimitReached = "service_token_limit_reached", 429,
        "The service has reached its maximum number of unexpired tokens with different permissions.";
    Internal = "internal", 500, "Internal error of the service.";
    Unavailable = "unavailable", 503, "The database or an identity provider is unavailable.";
    Overloaded = "overloaded", 503, "The service is overloaded. The request was not executed.";
    Timeout = "timeout", 503, "The request timed out. It may have been executed.";
    NotConfigured = "not_configured", 503, "The service has no signing key.";
    PasskeysUnavailable = "passkeys_unavailable", 503,
        "Browsers have no passkeys at the URL of the service: it needs the name of a host and HTTPS, or `localhost`.";
    PublicOriginRequired = "public_origin_required", 503,
        "The service has no public origin in its settings, which is the issuer of tokens.";
}
