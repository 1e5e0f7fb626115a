//! The ports of organizations, their members and their permission sets. Each method that changes something also stores
//! its audit event, and invalidates caches before it returns.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    audit::context::AuditContext,
    change::Change,
    clock::Timestamp,
    error::{Error, Outage},
    id::{ExternalId, OrganizationId, SetId, TrustRuleId, UserId},
    keys::policy::KeyPolicy,
    organizations::{
        organization::{DeletedOrganization, Deletion, Organization, OrganizationName},
        permission_set::{PermissionSet, SetHolders, SetName},
        totals::{OrganizationFilter, ServiceTotals},
        trust_rule::TrustRule,
        user::{Email, User},
    },
    permissions::Permissions,
    ports::{ChangeLock, NewUser},
};

/// A change of an organization.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChanges {
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
    /// Whether new keys can manage this service by default.
    pub keys_can_manage_by_default: Option<bool>,
    /// The key policy.
    pub key_policy: Change<Arc<KeyPolicy>>,
    /// When it was suspended (UTC). Cleared: it is not suspended.
    pub suspended_at: Change<Timestamp>,
}

/// The stored organizations. Methods do not find deleted organizations, unless their documentation says so.
#[async_trait]
pub trait Organizations: Send + Sync {
    /// Lists at most `limit` organizations, sorted by id, beginning after `after` (`None`: with the first), which match
    /// the filter. `only`: at most this organization.
    async fn list(
        &self,
        only: Option<OrganizationId>,
        filter: &OrganizationFilter,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<Organization>, Outage>;

    /// The organization with this id.
    async fn find(&self, organization: OrganizationId) -> Result<Option<Organization>, Outage>;

    /// Stores a new organization.
    ///
    /// # Errors
    /// [`Error::ExternalIdTaken`], also if another request has stored the same external id at the same time.
    async fn create(&self, organization: &Organization, context: &AuditContext) -> Result<(), Error>;

    /// Stores changed settings, and returns the updated organization.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ExternalIdTaken`].
    async fn update(
        &self,
        organization: OrganizationId,
        changes: OrganizationChanges,
        context: &AuditContext,
    ) -> Result<Organization, Error>;

    /// Deletes an organization: its keys are invalid and its external id is free immediately, on all nodes. Sessions
    /// that were created in it are deleted. It is kept for the configured time, and can be restored meanwhile; then its
    /// keys, members and permission sets are purged in batches, in the background. Its audit log is kept.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn delete(&self, organization: OrganizationId, context: &AuditContext) -> Result<Deletion, Error>;

    /// Restores a deleted organization: its keys are valid and it has its external id again. Returns it. An
    /// organization that is not deleted is not changed.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it does not exist, or is being purged; [`Error::ExternalIdTaken`] if another organization
    /// has its external id meanwhile.
    async fn restore(&self, organization: OrganizationId, context: &AuditContext) -> Result<Organization, Error>;

    /// Lists at most `limit` deleted organizations that are not purged yet, sorted by id, beginning after `after`
    /// (`None`: with the first), which matched the filter.
    async fn list_deleted(
        &self,
        filter: &OrganizationFilter,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<DeletedOrganization>, Outage>;

    /// The totals of the whole service.
    async fn totals(&self) -> Result<ServiceTotals, Outage>;

    /// The deleted organization with this id, if it is not purged yet.
    async fn find_deleted(&self, organization: OrganizationId) -> Result<Option<DeletedOrganization>, Outage>;
}

/// A change of a user. `None`: the field is not changed.
#[derive(Clone, Debug, Default)]
pub struct UserChanges {
    /// The user's own permissions.
    pub permissions: Option<Permissions>,
    /// The permission sets.
    pub sets: Option<Vec<SetId>>,
}

/// The members of organizations. The last member with all permissions (`*:*`) is never removed or changed, even by
/// simultaneous requests; the only exception is [`Members::erase`].
#[async_trait]
pub trait Members: Send + Sync {
    /// Lists at most `limit` members, sorted by id, beginning after `after` (`None`: with the first).
    async fn list(&self, organization: OrganizationId, after: Option<UserId>, limit: u64) -> Result<Vec<User>, Outage>;

    /// The user with this id. `None`: the organization has no such user.
    async fn find(&self, organization: OrganizationId, user: UserId) -> Result<Option<User>, Outage>;

    /// Stores a new user.
    ///
    /// # Errors
    /// [`Error::AlreadyMember`] if the organization has a user with this identity, or one with this e-mail address who
    /// was not added by an identity; [`Error::CapReached`]; [`Error::SetNotFound`]; [`Error::TooManyPermissions`];
    /// [`Error::NotFound`] if the organization was deleted, or has removed the user who is provisioned.
    async fn add(&self, new: NewUser, context: &AuditContext) -> Result<User, Error>;

    /// Waits until no other request to this process is changing this user. It does not wait for other nodes: a conflict
    /// with them is detected when the change is stored.
    ///
    /// # Errors
    /// [`Error::ConcurrentChanges`] if too many requests are waiting.
    async fn lock_for_change(&self, organization: OrganizationId, user: UserId) -> Result<ChangeLock, Error>;

    /// Stores a change of a user if they still have the permissions and permission sets of `seen`, and returns the
    /// updated user. `None`: they have others; nothing was changed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LastAdmin`]; [`Error::SetNotFound`]; [`Error::TooManyPermissions`].
    async fn update(&self, seen: &User, changes: UserChanges, context: &AuditContext) -> Result<Option<User>, Error>;

    /// Removes a user and erases their personal data: name, e-mail address, identities and sessions. Their keys are
    /// kept with the same user id, but are invalid.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LastAdmin`].
    async fn remove(&self, organization: OrganizationId, user: UserId, context: &AuditContext) -> Result<(), Error>;

    /// The same as [`Members::remove`], but also for the last member with all permissions, and in deleted
    /// organizations.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn erase(&self, organization: OrganizationId, user: UserId, context: &AuditContext) -> Result<(), Error>;

    /// Lists at most `limit` users of all organizations with this e-mail address, sorted by id, beginning after `after`
    /// (`None`: with the first).
    async fn find_by_email(&self, email: &Email, after: Option<UserId>, limit: u64) -> Result<Vec<User>, Outage>;
}

/// A change of a permission set. `None`: the field is not changed.
#[derive(Clone, Debug, Default)]
pub struct SetChanges {
    /// The name.
    pub name: Option<SetName>,
    /// The permissions.
    pub permissions: Option<Permissions>,
    /// The key policy that have the set.
    pub key_policy: Change<Arc<KeyPolicy>>,
}

/// The permission sets of organizations.
#[async_trait]
pub trait Sets: Send + Sync {
    /// Lists at most `limit` permission sets, sorted by id, beginning after `after` (`None`: with the first).
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<SetId>,
        limit: u64,
    ) -> Result<Vec<PermissionSet>, Outage>;

    /// The permission set with this id. `None`: the organization has no such set.
    async fn find(&self, organization: OrganizationId, set: SetId) -> Result<Option<PermissionSet>, Outage>;

    /// How many keys that are not deleted, and how many members have a permission set.
    async fn count_holders(&self, set: SetId) -> Result<SetHolders, Outage>;

    /// These permission sets, in any order.
    ///
    /// # Errors
    /// [`Error::SetNotFound`] if one of them does not belong to the organization.
    async fn resolve(&self, organization: OrganizationId, sets: &[SetId]) -> Result<Vec<PermissionSet>, Error>;

    /// Those of these permission sets that the organization has, in any order.
    async fn find_many(&self, organization: OrganizationId, sets: &[SetId]) -> Result<Vec<PermissionSet>, Outage>;

    /// Stores a new permission set.
    ///
    /// # Errors
    /// [`Error::NameTaken`], also if another request has stored the same name at the same time; [`Error::CapReached`];
    /// [`Error::NotFound`] if the organization was deleted.
    async fn create(&self, set: &PermissionSet, context: &AuditContext) -> Result<(), Error>;

    /// Waits until no other request to this process is changing a permission set of this organization: a change of one
    /// set invalidates the checks of all keys and members that also have other sets. It does not wait for other nodes.
    ///
    /// # Errors
    /// [`Error::ConcurrentChanges`] if too many requests are waiting.
    async fn lock_for_change(&self, organization: OrganizationId) -> Result<ChangeLock, Error>;

    /// Stores a change of a permission set if it still has the permissions of `seen`, and returns the updated set.
    /// `None`: it has others, or too many keys and members that have it changed during the check; nothing was changed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NameTaken`]; [`Error::LastAdmin`]; [`Error::TooManyPermissions`] with the first
    /// key or member found that has the set and would have too many permissions; [`Error::KeyPolicyViolated`] if a key that has
    /// the set would get permissions that a policy forbids, or that need an IP allowlist that the key does not have. What the set
    /// had before is not considered.
    async fn update(
        &self,
        seen: &PermissionSet,
        changes: SetChanges,
        context: &AuditContext,
    ) -> Result<Option<PermissionSet>, Error>;

    /// Deletes a permission set. With `detach`, it is removed from the keys and members that have it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InUse`]; [`Error::LastAdmin`].
    async fn delete(
        &self,
        organization: OrganizationId,
        set: SetId,
        detach: bool,
        context: &AuditContext,
    ) -> Result<(), Error>;
}

/// The trust rules of organizations.
#[async_trait]
pub trait TrustRules: Send + Sync {
    /// Lists at most `limit` trust rules, sorted by id, beginning after `after` (`None`: with the first).
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<TrustRuleId>,
        limit: u64,
    ) -> Result<Vec<TrustRule>, Outage>;

    /// The trust rule with this id. `None`: the organization has no such rule.
    async fn find(&self, organization: OrganizationId, rule: TrustRuleId) -> Result<Option<TrustRule>, Outage>;

    /// The enabled trust rules of an organization for this issuer; with `only`, this one of them. At most as many as an organization
    /// may have.
    async fn find_enabled(
        &self,
        organization: OrganizationId,
        issuer: &str,
        only: Option<TrustRuleId>,
    ) -> Result<Vec<TrustRule>, Outage>;

    /// The trust rule with this id and its organization, if the rule is enabled and the organization is neither suspended nor
    /// deleted.
    async fn find_active(&self, rule: TrustRuleId) -> Result<Option<(TrustRule, Organization)>, Outage>;

    /// The generations of those of these trust rules that are enabled and whose organization is neither suspended nor deleted.
    async fn active_generations(&self, rules: Vec<TrustRuleId>) -> Result<Vec<(TrustRuleId, u64)>, Outage>;

    /// Stores a new trust rule.
    ///
    /// # Errors
    /// [`Error::NameTaken`], also if another request has stored the same name at the same time; [`Error::CapReached`];
    /// [`Error::NotFound`] if the organization was deleted.
    async fn create(&self, rule: &TrustRule, context: &AuditContext) -> Result<(), Error>;

    /// Waits until no other request to this process is changing this trust rule. It does not wait for other nodes: a conflict
    /// with them is detected by the version.
    ///
    /// # Errors
    /// [`Error::ConcurrentChanges`] if too many requests are waiting.
    async fn lock_for_change(&self, organization: OrganizationId, rule: TrustRuleId) -> Result<ChangeLock, Error>;

    /// Stores a changed trust rule if it still has the version `seen`. `false`: it has another; nothing was changed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NameTaken`]; [`Error::TooMany`].
    async fn update(&self, rule: &TrustRule, seen: u64, context: &AuditContext) -> Result<bool, Error>;

    /// Deletes a trust rule if it still has the version of `seen`. `false`: it has another; nothing was changed.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn delete(&self, seen: &TrustRule, context: &AuditContext) -> Result<bool, Error>;
}
