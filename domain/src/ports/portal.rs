//! The port of the customers' portal. Each method that changes something also stores its audit event, unless it says otherwise.

use async_trait::async_trait;

use crate::{
    audit::context::AuditContext,
    auth::portal::{
        session::PortalSession,
        settings::{PortalSettings, PortalSettingsPatch},
        token::PortalSecretHash,
        web_address::EmbeddingOrigin,
    },
    clock::Timestamp,
    error::{Error, Outage},
    id::{ExternalId, OrganizationId, PortalSessionId},
};

/// The settings and the sessions of the portals of organizations.
#[async_trait]
pub trait Portals: Send + Sync {
    /// The settings of an organization; the default ones if it has stored none.
    async fn settings(&self, organization: OrganizationId) -> Result<PortalSettings, Outage>;

    /// Changes the settings of an organization, and returns the new ones. Simultaneous changes of different settings are all stored.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the organization was deleted; [`Error::TooMany`].
    async fn update_settings(
        &self,
        organization: OrganizationId,
        patch: &PortalSettingsPatch,
        context: &AuditContext,
    ) -> Result<PortalSettings, Error>;

    /// The origins that may embed the page of a session, even if it has expired. Empty: there is no such session, its
    /// organization is deleted or suspended, or it has listed none.
    async fn embedding_origins(&self, session: PortalSessionId) -> Result<Vec<EmbeddingOrigin>, Outage>;

    /// Stores a session with the hash of the secret of its link.
    ///
    /// # Errors
    /// [`Error::CapReached`]; [`Error::NotFound`] if the organization was deleted; [`Error::UserNotFound`] if its customer
    /// is a user who is not a member; [`Error::TooMany`].
    async fn create(
        &self,
        session: &PortalSession,
        link: &PortalSecretHash,
        context: &AuditContext,
    ) -> Result<(), Error>;

    /// The session with the link of this hash, even if it has expired. `None`: there is none, or its link was opened.
    async fn find_by_link(&self, link: &PortalSecretHash) -> Result<Option<PortalSession>, Outage>;

    /// The session with the token of this hash, even if it has expired.
    async fn find_by_token(&self, token: &PortalSecretHash) -> Result<Option<PortalSession>, Outage>;

    /// Opens a link: the session gets the token with this hash and this expiry, and its link is not valid any more. Of
    /// simultaneous requests one succeeds.
    ///
    /// # Errors
    /// [`Error::PortalLinkNotFound`] if the link was opened or the session ended meanwhile; [`Error::TooMany`].
    async fn open(
        &self,
        session: PortalSessionId,
        token: &PortalSecretHash,
        expires_at: Timestamp,
        context: &AuditContext,
    ) -> Result<(), Error>;

    /// Lists at most `limit` sessions of an organization, or of one of its customers, that have not expired at `now`, sorted by
    /// id, beginning after `after` (`None`: with the first).
    async fn list(
        &self,
        organization: OrganizationId,
        customer: Option<&ExternalId>,
        after: Option<PortalSessionId>,
        limit: u64,
        now: Timestamp,
    ) -> Result<Vec<PortalSession>, Outage>;

    /// Deletes a session whose creator may not create it any more. The audit log has no event of it: it has the change of the
    /// creator.
    async fn end(&self, session: PortalSessionId) -> Result<(), Outage>;

    /// Deletes a session of an organization: neither its link nor its token is valid any more. `false`: there is none.
    async fn delete(
        &self,
        organization: OrganizationId,
        session: PortalSessionId,
        context: &AuditContext,
    ) -> Result<bool, Outage>;
}
