//! The ports of identities at identity providers, sessions and access tokens.

use async_trait::async_trait;

use crate::{
    audit::context::AuditContext,
    auth::{
        identity::ActiveMembership,
        session::{LiveSessions, Session, SessionsOf},
        token::TokenGroup,
    },
    clock::Timestamp,
    error::{Error, Outage},
    id::{Identity, OrganizationId, SessionId, TokenGroupId, UserId},
    organizations::user::{Email, User, UserName},
    permissions::Permissions,
};

/// A user to store.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The user.
    pub user: User,
    /// The user's identity at a provider. `None`: they have none.
    pub identity: Option<Identity>,
    /// How they join the organization.
    pub joined_by: JoinedBy,
}

/// How a user joins an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinedBy {
    /// Another member adds them. They have not accepted the membership yet.
    Addition,
    /// Their provider provisions them on login, which counts as acceptance. Not if they were removed before.
    Provisioning,
    /// They redeem an invitation, which counts as acceptance.
    Invitation,
    /// They sign up as the first member, which counts as acceptance.
    SignUp,
}

/// How an identity is linked to an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not at all.
    Unknown,
    /// To this user.
    User(UserId),
    /// To a user who was removed or has left. They are not provisioned again.
    Removed,
}

/// The profile of a user in the claims of their provider. The organization gets it when they accept the membership.
#[derive(Clone, Debug, Default)]
pub struct ProvidedProfile {
    /// The display name. `None`: the claims have none.
    pub name: Option<UserName>,
    /// The e-mail address. `None`: the claims have none.
    pub email: Option<Email>,
}

/// The links from identities at providers to users of organizations.
#[async_trait]
pub trait ExternalIdentities: Send + Sync {
    /// The memberships of an identity in organizations that are neither deleted nor suspended; with `only`, in this
    /// organization. At most 1,000 accepted ones and then at most 100 others, both sorted by organization id.
    async fn find_memberships(
        &self,
        identity: &Identity,
        only: Option<OrganizationId>,
    ) -> Result<Vec<ActiveMembership>, Outage>;

    /// Whether any organization has, or had, a user with this identity.
    async fn is_known(&self, identity: &Identity) -> Result<bool, Outage>;

    /// How this identity is linked to an organization.
    async fn find_link(&self, organization: OrganizationId, identity: &Identity) -> Result<Link, Outage>;

    /// Accepts the membership of an identity in an organization, and stores the profile that the claims have. `profile` is
    /// `None` if the user accepts by themselves. Nothing is changed if it was accepted before.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the organization has no such user, or was deleted.
    async fn accept(
        &self,
        organization: OrganizationId,
        identity: &Identity,
        profile: Option<ProvidedProfile>,
        context: &AuditContext,
    ) -> Result<(), Error>;
}

/// The stored sessions. They are deleted with the secret or the user that they stand for.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Stores a session, and deletes the one that it `replaces` (`None`: none). If its secret, user or organization has
    /// too many, it also replaces the oldest one.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the secret or user does not exist any more, or the key is disabled or deleted.
    async fn create(&self, session: &Session, replaces: Option<SessionId>) -> Result<(), Error>;

    /// The session with this id, even if it has ended.
    async fn find(&self, session: SessionId) -> Result<Option<Session>, Outage>;

    /// Notes that a session was used. It is stored in the background; the latest use of several counts.
    fn record_use(&self, session: SessionId, at: Timestamp);

    /// Lists at most `limit` of these sessions that have not ended, sorted by id, beginning after `after` (`None`: with
    /// the first).
    async fn list(
        &self,
        of: SessionsOf,
        live: LiveSessions,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Session>, Outage>;

    /// Deletes a session, if it exists.
    async fn delete(&self, session: SessionId) -> Result<(), Outage>;

    /// Deletes a session if it is one of these, and writes `context` to the audit log. Returns whether it was one.
    async fn delete_one(
        &self,
        of: SessionsOf,
        session: SessionId,
        context: Option<AuditContext>,
    ) -> Result<bool, Outage>;

    /// Deletes all of these sessions except `kept` (`None`: all), in batches, and returns their number. If there was any,
    /// `context` is written to the audit log. After an outage some may be deleted; another call deletes the rest.
    async fn delete_all(
        &self,
        of: SessionsOf,
        kept: Option<SessionId>,
        context: Option<AuditContext>,
    ) -> Result<u64, Outage>;
}

/// The stored token groups. They are kept after their key or trust rule is deleted, so that their tokens can be revoked.
#[async_trait]
pub trait TokenGroups: Send + Sync {
    /// The id of the token group with this secret and these permissions; if there is none, `group` is stored. It has a
    /// token until `until` (UTC) from now on. Token groups whose last token expired before `expired_before` are not counted.
    ///
    /// # Errors
    /// [`Error::TooManyTokens`] if the secret or its organization has too many others; [`Error::TooMany`] if all
    /// organizations together have too many.
    async fn find_or_create(
        &self,
        group: TokenGroup,
        permissions: &Permissions,
        until: Timestamp,
        expired_before: Timestamp,
    ) -> Result<TokenGroupId, Error>;

    /// The token groups with a token that expires after `expired_before`: at most as many as all organizations may have.
    async fn live(&self, expired_before: Timestamp) -> Result<Vec<TokenGroup>, Outage>;

    /// The token group with this id, with the permissions of its tokens. `None`: it does not exist, or its last token expired
    /// long ago.
    async fn find(&self, group: TokenGroupId) -> Result<Option<(TokenGroup, Permissions)>, Outage>;

    /// Revokes the tokens of a token group: the group gets [`TokenGroup::revoked_secret`], so the next token with its secret and
    /// permissions belongs to a new one. Writes `context` to the audit log, unless the group does not exist or is revoked already.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    async fn revoke(&self, group: TokenGroupId, context: &AuditContext) -> Result<(), Outage>;

    /// The permissions of the tokens of those of these token groups that exist.
    async fn permissions(&self, groups: Vec<TokenGroupId>) -> Result<Vec<(TokenGroupId, Permissions)>, Outage>;
}
