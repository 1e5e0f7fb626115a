//! The keys of a portal session: those of its customer that cannot manage this service.

use std::collections::{BTreeSet, HashSet};

use super::{
    service::{PortalAuthority, PortalService},
    session::{PortalAction, PortalSubject},
};
use crate::{
    change::Change,
    clock::Timestamp,
    cooperation::Pace,
    error::Error,
    id::{KeyId, SetId},
    keys::{
        KeySettingsPatch, NewKey, Owner, RateLimitPatch,
        api_key::{ApiKey, KeyName},
        list::{Filter, Listing, Order, OwnerFilter, SortField, Start},
        secret::Secret,
    },
    permissions::Permissions,
    usage::{Bucket, Period},
};

/// A key that a customer creates.
#[derive(Clone, Debug)]
pub struct NewPortalKey {
    /// The name.
    pub name: KeyName,
    /// The permissions. `None`: all that the session allows.
    pub permissions: Option<Permissions>,
    /// When it expires (UTC), as [`super::session::PortalLimits::expiry`] returns it. `None`: it need not expire.
    pub expires_at: Option<Timestamp>,
}

/// A key of the customer of a session.
#[derive(Clone, Debug)]
pub struct PortalKey {
    /// The key.
    pub key: ApiKey,
    /// Whether the session may rotate it: it allows that, and the key has no permissions above the ceiling.
    pub is_rotatable: bool,
}

impl PortalService {
    /// The order of the list: the newest key first.
    pub const ORDER: Order = Order { by: SortField::CreatedAt, is_descending: true };

    /// Lists at most `limit` keys of the customer, the newest first, beginning at `start`.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn list_keys(&self, portal: &PortalAuthority, start: Start, limit: u64) -> Result<Vec<PortalKey>, Error> {
        let filter = match &portal.session().subject {
            PortalSubject::ExternalId(id) => Filter { external_id: Some(id.clone()), ..Filter::default() },
            PortalSubject::User(user) => Filter { owner: Some(OwnerFilter::User(*user)), ..Filter::default() },
        };
        let listing = Listing { filter: Filter { can_manage: Some(false), ..filter }, order: Self::ORDER };
        let keys = self.keys.list(portal.authority(), &listing, start, limit).await?;
        let may_rotate = portal.session().actions.contains(&PortalAction::Rotate);
        let (mut within, mut pace) = (Vec::with_capacity(keys.len()), Pace::default());
        for key in &keys {
            pace.checked(key.settings.permissions.len()).await;
            within.push(may_rotate && has_own_permissions_within_ceiling(portal, key));
        }
        // One read for the page: many of its keys have the same permission sets.
        let to_check = keys.iter().zip(&within).filter(|(_, is_within)| **is_within);
        let ids: BTreeSet<SetId> = to_check.flat_map(|(key, _)| &key.settings.sets).copied().collect();
        let ids: Vec<SetId> = ids.into_iter().collect();
        let sets = self.keys.ports.sets.find_many(portal.session().organization, &ids).await?;
        let mut sets_within = HashSet::with_capacity(sets.len());
        for set in &sets {
            pace.checked(set.permissions.len()).await;
            if portal.session().ceiling.permissions().covers(&set.permissions) {
                sets_within.insert(set.id);
            }
        }
        let mut listed = Vec::with_capacity(keys.len());
        for (key, is_within) in keys.into_iter().zip(within) {
            pace.checked(key.settings.sets.len()).await;
            // A set that was deleted after the key was read is not within the ceiling.
            let is_rotatable = is_within && key.settings.sets.iter().all(|set| sets_within.contains(set));
            listed.push(PortalKey { key, is_rotatable });
        }
        Ok(listed)
    }

    /// Creates a key of the customer. Returns it with its secret.
    ///
    /// # Errors
    /// [`Error::PortalActionNotAllowed`]; [`Error::ExceedsPermissions`] if it would have permissions above the ceiling;
    /// [`Error::CapReached`] if the customer or the organization has too many keys; those of [`crate::keys::Keys::create`].
    pub async fn create_key(&self, portal: &PortalAuthority, new: NewPortalKey) -> Result<(PortalKey, Secret), Error> {
        let session = portal.session();
        require(portal, PortalAction::Create)?;
        let permissions = new.permissions.unwrap_or_else(|| session.ceiling.permissions().clone());
        if !session.ceiling.permissions().covers(&permissions) {
            return Err(Error::ExceedsPermissions);
        }
        // Without an expiry of its own, a key gets that of the key that created the session.
        let latest = portal.caller().expires_at();
        let rate_limit = session.limits.rate_limit;
        let settings = KeySettingsPatch {
            name: Change::Set(new.name),
            can_manage: Some(false),
            expires_at: Change::set_or_keep(new.expires_at.map(|end| end.no_later_than(latest))),
            permissions: Change::Set(permissions),
            external_id: match &session.subject {
                PortalSubject::ExternalId(id) => Change::Set(id.clone()),
                PortalSubject::User(_) => Change::Keep,
            },
            remaining: Change::set_or_keep(session.limits.remaining),
            rate_limit: RateLimitPatch {
                max: Change::set_or_keep(rate_limit.map(|limit| limit.max)),
                window: Change::set_or_keep(rate_limit.map(|limit| limit.window)),
                ..RateLimitPatch::default()
            },
            ..KeySettingsPatch::default()
        };
        let owner = match session.subject {
            PortalSubject::ExternalId(_) => Owner::Organization,
            PortalSubject::User(user) => Owner::User(Some(user)),
        };
        let new = NewKey { owner, prefix: session.prefix.clone(), settings };
        let (key, secret) = self.keys.create_for_customer(portal.authority(), new, session.limits.max_keys).await?;
        let is_rotatable = session.actions.contains(&PortalAction::Rotate);
        Ok((PortalKey { key, is_rotatable }, secret))
    }

    /// Rotates the secret of a key of the customer (`None`: the request has no valid id). The previous secret expires after
    /// `grace` milliseconds.
    ///
    /// # Errors
    /// [`Error::PortalActionNotAllowed`]; [`Error::NotFound`]; [`Error::ExceedsPermissions`] if the key has permissions above
    /// the ceiling; [`Error::ConcurrentChanges`]; those of [`crate::keys::Keys::rotate`].
    pub async fn rotate_key(
        &self,
        portal: &PortalAuthority,
        key: Option<KeyId>,
        grace: u64,
    ) -> Result<(PortalKey, Secret), Error> {
        require(portal, PortalAction::Rotate)?;
        let current = self.own_key(portal, key).await?;
        let has_more = !has_own_permissions_within_ceiling(portal, &current);
        if has_more || !self.are_sets_within_ceiling(portal, &current.settings.sets).await? {
            return Err(Error::ExceedsPermissions);
        }
        // With the version that was checked: the key may be given to another customer, or get permissions, meanwhile.
        let only = [current.version];
        let rotated = self.keys.rotate(portal.authority(), Some(current.id), Some(&only), grace, None).await;
        let (key, secret) = rotated.map_err(as_conflict)?;
        let secret = secret.expect("a secret that was not supplied is generated");
        Ok((PortalKey { key, is_rotatable: true }, secret))
    }

    /// Revokes a key of the customer (`None`: the request has no valid id): deletes it.
    ///
    /// # Errors
    /// [`Error::PortalActionNotAllowed`]; [`Error::NotFound`]; [`Error::ConcurrentChanges`]; [`Error::Outage`].
    pub async fn revoke_key(&self, portal: &PortalAuthority, key: Option<KeyId>) -> Result<(), Error> {
        require(portal, PortalAction::Revoke)?;
        let current = self.own_key(portal, key).await?;
        let only = [current.version];
        self.keys.delete(portal.authority(), Some(current.id), Some(&only)).await.map_err(as_conflict)
    }

    /// The number of verify requests of a key of the customer (`None`: the request has no valid id) in each bucket of a
    /// period.
    ///
    /// # Errors
    /// [`Error::PortalActionNotAllowed`]; [`Error::NotFound`]; [`Error::Outage`].
    pub async fn key_usage(
        &self,
        portal: &PortalAuthority,
        key: Option<KeyId>,
        period: Period,
    ) -> Result<Vec<Bucket>, Error> {
        require(portal, PortalAction::Usage)?;
        let key = self.own_key(portal, key).await?;
        self.keys.usage(portal.authority(), Some(key.id), period).await
    }

    /// A key of the customer (`None`: the request has no valid id). The keys of others are not found.
    async fn own_key(&self, portal: &PortalAuthority, key: Option<KeyId>) -> Result<ApiKey, Error> {
        let key = self.keys.get(portal.authority(), key).await?;
        if portal.session().subject.owns(&key) { Ok(key) } else { Err(Error::NotFound) }
    }

    /// Whether these permission sets of a key have no permissions above the ceiling of the session. `false` if one was
    /// deleted after the key was read.
    async fn are_sets_within_ceiling(&self, portal: &PortalAuthority, sets: &[SetId]) -> Result<bool, Error> {
        let ceiling = portal.session().ceiling.permissions();
        match self.keys.ports.sets.resolve(portal.session().organization, sets).await {
            Err(Error::SetNotFound) => Ok(false),
            sets => Ok(sets?.iter().all(|set| ceiling.covers(&set.permissions))),
        }
    }
}

/// Whether the own permissions of a key are within the ceiling of the session.
fn has_own_permissions_within_ceiling(portal: &PortalAuthority, key: &ApiKey) -> bool {
    portal.session().ceiling.permissions().covers(&key.settings.permissions)
}

/// Requires that a session allows an action.
fn require(portal: &PortalAuthority, action: PortalAction) -> Result<(), Error> {
    if portal.session().actions.contains(&action) { Ok(()) } else { Err(Error::PortalActionNotAllowed(action.code())) }
}

/// The key was changed after it was checked: the caller, who named no version, may try again.
fn as_conflict(error: Error) -> Error {
    if matches!(error, Error::VersionMismatch) { Error::ConcurrentChanges } else { error }
}
