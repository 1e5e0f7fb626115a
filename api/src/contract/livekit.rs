//! The LiveKit agents API's keys: `/auth/create-key` signs up, `/auth/check-key` says whom a key belongs to.

mod dto;
mod error;

use std::sync::Arc;

use domain::{Error, act::Origin, clock::Clock, enroll::Enroll, keys::Keys, refusal::Refusal};
use poem_openapi::OpenApi;

use self::{
    dto::{CheckedKeyReply, CreatedKeyReply, SignUpBody},
    error::{Checking, SigningUp},
};
use super::{Failed, Shape, Success, Tag};
use crate::{
    body::Deferred,
    credentials::{Anyone, Credential},
    failure::Failure,
    gate::Gate,
    limiter::{Limiter, RetryAfter},
    metrics::Metrics,
    verifier::Outcomes,
};

/// How this contract says that something failed.
pub const SHAPE: Shape = Shape { prefix: "/auth", render: error::render };

/// Who may sign up, and how often.
pub enum SignUp {
    /// Everyone, so many times a minute from one address; failures count too.
    Open(Limiter),
    /// Nobody.
    Closed,
}

/// The operations.
pub struct LiveKit {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Says whom a key belongs to.
    pub keys: Arc<Keys>,
    /// Makes users.
    pub enroll: Arc<Enroll>,
    /// Who may sign up.
    pub who: SignUp,
    /// For the attempts of a minute.
    pub clock: Arc<dyn Clock>,
    /// Counts checked keys.
    pub checks: Outcomes,
    /// Counts refused sign-ups.
    pub metrics: Metrics,
}

#[OpenApi(tag = "Tag::LiveKit")]
impl LiveKit {
    /// Create an API key
    ///
    /// Makes a user, an organization of their own, and its first key, which may do everything there. No credential is
    /// needed. The text of the key is in `data.api_key` of this answer and nowhere else, ever.
    #[oai(path = "/auth/create-key", method = "post", operation_id = "createKey")]
    async fn create_key(
        &self,
        anyone: Anyone,
        /// Who signs up.
        body: Deferred<SignUpBody>,
    ) -> Result<Success<CreatedKeyReply>, Failed<SigningUp>> {
        let outcome = self.sign_up(&anyone, body).await;
        if let Err(failure) = &outcome {
            self.metrics.refuse_sign_up(reason(failure));
        }
        Ok(Success(outcome?))
    }

    /// Check an API key
    ///
    /// Says whom the shown key belongs to. A key of an organization itself answers `null` for the user.
    #[oai(path = "/auth/check-key", method = "get", operation_id = "checkKey")]
    async fn check_key(&self, credential: Credential) -> Result<Success<CheckedKeyReply>, Failed<Checking>> {
        let outcome = self.check(&credential).await;
        self.checks.count_shown(&outcome);
        Ok(Success(outcome?))
    }
}

impl LiveKit {
    async fn check(&self, credential: &Credential) -> Result<CheckedKeyReply, Failure> {
        let caller = self.gate.admit(credential).await?;
        // The question is about a key, and a user of an identity provider has shown none.
        let key = caller.key().ok_or(Error::Unauthenticated(Refusal::InvalidApiKey))?;
        let profile = self.keys.profile(&caller).await?;
        Ok(CheckedKeyReply::new(key, &profile))
    }

    async fn sign_up(&self, anyone: &Anyone, body: Deferred<SignUpBody>) -> Result<CreatedKeyReply, Failure> {
        self.admit(anyone)?;
        let sign_up = body.read().await?.into_domain()?;
        let origin =
            Origin { client: Some(anyone.address.0), request_id: anyone.request_id.clone(), ..Origin::default() };
        let (enrolment, secret) = self.enroll.enroll(sign_up, origin).await?;
        Ok(CreatedKeyReply::new(&enrolment, &secret))
    }

    fn admit(&self, anyone: &Anyone) -> Result<(), Failure> {
        if anyone.site.is_cross() {
            return Err(Failure::CrossSite);
        }
        let SignUp::Open(limiter) = &self.who else { return Err(Failure::SignUpClosed) };
        limiter
            .count(anyone.address, self.clock.now())
            .map_err(|RetryAfter(retry_after)| Failure::TooManyAttempts { retry_after })
    }
}

/// Why there was no sign-up, for those who count.
fn reason(failure: &Failure) -> &'static str {
    match failure {
        Failure::SignUpClosed => "closed",
        Failure::TooManyAttempts { .. } => "too_many",
        Failure::CrossSite => "cross_site",
        Failure::Refused(Error::EmailTaken) => "email_taken",
        Failure::Refused(Error::Outage(_)) | Failure::Busy | Failure::Timeout | Failure::Defect(_) => "unavailable",
        _ => "invalid",
    }
}
