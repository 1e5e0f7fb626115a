//! What the use cases ask of the world. One method is one atomic step; what it promises is said here and kept by the
//! implementation. Absence is a value; an [`Outage`] means that nothing is known.

mod audit;
mod credentials;
mod imports;
mod organizations;
mod repeats;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::{
    audit::{AuditLog, Chain, EventFilter, Notable, Position, PruneSigner, Stored},
    credentials::{Brought, Families, Known, People, Sessions},
    imports::{Holder, Imported, Imports},
    organizations::{Members, MembershipChanges, OrganizationChanges, Organizations, SetChanges, Sets},
    repeats::Repeats,
};
use crate::{
    act::Act,
    addresses::AddressList,
    api_key::{ApiKey, KeyName, Metadata, PreviousSecret},
    change::Change,
    clock::Timestamp,
    error::{Error, Outage},
    id::{KeyId, OrganizationId, SetId, UserId},
    listing::{Listing, Start},
    organization::{ExternalId, Organization},
    permission::PermissionSet,
    quota::{RateLimit, Refill},
    reach::Reach,
    secret::{KeyPrefix, SecretHash},
    snapshot::Snapshot,
    usage::{Count, Outcome, Period},
    user::{Membership, User},
    verdict::Spent,
};

/// What is remembered of the key with some secret.
#[derive(Clone, Debug)]
pub enum Recalled {
    /// The key.
    Key(Arc<Snapshot>),
    /// That there was none a moment ago.
    NoKey,
    /// Nothing: it has to be read.
    Nothing,
}

/// How often organizations may be managed. Verification, and asking who one is, is not management.
pub trait ManagementRate: Send + Sync {
    /// Counts a request that manages an organization.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`]; then it is not counted.
    fn count(&self, organization: OrganizationId) -> Result<(), Error>;
}

/// The keys by their secrets, as verify sees them: the one way to a key that is not bound to a [`Reach`].
///
/// What was changed through this process is seen at once, whatever is remembered.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// What is remembered of the key with this secret.
    fn recall(&self, hash: &SecretHash) -> Recalled;

    /// The key with this secret, read now.
    async fn read(&self, hash: &SecretHash) -> Result<Option<Arc<Snapshot>>, Outage>;

    /// Forgets the key with this secret, because it was found to have changed.
    fn forget(&self, hash: &SecretHash);
}

/// The keys of all organizations. Every method is bound to a [`Reach`], or to the organization of the key it stores.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// The key with this identifier.
    async fn find(&self, reach: Reach, key: KeyId) -> Result<Option<ApiKey>, Outage>;

    /// At most `limit` keys of a list from `start` on.
    async fn list(&self, reach: Reach, listing: &Listing, start: Start, limit: u64) -> Result<Vec<ApiKey>, Outage>;

    /// Stores new keys, each with its first secret and its part of the log: all or none. They are of one organization.
    ///
    /// # Errors
    /// [`Error::CapReached`], [`Error::SetNotFound`], [`Error::TooManyPermissions`], [`Error::NotFound`] where the organization
    /// has gone.
    async fn create(&self, keys: Vec<(ApiKey, SecretHash)>, act: &Act) -> Result<(), Error>;

    /// Stores the changed settings of a key, if it still has `version`; answers it as it is then. `None`: it has another
    /// version or is gone; nothing was changed.
    ///
    /// # Errors
    /// [`Error::SetNotFound`], [`Error::TooManyPermissions`].
    async fn update(
        &self,
        reach: Reach,
        key: KeyId,
        version: u64,
        changes: &KeyChanges,
        act: &Act,
    ) -> Result<Option<ApiKey>, Error>;

    /// Stores a new secret of a key, if that still has `version`; answers the key as it is then. Its other secrets end when
    /// the rotation says, or sooner. `None`: it has another version or is gone; nothing was changed.
    ///
    /// # Errors
    /// [`Error::StillRotating`] where an older one goes on, and is not to end now.
    async fn rotate(
        &self,
        reach: Reach,
        key: KeyId,
        version: u64,
        rotation: Rotation,
        act: &Act,
    ) -> Result<Option<ApiKey>, Error>;

    /// The secret of a key that goes on beside a newer one.
    async fn find_previous_secret(
        &self,
        reach: Reach,
        key: KeyId,
        now: Timestamp,
    ) -> Result<Option<PreviousSecret>, Outage>;

    /// Ends it at the time of `act`. `false`: there is none, or no such key.
    async fn end_previous_secret(&self, reach: Reach, key: KeyId, act: &Act) -> Result<bool, Outage>;

    /// Ends these keys and what was opened with them, as far as they are in reach. Answers which those were. They are unknown
    /// from then on, and kept for a while.
    async fn delete(&self, reach: Reach, keys: Vec<KeyId>, act: &Act) -> Result<Vec<KeyId>, Outage>;

    /// Ends keys that are expired at the time of `act`, in pieces: all of them, or as many as there is time for within half of
    /// what a change may take. Answers how many; a second call goes on. An outage means that none was ended.
    async fn delete_expired(&self, reach: Reach, act: &Act) -> Result<u64, Outage>;

    /// The key with this identifier that is deleted and not gone yet.
    async fn find_deleted(&self, reach: Reach, key: KeyId) -> Result<Option<ApiKey>, Outage>;

    /// Brings a deleted key back, if it still has `version`, but not into use; answers it as it is then. `None`: it has another
    /// version, is gone, or was not deleted.
    ///
    /// # Errors
    /// [`Error::CapReached`], [`Error::TooManyPermissions`].
    async fn restore(&self, reach: Reach, key: KeyId, version: u64, act: &Act) -> Result<Option<ApiKey>, Error>;
}

/// A new secret for a key.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The new one.
    pub secret: SecretHash,
    /// What stands in front of it.
    pub prefix: KeyPrefix,
    /// That, and its first characters.
    pub start: String,
    /// Those of the old one.
    pub old_start: String,
    /// When the old one ends.
    pub old_ends_at: Timestamp,
}

/// Settings of a key that change. What is not named here is not written, so that uses which are counted at
/// the same moment are not lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChanges {
    /// The name.
    pub name: Change<KeyName>,
    /// In use or not.
    pub enabled: Option<bool>,
    /// Before when it is not in use yet.
    pub not_before: Change<Timestamp>,
    /// The expiry.
    pub expires_at: Change<Timestamp>,
    /// From where it may be used.
    pub addresses: Change<AddressList>,
    /// What its maker keeps with it.
    pub metadata: Change<Metadata>,
    /// What the operator's own system calls it.
    pub external_id: Change<ExternalId>,
    /// What it may do.
    pub permissions: Option<PermissionSet>,
    /// Its permission sets.
    pub sets: Option<Vec<SetId>>,
    /// What remains.
    pub remaining: Change<u64>,
    /// The refill.
    pub refill: Change<Refill>,
    /// Whether the time of the last refill is forgotten, because the interval is another one.
    pub restarts_refill: bool,
    /// The window's rule.
    pub rate_limit: Change<RateLimit>,
    /// Whether the running window ends, because its rule is another one.
    pub restarts_window: bool,
}

/// Counts uses of metered keys, exactly and durably.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Counts one use of `key`, which was decided on its `version`, and takes `cost` from what remains. When this answers [`Spent::Admitted`] the use is
    /// stored and survives the end of the process. An outage may have counted the use or not.
    async fn spend(&self, key: KeyId, version: u64, cost: u64) -> Result<Spent, Outage>;
}

/// Stores uses that need not be counted before they are answered. Never waits and never fails.
pub trait Usage: Send + Sync {
    /// Takes a key with uses that are not stored yet; so far `stored` verifies are. In a moment it asks the key for the rest
    /// by [`crate::uses::Uses::store`].
    fn gather(&self, key: Arc<Snapshot>, stored: u64);

    /// Counts a verify that the key does not count itself: of a metered key, or one that was refused.
    fn count(&self, key: &Snapshot, outcome: Outcome, at: Timestamp);
}

/// How often keys were verified.
#[async_trait]
pub trait UsageLog: Send + Sync {
    /// What was counted in these hours: of one key, or of a whole organization.
    async fn counts(
        &self,
        organization: OrganizationId,
        key: Option<KeyId>,
        period: Period,
    ) -> Result<Vec<Count>, Outage>;
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
    async fn enroll(&self, enrolment: &Enrolment, secret: &SecretHash, act: &Act) -> Result<bool, Outage>;

    /// Whether there is such an organization.
    async fn has_organization(&self, organization: OrganizationId) -> Result<bool, Outage>;

    /// What a user may do in an organization, all in all. `None`: not a member.
    async fn find_membership(
        &self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<PermissionSet>, Outage>;

    /// The platform organization, if there is one yet.
    async fn find_platform(&self) -> Result<Option<OrganizationId>, Outage>;

    /// Stores the platform organization with its first key. `false`: there is one already, also when two race.
    async fn create_platform(
        &self,
        organization: &Organization,
        key: &ApiKey,
        secret: &SecretHash,
        act: &Act,
    ) -> Result<bool, Outage>;

    /// The names behind a key. `None`: gone in the meantime.
    async fn find_profile(&self, organization: OrganizationId, user: Option<UserId>)
    -> Result<Option<Profile>, Outage>;
}
