//! The OpenAPI document, and the reference page made from it. Both come from the binary; the page loads nothing else.

use poem::{
    Endpoint, Request, Response, Result,
    http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY},
};

/// Nothing from anywhere but this page itself; the page may call the service that it came from.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /openapi.json`.
pub struct Document(pub String);

impl Endpoint for Document {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        Ok(Response::builder().content_type("application/json").body(self.0.clone()))
    }
}

/// `GET /docs`.
pub struct Reference(pub String);

impl Endpoint for Reference {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        Ok(Response::builder()
            .content_type("text/html; charset=utf-8")
            .header(CONTENT_SECURITY_POLICY, POLICY)
            .header(REFERRER_POLICY, "no-referrer")
            .body(self.0.clone()))
    }
}
