//! Authenticates callers by any credential, for all contracts, and limits the rate of failed attempts.

use std::{net::IpAddr, sync::Arc};

use domain::{
    Error,
    audit::context::RequestContext,
    auth::{
        authenticate::KeyAuthenticator,
        caller::{Caller, Principal},
        federation::FederatedLogin,
        identity::VerifiedClaims,
        portal::token::{PortalSecretHash, PortalSecretKind},
        sessions::Sessions,
    },
    deny_reason::DenyReason,
    ports::ProvidedProfile,
};
use tracing::{Span, field::display};

use crate::{
    auth::{
        attempts::AttemptLimit,
        credentials::{Credential, CredentialValue},
        jwt::{keyring::Keyring, provider_tokens::ProviderTokens},
    },
    http::api_error::ApiError,
};

/// Authenticates callers, and limits the rate of failed attempts by client address.
pub struct Authenticator {
    /// Authenticates by API keys.
    pub keys: Arc<KeyAuthenticator>,
    /// Authenticates by access tokens of identity providers.
    pub federation: Arc<FederatedLogin>,
    /// Validates these access tokens.
    pub provider_tokens: Arc<ProviderTokens>,
    /// Authenticates by sessions.
    pub sessions: Arc<Sessions>,
    /// Validates session cookies. `None`: there are no signing keys, so no cookie is valid.
    pub keyring: Option<Arc<Keyring>>,
    /// The rate limit of failed attempts, by network of the client.
    pub failures: AttemptLimit,
}

/// Whether a person must be a member of an organization.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Membership {
    Required,
    Optional,
}

impl Authenticator {
    /// Authenticates a caller whose key can manage this service. All operations use this, except the few that use
    /// [`Authenticator::identify`].
    ///
    /// # Errors
    /// Those of [`Authenticator::identify`]; [`Error::CannotManage`].
    pub async fn authenticate(&self, credential: &Credential) -> Result<Caller, ApiError> {
        let caller = self.identify(credential).await?;
        caller.require_management()?;
        Ok(caller)
    }

    /// Authenticates a caller, including one whose key cannot manage this service: for operations that only return information
    /// about the caller, or issue a token.
    ///
    /// # Errors
    /// [`ApiError::TooManyAttempts`] if the network of the client failed too often, and this attempt fails, too, or would need a
    /// lookup to find that out; [`ApiError::Anonymous`], [`ApiError::MalformedCredential`], [`ApiError::CrossSite`],
    /// [`ApiError::PortalToken`] or [`Error::Unauthenticated`]; [`Error::UnknownPerson`] for a user of no organization; [`Error::Outage`], which is never
    /// counted as a failed attempt.
    pub async fn identify(&self, credential: &Credential) -> Result<Caller, ApiError> {
        Ok(self.identify_as(credential, Membership::Required).await?.0)
    }

    /// As [`Authenticator::identify`], including a person of no organization, who is not provisioned: for the operation that makes
    /// them a member. Also returns what the provider's token says about them.
    ///
    /// # Errors
    /// Those of [`Authenticator::identify`], except that a user of no organization is accepted.
    pub async fn identify_person(&self, credential: &Credential) -> Result<(Caller, ProvidedProfile), ApiError> {
        self.identify_as(credential, Membership::Optional).await
    }

    async fn identify_as(
        &self,
        credential: &Credential,
        membership: Membership,
    ) -> Result<(Caller, ProvidedProfile), ApiError> {
        self.failures.require_unless(&credential.source, || !self.needs_lookup(&credential.value))?;
        let origin = RequestContext {
            client: Some(credential.source.address.0),
            request_id: credential.request_id.clone(),
            ..RequestContext::default()
        };
        let mut profile = ProvidedProfile::default();
        let outcome = match (&credential.value, membership) {
            (CredentialValue::HeaderToken(token), Membership::Optional) => {
                self.identify_token(token, &mut profile).await
            }
            _ => self.authenticate_credential(credential, &origin).await,
        };
        if matches!(outcome, Err(ApiError::MalformedCredential | ApiError::Domain(Error::Unauthenticated(_)))) {
            self.failures.count(&credential.source)?;
        }
        let caller = outcome?;
        record_in_span(&caller);
        let caller = Caller { origin: RequestContext { session: caller.origin.session, ..origin }, ..caller };
        credential.request_caller.set(&caller);
        Ok((caller, profile))
    }

    /// The person with an access token, and their profile.
    async fn identify_token(&self, token: &str, profile: &mut ProvidedProfile) -> Result<Caller, ApiError> {
        let claims = self.provider_tokens.read(token).await?;
        let caller = self.federation.identify(&claims).await.inspect_err(log_unknown_person)?;
        *profile = ProvidedProfile { name: claims.name, email: claims.email };
        Ok(caller)
    }

    /// The person with these claims, who has just proved who they are. Whether they are a member of an organization does not matter,
    /// and they are not provisioned.
    ///
    /// # Errors
    /// Those of [`FederatedLogin::identify`].
    pub async fn identify_claims(&self, claims: &VerifiedClaims, origin: RequestContext) -> Result<Caller, Error> {
        let caller = self.federation.identify(claims).await.inspect_err(log_unknown_person)?;
        Ok(Caller { origin, ..caller })
    }

    /// Logs in the person with these claims, who has just proved who they are.
    ///
    /// # Errors
    /// Those of [`FederatedLogin::login`].
    pub async fn log_in(&self, claims: VerifiedClaims, origin: RequestContext) -> Result<Caller, Error> {
        let caller = self.federation.login(claims, origin.clone()).await.inspect_err(log_unknown_person)?;
        record_in_span(&caller);
        Ok(Caller { origin, ..caller })
    }

    /// The caller with this secret in a header, if their key is cached, valid and can manage this service. It does not matter how
    /// often others in the same network failed. `from` is the client's IP address. `None`: use [`Authenticator::authenticate`].
    #[must_use]
    pub fn authenticate_cached(&self, secret: &str, from: IpAddr) -> Option<Caller> {
        self.keys.authenticate_cached(secret, Some(from)).filter(Caller::can_manage)
    }

    /// Whether a credential from a network that failed too often is refused without a check: a secret whose key is not cached,
    /// because it would be read from the database, and a malformed value, because it fails anyway. Sessions and access tokens are
    /// checked: their signature is verified before anything is read from the database.
    fn needs_lookup(&self, credential: &CredentialValue) -> bool {
        match credential {
            CredentialValue::Malformed => true,
            CredentialValue::HeaderKey(token) if is_portal_token(token) => false,
            CredentialValue::HeaderKey(secret) | CredentialValue::CookieKey(secret) => !self.keys.is_cached(secret),
            CredentialValue::Missing | CredentialValue::HeaderToken(_) | CredentialValue::CookieSession(_) => false,
        }
    }

    async fn authenticate_credential(
        &self,
        credential: &Credential,
        origin: &RequestContext,
    ) -> Result<Caller, ApiError> {
        let from = origin.client;
        match &credential.value {
            CredentialValue::Missing => Err(ApiError::Anonymous),
            CredentialValue::Malformed => Err(ApiError::MalformedCredential),
            CredentialValue::HeaderKey(token) if is_portal_token(token) => Err(ApiError::PortalToken),
            CredentialValue::HeaderKey(secret) => Ok(self.keys.authenticate(secret, from).await?),
            CredentialValue::HeaderToken(token) => {
                let claims = self.provider_tokens.read(token).await?;
                Ok(self.federation.login(claims, origin.clone()).await.inspect_err(log_unknown_person)?)
            }
            // A client that sends neither `Sec-Fetch-Site` nor `Origin` is not a browser, so CSRF is not possible.
            CredentialValue::CookieKey(secret) => {
                Self::require_same_origin(credential, true)?;
                Ok(self.keys.authenticate(secret, from).await?)
            }
            CredentialValue::CookieSession(text) => {
                let session = self.keyring.as_ref().and_then(|keyring| keyring.read_session(text));
                let session = session.ok_or(Error::Unauthenticated(DenyReason::InvalidApiKey))?;
                Self::require_same_origin(credential, false)?;
                Ok(self.sessions.resume(session, from).await?)
            }
        }
    }

    /// Prevents CSRF: browsers send the cookie with requests from pages of any origin, so only requests from pages of this
    /// service may make changes. `allow_non_browser`: whether requests without `Sec-Fetch-Site` and `Origin` may, too.
    fn require_same_origin(credential: &Credential, allow_non_browser: bool) -> Result<(), ApiError> {
        let is_same_origin = credential.site.is_same_origin().unwrap_or(allow_non_browser);
        if is_same_origin || !credential.may_change { Ok(()) } else { Err(ApiError::CrossSite) }
    }
}

/// Logs the issuer and subject of an unknown user, for the administrator who may add them.
/// Whether a secret has the format of the token of a portal session. No secret of a key has it.
fn is_portal_token(secret: &str) -> bool {
    PortalSecretHash::of(PortalSecretKind::Token, secret).is_some()
}

fn log_unknown_person(error: &Error) {
    let Error::UnknownPerson(person) = error else { return };
    let (issuer, subject) = (&person.identity.issuer, &person.identity.subject);
    match &person.organization {
        None => tracing::info!(target: "claviger", issuer, subject, "no organization has this user as a member"),
        Some(named) => {
            let (external_id, message) =
                (named.as_str(), "no organization of this provider has the external_id of the token");
            tracing::info!(target: "claviger", issuer, subject, external_id, "{message}");
        }
    }
}

/// Adds the ids of the caller to the log line of the request.
pub(crate) fn record_in_span(caller: &Caller) {
    let span = Span::current();
    match &caller.principal {
        Principal::Key(key) => span.record("key_id", display(key.id())),
        Principal::FederatedUser(person) => match person.user() {
            Some(user) => span.record("user_id", display(user)),
            None => &span,
        },
    };
    if let Ok(organization) = caller.organization() {
        span.record("org_id", display(organization));
    }
}
