//! `GET /portal`: the page of the customers' portal. Its content security policy lets the listed origins of the session's
//! organization embed it.

use std::sync::Arc;

use domain::auth::portal::{PortalService, web_address::EmbeddingOrigin};
use poem::{Endpoint, Request, Response, Result};
use poem_openapi::OperationId;
use url::form_urlencoded;

use super::Dashboard;

/// The page.
pub struct PortalPage {
    /// The files of the dashboard, one of which is the page.
    pub dashboard: Arc<Dashboard>,
    /// Finds the session that the page is opened with.
    pub portal: Arc<PortalService>,
}

impl Endpoint for PortalPage {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let query = request.uri().query().unwrap_or_default();
        let session = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "session");
        let session = session.and_then(|(_, id)| id.parse().ok());
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
