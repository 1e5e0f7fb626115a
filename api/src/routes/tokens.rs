//! Short-lived access tokens (`/tokens`), and what services validate them with (`/.well-known/…`).

use std::sync::Arc;

use domain::{
    auth::{authorize::Authorizer, token::Token},
    id::OrganizationId,
    permissions::Permissions,
};
use hyper::body::Bytes;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use poem::{IntoResponse, Request, Response};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::Query,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};

use super::error::{Publishing, Writing};
use crate::routes::{fields::permissions, keys::list_query};
use crate::{
    auth::{
        authenticator::Authenticator,
        credentials::{Credential, PublicRequest},
        jwt::revoked::RevokedList,
    },
    http::{
        api_error::{ApiError, Fields},
        body::Deferred,
        contract::{ErrorResponse, Success, Tag},
        openapi_types::{Id, RawParam},
        operations::check_request,
        rfc3339::Rfc3339,
        strict_json::document,
    },
    token_issuer::{DEFAULT_TTL_SECONDS, INVALID_AUDIENCE, IssuedToken, TokenIssuer, is_audience},
};

/// The operations on access tokens.
pub struct TokenRoutes {
    /// Authenticates.
    pub authenticator: Arc<Authenticator>,
    /// Counts requests towards the rate limit of an organization.
    pub authorizer: Arc<Authorizer>,
    /// Issues tokens.
    pub issuer: Arc<TokenIssuer>,
    /// The revoked tokens.
    pub revoked_list: RevokedList,
}

#[OpenApi(tag = "Tag::SessionsAndTokens")]
impl TokenRoutes {
    /// Exchange an API key for an access token
    ///
    /// Issues a signed access token (RFC 9068) with all or some permissions of the key, for services that validate it
    /// themselves with `/.well-known/jwks.json` and `/.well-known/revoked`. It expires after at most 15 minutes, and
    /// not after the key. `sub` is a user of the organization in `org_id` only: services must check both. 403 for keys
    /// with limits or an IP allowlist, for keys of the platform, and for any credential other than an API key. This
    /// service itself does not accept such tokens.
    #[oai(path = "/tokens", method = "post", operation_id = "createToken")]
    async fn create_token(
        &self,
        credential: Credential,
        request: &Request,
        /// The token to issue.
        body: Deferred<CreateToken>,
    ) -> Result<Success<TokenView>, ErrorResponse<Writing>> {
        let caller = self.authenticator.identify(&credential).await?;
        self.issuer.signer()?;
        self.issuer.tokens.exchangeable(&caller)?;
        self.authorizer.count_caller(&caller)?;
        check_request(request)?;
        let requested = body.read().await?.check()?;
        let ValidatedToken { audience, permissions, seconds } = requested;
        let IssuedToken { jwt, token } = self.issuer.issue(&caller, &audience, permissions, seconds).await?;
        Ok(Success(TokenView {
            token: jwt,
            token_type: "Bearer".to_owned(),
            expires_at: Rfc3339(token.expires_at),
            permissions: token.permissions.flat(),
        }))
    }

    /// Get the public signing keys
    ///
    /// A JWK Set (RFC 7517). A signing key is published before its first token is issued, and until its last token has
    /// expired, if the operator rotates keys as documented.
    #[oai(path = "/.well-known/jwks.json", method = "get", operation_id = "getJwks")]
    #[expect(clippy::unused_async, reason = "operations are asynchronous")]
    async fn jwks(&self, _request: PublicRequest) -> Result<Success<JwkSetView>, ErrorResponse<Publishing>> {
        let keyring = self.issuer.keyring.as_ref().ok_or(ApiError::NotConfigured)?;
        Ok(Success(JwkSetView { keys: keyring.published().iter().filter_map(jwk).collect() }))
    }

    /// Get the revoked tokens
    ///
    /// A JWT of the type `revoked+jwt`, signed like the tokens, that expires after 10 seconds: a service that cannot
    /// get a newer one must reject all tokens. The claim `revoked` lists the values of the claim `family` of tokens
    /// that are revoked but have not expired, and `revoked_organizations` the values of `org_id` of tokens that must all
    /// be rejected: an organization with more than 1,000 such values is listed as a whole. With `org_id` it covers the
    /// tokens of that organization only: it has the claim `org_id`, and instead of `revoked_organizations` the claim
    /// `revoked_keys` lists the values of `client_id` of tokens that are revoked, too.
    #[oai(path = "/.well-known/revoked", method = "get", operation_id = "getRevokedTokensJwt")]
    async fn revoked_jwt(
        &self,
        _public: PublicRequest,
        request: &Request,
        /// The organization whose tokens to cover; default: all.
        org_id: Query<Option<RawParam<Id>>>,
    ) -> Result<JwtResponse, ErrorResponse<Publishing>> {
        Ok(JwtResponse(self.revoked(request, org_id.0.as_ref()).await?))
    }

    /// Get the revoked tokens as JSON
    ///
    /// The same JWT in a JSON object, for clients that read no other media type.
    #[oai(path = "/.well-known/revoked.json", method = "get", operation_id = "getRevokedTokens")]
    async fn revoked_json(
        &self,
        _public: PublicRequest,
        request: &Request,
        /// The organization whose tokens to cover; default: all.
        org_id: Query<Option<RawParam<Id>>>,
    ) -> Result<Success<RevokedTokensView>, ErrorResponse<Publishing>> {
        let jwt = self.revoked(request, org_id.0.as_ref()).await?;
        Ok(Success(RevokedTokensView { jwt: String::from_utf8_lossy(&jwt).into_owned() }))
    }
}

impl TokenRoutes {
    /// The signed list of revoked tokens.
    async fn revoked(&self, request: &Request, org_id: Option<&RawParam<Id>>) -> Result<Bytes, ApiError> {
        let signer = self.issuer.signer()?;
        check_request(request)?;
        let mut fields = Fields::default();
        let organization = list_query::id(&mut fields, "org_id", org_id).map(OrganizationId::from_uuid);
        fields.into_result()?;
        Ok(self.revoked_list.get(organization, &self.issuer.tokens, signer, &*self.issuer.clock).await?)
    }
}

document! {
    /// A token to issue.
    #[oai(rename = "CreateTokenRequest", skip_serializing_if_is_none)]
    struct CreateToken {
        /// The service that the token is for, by its identifier (`aud`): 1 to 255 characters.
        audience: String,
        /// Permissions of the token: all or some of those of the key; default: all. At most 4,096 bytes in total.
        permissions: Option<Vec<String>>,
        /// Lifetime in seconds, 1 to 900; default 300.
        #[oai(validator(minimum(value = "1"), maximum(value = "900")))]
        ttl_seconds: Option<u64>,
    }
}

/// A [`CreateToken`] after validation.
struct ValidatedToken {
    audience: String,
    permissions: Option<Permissions>,
    seconds: u64,
}

impl CreateToken {
    fn check(self) -> Result<ValidatedToken, ApiError> {
        let mut fields = Fields::default();
        if !is_audience(&self.audience) {
            fields.add("audience", INVALID_AUDIENCE);
        }
        let permissions = fields.check_optional("permissions", self.permissions.as_deref().map(permissions));
        let seconds = self.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS);
        if !(1..=Token::MAX_TTL_SECONDS).contains(&seconds) {
            fields.add("ttl_seconds", "must be 1 to 900");
        }
        fields.into_result()?;
        Ok(ValidatedToken { audience: self.audience, permissions, seconds })
    }
}

/// A new token.
#[derive(Object)]
#[oai(rename = "Token")]
struct TokenView {
    /// The token. It is returned in this response only.
    token: String,
    /// Token type: `Bearer`.
    token_type: String,
    /// Expiry time.
    expires_at: Rfc3339,
    /// Permissions.
    permissions: Vec<String>,
}

/// The revoked tokens.
#[derive(Object)]
#[oai(rename = "RevokedTokenList")]
struct RevokedTokensView {
    /// A JWT of the type `revoked+jwt`, as `GET /.well-known/revoked` returns it.
    jwt: String,
}

/// Public keys (RFC 7517 §5).
#[derive(Object)]
#[oai(rename = "JwkSet")]
struct JwkSetView {
    /// The keys; the first one is used for signing.
    keys: Vec<JwkView>,
}

/// An Ed25519 public key (RFC 8037 §2).
#[derive(Object)]
#[oai(rename = "Jwk")]
struct JwkView {
    /// `OKP`.
    kty: String,
    /// `Ed25519`.
    crv: String,
    /// `EdDSA`.
    alg: String,
    /// `sig`.
    #[oai(rename = "use")]
    purpose: String,
    /// Key id, as in the header of tokens.
    kid: String,
    /// The public key, in base64url.
    x: String,
}

fn jwk(jwk: &Jwk) -> Option<JwkView> {
    let AlgorithmParameters::OctetKeyPair(pair) = &jwk.algorithm else { return None };
    let text = str::to_owned;
    Some(JwkView {
        kty: text("OKP"),
        crv: text("Ed25519"),
        alg: text("EdDSA"),
        purpose: text("sig"),
        kid: jwk.common.key_id.clone()?,
        x: pair.x.clone(),
    })
}

/// A response that is a JWT, of the media type `application/jwt` (RFC 7519 §10.3.1).
struct JwtResponse(Bytes);

impl IntoResponse for JwtResponse {
    fn into_response(self) -> Response {
        Response::builder().content_type(JWT).body(self.0)
    }
}

const JWT: &str = "application/jwt";

impl ApiResponse for JwtResponse {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
        let content = vec![MetaMediaType { content_type: JWT, schema }];
        let (description, status) = ("Done.", Some(200));
        let response = MetaResponse { description, status, status_range: None, content, headers: Vec::new() };
        MetaResponses { responses: vec![response] }
    }

    fn register(_: &mut Registry) {}
}
