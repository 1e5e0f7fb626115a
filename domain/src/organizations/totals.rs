//! The totals of the whole service, for its operator.

use super::{OrganizationService, manage::require_platform};
use crate::{
    auth::caller::Caller, error::Error, id::ExternalId, organizations::organization::Organization,
    permissions::Permission,
};

/// The number of organizations in [`ServiceTotals::largest`].
pub const MAX_LARGEST: u64 = 10;

/// The filter of a list of organizations: those that match all conditions. `None`: no condition.
#[derive(Clone, Debug, Default)]
pub struct OrganizationFilter {
    /// The external id.
    pub external_id: Option<ExternalId>,
    /// A part of the name, in the form of [`fold`](crate::validated_string::fold).
    pub name: Option<String>,
}

/// The totals of the whole service, without deleted organizations.
#[derive(Clone, Debug)]
pub struct ServiceTotals {
    /// The number of organizations, including the platform organization.
    pub organizations: u64,
    /// The number of suspended organizations.
    pub suspended_organizations: u64,
    /// The number of keys.
    pub keys: u64,
    /// The number of members of all organizations. A person counts once for each of their organizations.
    pub members: u64,
    /// The organizations with the most keys, at most [`MAX_LARGEST`], the largest first.
    pub largest: Vec<OrganizationSize>,
}

/// An organization and the number of its keys.
#[derive(Clone, Debug)]
pub struct OrganizationSize {
    /// The organization.
    pub organization: Organization,
    /// The number of its keys.
    pub keys: u64,
}

impl OrganizationService {
    /// The totals of the whole service. Requires a platform caller.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `org:read`; [`Error::PlatformOnly`]; [`Error::Outage`].
    pub async fn totals(&self, caller: &Caller) -> Result<ServiceTotals, Error> {
        caller.require(&Permission::ORG_READ)?;
        require_platform(caller)?;
        Ok(self.ports.organizations.totals().await?)
    }
}
