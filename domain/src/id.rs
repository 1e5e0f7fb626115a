//! Identifiers: UUIDs, usually of version 7 (RFC 9562 §5.7). Each kind has its own type, so that they cannot be
//! confused.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::{
    clock::{Clock, Entropy, Timestamp},
    validated_string::{identifier, stored_line, text},
};

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id")
    }
}

impl std::error::Error for InvalidId {}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Creates an id of version 7: it contains the current time, so later ids sort after earlier ones.
            #[must_use]
            pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
                Self(version_7(clock, entropy))
            }

            /// Creates a random id (version 4): it discloses nothing, not even when it was created.
            #[must_use]
            pub fn random(entropy: &dyn Entropy) -> Self {
                let mut random = [0; 16];
                entropy.fill(&mut random);
                Self(uuid::Builder::from_random_bytes(random).into_uuid())
            }

            /// The id with this UUID.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The id as a UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Parses the hyphenated form in either case. All other forms of a UUID are rejected.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.len() != 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

id!(
    /// The id of an organization.
    OrganizationId
);

impl OrganizationId {
    /// When the organization was created (UTC, in milliseconds), read from its id. `None`: the id is not of version 7.
    /// This service creates only ids of version 7.
    #[must_use]
    pub fn created_at(self) -> Option<Timestamp> {
        let millis = self.0.as_u64_pair().0 >> 16;
        let is_timed = self.0.get_version_num() == 7;
        i64::try_from(millis).ok().filter(|_| is_timed).map(Timestamp::from_millis)
    }
}

id!(
    /// The id of a user.
    UserId
);
id!(
    /// The id of an API key. It stays the same when the secret is rotated.
    KeyId
);

id!(
    /// The id of a permission set.
    SetId
);
id!(
    /// The id of an invitation or a recovery link.
    InvitationId
);
id!(
    /// The id of a trust rule.
    TrustRuleId
);
id!(
    /// The id of a browser session.
    SessionId
);
id!(
    /// The id of a portal session.
    PortalSessionId
);
id!(
    /// The id of a passkey.
    PasskeyId
);
id!(
    /// The id of a passkey account: a person who signs in with passkeys. It is the subject of their identity, and random:
    /// authenticators store it.
    PasskeyAccountId
);
id!(
    /// The id of an access token.
    TokenId
);
id!(
    /// The id of a token group. It is random and discloses nothing about the key.
    TokenGroupId
);

fn version_7(clock: &dyn Clock, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(clock.now().millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

text!(
    /// The id of an organization or a key in another system, such as the operator's customer id.
    ExternalId,
    "Parses an external id: at most 255 characters, at least 1 after trimming, neither control characters nor invisible ones.",
    |text| identifier(text, 1, 255),
    stored |text| stored_line(text, 1, 255)
);

/// A user as the provider identifies them. The e-mail address is not part of it: providers let users choose it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The provider's `iss` claim (RFC 7519 §4.1.1).
    pub issuer: String,
    /// The user's `sub` claim, unique at the provider.
    pub subject: String,
}

impl Identity {
    /// Whether a text may be an issuer or a subject: 1 to 255 bytes, no control characters.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
    }
}
