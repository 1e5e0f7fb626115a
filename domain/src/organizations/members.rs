//! The members of an organization, and their permissions.

use super::{OrganizationService, manage::require_platform, require_permissions, require_unrestricted};
use crate::{
    audit::context::Action,
    auth::caller::{Authority, Caller},
    error::Error,
    id::{Identity, SetId, UserId},
    optimistic::until_stored,
    organizations::{
        permission_set::{PermissionSet, effective},
        user::{Email, User, UserName, UserOrigin},
    },
    permissions::{Permission, Permissions},
    ports::{JoinedBy, NewUser, UserChanges},
};

/// How a new member is identified.
#[derive(Clone, Debug)]
pub enum MemberIdentifier {
    /// A new user with this e-mail address and name.
    Email(Email, UserName),
    /// A new user with this identity at a provider, and this name.
    Identity(Identity, UserName),
}

/// A member to add.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// The user.
    pub identifier: MemberIdentifier,
    /// The member's own permissions.
    pub permissions: Permissions,
    /// The permission sets of the member.
    pub sets: Vec<SetId>,
}

/// A change of a member. `None`: the field is not changed.
#[derive(Clone, Debug, Default)]
pub struct MemberPatch {
    /// The member's own permissions.
    pub permissions: Option<Permissions>,
    /// The permission sets of the member.
    pub sets: Option<Vec<SetId>>,
}

/// The result of erasing users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The number of users that were erased.
    pub erased: u64,
    /// Whether there are more, so that the request has to be repeated.
    pub has_more: bool,
}

impl OrganizationService {
    /// The maximum number of users that one request erases.
    pub const MAX_ERASED: u64 = 100;

    /// Lists at most `limit` members, sorted by id, beginning after `after` (`None`: with the first).
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn members(&self, authority: &Authority, after: Option<UserId>, limit: u64) -> Result<Vec<User>, Error> {
        Ok(self.ports.members.list(authority.organization(), after, limit).await?)
    }

    /// One member (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn member(&self, authority: &Authority, user: Option<UserId>) -> Result<User, Error> {
        let user = user.ok_or(Error::NotFound)?;
        self.ports.members.find(authority.organization(), user).await?.ok_or(Error::NotFound)
    }

    /// Adds a member. If they are identified by an identity at a provider,
    /// [`crate::auth::federation::FederatedLogin::may_log_in_to`] must be checked before.
    ///
    /// # Errors
    /// [`Error::SetNotFound`]; [`Error::ExceedsPermissions`]; [`Error::ExceedsExpiry`] and [`Error::ExceedsAddresses`] if
    /// the caller's key has an expiry or an IP allowlist; [`Error::FreshSignInRequired`]; [`Error::AlreadyMember`];
    /// [`Error::TooManyPermissions`]; [`Error::CapReached`]; [`Error::Outage`].
    pub async fn add_member(&self, authority: &Authority, new: NewMember) -> Result<User, Error> {
        let organization = authority.organization();
        let sets = self.ports.sets.resolve(organization, &new.sets).await?;
        let given = effective(&new.permissions, &sets);
        require_permissions(authority, &given)?;
        require_unrestricted(authority, &Permissions::default(), &given, self.now())?;
        require_unrestricted_for_sets(authority, &[], &new.sets)?;
        let context = authority.audit_context(Action::AddMember, self.now());
        let (name, email, identity, origin) = match new.identifier {
            MemberIdentifier::Email(email, name) => (name, Some(email), None, UserOrigin::Invited),
            MemberIdentifier::Identity(identity, name) => (name, None, Some(identity), UserOrigin::IdentityProvider),
        };
        let user = User {
            id: UserId::generate(&*self.ports.clock, &*self.ports.entropy),
            organization,
            name,
            email,
            permissions: new.permissions,
            sets: new.sets,
            origin,
            created_at: context.at,
        };
        self.ports.members.add(NewUser { user, identity, joined_by: JoinedBy::Addition }, &context).await
    }

    /// Changes the permissions of a member (`None`: the request has no valid id). The change applies to all of the
    /// member's keys immediately.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NothingToChange`]; [`Error::SetNotFound`]; [`Error::ExceedsPermissions`] if the caller
    /// does not have all permissions of the member before and after the change; [`Error::ExceedsExpiry`] and
    /// [`Error::ExceedsAddresses`] if the member gets a permission or a permission set and the caller's key has an
    /// expiry or an IP allowlist; [`Error::FreshSignInRequired`]; [`Error::TooManyPermissions`]; [`Error::LastAdmin`];
    /// [`Error::ConcurrentChanges`]; [`Error::Outage`].
    pub async fn update_member(
        &self,
        authority: &Authority,
        user: Option<UserId>,
        patch: MemberPatch,
    ) -> Result<User, Error> {
        let id = user.ok_or(Error::NotFound)?;
        let _lock = self.ports.members.lock_for_change(authority.organization(), id).await?;
        until_stored(|| async {
            let before = self.member(authority, user).await?;
            if patch.permissions.is_none() && patch.sets.is_none() {
                return Err(Error::NothingToChange);
            }
            // A permission set of the member was deleted after the member was read.
            let held = match self.ports.sets.resolve(before.organization, &before.sets).await {
                Err(Error::SetNotFound) => return Ok(None),
                held => held?,
            };
            self.check_member_update(authority, &before, &held, &patch).await?;
            let changes = UserChanges { permissions: patch.permissions.clone(), sets: patch.sets.clone() };
            let context = authority.audit_context(Action::UpdateMember, self.now());
            self.ports.members.update(&before, changes, &context).await
        })
        .await
    }

    /// Checks whether the caller may make this change. `before` and `sets` are the member and their permission sets as
    /// they are now.
    async fn check_member_update(
        &self,
        authority: &Authority,
        before: &User,
        sets: &[PermissionSet],
        patch: &MemberPatch,
    ) -> Result<(), Error> {
        let held = effective(&before.permissions, sets);
        require_permissions(authority, &held)?;
        let own = patch.permissions.as_ref().unwrap_or(&before.permissions);
        let given = match &patch.sets {
            None => effective(own, sets),
            Some(sets) => effective(own, &self.ports.sets.resolve(before.organization, sets).await?),
        };
        require_permissions(authority, &given)?;
        require_unrestricted(authority, &held, &given, self.now())?;
        require_unrestricted_for_sets(authority, &before.sets, patch.sets.as_ref().unwrap_or(&before.sets))
    }

    /// Removes a member (`None`: the request has no valid id) and erases their personal data. The member's keys are
    /// invalid immediately.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LastAdmin`]; [`Error::Outage`].
    pub async fn remove_member(&self, authority: &Authority, user: Option<UserId>) -> Result<(), Error> {
        let user = user.ok_or(Error::NotFound)?;
        let context = authority.audit_context(Action::RemoveMember, self.now());
        self.ports.members.remove(authority.organization(), user, &context).await
    }

    /// Lists at most `limit` users of all organizations with this e-mail address, sorted by id, beginning after `after`
    /// (`None`: with the first). Requires a platform caller.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `members:read`; [`Error::PlatformOnly`]; [`Error::Outage`].
    pub async fn users_with_email(
        &self,
        caller: &Caller,
        email: &Email,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<User>, Error> {
        caller.require(&Permission::MEMBERS_READ)?;
        require_platform(caller)?;
        Ok(self.ports.members.find_by_email(email, after, limit).await?)
    }

    /// Erases users of all organizations with this e-mail address, at most [`OrganizationService::MAX_ERASED`]. It does the
    /// same as [`OrganizationService::remove_member`], but also removes the last member with all permissions. Requires a
    /// platform caller.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `members:admin`; [`Error::PlatformOnly`]; [`Error::Outage`], possibly after some
    /// users were erased.
    pub async fn erase_users_with_email(&self, caller: &Caller, email: &Email) -> Result<Erasure, Error> {
        caller.require(&Permission::MEMBERS_ADMIN)?;
        require_platform(caller)?;
        let mut found = self.ports.members.find_by_email(email, None, Self::MAX_ERASED + 1).await?;
        let has_more = found.len() as u64 > Self::MAX_ERASED;
        found.truncate(usize::try_from(Self::MAX_ERASED).unwrap_or(usize::MAX));
        let mut erased = 0;
        for user in found {
            let context = caller.audit_context(
                user.organization,
                Action::RemoveMember,
                Some(Permission::MEMBERS_ADMIN),
                self.now(),
            );
            match self.ports.members.erase(user.organization, user.id, &context).await {
                Ok(()) => erased += 1,
                // The user was removed by another request meanwhile.
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Erasure { erased, has_more })
    }
}

/// Requires that a caller whose key has an expiry or an IP allowlist attaches no permission set to members, not even an
/// empty one: its permissions may increase later.
pub(crate) fn require_unrestricted_for_sets(
    authority: &Authority,
    before: &[SetId],
    after: &[SetId],
) -> Result<(), Error> {
    let attaches = after.iter().any(|set| !before.contains(set));
    if attaches { authority.caller().require_validity(None, None) } else { Ok(()) }
}
