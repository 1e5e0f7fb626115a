//! The use cases on keys: what they need, and the one door to them.

mod create;
mod manage;

use std::sync::Arc;

pub use create::NewKey;

use crate::{
    caller::{Authority, Caller},
    clock::{Clock, Entropy, Timestamp},
    error::Error,
    id::OrganizationId,
    organization::OrganizationKind,
    permission::Permission,
    ports::{Accounts, ApiKeys},
};

/// Keys, their holders and their keepers.
#[expect(clippy::struct_field_names, reason = "`api_keys` is the name of the port")]
pub struct Keys {
    pub(crate) api_keys: Arc<dyn ApiKeys>,
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Keys {
    /// The use cases over these ports.
    #[must_use]
    pub fn new(
        api_keys: Arc<dyn ApiKeys>,
        accounts: Arc<dyn Accounts>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { api_keys, accounts, clock, entropy }
    }

    /// The time by which the use cases decide.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Finds that `caller` may do `permission` in `organization` (`None`: a text that names none).
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission, whatever the id; with it [`Error::NotFound`] for an organization that
    /// is foreign or unknown. Only a platform caller makes us look whether it exists; [`Error::Outage`].
    pub async fn authorize(
        &self,
        caller: Caller,
        permission: &Permission,
        organization: Option<OrganizationId>,
    ) -> Result<Authority, Error> {
        caller.require(permission)?;
        let organization = organization.ok_or(Error::NotFound)?;
        let reachable = caller.organization() == organization
            || match caller.kind {
                OrganizationKind::Tenant => false,
                OrganizationKind::Platform => self.accounts.has_organization(organization).await?,
            };
        if reachable { Ok(Authority::new(caller, organization)) } else { Err(Error::NotFound) }
    }
}
