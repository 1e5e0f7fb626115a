//! The use cases on keys: what they need, and the doors to them.

mod checks;
mod create;
mod explain;
mod import;
mod manage;
mod rotate;
mod update;
mod verify;

use std::sync::Arc;

pub use create::{NewKey, Owner};
pub use explain::{Check, Explanation, Subject};
pub use import::{OldKey, Taken};
pub use rotate::MOST_GRACE;
pub use update::{KeyPatch, RateLimitPatch};
pub use verify::{Question, Step};

use crate::{
    caller::{Authority, Caller},
    clock::{Clock, Entropy, Timestamp},
    error::Error,
    id::OrganizationId,
    permission::Permission,
    ports::{Accounts, ApiKeys, AuditLog, Imports, Ledger, ManagementRate, Sets, Snapshots, Usage, UsageLog},
    reach::Reach,
};

/// What the use cases ask of the world.
#[derive(Clone)]
pub struct Ports {
    /// The keys.
    pub api_keys: Arc<dyn ApiKeys>,
    /// The keys as verify sees them.
    pub snapshots: Arc<dyn Snapshots>,
    /// Keys that come from elsewhere.
    pub imports: Arc<dyn Imports>,
    /// Organizations and users.
    pub accounts: Arc<dyn Accounts>,
    /// Permission sets with names.
    pub sets: Arc<dyn Sets>,
    /// Uses that are counted before they are answered.
    pub ledger: Arc<dyn Ledger>,
    /// What is not done, or must not happen, for the log.
    pub log: Arc<dyn AuditLog>,
    /// Uses that are noted afterwards.
    pub usage: Arc<dyn Usage>,
    /// How often keys were verified.
    pub usage_log: Arc<dyn UsageLog>,
    /// How often organizations may be managed.
    pub rate: Arc<dyn ManagementRate>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// How often a change is tried anew because the key changed meanwhile, before that counts as busy.
const ATTEMPTS: usize = 8;

/// Keys, their holders and their keepers.
pub struct Keys {
    pub(crate) ports: Ports,
}

impl Keys {
    /// The use cases over these ports.
    #[must_use]
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// The time by which the use cases decide.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Finds that `caller` may do `permission` in `organization` (`None`: a text that names none).
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission, whatever the id; with it [`Error::NotFound`] for an organization that
    /// is foreign or unknown. Only a platform caller makes us look whether it exists; [`Error::TooManyRequests`];
    /// [`Error::Outage`].
    pub async fn authorize(
        &self,
        caller: Caller,
        permission: &Permission,
        organization: Option<OrganizationId>,
    ) -> Result<Authority, Error> {
        let (caller, organization) = caller.heading_for(organization, permission)?;
        let reachable = caller.is_at(organization)
            || (caller.is_platform() && self.ports.accounts.has_organization(organization).await?);
        if !reachable {
            return Err(Error::NotFound);
        }
        self.ports.rate.count(organization)?;
        Ok(Authority::new(caller, Reach::whole(organization), permission.clone()))
    }

    /// Finds that `caller` may do `whole` in their own organization, or at least `own` to the keys of their own user.
    ///
    /// # Errors
    /// [`Error::NoOrganization`]; [`Error::Forbidden`] with neither, or with `own` alone where the caller's key belongs to no user;
    /// [`Error::TooManyRequests`].
    pub fn authorize_at_home(&self, caller: Caller, whole: &Permission, own: &Permission) -> Result<Authority, Error> {
        let organization = caller.organization()?;
        let (user, permission) = match caller.require(whole) {
            Ok(()) => (None, whole),
            Err(forbidden) if caller.user().is_none() || !caller.allows(own) => return Err(forbidden),
            Err(_) => (caller.user(), own),
        };
        self.ports.rate.count(organization)?;
        Ok(Authority::new(caller, Reach { organization, user }, permission.clone()))
    }
}
