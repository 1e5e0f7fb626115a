//! Domain → JSON for sessions that have not ended.

use domain::{
    auth::session::{Session, UserAgent},
    id::SessionId,
};
use poem_openapi::Object;
use uuid::Uuid;

use crate::http::{openapi_types::Nullable, rfc3339::Rfc3339};

/// A session in a list, and whether it is that of the request.
pub(in crate::routes) struct ActiveSession {
    /// The session.
    pub(in crate::routes) session: Session,
    is_current: bool,
}

impl ActiveSession {
    /// These sessions; `current` is the session of the request, if it was made in one.
    pub(in crate::routes) fn all(sessions: Vec<Session>, current: Option<SessionId>) -> Vec<Self> {
        let with_current = |session: Session| Self { is_current: current == Some(session.id), session };
        sessions.into_iter().map(with_current).collect()
    }
}

/// A session that has not ended.
#[derive(Object)]
#[oai(rename = "ActiveSession")]
pub(in crate::routes) struct ActiveSessionView {
    /// Unique identifier. It is not the value of the cookie.
    id: Uuid,
    /// Time of creation.
    created_at: Rfc3339,
    /// When the caller signed in: with an access token, when they authenticated at the identity provider.
    signed_in_at: Rfc3339,
    /// Time of the last request, to the minute.
    last_used_at: Rfc3339,
    /// When it ends at the latest.
    expires_at: Rfc3339,
    /// IP address of the client that created it.
    client: Nullable<String>,
    /// Header `User-Agent` of the client that created it, at most 200 characters.
    user_agent: Nullable<String>,
    /// Whether it is the session of this request.
    current: bool,
}

impl From<&ActiveSession> for ActiveSessionView {
    fn from(ActiveSession { session, is_current }: &ActiveSession) -> Self {
        Self {
            id: session.id.uuid(),
            created_at: Rfc3339(session.created_at),
            signed_in_at: Rfc3339(session.signed_in_at),
            last_used_at: Rfc3339(session.last_used_at),
            expires_at: Rfc3339(session.expires_at),
            client: Nullable(session.client.map(|client| client.to_string())),
            user_agent: Nullable(session.user_agent.as_ref().map(UserAgent::as_str).map(ToOwned::to_owned)),
            current: *is_current,
        }
    }
}
