//! Managing permission sets. A change applies immediately to all keys and members that have the set.

use std::sync::Arc;

use super::{OrganizationService, require_permissions, require_unrestricted};
use crate::{
    audit::context::Action,
    auth::caller::Authority,
    change::Change,
    error::Error,
    id::SetId,
    keys::policy::KeyPolicy,
    optimistic::until_stored,
    organizations::permission_set::{PermissionSet, SetHolders, SetName, SetVersion},
    permissions::Permissions,
    ports::SetChanges,
};

/// A permission set to create.
#[derive(Clone, Debug)]
pub struct NewSet {
    /// The name.
    pub name: SetName,
    /// The permissions.
    pub permissions: Permissions,
    /// The key policy that have the set. `None`: none.
    pub key_policy: Option<Arc<KeyPolicy>>,
}

/// A change of a permission set. `None`: the field is not changed.
#[derive(Clone, Debug, Default)]
pub struct SetPatch {
    /// The name.
    pub name: Option<SetName>,
    /// The permissions.
    pub permissions: Option<Permissions>,
    /// The key policy that have the set. It applies to keys that are created or changed from now on.
    pub key_policy: Change<Arc<KeyPolicy>>,
}

impl OrganizationService {
    /// Lists at most `limit` permission sets, sorted by id, beginning after `after` (`None`: with the first).
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn sets(
        &self,
        authority: &Authority,
        after: Option<SetId>,
        limit: u64,
    ) -> Result<Vec<PermissionSet>, Error> {
        Ok(self.ports.sets.list(authority.organization(), after, limit).await?)
    }

    /// One permission set (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn set(&self, authority: &Authority, set: Option<SetId>) -> Result<PermissionSet, Error> {
        let set = set.ok_or(Error::NotFound)?;
        self.ports.sets.find(authority.organization(), set).await?.ok_or(Error::NotFound)
    }

    /// How many keys and members have a permission set (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn set_holders(&self, authority: &Authority, set: Option<SetId>) -> Result<SetHolders, Error> {
        let set = self.set(authority, set).await?;
        Ok(self.ports.sets.count_holders(set.id).await?)
    }

    /// Creates a permission set.
    ///
    /// # Errors
    /// [`Error::ExceedsPermissions`]; [`Error::ExceedsExpiry`] and [`Error::ExceedsAddresses`] if the set has permissions
    /// and the caller's key has an expiry or an IP allowlist; [`Error::FreshSignInRequired`]; [`Error::NameTaken`];
    /// [`Error::CapReached`]; [`Error::Outage`].
    pub async fn create_set(&self, authority: &Authority, new: NewSet) -> Result<PermissionSet, Error> {
        require_permissions(authority, &new.permissions)?;
        let now = self.now();
        require_unrestricted(authority, &Permissions::default(), &new.permissions, now)?;
        let set = PermissionSet {
            id: SetId::generate(&*self.ports.clock, &*self.ports.entropy),
            organization: authority.organization(),
            name: new.name,
            permissions: new.permissions,
            key_policy: new.key_policy,
            created_at: now,
            updated_at: now,
            version: SetVersion::default(),
        };
        self.ports.sets.create(&set, &authority.audit_context(Action::CreateSet, now)).await?;
        Ok(set)
    }

    /// Updates a permission set (`None`: the request has no valid id), and returns the updated set.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NothingToChange`]; [`Error::ExceedsPermissions`] if the caller does not have all
    /// permissions of the set before and after the update; [`Error::ExceedsExpiry`] and [`Error::ExceedsAddresses`] if
    /// the set gets more permissions and the caller's key has an expiry or an IP allowlist; [`Error::FreshSignInRequired`];
    /// [`Error::TooManyPermissions`] if a key or member that has the set would have too many;
    /// [`Error::KeyPolicyViolated`] if a key that has the set would have permissions that it may not have; [`Error::NameTaken`];
    /// [`Error::LastAdmin`]; [`Error::ConcurrentChanges`]; [`Error::Outage`].
    pub async fn update_set(
        &self,
        authority: &Authority,
        set: Option<SetId>,
        patch: SetPatch,
    ) -> Result<PermissionSet, Error> {
        let _lock = self.ports.sets.lock_for_change(authority.organization()).await?;
        until_stored(|| async {
            let before = self.set(authority, set).await?;
            if patch.name.is_none() && patch.permissions.is_none() && patch.key_policy.is_keep() {
                return Err(Error::NothingToChange);
            }
            require_permissions(authority, &before.permissions)?;
            let after = patch.permissions.as_ref().unwrap_or(&before.permissions);
            require_permissions(authority, after)?;
            require_unrestricted(authority, &before.permissions, after, self.now())?;
            let changes = SetChanges {
                name: patch.name.clone(),
                permissions: patch.permissions.clone(),
                key_policy: patch.key_policy.clone(),
            };
            let context = authority.audit_context(Action::UpdateSet, self.now());
            self.ports.sets.update(&before, changes, &context).await
        })
        .await
    }

    /// Deletes a permission set (`None`: the request has no valid id). With `detach`, it is first removed from the keys
    /// and members that have it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InUse`]; [`Error::LastAdmin`]; [`Error::Outage`].
    pub async fn delete_set(&self, authority: &Authority, set: Option<SetId>, detach: bool) -> Result<(), Error> {
        let set = set.ok_or(Error::NotFound)?;
        let context = authority.audit_context(Action::DeleteSet, self.now());
        self.ports.sets.delete(authority.organization(), set, detach, &context).await
    }
}
