//! Who is calling, and what they may do where.

use std::sync::Arc;

use crate::{
    act::{Act, Action, Actor, Origin},
    clock::Timestamp,
    error::Error,
    grants::Grants,
    id::OrganizationId,
    organization::OrganizationKind,
    permission::Permission,
    reach::Reach,
    snapshot::Snapshot,
};

/// An authenticated caller: the holder of a key that is good.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key that was shown.
    pub key: Arc<Snapshot>,
    /// Where the request came from, for the log of what it changes.
    pub origin: Origin,
}

impl Caller {
    /// The organization that the caller acts in by themselves.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        self.key.organization()
    }

    /// Whether the caller acts in every organization.
    #[must_use]
    pub fn is_platform(&self) -> bool {
        self.key.kind() == OrganizationKind::Platform
    }

    /// Whether the keys of `organization` are the caller's to ask about.
    #[must_use]
    pub fn sees(&self, organization: OrganizationId) -> bool {
        self.is_platform() || organization == self.organization()
    }

    /// What the caller may do.
    #[must_use]
    pub fn grants(&self) -> Grants {
        self.key.grants()
    }

    /// What the log says about something that this caller did.
    #[must_use]
    pub fn act(
        &self,
        organization: OrganizationId,
        action: Action,
        permission: Option<Permission>,
        at: Timestamp,
    ) -> Act {
        let actor = Actor::Key(self.key.id(), self.key.user());
        Act { organization, actor, action, permission, origin: self.origin.clone(), at }
    }

    /// Asks for `permission`, before anything else is looked at: without it every id is forbidden, real or made up.
    pub fn require(&self, permission: &Permission) -> Result<(), Error> {
        if self.key.allows(permission) { Ok(()) } else { Err(Error::Forbidden(permission.clone())) }
    }
}

/// A caller who was found to hold a permission over some keys.
///
/// Use cases take one of these, so they cannot be reached without [`crate::keys::Keys`] having been asked.
#[derive(Clone, Debug)]
pub struct Authority {
    caller: Caller,
    reach: Reach,
    permission: Permission,
}

impl Authority {
    pub(crate) fn new(caller: Caller, reach: Reach, permission: Permission) -> Self {
        Self { caller, reach, permission }
    }

    /// What the log says about something that was done with it.
    #[must_use]
    pub fn act(&self, action: Action, at: Timestamp) -> Act {
        self.caller.act(self.organization(), action, Some(self.permission.clone()), at)
    }

    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The keys in reach.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// The organization of these keys.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        self.reach.organization
    }
}
