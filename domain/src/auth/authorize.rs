//! Authorizes callers: whether they have a permission in an organization, within the rate limit of management requests.

use std::sync::Arc;

use crate::{
    auth::caller::{Authority, Caller},
    error::Error,
    id::OrganizationId,
    keys::key_scope::KeyScope,
    permissions::Permission,
    ports::{Accounts, RequestRate},
};

/// Authorizes callers. Each authorized request counts towards the rate limit of the organization that it manages.
pub struct Authorizer {
    accounts: Arc<dyn Accounts>,
    rate: Arc<dyn RequestRate<OrganizationId>>,
}

impl Authorizer {
    /// Creates the authorizer from these ports.
    #[must_use]
    pub fn new(accounts: Arc<dyn Accounts>, rate: Arc<dyn RequestRate<OrganizationId>>) -> Self {
        Self { accounts, rate }
    }

    /// Authorizes a caller for `permission` in `organization` (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission, for every id; with it, [`Error::NotFound`] for an organization that
    /// is unknown or not the caller's. Only for platform callers is the database asked whether it exists;
    /// [`Error::TooMany`]; [`Error::Outage`].
    pub async fn authorize(
        &self,
        caller: Caller,
        permission: &Permission,
        organization: Option<OrganizationId>,
    ) -> Result<Authority, Error> {
        let (caller, organization) = caller.for_organization(organization, permission)?;
        let is_accessible = caller.acts_in(organization)
            || (caller.is_platform() && self.accounts.has_organization(organization).await?);
        if !is_accessible {
            return Err(Error::NotFound);
        }
        self.count(organization)?;
        Ok(Authority::new(caller, KeyScope::whole(organization), permission.clone()))
    }

    /// Authorizes a caller for `whole` in `organization` (`None`: the request has no valid id), as
    /// [`Authorizer::authorize`] does; or else for `own`, which covers only the keys of their user in that organization.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without either permission, or with only `own` if the caller's key belongs to no user, for
    /// every id; with one of them, [`Error::NotFound`] for an organization that is unknown or not the caller's. With
    /// only `own`, that is every organization that their user is not a member of, also for platform callers;
    /// [`Error::TooMany`]; [`Error::Outage`].
    pub async fn authorize_keys(
        &self,
        caller: Caller,
        whole: &Permission,
        own: &Permission,
        organization: Option<OrganizationId>,
    ) -> Result<Authority, Error> {
        let forbidden = match self.authorize(caller.clone(), whole, organization).await {
            Err(forbidden @ Error::Forbidden(_)) => forbidden,
            authorized => return authorized,
        };
        match caller.with_own_keys(organization, whole, own) {
            Ok((caller, scope)) => {
                self.count(scope.organization)?;
                Ok(Authority::new(caller, scope, own.clone()))
            }
            Err(Error::Forbidden(_)) => Err(forbidden),
            Err(other) => Err(other),
        }
    }

    /// Authorizes a caller for `whole` in their own organization, or else for `own`, which covers only the keys of
    /// their own user.
    ///
    /// # Errors
    /// [`Error::NoOrganization`]; [`Error::Forbidden`] without either permission, or with only `own` if the caller's
    /// key belongs to no user; [`Error::TooMany`].
    pub fn authorize_own_keys(&self, caller: Caller, whole: &Permission, own: &Permission) -> Result<Authority, Error> {
        let organization = caller.organization()?;
        let (scope, permission) = match caller.require(whole) {
            Ok(()) => (KeyScope::whole(organization), whole),
            Err(forbidden) => (caller.own_keys(own).ok_or(forbidden)?, own),
        };
        self.count(organization)?;
        Ok(Authority::new(caller, scope, permission.clone()))
    }

    /// Authorizes a caller for `permission` in their current organization, for a request that names no organization.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::NoOrganization`]; [`Error::TooMany`].
    pub fn authorize_caller(&self, caller: &Caller, permission: &Permission) -> Result<(), Error> {
        caller.require(permission)?;
        self.count_caller(caller)
    }

    /// Counts a request towards the rate limit of the caller's current organization. A caller without a current
    /// organization has no limit.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn count_caller(&self, caller: &Caller) -> Result<(), Error> {
        caller.organization().map_or(Ok(()), |organization| self.count(organization))
    }

    /// Counts a request towards the rate limit of an organization.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn count(&self, organization: OrganizationId) -> Result<(), Error> {
        self.rate.count(organization)
    }
}
