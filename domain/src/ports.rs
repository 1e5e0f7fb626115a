//! The ports: what the operations require of databases and other systems. Each method is atomic; its documentation is
//! the contract of the implementation. A missing object is a value; an [`Outage`] means that the result is not known.

mod audit;
mod credentials;
mod idempotency;
mod imports;
mod invitations;
mod organizations;
mod passkeys;
mod portal;
mod rotation;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;

pub use self::{
    audit::{
        AuditLog, Chain, CheckpointSigner, EventCounts, EventFilter, MergedEvent, Position, PruneSigner, StoredEvent,
    },
    credentials::{ExternalIdentities, JoinedBy, Link, NewUser, ProvidedProfile, Sessions, TokenGroups},
    idempotency::IdempotencyRecords,
    imports::{Imported, Imports, SecretOwner},
    invitations::Invitations,
    organizations::{Members, OrganizationChanges, Organizations, SetChanges, Sets, TrustRules, UserChanges},
    passkeys::Passkeys,
    portal::Portals,
    rotation::{Rotation, StoredSecret},
};
use crate::{
    audit::context::AuditContext,
    clock::Timestamp,
    error::{Error, Outage},
    id::{Identity, KeyId, OrganizationId, UserId},
    keys::{
        api_key::{ApiKey, PreviousSecret, SecretStatus},
        key_scope::KeyScope,
        list::{Filter, Listing, Start},
        policy::{CheckedPolicies, KeyPolicy},
        secret::{LegacyHash, SecretHash},
        settings::KeySettings,
        usage::{DayCount, RankedCounts, Ranking},
    },
    organizations::{
        organization::Organization,
        user::{User, UserProfile},
    },
    permissions::Permissions,
    usage::{Count, Outcome, Period},
    verify::{cached_key::CachedKey, result::ConsumeOutcome},
};

/// The result of a lookup in the key cache.
#[derive(Clone, Debug)]
pub enum Cached {
    /// A hit.
    Key(Arc<CachedKey>),
    /// A negative hit: a moment ago the database had no key with this secret.
    NoKey,
    /// A miss: the key has to be loaded.
    Nothing,
}

/// A rate limit by `K`: of the management requests of an organization, to which verify requests and requests for the caller's own
/// profile do not count; or of the requests of a portal session.
pub trait RequestRate<K>: Send + Sync {
    /// Counts a request.
    ///
    /// # Errors
    /// [`Error::TooMany`]; then it is not counted.
    fn count(&self, of: K) -> Result<(), Error>;
}

/// A read-through cache of keys by the hash of a secret. It is the only access to keys that takes no [`KeyScope`].
///
/// A change that was made by this process is visible as soon as its request is answered.
#[async_trait]
pub trait KeyCache: Send + Sync {
    /// Looks up the key with this secret in the cache. Does not read the database.
    fn get_cached(&self, hash: &SecretHash) -> Cached;

    /// Reads the key with this secret from the database, and caches it. `None`: there is no such key.
    async fn load(&self, hash: &SecretHash) -> Result<Option<Arc<CachedKey>>, Outage>;

    /// Removes the key with this secret from the cache, because it was found to be stale.
    fn invalidate(&self, hash: &SecretHash);
}

/// A lock on changing an object, held until it is dropped. Other requests to this process wait for it.
pub type ChangeLock = Box<dyn Send + Sync>;

/// The stored keys of all organizations. Each method takes a [`KeyScope`], or uses the organization of the key that it
/// stores. A method that takes the policies that its change was checked against stores nothing if they are not the same any more,
/// and says so as if the key had another version; `None`: the change needs no check.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// The key with this id. `None`: there is none in the scope.
    async fn find(&self, scope: KeyScope, key: KeyId) -> Result<Option<ApiKey>, Outage>;

    /// Lists at most `limit` keys, beginning at `start`.
    async fn list(&self, scope: KeyScope, listing: &Listing, start: Start, limit: u64) -> Result<Vec<ApiKey>, Outage>;

    /// Whether a list can be sorted in its order: an index has the keys in this order, or a condition of the filter that is looked up
    /// in an index leaves at most [`MAX_SORTED`](crate::keys::list::MAX_SORTED) keys.
    async fn can_sort(&self, scope: KeyScope, listing: &Listing) -> Result<bool, Outage>;

    /// The number of keys that match a filter, at most one more than [`MAX_COUNTED`](crate::keys::list::MAX_COUNTED).
    async fn count(&self, scope: KeyScope, filter: &Filter) -> Result<u64, Outage>;

    /// Stores new keys of one organization, each with its first secret and its audit event: all of them, or none. `false`: other
    /// policies apply than those in `checked`; nothing was stored.
    ///
    /// # Errors
    /// [`Error::CapReached`]; [`Error::SetNotFound`]; [`Error::TooManyPermissions`]; [`Error::NotFound`] if the
    /// organization was deleted.
    async fn create(
        &self,
        keys: Vec<(ApiKey, SecretHash)>,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<bool, Error>;

    /// As [`ApiKeys::create`], for a key of a customer of the organization, who may have `max_keys`: those of the key's user, or
    /// else those with its external id, that are not deleted and cannot manage this service. Also of simultaneous requests,
    /// none exceeds that.
    ///
    /// # Errors
    /// Those of [`ApiKeys::create`].
    async fn create_for_customer(
        &self,
        new: (ApiKey, SecretHash),
        max_keys: u64,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<bool, Error>;

    /// Waits until no other request to this process is changing this key. It does not wait for other nodes: a conflict
    /// with them is detected by the version.
    ///
    /// # Errors
    /// [`Error::ConcurrentChanges`] if too many requests are waiting.
    async fn lock_for_change(&self, scope: KeyScope, key: KeyId) -> Result<ChangeLock, Error>;

    /// Stores the settings of a key if it still has the version of `seen`, and returns the updated key. `None`: it has
    /// another version or was deleted; nothing was changed. Only fields that differ from `seen` are written, so that
    /// uses counted at the same time are not lost; with `sets_remaining` also `remaining`, which uses may have changed
    /// since. The names of the changed fields are written to the audit log.
    ///
    /// # Errors
    /// [`Error::SetNotFound`]; [`Error::TooManyPermissions`]; [`Error::TooMany`].
    async fn update(
        &self,
        scope: KeyScope,
        seen: &ApiKey,
        settings: &KeySettings,
        sets_remaining: bool,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<Option<ApiKey>, Error>;

    /// Stores a new secret of a key if it still has `version`, and returns the updated key. Its other secrets expire at
    /// the time in `rotation`, or earlier. If a previous secret is valid and the newest one was never used, that one is
    /// revoked, and the previous one expires at the time in `rotation`, or later. `None`: it has another version or was
    /// deleted; nothing was changed.
    ///
    /// # Errors
    /// [`Error::RotationInProgress`] if a previous secret is valid and is not to be revoked now, and the newest one was
    /// used; [`Error::SecretInUse`] if a key of the organization has got the supplied secret at the same time.
    async fn rotate(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: u64,
        rotation: Rotation,
        checked: CheckedPolicies,
        context: &AuditContext,
    ) -> Result<Option<ApiKey>, Error>;

    /// Revokes the newest secret of a key, which was never used, if the key still has `version`. The secret that was
    /// valid before, and still is at the time of `context`, becomes the newest one and does not expire. `None`: the key has
    /// another version or was deleted; nothing was changed.
    ///
    /// # Errors
    /// [`Error::NoPreviousSecret`]; [`Error::NewestSecretUsed`]; [`Error::TooMany`].
    async fn undo_rotation(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: u64,
        context: &AuditContext,
    ) -> Result<Option<ApiKey>, Error>;

    /// The key that has or had a secret with one of these hashes, also if the key or the secret is not valid, or the key
    /// is deleted and not purged. `supplied`: the hash of a supplied or imported secret, which may not have been used
    /// yet. This does not count as a use of the secret. `None`: there is none in the scope.
    async fn find_by_secret(
        &self,
        scope: KeyScope,
        hashes: &[SecretHash],
        supplied: Option<LegacyHash>,
        now: Timestamp,
    ) -> Result<Option<(ApiKey, SecretStatus)>, Outage>;

    /// The previous secret of a key, if it is valid at `now`.
    async fn find_previous_secret(
        &self,
        scope: KeyScope,
        key: KeyId,
        now: Timestamp,
    ) -> Result<Option<PreviousSecret>, Outage>;

    /// Revokes the previous secret of a key at the time of `context`, if the key has `version` (`None`: any). `false`:
    /// there is none, or no such key.
    ///
    /// # Errors
    /// [`Error::VersionMismatch`]; the database failed.
    async fn revoke_previous_secret(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: Option<u64>,
        context: &AuditContext,
    ) -> Result<bool, Error>;

    /// Deletes those of these keys that are in the scope and have `version` (`None`: any), and their sessions. Returns
    /// the ids of these keys. They are invalid immediately, and kept until they are purged.
    ///
    /// # Errors
    /// [`Error::IdempotentRequestInProgress`]; the database failed.
    async fn delete(
        &self,
        scope: KeyScope,
        keys: Vec<KeyId>,
        version: Option<u64>,
        context: &AuditContext,
    ) -> Result<Vec<KeyId>, Error>;

    /// Deletes keys that are expired at the time of `context`, in batches: all of them, or as many as possible within half
    /// of the time limit of a change. Returns their number; another call deletes the rest. After an outage none was
    /// deleted.
    async fn delete_expired(&self, scope: KeyScope, context: &AuditContext) -> Result<u64, Outage>;

    /// When the newest secret of each of these keys was created, or imported (UTC). The keys were read within the scope of the
    /// caller. A key that was deleted meanwhile is missing.
    async fn newest_secret_times(&self, keys: &[ApiKey]) -> Result<HashMap<KeyId, Timestamp>, Outage>;

    /// The deleted key with this id, if it is not purged yet.
    async fn find_deleted(&self, scope: KeyScope, key: KeyId) -> Result<Option<ApiKey>, Outage>;

    /// Restores a deleted key if it still has `version`, and returns it. It is disabled. `None`: it has another
    /// version, is purged, or was not deleted.
    ///
    /// # Errors
    /// [`Error::CapReached`]; [`Error::TooManyPermissions`].
    async fn restore(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: u64,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<Option<ApiKey>, Error>;
}

/// Counts uses of metered keys, exactly and durably.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Counts one use of `key`, which was checked in its `version`, and subtracts `cost` from its remaining uses. After
    /// [`ConsumeOutcome::Admitted`] the use is stored durably. After an outage it may or may not be counted.
    async fn spend(&self, key: KeyId, version: u64, cost: u64) -> Result<ConsumeOutcome, Outage>;
}

/// Stores uses asynchronously. The methods do not block and cannot fail.
pub trait Usage: Send + Sync {
    /// Queues a key with uses that are not stored yet; `stored` is the number of verify requests that are stored. Its
    /// other uses are read shortly afterwards by [`crate::verify::usage_counter::UsageCounter::store`].
    fn gather(&self, key: Arc<CachedKey>, stored: u64);

    /// Counts a verify request that the key's own counter does not count: of a metered key, or a denied one.
    fn count(&self, key: &CachedKey, outcome: Outcome, at: Timestamp);
}

/// The numbers of verify requests.
#[async_trait]
pub trait UsageLog: Send + Sync {
    /// The counts in the hours of `period`, of one key (`None`: of the whole organization).
    async fn counts(
        &self,
        organization: OrganizationId,
        key: Option<KeyId>,
        period: Period,
    ) -> Result<Vec<Count>, Outage>;

    /// The counts on the days of `period` of those of these keys that are in the scope: an entry for each, which may be
    /// empty.
    async fn counts_by_day(
        &self,
        scope: KeyScope,
        keys: &[KeyId],
        period: Period,
    ) -> Result<BTreeMap<KeyId, Vec<DayCount>>, Outage>;

    /// Those keys in the scope, or their users or external ids, with the most verify requests, in this order; equal ones in
    /// the order of their ids. `None`: more than [`MAX_RANKED_COUNTS`](crate::keys::usage::MAX_RANKED_COUNTS) counts of the
    /// organization would have to be added up.
    async fn rank(&self, scope: KeyScope, ranking: &Ranking) -> Result<Option<Vec<RankedCounts>>, Outage>;
}

/// The objects that are created at sign-up.
#[derive(Debug)]
pub struct SignedUp {
    /// The first user.
    pub user: User,
    /// The organization.
    pub organization: Organization,
    /// The first key, which belongs to the user.
    pub key: ApiKey,
}

/// The organization and the user of a caller.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The organization.
    pub organization: Organization,
    /// The user. `None`: the key belongs to the organization.
    pub user: Option<UserProfile>,
}

/// What applies to all keys of an organization.
#[derive(Clone, Debug)]
pub struct KeyDefaults {
    /// Whether new keys can manage this service, if the request that creates them does not say.
    pub can_manage: bool,
    /// The key policy. `None`: it has none.
    pub policy: Option<Arc<KeyPolicy>>,
}

/// Organizations and their users.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Stores the objects of a sign-up: all of them, or none. `false`: a user with this e-mail address has signed up,
    /// possibly at the same time.
    async fn sign_up(&self, signed_up: &SignedUp, secret: &SecretHash, context: &AuditContext) -> Result<bool, Outage>;

    /// Stores a new organization with its first user, who signs in with this identity and has no key: all of it, or nothing.
    /// `false`: a user with this e-mail address has signed up, possibly at the same time.
    async fn sign_up_person(
        &self,
        organization: &Organization,
        user: &User,
        identity: &Identity,
        context: &AuditContext,
    ) -> Result<bool, Outage>;

    /// What applies to all keys of an organization. `None`: the organization does not exist.
    async fn find_key_defaults(&self, organization: OrganizationId) -> Result<Option<KeyDefaults>, Outage>;

    /// Whether the organization exists.
    async fn has_organization(&self, organization: OrganizationId) -> Result<bool, Outage>;

    /// The permissions of a member, including those of their permission sets. `None`: the organization has no such
    /// member.
    async fn find_membership(&self, organization: OrganizationId, user: UserId) -> Result<Option<Permissions>, Outage>;

    /// The id of the platform organization. `None`: it does not exist yet.
    async fn find_platform(&self) -> Result<Option<OrganizationId>, Outage>;

    /// Stores the platform organization with its first key. `false`: it exists already, or was created at the same
    /// time.
    async fn create_platform(
        &self,
        organization: &Organization,
        key: &ApiKey,
        secret: &SecretHash,
        context: &AuditContext,
    ) -> Result<bool, Outage>;

    /// The organization and the user of a caller. `None`: deleted meanwhile.
    async fn find_profile(&self, organization: OrganizationId, user: Option<UserId>)
    -> Result<Option<Profile>, Outage>;
}
