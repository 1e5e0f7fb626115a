//! Browser sessions: a credential is sent once and exchanged for a session. Permissions are looked up on each request,
//! so a session is never valid for longer than the key or the membership behind it.

use std::{net::IpAddr, sync::Arc};

use crate::{
    audit::context::{Action, AuditContext, RequestContext},
    auth::{
        authenticate::KeyAuthenticator,
        caller::{Authority, Caller, Principal},
        federation::FederatedLogin,
        session::{Bearer, Browser, Session, SessionLimits, SessionsOf, USE_INTERVAL_MS},
    },
    clock::{Clock, Entropy},
    deny_reason::DenyReason,
    error::{Error, NotExchangeable},
    id::{SessionId, UserId},
    ports::{self, MergedEvent},
};

/// Creates, resumes, lists and ends sessions.
pub struct Sessions {
    limits: SessionLimits,
    stored: Arc<dyn ports::Sessions>,
    keys: Arc<KeyAuthenticator>,
    federation: Arc<FederatedLogin>,
    audit_log: Arc<dyn ports::AuditLog>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Sessions {
    /// Creates the operations from these ports.
    #[must_use]
    pub fn new(
        limits: SessionLimits,
        stored: Arc<dyn ports::Sessions>,
        keys: Arc<KeyAuthenticator>,
        federation: Arc<FederatedLogin>,
        audit_log: Arc<dyn ports::AuditLog>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { limits, stored, keys, federation, audit_log, clock, entropy }
    }

    /// Creates a session for a caller. It expires after the configured time, or earlier: with the caller's key, or at the
    /// time that [`crate::auth::federation::FederatedLogin::login`] sets for a user of an identity provider. It replaces the
    /// session that the browser has, if that is one of the same secret or person.
    ///
    /// # Errors
    /// [`Error::NotExchangeable`] if the caller uses a session, which could otherwise be prolonged forever;
    /// [`Error::Unauthenticated`]; [`Error::Outage`].
    pub async fn open(&self, caller: &Caller, browser: Browser) -> Result<Session, Error> {
        if caller.origin.session.is_some() {
            return Err(Error::NotExchangeable(NotExchangeable::SessionForSession));
        }
        let now = self.clock.now();
        let (bearer, own_end, user, signed_in_at) = match &caller.principal {
            Principal::Key(key) => (Bearer::Key(*key.hash()), key.ends_at(), None, now),
            Principal::FederatedUser(person) => {
                let bearer = Bearer::FederatedUser(person.claims.clone());
                (bearer, person.ends_at, person.user(), now.no_later_than(person.signed_in_at))
            }
        };
        let session = Session {
            id: SessionId::generate(&*self.clock, &*self.entropy),
            bearer,
            organization: caller.organization().ok(),
            user,
            created_at: now,
            signed_in_at,
            last_used_at: now,
            expires_at: now.plus_millis(self.limits.lifetime).no_later_than(own_end),
            client: caller.origin.client,
            user_agent: browser.user_agent,
        };
        let previous = match browser.session {
            Some(previous) => self.stored.find(previous).await?.filter(|previous| previous.has_same_bearer(&session)),
            None => None,
        };
        let previous = previous.map(|previous| previous.id);
        match self.stored.create(&session, previous).await {
            Ok(()) => {
                if let Some(previous) = previous {
                    self.log(caller, Action::CloseSession, previous);
                }
                self.log(caller, Action::OpenSession, session.id);
                Ok(session)
            }
            // The key or membership was deleted after the caller was authenticated.
            Err(Error::NotFound) => Err(Error::Unauthenticated(DenyReason::InvalidApiKey)),
            Err(error) => Err(error),
        }
    }

    /// Authenticates the caller of a session. `from` is the client's IP address. `None`: not known.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the session has ended, or its key or membership is not valid any more;
    /// [`Error::Outage`].
    pub async fn resume(&self, id: SessionId, from: Option<IpAddr>) -> Result<Caller, Error> {
        let ended = Error::Unauthenticated(DenyReason::InvalidApiKey);
        let Some(session) = self.stored.find(id).await? else { return Err(ended) };
        let now = self.clock.now();
        if session.has_ended(now, self.limits.idle_time) {
            return Err(ended);
        }
        let caller = match session.bearer {
            Bearer::Key(hash) => self.keys.authenticate_by(&hash, from).await?,
            Bearer::FederatedUser(claims) => self.federation.resume(claims).await?,
        };
        if now.millis_since(session.last_used_at) >= USE_INTERVAL_MS {
            self.stored.record_use(id, now);
        }
        let origin = RequestContext { session: Some(id), ..RequestContext::default() };
        Ok(Caller { origin, signed_in_at: Some(session.signed_in_at), ..caller })
    }

    /// Ends the session of the request.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the request was not made in a session; [`Error::Outage`].
    pub async fn close(&self, caller: &Caller) -> Result<(), Error> {
        let session = caller.origin.session.ok_or(Error::NotFound)?;
        self.stored.delete(session).await?;
        self.log(caller, Action::CloseSession, session);
        Ok(())
    }

    /// Writes an event about a session to the log of the caller's current organization, if there is one.
    fn log(&self, caller: &Caller, action: Action, session: SessionId) {
        let Ok(organization) = caller.organization() else { return };
        let mut context = caller.audit_context(organization, action, None, self.clock.now());
        context.origin.session = Some(session);
        self.audit_log.record_merged(MergedEvent::done(context, session.uuid()));
    }

    /// Lists at most `limit` sessions of the caller's key, or of the caller as a federated user, sorted by id, beginning
    /// after `after` (`None`: with the first).
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn own_sessions(
        &self,
        caller: &Caller,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Session>, Error> {
        Ok(self.stored.list(sessions_of(caller), self.limits.live(self.clock.now()), after, limit).await?)
    }

    /// Lists at most `limit` sessions of a member: those that [`Sessions::end_member_sessions`] ends, sorted by id,
    /// beginning after `after` (`None`: with the first).
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn member_sessions(
        &self,
        authority: &Authority,
        user: UserId,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Session>, Error> {
        let of = SessionsOf::Member(authority.organization(), user);
        Ok(self.stored.list(of, self.limits.live(self.clock.now()), after, limit).await?)
    }

    /// Ends one of the sessions that [`Sessions::own_sessions`] lists (`None`: the request has no valid id). The event is
    /// written to the log of the caller's current organization, if there is one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn end_own_session(&self, caller: &Caller, session: Option<SessionId>) -> Result<(), Error> {
        let session = session.ok_or(Error::NotFound)?;
        let context = self.own_context(caller, Action::CloseSession);
        let is_ended = self.stored.delete_one(sessions_of(caller), session, context).await?;
        if is_ended { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Ends one of the sessions that [`Sessions::member_sessions`] lists (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn end_member_session(
        &self,
        authority: &Authority,
        user: UserId,
        session: Option<SessionId>,
    ) -> Result<(), Error> {
        let session = session.ok_or(Error::NotFound)?;
        let of = SessionsOf::Member(authority.organization(), user);
        let context = authority.audit_context(Action::CloseSession, self.clock.now());
        let is_ended = self.stored.delete_one(of, session, Some(context)).await?;
        if is_ended { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Ends all sessions of the caller's key, or of the caller as a federated user. With `keeps_current`, the session of the
    /// request is not ended. Returns their number. The event is written to the log of the caller's current organization,
    /// if there is one.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn end_own_sessions(&self, caller: &Caller, keeps_current: bool) -> Result<u64, Error> {
        let kept = caller.origin.session.filter(|_| keeps_current);
        let context = self.own_context(caller, Action::EndSessions);
        Ok(self.stored.delete_all(sessions_of(caller), kept, context).await?)
    }

    /// The audit context of a change of the caller's own sessions. `None`: the caller has no current organization.
    fn own_context(&self, caller: &Caller, action: Action) -> Option<AuditContext> {
        let organization = caller.organization().ok()?;
        Some(caller.audit_context(organization, action, None, self.clock.now()))
    }

    /// Ends all sessions of a member: those of their keys in the organization, and their own. Returns their number.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn end_member_sessions(&self, authority: &Authority, user: UserId) -> Result<u64, Error> {
        let of = SessionsOf::Member(authority.organization(), user);
        let context = authority.audit_context(Action::EndSessions, self.clock.now());
        Ok(self.stored.delete_all(of, None, Some(context)).await?)
    }
}

/// The sessions of the caller's key, or of the caller as a federated user.
fn sessions_of(caller: &Caller) -> SessionsOf {
    match &caller.principal {
        Principal::Key(key) => SessionsOf::Key(key.id()),
        Principal::FederatedUser(person) => {
            SessionsOf::FederatedUser { identity: person.claims.identity.clone(), user: person.user() }
        }
    }
}
