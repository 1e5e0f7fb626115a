//! Where strangers become callers, or do not: the one place that decides about a shown credential, for all contracts.

use std::sync::Arc;

use domain::{
    Error,
    act::Origin,
    caller::{Caller, Who},
    clock::Clock,
    keys::Keys,
    people::People,
    ports::ManagementRate,
    refusal::Refusal,
    sessions::Sessions,
};
use tracing::{Span, field::display};

use crate::{
    address::ClientAddress,
    credentials::{Credential, Shown},
    failure::Failure,
    jwt::{keyring::Keyring, outside::Outside},
    limiter::{Limiter, RetryAfter},
    lists::Lists,
    once::Repeats,
};

/// Authenticates callers, and slows down those who guess.
pub struct Gate {
    /// Callers with keys.
    pub keys: Arc<Keys>,
    /// Callers with the tokens of identity providers.
    pub people: Arc<People>,
    /// Reads these tokens.
    pub outside: Outside,
    /// Callers with sessions.
    pub sessions: Arc<Sessions>,
    /// Reads their cookies.
    pub keyring: Option<Arc<Keyring>>,
    /// For the attempts of a minute.
    pub clock: Arc<dyn Clock>,
    /// How often organizations may be managed.
    pub rate: Arc<dyn ManagementRate>,
    /// What callers have had done before.
    pub repeats: Repeats,
    /// The places for reads of many rows.
    pub lists: Arc<Lists>,
    /// How often an address may fail.
    pub failures: Limiter,
    /// Cookies are taken from pages of this origin.
    pub own_origin: String,
}

impl Gate {
    /// The caller behind a credential.
    ///
    /// # Errors
    /// [`Failure::TooManyAttempts`] before any lookup, also for a good credential, where the address failed too often;
    /// [`Failure::Anonymous`], [`Failure::MalformedCredential`], [`Failure::CrossSite`] or
    /// [`Error::Unauthenticated`]; [`Error::NoOrganization`] for a user whom nobody knows; [`Error::Outage`], which is never
    /// counted as a failed attempt.
    pub async fn admit(&self, credential: &Credential) -> Result<Caller, Failure> {
        let too_many = |RetryAfter(retry_after)| Failure::TooManyAttempts { retry_after };
        self.failures.check(credential.address, self.clock.now()).map_err(too_many)?;
        let origin = Origin {
            client: Some(credential.address.0),
            request_id: credential.request_id.clone(),
            ..Origin::default()
        };
        let outcome = self.authenticate(credential, &origin).await;
        if matches!(outcome, Err(Failure::MalformedCredential | Failure::Refused(Error::Unauthenticated(_)))) {
            self.failures.count(credential.address, self.clock.now()).map_err(too_many)?;
        }
        let caller = outcome?;
        note(&caller);
        let caller = Caller { origin: Origin { session: caller.origin.session, ..origin }, ..caller };
        credential.witness.saw(&caller);
        Ok(caller)
    }

    /// Counts a request that manages the caller's own organization, where no other organization is named. A user who acts in
    /// several, or in none, manages none.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`].
    pub fn count(&self, caller: &Caller) -> Result<(), Error> {
        caller.organization().map_or(Ok(()), |organization| self.rate.count(organization))
    }

    /// The caller behind a text in a header, where that takes no waiting. `None` says nothing: admit them by the credential.
    #[must_use]
    pub fn recognize(&self, text: &str, address: ClientAddress) -> Option<Caller> {
        self.failures.check(address, self.clock.now()).ok()?;
        self.keys.recognize(text, Some(address.0))
    }

    async fn authenticate(&self, credential: &Credential, origin: &Origin) -> Result<Caller, Failure> {
        let from = origin.client;
        match &credential.shown {
            Shown::Nothing => Err(Failure::Anonymous),
            Shown::Malformed => Err(Failure::MalformedCredential),
            Shown::Header(text) => Ok(self.keys.authenticate(text, from).await?),
            Shown::Token(text) => {
                let vouched = self.outside.read(text).await?;
                Ok(self.people.admit(vouched, origin.clone()).await?)
            }
            // No browser omits both headers: who does may have a key in its cookie.
            Shown::Cookie(text) => {
                self.require_own_page(credential, true)?;
                Ok(self.keys.authenticate(text, from).await?)
            }
            Shown::Session(text) => {
                let session = self.keyring.as_ref().and_then(|keyring| keyring.read_session(text));
                let session = session.ok_or(Error::Unauthenticated(Refusal::InvalidApiKey))?;
                self.require_own_page(credential, false)?;
                Ok(self.sessions.resume(session, from).await?)
            }
        }
    }

    /// A browser sends the cookie with whatever any page makes it send: only pages of our own may change something.
    fn require_own_page(&self, credential: &Credential, or_no_browser: bool) -> Result<(), Failure> {
        let is_own = credential.site.is_own(&self.own_origin).unwrap_or(or_no_browser);
        if is_own || !credential.may_change { Ok(()) } else { Err(Failure::CrossSite) }
    }
}

/// Says in the line about the request who has sent it.
fn note(caller: &Caller) {
    let span = Span::current();
    match &caller.who {
        Who::Key(key) => span.record("key_id", display(key.id())),
        Who::Person(person) => span.record("user_id", display(person.user)),
    };
    if let Ok(organization) = caller.organization() {
        span.record("org_id", display(organization));
    }
}
