//! Updating and restoring keys. The caller must be allowed to grant the key both as it was and as it will be.

use std::sync::Arc;

use super::Keys;
use crate::{
    audit::context::Action,
    auth::{
        caller::{Authority, Caller},
        step_up::require_fresh_sign_in_to_grant,
    },
    cooperation::yield_now,
    error::Error,
    id::KeyId,
    keys::{
        api_key::ApiKey,
        policy::CheckedPolicies,
        settings::{KeySettings, KeySettingsPatch},
    },
    optimistic::{require_version, until_stored},
    organizations::permission_set::{PermissionSet, effective},
    permissions::Permissions,
};

impl Keys {
    /// Updates the settings of a key (`None`: the request has no valid id), and returns the updated key. With `only`,
    /// its current version must be one of these; `None`: any version.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::NothingToChange`]; [`Error::RefillWithout`];
    /// [`Error::ExceedsPermissions`] if the caller does not have all permissions of the key before and after the update, or
    /// if the key would extend its own permissions or validity. If the update extends the permissions or validity,
    /// permissions that the key's user does not have at the moment count, too, and the resulting key is checked for
    /// [`Error::ExceedsExpiry`], [`Error::ExceedsAddresses`] and, with all permissions, [`Error::FreshSignInRequired`];
    /// [`Error::TooManyPermissions`]; [`Error::NeverValid`]; [`Error::KeyPolicyViolated`], unless the update only restricts the
    /// key; [`Error::ConcurrentChanges`]; [`Error::Outage`].
    pub async fn update(
        &self,
        authority: &Authority,
        key: Option<KeyId>,
        only: Option<&[u64]>,
        patch: KeySettingsPatch,
    ) -> Result<ApiKey, Error> {
        let id = key.ok_or(Error::NotFound)?;
        let _lock = self.ports.api_keys.lock_for_change(authority.scope(), id).await?;
        until_stored(|| async {
            let current = self.ports.api_keys.find(authority.scope(), id).await?.ok_or(Error::NotFound)?;
            require_version(current.version, only)?;
            let (before, after) = (&current.settings, patch.apply(&current.settings, self.now())?);
            if (after.not_before, after.expires_at) != (before.not_before, before.expires_at) {
                after.require_period()?;
            }
            if patch.is_empty() {
                return Err(Error::NothingToChange);
            }
            let checked = match self.check_change(authority.caller(), &current, &after).await {
                // A permission set of the key was deleted after the key was read: the next attempt reads the key
                // without it.
                Err(Error::SetNotFound) if after.sets == before.sets => return Ok(None),
                checked => checked?,
            };
            let context = authority.audit_context(action(before, &after), self.now());
            let sets_remaining = !patch.remaining.is_keep();
            self.ports.api_keys.update(authority.scope(), &current, &after, sets_remaining, checked, &context).await
        })
        .await
    }

    /// Restores a deleted key (`None`: the request has no valid id). The restored key is disabled. With `only`, the
    /// version of the deleted key must be one of these.
    ///
    /// # Errors
    /// [`Error::NotFound`]: the key does not exist, is not deleted, or is purged; [`Error::VersionMismatch`];
    /// [`Error::ExceedsPermissions`], [`Error::ExceedsExpiry`], [`Error::ExceedsAddresses`] and
    /// [`Error::FreshSignInRequired`] if the caller could not create the key; [`Error::KeyPolicyViolated`];
    /// [`Error::CapReached`]; [`Error::TooManyPermissions`]; [`Error::ConcurrentChanges`]; [`Error::Outage`].
    pub async fn restore(
        &self,
        authority: &Authority,
        key: Option<KeyId>,
        only: Option<&[u64]>,
    ) -> Result<ApiKey, Error> {
        let id = key.ok_or(Error::NotFound)?;
        let _lock = self.ports.api_keys.lock_for_change(authority.scope(), id).await?;
        until_stored(|| async {
            let mut deleted = self.ports.api_keys.find_deleted(authority.scope(), id).await?.ok_or(Error::NotFound)?;
            require_version(deleted.version, only)?;
            // Restoring is checked like enabling the key.
            deleted.settings.enabled = false;
            let enabled = KeySettings { enabled: true, ..deleted.settings.clone() };
            let checked = match self.check_change(authority.caller(), &deleted, &enabled).await {
                Err(Error::SetNotFound) => return Ok(None),
                checked => checked?,
            };
            let context = authority.audit_context(Action::RestoreKey, self.now());
            self.ports.api_keys.restore(authority.scope(), id, deleted.version, checked, &context).await
        })
        .await
    }

    /// Requires that the caller may change the settings of `key` to `after`. Setting a field to its current value is no
    /// change. Returns the policies that the change was checked against; `None`: it only restricts the key.
    ///
    /// # Errors
    /// [`Error::ExceedsPermissions`]; [`Error::FreshSignInRequired`]; [`Error::ExceedsExpiry`];
    /// [`Error::ExceedsAddresses`]; [`Error::KeyPolicyViolated`]; [`Error::SetNotFound`]; [`Error::Outage`].
    async fn check_change(
        &self,
        caller: &Caller,
        key: &ApiKey,
        after: &KeySettings,
    ) -> Result<Option<CheckedPolicies>, Error> {
        let before = &key.settings;
        // Disabling a key is always allowed, because it only restricts it.
        if *after == (KeySettings { enabled: false, ..before.clone() }) {
            return Ok(None);
        }
        let held_before = effective(&before.permissions, &self.sets_of(key, before).await?);
        let sets = self.sets_of(key, after).await?;
        let held_after = effective(&after.permissions, &sets);
        let more = !held_before.covers(&held_after);
        let is_itself = caller.key().is_some_and(|own| own.id() == key.id);
        if is_itself && (more || !after.narrows(before)) {
            return Err(Error::ExceedsPermissions);
        }
        let membership = self.membership_of(key).await?;
        if more && membership.as_ref().is_some_and(|membership| !membership.covers(&held_after)) {
            return Err(Error::ExceedsPermissions);
        }
        let gains = more || after.gains_validity(before);
        let effective_permissions = caller.effective_permissions();
        // If the key's permissions or validity are extended, the user's permissions are not considered as a limit:
        // permissions that the user does not have at the moment may be granted again.
        let bound = membership.as_ref().filter(|_| !gains);
        for (permissions, bound) in [(&held_before, membership.as_ref()), (&held_after, bound)] {
            if !effective_permissions.covers_part(permissions, bound) {
                return Err(Error::ExceedsPermissions);
            }
            // Each of the two checks may take a millisecond.
            yield_now().await;
        }
        if gains {
            caller.require_validity(after.expires_at, after.addresses.as_ref())?;
            require_fresh_sign_in_to_grant(caller, &Permissions::default(), &held_after, self.now())?;
        } else {
            // A changed expiry or IP allowlist must be within the caller's, even if it is stricter than before.
            if after.expires_at != before.expires_at {
                caller.require_expiry_within(after.expires_at)?;
            }
            if after.addresses != before.addresses {
                caller.require_ip_within(after.addresses.as_ref())?;
            }
        }
        // Restricting a key breaks no further rule, so it is possible also for a key that does not keep all of them.
        // Its own permissions count by themselves: those that it also has by a set would stay when the set loses them.
        if !more && before.permissions.covers(&after.permissions) && after.narrows(before) {
            return Ok(None);
        }
        let sets = sets.into_iter().map(Arc::new).collect();
        self.require_policies(ApiKey { settings: after.clone(), ..key.clone() }, sets).await.map(Some)
    }

    /// The permission sets of a key with these settings.
    async fn sets_of(&self, key: &ApiKey, settings: &KeySettings) -> Result<Vec<PermissionSet>, Error> {
        self.ports.sets.resolve(key.organization, &settings.sets).await
    }

    /// The permissions of the key's user, which limit the key's. `None`: the key belongs to the organization. A removed
    /// member has no permissions, and so have their keys.
    async fn membership_of(&self, key: &ApiKey) -> Result<Option<Permissions>, Error> {
        let Some(user) = key.user else { return Ok(None) };
        Ok(Some(self.ports.accounts.find_membership(key.organization, user).await?.unwrap_or_default()))
    }
}

/// The audit action of this change: changes of `can_manage` have actions of their own.
fn action(before: &KeySettings, after: &KeySettings) -> Action {
    match (before.can_manage, after.can_manage) {
        (false, true) => Action::AllowManagement,
        (true, false) => Action::DenyManagement,
        _ => Action::UpdateKey,
    }
}
