//! Invitations and recovery links: single-use links by which a person becomes a member, or gets access as an existing
//! member again.
//!
//! The token of a link is `cvi_<body><check>`: the body is 43 base62 characters from the system's random source (256
//! bits), the check is the CRC-32/ISO-HDLC of prefix and body in 6 base62 digits. The check of a key's secret does not
//! cover its prefix, so a token is never a well-formed secret.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{
    clock::{Entropy, Timestamp},
    coded_enum::coded_enum,
    id::{InvitationId, OrganizationId, SetId, UserId},
    keys::{
        api_key::Creator,
        secret::{generate_token, is_token},
    },
    organizations::{
        organization::Organization,
        user::{Email, UserName},
    },
    permissions::Permissions,
};

/// How long a link is valid, in milliseconds: 72 hours.
pub const LIFETIME_MS: i64 = 72 * 60 * 60 * 1_000;

/// The maximum number of open invitations and recovery links of an organization.
pub const MAX_OPEN_INVITATIONS: u64 = 100;

coded_enum! {
    /// What a link is for.
    pub enum InvitationKind {
        /// The person who redeems it becomes a new member.
        Invitation = "invitation",
        /// The person who redeems it gets access as an existing member.
        Recovery = "recovery",
    }
}

/// The creator of a link. It is valid only as long as its creator could create it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvitationCreator {
    /// The organization that the creator acted in: that of the link, or the platform organization.
    pub organization: OrganizationId,
    /// The key or user that created it.
    pub creator: Creator,
    /// Whether the creator's permissions are those of their membership or key. `false`: an authoritative provider gave
    /// them, so only the membership itself can be checked later.
    pub has_own_permissions: bool,
}

/// An invitation or a recovery link. It is deleted when it is redeemed or revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The id.
    pub id: InvitationId,
    /// The organization.
    pub organization: OrganizationId,
    /// What it is for.
    pub kind: InvitationKind,
    /// The name of the new member; for a recovery, that of the member when the link was created.
    pub name: UserName,
    /// The e-mail address, which is not verified, likewise. `None`: not known.
    pub email: Option<Email>,
    /// The own permissions of the new member. Empty for a recovery.
    pub permissions: Permissions,
    /// The permission sets of the new member, which may be deleted meanwhile. Empty for a recovery.
    pub sets: Vec<SetId>,
    /// The member of a recovery. `None`: an invitation.
    pub user: Option<UserId>,
    /// The creator.
    pub created_by: InvitationCreator,
    /// When it was created (UTC).
    pub created_at: Timestamp,
    /// When it expires (UTC, exclusive).
    pub expires_at: Timestamp,
}

/// A valid link, as the person who opens it sees it.
#[derive(Clone, Debug)]
pub struct OpenedInvitation {
    /// The invitation or recovery link.
    pub invitation: Invitation,
    /// Its organization.
    pub organization: Organization,
}

/// A link that was redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedeemedInvitation {
    /// What it was for.
    pub kind: InvitationKind,
    /// The organization.
    pub organization: OrganizationId,
    /// The user of the person in the organization.
    pub user: UserId,
}

/// The token of a link in plain text. Its `Debug` output does not contain it.
#[derive(Clone, PartialEq, Eq)]
pub struct InvitationToken(String);

impl InvitationToken {
    /// The prefix, by which secret scanners recognize tokens.
    pub const PREFIX: &str = "cvi_";

    /// Generates a token.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(generate_token(Self::PREFIX, entropy))
    }

    /// The plain text, for the response that creates the link.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The hash, which is stored instead of the token.
    #[must_use]
    pub fn hash(&self) -> InvitationTokenHash {
        InvitationTokenHash::of_text(&self.0)
    }
}

impl fmt::Debug for InvitationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationToken(…)")
    }
}

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InvitationTokenHash([u8; 32]);

impl InvitationTokenHash {
    /// The hash of a text that was sent as a token. `None`: it does not have the format of a token, or its check digits
    /// are wrong, so it need not be looked up.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        is_token(InvitationToken::PREFIX, text).then(|| Self::of_text(text))
    }

    fn of_text(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The 32 bytes, to be stored and looked up.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for InvitationTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationTokenHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::keys::secret::SecretHash;

    /// Bytes that a seed determines.
    struct Bytes(AtomicU64);

    impl Entropy for Bytes {
        fn fill(&self, buffer: &mut [u8]) {
            let block = self.0.fetch_add(1, Ordering::Relaxed);
            blake3::Hasher::new().update(&block.to_le_bytes()).finalize_xof().fill(buffer);
        }
    }

    fn token(seed: u64) -> InvitationToken {
        InvitationToken::generate(&Bytes(AtomicU64::new(seed)))
    }

    proptest! {
        #[test]
        fn a_token_is_well_formed_and_never_a_secret(seed in any::<u64>()) {
            let token = token(seed);
            prop_assert_eq!(token.expose().len(), 53);
            prop_assert_eq!(InvitationTokenHash::of(token.expose()), Some(token.hash()));
            prop_assert_eq!(SecretHash::of(token.expose()), None);
        }

        #[test]
        fn a_token_with_a_changed_character_is_malformed(seed in any::<u64>(), at in 0_usize..53, other in "[A-Za-z0-9_]") {
            let good = token(seed).expose().to_owned();
            let mut text = good.clone();
            text.replace_range(at..=at, &other);
            prop_assert_eq!(InvitationTokenHash::of(&text).is_some(), text == good);
        }

        #[test]
        fn other_text_is_not_a_token(text in ".{0,80}") {
            prop_assert_eq!(InvitationTokenHash::of(&text), None);
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_token() {
        let token = token(1);
        assert_eq!(format!("{token:?} {:?}", token.hash()), "InvitationToken(…) InvitationTokenHash(…)");
    }
}
