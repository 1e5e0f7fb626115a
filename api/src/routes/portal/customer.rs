//! What the page of the portal requests in its session, below `/portal`. The customer sees only their own keys.

mod caller;
mod dto;

use std::sync::Arc;

use domain::{
    Error,
    auth::portal::{PortalAuthority, PortalKey, PortalService},
    keys::list::Start,
};
use poem::{Request, http::Uri};
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use self::{
    caller::PortalCaller,
    dto::{CreatePortalKey, CreatedKeyView, KeyView, LinkBody, OpenedSessionView, RotatePortalKey, SessionView},
};
use crate::{
    auth::{authenticator::Authenticator, credentials::PublicRequest},
    http::{
        body::Deferred,
        contract::{ErrorResponse, Success, Tag},
        list_slots::ListSlots,
        openapi_types::{Id, RawParam},
        operations::check_request,
    },
    idempotency::{IdempotencyHeader, response::Idempotent},
    routes::{
        dto::{Message, PageSize},
        error::{Creating, OpeningLink, Reading, Removing},
        keys::{
            cursor::Cursor,
            list_query::{GranularityName, Instant},
        },
        page::{DEFAULT_LIMIT, Page},
        usage::{self, UsageView},
    },
};

/// The operations of the page.
pub struct PortalCustomerRoutes {
    /// Limits failed attempts.
    pub authenticator: Arc<Authenticator>,
    /// Opens sessions, and does what they allow.
    pub portal: Arc<PortalService>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(tag = "Tag::Portal")]
impl PortalCustomerRoutes {
    /// Open a portal session
    ///
    /// Exchanges the secret of a link, the part behind the `#`, for the token of the session: once, within 5 minutes after the
    /// session was created. The token is valid for an hour, at the operations below `/portal` only. Failed attempts are limited by
    /// IP address.
    #[oai(path = "/portal/session", method = "post", operation_id = "openPortalSession")]
    async fn open_portal_session(
        &self,
        public: PublicRequest,
        request: &Request,
        /// The secret of the link.
        body: Deferred<LinkBody>,
    ) -> Result<Success<OpenedSessionView>, ErrorResponse<OpeningLink>> {
        check_request(request)?;
        self.authenticator.failures.require(&public.source)?;
        let body = body.read().await?;
        let opened = self.portal.open(body.secret(), public.context()).await;
        if matches!(opened, Err(Error::PortalLinkNotFound)) {
            self.authenticator.failures.count(&public.source)?;
        }
        let (portal, token) = opened?;
        let settings = self.portal.settings_of(&portal).await?;
        Ok(Success(OpenedSessionView::new(&portal, &settings, &token)))
    }

    /// Get the portal session
    ///
    /// What the session of the request allows, and how its page looks.
    #[oai(path = "/portal/session", method = "get", operation_id = "getPortalSession")]
    async fn get_portal_session(&self, portal: PortalCaller) -> Result<Success<SessionView>, ErrorResponse<Reading>> {
        let settings = self.portal.settings_of(&portal).await?;
        Ok(Success(SessionView::new(&portal, &settings)))
    }

    /// Close the portal session
    ///
    /// The token of the request is not valid any more.
    #[oai(path = "/portal/session", method = "delete", operation_id = "closePortalSession")]
    async fn close_portal_session(&self, portal: PortalCaller) -> Result<Success<Message>, ErrorResponse<Removing>> {
        self.portal.close(&portal).await?;
        Ok(Success(Message { message: "Portal session closed successfully".to_owned() }))
    }

    /// List the keys of the customer
    ///
    /// The keys of the session's customer that cannot manage this service, the newest first.
    #[oai(path = "/portal/api_keys", method = "get", operation_id = "listPortalKeys")]
    async fn list_portal_keys(
        &self,
        portal: PortalCaller,
        uri: &Uri,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Cursor>>>,
    ) -> Result<Page<KeyView>, ErrorResponse<Reading>> {
        let limit = limit.0.as_ref().map(PageSize::read).transpose()?.unwrap_or(DEFAULT_LIMIT);
        let (portal, order) = (portal.into_authority(), PortalService::ORDER);
        let organization = portal.session().organization;
        let start = match &cursor.0 {
            Some(text) => Start::After(Cursor::read(text, order, organization)?),
            None => Start::Skip(0),
        };
        let service = self.portal.clone();
        let read = async move { service.list_keys(&portal, start, limit + 1).await };
        let found = self.lists.read(organization, read).await?;
        let cursor_of = |key: &PortalKey| Cursor::write(&order.position(&key.key), order, organization);
        Ok(Page::of(limit, uri, found, cursor_of).await)
    }

    /// Create a key of the customer
    ///
    /// The secret is in `key` of this response and is never shown again. The key belongs to the customer, cannot manage this
    /// service, and has the limits of the session. 403 if the session does not allow it, or the key would have permissions above
    /// its ceiling; 409 if the customer has as many keys as the session allows.
    #[oai(path = "/portal/api_keys", method = "post", operation_id = "createPortalKey")]
    async fn create_portal_key(
        &self,
        portal: PortalCaller,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The key to create.
        body: Deferred<CreatePortalKey>,
    ) -> Result<Idempotent<CreatedKeyView>, ErrorResponse<Creating>> {
        let response = idempotency.run(portal, body, |portal: PortalAuthority, body| async move {
            let new = body.into_domain(&portal.session().limits, self.portal.now())?;
            let (key, secret) = self.portal.create_key(&portal, new).await?;
            Ok(CreatedKeyView::new(&key, &secret))
        });
        Ok(response.await?)
    }

    /// Rotate the secret of a key of the customer
    ///
    /// The new secret is in `key` of this response and is never shown again. The previous one stays valid for the grace period. 403
    /// if the session does not allow it, or the key has permissions above its ceiling; otherwise as for
    /// `POST /orgs/{org_id}/api_keys/{key_id}/rotate`.
    #[oai(path = "/portal/api_keys/:key_id/rotate", method = "post", operation_id = "rotatePortalKey")]
    async fn rotate_portal_key(
        &self,
        portal: PortalCaller,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The grace period of the previous secret.
        body: Deferred<RotatePortalKey>,
    ) -> Result<Idempotent<CreatedKeyView>, ErrorResponse<Creating>> {
        let response = idempotency.run(portal, body, |portal: PortalAuthority, body| async move {
            let (key, secret) = self.portal.rotate_key(&portal, key_id.id(), body.grace()?).await?;
            Ok(CreatedKeyView::new(&key, &secret))
        });
        Ok(response.await?)
    }

    /// Revoke a key of the customer
    ///
    /// The key stops working at once. The organization can restore it within the retention of deleted keys. 403 if the session does
    /// not allow it.
    #[oai(path = "/portal/api_keys/:key_id", method = "delete", operation_id = "revokePortalKey")]
    async fn revoke_portal_key(
        &self,
        portal: PortalCaller,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
    ) -> Result<Success<Message>, ErrorResponse<Removing>> {
        self.portal.revoke_key(&portal, key_id.id()).await?;
        Ok(Success(Message { message: "API key revoked successfully".to_owned() }))
    }

    /// Get the usage of a key of the customer
    ///
    /// As `GET /orgs/{org_id}/api_keys/{key_id}/usage`. 403 if the session does not allow it.
    #[oai(path = "/portal/api_keys/:key_id/usage", method = "get", operation_id = "getPortalKeyUsage")]
    async fn get_portal_key_usage(
        &self,
        portal: PortalCaller,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// Length of a period; default `hour`.
        by: Query<Option<RawParam<GranularityName>>>,
        /// Start; default: 24 hours or 30 days before the end.
        from: Query<Option<RawParam<Instant>>>,
        /// End; default: now.
        until: Query<Option<RawParam<Instant>>>,
    ) -> Result<Success<UsageView>, ErrorResponse<Reading>> {
        let period = usage::period(self.portal.now(), by.0.as_ref(), from.0.as_ref(), until.0.as_ref())?;
        let (service, portal, key) = (self.portal.clone(), portal.into_authority(), key_id.id());
        let organization = portal.session().organization;
        let read = async move { service.key_usage(&portal, key, period).await };
        let buckets = self.lists.read(organization, read).await?;
        Ok(Success(UsageView::new(period, buckets)))
    }
}
