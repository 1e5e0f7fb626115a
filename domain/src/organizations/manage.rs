//! Creating, reading, updating, deleting and restoring organizations.

use std::sync::Arc;

use super::OrganizationService;
use crate::{
    audit::context::Action,
    auth::{
        caller::{Authority, Caller},
        step_up::require_fresh_sign_in,
    },
    change::Change,
    error::Error,
    id::{ExternalId, OrganizationId},
    keys::policy::KeyPolicy,
    organizations::{
        organization::{Caps, DeletedOrganization, Deletion, Organization, OrganizationKind, OrganizationName},
        totals::OrganizationFilter,
    },
    permissions::Permission,
    ports::OrganizationChanges,
};

/// An organization to create.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// The name. `None`: it gets none.
    pub name: Option<OrganizationName>,
    /// The id in the operator's own system. `None`: it gets none.
    pub external_id: Option<ExternalId>,
    /// The maximum numbers of keys, members and permission sets.
    pub caps: Caps,
    /// Whether new keys of the organization can manage this service, if the request that creates them does not say.
    pub keys_can_manage_by_default: bool,
}

/// A change of an organization. All fields except `name`, `keys_can_manage_by_default` and `key_policy` require a platform
/// caller.
#[derive(Clone, Debug, Default)]
pub struct OrganizationPatch {
    /// The name.
    pub name: Change<OrganizationName>,
    /// The id in the operator's own system.
    pub external_id: Change<ExternalId>,
    /// The maximum number of keys.
    pub max_api_keys: Change<u64>,
    /// The maximum number of members.
    pub max_members: Change<u64>,
    /// The maximum number of permission sets.
    pub max_sets: Change<u64>,
    /// Whether new keys of the organization can manage this service, if the request that creates them does not say.
    pub keys_can_manage_by_default: Option<bool>,
    /// The key policy. It applies to keys that are created or changed from now on.
    pub key_policy: Change<Arc<KeyPolicy>>,
    /// Whether the organization is suspended.
    pub suspended: Option<bool>,
}

impl OrganizationPatch {
    fn is_for_the_platform(&self) -> bool {
        let caps = [self.max_api_keys, self.max_members, self.max_sets];
        !self.external_id.is_keep() || !caps.iter().all(Change::is_keep) || self.suspended.is_some()
    }

    fn is_empty(&self) -> bool {
        let is_for_members =
            !self.name.is_keep() || self.keys_can_manage_by_default.is_some() || !self.key_policy.is_keep();
        !is_for_members && !self.is_for_the_platform()
    }
}

impl OrganizationService {
    /// Lists at most `limit` organizations that the caller may see, sorted by id, beginning after `after` (`None`: with
    /// the first), which match the filter.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `org:read`; [`Error::Outage`].
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &OrganizationFilter,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<Organization>, Error> {
        caller.require(&Permission::ORG_READ)?;
        let only = if caller.is_platform() { None } else { Some(caller.organization()?) };
        Ok(self.ports.organizations.list(only, filter, after, limit).await?)
    }

    /// The organization of this authorization.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it was deleted meanwhile; [`Error::Outage`].
    pub async fn get(&self, authority: &Authority) -> Result<Organization, Error> {
        self.ports.organizations.find(authority.organization()).await?.ok_or(Error::NotFound)
    }

    /// Creates an organization without members and keys. Requires a platform caller.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `org:admin`; [`Error::PlatformOnly`]; [`Error::ExternalIdTaken`] if another
    /// organization has the external id; [`Error::Outage`].
    pub async fn create(&self, caller: &Caller, new: NewOrganization) -> Result<Organization, Error> {
        caller.require(&Permission::ORG_ADMIN)?;
        require_platform(caller)?;
        let (now, id) = (self.now(), OrganizationId::generate(&*self.ports.clock, &*self.ports.entropy));
        let organization = Organization {
            external_id: new.external_id,
            caps: new.caps,
            keys_can_manage_by_default: new.keys_can_manage_by_default,
            ..Organization::new(id, new.name, OrganizationKind::Tenant, now)
        };
        let context = caller.audit_context(id, Action::CreateOrganization, Some(Permission::ORG_ADMIN), now);
        self.ports.organizations.create(&organization, &context).await?;
        Ok(organization)
    }

    /// Updates an organization, and returns the updated one. While it is suspended, its keys are invalid.
    ///
    /// # Errors
    /// [`Error::NothingToChange`]; [`Error::PlatformOnly`]; [`Error::PlatformProtected`]; [`Error::ExternalIdTaken`];
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn update(&self, authority: &Authority, patch: OrganizationPatch) -> Result<Organization, Error> {
        if patch.is_empty() {
            return Err(Error::NothingToChange);
        }
        if patch.is_for_the_platform() {
            require_platform(authority.caller())?;
        }
        if is_about_the_platform(authority) && patch.suspended == Some(true) {
            return Err(Error::PlatformProtected);
        }
        // Fields that have the requested value already are not changed, so that the time of the suspension is kept.
        let mut patch = patch;
        let current = self.get(authority).await?;
        patch.suspended = patch.suspended.filter(|suspended| *suspended != current.suspended_at.is_some());
        if patch.is_empty() {
            return Ok(current);
        }
        let action = match patch.suspended {
            None => Action::UpdateOrganization,
            Some(true) => Action::SuspendOrganization,
            Some(false) => Action::ResumeOrganization,
        };
        let now = self.now();
        let changes = OrganizationChanges {
            name: patch.name,
            external_id: patch.external_id,
            max_api_keys: patch.max_api_keys,
            max_members: patch.max_members,
            max_sets: patch.max_sets,
            keys_can_manage_by_default: patch.keys_can_manage_by_default,
            key_policy: patch.key_policy,
            suspended_at: match patch.suspended {
                None => Change::Keep,
                Some(true) => Change::Set(now),
                Some(false) => Change::Clear,
            },
        };
        self.ports.organizations.update(authority.organization(), changes, &authority.audit_context(action, now)).await
    }

    /// Deletes an organization with all its data: its keys are invalid immediately. Platform callers can restore it
    /// until it is purged. Its audit log is kept.
    ///
    /// # Errors
    /// [`Error::PlatformProtected`]; [`Error::FreshSignInRequired`]; [`Error::NotFound`]; [`Error::Outage`].
    pub async fn delete(&self, authority: &Authority) -> Result<Deletion, Error> {
        if is_about_the_platform(authority) {
            return Err(Error::PlatformProtected);
        }
        let now = self.now();
        require_fresh_sign_in(authority.caller(), now)?;
        let context = authority.audit_context(Action::DeleteOrganization, now);
        self.ports.organizations.delete(authority.organization(), &context).await
    }

    /// Restores a deleted organization (`None`: the request has no valid id), and returns it. Requires a platform
    /// caller. An organization that is not deleted is not changed, so the request can be repeated.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `org:admin`; [`Error::PlatformOnly`]; [`Error::ExceedsExpiry`] and
    /// [`Error::ExceedsAddresses`] if the caller's key has an expiry or an IP allowlist;
    /// [`Error::FreshSignInRequired`]; [`Error::NotFound`] if it does not exist, or is being purged;
    /// [`Error::ExternalIdTaken`] if another organization has its external id meanwhile; [`Error::Outage`].
    pub async fn restore(&self, caller: Caller, organization: Option<OrganizationId>) -> Result<Organization, Error> {
        let (caller, organization) = caller.for_organization(organization, &Permission::ORG_ADMIN)?;
        require_platform(&caller)?;
        // The organization's keys become valid again, including those without an expiry and without an IP allowlist.
        caller.require_validity(None, None)?;
        let now = self.now();
        require_fresh_sign_in(&caller, now)?;
        let context = caller.audit_context(organization, Action::RestoreOrganization, Some(Permission::ORG_ADMIN), now);
        self.ports.organizations.restore(organization, &context).await
    }

    /// Lists at most `limit` deleted organizations that are not purged yet, sorted by id, beginning after `after`
    /// (`None`: with the first), which matched the filter. The list is empty for callers who are not platform callers.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `org:read`; [`Error::Outage`].
    pub async fn list_deleted(
        &self,
        caller: &Caller,
        filter: &OrganizationFilter,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<DeletedOrganization>, Error> {
        caller.require(&Permission::ORG_READ)?;
        if !caller.is_platform() {
            return Ok(Vec::new());
        }
        Ok(self.ports.organizations.list_deleted(filter, after, limit).await?)
    }

    /// A deleted organization (`None`: the request has no valid id) that is not purged yet. Only for platform callers.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `org:read`; [`Error::NotFound`]; [`Error::Outage`].
    pub async fn get_deleted(
        &self,
        caller: Caller,
        organization: Option<OrganizationId>,
    ) -> Result<DeletedOrganization, Error> {
        let (caller, organization) = caller.for_organization(organization, &Permission::ORG_READ)?;
        if !caller.is_platform() {
            return Err(Error::NotFound);
        }
        self.ports.organizations.find_deleted(organization).await?.ok_or(Error::NotFound)
    }
}

/// Whether the organization is the platform organization. Only platform callers can be authorized for it.
fn is_about_the_platform(authority: &Authority) -> bool {
    authority.caller().is_platform() && authority.caller().acts_in(authority.organization())
}

pub(super) fn require_platform(caller: &Caller) -> Result<(), Error> {
    if caller.is_platform() { Ok(()) } else { Err(Error::PlatformOnly) }
}
