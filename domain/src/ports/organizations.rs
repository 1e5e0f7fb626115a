//! What the use cases on organizations ask of the world. Each method that changes something stores its part of the log with
//! it, and is seen at once, whatever is remembered.

use async_trait::async_trait;

use crate::{
    act::Act,
    change::Change,
    clock::Timestamp,
    error::{Error, Outage},
    id::{OrganizationId, SetId, UserId},
    organization::{DeletedOrganization, ExternalId, Organization, OrganizationName},
    permission::PermissionSet,
    permission_sets::{NamedSet, SetName},
    ports::Brought,
    user::{Member, Membership},
};

/// Settings of an organization that change.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChanges {
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
    /// Since when it is suspended.
    pub suspended_at: Change<Timestamp>,
}

/// Organizations. One that is deleted is none of them any more, but for [`Organizations::find_deleted`].
#[async_trait]
pub trait Organizations: Send + Sync {
    /// At most `limit` after `after`, in the order of their ids; only this one, or with this external id, where given.
    async fn list(
        &self,
        only: Option<OrganizationId>,
        external_id: Option<&ExternalId>,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<Organization>, Outage>;

    /// The organization with this identifier.
    async fn find(&self, organization: OrganizationId) -> Result<Option<Organization>, Outage>;

    /// Stores a new one.
    ///
    /// # Errors
    /// [`Error::NameTaken`]: the external id, also when two race for it.
    async fn create(&self, organization: &Organization, act: &Act) -> Result<(), Error>;

    /// Stores changed settings, and answers it as it is then.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NameTaken`].
    async fn update(
        &self,
        organization: OrganizationId,
        changes: OrganizationChanges,
        act: &Act,
    ) -> Result<Organization, Error>;

    /// Deletes it: from now on none of its keys is known and its external id is free, also on other nodes and after a crash.
    /// Its keys, members and sets are removed in pieces; its log stays. Answers whether all of them are removed already; if
    /// not, that goes on by itself.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn delete(&self, organization: OrganizationId, act: &Act) -> Result<bool, Error>;

    /// The organization with this identifier, if it is deleted and not removed yet.
    async fn find_deleted(&self, organization: OrganizationId) -> Result<Option<DeletedOrganization>, Outage>;
}

/// What changes of a membership.
#[derive(Clone, Debug, Default)]
pub struct MembershipChanges {
    /// The permissions.
    pub permissions: Option<PermissionSet>,
    /// The sets.
    pub sets: Option<Vec<SetId>>,
}

/// Who is a member where. A member who holds everything (`*:*`) is never the last one to go, also when two race.
#[async_trait]
pub trait Members: Send + Sync {
    /// At most `limit` after `after`, in the order of their ids.
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<Member>, Outage>;

    /// The member with this identifier.
    async fn find(&self, organization: OrganizationId, user: UserId) -> Result<Option<Member>, Outage>;

    /// Stores a membership; of who is `brought`, where given, unless there is one with that address or identity already, who
    /// is taken instead.
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::AlreadyMember`], [`Error::CapReached`], [`Error::SetNotFound`],
    /// [`Error::TooManyPermissions`],
    /// [`Error::NotFound`] where the organization has gone.
    async fn add(&self, membership: Membership, brought: Option<Brought>, act: &Act) -> Result<Member, Error>;

    /// Stores what changes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LastAdmin`], [`Error::SetNotFound`], [`Error::TooManyPermissions`].
    async fn update(
        &self,
        organization: OrganizationId,
        user: UserId,
        changes: MembershipChanges,
        act: &Act,
    ) -> Result<Member, Error>;

    /// Removes a membership.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LastAdmin`].
    async fn remove(&self, organization: OrganizationId, user: UserId, act: &Act) -> Result<(), Error>;
}

/// What changes of a permission set.
#[derive(Clone, Debug, Default)]
pub struct SetChanges {
    /// The name.
    pub name: Option<SetName>,
    /// The permissions.
    pub permissions: Option<PermissionSet>,
}

/// Permission sets with names.
#[async_trait]
pub trait Sets: Send + Sync {
    /// At most `limit` after `after`, in the order of their ids.
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<SetId>,
        limit: u64,
    ) -> Result<Vec<NamedSet>, Outage>;

    /// The set with this identifier.
    async fn find(&self, organization: OrganizationId, set: SetId) -> Result<Option<NamedSet>, Outage>;

    /// These sets, in any order.
    ///
    /// # Errors
    /// [`Error::SetNotFound`] where one of them is not the organization's.
    async fn resolve(&self, organization: OrganizationId, sets: &[SetId]) -> Result<Vec<NamedSet>, Error>;

    /// Stores a new one.
    ///
    /// # Errors
    /// [`Error::NameTaken`], also when two race; [`Error::CapReached`]; [`Error::NotFound`] where the organization has gone.
    async fn create(&self, set: &NamedSet, act: &Act) -> Result<(), Error>;

    /// Stores what changes, and answers it as it is then.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NameTaken`], [`Error::LastAdmin`]; [`Error::TooManyPermissions`] with the first key or
    /// member found that has the set and would hold too many.
    async fn update(
        &self,
        organization: OrganizationId,
        set: SetId,
        changes: SetChanges,
        act: &Act,
    ) -> Result<NamedSet, Error>;

    /// Removes it; with `detach` also from the keys and members that have it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InUse`], [`Error::LastAdmin`].
    async fn delete(&self, organization: OrganizationId, set: SetId, detach: bool, act: &Act) -> Result<(), Error>;
}
