//! The port of invitations and recovery links. Each method that changes something also stores its audit event.

use async_trait::async_trait;

use crate::{
    audit::context::AuditContext,
    auth::invitation::{Invitation, InvitationTokenHash},
    clock::Timestamp,
    error::{Error, Outage},
    id::{Identity, InvitationId, OrganizationId},
    ports::NewUser,
};

/// The open invitations and recovery links of organizations.
#[async_trait]
pub trait Invitations: Send + Sync {
    /// Stores a link with the hash of its token. Other recovery links for the same member are deleted.
    ///
    /// # Errors
    /// [`Error::CapReached`]; [`Error::NotFound`] if the organization was deleted, or the member of a recovery removed;
    /// [`Error::TooMany`].
    async fn create(
        &self,
        invitation: &Invitation,
        token: &InvitationTokenHash,
        context: &AuditContext,
    ) -> Result<(), Error>;

    /// Lists at most `limit` links that are not expired at `now`, sorted by id, beginning after `after` (`None`: with
    /// the first).
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<InvitationId>,
        limit: u64,
        now: Timestamp,
    ) -> Result<Vec<Invitation>, Outage>;

    /// The link with this id, if it is not expired at `now`. `None`: the organization has no such link.
    async fn find(
        &self,
        organization: OrganizationId,
        invitation: InvitationId,
        now: Timestamp,
    ) -> Result<Option<Invitation>, Outage>;

    /// The link with this token, even if it has expired.
    async fn find_by_token(&self, token: &InvitationTokenHash) -> Result<Option<Invitation>, Outage>;

    /// Deletes a link.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it was redeemed or revoked meanwhile.
    async fn revoke(&self, invitation: &Invitation, context: &AuditContext) -> Result<(), Error>;

    /// Deletes an invitation, and stores the new user with the permission sets that still exist. Of simultaneous
    /// requests one succeeds. `added` is the context of the new member in the audit log.
    ///
    /// # Errors
    /// [`Error::InvitationNotFound`] if it was redeemed or revoked meanwhile, or the organization was deleted;
    /// [`Error::AlreadyMember`] if the identity is a member; [`Error::CapReached`]; [`Error::TooManyPermissions`];
    /// [`Error::TooMany`].
    async fn redeem(
        &self,
        invitation: &Invitation,
        new: NewUser,
        context: &AuditContext,
        added: &AuditContext,
    ) -> Result<(), Error>;

    /// Deletes a recovery link, and links the identity to its member. The member's other passkeys
    /// ([`crate::auth::identity::PASSKEY_ISSUER`]) are unlinked, and removed
    /// if they sign in to nothing else; the member's own sessions are ended. Of simultaneous
    /// requests one succeeds.
    ///
    /// # Errors
    /// [`Error::InvitationNotFound`] if it was redeemed or revoked meanwhile, or the member was removed;
    /// [`Error::AlreadyMember`] if the identity is another member; [`Error::TooMany`].
    async fn recover(&self, invitation: &Invitation, identity: &Identity, context: &AuditContext) -> Result<(), Error>;
}
