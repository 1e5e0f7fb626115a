//! The LiveKit agents API's keys: `/auth/create-key` signs up, `/auth/check-key` says whom a key belongs to.

mod dto;
mod error;

use std::sync::Arc;

use domain::{clock::Clock, enroll::Enroll, keys::Keys};
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
    pub sign_up: SignUp,
    /// For the attempts of a minute.
    pub clock: Arc<dyn Clock>,
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
        self.admit(&anyone)?;
        let sign_up = body.read().await?.into_domain()?;
        let (enrolment, secret) = self.enroll.enroll(sign_up).await?;
        Ok(Success(CreatedKeyReply::new(&enrolment, &secret)))
    }

    /// Check an API key
    ///
    /// Says whom the shown key belongs to. A key of an organization itself answers `null` for the user.
    #[oai(path = "/auth/check-key", method = "get", operation_id = "checkKey")]
    async fn check_key(&self, credential: Credential) -> Result<Success<CheckedKeyReply>, Failed<Checking>> {
        let caller = self.gate.admit(&credential).await?;
        let profile = self.keys.profile(&caller).await?;
        Ok(Success(CheckedKeyReply::new(&caller.key, &profile)))
    }
}

impl LiveKit {
    fn admit(&self, anyone: &Anyone) -> Result<(), Failure> {
        if anyone.site.fetch_site.as_deref() == Some("cross-site") {
            return Err(Failure::CrossSite);
        }
        let SignUp::Open(limiter) = &self.sign_up else { return Err(Failure::SignUpClosed) };
        limiter
            .count(anyone.address, self.clock.now())
            .map_err(|RetryAfter(retry_after)| Failure::TooManyAttempts { retry_after })
    }
}
