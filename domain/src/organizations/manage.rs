//! Making, reading, changing and removing organizations.

use super::Organizations;
use crate::{
    act::Action,
    caller::{Authority, Caller},
    change::Change,
    error::Error,
    id::OrganizationId,
    organization::{Caps, DeletedOrganization, ExternalId, Organization, OrganizationKind, OrganizationName},
    permission::Permission,
    ports::OrganizationChanges,
};

/// An organization that the platform makes for somebody.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// Its name.
    pub name: Option<OrganizationName>,
    /// What the operator's own system calls it.
    pub external_id: Option<ExternalId>,
    /// The most that it may have.
    pub caps: Caps,
}

/// What changes of an organization. All but the name is for the platform alone.
#[derive(Clone, Debug, Default)]
pub struct OrganizationPatch {
    /// The name.
    pub name: Change<OrganizationName>,
    /// What the operator's own system calls it.
    pub external_id: Change<ExternalId>,
    /// The most keys.
    pub most_keys: Change<u64>,
    /// The most members.
    pub most_members: Change<u64>,
    /// The most permission sets.
    pub most_sets: Change<u64>,
    /// Whether it is suspended.
    pub suspended: Option<bool>,
}

impl OrganizationPatch {
    fn is_for_the_platform(&self) -> bool {
        let caps = [self.most_keys, self.most_members, self.most_sets];
        !self.external_id.is_keep() || !caps.iter().all(Change::is_keep) || self.suspended.is_some()
    }

    fn is_empty(&self) -> bool {
        self.name.is_keep() && !self.is_for_the_platform()
    }
}

impl Organizations {
    /// At most `limit` organizations that the caller sees, after `after`, in the order of their ids; with `external_id`, only
    /// the one called so.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `org:read`; [`Error::Outage`].
    pub async fn list(
        &self,
        caller: &Caller,
        external_id: Option<&ExternalId>,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<Organization>, Error> {
        caller.require(&Permission::ORG_READ)?;
        let only = if caller.is_platform() { None } else { Some(caller.organization()?) };
        Ok(self.ports.organizations.list(only, external_id, after, limit).await?)
    }

    /// The organization.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it has gone meanwhile; [`Error::Outage`].
    pub async fn get(&self, authority: &Authority) -> Result<Organization, Error> {
        self.ports.organizations.find(authority.organization()).await?.ok_or(Error::NotFound)
    }

    /// Makes an organization, without members and keys.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `org:admin`; [`Error::PlatformOnly`]; [`Error::NameTaken`] where another one has the
    /// external id; [`Error::Outage`].
    pub async fn create(&self, caller: &Caller, new: NewOrganization) -> Result<Organization, Error> {
        caller.require(&Permission::ORG_ADMIN)?;
        require_platform(caller)?;
        let (now, id) = (self.now(), OrganizationId::generate(&*self.ports.clock, &*self.ports.entropy));
        let organization = Organization {
            external_id: new.external_id,
            caps: new.caps,
            ..Organization::new(id, new.name, OrganizationKind::Tenant, now)
        };
        let act = caller.act(id, Action::CreateOrganization, Some(Permission::ORG_ADMIN), now);
        self.ports.organizations.create(&organization, &act).await?;
        Ok(organization)
    }

    /// Changes an organization, and answers it as it is then. While it is suspended, none of its keys is good for anything.
    ///
    /// # Errors
    /// [`Error::NothingToChange`]; [`Error::PlatformOnly`]; [`Error::PlatformStays`]; [`Error::NameTaken`];
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn update(&self, authority: &Authority, patch: OrganizationPatch) -> Result<Organization, Error> {
        if patch.is_empty() {
            return Err(Error::NothingToChange);
        }
        if patch.is_for_the_platform() {
            require_platform(authority.caller())?;
        }
        if is_about_the_platform(authority) && patch.suspended == Some(true) {
            return Err(Error::PlatformStays);
        }
        // What is so already is left as it is: since when it is suspended, above all.
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
            most_keys: patch.most_keys,
            most_members: patch.most_members,
            most_sets: patch.most_sets,
            suspended_at: match patch.suspended {
                None => Change::Keep,
                Some(true) => Change::Set(now),
                Some(false) => Change::Clear,
            },
        };
        self.ports.organizations.update(authority.organization(), changes, &authority.act(action, now)).await
    }

    /// Deletes an organization with everything in it: its keys are unknown from now on. Its log stays. Answers whether
    /// everything is removed; if not, that goes on by itself, and [`Organizations::get_deleted`] tells how far it is.
    ///
    /// # Errors
    /// [`Error::PlatformStays`]; [`Error::NotFound`]; [`Error::Outage`].
    pub async fn delete(&self, authority: &Authority) -> Result<bool, Error> {
        if is_about_the_platform(authority) {
            return Err(Error::PlatformStays);
        }
        let act = authority.act(Action::DeleteOrganization, self.now());
        self.ports.organizations.delete(authority.organization(), &act).await
    }

    /// A deleted organization (`None`: a text that names none) whose keys are still being removed. For the platform alone:
    /// everyone else who could ask was of that organization.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `org:read`; [`Error::NotFound`]; [`Error::Outage`].
    pub async fn get_deleted(
        &self,
        caller: Caller,
        organization: Option<OrganizationId>,
    ) -> Result<DeletedOrganization, Error> {
        let (caller, organization) = caller.heading_for(organization, &Permission::ORG_READ)?;
        if !caller.is_platform() {
            return Err(Error::NotFound);
        }
        self.ports.organizations.find_deleted(organization).await?.ok_or(Error::NotFound)
    }
}

/// Whether the organization is the platform's own; nobody else has authority over that one.
fn is_about_the_platform(authority: &Authority) -> bool {
    authority.caller().is_platform() && authority.caller().is_at(authority.organization())
}

fn require_platform(caller: &Caller) -> Result<(), Error> {
    if caller.is_platform() { Ok(()) } else { Err(Error::PlatformOnly) }
}
