//! API keys: their settings and identity, without their secrets.

use crate::{
    clock::Timestamp,
    id::{KeyId, OrganizationId, UserId},
    keys::{
        quota::Quota,
        secret::{KeyPrefix, Secret},
        settings::KeySettings,
    },
    validated_string::{MAX_NAME, ValidationError, name, stored_line, text},
};

text!(
    /// The name of a key. Names need not be unique.
    KeyName,
    "Parses a name: at most 100 characters, at least 1 after trimming, neither control characters nor invisible ones. \
     Converts it to NFC.",
    |text| name(text, 1),
    stored |text| stored_line(text, 1, MAX_NAME)
);

text!(
    /// A JSON object that a client stores with a key, as compact JSON text. This service does not interpret it.
    Metadata,
    "Accepts at most 8,192 bytes. The caller must have checked that the text is a JSON object.",
    |text| {
        if text.len() <= 8192 { Ok(text.to_owned()) } else { Err(ValidationError::MetadataSize) }
    }
);

/// The creator of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creator {
    /// A caller with this key.
    Key(KeyId),
    /// This user: at sign-up, or authenticated by an identity provider.
    User(UserId),
    /// The operator, on the command line.
    Operator,
}

/// An API key of an organization: its settings and identity. Its secrets are stored separately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The id.
    pub id: KeyId,
    /// The organization that the key belongs to.
    pub organization: OrganizationId,
    /// The user that the key belongs to, whose permissions limit the key's. `None`: the key belongs to the
    /// organization.
    pub user: Option<UserId>,
    /// The settings that clients can set and change.
    pub settings: KeySettings,
    /// The prefix of its secrets.
    pub prefix: KeyPrefix,
    /// The prefix and first characters of the newest secret, to recognize the key by.
    pub start: String,
    /// When the last previous secret expires, or expired (UTC, exclusive). `None`: it has none.
    pub previous_ends_at: Option<Timestamp>,
    /// When `remaining` was last refilled (UTC). `None`: never.
    pub last_refill_at: Option<Timestamp>,
    /// When the current window of the rate limit began (UTC). `None`: no use was counted yet.
    pub window_start: Option<Timestamp>,
    /// The number of uses in the current window.
    pub window_count: u64,
    /// The number of successful verify requests. Updated with a delay of up to one second, except for metered keys.
    pub request_count: u64,
    /// The last successful verify request or authentication (UTC). Updated with a delay of up to one second, except for
    /// metered keys. `None`: never used.
    pub last_request_at: Option<Timestamp>,
    /// The version of the settings: each change increments it; uses do not.
    pub version: u64,
    /// The creator.
    pub created_by: Creator,
    /// When the key was created (UTC).
    pub created_at: Timestamp,
    /// When the settings were last changed (UTC). Uses do not change it.
    pub updated_at: Timestamp,
    /// When the key was deleted (UTC), for a deleted key that is not purged yet. `None`: it is not deleted.
    pub deleted_at: Option<Timestamp>,
}

impl ApiKey {
    /// A key of the organization with this secret and the default settings.
    #[must_use]
    pub fn new(id: KeyId, organization: OrganizationId, secret: &Secret, created_by: Creator, now: Timestamp) -> Self {
        let (prefix, start) = (secret.prefix(), secret.start().to_owned());
        Self::beginning_with(id, organization, (prefix, start), created_by, now)
    }

    /// The same, for a secret with this prefix and start.
    #[must_use]
    pub fn beginning_with(
        id: KeyId,
        organization: OrganizationId,
        (prefix, start): (KeyPrefix, String),
        created_by: Creator,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            organization,
            user: None,
            settings: KeySettings::default(),
            prefix,
            start,
            previous_ends_at: None,
            last_refill_at: None,
            window_start: None,
            window_count: 0,
            request_count: 0,
            last_request_at: None,
            version: 0,
            created_by,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }

    /// The usage limits of the key and their state.
    #[must_use]
    pub fn quota(&self) -> Quota {
        Quota {
            remaining: self.settings.remaining,
            refill: self.settings.refill,
            last_refill_at: self.last_refill_at,
            rate_limit: self.settings.rate_limit,
            window_start: self.window_start,
            window_count: self.window_count,
        }
    }
}

/// A secret that was rotated and is still valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The prefix and first characters of the secret.
    pub start: String,
    /// When it was created (UTC).
    pub created_at: Timestamp,
    /// When it expires (UTC, exclusive).
    pub expires_at: Timestamp,
    /// The last verify request or authentication with it since the rotation (UTC). Updated with a delay of up to one
    /// second. `None`: not used since.
    pub last_request_at: Option<Timestamp>,
}

/// What became of a secret of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretStatus {
    /// It is the newest one.
    Newest,
    /// It was rotated, and has not expired yet.
    Previous,
    /// It has expired or was revoked.
    Expired,
}

impl SecretStatus {
    /// The status of a secret that expires at this time (`None`: it was not rotated).
    #[must_use]
    pub fn at(expires_at: Option<Timestamp>, now: Timestamp) -> Self {
        match expires_at {
            None => Self::Newest,
            Some(end) if end > now => Self::Previous,
            Some(_) => Self::Expired,
        }
    }
}

/// Checks the expiry of a key that is set at `now`: it must be in the future, at most ten years (3,650 days) ahead.
pub fn expiry(expires_at: Timestamp, now: Timestamp) -> Result<Timestamp, ValidationError> {
    if expires_at <= now { Err(ValidationError::ExpiryPassed) } else { within_ten_years(expires_at, now) }
}

/// Checks the `not_before` of a key that is set at `now`: at most ten years ahead. It may be in the past.
pub fn beginning(not_before: Timestamp, now: Timestamp) -> Result<Timestamp, ValidationError> {
    within_ten_years(not_before, now)
}

fn within_ten_years(at: Timestamp, now: Timestamp) -> Result<Timestamp, ValidationError> {
    const TEN_YEARS_MILLIS: i64 = 3_650 * 24 * 60 * 60 * 1_000;
    if at > now.plus_millis(TEN_YEARS_MILLIS) { Err(ValidationError::TooFarAhead) } else { Ok(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expires_at_is_in_the_future_and_at_most_ten_years_ahead() {
        let now = Timestamp::from_millis(1_000);
        let ten_years = now.plus_millis(315_360_000_000);
        assert_eq!(expiry(now, now), Err(ValidationError::ExpiryPassed));
        assert_eq!(expiry(now.plus_millis(1), now), Ok(now.plus_millis(1)));
        assert_eq!(expiry(ten_years, now), Ok(ten_years));
        assert_eq!(expiry(ten_years.plus_millis(1), now), Err(ValidationError::TooFarAhead));
        assert_eq!(expiry(Timestamp::from_millis(i64::MAX), now), Err(ValidationError::TooFarAhead));
    }

    #[test]
    fn key_names_are_1_to_100_characters() {
        assert!(KeyName::parse(&"ü".repeat(100)).is_ok());
        assert_eq!(KeyName::parse(&"ü".repeat(101)), Err(ValidationError::Length { min: 1, max: 100 }));
        assert_eq!(KeyName::parse("  "), Err(ValidationError::Length { min: 1, max: 100 }));
        assert_eq!(KeyName::parse("a\u{7}b"), Err(ValidationError::ControlCharacter));
        assert_eq!(KeyName::parse(" a b ").map(|name| name.as_str().to_owned()), Ok("a b".to_owned()));
        assert_eq!(KeyName::parse("A\u{308}").map(|name| name.as_str().to_owned()), Ok("Ä".to_owned()));
        assert_eq!(KeyName::parse("a\u{202E}b"), Err(ValidationError::InvisibleCharacter('\u{202E}')));
        assert_eq!(KeyName::stored("a\u{202E}b").map(|name| name.as_str().to_owned()), Ok("a\u{202E}b".to_owned()));
    }
}
