//! The settings of a key, and changes of them. Everything that creates, imports, updates, stores or returns keys uses
//! them.
//!
//! A new setting is a field here and in the patch; the compiler then reports the other places in this file.

use crate::{
    change::Change,
    clock::Timestamp,
    error::{Error, RefillPart},
    id::{ExternalId, SetId},
    keys::{
        api_key::{KeyName, Metadata},
        ip_allowlist::IpAllowlist,
        quota::{RateLimit, Refill},
    },
    permissions::Permissions,
    validated_string::{line, stored_line, text},
};

text!(
    /// The description of a key: what it is used for.
    Description,
    "Parses a description: at most 500 characters, at least 1 after trimming, neither control characters nor invisible \
     ones. Converts it to NFC.",
    |text| line(text, 1, 500),
    stored |text| stored_line(text, 1, 500)
);

/// All settings of a key that clients can set and change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// The name. `None`: the key has no name.
    pub name: Option<KeyName>,
    /// What the key is used for. `None`: no description.
    pub description: Option<Description>,
    /// Whether the key is enabled.
    pub enabled: bool,
    /// Whether the key may authenticate management requests to this service. It does not affect verify requests.
    pub can_manage: bool,
    /// When the key becomes valid (UTC, inclusive). `None`: at its creation.
    pub not_before: Option<Timestamp>,
    /// When the key expires (UTC, exclusive). `None`: never.
    pub expires_at: Option<Timestamp>,
    /// The networks that the key may be used from. `None`: no restriction.
    pub addresses: Option<IpAllowlist>,
    /// A JSON object that is stored with the key. `None`: none.
    pub metadata: Option<Metadata>,
    /// The id of the key, or of its user, in the system of the organization. `None`: none.
    pub external_id: Option<ExternalId>,
    /// The key's own permissions, in addition to those of its permission sets. If the key belongs to a user, the user's
    /// permissions limit both.
    pub permissions: Permissions,
    /// The permission sets of the key. They belong to the same organization.
    pub sets: Vec<SetId>,
    /// The number of remaining uses. `None`: unlimited. Uses of the key change it, too.
    pub remaining: Option<u64>,
    /// How `remaining` is refilled. Never set without `remaining`. `None`: it is not refilled.
    pub refill: Option<Refill>,
    /// The rate limit. `None`: unlimited.
    pub rate_limit: Option<RateLimit>,
}

impl Default for KeySettings {
    /// Enabled, able to manage, without permissions and without limits.
    fn default() -> Self {
        Self {
            name: None,
            description: None,
            enabled: true,
            can_manage: true,
            not_before: None,
            expires_at: None,
            addresses: None,
            metadata: None,
            external_id: None,
            permissions: Permissions::default(),
            sets: Vec::new(),
            remaining: None,
            refill: None,
            rate_limit: None,
        }
    }
}

impl KeySettings {
    /// The names of the fields that differ from `before`, as in the native API.
    #[must_use]
    pub fn changed_fields(&self, before: &Self) -> Vec<&'static str> {
        // All fields are named, without `..`, so that the compiler reports a new setting here.
        let Self {
            name,
            description,
            enabled,
            can_manage,
            not_before,
            expires_at,
            addresses,
            metadata,
            external_id,
            permissions,
            sets,
            remaining,
            refill,
            rate_limit,
        } = self;
        let amount = |refill: Option<Refill>| refill.map(|refill| refill.amount);
        let interval = |refill: Option<Refill>| refill.map(|refill| refill.interval);
        let max = |limit: Option<RateLimit>| limit.map(|limit| limit.max);
        let window = |limit: Option<RateLimit>| limit.map(|limit| limit.window);
        let fields = [
            ("name", *name != before.name),
            ("description", *description != before.description),
            ("enabled", *enabled != before.enabled),
            ("can_manage", *can_manage != before.can_manage),
            ("not_before", *not_before != before.not_before),
            ("expires_at", *expires_at != before.expires_at),
            ("allowed_addresses", *addresses != before.addresses),
            ("metadata", *metadata != before.metadata),
            ("external_id", *external_id != before.external_id),
            ("permissions", *permissions != before.permissions),
            ("permission_sets", *sets != before.sets),
            ("remaining", *remaining != before.remaining),
            ("refill_amount", amount(*refill) != amount(before.refill)),
            ("refill_interval", interval(*refill) != interval(before.refill)),
            ("rate_limit_max", max(*rate_limit) != max(before.rate_limit)),
            ("rate_limit_window", window(*rate_limit) != window(before.rate_limit)),
        ];
        fields.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect()
    }

    /// Whether the refill interval restarts, because it differs from that of `before`. Then the time of the last refill
    /// is cleared.
    #[must_use]
    pub fn restarts_refill(&self, before: &Self) -> bool {
        let interval = |refill: Option<Refill>| refill.map(|refill| (refill.interval, refill.since));
        interval(self.refill) != interval(before.refill)
    }

    /// Whether the window of the rate limit restarts, because the rate limit differs from that of `before`.
    #[must_use]
    pub fn restarts_window(&self, before: &Self) -> bool {
        self.rate_limit != before.rate_limit
    }

    /// Requires that there is a time at which the key is valid: `not_before` is before `expires_at`.
    ///
    /// # Errors
    /// [`Error::NeverValid`].
    pub(super) fn require_period(&self) -> Result<(), Error> {
        match (self.not_before, self.expires_at) {
            (Some(begin), Some(end)) if begin >= end => Err(Error::NeverValid),
            _ => Ok(()),
        }
    }

    /// Whether the key becomes valid in more cases than with the settings `before`: it is enabled, becomes valid
    /// earlier, expires later, may be used from more networks, or may manage this service. A permission set that is
    /// attached counts, too: its permissions may increase later.
    pub(super) fn gains_validity(&self, before: &Self) -> bool {
        let is_enabled = self.enabled && !before.enabled;
        let can_manage = self.can_manage && !before.can_manage;
        let attaches = self.sets.iter().any(|set| !before.sets.contains(set));
        // If there was no limit before, no change can relax it.
        let begins_earlier = before.not_before.is_some_and(|old| self.not_before.is_none_or(|new| new < old));
        let ends_later = before.expires_at.is_some_and(|old| self.expires_at.is_none_or(|new| new > old));
        let old = before.addresses.as_ref();
        let has_more_addresses = old.is_some_and(|old| self.addresses.as_ref().is_none_or(|new| !old.covers(new)));
        is_enabled || can_manage || attaches || begins_earlier || ends_later || has_more_addresses
    }

    /// Whether these settings only restrict the key compared to `before`, given that the permissions do not increase:
    /// the only differences are permissions, detached sets, a later `not_before`, an earlier expiry, fewer networks,
    /// disabled, or no longer able to manage.
    pub(super) fn narrows(&self, before: &Self) -> bool {
        let rest = Self {
            enabled: self.enabled,
            can_manage: self.can_manage,
            not_before: self.not_before,
            expires_at: self.expires_at,
            addresses: self.addresses.clone(),
            permissions: self.permissions.clone(),
            sets: self.sets.clone(),
            ..before.clone()
        };
        *self == rest && !self.gains_validity(before)
    }
}

/// A change of the rate limit. The resulting key has a complete rate limit or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitPatch {
    /// Whether there is a rate limit. `None`: there is one if one of its parts is set.
    pub enabled: Option<bool>,
    /// The maximum number of uses per window.
    pub max: Change<u64>,
    /// The length of a window, in milliseconds.
    pub window: Change<u64>,
    /// Provides a part that is missing otherwise.
    pub default: RateLimit,
}

impl Default for RateLimitPatch {
    /// Changes nothing.
    fn default() -> Self {
        Self { enabled: None, max: Change::Keep, window: Change::Keep, default: RateLimit { max: 1, window: 1 } }
    }
}

impl RateLimitPatch {
    fn is_empty(&self) -> bool {
        self.enabled.is_none() && self.max.is_keep() && self.window.is_keep()
    }

    fn apply(self, current: Option<RateLimit>) -> Option<RateLimit> {
        if self.is_empty() {
            return current;
        }
        let is_set = |part: Change<u64>| matches!(part, Change::Set(_));
        let is_cleared = self.max == Change::Clear || self.window == Change::Clear;
        if is_cleared && !is_set(self.max) && !is_set(self.window) && self.enabled != Some(true) {
            return None;
        }
        let max = self.max.apply(current.map(|limit| limit.max));
        let window = self.window.apply(current.map(|limit| limit.window));
        let is_there = self.enabled.unwrap_or(max.is_some() || window.is_some());
        let (max, window) = (max.unwrap_or(self.default.max), window.unwrap_or(self.default.window));
        is_there.then_some(RateLimit { max, window })
    }
}

/// A change of settings. The default changes nothing. When a key is created, it is applied to the default settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySettingsPatch {
    /// The name.
    pub name: Change<KeyName>,
    /// The description.
    pub description: Change<Description>,
    /// Whether the key is enabled.
    pub enabled: Option<bool>,
    /// Whether the key can manage this service.
    pub can_manage: Option<bool>,
    /// When the key becomes valid (UTC, inclusive).
    pub not_before: Change<Timestamp>,
    /// When the key expires (UTC, exclusive).
    pub expires_at: Change<Timestamp>,
    /// The networks that the key may be used from.
    pub addresses: Change<IpAllowlist>,
    /// The metadata, a JSON object.
    pub metadata: Change<Metadata>,
    /// The id of the key in the system of the organization.
    pub external_id: Change<ExternalId>,
    /// The key's own permissions. Cleared: none.
    pub permissions: Change<Permissions>,
    /// The permission sets. Cleared: none.
    pub sets: Change<Vec<SetId>>,
    /// The number of remaining uses. Cleared: unlimited, and no refill.
    pub remaining: Change<u64>,
    /// The value that a refill sets `remaining` to.
    pub refill_amount: Change<u64>,
    /// The time between refills, in milliseconds.
    pub refill_interval: Change<u64>,
    /// The rate limit.
    pub rate_limit: RateLimitPatch,
}

impl KeySettingsPatch {
    /// Whether the patch has no setting. A patch that sets a setting to its current value is not empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let rate_limit = if self.rate_limit.is_empty() { RateLimitPatch::default() } else { self.rate_limit };
        Self { rate_limit, ..self.clone() } == Self::default()
    }

    /// Applies the change to `before`. `now` is when a changed refill interval starts.
    ///
    /// # Errors
    /// [`Error::RefillWithout`].
    pub fn apply(&self, before: &KeySettings, now: Timestamp) -> Result<KeySettings, Error> {
        let refill = self.refill(before, now)?;
        let patch = self.clone();
        let same_sets =
            |sets: &Vec<SetId>| sets.len() == before.sets.len() && sets.iter().all(|set| before.sets.contains(set));
        Ok(KeySettings {
            name: patch.name.apply(before.name.clone()),
            description: patch.description.apply(before.description.clone()),
            enabled: patch.enabled.unwrap_or(before.enabled),
            can_manage: patch.can_manage.unwrap_or(before.can_manage),
            not_before: patch.not_before.apply(before.not_before),
            expires_at: patch.expires_at.apply(before.expires_at),
            addresses: patch.addresses.apply(before.addresses.clone()),
            metadata: patch.metadata.apply(before.metadata.clone()),
            external_id: patch.external_id.apply(before.external_id.clone()),
            permissions: patch.permissions.apply(Some(before.permissions.clone())).unwrap_or_default(),
            sets: match patch.sets {
                // The order of permission sets is not significant.
                Change::Set(sets) if same_sets(&sets) => before.sets.clone(),
                sets => sets.apply(Some(before.sets.clone())).unwrap_or_default(),
            },
            // If there were no remaining uses yet, a refill starts with its full amount.
            remaining: patch.remaining.apply(before.remaining).or(refill.map(|refill| refill.amount)),
            refill,
            rate_limit: patch.rate_limit.apply(before.rate_limit),
        })
    }

    /// The refill after the change. It has both amount and interval, or there is none; clearing `remaining` clears the
    /// refill. A changed interval starts now; if only the amount changes, the current interval continues.
    fn refill(&self, before: &KeySettings, now: Timestamp) -> Result<Option<Refill>, Error> {
        let before = before.refill.filter(|_| self.remaining != Change::Clear);
        let amount = self.refill_amount.apply(before.map(|refill| refill.amount));
        let interval = self.refill_interval.apply(before.map(|refill| refill.interval));
        match (amount, interval) {
            (None, None) => Ok(None),
            (Some(amount), Some(interval)) => {
                let same = before.filter(|refill| refill.interval == interval);
                Ok(Some(Refill { amount, interval, since: same.map_or(now, |refill| refill.since) }))
            }
            (None, Some(_)) => Err(Error::RefillWithout(RefillPart::Amount)),
            (Some(_), None) => Err(Error::RefillWithout(RefillPart::Interval)),
        }
    }
}

#[cfg(test)]
mod tests;
