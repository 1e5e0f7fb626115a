//! The policies that apply to one key: that of its organization, and those of its permission sets.

use std::{collections::BTreeMap, sync::Arc};

use super::{BrokenRule, Days, KeyPolicy, KeyRule, PolicySource, Violation, last_activity};
use crate::{
    clock::Timestamp,
    id::SetId,
    keys::{api_key::ApiKey, secret::KeyPrefix},
    organizations::permission_set::{PermissionSet, SetVersion},
    permissions::Permissions,
};

/// The policies that apply to a key with these permission sets.
#[derive(Clone, Debug)]
pub struct AppliedPolicies {
    organization: Option<Arc<KeyPolicy>>,
    sets: Vec<Arc<PermissionSet>>,
}

/// The policies that a change of keys was checked against. The change is stored only if they are still the same: otherwise two
/// simultaneous requests, each of which keeps the policies that it has read, could together break one.
#[derive(Clone, Debug)]
pub struct CheckedPolicies {
    /// The policy of the organization.
    pub organization: Option<Arc<KeyPolicy>>,
    /// The permission sets of the keys.
    pub sets: BTreeMap<SetId, SetVersion>,
}

/// What the policies say about a key at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicyState {
    /// The rules that the key breaks.
    pub broken: Vec<BrokenRule>,
    /// When its newest secret was created (UTC).
    pub secret_created_at: Timestamp,
    /// When the secret is to be rotated at the latest (UTC). `None`: no policy says so.
    pub rotation_due_at: Option<Timestamp>,
    /// When the key is disabled at the earliest unless its secret is rotated (UTC). `None`: never.
    pub disabled_unless_rotated_at: Option<Timestamp>,
    /// When the key is disabled at the earliest unless it is used or changed (UTC). `None`: never.
    pub disabled_unless_used_at: Option<Timestamp>,
}

impl AppliedPolicies {
    /// The policy of the organization, and those of the permission sets.
    #[must_use]
    pub fn new(organization: Option<Arc<KeyPolicy>>, sets: Vec<Arc<PermissionSet>>) -> Self {
        Self { organization, sets }
    }

    fn each(&self) -> impl Iterator<Item = (PolicySource, &KeyPolicy)> {
        let of_organization = self.organization.iter().map(|policy| (PolicySource::Organization, &**policy));
        let of_sets = self.sets.iter().filter_map(|set| Some((PolicySource::Set(set.id), set.key_policy.as_deref()?)));
        of_organization.chain(of_sets)
    }

    /// What a change was checked against, for storing it.
    #[must_use]
    pub fn checked(&self) -> CheckedPolicies {
        let sets = self.sets.iter().map(|set| (set.id, set.version)).collect();
        CheckedPolicies { organization: self.organization.clone(), sets }
    }

    /// Whether a policy enforces that secrets are rotated, so that the age of the newest secret decides whether a key may be
    /// changed.
    #[must_use]
    pub fn enforces_rotation(&self) -> bool {
        self.each().any(|(_, policy)| policy.rotation.is_some_and(|rule| rule.enforce))
    }

    /// Whether keys may manage this service.
    #[must_use]
    pub fn can_manage(&self) -> bool {
        self.each().all(|(_, policy)| policy.can_manage)
    }

    /// The prefix of a new secret. `None`: any.
    #[must_use]
    pub fn prefix(&self) -> Option<&KeyPrefix> {
        self.each().find_map(|(_, policy)| policy.prefix.as_ref())
    }

    /// The longest lifetime of a new key. `None`: any.
    #[must_use]
    pub fn max_lifetime(&self) -> Option<Days> {
        self.each().filter_map(|(_, policy)| policy.max_lifetime).min()
    }

    /// The rules that a secret with this prefix breaks.
    #[must_use]
    pub fn broken_by_prefix(&self, prefix: &KeyPrefix) -> Vec<BrokenRule> {
        self.broken(|policy| policy.broken_prefix(prefix).into_iter().collect())
    }

    /// The rules that forbid a change after which the key is as `key`. A key is only refused for the age of its secret if that is
    /// enforced, and never because it was not used.
    #[must_use]
    pub fn broken_by_change(&self, key: &ApiKey, secret_created_at: Timestamp, now: Timestamp) -> Vec<BrokenRule> {
        let granted = self.granted(key);
        self.broken(|policy| {
            let mut broken = policy.broken_settings(key, &granted, now);
            let by_age = policy.broken_by_age(key, secret_created_at, now);
            broken.extend(by_age.into_iter().filter(|one| matches!(one, Violation::Rotation { enforce: true, .. })));
            broken
        })
    }

    /// What the policies say about `key`.
    #[must_use]
    pub fn state(&self, key: &ApiKey, secret_created_at: Timestamp, now: Timestamp) -> KeyPolicyState {
        let granted = self.granted(key);
        let rotations = || self.each().filter_map(|(_, policy)| policy.rotation);
        let is_usable = key.settings.enabled && key.deleted_at.is_none();
        let enforced = rotations().filter(|rotation| rotation.enforce && is_usable);
        let unused = self.each().filter_map(|(_, policy)| policy.disable_unused_after).filter(|_| is_usable);
        KeyPolicyState {
            broken: self.broken(|policy| {
                let mut broken = policy.broken_settings(key, &granted, now);
                broken.extend(policy.broken_by_age(key, secret_created_at, now));
                broken
            }),
            secret_created_at,
            rotation_due_at: rotations().map(|rotation| rotation.days.after(secret_created_at)).min(),
            disabled_unless_rotated_at: enforced.map(|rotation| rotation.days.after(secret_created_at)).min(),
            disabled_unless_used_at: unused.map(|days| days.after(last_activity(key))).min(),
        }
    }

    /// The rule by which the key is to be disabled at `now`. `None`: there is none.
    #[must_use]
    pub fn disabled_by(&self, key: &ApiKey, secret_created_at: Timestamp, now: Timestamp) -> Option<KeyRule> {
        let by_age = self.each().flat_map(|(_, policy)| policy.broken_by_age(key, secret_created_at, now));
        let mut enforced = by_age.filter(|one| !matches!(one, Violation::Rotation { enforce: false, .. }));
        enforced.next().map(|one| one.rule())
    }

    /// The permissions of the key and of its sets.
    fn granted<'a>(&'a self, key: &'a ApiKey) -> Vec<&'a Permissions> {
        let of_sets = self.sets.iter().map(|set| &set.permissions);
        std::iter::once(&key.settings.permissions).chain(of_sets).collect()
    }

    /// The number of permissions that a check of a key compares, for [`crate::cooperation::Pace::checked`].
    #[must_use]
    pub fn work(&self, key: &ApiKey) -> usize {
        let policies = self.each().count();
        policies * self.granted(key).iter().map(|part| part.len()).sum::<usize>()
    }

    fn broken(&self, check: impl Fn(&KeyPolicy) -> Vec<Violation>) -> Vec<BrokenRule> {
        let each = self.each();
        each.flat_map(|(source, policy)| {
            check(policy).into_iter().map(move |violation| BrokenRule { source, violation })
        })
        .collect()
    }
}
