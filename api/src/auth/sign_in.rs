//! Signing in at an identity provider with the browser: OpenID Connect, authorization code with PKCE. Here are the requests to the
//! provider and the verification of its answers; `routes/sign_in` has the pages that the browser is redirected to.

pub mod attempt;
mod metadata;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::DateTime;
use domain::{
    auth::identity::VerifiedClaims,
    clock::{Clock, Timestamp},
};
use openidconnect::{
    AuthenticationFlow, AuthorizationCode, ClaimsVerificationError, CsrfToken, IssuerUrl, LogoutHint, LogoutRequest,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl, RedirectUrl, RequestTokenError, Scope,
    TokenResponse,
    core::{
        CoreAuthPrompt, CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm,
        CoreResponseType,
    },
};
use serde_json::Value;
use url::Url;

use self::{attempt::SignInAttempt, metadata::ProviderMetadataCache};
use crate::auth::jwt::{
    issuers::{KeySource, Provider},
    issuers_sign_in::SignInClient,
    provider_http::ProviderHttp,
    provider_tokens::ProviderTokens,
};

/// The algorithms of ID tokens: the same as for access tokens, and none with a shared secret.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The tolerated difference between clocks, in milliseconds.
const LEEWAY_MS: i64 = 30_000;

/// Why a sign-in at a provider failed. The texts are for the service log.
#[derive(Debug)]
pub enum SignInFailure {
    /// The provider cannot be reached, or its answers cannot be used.
    Unavailable(String),
    /// The answer is not for this sign-in, or the token is not valid.
    InvalidAnswer(String),
    /// The person was asked to sign in again, and the provider does not prove that they did.
    NotFresh,
    /// The token is valid, and does not meet the rules of the issuers file.
    NotAllowed,
}

impl fmt::Display for SignInFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason) => write!(f, "the provider is not available: {reason}"),
            Self::InvalidAnswer(reason) => write!(f, "the answer of the provider is not valid: {reason}"),
            Self::NotFresh => f.write_str("the provider does not prove that the person has signed in again"),
            Self::NotAllowed => f.write_str("the token does not meet the rules of the issuers file"),
        }
    }
}

/// The providers at which people can sign in with the browser. They can be replaced while they are in use.
pub struct SignInProviders {
    providers: RwLock<Vec<Arc<SignInProvider>>>,
    tokens: Arc<ProviderTokens>,
    clock: Arc<dyn Clock>,
}

/// A provider at which people can sign in with the browser.
pub struct SignInProvider {
    issuer: String,
    client: SignInClient,
    source: KeySource,
    metadata: ProviderMetadataCache,
    tokens: Arc<ProviderTokens>,
    clock: Arc<dyn Clock>,
}

/// A sign-in that has begun at a provider.
pub struct BegunSignIn {
    /// Where the browser goes.
    pub url: Url,
    /// The parameter `state`, which the provider returns.
    pub state: String,
    /// The claim `nonce` of the ID token.
    pub nonce: String,
    /// The secret of PKCE, with which the code is exchanged.
    pub verifier: String,
}

impl SignInProviders {
    /// The providers that have a client for sign-in. `tokens` has their keys, and the rules for their claims.
    #[must_use]
    pub fn new(providers: &[Provider], tokens: Arc<ProviderTokens>, clock: Arc<dyn Clock>) -> Self {
        let all = Self { providers: RwLock::default(), tokens, clock };
        all.replace(providers);
        all
    }

    /// Uses these providers instead. The metadata of those that did not change stay cached.
    pub fn replace(&self, providers: &[Provider]) {
        let mut current = self.providers.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = providers.iter().filter_map(|provider| {
            let client = provider.sign_in.as_ref()?;
            let (issuer, source) = (&provider.issuer.name, &provider.keys);
            let is_same = |known: &&Arc<SignInProvider>| {
                known.issuer == *issuer && known.client == *client && known.source == *source
            };
            Some(current.iter().find(is_same).cloned().unwrap_or_else(|| {
                Arc::new(SignInProvider {
                    issuer: issuer.clone(),
                    client: client.clone(),
                    source: source.clone(),
                    metadata: ProviderMetadataCache::default(),
                    tokens: self.tokens.clone(),
                    clock: self.clock.clone(),
                })
            }))
        });
        *current = replaced.collect();
    }

    /// All of them, in the order of the issuers file.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<SignInProvider>> {
        self.providers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The provider with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<SignInProvider>> {
        self.all().into_iter().find(|provider| provider.client.id == id)
    }

    /// The provider with this issuer (`iss`).
    #[must_use]
    pub fn of_issuer(&self, issuer: &str) -> Option<Arc<SignInProvider>> {
        self.all().into_iter().find(|provider| provider.issuer == issuer)
    }
}

impl SignInProvider {
    /// `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its id in the URLs of this service.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.client.id
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.client.name
    }

    /// Begins a sign-in. `redirect`: where the provider sends the browser afterwards. `is_fresh`: the person has to prove who they
    /// are again, also if they are signed in at the provider.
    ///
    /// # Errors
    /// [`SignInFailure::Unavailable`].
    pub async fn begin(&self, redirect: &str, is_fresh: bool) -> Result<BegunSignIn, SignInFailure> {
        let metadata = self.metadata().await?;
        let client = metadata.client(&self.client, redirect_url(redirect)?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let request = client
            .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(self.client.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge);
        let request =
            if is_fresh { request.add_prompt(CoreAuthPrompt::Login).set_max_age(Duration::ZERO) } else { request };
        let (url, state, nonce) = request.url();
        Ok(BegunSignIn {
            url,
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// Checks that an answer is of this provider (RFC 9207), so that the code of one provider is never sent to another one.
    ///
    /// # Errors
    /// [`SignInFailure::InvalidAnswer`]; [`SignInFailure::Unavailable`].
    pub async fn check_answer_issuer(&self, issuer: Option<&str>) -> Result<(), SignInFailure> {
        match issuer {
            Some(issuer) if issuer == self.issuer => Ok(()),
            Some(_) => Err(invalid("it names another issuer")),
            None if self.metadata().await?.names_issuer_in_answers() => Err(invalid("it names no issuer")),
            None => Ok(()),
        }
    }

    /// Exchanges the code for an ID token, verifies the token, and returns its claims. `redirect`: as when the sign-in began.
    ///
    /// # Errors
    /// Any [`SignInFailure`].
    pub async fn finish(
        &self,
        code: String,
        redirect: &str,
        attempt: &SignInAttempt,
    ) -> Result<VerifiedClaims, SignInFailure> {
        let metadata = self.metadata().await?;
        let client = metadata.client(&self.client, redirect_url(redirect)?);
        let request = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|_| SignInFailure::Unavailable("its metadata lack token_endpoint".to_owned()))?
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()));
        let answer = request.request_async(&ProviderHttp(self.source.clone())).await.map_err(|error| match error {
            RequestTokenError::Request(error) => SignInFailure::Unavailable(error.to_string()),
            RequestTokenError::ServerResponse(refusal) => {
                invalid(&format!("the code was refused: {}", refusal.error()))
            }
            RequestTokenError::Parse(error, _) => invalid(&format!("it cannot be parsed: {}", error.path())),
            RequestTokenError::Other(error) => invalid(&error),
        })?;
        let token = answer.id_token().ok_or_else(|| invalid("it has no ID token"))?;
        let claims = self.verify(token, attempt).await?;
        self.tokens.read_id_token(&self.issuer, &claims).map_err(|_| SignInFailure::NotAllowed)
    }

    /// All claims of an ID token, after its verification (OpenID Connect Core 1.0 §3.1.3.7).
    async fn verify(&self, token: &CoreIdToken, attempt: &SignInAttempt) -> Result<Value, SignInFailure> {
        let text = token.to_string();
        let key = self.tokens.key_of_id_token(&self.issuer, &text).await;
        let key = key.map_err(|error| SignInFailure::Unavailable(error.to_string()))?;
        let key = key.ok_or_else(|| invalid("the provider has no key that verifies the ID token"))?;
        let key: CoreJsonWebKey =
            serde_json::from_value((*key).clone()).map_err(|_| invalid("the key of the ID token is not supported"))?;
        let issuer = IssuerUrl::new(self.issuer.clone()).map_err(|_| invalid("the issuer is not a URL"))?;
        let now = self.clock.now().millis();
        let earliest = attempt.begun_at.saturating_sub(LEEWAY_MS);
        let is_fresh = attempt.is_fresh;
        let keys = CoreJsonWebKeySet::new(vec![key]);
        let verifier = CoreIdTokenVerifier::new_public_client(self.client.client_id.clone(), issuer, keys)
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || DateTime::from_timestamp_millis(now).unwrap_or(DateTime::UNIX_EPOCH))
            // A token for several audiences must have been issued to this client: see below.
            .set_other_audience_verifier_fn(|_| true)
            .set_auth_time_verifier_fn(move |at| match at {
                _ if !is_fresh => Ok(()),
                Some(at) if at.timestamp_millis() >= earliest => Ok(()),
                _ => Err("the person has not signed in again".to_owned()),
            });
        let claims = token.claims(&verifier, &Nonce::new(attempt.nonce.clone())).map_err(|error| match error {
            ClaimsVerificationError::InvalidAuthTime(_) => SignInFailure::NotFresh,
            error => invalid(&error.to_string()),
        })?;
        match claims.authorized_party() {
            Some(party) if *party != self.client.client_id => {
                return Err(invalid("the ID token was issued to another client"));
            }
            None if claims.audiences().len() > 1 => {
                return Err(invalid("the ID token has several audiences and no azp"));
            }
            _ => {}
        }
        payload(&text).ok_or_else(|| invalid("the ID token has no claims"))
    }

    /// Where the browser ends the session at the provider (OpenID Connect RP-Initiated Logout 1.0). `back`: where the provider sends
    /// the browser afterwards. `None`: the provider has no such page, or cannot be reached.
    pub async fn logout_url(&self, subject: &str, back: &str) -> Option<Url> {
        let metadata = self.metadata().await.ok()?;
        let request = LogoutRequest::from(metadata.end_session_endpoint()?.clone())
            .set_client_id(self.client.client_id.clone())
            .set_logout_hint(LogoutHint::new(subject.to_owned()))
            .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(back.to_owned()).ok()?);
        Some(request.http_get_url())
    }

    async fn metadata(&self) -> Result<Arc<metadata::ProviderMetadata>, SignInFailure> {
        let now: Timestamp = self.clock.now();
        self.metadata.get(&self.issuer, &self.client.metadata, &self.source, now).await
    }
}

fn invalid(reason: &str) -> SignInFailure {
    SignInFailure::InvalidAnswer(reason.to_owned())
}

fn redirect_url(text: &str) -> Result<RedirectUrl, SignInFailure> {
    RedirectUrl::new(text.to_owned()).map_err(|_| SignInFailure::Unavailable("the public URL is not valid".to_owned()))
}

/// The claims of a JWT, which is not verified here.
fn payload(token: &str) -> Option<Value> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}
