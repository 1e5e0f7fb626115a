//! The customers' portal, as its organization sees it: its settings (`/orgs/{org_id}/portal`) and sessions
//! (`/orgs/{org_id}/portal_sessions`). What the page itself requests is in [`customer`].

mod creation_error;
pub(super) mod customer;
mod dto;

use std::sync::Arc;

use domain::{
    auth::portal::{PortalService, session::PortalSession},
    id::ExternalId,
};
use poem::{Request, http::Uri};
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    dto::{Message, PageSize},
    error::{Creating, Reading, Removing, Writing},
    page::{Page, PageRequest},
};
use crate::{
    auth::{
        authorized::{self, OrgAdmin, OrgRead, PortalSessionsWrite},
        credentials::Site,
    },
    http::{
        api_error::Fields,
        body::Deferred,
        contract::{ErrorResponse, Success, Tag},
        list_slots::ListSlots,
        openapi_types::{Id, RawParam},
    },
    idempotency::{IdempotencyHeader, response::Idempotent},
    routes::portal::{
        creation_error::creation_error,
        dto::{CreatePortalSession, CreatedSessionView, ListedSessionView, SettingsView, UpdatePortal},
    },
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
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
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

    /// List the portal sessions of an organization
    ///
    /// Lists sessions whose link can be opened or was opened, sorted by id, without their secrets. The audit log has all of them.
    #[oai(path = "/orgs/:org_id/portal_sessions", method = "get", operation_id = "listPortalSessions")]
    async fn list_portal_sessions(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<PortalSessionsWrite>,
        uri: &Uri,
        /// Filter: the customer, as in `external_id` of their keys.
        external_id: Query<Option<String>>,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Id>>>,
    ) -> Result<Page<ListedSessionView>, ErrorResponse<Reading>> {
        let page_request = PageRequest::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let mut fields = Fields::default();
        let customer = fields.check_optional("external_id", external_id.0.as_deref().map(ExternalId::stored));
        fields.into_result()?;
        let (portal, organization) = (self.portal.clone(), authority.organization());
        let (after, fetch_limit) = (page_request.after, page_request.fetch_limit());
        let read = async move { portal.list(&authority, customer.as_ref(), after, fetch_limit).await };
        let found = self.lists.read(organization, read).await?;
        Ok(Page::with_uri(&page_request, uri, found, |session: &PortalSession| session.id.to_string()).await)
    }

    /// Create a portal session for a customer
    ///
    /// For your backend: creates a link with which one customer can manage their own keys, on a page of this service that you open
    /// for them, or embed. The link is in this response only, is valid for 5 minutes and can be opened once; the session lasts an
    /// hour from then on. The customer sees only keys with this `external_id`, or of this member, that cannot manage this service.
    /// Keys that they create get it, cannot manage this service, and have at most the permissions of `permissions_ceiling`, all of
    /// which the caller must hold. The session ends early when the caller's secret is not valid any more, or could not create it
    /// any more. Only an API key without an IP allowlist can create sessions. At most 10,000 of an organization are open. With
    /// `create`, 400 if a key with the whole ceiling would break the key policy of the organization.
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
            let created = self.portal.create(&authority, body.into_domain()?).await;
            let (session, secret) = created.map_err(creation_error)?;
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
