//! Passkeys: the credentials of people who sign in without an identity provider (WebAuthn). The cryptography is in the HTTP layer;
//! here are the values that are stored.

use crate::{
    auth::identity::PASSKEY_ISSUER,
    clock::Timestamp,
    id::{Identity, PasskeyAccountId, PasskeyId},
    validated_string::{MAX_NAME, name, stored_line, text},
};

/// The maximum number of passkeys of an account.
pub const MAX_PASSKEYS: usize = 20;

text!(
    /// The name of a passkey, which its owner chooses.
    PasskeyName,
    "Parses a name: at most 100 characters, at least 1 after trimming, neither control characters nor invisible ones. \
     Converts it to NFC.",
    |text| name(text, 1),
    stored |text| stored_line(text, 1, MAX_NAME)
);

impl PasskeyName {
    /// The name of a passkey if its owner chooses none.
    #[must_use]
    pub fn unnamed() -> Self {
        Self::parse("Passkey").expect("a valid name")
    }
}

/// The id that an authenticator has given to a credential, 16 to 1,023 bytes (WebAuthn §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialId(pub Vec<u8>);

/// A registered passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// The id.
    pub id: PasskeyId,
    /// The account that it signs in to.
    pub account: PasskeyAccountId,
    /// What the authenticator calls it. Unique.
    pub credential: CredentialId,
    /// The public key and what else does not change, encoded by the HTTP layer.
    pub public_key: Vec<u8>,
    /// The signature counter and what else a sign-in changes, encoded by the HTTP layer.
    pub state: Vec<u8>,
    /// The name.
    pub name: PasskeyName,
    /// When it was registered (UTC).
    pub created_at: Timestamp,
    /// When it was last used to sign in (UTC). `None`: only registered.
    pub last_used_at: Option<Timestamp>,
}

/// A new credential whose registration was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCredential {
    /// The account that it was created for.
    pub account: PasskeyAccountId,
    /// What the authenticator calls it.
    pub credential: CredentialId,
    /// As [`Passkey::public_key`].
    pub public_key: Vec<u8>,
    /// As [`Passkey::state`].
    pub state: Vec<u8>,
    /// The ceremony that created it.
    pub ceremony: UsedCeremony,
}

/// A ceremony whose response was verified. It is valid once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedCeremony {
    /// The random challenge, which identifies it.
    pub challenge: [u8; 16],
    /// When it expires (UTC, exclusive).
    pub expires_at: Timestamp,
}

impl PasskeyAccountId {
    /// The identity of the account, by which users of organizations are linked to it.
    #[must_use]
    pub fn identity(self) -> Identity {
        Identity { issuer: PASSKEY_ISSUER.to_owned(), subject: self.to_string() }
    }

    /// The account with this identity. `None`: the identity is at a provider.
    #[must_use]
    pub fn of(identity: &Identity) -> Option<Self> {
        if identity.issuer == PASSKEY_ISSUER { identity.subject.parse().ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_account_is_an_identity_and_a_person_of_a_provider_is_none() {
        let account = PasskeyAccountId::from_uuid(Uuid::from_u128(7));
        assert_eq!(PasskeyAccountId::of(&account.identity()), Some(account));
        let elsewhere = Identity { issuer: "https://id.example".to_owned(), ..account.identity() };
        assert_eq!(PasskeyAccountId::of(&elsewhere), None);
        let malformed = Identity { subject: "ada".to_owned(), ..account.identity() };
        assert_eq!(PasskeyAccountId::of(&malformed), None);
    }
}
