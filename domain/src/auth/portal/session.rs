//! A portal session: one customer's access to their own keys, with what it allows.

use super::web_address::ReturnUrl;
use crate::{
    clock::Timestamp,
    coded_enum::coded_enum,
    id::{ExternalId, KeyId, OrganizationId, PortalSessionId, UserId},
    keys::{
        api_key::ApiKey,
        quota::RateLimit,
        secret::{KeyPrefix, SecretHash},
    },
    permissions::{Permission, Permissions, ReservedResource},
    validated_string::ValidationError,
};

/// How long a link is valid, in milliseconds: 5 minutes.
pub const LINK_LIFETIME_MS: i64 = 5 * 60 * 1_000;

/// How long a session is valid after its link was opened, in milliseconds: an hour.
pub const SESSION_LIFETIME_MS: i64 = 60 * 60 * 1_000;

/// The maximum number of portal sessions of an organization that have not expired.
pub const MAX_PORTAL_SESSIONS: u64 = 10_000;

/// The maximum number of permissions in the ceiling of a session. A ceiling is stored with each session, so it is smaller
/// than the permissions of a key may be.
pub const MAX_CEILING: usize = 64;

/// The maximum of `max_keys`.
pub const MAX_KEYS_OF_CUSTOMER: u64 = 100;
/// The number of keys that a customer may have if the session does not say.
pub const DEFAULT_MAX_KEYS: u64 = 10;

/// The maximum of `max_lifetime_seconds`: ten years, as for every key.
pub const MAX_LIFETIME_SECONDS: u64 = 3_650 * 24 * 60 * 60;

coded_enum! {
    /// What a session allows beside listing the keys.
    pub enum PortalAction {
        /// Create keys.
        Create = "create",
        /// Rotate the secrets of keys.
        Rotate = "rotate",
        /// Revoke keys.
        Revoke = "revoke",
        /// Read the usage of keys.
        Usage = "usage",
    }
}

coded_enum! {
    /// The colours of the page.
    pub enum PortalTheme {
        /// Dark text on a light background.
        Light = "light",
        /// Light text on a dark background.
        Dark = "dark",
        /// As the browser prefers.
        Auto = "auto",
    }
}

/// The customer of a session. They see only their own keys that cannot manage this service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortalSubject {
    /// The customer with this external id: the keys that have it.
    ExternalId(ExternalId),
    /// This member of the organization: the keys that belong to them.
    User(UserId),
}

impl PortalSubject {
    /// Whether a key is one of the customer's.
    #[must_use]
    pub fn owns(&self, key: &ApiKey) -> bool {
        let is_own = match self {
            Self::ExternalId(id) => key.settings.external_id.as_ref() == Some(id),
            Self::User(user) => key.user == Some(*user),
        };
        is_own && !key.settings.can_manage
    }
}

/// The permissions that keys of a session may have: at most [`MAX_CEILING`], none of which is for this service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionsCeiling(Permissions);

impl PermissionsCeiling {
    /// Checks permissions.
    ///
    /// # Errors
    /// [`ValidationError::CeilingSize`]; [`ValidationError::CeilingForService`] if one names a resource of this service, or
    /// is for everything.
    pub fn new(permissions: Permissions) -> Result<Self, ValidationError> {
        if permissions.len() > MAX_CEILING {
            return Err(ValidationError::CeilingSize);
        }
        let is_reserved = |resource: &str| ReservedResource::ALL.iter().any(|reserved| reserved.code() == resource);
        let is_everything = |permission: &Permission| permission.resource() == "*" && permission.action() == "*";
        let is_for_service =
            permissions.iter().any(|permission| is_everything(permission) || is_reserved(permission.resource()));
        if is_for_service { Err(ValidationError::CeilingForService) } else { Ok(Self(permissions)) }
    }

    /// The permissions.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.0
    }
}

/// The limits of the keys of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortalLimits {
    /// The number of keys that the customer may have, 1 to [`MAX_KEYS_OF_CUSTOMER`]: with that many, no further one is created.
    pub max_keys: u64,
    /// The longest lifetime of a new key, in milliseconds, which is also its default. `None`: keys need not expire.
    pub max_lifetime_ms: Option<u64>,
    /// The rate limit of each new key. `None`: unlimited.
    pub rate_limit: Option<RateLimit>,
    /// The remaining uses of each new key. `None`: unlimited.
    pub remaining: Option<u64>,
}

impl PortalLimits {
    /// The expiry of a new key (UTC). `requested`: by the customer; `None`: as late as possible.
    ///
    /// # Errors
    /// [`ValidationError::Lifetime`] if it would be later than the longest lifetime.
    pub fn expiry(&self, requested: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, ValidationError> {
        let Some(lifetime) = self.max_lifetime_ms else { return Ok(requested) };
        let latest = now.plus_millis(i64::try_from(lifetime).unwrap_or(i64::MAX));
        match requested {
            Some(end) if end > latest => Err(ValidationError::Lifetime { seconds: lifetime / 1_000 }),
            requested => Ok(Some(requested.unwrap_or(latest))),
        }
    }
}

/// A portal session. Its link, and after that its token, are valid until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalSession {
    /// The id. It is not secret.
    pub id: PortalSessionId,
    /// The organization.
    pub organization: OrganizationId,
    /// The customer.
    pub subject: PortalSubject,
    /// What it allows beside listing the keys, without duplicates.
    pub actions: Vec<PortalAction>,
    /// The permissions that its keys may have.
    pub ceiling: PermissionsCeiling,
    /// The limits of its keys.
    pub limits: PortalLimits,
    /// The prefix of the secrets of its keys. `None`: that of the key policy, or the default one.
    pub prefix: Option<KeyPrefix>,
    /// Where the page leads back to. `None`: nowhere.
    pub return_url: Option<ReturnUrl>,
    /// The colours of the page.
    pub theme: PortalTheme,
    /// The hash of the secret that created it. The session is valid only while that is.
    pub creator: SecretHash,
    /// The key with that secret.
    pub created_by: KeyId,
    /// When it was created (UTC).
    pub created_at: Timestamp,
    /// Whether its link was opened.
    pub is_opened: bool,
    /// When it expires (UTC, exclusive): 5 minutes after its creation, or an hour after its link was opened.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_has_no_permission_for_this_service() {
        let ceiling = |list: &[&str]| {
            let permissions = Permissions::from_flat(list.iter().copied()).expect("permissions");
            PermissionsCeiling::new(permissions).map(|ceiling| ceiling.permissions().len())
        };
        assert_eq!(ceiling(&[]), Ok(0));
        assert_eq!(ceiling(&["files:read", "files:*", "read"]), Ok(3));
        for wrong in
            ["*", "*:*", "api_keys:read", "org:admin", "portal_sessions:write", "audit:*", "own_api_keys:write"]
        {
            assert_eq!(ceiling(&["files:read", wrong]), Err(ValidationError::CeilingForService), "{wrong}");
        }
        let many: Vec<String> = (0..=MAX_CEILING).map(|n| format!("r{n}:read")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!((ceiling(&many), ceiling(&many[1..])), (Err(ValidationError::CeilingSize), Ok(MAX_CEILING)));
    }

    #[test]
    fn the_longest_lifetime_is_the_default_and_the_maximum() {
        let now = Timestamp::from_millis(1_000);
        let limits = |max_lifetime_ms| PortalLimits { max_keys: 1, max_lifetime_ms, rate_limit: None, remaining: None };
        let at = |millis| Some(Timestamp::from_millis(millis));
        assert_eq!(limits(None).expiry(None, now), Ok(None));
        assert_eq!(limits(None).expiry(at(9_000), now), Ok(at(9_000)));
        let bounded = limits(Some(5_000));
        assert_eq!(bounded.expiry(None, now), Ok(at(6_000)));
        assert_eq!(bounded.expiry(at(6_000), now), Ok(at(6_000)));
        assert_eq!(bounded.expiry(at(6_001), now), Err(ValidationError::Lifetime { seconds: 5 }));
    }
}
