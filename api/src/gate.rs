//! Where strangers become callers, or do not: the one place that decides about a shown credential, for all contracts.

use std::sync::Arc;

use domain::{Error, act::Origin, caller::Caller, clock::Clock, keys::Keys};
use tracing::Span;

use crate::{
    address::ClientAddress,
    credentials::{Credential, Shown},
    failure::Failure,
    limiter::{Limiter, RetryAfter},
};

/// Authenticates callers, and slows down those who guess.
pub struct Gate {
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    failures: Limiter,
    own_origin: String,
}

impl Gate {
    /// A gate that lets an address fail `failures` times a minute and takes cookies from pages of `own_origin`.
    #[must_use]
    pub fn new(keys: Arc<Keys>, clock: Arc<dyn Clock>, failures: Limiter, own_origin: String) -> Self {
        Self { keys, clock, failures, own_origin }
    }

    /// The caller behind a credential.
    ///
    /// # Errors
    /// [`Failure::TooManyAttempts`] before any lookup, also for a good credential, where the address failed too often;
    /// [`Failure::Anonymous`], [`Failure::MalformedCredential`], [`Failure::CrossSite`] or
    /// [`Error::Unauthenticated`]; [`Error::Outage`], which is never counted as a failed attempt.
    pub async fn admit(&self, credential: &Credential) -> Result<Caller, Failure> {
        let too_many = |RetryAfter(retry_after)| Failure::TooManyAttempts { retry_after };
        self.failures.check(credential.address, self.clock.now()).map_err(too_many)?;
        let origin = || Origin { client: Some(credential.address.0), request_id: credential.request_id.clone() };
        let outcome = self.authenticate(credential).await.map(|caller| Caller { origin: origin(), ..caller });
        if matches!(outcome, Err(Failure::MalformedCredential | Failure::Refused(Error::Unauthenticated(_)))) {
            self.failures.count(credential.address, self.clock.now()).map_err(too_many)?;
        }
        outcome
    }

    /// The caller behind a text in a header, where that takes no waiting. `None` says nothing: admit them by the credential.
    #[must_use]
    pub fn recognize(&self, text: &str, address: ClientAddress) -> Option<Caller> {
        self.failures.check(address, self.clock.now()).ok()?;
        self.keys.recognize(text)
    }

    async fn authenticate(&self, credential: &Credential) -> Result<Caller, Failure> {
        let text = match &credential.shown {
            Shown::Nothing => return Err(Failure::Anonymous),
            Shown::Malformed => return Err(Failure::MalformedCredential),
            Shown::Header(text) => text,
            Shown::Cookie(text) => {
                if credential.may_change && !credential.site.is_own(&self.own_origin) {
                    return Err(Failure::CrossSite);
                }
                text
            }
        };
        let caller = self.keys.authenticate(text).await?;
        Span::current()
            .record("key_id", tracing::field::display(caller.key.id()))
            .record("org_id", tracing::field::display(caller.organization()));
        Ok(caller)
    }
}
