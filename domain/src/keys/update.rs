//! Changing the settings of a key, by a caller who could have made it as it was and as it will be.

use super::{ATTEMPTS, Keys};
use crate::{
    act::Action,
    addresses::AddressList,
    api_key::{ApiKey, KeyName, Metadata},
    caller::{Authority, Caller},
    change::Change,
    clock::Timestamp,
    cooperation::let_others_run,
    error::{Error, Outage, RefillPart},
    id::{KeyId, SetId},
    organization::ExternalId,
    permission::PermissionSet,
    permission_sets::effective,
    ports::KeyChanges,
    quota::{RateLimit, Refill},
};

/// What changes of the window's rule. On the resulting key it is whole or not there.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitPatch {
    /// Whether there is a rule at all; `None`: where one of its parts is.
    pub enabled: Option<bool>,
    /// The most uses in a window.
    pub max: Change<u64>,
    /// Milliseconds of a window.
    pub window: Change<u64>,
    /// Stands in for a part that the rule does not have yet.
    pub default: RateLimit,
}

impl RateLimitPatch {
    fn against(self, current: Option<RateLimit>) -> Change<RateLimit> {
        if self.enabled.is_none() && self.max.is_keep() && self.window.is_keep() {
            return Change::Keep;
        }
        let is_set = |part: Change<u64>| matches!(part, Change::Set(_));
        let is_cleared = self.max == Change::Clear || self.window == Change::Clear;
        if is_cleared && !is_set(self.max) && !is_set(self.window) && self.enabled != Some(true) {
            return Change::Clear;
        }
        let max = self.max.apply(current.map(|limit| limit.max));
        let window = self.window.apply(current.map(|limit| limit.window));
        let is_there = self.enabled.unwrap_or(max.is_some() || window.is_some());
        if !is_there {
            return Change::Clear;
        }
        Change::Set(RateLimit { max: max.unwrap_or(self.default.max), window: window.unwrap_or(self.default.window) })
    }
}

/// What changes of a key.
#[derive(Clone, Debug)]
pub struct KeyPatch {
    /// The name.
    pub name: Change<KeyName>,
    /// In use or not.
    pub enabled: Option<bool>,
    /// Before when it is not in use yet.
    pub not_before: Change<Timestamp>,
    /// The expiry.
    pub expires_at: Change<Timestamp>,
    /// From where it may be used; cleared, from anywhere.
    pub addresses: Change<AddressList>,
    /// What its maker keeps with it.
    pub metadata: Change<Metadata>,
    /// What the operator's own system calls it.
    pub external_id: Change<ExternalId>,
    /// What it may do; cleared, it may do nothing.
    pub permissions: Change<PermissionSet>,
    /// And what these sets give.
    pub sets: Option<Vec<SetId>>,
    /// What remains; cleared, any number, and there is no refill either.
    pub remaining: Change<u64>,
    /// How much a refill sets.
    pub refill_amount: Change<u64>,
    /// Milliseconds between refills.
    pub refill_interval: Change<u64>,
    /// The window's rule.
    pub rate_limit: RateLimitPatch,
}

impl KeyPatch {
    /// One that changes nothing.
    #[must_use]
    pub fn nothing() -> Self {
        let default = RateLimit { max: 1, window: 1 };
        Self {
            name: Change::Keep,
            enabled: None,
            not_before: Change::Keep,
            expires_at: Change::Keep,
            addresses: Change::Keep,
            metadata: Change::Keep,
            external_id: Change::Keep,
            permissions: Change::Keep,
            sets: None,
            remaining: Change::Keep,
            refill_amount: Change::Keep,
            refill_interval: Change::Keep,
            rate_limit: RateLimitPatch { enabled: None, max: Change::Keep, window: Change::Keep, default },
        }
    }
}

impl Keys {
    /// Changes a key (`None`: a text that names none), and answers it as it is then. With `only`, it must have one of these
    /// versions.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::NothingToChange`]; [`Error::RefillWithout`];
    /// [`Error::ExceedsGrants`] where the caller does not hold what the key holds, before or after, or is the key itself and
    /// would become more than it is; [`Error::TooManyPermissions`]; [`Error::ExceedsExpiry`]; [`Error::ExceedsAddresses`];
    /// [`Error::NeverValid`]; [`Error::Outage`].
    pub async fn update(
        &self,
        authority: &Authority,
        key: Option<KeyId>,
        only: Option<&[u64]>,
        patch: KeyPatch,
    ) -> Result<ApiKey, Error> {
        let id = key.ok_or(Error::NotFound)?;
        for _ in 0..ATTEMPTS {
            let current = self.ports.api_keys.find(authority.reach(), id).await?.ok_or(Error::NotFound)?;
            if only.is_some_and(|only| !only.contains(&current.version)) {
                return Err(Error::VersionMismatch);
            }
            let changes = patch.clone().against(&current, self.now())?;
            if changes == KeyChanges::default() {
                return Err(Error::NothingToChange);
            }
            match self.check_update(authority.caller(), &current, &changes).await {
                // One of those that it had went in between: what it has now is looked at.
                Err(Error::SetNotFound) if changes.sets.is_none() => continue,
                checked => checked?,
            }
            let act = authority.act(Action::UpdateKey, self.now());
            let update = self.ports.api_keys.update(authority.reach(), id, current.version, &changes, &act);
            if let Some(updated) = update.await? {
                return Ok(updated);
            }
        }
        Err(Outage::Unavailable("the key changed again and again while it was updated".into()).into())
    }

    /// Brings a deleted key back (`None`: a text that names none), but not into use.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such key, or it is gone for good; [`Error::ExceedsGrants`], [`Error::ExceedsExpiry`] and
    /// [`Error::ExceedsAddresses`] where the caller could not have made it; [`Error::CapReached`]; [`Error::TooManyPermissions`]; [`Error::Outage`].
    pub async fn restore(&self, authority: &Authority, key: Option<KeyId>) -> Result<ApiKey, Error> {
        let id = key.ok_or(Error::NotFound)?;
        for _ in 0..ATTEMPTS {
            let deleted = self.ports.api_keys.find_deleted(authority.reach(), id).await?.ok_or(Error::NotFound)?;
            // As if all of it were given anew.
            let whole = KeyChanges {
                expires_at: Change::to(deleted.expires_at),
                addresses: Change::to(deleted.addresses.clone()),
                ..KeyChanges::default()
            };
            match self.check_update(authority.caller(), &deleted, &whole).await {
                Err(Error::SetNotFound) => continue,
                checked => checked?,
            }
            let act = authority.act(Action::RestoreKey, self.now());
            let restore = self.ports.api_keys.restore(authority.reach(), id, deleted.version, &act);
            if let Some(restored) = restore.await? {
                return Ok(restored);
            }
        }
        Err(Outage::Unavailable("the key changed again and again while it was restored".into()).into())
    }

    async fn check_update(&self, caller: &Caller, current: &ApiKey, changes: &KeyChanges) -> Result<(), Error> {
        // Disabling takes away and is always allowed.
        if *changes == (KeyChanges { enabled: Some(false), ..KeyChanges::default() }) {
            return Ok(());
        }
        let organization = current.organization;
        let before = self.ports.sets.resolve(organization, &current.sets).await?;
        let before = effective(&current.permissions, &before);
        let after = self.ports.sets.resolve(organization, changes.sets.as_ref().unwrap_or(&current.sets)).await?;
        let after = effective(changes.permissions.as_ref().unwrap_or(&current.permissions), &after);
        let more = !before.covers(&after);
        if caller.key().is_some_and(|key| key.id() == current.id) && (more || !narrows(current, changes)) {
            return Err(Error::ExceedsGrants);
        }
        let membership = self.membership_of(current).await?;
        if more && membership.as_ref().is_some_and(|membership| !membership.covers(&after)) {
            return Err(Error::ExceedsGrants);
        }
        let grants = caller.grants();
        for permissions in [before, after] {
            if !grants.covers_part(&permissions, membership.as_ref()) {
                return Err(Error::ExceedsGrants);
            }
            // Each of the two may take a millisecond.
            let_others_run().await;
        }
        match changes.expires_at {
            Change::Keep => {}
            Change::Clear => caller.require_end(None)?,
            Change::Set(wanted) => caller.require_end(Some(wanted))?,
        }
        match &changes.addresses {
            Change::Keep => Ok(()),
            Change::Clear => caller.require_within(None),
            Change::Set(wanted) => caller.require_within(Some(wanted)),
        }
    }

    /// What bounds a user's key. A user who is no member any more has nothing, and so have their keys.
    async fn membership_of(&self, key: &ApiKey) -> Result<Option<PermissionSet>, Error> {
        let Some(user) = key.user else { return Ok(None) };
        Ok(Some(self.ports.accounts.find_membership(key.organization, user).await?.unwrap_or_default()))
    }
}

/// Whether a key that changes itself, and holds no more afterwards, only changes what makes it less: permissions, a later
/// beginning, an earlier end, fewer addresses, out of use.
fn narrows(current: &ApiKey, changes: &KeyChanges) -> bool {
    let only = KeyChanges {
        enabled: changes.enabled.filter(|enabled| !enabled),
        permissions: changes.permissions.clone(),
        sets: changes.sets.clone().filter(|sets| sets.iter().all(|set| current.sets.contains(set))),
        expires_at: match changes.expires_at {
            Change::Set(after) if current.expires_at.is_none_or(|before| after <= before) => Change::Set(after),
            _ => Change::Keep,
        },
        not_before: match changes.not_before {
            Change::Set(after) if current.not_before.is_none_or(|before| before <= after) => Change::Set(after),
            _ => Change::Keep,
        },
        addresses: match (&changes.addresses, &current.addresses) {
            (Change::Set(after), None) => Change::Set(after.clone()),
            (Change::Set(after), Some(before)) if before.covers(after) => Change::Set(after.clone()),
            _ => Change::Keep,
        },
        ..KeyChanges::default()
    };
    *changes == only
}

impl KeyPatch {
    /// The changes that the patch means for the key as it is.
    fn against(self, current: &ApiKey, now: Timestamp) -> Result<KeyChanges, Error> {
        let (remaining, refill) = self.quota_changes(current, now)?;
        let start_of_interval = |refill: Option<Refill>| refill.map(|refill| (refill.interval, refill.since));
        let (refill_before, limit_before) = (current.quota.refill, current.quota.rate_limit);
        let rate_limit = self.rate_limit.against(limit_before);
        let begin = self.not_before.apply(current.not_before);
        let is_about_time = !(self.not_before.is_keep() && self.expires_at.is_keep());
        let end = self.expires_at.apply(current.expires_at);
        if is_about_time && begin.zip(end).is_some_and(|(begin, end)| begin >= end) {
            return Err(Error::NeverValid);
        }
        Ok(KeyChanges {
            name: self.name,
            enabled: self.enabled,
            not_before: self.not_before,
            expires_at: self.expires_at,
            addresses: self.addresses,
            metadata: self.metadata,
            external_id: self.external_id,
            permissions: match self.permissions {
                Change::Keep => None,
                Change::Clear => Some(PermissionSet::default()),
                Change::Set(permissions) => Some(permissions),
            },
            sets: self.sets,
            remaining,
            refill,
            restarts_refill: start_of_interval(refill.apply(refill_before)) != start_of_interval(refill_before),
            rate_limit,
            restarts_window: rate_limit.apply(limit_before) != limit_before,
        })
    }

    /// Amount and interval come together on the resulting key; clearing what remains clears the refill; a refill without
    /// anything remaining starts it at the amount. Another interval begins now; another amount alone leaves the interval that
    /// runs.
    fn quota_changes(&self, current: &ApiKey, now: Timestamp) -> Result<(Change<u64>, Change<Refill>), Error> {
        let before = current.quota.refill.filter(|_| self.remaining != Change::Clear);
        let amount = self.refill_amount.apply(before.map(|refill| refill.amount));
        let interval = self.refill_interval.apply(before.map(|refill| refill.interval));
        let after = match (amount, interval) {
            (None, None) => None,
            (Some(amount), Some(interval)) => {
                let same = before.filter(|refill| refill.interval == interval);
                Some(Refill { amount, interval, since: same.map_or(now, |refill| refill.since) })
            }
            (None, Some(_)) => return Err(Error::RefillWithout(RefillPart::Amount)),
            (Some(_), None) => return Err(Error::RefillWithout(RefillPart::Interval)),
        };
        let is_touched = !(self.refill_amount.is_keep() && self.refill_interval.is_keep());
        let refill = if is_touched || after != current.quota.refill { Change::to(after) } else { Change::Keep };
        let remaining = match (self.remaining.apply(current.quota.remaining), after) {
            (None, Some(refill)) => Change::Set(refill.amount),
            _ => self.remaining,
        };
        Ok((remaining, refill))
    }
}
