//! The operations on API keys, and the ports that they use.

pub mod api_key;
mod checks;
mod create;
mod get;
mod import;
pub mod ip_allowlist;
mod key_policy;
pub mod key_scope;
pub mod list;
pub mod policy;
pub mod quota;
mod rotate;
pub mod secret;
pub mod settings;
mod supplied_secret;
mod update;
pub mod usage;

use std::sync::Arc;

pub use create::{NewKey, Owner};
pub use get::KeyDeletion;
pub use import::{ImportOutcome, LegacyKey};
pub use key_policy::{PolicyReport, ReportedKey};
pub use rotate::MAX_GRACE_PERIOD_MS;
pub use settings::{KeySettings, KeySettingsPatch, RateLimitPatch};
pub use supplied_secret::SuppliedSecret;

use crate::{
    audit::context::Action,
    auth::caller::Authority,
    clock::{Clock, Entropy, Timestamp},
    error::Error,
    id::OrganizationId,
    ports::{Accounts, ApiKeys, AuditLog, Imports, KeyDefaults, MergedEvent, Sets, UsageLog},
};

/// The ports of the operations on keys.
#[derive(Clone)]
pub struct KeyPorts {
    /// The stored keys.
    pub api_keys: Arc<dyn ApiKeys>,
    /// The import of keys from other systems.
    pub imports: Arc<dyn Imports>,
    /// Organizations and users.
    pub accounts: Arc<dyn Accounts>,
    /// The permission sets.
    pub sets: Arc<dyn Sets>,
    /// The audit log.
    pub log: Arc<dyn AuditLog>,
    /// The numbers of verify requests of each key.
    pub usage_log: Arc<dyn UsageLog>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes for ids and secrets.
    pub entropy: Arc<dyn Entropy>,
}

/// Creates, reads, updates, rotates, imports and deletes API keys.
pub struct Keys {
    pub(crate) ports: KeyPorts,
}

impl Keys {
    /// Creates the operations from these ports.
    #[must_use]
    pub fn new(ports: KeyPorts) -> Self {
        Self { ports }
    }

    /// The current time, as the operations use it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// What applies to all keys of an organization.
    async fn key_defaults(&self, organization: OrganizationId) -> Result<KeyDefaults, Error> {
        self.ports.accounts.find_key_defaults(organization).await?.ok_or(Error::NotFound)
    }

    /// Records in the audit log that all keys were listed in one request.
    pub fn record_export(&self, authority: &Authority) {
        let (context, target) =
            (authority.audit_context(Action::ExportKeys, self.now()), authority.organization().uuid());
        self.ports.log.record_merged(MergedEvent::done(context, target));
    }
}
