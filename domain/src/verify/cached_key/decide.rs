//! The checks of a cached key, one by one and in order.

use std::net::IpAddr;

use super::CachedKey;
use crate::{
    auth::effective_permissions::EffectivePermissions,
    clock::Timestamp,
    deny_reason::DenyReason,
    permissions::{Permission, Permissions},
};

impl CachedKey {
    /// Whether the key may be used from this address. `None`: the address is not known.
    #[must_use]
    pub fn is_allowed_from(&self, from: Option<IpAddr>) -> bool {
        self.addresses().is_none_or(|list| from.is_some_and(|address| list.contains(address)))
    }

    /// Whether the organization of the key is suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.shared.organization.is_suspended
    }

    /// Whether the key belongs to a user who is not a member of the organization any more.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        self.shared.member.as_ref().is_some_and(|member| member.permissions.is_none())
    }

    /// When the credential expires (UTC, exclusive): the key expires, or this secret of it. `None`: never.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let secret = self.rare.as_ref().and_then(|rare| rare.secret_expires_at);
        self.expires_at().into_iter().chain(secret).min()
    }

    /// Whether the secret by which the key was found was rotated, so that it expires.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.secret_expires_at.is_some())
    }

    /// Whether the secret by which the key was found was rotated and has expired at `now`.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.rare.as_ref().and_then(|rare| rare.secret_expires_at).is_some_and(|end| now >= end)
    }

    /// Checks whether the key is valid at `now` for this address (`None`: not known). The checks are in the order of
    /// [`DenyReason`].
    pub fn check(&self, now: Timestamp, from: Option<IpAddr>) -> Result<(), DenyReason> {
        if self.has_ended(now) {
            return Err(DenyReason::InvalidApiKey);
        }
        if self.is_suspended() {
            return Err(DenyReason::OrganizationSuspended);
        }
        if self.is_orphan() || !self.enabled {
            return Err(DenyReason::KeyDisabled);
        }
        if self.not_before().is_some_and(|begin| now < begin) {
            return Err(DenyReason::KeyNotYetValid);
        }
        if now >= self.expires_at {
            return Err(DenyReason::KeyExpired);
        }
        if !self.is_allowed_from(from) {
            return Err(DenyReason::AddressNotAllowed);
        }
        Ok(())
    }

    /// Whether the effective permissions of the key include `permission`.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        let user = self.shared.member.as_ref().map(|member| &member.permissions);
        self.shared.permissions.permissions.allows(permission)
            && user.is_none_or(|user| user.as_ref().is_some_and(|user| user.allows(permission)))
    }

    /// Whether the effective permissions of the key include all of these.
    #[must_use]
    pub fn allows_all(&self, permissions: &Permissions) -> bool {
        permissions.iter().all(|permission| self.allows(permission))
    }

    /// The effective permissions of the key.
    #[must_use]
    pub fn effective_permissions(&self) -> EffectivePermissions {
        let own = self.shared.permissions.permissions.clone();
        match &self.shared.member {
            None => EffectivePermissions::of_organization(own),
            // A removed member has no permissions, and so have their keys.
            Some(member) => EffectivePermissions::of_user(own, member.permissions.clone().unwrap_or_default()),
        }
    }
}
