//! What the use cases ask of the world. One method is one atomic step; what it promises is said here and kept by the
//! implementation. Absence is a value; an [`Outage`] means that nothing is known.

use async_trait::async_trait;

use crate::{
    api_key::ApiKey,
    clock::Timestamp,
    error::Outage,
    id::{KeyId, OrganizationId, UserId},
    organization::{Organization, OrganizationKind},
    permission::PermissionSet,
    secret::SecretHash,
    user::{Membership, User},
};

/// A key found by its secret, with everything that decides whether it is good.
#[derive(Clone, Debug)]
pub struct Found {
    /// The key.
    pub key: ApiKey,
    /// The kind of organization that owns it.
    pub kind: OrganizationKind,
    /// What the key's user may do there; `None` where the key has no user or the user is not a member.
    pub membership: Option<PermissionSet>,
    /// From this moment on the secret (not the key) has ended.
    pub secret_expires_at: Option<Timestamp>,
}

/// A place in an organization's keys, oldest first. It does not move when other keys come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// When the key at this place was made.
    pub created_at: Timestamp,
    /// Its identifier.
    pub id: KeyId,
}

/// The keys of all organizations. Every method but the lookup by hash is bound to one organization.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// The key with this secret, in one read.
    async fn find_by_hash(&self, hash: &SecretHash) -> Result<Option<Found>, Outage>;

    /// At most `limit` keys of `organization` after `after`, ordered by (`created_at`, `id`).
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Vec<ApiKey>, Outage>;

    /// Stores a new key with its first secret, both or neither.
    async fn create(&self, key: &ApiKey, secret: &SecretHash) -> Result<(), Outage>;

    /// Removes a key and its secrets. `false`: the organization has no such key.
    async fn delete(&self, organization: OrganizationId, key: KeyId) -> Result<bool, Outage>;
}

/// A user with an organization of their own and its first key.
#[derive(Debug)]
pub struct Enrolment {
    /// The user.
    pub user: User,
    /// Their organization.
    pub organization: Organization,
    /// What they may do there.
    pub membership: Membership,
    /// Its first key.
    pub key: ApiKey,
}

/// Who or what a key speaks for.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The organization.
    pub organization: Organization,
    /// The user, for a user's key.
    pub user: Option<User>,
}

/// Organizations and users.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Stores all of an enrolment or nothing. `false`: the e-mail address is taken, also when two race for it.
    async fn enroll(&self, enrolment: &Enrolment, secret: &SecretHash) -> Result<bool, Outage>;

    /// Whether there is such an organization.
    async fn has_organization(&self, organization: OrganizationId) -> Result<bool, Outage>;

    /// The platform organization, if there is one yet.
    async fn find_platform(&self) -> Result<Option<OrganizationId>, Outage>;

    /// Stores the platform organization with its first key. `false`: there is one already, also when two race.
    async fn create_platform(
        &self,
        organization: &Organization,
        key: &ApiKey,
        secret: &SecretHash,
    ) -> Result<bool, Outage>;

    /// The names behind a key. `None`: gone in the meantime.
    async fn find_profile(&self, organization: OrganizationId, user: Option<UserId>)
    -> Result<Option<Profile>, Outage>;
}
