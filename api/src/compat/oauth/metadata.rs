//! The metadata of the authorization server (RFC 8414).

use poem_openapi::Object;

use super::grant::{CLIENT_CREDENTIALS, TOKEN_EXCHANGE};

/// What the metadata says (RFC 8414 §2).
#[derive(Object)]
#[oai(rename = "OAuthServerMetadata")]
pub(super) struct MetadataView {
    /// Issuer of tokens (`iss`): the public URL of this service.
    issuer: String,
    /// `POST /oauth/token`.
    token_endpoint: String,
    /// The public signing keys.
    jwks_uri: String,
    /// `POST /oauth/introspect`.
    introspection_endpoint: String,
    /// `POST /oauth/revoke`.
    revocation_endpoint: String,
    /// The reference of this API.
    service_documentation: String,
    /// Grant types of the token endpoint.
    grant_types_supported: Vec<String>,
    /// Empty: there is no authorization endpoint.
    response_types_supported: Vec<String>,
    /// How a client authenticates itself at the token endpoint. `none`: an exchange needs no client.
    token_endpoint_auth_methods_supported: Vec<String>,
    /// How a client authenticates itself for introspection, beside the credentials of all operations.
    introspection_endpoint_auth_methods_supported: Vec<String>,
    /// How a client authenticates itself for revocation, beside the credentials of all operations.
    revocation_endpoint_auth_methods_supported: Vec<String>,
}

impl MetadataView {
    pub(super) fn new(issuer: &str) -> Self {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let at = |path: &str| format!("{issuer}{path}");
        let with_secret = || strings(&["client_secret_basic", "client_secret_post"]);
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: at("/oauth/token"),
            jwks_uri: at("/.well-known/jwks.json"),
            introspection_endpoint: at("/oauth/introspect"),
            revocation_endpoint: at("/oauth/revoke"),
            service_documentation: at("/docs"),
            grant_types_supported: strings(&[CLIENT_CREDENTIALS, TOKEN_EXCHANGE]),
            response_types_supported: Vec::new(),
            token_endpoint_auth_methods_supported: strings(&["client_secret_basic", "client_secret_post", "none"]),
            introspection_endpoint_auth_methods_supported: with_secret(),
            revocation_endpoint_auth_methods_supported: with_secret(),
        }
    }
}
