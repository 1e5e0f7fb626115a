//! The port of passkeys.

use async_trait::async_trait;

use crate::{
    audit::context::AuditContext,
    auth::passkey::{CredentialId, Passkey, PasskeyName, UsedCeremony},
    clock::Timestamp,
    error::{Error, Outage},
    id::{PasskeyAccountId, PasskeyId},
};

/// The registered passkeys. A ceremony that is passed to one of these methods is used up, so that the response of an authenticator
/// is accepted once, by all nodes together. `context` is the audit event. `None`: the person acts in no organization, or another
/// event says it.
#[async_trait]
pub trait Passkeys: Send + Sync {
    /// Stores a passkey.
    ///
    /// # Errors
    /// [`Error::PasskeyRejected`] if the ceremony was used, or the credential is registered; [`Error::TooManyPasskeys`];
    /// [`Error::TooMany`].
    async fn register(
        &self,
        passkey: &Passkey,
        ceremony: UsedCeremony,
        context: Option<AuditContext>,
    ) -> Result<(), Error>;

    /// The passkey with this credential. `None`: it is not registered.
    async fn find(&self, credential: &CredentialId) -> Result<Option<Passkey>, Outage>;

    /// The passkeys of an account, oldest first.
    async fn list(&self, account: PasskeyAccountId) -> Result<Vec<Passkey>, Outage>;

    /// Stores that a passkey was used to sign in, with its new state.
    ///
    /// # Errors
    /// [`Error::PasskeyRejected`] if the ceremony was used, or the passkey was removed or used with another state meanwhile.
    async fn record_use(
        &self,
        passkey: &Passkey,
        state: Vec<u8>,
        ceremony: UsedCeremony,
        at: Timestamp,
    ) -> Result<(), Error>;

    /// Renames a passkey of an account, and returns it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such passkey; [`Error::TooMany`].
    async fn rename(
        &self,
        account: PasskeyAccountId,
        passkey: PasskeyId,
        name: PasskeyName,
        context: Option<AuditContext>,
    ) -> Result<Passkey, Error>;

    /// Removes a passkey of an account.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such passkey; [`Error::LastPasskey`].
    async fn remove(
        &self,
        account: PasskeyAccountId,
        passkey: PasskeyId,
        context: Option<AuditContext>,
    ) -> Result<(), Error>;

    /// Removes all passkeys of an account whose registration has failed.
    async fn discard(&self, account: PasskeyAccountId) -> Result<(), Outage>;
}
