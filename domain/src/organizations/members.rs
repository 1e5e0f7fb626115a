//! Who is a member of an organization, and what they may do there.

use super::{Organizations, require_covered};
use crate::{
    act::Action,
    caller::Authority,
    error::Error,
    id::{SetId, UserId},
    identity::Identity,
    permission::PermissionSet,
    permission_sets::effective,
    ports::{Brought, MembershipChanges},
    user::{Contact, Email, Member, Membership, User, UserName},
};

/// Who becomes a member.
#[derive(Clone, Debug)]
pub enum Joining {
    /// A user that there is (`None`: a text that names none).
    User(Option<UserId>),
    /// The user with this address; a new one with this name, where there is none.
    Address(Email, UserName),
    /// The user whom an identity provider knows so; a new one with this name, where there is none.
    Identity(Identity, UserName),
}

/// A member to be.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Who.
    pub who: Joining,
    /// What they may do.
    pub permissions: PermissionSet,
    /// And what these sets give.
    pub sets: Vec<SetId>,
}

/// What changes of a member.
#[derive(Clone, Debug, Default)]
pub struct MemberPatch {
    /// What they may do.
    pub permissions: Option<PermissionSet>,
    /// And what these sets give.
    pub sets: Option<Vec<SetId>>,
}

impl Organizations {
    /// At most `limit` members after `after`, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn members(
        &self,
        authority: &Authority,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<Member>, Error> {
        Ok(self.ports.members.list(authority.organization(), after, limit).await?)
    }

    /// One member (`None`: a text that names none).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Outage`].
    pub async fn member(&self, authority: &Authority, user: Option<UserId>) -> Result<Member, Error> {
        let user = user.ok_or(Error::NotFound)?;
        self.ports.members.find(authority.organization(), user).await?.ok_or(Error::NotFound)
    }

    /// Makes somebody a member.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; [`Error::SetNotFound`]; [`Error::ExceedsGrants`]; [`Error::AlreadyMember`];
    /// [`Error::TooManyPermissions`]; [`Error::CapReached`]; [`Error::Outage`].
    pub async fn add_member(&self, authority: &Authority, new: NewMember) -> Result<Member, Error> {
        let organization = authority.organization();
        let sets = self.ports.sets.resolve(organization, &new.sets).await?;
        require_covered(authority, &effective(&new.permissions, &sets))?;
        let now = self.now();
        let bring = |name, contact, identity| {
            let id = UserId::generate(&*self.ports.clock, &*self.ports.entropy);
            Brought { user: User { id, name, contact, created_at: now }, identity, is_seen: false }
        };
        let brought = match new.who {
            Joining::User(user) => Err(user.ok_or(Error::UserNotFound)?),
            Joining::Address(email, name) => Ok(bring(name, Contact::Own(email), None)),
            Joining::Identity(identity, name) => Ok(bring(name, Contact::Told(None), Some(identity))),
        };
        let user = brought.as_ref().map_or_else(|known| *known, |brought| brought.user.id);
        let membership =
            Membership { organization, user, permissions: new.permissions, sets: new.sets, created_at: now };
        let act = authority.act(Action::AddMember, now);
        self.ports.members.add(membership, brought.ok(), &act).await
    }

    /// Changes what a member may do, at once for all of their keys (`None`: a text that names nobody).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NothingToChange`]; [`Error::SetNotFound`]; [`Error::ExceedsGrants`] where the caller
    /// does not hold what the member holds, before or after; [`Error::TooManyPermissions`]; [`Error::LastAdmin`];
    /// [`Error::Outage`].
    pub async fn update_member(
        &self,
        authority: &Authority,
        user: Option<UserId>,
        patch: MemberPatch,
    ) -> Result<Member, Error> {
        let before = self.member(authority, user).await?.membership;
        if patch.permissions.is_none() && patch.sets.is_none() {
            return Err(Error::NothingToChange);
        }
        let (permissions, sets) = (&patch.permissions, &patch.sets);
        let held = self.ports.sets.resolve(authority.organization(), &before.sets).await?;
        require_covered(authority, &effective(&before.permissions, &held))?;
        let after = self.ports.sets.resolve(authority.organization(), sets.as_ref().unwrap_or(&before.sets)).await?;
        let own = permissions.as_ref().unwrap_or(&before.permissions);
        require_covered(authority, &effective(own, &after))?;
        let changes = MembershipChanges { permissions: patch.permissions, sets: patch.sets };
        let act = authority.act(Action::UpdateMember, self.now());
        self.ports.members.update(before.organization, before.user, changes, &act).await
    }

    /// Ends a membership (`None`: a text that names nobody). The member's keys are refused from now on.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LastAdmin`]; [`Error::Outage`].
    pub async fn remove_member(&self, authority: &Authority, user: Option<UserId>) -> Result<(), Error> {
        let user = user.ok_or(Error::NotFound)?;
        let act = authority.act(Action::RemoveMember, self.now());
        self.ports.members.remove(authority.organization(), user, &act).await
    }
}
