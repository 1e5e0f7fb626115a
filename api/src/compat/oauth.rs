//! OAuth 2.0: introspection (RFC 7662), tokens by client credentials (RFC 6749 §4.4) and token exchange (RFC 8693), revocation
//! (RFC 7009), and the metadata of the authorization server (RFC 8414). The client is an API key: its id is `client_id`, its
//! secret `client_secret`.

mod client;
mod dto;
mod error;
mod grant;
mod metadata;
mod workload;

use std::sync::Arc;

use domain::{
    auth::{authorize::Authorizer, caller::Caller, tokens::ValidHolder},
    keys::quota::MAX_INTEGER,
    permissions::{Permission, Permissions},
    verify::{Requester, VerifyRequest, result::Verdict},
};
use poem::Request;
use poem_openapi::OpenApi;
use serde_json::Map;

use crate::compat::oauth::{
    client::ClientSecret,
    dto::{IntrospectRequest, IntrospectionView, RevokeRequest, TokenRequest, TokenView},
    error::{Authenticated, Issuing, Publishing},
    grant::{ACCESS_TOKEN, CLIENT_CREDENTIALS, RequestedToken, SubjectToken, TOKEN_EXCHANGE},
    metadata::MetadataView,
};
use crate::http::contract::{ErrorFormat, ErrorResponse, Success, Tag};
use crate::{
    auth::{
        authenticator::Authenticator,
        credentials::{Credential, PublicRequest, key_value},
        jwt::is_jwt,
    },
    http::{
        api_error::{ApiError, Fields, OAuthError},
        body::form::{DeferredForm, Form},
        openapi_types::JsonObject,
    },
    token_issuer::{DEFAULT_TTL_SECONDS, TokenIssuer},
    verifier::Verifier,
};

/// The error format of this API.
pub const ERROR_FORMAT: ErrorFormat = ErrorFormat { prefix: "/oauth", render: error::render };

/// The error format of its metadata.
pub const METADATA_ERROR_FORMAT: ErrorFormat =
    ErrorFormat { prefix: "/.well-known/oauth-authorization-server", render: error::render_of_metadata };

/// The operations of this API.
pub struct OAuth {
    /// Authenticates.
    pub authenticator: Arc<Authenticator>,
    /// Counts requests towards the rate limit of an organization.
    pub authorizer: Arc<Authorizer>,
    /// Verifies keys, and counts the results in the metrics of this API.
    pub verifier: Arc<Verifier>,
    /// Issues and reads short-lived tokens.
    pub issuer: Arc<TokenIssuer>,
}

#[OpenApi(tag = "Tag::OAuth")]
impl OAuth {
    /// Introspect a token
    ///
    /// Says whether an API key, or a short-lived token of this service, is valid, and what it permits (RFC 7662), to callers that
    /// could verify it. Anything else is `{"active": false}`, whatever the reason. A key with an IP allowlist is inactive, because
    /// the address of its user is not known. `scope` has the permissions that the key has after the bounds of its user. The
    /// caller is authenticated as for other operations, or by HTTP Basic or `client_secret` in the form, with the secret of a key.
    /// Needs `api_keys:verify`.
    #[oai(path = "/oauth/introspect", method = "post", operation_id = "introspectToken")]
    async fn introspect(
        &self,
        credential: Credential,
        request: &Request,
        /// The token.
        body: DeferredForm<IntrospectRequest>,
    ) -> Result<Success<IntrospectionView>, ErrorResponse<Authenticated>> {
        let client = client::of(credential, request, body).await?;
        let caller = self.verifier.count_failed_authentication(client.authenticate(&self.authenticator).await)?;
        caller.require(&Permission::API_KEYS_VERIFY)?;
        let form = client.form().await?;
        let (token, cost) = (form.require("token")?, cost(&form)?);
        let view = if is_jwt(token) {
            self.introspect_token(&caller, token).await?
        } else {
            self.introspect_key(&caller, token, cost).await?
        };
        Ok(Success(view.unwrap_or_default()))
    }

    /// Issue a token
    ///
    /// Issues the same short-lived token as `POST /tokens`: by `client_credentials` (RFC 6749 §4.4), with the id of a key as
    /// `client_id` and its secret as `client_secret`, by HTTP Basic or in the form; or in exchange for an API key that is the
    /// `subject_token` (RFC 8693). `scope` has all or some permissions of the key. The service that the token is for is named by
    /// `audience` or `resource`. 400 `unauthorized_client` for keys that cannot be exchanged for tokens. The `subject_token` can
    /// also be a JWT of an identity provider, such as that of a CI job: then a trust rule of the organization `org_id` that accepts
    /// it decides what the token permits, and how long it is valid.
    #[oai(path = "/oauth/token", method = "post", operation_id = "createOAuthToken")]
    async fn token(
        &self,
        _public: PublicRequest,
        request: &Request,
        /// The token to issue.
        body: DeferredForm<TokenRequest>,
    ) -> Result<Success<TokenView>, ErrorResponse<Issuing>> {
        self.issuer.signer()?;
        let form = body.read().await?;
        let is_exchange = match form.require("grant_type")? {
            CLIENT_CREDENTIALS => false,
            TOKEN_EXCHANGE => true,
            _ => return Err(ApiError::OAuth(OAuthError::UnsupportedGrantType).into()),
        };
        let client = ClientSecret::of_request(request.headers(), &form)?;
        let caller = if is_exchange {
            match grant::subject_token(&form)? {
                SubjectToken::Key(secret) => self.exchanged_key(request, &form, client, secret).await?,
                SubjectToken::Jwt(jwt) => {
                    let issued = self.exchange_jwt(request, &form, client, jwt).await?;
                    return Ok(Success(TokenView::new(&issued, Some(ACCESS_TOKEN))));
                }
            }
        } else {
            let client = client.ok_or(ApiError::OAuth(OAuthError::InvalidClient))?;
            client.authenticate(&self.authenticator, request).await?
        };
        self.issuer.tokens.exchangeable(&caller)?;
        self.authorizer.count_caller(&caller)?;
        let requested = RequestedToken::of(&form)?;
        let audience = requested.audience()?;
        let issued = self.issuer.issue(&caller, audience, requested.permissions, DEFAULT_TTL_SECONDS).await;
        let issued = issued.map_err(grant::invalid_scope)?;
        Ok(Success(TokenView::new(&issued, is_exchange.then_some(ACCESS_TOKEN))))
    }

    /// Revoke a token
    ///
    /// Revokes a short-lived token (RFC 7009), and with it all tokens of the same secret, or of the same trust rule, that have the
    /// same permissions. The caller is the key of the token, or has `api_keys:write` in its organization, and is authenticated as
    /// for introspection.
    /// 200 also for a token that is unknown, has expired, or is one that the caller has no access to. An API key is an
    /// `unsupported_token_type`.
    #[oai(path = "/oauth/revoke", method = "post", operation_id = "revokeToken")]
    async fn revoke(
        &self,
        credential: Credential,
        request: &Request,
        /// The token.
        body: DeferredForm<RevokeRequest>,
    ) -> Result<Success<JsonObject>, ErrorResponse<Authenticated>> {
        let client = client::of(credential, request, body).await?;
        let caller = client.identify(&self.authenticator).await?;
        self.authorizer.count_caller(&caller)?;
        let form = client.form().await?;
        let token = form.require("token")?;
        if self.issuer.is_secret(token) {
            return Err(ApiError::OAuth(OAuthError::UnsupportedTokenType).into());
        }
        self.issuer.revoke(&caller, token).await?;
        Ok(Success(JsonObject(Map::new())))
    }

    /// Get the metadata of the authorization server
    ///
    /// The addresses of this API and what it supports (RFC 8414). 404 if the service has no signing key or no public origin, so
    /// that it cannot issue tokens.
    #[oai(
        path = "/.well-known/oauth-authorization-server",
        method = "get",
        operation_id = "getAuthorizationServerMetadata"
    )]
    #[expect(clippy::unused_async, reason = "operations are asynchronous")]
    async fn metadata(&self, _public: PublicRequest) -> Result<Success<MetadataView>, ErrorResponse<Publishing>> {
        Ok(Success(MetadataView::new(self.issuer.signer()?.1)))
    }
}

impl OAuth {
    /// The key that is exchanged for a token. A client that sends an id and a secret must be valid, too.
    async fn exchanged_key(
        &self,
        request: &Request,
        form: &Form,
        client: Option<ClientSecret>,
        secret: &str,
    ) -> Result<Caller, ApiError> {
        if let Some(client) = &client {
            client.authenticate(&self.authenticator, request).await?;
        }
        let credential = Credential { value: key_value(secret), ..Credential::of(request) };
        let caller = self.authenticator.identify(&credential).await.map_err(grant::invalid_subject)?;
        // A client without a secret names itself by `client_id` (RFC 6749 §3.2.1).
        let named = form.get("client_id").filter(|_| client.is_none());
        if named.is_some_and(|id| caller.key().is_none_or(|key| id.parse() != Ok(key.id()))) {
            return Err(ApiError::OAuth(OAuthError::InvalidClient));
        }
        Ok(caller)
    }

    /// What an API key permits. `None`: it is not valid for the caller.
    async fn introspect_key(
        &self,
        caller: &Caller,
        secret: &str,
        cost: u64,
    ) -> Result<Option<IntrospectionView>, ApiError> {
        let permissions = Permissions::default();
        let request = VerifyRequest {
            secret,
            permissions: &permissions,
            any_permission: &[],
            organization: None,
            from: None,
            cost: cost.max(1),
        };
        let verdict = if cost == 0 {
            self.verifier.introspect(caller, request).await?
        } else {
            self.verifier.verify(Requester::Caller(caller), request).await?
        };
        let Verdict::Valid(valid) = verdict else { return Ok(None) };
        let issuer = self.issuer.keyring.as_ref().and_then(|keyring| keyring.issuer());
        Ok(IntrospectionView::of_key(&valid, issuer))
    }

    /// What a short-lived token permits. `None`: it is not valid for the caller.
    async fn introspect_token(&self, caller: &Caller, text: &str) -> Result<Option<IntrospectionView>, ApiError> {
        let Some((claims, group, id)) = self.issuer.read(text) else { return Ok(None) };
        let holder = self.issuer.tokens.valid_holder_of(group).await.map_err(domain::Error::from)?;
        Ok(match holder {
            Some(ValidHolder::Key(key)) if key.id().uuid() == id && caller.can_see(key.organization()) => {
                Some(IntrospectionView::of_token(claims, &key))
            }
            Some(ValidHolder::TrustRule(found)) => {
                let (rule, organization) = *found;
                let is_visible = rule.id.uuid() == id && caller.can_see(organization.id);
                is_visible.then(|| IntrospectionView::of_workload_token(claims, &rule, &organization))
            }
            Some(ValidHolder::Key(_)) | None => None,
        })
    }
}

/// The number of uses that introspection counts.
fn cost(form: &Form) -> Result<u64, ApiError> {
    let cost = form.get("cost").map_or(Some(0), |text| text.parse().ok());
    cost.filter(|cost| *cost <= MAX_INTEGER)
        .ok_or_else(|| ApiError::Invalid(Fields::one("cost", "must be a number of uses, 0 to 9007199254740991")))
}
