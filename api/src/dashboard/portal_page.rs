//! `GET /portal`: the page of the customers' portal. Its content security policy lets the listed origins of the session's
//! organization embed it.

use std::sync::Arc;

use domain::auth::portal::{PortalService, web_address::EmbeddingOrigin};
use poem::{Endpoint, Request, Response, Result};
use poem_openapi::OperationId;
use url::form_urlencoded;

use super::Dashboard;
use crate::{
    auth::{
        attempts::{AttemptKind, AttemptLimit},
        credentials::PublicRequest,
    },
    metrics::Metrics,
};

/// The requests from a network in a minute, of which each reads a session: more than the customers behind one address open.
pub const MAX_PER_MINUTE: u32 = 120;

/// The page.
pub struct PortalPage {
    /// The files of the dashboard, one of which is the page.
    dashboard: Arc<Dashboard>,
    /// Finds the session that the page is opened with.
    portal: Arc<PortalService>,
    /// Limits the requests of each network, which need no credential.
    limit: AttemptLimit,
}

impl PortalPage {
    /// The page, with a limit of [`MAX_PER_MINUTE`] requests of each network.
    #[must_use]
    pub fn new(dashboard: Arc<Dashboard>, portal: Arc<PortalService>, metrics: &Metrics) -> Self {
        Self { dashboard, portal, limit: AttemptLimit::new(MAX_PER_MINUTE, AttemptKind::PortalPage, metrics) }
    }
}

impl Endpoint for PortalPage {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let query = request.uri().query().unwrap_or_default();
        let session = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "session");
        let session = session.and_then(|(_, id)| id.parse().ok());
        if session.is_some() {
            self.limit.count(&PublicRequest::of(&request).source)?;
        }
        // While the database is not available, no page can embed this one, which says what is wrong itself.
        let origins = self.portal.embedding_origins(session).await.unwrap_or_default();
        let mut response = self.dashboard.portal(request.headers(), &frame_ancestors(&origins)).await?;
        response.set_data(OperationId("portal"));
        Ok(response)
    }
}

/// The origins as the sources of `frame-ancestors` (Content Security Policy Level 3 §6.5.2).
fn frame_ancestors(origins: &[EmbeddingOrigin]) -> String {
    match origins {
        [] => "'none'".to_owned(),
        origins => origins.iter().map(EmbeddingOrigin::as_str).collect::<Vec<_>>().join(" "),
    }
}
