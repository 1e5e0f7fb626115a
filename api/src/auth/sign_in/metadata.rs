//! The metadata of a provider for sign-in (OpenID Connect Discovery 1.0), read on first use and cached. The rate of reads is bounded.

use std::sync::Arc;

use domain::clock::Timestamp;
use openidconnect::{
    AdditionalProviderMetadata, AuthType, EndSessionUrl, EndpointMaybeSet, EndpointNotSet, EndpointSet, RedirectUrl,
    TokenUrl,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use super::SignInFailure;
use crate::auth::jwt::{
    issuers::KeySource,
    issuers_sign_in::SignInClient,
    provider_http::{Anything, FRESH, PAUSE, USABLE, get, is_younger, may_use, with_causes},
};

/// What sign-in needs of the metadata, beside that of OpenID Connect Discovery.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct FurtherMetadata {
    /// RP-Initiated Logout 1.0 §2.1.
    end_session_endpoint: Option<EndSessionUrl>,
    /// RFC 9207 §3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for FurtherMetadata {}

type Parsed = openidconnect::ProviderMetadata<
    FurtherMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// This service as a client of one provider.
pub(super) type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

/// The metadata of a provider. Its URLs may be used.
pub(super) struct ProviderMetadata(Parsed);

impl ProviderMetadata {
    /// This service as a client of the provider.
    pub(super) fn client(&self, client: &SignInClient, redirect: RedirectUrl) -> Client {
        let methods = self.0.token_endpoint_auth_methods_supported();
        // Without the list, the provider takes the secret by HTTP Basic (OpenID Connect Discovery 1.0 §3).
        let takes_basic = methods.is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let auth_type = if takes_basic { AuthType::BasicAuth } else { AuthType::RequestBody };
        Client::from_provider_metadata(self.0.clone(), client.client_id.clone(), client.client_secret.clone())
            .set_auth_type(auth_type)
            .set_redirect_uri(redirect)
    }

    /// Whether each answer of the provider names its issuer.
    pub(super) fn names_issuer_in_answers(&self) -> bool {
        self.0.additional_metadata().authorization_response_iss_parameter_supported
    }

    /// Where a browser ends its session at the provider.
    pub(super) fn end_session_endpoint(&self) -> Option<&EndSessionUrl> {
        self.0.additional_metadata().end_session_endpoint.as_ref()
    }
}

/// The metadata of one provider.
#[derive(Default)]
pub(super) struct ProviderMetadataCache(Mutex<State>);

#[derive(Default)]
struct State {
    known: Option<(Timestamp, Arc<ProviderMetadata>)>,
    asked_at: Option<Timestamp>,
}

impl State {
    /// The metadata, if they were read less than `than` milliseconds ago.
    fn younger(&self, than: u64, now: Timestamp) -> Option<Arc<ProviderMetadata>> {
        let (at, metadata) = self.known.as_ref()?;
        is_younger(Some(*at), than, now).then(|| metadata.clone())
    }
}

impl ProviderMetadataCache {
    /// The metadata, from the cache or from their URL. Simultaneous callers wait for one read.
    ///
    /// # Errors
    /// [`SignInFailure::Unavailable`].
    pub(super) async fn get(
        &self,
        issuer: &str,
        url: &Url,
        source: &KeySource,
        now: Timestamp,
    ) -> Result<Arc<ProviderMetadata>, SignInFailure> {
        let mut state = self.0.lock().await;
        if let Some(metadata) = state.younger(FRESH, now) {
            return Ok(metadata);
        }
        if !is_younger(state.asked_at, PAUSE, now) {
            state.asked_at = Some(now);
            match read(issuer, url, source).await {
                Ok(metadata) => {
                    let metadata = Arc::new(metadata);
                    state.known = Some((now, metadata.clone()));
                    return Ok(metadata);
                }
                Err(error) => {
                    let error = with_causes(&*error);
                    tracing::warn!(target: "claviger", issuer, error, "reading the metadata of an issuer for sign-in failed");
                }
            }
        }
        let unavailable = || SignInFailure::Unavailable("its metadata could not be read".to_owned());
        state.younger(USABLE, now).ok_or_else(unavailable)
    }
}

async fn read(issuer: &str, url: &Url, source: &KeySource) -> Result<ProviderMetadata, Anything> {
    let bytes = get(source, url).await?;
    let metadata: Parsed = serde_json::from_slice(&bytes)?;
    // OpenID Connect Discovery 1.0 §4.3.
    if metadata.issuer().as_str() != issuer {
        return Err("they are of another issuer; correct issuer".into());
    }
    let further = metadata.additional_metadata();
    let urls = [
        Some(metadata.authorization_endpoint().url()),
        metadata.token_endpoint().map(TokenUrl::url),
        further.end_session_endpoint.as_ref().map(EndSessionUrl::url),
    ];
    if urls.into_iter().flatten().any(|endpoint| !may_use(source, url, endpoint)) {
        return Err("an endpoint is not an https URL".into());
    }
    Ok(ProviderMetadata(metadata))
}
