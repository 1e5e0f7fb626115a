//! Rotating the secret of a key. The previous secret may stay valid for a grace period.

use super::{Keys, SuppliedSecret};
use crate::{
    audit::context::Action,
    auth::{
        caller::{Authority, Caller},
        step_up::require_fresh_sign_in_to_grant,
    },
    error::Error,
    id::KeyId,
    keys::{
        api_key::{ApiKey, PreviousSecret},
        secret::Secret,
    },
    optimistic::{require_version, until_stored},
    organizations::permission_set::effective,
    permissions::Permissions,
    ports::{Rotation, StoredSecret},
};

/// The maximum grace period of a previous secret: 30 days, in milliseconds.
pub const MAX_GRACE_PERIOD_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

impl Keys {
    /// Rotates the secret of a key (`None`: the request has no valid id). Returns the new secret, which cannot be read
    /// again, unless the client has supplied it. The previous secret expires after `grace` milliseconds, or with the key.
    /// With `only`, the key's version must be one of these.
    ///
    /// If a previous secret is still valid and the newest one was never used, the newest one is replaced, because the
    /// response with it may have been lost. The previous secret then expires at the later of both times, or, if a key policy enforces
    /// rotation, when it would have expired anyway. If the newest
    /// secret is the supplied one already, nothing changes, whatever version the key has; but if `grace` is 0, the previous
    /// secret is revoked as by [`Keys::revoke_previous_secret`].
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::ExceedsPermissions`] if the caller does not have all
    /// permissions of the key; [`Error::ExceedsExpiry`] and [`Error::ExceedsAddresses`] if the key is valid for longer,
    /// or in more networks, than the caller's; these do not apply to a key that rotates itself with its newest secret;
    /// [`Error::SessionRotatesItself`] in a session of this key; [`Error::FreshSignInRequired`] if the key has all
    /// permissions; [`Error::RotationInProgress`] if a previous secret is still valid, the newest one was used, and `grace`
    /// is not 0; with a supplied secret those of [`Keys::create_many`], and [`Error::KeyPolicyViolated`] if it has another
    /// prefix than the policies say; [`Error::ConcurrentChanges`]; [`Error::Outage`]. A key that breaks other rules may be
    /// rotated: its secret is newer then.
    pub async fn rotate(
        &self,
        authority: &Authority,
        key: Option<KeyId>,
        only: Option<&[u64]>,
        grace: u64,
        supplied: Option<&SuppliedSecret>,
    ) -> Result<(ApiKey, Option<Secret>), Error> {
        let id = key.ok_or(Error::NotFound)?;
        let _lock = self.ports.api_keys.lock_for_change(authority.scope(), id).await?;
        until_stored(|| async {
            let current = self.get(authority, Some(id)).await?;
            let (now, scope) = (self.now(), authority.scope());
            let context = authority.audit_context(Action::RotateKey, now);
            if let Some(supplied) = supplied
                && let Some(owner) = self.find_newest_owner(authority, &supplied.hash).await?
            {
                if owner.id != id {
                    return Err(Error::SecretInUse);
                }
                if grace == 0 {
                    match self.revoke_previous_secret(authority, Some(id), only).await {
                        Err(Error::NotFound) => {}
                        ended => {
                            ended?;
                            return Ok(Some((self.get(authority, Some(id)).await?, None)));
                        }
                    }
                }
                // Nothing is returned that the caller does not know, so no further permission is needed.
                self.record_unchanged(&context).await?;
                return Ok(Some((owner, None)));
            }
            require_version(current.version, only)?;
            match self.check_rotation(authority.caller(), &current).await {
                // A permission set of the key was deleted meanwhile: the key is read again.
                Err(Error::SetNotFound) => return Ok(None),
                checked => checked?,
            }
            let policies = match self.policies_of(&current).await {
                // As above.
                Err(Error::SetNotFound) => return Ok(None),
                policies => policies?,
            };
            let (stored, prefix, start, secret) = if let Some(supplied) = supplied {
                let broken = policies.broken_by_prefix(&supplied.key_format.key_prefix());
                if !broken.is_empty() {
                    return Err(Error::KeyPolicyViolated(broken));
                }
                self.require_key_formats(authority, vec![supplied.key_format.clone()]).await?;
                let prefix = supplied.key_format.key_prefix();
                (StoredSecret::Supplied(supplied.hash), prefix, supplied.start.clone(), None)
            } else {
                let prefix = policies.prefix().cloned().unwrap_or_else(|| current.prefix.or_default());
                let secret = Secret::generate(&prefix, &*self.ports.entropy);
                let start = secret.start().to_owned();
                (StoredSecret::Generated(secret.hash()), secret.prefix(), start, Some(secret))
            };
            let end = now.plus_millis(i64::try_from(grace.min(MAX_GRACE_PERIOD_MS)).unwrap_or(0));
            let rotation = Rotation {
                secret: stored,
                prefix,
                start,
                old_prefix: current.prefix.clone(),
                old_start: current.start.clone(),
                old_ends_at: end.no_later_than(current.settings.expires_at),
                // Otherwise a secret would never have to be replaced.
                may_extend_previous: !policies.enforces_rotation(),
            };
            match self.ports.api_keys.rotate(scope, id, current.version, rotation, policies.checked(), &context).await {
                // Another request of the organization has stored the supplied secret at the same time.
                Err(Error::SecretInUse) => Ok(None),
                rotated => Ok(rotated?.map(|rotated| (rotated, secret))),
            }
        })
        .await
    }

    /// Undoes the rotation of a key (`None`: the request has no valid id): revokes its newest secret, which was never
    /// used. The previous secret becomes the newest one, and does not expire any more. With `only`, the key's version
    /// must be one of these.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::NoPreviousSecret`] if no previous secret is valid;
    /// [`Error::NewestSecretUsed`]; [`Error::ExceedsPermissions`], [`Error::ExceedsExpiry`],
    /// [`Error::ExceedsAddresses`], [`Error::SessionRotatesItself`] and [`Error::FreshSignInRequired`] as for
    /// [`Keys::rotate`]; [`Error::ConcurrentChanges`]; [`Error::Outage`].
    pub async fn undo_rotation(
        &self,
        authority: &Authority,
        key: Option<KeyId>,
        only: Option<&[u64]>,
    ) -> Result<ApiKey, Error> {
        let id = key.ok_or(Error::NotFound)?;
        let _lock = self.ports.api_keys.lock_for_change(authority.scope(), id).await?;
        until_stored(|| async {
            let current = self.get(authority, Some(id)).await?;
            require_version(current.version, only)?;
            match self.check_rotation(authority.caller(), &current).await {
                // As in `rotate`.
                Err(Error::SetNotFound) => return Ok(None),
                checked => checked?,
            }
            let context = authority.audit_context(Action::UndoRotation, self.now());
            self.ports.api_keys.undo_rotation(authority.scope(), id, current.version, &context).await
        })
        .await
    }

    /// A caller who receives a secret can do everything that the key can, for as long as it is valid. Permissions that
    /// the key's user does not have at the moment count, too: they may be granted again.
    async fn check_rotation(&self, caller: &Caller, current: &ApiKey) -> Result<(), Error> {
        let itself = caller.key().filter(|key| key.id() == current.id);
        if itself.is_some() && caller.origin.session.is_some() {
            // Otherwise a stolen session cookie could be exchanged for a secret that is valid for longer than the
            // session.
            return Err(Error::SessionRotatesItself);
        }
        if itself.is_some_and(|key| !key.is_ending()) {
            return Ok(());
        }
        let sets = self.ports.sets.resolve(current.organization, &current.settings.sets).await?;
        let whole = effective(&current.settings.permissions, &sets);
        if itself.is_none() && !caller.effective_permissions().covers_part(&whole, None) {
            return Err(Error::ExceedsPermissions);
        }
        caller.require_validity(current.settings.expires_at, current.settings.addresses.as_ref())?;
        require_fresh_sign_in_to_grant(caller, &Permissions::default(), &whole, self.now())
    }

    /// The previous secret of a key that was rotated (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]: the key does not exist, or has no previous secret that is valid; [`Error::Outage`].
    pub async fn previous_secret(&self, authority: &Authority, key: Option<KeyId>) -> Result<PreviousSecret, Error> {
        let (key, now) = (self.get(authority, key).await?, self.now());
        let found = self.ports.api_keys.find_previous_secret(authority.scope(), key.id, now).await?;
        let bounded = found.map(|previous| {
            let expires_at = previous.expires_at.no_later_than(key.settings.expires_at);
            PreviousSecret { expires_at, ..previous }
        });
        bounded.filter(|previous| previous.expires_at > now).ok_or(Error::NotFound)
    }

    /// Revokes the previous secret of a key before its expiry (`None`: the request has no valid id). With `only`, the
    /// key's version must be one of these.
    ///
    /// # Errors
    /// [`Error::NotFound`]: the key does not exist, or has no previous secret that is valid;
    /// [`Error::VersionMismatch`]; [`Error::Outage`].
    pub async fn revoke_previous_secret(
        &self,
        authority: &Authority,
        key: Option<KeyId>,
        only: Option<&[u64]>,
    ) -> Result<(), Error> {
        let key = key.ok_or(Error::NotFound)?;
        let version = self.required_version(authority, key, only).await?;
        let context = authority.audit_context(Action::RevokePreviousSecret, self.now());
        if self.ports.api_keys.revoke_previous_secret(authority.scope(), key, version, &context).await? {
            Ok(())
        } else {
            Err(Error::NotFound)
        }
    }
}
