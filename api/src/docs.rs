//! The OpenAPI document, and the reference page made from it. Both come from the binary; the page loads nothing else.

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY},
};

use crate::content::Content;

/// Nothing from anywhere but this page itself; the page may call the service that it came from.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /openapi.json`.
pub struct Document(Content);

impl Document {
    /// The document with this text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Content::new(text, "application/json"))
    }
}

impl Endpoint for Document {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        Ok(self.0.answer(request.headers()).await.with_header(CACHE_CONTROL, "no-cache").into_response())
    }
}

/// `GET /docs`.
pub struct Reference(Content);

impl Reference {
    /// The page with this text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Content::new(text, "text/html; charset=utf-8"))
    }
}

impl Endpoint for Reference {
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
