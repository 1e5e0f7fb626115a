//! Short-lived tokens: what a key may do for a few minutes, for services that decide without asking us. Those of a key form a
//! family for each set of permissions; when the key holds them no longer, the family is revoked.

use std::sync::Arc;

use crate::{
    caller::Caller,
    clock::Entropy,
    error::{Error, Outage},
    id::{FamilyId, TokenId},
    keys::Keys,
    organization::OrganizationKind,
    permission::PermissionSet,
    ports::Families,
    snapshot::Snapshot,
    token::{Family, Token},
};

/// Makes tokens, and tells which of them are good no longer.
pub struct Tokens {
    families: Arc<dyn Families>,
    keys: Arc<Keys>,
    entropy: Arc<dyn Entropy>,
}

impl Tokens {
    /// The longest life of a token, in seconds.
    pub const MOST_SECONDS: u64 = 15 * 60;

    /// How much longer a family is told about than its tokens live, in milliseconds: clocks of verifiers differ.
    pub const LEEWAY: i64 = 60_000;

    /// The use cases over these.
    #[must_use]
    pub fn new(families: Arc<dyn Families>, keys: Arc<Keys>, entropy: Arc<dyn Entropy>) -> Self {
        Self { families, keys, entropy }
    }

    /// The key that a caller may turn into tokens.
    ///
    /// # Errors
    /// [`Error::NotExchangeable`].
    pub fn exchangeable<'a>(&self, caller: &'a Caller) -> Result<&'a Arc<Snapshot>, Error> {
        let key = caller.key().filter(|key| caller.origin.session.is_none() && is_exchangeable(key));
        key.ok_or(Error::NotExchangeable)
    }

    /// A token with a part of what the caller's key may do, for at most so many seconds. It does not outlive the key.
    ///
    /// # Errors
    /// [`Error::NotExchangeable`] where the caller shows anything but the text of a key, and for keys that are metered, bound to
    /// addresses or the platform's; [`Error::ExceedsGrants`]; [`Error::TooManyTokens`]; [`Error::TooMany`]; [`Error::Outage`].
    pub async fn issue(&self, caller: &Caller, permissions: PermissionSet, seconds: u64) -> Result<Token, Error> {
        let key = self.exchangeable(caller)?;
        if !key.allows_all(&permissions) {
            return Err(Error::ExceedsGrants);
        }
        let now = self.keys.now();
        let life = i64::try_from(seconds.min(Self::MOST_SECONDS)).unwrap_or(0).saturating_mul(1_000);
        let expires_at = now.plus_millis(life).no_later_than(key.ends_at());
        let (id, organization, secret) = (FamilyId::random(&*self.entropy), key.organization(), *key.hash());
        let family = Family { id, organization, key: Some(key.id()), secret };
        let over = now.plus_millis(-Self::LEEWAY);
        Ok(Token {
            id: TokenId::random(&*self.entropy),
            family: self.families.join(family, &permissions, expires_at, over).await?,
            organization: key.organization(),
            key: key.id(),
            user: key.user(),
            permissions,
            issued_at: now,
            expires_at,
        })
    }

    /// The families with live tokens.
    ///
    /// # Errors
    /// The database is away.
    pub async fn live(&self) -> Result<Vec<Family>, Outage> {
        self.families.live(self.keys.now().plus_millis(-Self::LEEWAY)).await
    }

    /// The key of a family, as it is now. Whatever has happened to a key, its organization or its user, it shows there: a family
    /// is good as long as its key [may have tokens](Tokens::may_have_tokens) and holds the family's permissions. `None`: there
    /// is no such key any more.
    ///
    /// # Errors
    /// The database is away.
    pub async fn key_of(&self, family: &Family) -> Result<Option<Arc<Snapshot>>, Outage> {
        self.keys.find(&family.secret).await
    }

    /// Whether a key may have tokens now.
    #[must_use]
    pub fn may_have_tokens(&self, key: &Snapshot) -> bool {
        key.check(self.keys.now(), None).is_ok() && is_exchangeable(key)
    }

    /// What the tokens of these families may do.
    ///
    /// # Errors
    /// The database is away.
    pub async fn permissions(&self, families: Vec<FamilyId>) -> Result<Vec<(FamilyId, PermissionSet)>, Outage> {
        self.families.permissions(families).await
    }
}

/// Uses of a token are not counted, and it is good where nobody asks us: that is not for keys with limits or addresses, nor for
/// those that act everywhere.
fn is_exchangeable(key: &Snapshot) -> bool {
    !key.is_metered() && key.addresses().is_none() && key.kind() == OrganizationKind::Tenant
}
