//! Forms of the requests, and JSON of the responses.

use domain::{
    clock::Timestamp,
    id::{ExternalId, UserId},
    organizations::{organization::Organization, trust_rule::TrustRule},
    verify::{cached_key::CachedKey, result::Valid},
};
use poem_openapi::Object;
use serde_json::Value;
use uuid::Uuid;

use crate::{auth::jwt::keyring::TokenClaims, http::openapi_types::JsonObject, token_issuer::IssuedToken};

/// The form of an introspection.
#[derive(Object)]
#[oai(rename = "OAuthIntrospectionRequest", skip_serializing_if_is_none)]
pub(super) struct IntrospectRequest {
    /// An API key, or a short-lived token.
    token: String,
    /// Ignored.
    token_type_hint: Option<String>,
    /// Number of uses of an API key to count, as in `POST /api_keys/verify`; default 0: no use is counted, and a key that has no
    /// uses left is inactive.
    cost: Option<u64>,
    /// Id of the caller's key. It is not compared.
    client_id: Option<String>,
    /// Secret of the caller's key, if it is not in a header.
    client_secret: Option<String>,
}

/// The form of a request for a token.
#[derive(Object)]
#[oai(rename = "OAuthTokenRequest", skip_serializing_if_is_none)]
pub(super) struct TokenRequest {
    /// `client_credentials`, or `urn:ietf:params:oauth:grant-type:token-exchange`.
    grant_type: String,
    /// Permissions of the token, separated by spaces: all or some of those of the key or trust rule; default: all. At most 4,096
    /// bytes.
    scope: Option<String>,
    /// The service that the token is for (`aud`): 1 to 255 characters. Either this or `resource` is required, unless a trust rule
    /// has exactly one audience.
    audience: Option<String>,
    /// The service that the token is for (`aud`), as an absolute URI without a fragment (RFC 8707).
    resource: Option<String>,
    /// Id of the key, if it is not in the header `Authorization`.
    client_id: Option<String>,
    /// Secret of the key, if it is not in the header `Authorization`.
    client_secret: Option<String>,
    /// In an exchange: the API key that the token is issued for, or a JWT of an identity provider that a trust rule accepts.
    subject_token: Option<String>,
    /// In an exchange of an API key: `urn:ietf:params:oauth:token-type:access_token` or
    /// `urn:claviger:params:oauth:token-type:api_key`. Of a JWT: `urn:ietf:params:oauth:token-type:jwt`,
    /// `urn:ietf:params:oauth:token-type:id_token` or `urn:ietf:params:oauth:token-type:access_token`.
    subject_token_type: Option<String>,
    /// In an exchange: `urn:ietf:params:oauth:token-type:access_token`, `urn:ietf:params:oauth:token-type:jwt` or absent.
    requested_token_type: Option<String>,
    /// In an exchange of a JWT, required: id of the organization whose trust rule accepts it.
    org_id: Option<String>,
    /// In an exchange of a JWT: id of the trust rule. Required if several trust rules of the organization accept the JWT.
    trust_rule_id: Option<String>,
}

/// The form of a revocation.
#[derive(Object)]
#[oai(rename = "OAuthRevocationRequest", skip_serializing_if_is_none)]
pub(super) struct RevokeRequest {
    /// The short-lived token.
    token: String,
    /// Ignored.
    token_type_hint: Option<String>,
    /// Id of the caller's key. It is not compared.
    client_id: Option<String>,
    /// Secret of the caller's key, if it is not in a header.
    client_secret: Option<String>,
}

/// A new token (RFC 6749 §5.1).
#[derive(Object)]
#[oai(rename = "OAuthToken", skip_serializing_if_is_none)]
pub(super) struct TokenView {
    /// The token. It is returned in this response only.
    access_token: String,
    /// In an exchange: `urn:ietf:params:oauth:token-type:access_token`.
    issued_token_type: Option<String>,
    /// `Bearer`.
    token_type: String,
    /// Seconds until it expires.
    expires_in: u64,
    /// Its permissions, separated by spaces.
    scope: String,
}

impl TokenView {
    pub(super) fn new(issued: &IssuedToken, issued_token_type: Option<&str>) -> Self {
        let token = &issued.token;
        Self {
            access_token: issued.jwt.clone(),
            issued_token_type: issued_token_type.map(str::to_owned),
            token_type: "Bearer".to_owned(),
            expires_in: token.expires_at.millis_since(token.issued_at) / 1_000,
            scope: token.permissions.flat().join(" "),
        }
    }
}

/// What is known about a token. An inactive one has only `active`.
#[derive(Default, Object)]
#[oai(rename = "OAuthIntrospection", skip_serializing_if_is_none)]
pub(super) struct IntrospectionView {
    /// Whether the token is valid.
    active: bool,
    /// Its permissions, separated by spaces.
    scope: Option<String>,
    /// Id of the key, or of the trust rule that has issued a short-lived token.
    client_id: Option<Uuid>,
    /// Id of the user that the key belongs to; of the key, if it belongs to the organization; of the trust rule.
    sub: Option<Uuid>,
    /// `Bearer`.
    token_type: Option<String>,
    /// Expiry time, in seconds since 1970; absent if it never expires.
    exp: Option<i64>,
    /// When it was created, in seconds since 1970.
    iat: Option<i64>,
    /// Issuer: this service. Absent if it does not know its public URL.
    iss: Option<String>,
    /// The service that a short-lived token is for.
    aud: Option<String>,
    /// Id of a short-lived token.
    jti: Option<String>,
    /// Id of the organization that owns the key or trust rule.
    org_id: Option<Uuid>,
    /// Identifier of that organization in your own system.
    org_external_id: Option<String>,
    /// Id of the key. Absent for tokens of trust rules.
    key_id: Option<Uuid>,
    /// The workload that got a short-lived token by a trust rule.
    workload: Option<WorkloadView>,
    /// Identifier of the key, or of its user, in your own system.
    external_id: Option<String>,
    /// Name of the key or trust rule.
    name: Option<String>,
    /// Metadata of the key.
    metadata: Option<JsonObject>,
    /// Uses that the key has left; absent: unlimited.
    remaining: Option<u64>,
}

/// A workload, as its identity provider identifies it.
#[derive(Object)]
#[oai(rename = "OAuthWorkload")]
pub(super) struct WorkloadView {
    /// Issuer of the token that was exchanged.
    iss: String,
    /// Subject of that token.
    sub: String,
}

impl IntrospectionView {
    /// A valid key. `None`: the intersection of its permissions with those of its user is too large to be listed.
    pub(super) fn of_key(valid: &Valid, issuer: Option<&str>) -> Option<Self> {
        let key = &valid.key;
        let scope = key.effective_permissions().permissions()?.flat().join(" ");
        Some(Self {
            scope: Some(scope),
            exp: key.ends_at().map(seconds),
            iat: Some(seconds(key.created_at())),
            iss: issuer.map(str::to_owned),
            remaining: valid.quota.remaining,
            ..Self::of(key)
        })
    }

    /// A short-lived token of a key.
    pub(super) fn of_token(claims: TokenClaims, key: &CachedKey) -> Self {
        Self::of(key).with(claims)
    }

    /// A short-lived token that a trust rule of this organization has issued.
    pub(super) fn of_workload_token(claims: TokenClaims, rule: &TrustRule, organization: &Organization) -> Self {
        let common = Self {
            active: true,
            client_id: Some(rule.id.uuid()),
            sub: Some(rule.id.uuid()),
            token_type: Some("Bearer".to_owned()),
            org_id: Some(organization.id.uuid()),
            org_external_id: organization.external_id.as_ref().map(ExternalId::as_str).map(str::to_owned),
            name: Some(rule.settings.name.as_str().to_owned()),
            ..Self::default()
        };
        common.with(claims)
    }

    /// Adds what a token says itself.
    fn with(self, claims: TokenClaims) -> Self {
        Self {
            scope: Some(claims.scope),
            exp: Some(claims.exp),
            iat: Some(claims.iat),
            iss: Some(claims.iss),
            aud: Some(claims.aud),
            jti: Some(claims.jti),
            workload: claims.workload.map(|workload| WorkloadView { iss: workload.iss, sub: workload.sub }),
            ..self
        }
    }

    /// What a key and its tokens have in common.
    fn of(key: &CachedKey) -> Self {
        let metadata = key.metadata().and_then(|text| serde_json::from_str(text).ok());
        let metadata = if let Some(Value::Object(members)) = metadata { Some(JsonObject(members)) } else { None };
        Self {
            active: true,
            client_id: Some(key.id().uuid()),
            sub: Some(key.user().map_or(key.id().uuid(), UserId::uuid)),
            token_type: Some("Bearer".to_owned()),
            org_id: Some(key.organization().uuid()),
            org_external_id: key.organization_external_id().map(str::to_owned),
            key_id: Some(key.id().uuid()),
            external_id: key.external_id().map(str::to_owned),
            name: key.name().map(str::to_owned),
            metadata,
            ..Self::default()
        }
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1_000)
}
