//! Whether a caller may give keys what they are to hold. Of many keys that are made together, what is the same for several is
//! read and checked once.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use super::Keys;
use crate::{
    caller::Authority,
    cooperation::Pace,
    error::Error,
    grants::Grants,
    id::{SetId, UserId},
    permission::PermissionSet,
};

/// Memberships, and permission sets, that are kept at once: so many of the widest take a few megabytes.
const KEPT: usize = 32;

/// A check of a permission takes as long as the reading of so many bytes.
const BYTES: usize = 32;

/// The checks of one request.
pub(super) struct Checks<'a> {
    keys: &'a Keys,
    authority: &'a Authority,
    members: Recent<UserId>,
    sets: Recent<SetId>,
    grantable: Grantable,
    pace: Pace,
}

impl<'a> Checks<'a> {
    pub(super) fn new(keys: &'a Keys, authority: &'a Authority) -> Self {
        Self {
            keys,
            authority,
            members: Recent::default(),
            sets: Recent::default(),
            grantable: Grantable::by(authority.caller().grants()),
            pace: Pace::default(),
        }
    }

    pub(super) fn authority(&self) -> &'a Authority {
        self.authority
    }

    /// Asks that the caller may make a key of this user (`None`: of the organization) with these permissions and sets.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; [`Error::SetNotFound`]; [`Error::ExceedsGrants`]; [`Error::Outage`].
    pub(super) async fn require_grantable(
        &mut self,
        user: Option<UserId>,
        own: &PermissionSet,
        sets: &[SetId],
    ) -> Result<(), Error> {
        let new: Vec<SetId> = sets.iter().filter(|set| !self.grantable.has(user, **set)).copied().collect();
        let new = self.read_sets(&new).await?;
        let member = match user {
            None => None,
            Some(user) => Some(self.read_member(user).await?),
        };
        let owner = Owned { user, bound: member.as_deref() };
        let is_grantable = self.grantable.includes(owner, own);
        self.work(owner, own).await;
        if !is_grantable {
            return Err(Error::ExceedsGrants);
        }
        for (set, permissions) in new {
            if !self.grantable.includes_set(owner, set, &permissions) {
                return Err(Error::ExceedsGrants);
            }
            self.work(owner, &permissions).await;
        }
        Ok(())
    }

    async fn work(&mut self, owner: Owned<'_>, part: &PermissionSet) {
        self.pace.worked((part.len() + owner.bound.map_or(0, PermissionSet::len)) * BYTES).await;
    }

    async fn read_member(&mut self, user: UserId) -> Result<Arc<PermissionSet>, Error> {
        if let Some(known) = self.members.0.get(&user) {
            return Ok(known.clone());
        }
        let found = self.keys.ports.accounts.find_membership(self.authority.organization(), user).await?;
        let found = Arc::new(found.ok_or(Error::UserNotFound)?);
        self.members.keep(user, found.clone());
        Ok(found)
    }

    async fn read_sets(&mut self, sets: &[SetId]) -> Result<Vec<(SetId, Arc<PermissionSet>)>, Error> {
        let known = sets.iter().filter_map(|set| Some((*set, self.sets.0.get(set)?.clone())));
        let mut read: Vec<(SetId, Arc<PermissionSet>)> = known.collect();
        let unknown: Vec<SetId> = sets.iter().filter(|set| !self.sets.0.contains_key(set)).copied().collect();
        if !unknown.is_empty() {
            for set in self.keys.ports.sets.resolve(self.authority.organization(), &unknown).await? {
                let permissions = Arc::new(set.permissions);
                self.sets.keep(set.id, permissions.clone());
                read.push((set.id, permissions));
            }
        }
        Ok(read)
    }
}

/// Whom a key will belong to, and what bounds it then.
#[derive(Clone, Copy)]
struct Owned<'a> {
    user: Option<UserId>,
    bound: Option<&'a PermissionSet>,
}

/// What a caller was found to be able to give to keys. A key holds a part of what its user does, and the caller holds all that
/// the key would: both are true of several sets together if they are true of each, so each is looked at once.
struct Grantable {
    /// What the caller holds.
    held: Grants,
    sets: HashSet<(Option<UserId>, SetId)>,
    /// The last permissions of a key of its own.
    own: Option<(Option<UserId>, PermissionSet)>,
}

impl Grantable {
    fn by(held: Grants) -> Self {
        Self { held, sets: HashSet::new(), own: None }
    }

    fn has(&self, user: Option<UserId>, set: SetId) -> bool {
        self.sets.contains(&(user, set))
    }

    fn includes(&mut self, owner: Owned<'_>, own: &PermissionSet) -> bool {
        let is_known =
            |(user, known): &(Option<UserId>, PermissionSet)| *user == owner.user && known.iter().eq(own.iter());
        if self.own.as_ref().is_some_and(is_known) {
            return true;
        }
        let is_included = self.covers(owner, own);
        if is_included {
            self.own = Some((owner.user, own.clone()));
        }
        is_included
    }

    fn includes_set(&mut self, owner: Owned<'_>, set: SetId, permissions: &PermissionSet) -> bool {
        let is_included = self.has(owner.user, set) || self.covers(owner, permissions);
        if is_included {
            self.sets.insert((owner.user, set));
        }
        is_included
    }

    fn covers(&self, owner: Owned<'_>, part: &PermissionSet) -> bool {
        owner.bound.is_none_or(|bound| bound.covers(part)) && self.held.covers_part(part, owner.bound)
    }
}

/// A few permission sets by what they belong to. With too many of them it begins anew.
struct Recent<K>(HashMap<K, Arc<PermissionSet>>);

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Recent<K> {
    fn keep(&mut self, key: K, value: Arc<PermissionSet>) {
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permission::tests::{steps_of, wide};

    #[test]
    fn what_is_the_same_for_many_keys_is_checked_once() {
        let uuid = uuid::Uuid::from_u128;
        let sets: Vec<(SetId, PermissionSet)> =
            (0..16).map(|n| (SetId::from_uuid(uuid(n)), wide(PermissionSet::MAX, |n| format!("*:a{n}")))).collect();
        let (own, bound) = (wide(PermissionSet::MAX, |n| format!("r{n}:*")), PermissionSet::all());
        let user = Some(UserId::from_uuid(uuid(0)));
        for owner in [Owned { user: None, bound: None }, Owned { user, bound: Some(&bound) }] {
            let mut grantable = Grantable::by(Grants::of_organization(PermissionSet::all()));
            let mut make = || {
                assert!(grantable.includes(owner, &own));
                for (set, permissions) in &sets {
                    assert!(grantable.includes_set(owner, *set, permissions));
                }
            };
            let ((), first) = steps_of(&mut make);
            let ((), others) = steps_of(|| (0..1_000).for_each(|_| make()));
            assert!(first > 0 && others == 0, "{first} {others}");
        }
    }

    #[test]
    fn what_one_user_may_be_given_another_may_not() {
        let set = SetId::from_uuid(uuid::Uuid::nil());
        let [read, write] = ["read", "write"].map(|text| PermissionSet::from_flat([text]).expect("a permission"));
        let users = [1, 2].map(|n| Some(UserId::from_uuid(uuid::Uuid::from_u128(n))));
        let (reader, writer) =
            (Owned { user: users[0], bound: Some(&read) }, Owned { user: users[1], bound: Some(&write) });
        let mut grantable = Grantable::by(Grants::of_organization(PermissionSet::all()));
        assert!(grantable.includes(reader, &read) && grantable.includes_set(reader, set, &read));
        assert!(!grantable.includes(writer, &read) && !grantable.includes_set(writer, set, &read));
        let mut weak = Grantable::by(Grants::of_organization(write.clone()));
        assert!(!weak.includes(reader, &read) && weak.includes(writer, &write) && !weak.includes(reader, &read));
    }
}
