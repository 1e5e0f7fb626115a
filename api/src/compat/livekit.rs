//! The API of LiveKit agents: `/auth/create-key` signs a user up, `/auth/check-key` returns the owner of a key.

mod dto;
mod error;

use std::sync::Arc;

use domain::{Error, auth::sign_up::SignUpService, deny_reason::DenyReason, keys::Keys};
use poem_openapi::OpenApi;

use crate::compat::livekit::{
    dto::{CheckedKeyReply, CreatedKeyReply, SignUpBody},
    error::{Checking, SigningUp},
};
use crate::http::contract::{ErrorFormat, ErrorResponse, Success, Tag};
use crate::{
    auth::{
        authenticator::Authenticator,
        credentials::{Credential, PublicRequest},
        sign_up_gate::SignUpGate,
    },
    http::{api_error::ApiError, body::Deferred},
    verifier::VerifyCounters,
};

/// The error format of this API.
pub const ERROR_FORMAT: ErrorFormat = ErrorFormat { prefix: "/auth", render: error::render };

/// The operations of this API.
pub struct LiveKit {
    /// Authenticates.
    pub authenticator: Arc<Authenticator>,
    /// Reads the owner of a key.
    pub keys: Arc<Keys>,
    /// Creates an organization with its first user and key.
    pub sign_up: Arc<SignUpService>,
    /// Limits sign-ups.
    pub sign_up_gate: Arc<SignUpGate>,
    /// Counts checks of keys by outcome, for metrics.
    pub checks: VerifyCounters,
}

#[OpenApi(tag = "Tag::LiveKit")]
impl LiveKit {
    /// Sign up
    ///
    /// Creates an organization, its first user, and its first key, which has all permissions (`*`) there. An e-mail
    /// address can sign up once, until its organization is deleted; memberships in other organizations do not matter.
    /// Needs no credential. The secret is in `data.api_key` of this response and is never shown again.
    #[oai(path = "/auth/create-key", method = "post", operation_id = "signUp")]
    async fn create_key(
        &self,
        request: PublicRequest,
        /// The user who signs up.
        body: Deferred<SignUpBody>,
    ) -> Result<Success<CreatedKeyReply>, ErrorResponse<SigningUp>> {
        let outcome = self.sign_up(&request, body).await;
        if let Err(failure) = &outcome {
            self.sign_up_gate.count_refused(failure);
        }
        Ok(Success(outcome?))
    }

    /// Check an API key
    ///
    /// Returns the owner of the key that the request is authenticated with: a user of its organization. For a key that
    /// belongs to an organization, the user fields are `null`.
    #[oai(path = "/auth/check-key", method = "get", operation_id = "checkApiKey")]
    async fn check_api_key(&self, credential: Credential) -> Result<Success<CheckedKeyReply>, ErrorResponse<Checking>> {
        let outcome = self.check(&credential).await;
        self.checks.count_authentication(&outcome);
        Ok(Success(outcome?))
    }
}

impl LiveKit {
    async fn check(&self, credential: &Credential) -> Result<CheckedKeyReply, ApiError> {
        let caller = self.authenticator.identify(credential).await?;
        // This operation is about a key, and the credential of a user of an identity provider is not a key.
        let key = caller.key().ok_or(Error::Unauthenticated(DenyReason::InvalidApiKey))?;
        let profile = self.keys.profile(&caller).await?;
        Ok(CheckedKeyReply::new(key, &profile))
    }

    async fn sign_up(&self, request: &PublicRequest, body: Deferred<SignUpBody>) -> Result<CreatedKeyReply, ApiError> {
        self.sign_up_gate.count(request)?;
        let sign_up = body.read().await?.into_domain()?;
        let (signed_up, secret) = self.sign_up.sign_up(sign_up, request.context()).await?;
        Ok(CreatedKeyReply::new(&signed_up, &secret))
    }
}
