//! The customers' portal, as its organization sees it: its settings (`/orgs/{org_id}/portal`) and sessions
//! (`/orgs/{org_id}/portal_sessions`). What the page itself requests is in [`customer`].

pub(super) mod customer;
mod dto;

use std::sync::Arc;

use domain::auth::portal::PortalService;
use poem::Request;
use poem_openapi::{OpenApi, param::Path};

use super::{
    dto::Message,
    error::{Creating, Reading, Removing, Writing},
};
use crate::{
    auth::{
        authorized::{self, OrgAdmin, OrgRead, PortalSessionsWrite},
        credentials::Site,
    },
    http::{
        body::Deferred,
        contract::{ErrorResponse, Success, Tag},
        openapi_types::{Id, RawParam},
    },
    idempotency::{IdempotencyHeader, response::Idempotent},
    routes::portal::dto::{CreatePortalSession, CreatedSessionView, SettingsView, UpdatePortal},
};

/// Whether a path is one of the page of the portal, or of its requests. Pages of other origins cannot read their responses, whatever
/// origins the settings of the service allow.
#[must_use]
pub fn is_of_portal(path: &str) -> bool {
    path.strip_prefix("/portal").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The operations on the portal of an organization.
pub struct PortalRoutes {
    /// The settings and the sessions.
    pub portal: Arc<PortalService>,
    /// Whether the service has the dashboard, which the page of the portal is a part of.
    pub has_dashboard: bool,
}

#[OpenApi(tag = "Tag::Portal")]
impl PortalRoutes {
    /// Get the settings of the portal
    #[oai(path = "/orgs/:org_id/portal", method = "get", operation_id = "getPortal")]
    async fn get_portal(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<OrgRead>,
    ) -> Result<Success<SettingsView>, ErrorResponse<Reading>> {
        Ok(Success(SettingsView::from(&self.portal.settings(&authority).await?)))
    }

    /// Update the settings of the portal
    ///
    /// Absent fields are unchanged; `null` clears a field. Pages of the listed origins can embed the portal in a frame; without
    /// any, it can only be opened as a page of its own.
    #[oai(path = "/orgs/:org_id/portal", method = "patch", operation_id = "updatePortal")]
    async fn update_portal(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<OrgAdmin>,
        /// The changes.
        body: Deferred<UpdatePortal>,
    ) -> Result<Success<SettingsView>, ErrorResponse<Writing>> {
        let patch = body.read().await?.into_domain()?;
        Ok(Success(SettingsView::from(&self.portal.update_settings(&authority, patch).await?)))
    }

    /// Create a portal session for a customer
    ///
    /// For your backend: creates a link with which one customer can manage their own keys, on a page of this service that you open
    /// for them, or embed. The link is in this response only, is valid for 5 minutes and can be opened once; the session lasts an
    /// hour from then on. The customer sees only keys with this `external_id`, or of this member, that cannot manage this service.
    /// Keys that they create get it, cannot manage this service, and have at most the permissions of `permissions_ceiling`, all of
    /// which the caller must hold. The session ends early when the caller's secret is not valid any more, or could not create it
    /// any more. Only an API key without an IP allowlist can create sessions. At most 10,000 of an organization are open.
    #[oai(path = "/orgs/:org_id/portal_sessions", method = "post", operation_id = "createPortalSession")]
    async fn create_portal_session(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<PortalSessionsWrite>,
        request: &Request,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The session to create.
        body: Deferred<CreatePortalSession>,
    ) -> Result<Idempotent<CreatedSessionView>, ErrorResponse<Creating>> {
        let page = Site::of(request).service.filter(|_| self.has_dashboard);
        let response = idempotency.run(authority, body, |authority, body| async move {
            let (session, secret) = self.portal.create(&authority, body.into_domain()?).await?;
            Ok(CreatedSessionView::new(&session, &secret, page.as_deref()))
        });
        Ok(response.await?)
    }

    /// Revoke a portal session
    ///
    /// Neither its link nor its page is valid any more. 404 if it has ended.
    #[oai(path = "/orgs/:org_id/portal_sessions/:session_id", method = "delete", operation_id = "revokePortalSession")]
    async fn revoke_portal_session(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<PortalSessionsWrite>,
        /// Id of the portal session.
        session_id: Path<RawParam<Id>>,
    ) -> Result<Success<Message>, ErrorResponse<Removing>> {
        self.portal.revoke(&authority, session_id.id()).await?;
        Ok(Success(Message { message: "Portal session revoked successfully".to_owned() }))
    }
}
