//! The operations on organizations, their members and their permission sets. Callers are authorized by
//! [`crate::auth::authorize::Authorizer`] before; these operations take the resulting [`Authority`].

mod manage;
pub(crate) mod members;
pub mod organization;
pub mod permission_set;
mod permission_sets;
pub mod totals;
pub mod trust_rule;
mod trust_rules;
pub mod user;

use std::sync::Arc;

pub use crate::organizations::permission_sets::{NewSet, SetPatch};
pub use manage::{NewOrganization, OrganizationPatch};
pub use members::{Erasure, MemberIdentifier, MemberPatch, NewMember};
pub use trust_rules::{TrustRulePatch, TrustRuleService};

use crate::{
    auth::{caller::Authority, step_up::require_fresh_sign_in_to_grant},
    clock::{Clock, Entropy, Timestamp},
    error::Error,
    permissions::Permissions,
    ports,
};

/// The ports of [`OrganizationService`].
#[derive(Clone)]
pub struct OrganizationPorts {
    /// The organizations.
    pub organizations: Arc<dyn ports::Organizations>,
    /// The members of organizations.
    pub members: Arc<dyn ports::Members>,
    /// The permission sets.
    pub sets: Arc<dyn ports::Sets>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes for ids.
    pub entropy: Arc<dyn Entropy>,
}

/// Manages organizations, their members and their permission sets.
pub struct OrganizationService {
    ports: OrganizationPorts,
}

impl OrganizationService {
    /// Creates the operations from these ports.
    #[must_use]
    pub fn new(ports: OrganizationPorts) -> Self {
        Self { ports }
    }

    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }
}

/// Requires that a caller whose key has an expiry or an IP allowlist does not extend permissions of a member, a
/// permission set or a trust rule: these have neither, so they would be valid in more cases than the caller's key.
///
/// In a session, also requires a fresh sign-in to extend them to all permissions.
pub(crate) fn require_unrestricted(
    authority: &Authority,
    before: &Permissions,
    after: &Permissions,
    now: Timestamp,
) -> Result<(), Error> {
    if before.covers(after) {
        return Ok(());
    }
    authority.caller().require_validity(None, None)?;
    require_fresh_sign_in_to_grant(authority.caller(), before, after, now)
}

/// Requires that the caller has all of these permissions.
pub(crate) fn require_permissions(authority: &Authority, permissions: &Permissions) -> Result<(), Error> {
    if authority.caller().effective_permissions().covers_part(permissions, None) {
        Ok(())
    } else {
        Err(Error::ExceedsPermissions)
    }
}
