//! Browser sessions, and the credentials that they stand for.

use std::net::IpAddr;

use crate::{
    auth::identity::SessionClaims,
    clock::Timestamp,
    id::{Identity, KeyId, OrganizationId, SessionId, UserId},
    keys::secret::SecretHash,
    validated_string::without_invisible,
};

/// The last use of a session is stored at most this often, in milliseconds: once a minute.
pub const USE_INTERVAL_MS: u64 = 60 * 1_000;

/// A browser session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The id. It is not secret: the session cookie is this id with a signature of the service.
    pub id: SessionId,
    /// The credential that the session stands for.
    pub bearer: Bearer,
    /// The organization in which it was created. `None`: in none, or by an earlier version.
    pub organization: Option<OrganizationId>,
    /// The federated user's user in that organization; the session ends when that user is removed. `None`: the session
    /// of a key, or of a user without a current organization.
    pub user: Option<UserId>,
    /// When it was created (UTC).
    pub created_at: Timestamp,
    /// When the caller signed in (UTC): earlier than `created_at` if a provider issued the token earlier.
    pub signed_in_at: Timestamp,
    /// When it was last used (UTC), to the minute.
    pub last_used_at: Timestamp,
    /// When it expires (UTC, exclusive).
    pub expires_at: Timestamp,
    /// The IP address of the client that created it. `None`: not known.
    pub client: Option<IpAddr>,
    /// The browser that created it. `None`: not known.
    pub user_agent: Option<UserAgent>,
}

impl Session {
    /// Whether it has ended: it has expired, or was not used for `idle_time` milliseconds.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp, idle_time: i64) -> bool {
        now >= self.expires_at || now >= self.last_used_at.plus_millis(idle_time)
    }

    /// Whether it stands for the same secret of a key, or the same person, as the other.
    #[must_use]
    pub fn has_same_bearer(&self, other: &Self) -> bool {
        match (&self.bearer, &other.bearer) {
            (Bearer::Key(own), Bearer::Key(others)) => own == others,
            (Bearer::FederatedUser(own), Bearer::FederatedUser(others)) => own.identity == others.identity,
            (Bearer::Key(_), Bearer::FederatedUser(_)) | (Bearer::FederatedUser(_), Bearer::Key(_)) => false,
        }
    }
}

/// How long sessions last, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// From when they are created. They may expire earlier, with what they stand for.
    pub lifetime: i64,
    /// From their last use.
    pub idle_time: i64,
}

impl SessionLimits {
    /// The sessions that have not ended at `now`.
    #[must_use]
    pub fn live(self, now: Timestamp) -> LiveSessions {
        LiveSessions { now, used_after: now.plus_millis(-self.idle_time) }
    }
}

/// The sessions that have not ended: they expire after `now`, and were created or used after `used_after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSessions {
    /// The current time (UTC).
    pub now: Timestamp,
    /// The current time without the time that a session may be unused (UTC).
    pub used_after: Timestamp,
}

/// What a browser sends when it signs in.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// How it calls itself. `None`: it does not say it.
    pub user_agent: Option<UserAgent>,
    /// The session that it has. `None`: it has none.
    pub session: Option<SessionId>,
}

/// How a browser calls itself: the header `User-Agent`. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(String);

impl UserAgent {
    /// The maximum number of characters.
    pub const MAX: usize = 200;

    /// The first [`Self::MAX`] characters of a text, without invisible and control characters. `None`: none are left.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let visible = without_invisible(text);
        let line: String = visible.chars().filter(|character| !character.is_control()).take(Self::MAX).collect();
        let line = line.trim();
        (!line.is_empty()).then(|| Self(line.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A group of sessions that are ended together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionsOf {
    /// The sessions that were created with any secret of this key.
    Key(KeyId),
    /// The sessions of this federated user in all organizations.
    FederatedUser {
        /// The identity at the provider.
        identity: Identity,
        /// The user in their current organization, for the audit log. `None`: there is no current organization.
        user: Option<UserId>,
    },
    /// In an organization: the sessions of this member's keys, and those of the member as a federated user. If the user
    /// has accepted the membership, also their sessions that were created in no organization.
    Member(OrganizationId, UserId),
    /// The sessions that were created in this organization.
    Organization(OrganizationId),
}

/// The credential that a session stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// The API key with this secret.
    Key(SecretHash),
    /// A user of an identity provider, with the claims of the token.
    FederatedUser(SessionClaims),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_is_one_short_visible_line() {
        let read = |text: &str| UserAgent::from_text(text).map(|agent| agent.as_str().to_owned());
        assert_eq!(read("  Mozilla/5.0 (X11)\t\r\n "), Some("Mozilla/5.0 (X11)".to_owned()));
        assert_eq!(read("a\u{202E}b\u{7}c"), Some("abc".to_owned()));
        assert_eq!(read(&"é".repeat(500)), Some("é".repeat(UserAgent::MAX)));
        assert_eq!((read(""), read(" \u{200B}\n")), (None, None));
    }
}
