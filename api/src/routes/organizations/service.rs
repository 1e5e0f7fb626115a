//! Domain → JSON for the state of the service: `/service`.

use domain::organizations::totals::{OrganizationSize, ServiceTotals};
use poem_openapi::Object;
use uuid::Uuid;

use super::dto::Kind;
use crate::http::openapi_types::Nullable;

/// The state of the service.
#[derive(Object)]
#[oai(rename = "Service")]
pub(crate) struct ServiceView {
    /// Version of the service.
    version: String,
    /// Number of organizations, including the platform.
    organizations: u64,
    /// Number of suspended organizations.
    suspended_organizations: u64,
    /// Number of keys of all organizations.
    api_keys: u64,
    /// Number of members of all organizations; a person counts once for each of them.
    members: u64,
    /// The organizations with the most keys, at most 10, the largest first.
    largest_organizations: Vec<OrganizationSizeView>,
}

/// An organization and the number of its keys.
#[derive(Object)]
#[oai(rename = "OrganizationSize")]
struct OrganizationSizeView {
    /// Id of the organization.
    org_id: Uuid,
    /// Name.
    name: Nullable<String>,
    kind: Kind,
    /// Identifier of the organization in your own system.
    external_id: Nullable<String>,
    /// Number of keys.
    api_keys: u64,
}

impl From<ServiceTotals> for ServiceView {
    fn from(totals: ServiceTotals) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            organizations: totals.organizations,
            suspended_organizations: totals.suspended_organizations,
            api_keys: totals.keys,
            members: totals.members,
            largest_organizations: totals.largest.iter().map(OrganizationSizeView::from).collect(),
        }
    }
}

impl From<&OrganizationSize> for OrganizationSizeView {
    fn from(size: &OrganizationSize) -> Self {
        let organization = &size.organization;
        Self {
            org_id: organization.id.uuid(),
            name: Nullable(organization.name.as_ref().map(|name| name.as_str().to_owned())),
            kind: organization.kind.into(),
            external_id: Nullable(organization.external_id.as_ref().map(|id| id.as_str().to_owned())),
            api_keys: size.keys,
        }
    }
}
