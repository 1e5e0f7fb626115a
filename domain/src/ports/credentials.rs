//! What the use cases on outside users, sessions and tokens ask of the world.

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    error::{Error, Outage},
    id::{FamilyId, OrganizationId, SessionId, UserId},
    identity::{Identity, Standing},
    permission::PermissionSet,
    session::Session,
    token::Family,
    user::User,
};

/// A user to be, unless they are known already.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The user.
    pub user: User,
    /// How a provider knows them; without it they are known by their own address.
    pub identity: Option<Identity>,
    /// Whether the provider itself shows them. The first time it does, what it says about them is taken over.
    pub is_seen: bool,
}

/// A user whom somebody has spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The user.
    pub user: UserId,
    /// Whether their provider has shown them yet.
    pub is_seen: bool,
}

/// Users of identity providers.
#[async_trait]
pub trait People: Send + Sync {
    /// The user with this identity.
    async fn find(&self, identity: &Identity) -> Result<Option<Known>, Outage>;

    /// The user with this identifier.
    async fn user(&self, user: UserId) -> Result<Option<User>, Outage>;

    /// Stores a user with an identity, or that they have been seen; answers who has it, also when two race.
    async fn make(&self, brought: Brought) -> Result<UserId, Outage>;

    /// The memberships of a user in organizations that are not suspended, in the order of these; at most 1,000, or that in
    /// `only` one.
    async fn standings(&self, user: UserId, only: Option<OrganizationId>) -> Result<Vec<Standing>, Outage>;
}

/// Sessions of browsers. They end with the secret or the user that they speak for.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Stores a new one, instead of the oldest where its secret, user or organization has very many.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the secret or user has gone.
    async fn create(&self, session: &Session) -> Result<(), Error>;

    /// The session with this identifier, also one whose time is over.
    async fn find(&self, session: SessionId) -> Result<Option<Session>, Outage>;

    /// Ends it, if there is such a one.
    async fn delete(&self, session: SessionId) -> Result<(), Outage>;
}

/// Families of tokens. They outlive the key that their tokens stand for.
#[async_trait]
pub trait Families: Send + Sync {
    /// The family with this secret and these permissions, which is `family` where there was none; from now on it has a token
    /// that lives until `until`. Families whose last token ended before `over` do not count any more.
    ///
    /// # Errors
    /// [`Error::TooManyTokens`] where the secret or its organization has very many others; [`Error::TooMany`] where all
    /// organizations together have.
    async fn join(
        &self,
        family: Family,
        permissions: &PermissionSet,
        until: Timestamp,
        over: Timestamp,
    ) -> Result<FamilyId, Error>;

    /// Those with a token that ends after `over`: as many as all organizations may have, at most.
    async fn live(&self, over: Timestamp) -> Result<Vec<Family>, Outage>;

    /// What the tokens of these families may do, as far as there are such.
    async fn permissions(&self, families: Vec<FamilyId>) -> Result<Vec<(FamilyId, PermissionSet)>, Outage>;
}
