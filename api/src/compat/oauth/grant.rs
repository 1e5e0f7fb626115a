//! The parameters of a request for a token: what it is for, and which permissions and audience the token gets.

use domain::{
    Error,
    organizations::trust_rule::{AudienceError, TokenAudiences},
    permissions::Permissions,
};
use url::Url;

use crate::{
    auth::jwt::is_jwt,
    http::{
        api_error::{ApiError, Fields, OAuthError},
        body::form::Form,
    },
    token_issuer::is_audience,
};

/// The grant type of client credentials (RFC 6749 §4.4).
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";
/// The grant type of token exchange (RFC 8693 §2.1).
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The type of access tokens (RFC 8693 §3), which API keys count as.
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The type of JWTs, which all issued tokens are, and all tokens of identity providers.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// The type of ID tokens, as which some identity providers issue the tokens of workloads.
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// The type of API keys.
const API_KEY: &str = "urn:claviger:params:oauth:token-type:api_key";

/// What a token is issued for.
pub(super) struct RequestedToken<'a> {
    /// Its audience. `None`: the request names none.
    audience: Option<&'a str>,
    /// Its permissions. `None`: all of the key or trust rule.
    pub(super) permissions: Option<Permissions>,
}

impl<'a> RequestedToken<'a> {
    /// Reads `resource` or `audience`, and `scope`.
    pub(super) fn of(form: &'a Form) -> Result<Self, ApiError> {
        Ok(Self { audience: audience(form)?, permissions: form.get("scope").map(scope).transpose()? })
    }

    /// The audience, for a key.
    pub(super) fn audience(&self) -> Result<&'a str, ApiError> {
        self.audience.ok_or_else(|| invalid_audience(AudienceError::Missing))
    }

    /// The audience, for a trust rule with these audiences.
    pub(super) fn audience_of(&self, allowed: &'a TokenAudiences) -> Result<&'a str, ApiError> {
        allowed.choose(self.audience).map_err(invalid_audience)
    }
}

fn invalid_target(description: &'static str) -> ApiError {
    ApiError::OAuth(OAuthError::InvalidTarget(description))
}

fn invalid_audience(error: AudienceError) -> ApiError {
    invalid_target(match error {
        AudienceError::Missing => "audience or resource is required: the service that the token is for",
        AudienceError::NotAllowed => "The trust rule does not have this audience",
    })
}

/// The audience of a token: `audience` is any text, `resource` a URI (RFC 8707 §2). `None`: the form has neither.
fn audience(form: &Form) -> Result<Option<&str>, ApiError> {
    let audience = match (form.get("audience"), form.get("resource")) {
        (Some(audience), None) => audience,
        (None, Some(resource)) => {
            let is_uri = Url::parse(resource).is_ok_and(|url| url.fragment().is_none());
            if !is_uri {
                return Err(invalid_target("resource must be an absolute URI without a fragment"));
            }
            resource
        }
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(ApiError::OAuth(OAuthError::InvalidRequest("Send audience or resource, and not both")));
        }
    };
    let is_valid = is_audience(audience);
    is_valid
        .then_some(Some(audience))
        .ok_or_else(|| invalid_target("The audience must be 1 to 255 characters, without control characters"))
}

/// Parses permissions in flat form, separated by spaces.
fn scope(text: &str) -> Result<Permissions, ApiError> {
    let permissions = text.split(' ').filter(|word| !word.is_empty());
    let permissions =
        if permissions.clone().count() > Permissions::MAX { None } else { Permissions::from_flat(permissions).ok() };
    permissions.filter(|permissions| !permissions.is_empty()).ok_or(ApiError::OAuth(OAuthError::InvalidScope(
        "scope must have 1 to 256 permissions such as files:read, separated by spaces",
    )))
}

/// The error of a token whose permissions are too many.
pub(super) fn invalid_scope(error: ApiError) -> ApiError {
    match error {
        ApiError::Invalid(_) => ApiError::OAuth(OAuthError::InvalidScope(
            "The permissions must be at most 4,096 bytes in total; name fewer by scope",
        )),
        other => other,
    }
}

/// What is exchanged for a token.
pub(super) enum SubjectToken<'a> {
    /// An API key.
    Key(&'a str),
    /// A JWT of an identity provider.
    Jwt(&'a str),
}

/// What is exchanged for a token: an API key or a JWT, which also have the type of access tokens.
///
/// # Errors
/// [`OAuthError::InvalidRequest`]: it is missing, or something else is to be exchanged or issued.
pub(super) fn subject_token(form: &Form) -> Result<SubjectToken<'_>, ApiError> {
    let invalid = |name: &str, wrong: &str| Err(ApiError::Invalid(Fields::one(name, wrong)));
    let kind = form.require("subject_token_type")?;
    if ![ACCESS_TOKEN, API_KEY, JWT, ID_TOKEN].contains(&kind) {
        let expected = "must be urn:ietf:params:oauth:token-type:access_token for an API key, or \
                        urn:ietf:params:oauth:token-type:jwt for a JWT of an identity provider";
        return invalid("subject_token_type", expected);
    }
    if form.get("requested_token_type").is_some_and(|kind| ![ACCESS_TOKEN, JWT].contains(&kind)) {
        return invalid("requested_token_type", "must be urn:ietf:params:oauth:token-type:access_token, or absent");
    }
    if form.get("actor_token").or(form.get("actor_token_type")).is_some() {
        return invalid("actor_token", "is not supported; leave it out");
    }
    let token = form.require("subject_token")?;
    let is_key = kind == API_KEY || kind == ACCESS_TOKEN && !is_jwt(token);
    Ok(if is_key { SubjectToken::Key(token) } else { SubjectToken::Jwt(token) })
}

/// The error of a subject token that is no valid API key: RFC 8693 §2.2.2 requires this code.
pub(super) fn invalid_subject(error: ApiError) -> ApiError {
    match error {
        ApiError::MalformedCredential | ApiError::Domain(Error::Unauthenticated(_)) => {
            ApiError::OAuth(OAuthError::InvalidRequest("subject_token is not a valid API key"))
        }
        other => other,
    }
}
