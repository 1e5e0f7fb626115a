//! Short-lived access tokens, and the groups in which they are revoked.

use crate::{
    clock::Timestamp,
    id::{Identity, KeyId, OrganizationId, TokenGroupId, TokenId, TrustRuleId, UserId},
    keys::secret::SecretHash,
    permissions::Permissions,
};

/// The claims of an access token, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The id of the token (`jti`).
    pub id: TokenId,
    /// The token group, by which the token is revoked.
    pub group: TokenGroupId,
    /// The organization of the key or trust rule.
    pub organization: OrganizationId,
    /// What the token was issued for.
    pub holder: TokenHolder,
    /// The permissions of the token.
    pub permissions: Permissions,
    /// When it was issued (UTC).
    pub issued_at: Timestamp,
    /// When it expires (UTC, exclusive).
    pub expires_at: Timestamp,
}

impl Token {
    /// The maximum lifetime of a token, in seconds.
    pub const MAX_TTL_SECONDS: u64 = 15 * 60;

    /// Maximum bytes of a token's permissions, separated by spaces: the token has to fit into a request header.
    pub const MAX_SCOPE_BYTES: usize = 4_096;

    /// Whether a token can have these permissions: at most [`Token::MAX_SCOPE_BYTES`].
    #[must_use]
    pub fn fits(permissions: &Permissions) -> bool {
        permissions.flat().join(" ").len() <= Self::MAX_SCOPE_BYTES
    }
}

/// What a token was issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenHolder {
    /// This key, and the user that it belongs to. `None`: it belongs to an organization.
    Key(KeyId, Option<UserId>),
    /// A workload with this identity, by this trust rule.
    Workload(TrustRuleId, Identity),
}

/// A token group: the tokens that were issued for one secret, or by one trust rule, with the same permissions. They are revoked
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenGroup {
    /// The id, which is random, so that it discloses nothing about the key.
    pub id: TokenGroupId,
    /// The organization of the key or trust rule.
    pub organization: OrganizationId,
    /// The key. `None`: the tokens were issued by a trust rule, or the group was stored by an earlier version.
    pub key: Option<KeyId>,
    /// The trust rule. `None`: the tokens were issued for a key.
    pub trust_rule: Option<TrustRuleId>,
    /// The hash of the secret that the tokens were issued for, or [`TokenGroup::secret_of_rule`];
    /// [`TokenGroup::revoked_secret`] once the group is revoked.
    pub secret: SecretHash,
}

/// Key-derivation context of BLAKE3 for [`TokenGroup::revoked_secret`]. It is stored, so it never changes.
const REVOKED_CONTEXT: &str = "claviger 2026-11-29 revoked token group v1";

/// Key-derivation context of BLAKE3 for [`TokenGroup::secret_of_rule`]. It is stored, so it never changes.
const RULE_CONTEXT: &str = "claviger 2026-11-30 token group of a trust rule v1";

impl TokenGroup {
    /// The hash that a token group gets when it is revoked. No secret has it, so the tokens of the group are those of a key that
    /// does not exist, for earlier versions, too.
    #[must_use]
    pub fn revoked_secret(id: TokenGroupId) -> SecretHash {
        SecretHash::from_bytes(blake3::derive_key(REVOKED_CONTEXT, id.uuid().as_bytes()))
    }

    /// The hash that the token groups of a generation of a trust rule have instead of that of a secret. No secret has it, so
    /// earlier versions treat the tokens as those of a deleted key, which is revoked.
    #[must_use]
    pub fn secret_of_rule(rule: TrustRuleId, generation: u64) -> SecretHash {
        let material = [&rule.uuid().as_bytes()[..], &generation.to_be_bytes()].concat();
        SecretHash::from_bytes(blake3::derive_key(RULE_CONTEXT, &material))
    }

    /// Whether the tokens of the group were revoked, whatever its key or trust rule may do.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.secret == Self::revoked_secret(self.id)
    }
}
