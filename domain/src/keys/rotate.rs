//! Giving a key a new secret, while the old one may go on for a while.

use super::{ATTEMPTS, Keys};
use crate::{
    act::Action,
    api_key::{ApiKey, PreviousSecret},
    caller::{Authority, Caller},
    error::{Error, Outage},
    id::KeyId,
    permission_sets::effective,
    ports::Rotation,
    secret::Secret,
};

/// The longest that an old secret goes on beside the new one: 30 days, in milliseconds.
pub const MOST_GRACE: u64 = 30 * 24 * 60 * 60 * 1_000;

impl Keys {
    /// Gives a key a new secret (`None`: a text that names none), which is in this return value and nowhere else. The old one
    /// goes on for `grace` milliseconds, but not longer than the key.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ExceedsGrants`] where the caller does not hold all that the key was given, and
    /// [`Error::ExceedsExpiry`] and [`Error::ExceedsAddresses`] where the key outlives what the caller shows, or reaches further, unless it is the key itself by its newest secret;
    /// [`Error::StillRotating`] where an older secret goes on and `grace` is not 0; [`Error::Outage`].
    pub async fn rotate(
        &self,
        authority: &Authority,
        key: Option<KeyId>,
        grace: u64,
    ) -> Result<(ApiKey, Secret), Error> {
        let id = key.ok_or(Error::NotFound)?;
        for _ in 0..ATTEMPTS {
            let current = self.get(authority, Some(id)).await?;
            match self.check_rotation(authority.caller(), &current).await {
                // One of its sets went in between: what it has now is looked at.
                Err(Error::SetNotFound) => continue,
                checked => checked?,
            }
            let now = self.now();
            let end = now.plus_millis(i64::try_from(grace.min(MOST_GRACE)).unwrap_or(0));
            let secret = Secret::generate(&current.prefix.or_standard(), &*self.ports.entropy);
            let rotation = Rotation {
                secret: secret.hash(),
                prefix: secret.prefix(),
                start: secret.start().to_owned(),
                old_start: current.start.clone(),
                old_ends_at: end.no_later_than(current.expires_at),
            };
            let act = authority.act(Action::RotateKey, now);
            let rotated = self.ports.api_keys.rotate(authority.reach(), id, current.version, rotation, &act);
            if let Some(rotated) = rotated.await? {
                return Ok((rotated, secret));
            }
        }
        Err(Outage::Unavailable("the key changed again and again while it was rotated".into()).into())
    }

    /// Whoever gets to see a secret can do what the key can, for as long as the key can. What its user lacks at the moment
    /// counts, too: they may get it again.
    async fn check_rotation(&self, caller: &Caller, current: &ApiKey) -> Result<(), Error> {
        let itself = caller.key().filter(|key| key.id() == current.id);
        if itself.is_some_and(|key| !key.is_ending()) {
            return Ok(());
        }
        let sets = self.ports.sets.resolve(current.organization, &current.sets).await?;
        let whole = effective(&current.permissions, &sets);
        if itself.is_none() && !caller.grants().covers_part(&whole, None) {
            return Err(Error::ExceedsGrants);
        }
        caller.require_end(current.expires_at)?;
        caller.require_within(current.addresses.as_ref())
    }

    /// The old secret of a key that is being replaced (`None`: a text that names no key).
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such key, or it has one secret; [`Error::Outage`].
    pub async fn previous_secret(&self, authority: &Authority, key: Option<KeyId>) -> Result<PreviousSecret, Error> {
        let (key, now) = (self.get(authority, key).await?, self.now());
        let found = self.ports.api_keys.find_previous_secret(authority.reach(), key.id, now).await?;
        let bounded = found.map(|previous| {
            let expires_at = previous.expires_at.no_later_than(key.expires_at);
            PreviousSecret { expires_at, ..previous }
        });
        bounded.filter(|previous| previous.expires_at > now).ok_or(Error::NotFound)
    }

    /// Ends the old secret of a key before its time (`None`: a text that names no key).
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such key, or it has one secret; [`Error::Outage`].
    pub async fn end_previous_secret(&self, authority: &Authority, key: Option<KeyId>) -> Result<(), Error> {
        let key = key.ok_or(Error::NotFound)?;
        let act = authority.act(Action::EndSecret, self.now());
        if self.ports.api_keys.end_previous_secret(authority.reach(), key, &act).await? {
            Ok(())
        } else {
            Err(Error::NotFound)
        }
    }
}
