//! The two secrets of a portal session: that of its link, which is exchanged once, and the token that the page sends with
//! its requests.
//!
//! Each is a prefix, 43 base62 characters from the system's random source (256 bits), and a check that covers the prefix
//! (`crate::keys::secret`). So neither is a well-formed secret of a key, nor the other one.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{
    clock::Entropy,
    keys::secret::{generate_token, is_token},
};

/// Which of the two secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortalSecretKind {
    /// That of the link.
    Link,
    /// The token of the page.
    Token,
}

impl PortalSecretKind {
    /// The prefix, by which secret scanners recognize it.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Link => "cvl_",
            Self::Token => "cvp_",
        }
    }
}

/// The secret of a link, or the token of a page, in plain text. Its `Debug` output does not contain it.
#[derive(Clone, PartialEq, Eq)]
pub struct PortalSecret(String);

impl PortalSecret {
    /// Generates a secret.
    #[must_use]
    pub fn generate(kind: PortalSecretKind, entropy: &dyn Entropy) -> Self {
        Self(generate_token(kind.prefix(), entropy))
    }

    /// The plain text, for the response that returns it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The hash, which is stored instead of the secret.
    #[must_use]
    pub fn hash(&self) -> PortalSecretHash {
        PortalSecretHash::of_text(&self.0)
    }
}

impl fmt::Debug for PortalSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortalSecret(…)")
    }
}

/// SHA-256 of a [`PortalSecret`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PortalSecretHash([u8; 32]);

impl PortalSecretHash {
    /// The hash of a text that was sent as a secret of this kind. `None`: it does not have its format, or its check is
    /// wrong, so it need not be looked up.
    #[must_use]
    pub fn of(kind: PortalSecretKind, text: &str) -> Option<Self> {
        is_token(kind.prefix(), text).then(|| Self::of_text(text))
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

impl fmt::Debug for PortalSecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortalSecretHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::invitation::InvitationTokenHash, keys::secret::SecretHash};

    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    #[test]
    fn each_kind_is_recognized_and_is_no_other_secret() {
        let kinds = [PortalSecretKind::Link, PortalSecretKind::Token];
        for kind in kinds {
            let secret = PortalSecret::generate(kind, &Sevens);
            let text = secret.expose();
            assert_eq!(text.len(), 53);
            for other in kinds {
                assert_eq!(PortalSecretHash::of(other, text), (other == kind).then(|| secret.hash()));
            }
            assert_eq!(SecretHash::of(text), None);
            assert!(InvitationTokenHash::of(text).is_none());
            assert_eq!(PortalSecretHash::of(kind, &text.replacen('7', "8", 1)), None);
            assert_eq!(PortalSecretHash::of(kind, &text[..52]), None);
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_secret() {
        let secret = PortalSecret::generate(PortalSecretKind::Token, &Sevens);
        assert_eq!(format!("{secret:?} {:?}", secret.hash()), "PortalSecret(…) PortalSecretHash(…)");
    }
}
