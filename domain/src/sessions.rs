//! Sessions of browsers: a credential is shown once, and then the session speaks for it. What it may do is looked up each
//! time, so a session has no more life in it than the key or the membership behind it.

use std::{net::IpAddr, sync::Arc};

use crate::{
    act::Origin,
    caller::{Caller, Who},
    clock::{Clock, Entropy},
    error::Error,
    id::SessionId,
    keys::Keys,
    people::People,
    ports,
    refusal::Refusal,
    session::{Bearer, Session},
};

/// How long a session lasts: 12 hours, in milliseconds.
const LIFE: i64 = 12 * 60 * 60 * 1_000;

/// Opens, resumes and closes sessions.
pub struct Sessions {
    stored: Arc<dyn ports::Sessions>,
    keys: Arc<Keys>,
    people: Arc<People>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Sessions {
    /// The use cases over these.
    #[must_use]
    pub fn new(
        stored: Arc<dyn ports::Sessions>,
        keys: Arc<Keys>,
        people: Arc<People>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { stored, keys, people, clock, entropy }
    }

    /// Opens a session for a caller. It ends with their key, or with a provider's word that stands in place of a membership, if
    /// these end sooner than a session would.
    ///
    /// # Errors
    /// [`Error::NotExchangeable`] in a session: it would live for ever; [`Error::Unauthenticated`]; [`Error::Outage`].
    pub async fn open(&self, caller: &Caller) -> Result<Session, Error> {
        if caller.origin.session.is_some() {
            return Err(Error::NotExchangeable);
        }
        let now = self.clock.now();
        let (bearer, own_end) = match &caller.who {
            Who::Key(key) => (Bearer::Key(*key.hash()), key.ends_at()),
            Who::Person(person) => (Bearer::Person(person.user, person.word.clone()), person.ends_at),
        };
        let session = Session {
            id: SessionId::generate(&*self.clock, &*self.entropy),
            bearer,
            organization: caller.organization().ok(),
            created_at: now,
            expires_at: now.plus_millis(LIFE).no_later_than(own_end),
        };
        match self.stored.create(&session).await {
            Ok(()) => Ok(session),
            // What was good a moment ago has gone.
            Err(Error::NotFound) => Err(Error::Unauthenticated(Refusal::InvalidApiKey)),
            Err(error) => Err(error),
        }
    }

    /// The caller whom a session speaks for, when it is shown from an address.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the session, or what it speaks for, has ended; [`Error::Outage`].
    pub async fn resume(&self, id: SessionId, from: Option<IpAddr>) -> Result<Caller, Error> {
        let ended = Error::Unauthenticated(Refusal::InvalidApiKey);
        let Some(session) = self.stored.find(id).await? else { return Err(ended) };
        if self.clock.now() >= session.expires_at {
            return Err(ended);
        }
        let caller = match session.bearer {
            Bearer::Key(hash) => self.keys.authenticate_by(&hash, from).await?,
            Bearer::Person(user, word) => self.people.readmit(user, word).await?,
        };
        Ok(Caller { origin: Origin { session: Some(id), ..Origin::default() }, ..caller })
    }

    /// Ends the session that the caller came by.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a caller who came without one; [`Error::Outage`].
    pub async fn close(&self, caller: &Caller) -> Result<(), Error> {
        let session = caller.origin.session.ok_or(Error::NotFound)?;
        Ok(self.stored.delete(session).await?)
    }
}
