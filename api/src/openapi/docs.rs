//! The OpenAPI document, and the API reference page that contains it. The page loads no other file.

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY},
};

use crate::http::static_content::Content;

/// Content security policy: only inline scripts and styles, and requests to this origin.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The endpoint `GET /openapi.json`.
pub struct OpenApiDocument(Content);

impl OpenApiDocument {
    /// `text` is the completed document as JSON.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Content::new(text, "application/json"))
    }
}

impl Endpoint for OpenApiDocument {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        Ok(self.0.answer(request.headers()).await.with_header(CACHE_CONTROL, "no-cache").into_response())
    }
}

/// The endpoint `GET /docs`.
pub struct ReferencePage(Content);

impl ReferencePage {
    /// `text` is the page as HTML.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Content::new(text, "text/html; charset=utf-8"))
    }
}

impl Endpoint for ReferencePage {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let response = self.0.answer(request.headers()).await;
        Ok(response
            .with_header(CACHE_CONTROL, "no-cache")
            .with_header(CONTENT_SECURITY_POLICY, POLICY)
            .with_header(REFERRER_POLICY, "no-referrer")
            .into_response())
    }
}
