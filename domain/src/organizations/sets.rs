//! Permission sets with names. A change holds at once for all keys and members that have the set.

use super::{Organizations, require_covered};
use crate::{
    act::Action, caller::Authority, error::Error, id::SetId, permission::PermissionSet, permission_sets::NamedSet,
    permission_sets::SetName, ports::SetChanges,
};

/// A permission set to be.
#[derive(Clone, Debug)]
pub struct NewSet {
    /// Its name.
    pub name: SetName,
    /// What it gives.
    pub permissions: PermissionSet,
}

/// What changes of a permission set.
#[derive(Clone, Debug, Default)]
pub struct SetPatch {
    /// Its name.
    pub name: Option<SetName>,
    /// What it gives.
    pub permissions: Option<PermissionSet>,
}

impl Organizations {
    /// At most `limit` sets after `after`, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn sets(&self, authority: &Authority, after: Option<SetId>, limit: u64) -> Result<Vec<NamedSet>, Error> {
        Ok(self.ports.sets.list(authority.organization(), after, limit).await?)
    }

    /// One set (`None`: a text that names none).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Outage`].
    pub async fn set(&self, authority: &Authority, set: Option<SetId>) -> Result<NamedSet, Error> {
        let set = set.ok_or(Error::NotFound)?;
        self.ports.sets.find(authority.organization(), set).await?.ok_or(Error::NotFound)
    }

    /// Makes a set.
    ///
    /// # Errors
    /// [`Error::ExceedsGrants`]; [`Error::NameTaken`]; [`Error::CapReached`]; [`Error::Outage`].
    pub async fn create_set(&self, authority: &Authority, new: NewSet) -> Result<NamedSet, Error> {
        require_covered(authority, &new.permissions)?;
        let now = self.now();
        let set = NamedSet {
            id: SetId::generate(&*self.ports.clock, &*self.ports.entropy),
            organization: authority.organization(),
            name: new.name,
            permissions: new.permissions,
            created_at: now,
            updated_at: now,
        };
        self.ports.sets.create(&set, &authority.act(Action::CreateSet, now)).await?;
        Ok(set)
    }

    /// Changes a set (`None`: a text that names none), and answers it as it is then.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NothingToChange`]; [`Error::ExceedsGrants`] where the caller does not hold what it
    /// gives, before or after; [`Error::TooManyPermissions`] where a key or member that has it would hold too many;
    /// [`Error::NameTaken`]; [`Error::LastAdmin`]; [`Error::Outage`].
    pub async fn update_set(
        &self,
        authority: &Authority,
        set: Option<SetId>,
        patch: SetPatch,
    ) -> Result<NamedSet, Error> {
        let before = self.set(authority, set).await?;
        if patch.name.is_none() && patch.permissions.is_none() {
            return Err(Error::NothingToChange);
        }
        require_covered(authority, &before.permissions)?;
        require_covered(authority, patch.permissions.as_ref().unwrap_or(&before.permissions))?;
        let changes = SetChanges { name: patch.name, permissions: patch.permissions };
        let act = authority.act(Action::UpdateSet, self.now());
        self.ports.sets.update(before.organization, before.id, changes, &act).await
    }

    /// Removes a set (`None`: a text that names none); with `detach` also where keys and members have it, who lose what it
    /// gave them.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InUse`]; [`Error::LastAdmin`]; [`Error::Outage`].
    pub async fn delete_set(&self, authority: &Authority, set: Option<SetId>, detach: bool) -> Result<(), Error> {
        let set = set.ok_or(Error::NotFound)?;
        let act = authority.act(Action::DeleteSet, self.now());
        self.ports.sets.delete(authority.organization(), set, detach, &act).await
    }
}
