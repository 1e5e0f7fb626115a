//! Whether a key is good for something: what its snapshot says about it, step by step.

use std::net::IpAddr;

use super::Snapshot;
use crate::{
    clock::Timestamp,
    grants::Grants,
    permission::{Permission, PermissionSet},
    refusal::Refusal,
};

impl Snapshot {
    /// Whether it may be used from this address; `None`: it is not known.
    #[must_use]
    pub fn is_allowed_from(&self, from: Option<IpAddr>) -> bool {
        self.addresses().is_none_or(|list| from.is_some_and(|address| list.contains(address)))
    }

    /// Whether its organization is suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.shared.home.is_suspended
    }

    /// Whether it belongs to a user who is no member of the organization any more.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        self.shared.holder.as_ref().is_some_and(|holder| holder.permissions.is_none())
    }

    /// When what was shown is good no longer: the key is expired, or its secret has been replaced. `None`: never.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let secret = self.seldom.as_ref().and_then(|seldom| seldom.secret_expires_at);
        self.expires_at().into_iter().chain(secret).min()
    }

    /// Whether the secret that finds it is being replaced, and ends.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.seldom.as_ref().is_some_and(|seldom| seldom.secret_expires_at.is_some())
    }

    /// Whether the secret that finds it has been replaced, and its time is over at `now`.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.seldom.as_ref().and_then(|seldom| seldom.secret_expires_at).is_some_and(|end| now >= end)
    }

    /// Whether whoever holds it may do anything at `now`, from this address (`None`: it is not known). The order of the reasons
    /// is that of [`Refusal`].
    pub fn check(&self, now: Timestamp, from: Option<IpAddr>) -> Result<(), Refusal> {
        if self.has_ended(now) {
            return Err(Refusal::InvalidApiKey);
        }
        if self.is_suspended() {
            return Err(Refusal::OrganizationSuspended);
        }
        if self.is_orphan() || !self.enabled {
            return Err(Refusal::KeyDisabled);
        }
        if self.not_before().is_some_and(|begin| now < begin) {
            return Err(Refusal::KeyNotYetValid);
        }
        if now >= self.expires_at {
            return Err(Refusal::KeyExpired);
        }
        if !self.is_allowed_from(from) {
            return Err(Refusal::AddressNotAllowed);
        }
        Ok(())
    }

    /// Whether its grants hold `permission`.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        let user = self.shared.holder.as_ref().map(|holder| &holder.permissions);
        self.shared.given.permissions.allows(permission)
            && user.is_none_or(|user| user.as_ref().is_some_and(|user| user.allows(permission)))
    }

    /// Whether its grants hold all of these.
    #[must_use]
    pub fn allows_all(&self, permissions: &PermissionSet) -> bool {
        permissions.iter().all(|permission| self.allows(permission))
    }

    /// What whoever holds it may do.
    #[must_use]
    pub fn grants(&self) -> Grants {
        let own = self.shared.given.permissions.clone();
        match &self.shared.holder {
            None => Grants::of_organization(own),
            // A user who is no member any more has nothing, and so have their keys.
            Some(holder) => Grants::of_user(own, holder.permissions.clone().unwrap_or_default()),
        }
    }
}
