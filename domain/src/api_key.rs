//! API keys: what an organization owns, apart from the secret that opens doors with it.

use crate::{
    addresses::AddressList,
    clock::Timestamp,
    id::{KeyId, OrganizationId, SetId, UserId},
    organization::ExternalId,
    permission::PermissionSet,
    quota::Quota,
    secret::{KeyPrefix, Secret},
    text::{Invalid, name, text},
};

text!(
    /// What a key is called. It need not be unique.
    KeyName,
    "Trims; 1 to 100 characters, none a control character.",
    |text| name(text, 1)
);

text!(
    /// A JSON object that the maker of a key keeps with it, as compact JSON text. We do not look inside.
    Metadata,
    "At most 8,192 bytes. That it is a JSON object is for the caller to see to.",
    |text| {
        if text.len() <= 8192 { Ok(text.to_owned()) } else { Err(Invalid::MetadataSize) }
    }
);

/// Who made a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creator {
    /// A caller with this key.
    Key(KeyId),
    /// This user, at sign-up.
    User(UserId),
    /// The operator, on the machine itself.
    Operator,
}

/// A key of an organization. Settings and identity; its secrets are rows of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its identifier.
    pub id: KeyId,
    /// The organization that owns it.
    pub organization: OrganizationId,
    /// The user it belongs to, whose grants bound it; `None` for the organization's own key.
    pub user: Option<UserId>,
    /// Its name, if it was given one.
    pub name: Option<KeyName>,
    /// What stands in front of its secrets.
    pub prefix: KeyPrefix,
    /// Prefix and first characters of the newest secret, to recognize it by.
    pub start: String,
    /// When the last of its older secrets ends, or has ended. `None`: none went on beside a newer one.
    pub previous_ends_at: Option<Timestamp>,
    /// Whether it is in use.
    pub enabled: bool,
    /// Before this moment it is not in use yet. `None`: it always was.
    pub not_before: Option<Timestamp>,
    /// From this moment on it is expired. `None`: never.
    pub expires_at: Option<Timestamp>,
    /// From where it may be used. `None`: from anywhere.
    pub addresses: Option<AddressList>,
    /// What its maker keeps with it.
    pub metadata: Option<Metadata>,
    /// What it may do besides what its sets give, before its user's grants bound it.
    pub permissions: PermissionSet,
    /// Permission sets of the organization that it has.
    pub sets: Vec<SetId>,
    /// What the operator's own system calls it, or whom it is for.
    pub external_id: Option<ExternalId>,
    /// How often it may be used, and how far that is used.
    pub quota: Quota,
    /// Verifies that found it good. Up to a second late, but for a metered key.
    pub request_count: u64,
    /// The last verify or authentication that found it good. Up to a second late, but for a metered key.
    pub last_request_at: Option<Timestamp>,
    /// Counts changes of the settings; use does not move it.
    pub version: u64,
    /// Who made it.
    pub created_by: Creator,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its settings last changed; use does not move it.
    pub updated_at: Timestamp,
    /// When it was deleted, for one that is not gone yet.
    pub deleted_at: Option<Timestamp>,
}

impl ApiKey {
    /// A key of the organization itself with this secret: in use, and without name, expiry, metadata, permissions and
    /// limits until it is given them.
    #[must_use]
    pub fn new(id: KeyId, organization: OrganizationId, secret: &Secret, created_by: Creator, now: Timestamp) -> Self {
        let (prefix, start) = (secret.prefix(), secret.start().to_owned());
        Self::beginning_with(id, organization, (prefix, start), created_by, now)
    }

    /// The same, for a key whose secret begins like this.
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
            name: None,
            prefix,
            start,
            previous_ends_at: None,
            enabled: true,
            not_before: None,
            expires_at: None,
            addresses: None,
            metadata: None,
            permissions: PermissionSet::default(),
            sets: Vec::new(),
            external_id: None,
            quota: Quota::default(),
            request_count: 0,
            last_request_at: None,
            version: 0,
            created_by,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }
}

/// A secret that is being replaced, and still good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousSecret {
    /// Prefix and first characters of its text.
    pub start: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From this moment on it is unknown.
    pub expires_at: Timestamp,
    /// The last verify or authentication with it since it is being replaced. Up to a second late.
    pub last_request_at: Option<Timestamp>,
}

/// An expiry that a key may be given at `now`: in the future, at most ten years (3,650 days) ahead.
pub fn expiry(expires_at: Timestamp, now: Timestamp) -> Result<Timestamp, Invalid> {
    if expires_at <= now { Err(Invalid::ExpiryPassed) } else { within_ten_years(expires_at, now) }
}

/// A moment that a key may begin to be in use at: at most ten years ahead of `now`, or past.
pub fn beginning(not_before: Timestamp, now: Timestamp) -> Result<Timestamp, Invalid> {
    within_ten_years(not_before, now)
}

fn within_ten_years(at: Timestamp, now: Timestamp) -> Result<Timestamp, Invalid> {
    const TEN_YEARS_MILLIS: i64 = 3_650 * 24 * 60 * 60 * 1_000;
    if at > now.plus_millis(TEN_YEARS_MILLIS) { Err(Invalid::TooFarAhead) } else { Ok(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_has_a_future_and_an_end() {
        let now = Timestamp::from_millis(1_000);
        let ten_years = now.plus_millis(315_360_000_000);
        assert_eq!(expiry(now, now), Err(Invalid::ExpiryPassed));
        assert_eq!(expiry(now.plus_millis(1), now), Ok(now.plus_millis(1)));
        assert_eq!(expiry(ten_years, now), Ok(ten_years));
        assert_eq!(expiry(ten_years.plus_millis(1), now), Err(Invalid::TooFarAhead));
        assert_eq!(expiry(Timestamp::from_millis(i64::MAX), now), Err(Invalid::TooFarAhead));
    }

    #[test]
    fn names_are_counted_in_characters() {
        assert!(KeyName::parse(&"ü".repeat(100)).is_ok());
        assert_eq!(KeyName::parse(&"ü".repeat(101)), Err(Invalid::Length { min: 1, max: 100 }));
        assert_eq!(KeyName::parse("  "), Err(Invalid::Length { min: 1, max: 100 }));
        assert_eq!(KeyName::parse("a\u{7}b"), Err(Invalid::ControlCharacter));
        assert_eq!(KeyName::parse(" a b ").map(|name| name.as_str().to_owned()), Ok("a b".to_owned()));
    }
}
