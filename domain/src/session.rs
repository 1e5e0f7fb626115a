//! A session of a browser, and whom it speaks for.

use crate::{
    clock::Timestamp,
    id::{OrganizationId, SessionId, UserId},
    identity::Word,
    secret::SecretHash,
};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its identifier.
    pub id: SessionId,
    /// Whom it speaks for.
    pub bearer: Bearer,
    /// Where it was opened. `None`: nowhere, or by an earlier version.
    pub organization: Option<OrganizationId>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Whom a session speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// The holder of the key with this secret.
    Key(SecretHash),
    /// A user whom an identity provider vouched for.
    Person(UserId, Word),
}
