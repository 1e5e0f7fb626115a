//! Identifiers: UUIDs, mostly of version 7 (RFC 9562 §5.7), one type for each kind of thing, so that they cannot be mixed up.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::clock::{Clock, Entropy};

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id")
    }
}

impl std::error::Error for NotAnId {}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier; later ones sort after earlier ones.
            #[must_use]
            pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
                Self(version_7(clock, entropy))
            }

            /// A new identifier that tells nothing, not even when it was made (version 4).
            #[must_use]
            pub fn random(entropy: &dyn Entropy) -> Self {
                let mut random = [0; 16];
                entropy.fill(&mut random);
                Self(uuid::Builder::from_random_bytes(random).into_uuid())
            }

            /// The identifier with this value.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The value as a UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            /// Reads the hyphenated form, in either case; other spellings of a UUID are unknown ids.
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                if text.len() != 36 {
                    return Err(NotAnId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| NotAnId)
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
    /// Names an organization.
    OrganizationId
);
id!(
    /// Names a user.
    UserId
);
id!(
    /// Names an API key: the key itself, not its secret, which may change.
    KeyId
);

id!(
    /// Names a permission set.
    SetId
);
id!(
    /// Names a session of a browser.
    SessionId
);
id!(
    /// Names a short-lived token.
    TokenId
);
id!(
    /// Names the tokens that a key was turned into with the same permissions. It says nothing about the key.
    FamilyId
);

fn version_7(clock: &dyn Clock, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(clock.now().millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
