//! Checks whether a caller may grant permissions to keys. For many keys in one request, what is equal for several is
//! read and checked only once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use super::Keys;
use crate::{
    auth::{caller::Authority, effective_permissions::EffectivePermissions, step_up},
    cooperation::Pace,
    error::Error,
    id::{SetId, UserId},
    keys::{
        api_key::ApiKey,
        policy::{AppliedPolicies, CheckedPolicies},
    },
    organizations::permission_set::{PermissionSet, SetVersion},
    permissions::Permissions,
    ports::KeyDefaults,
};

/// The maximum number of memberships, and of permission sets, that are kept in memory: this many of the largest take a
/// few megabytes.
const MAX_CACHED: usize = 32;

/// The checks of one request.
pub(super) struct Checks<'a> {
    keys: &'a Keys,
    authority: &'a Authority,
    members: Recent<UserId, Permissions>,
    sets: Recent<SetId, PermissionSet>,
    /// The versions of all sets that were read.
    versions: BTreeMap<SetId, SetVersion>,
    grantable: Grantable,
    /// What applies to all keys of the organization. `None`: not read yet.
    defaults: Option<KeyDefaults>,
    pace: Pace,
}

impl<'a> Checks<'a> {
    pub(super) fn new(keys: &'a Keys, authority: &'a Authority) -> Self {
        Self {
            keys,
            authority,
            members: Recent::default(),
            sets: Recent::default(),
            versions: BTreeMap::new(),
            grantable: Grantable::new(authority.caller().effective_permissions()),
            defaults: None,
            pace: Pace::default(),
        }
    }

    pub(super) fn authority(&self) -> &'a Authority {
        self.authority
    }

    /// Whether a new key can manage this service. `None`: the default of the organization.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the organization was deleted; [`Error::Outage`].
    pub(super) async fn can_manage(&mut self, said: Option<bool>) -> Result<bool, Error> {
        match said {
            Some(said) => Ok(said),
            None => Ok(self.defaults().await?.can_manage),
        }
    }

    async fn defaults(&mut self) -> Result<KeyDefaults, Error> {
        if let Some(known) = &self.defaults {
            return Ok(known.clone());
        }
        let defaults = self.keys.key_defaults(self.authority.organization()).await?;
        Ok(self.defaults.insert(defaults).clone())
    }

    /// The policies that apply to a key with these permission sets.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the organization was deleted; [`Error::SetNotFound`]; [`Error::Outage`].
    pub(super) async fn policies(&mut self, sets: &[SetId]) -> Result<AppliedPolicies, Error> {
        let policy = self.defaults().await?.policy;
        let sets = self.read_sets(sets).await?;
        Ok(AppliedPolicies::new(policy, sets))
    }

    /// What the keys of the request were checked against. `None`: no key was checked.
    pub(super) fn into_checked(self) -> Option<CheckedPolicies> {
        let sets = self.versions;
        self.defaults.map(|defaults| CheckedPolicies { organization: defaults.policy, sets })
    }

    /// Requires that a new key keeps the policies that apply to it.
    ///
    /// # Errors
    /// [`Error::KeyPolicyViolated`]; [`Error::Outage`].
    pub(super) async fn require_policies(&mut self, key: &ApiKey) -> Result<(), Error> {
        let policies = self.policies(&key.settings.sets).await?;
        self.pace.checked(policies.work(key)).await;
        let now = self.keys.now();
        // Nothing is known about the age of an imported secret: it counts from its import.
        let broken = policies.broken_by_change(key, now, now);
        if broken.is_empty() { Ok(()) } else { Err(Error::KeyPolicyViolated(broken)) }
    }

    /// Requires that the caller may create a key of this user (`None`: of the organization) with these permissions and
    /// permission sets.
    ///
    /// # Errors
    /// [`Error::UserNotFound`]; [`Error::SetNotFound`]; [`Error::ExceedsPermissions`]; [`Error::FreshSignInRequired`];
    /// [`Error::Outage`].
    pub(super) async fn require_grantable(
        &mut self,
        user: Option<UserId>,
        own: &Permissions,
        sets: &[SetId],
    ) -> Result<(), Error> {
        let new: Vec<SetId> = sets.iter().filter(|set| !self.grantable.has(user, **set)).copied().collect();
        let new = self.read_sets(&new).await?;
        let member = match user {
            None => None,
            Some(user) => Some(self.read_member(user).await?),
        };
        let owner = KeyOwner { user, bound: member.as_deref() };
        let is_grantable = self.grantable.includes(owner, own);
        self.work(owner, own).await;
        if !is_grantable {
            return Err(Error::ExceedsPermissions);
        }
        for set in new {
            if !self.grantable.includes_set(owner, set.id, &set.permissions) {
                return Err(Error::ExceedsPermissions);
            }
            self.work(owner, &set.permissions).await;
            self.require_fresh_sign_in_to_grant(&set.permissions)?;
        }
        self.require_fresh_sign_in_to_grant(own)
    }

    fn require_fresh_sign_in_to_grant(&self, part: &Permissions) -> Result<(), Error> {
        let caller = self.authority.caller();
        step_up::require_fresh_sign_in_to_grant(caller, &Permissions::default(), part, self.keys.now())
    }

    async fn work(&mut self, owner: KeyOwner<'_>, part: &Permissions) {
        self.pace.checked(part.len() + owner.bound.map_or(0, Permissions::len)).await;
    }

    async fn read_member(&mut self, user: UserId) -> Result<Arc<Permissions>, Error> {
        if let Some(known) = self.members.0.get(&user) {
            return Ok(known.clone());
        }
        let found = self.keys.ports.accounts.find_membership(self.authority.organization(), user).await?;
        let found = Arc::new(found.ok_or(Error::UserNotFound)?);
        self.members.insert(user, found.clone());
        Ok(found)
    }

    async fn read_sets(&mut self, sets: &[SetId]) -> Result<Vec<Arc<PermissionSet>>, Error> {
        let mut read: Vec<Arc<PermissionSet>> = sets.iter().filter_map(|set| self.sets.0.get(set).cloned()).collect();
        let unknown: Vec<SetId> = sets.iter().filter(|set| !self.sets.0.contains_key(set)).copied().collect();
        if !unknown.is_empty() {
            for set in self.keys.ports.sets.resolve(self.authority.organization(), &unknown).await? {
                // Read again, because too many others were read meanwhile: all keys must be checked against the same version.
                if *self.versions.entry(set.id).or_insert(set.version) != set.version {
                    return Err(Error::ConcurrentChanges);
                }
                let set = Arc::new(set);
                self.sets.insert(set.id, set.clone());
                read.push(set);
            }
        }
        Ok(read)
    }
}

/// The owner of a new key, and the permissions that limit the key.
#[derive(Clone, Copy)]
struct KeyOwner<'a> {
    user: Option<UserId>,
    bound: Option<&'a Permissions>,
}

/// What the caller was found to be able to grant. A key may have only permissions that both its user and the caller
/// have. That holds for several sets together if it holds for each of them, so each is checked only once.
struct Grantable {
    /// The effective permissions of the caller.
    held: EffectivePermissions,
    sets: HashSet<(Option<UserId>, SetId)>,
    /// The permissions of the key that was checked last, for keys that repeat them.
    own: Option<(Option<UserId>, Permissions)>,
}

impl Grantable {
    fn new(held: EffectivePermissions) -> Self {
        Self { held, sets: HashSet::new(), own: None }
    }

    fn has(&self, user: Option<UserId>, set: SetId) -> bool {
        self.sets.contains(&(user, set))
    }

    fn includes(&mut self, owner: KeyOwner<'_>, own: &Permissions) -> bool {
        let is_known =
            |(user, known): &(Option<UserId>, Permissions)| *user == owner.user && known.iter().eq(own.iter());
        if self.own.as_ref().is_some_and(is_known) {
            return true;
        }
        let is_included = self.covers(owner, own);
        if is_included {
            self.own = Some((owner.user, own.clone()));
        }
        is_included
    }

    fn includes_set(&mut self, owner: KeyOwner<'_>, set: SetId, permissions: &Permissions) -> bool {
        let is_included = self.has(owner.user, set) || self.covers(owner, permissions);
        if is_included {
            self.sets.insert((owner.user, set));
        }
        is_included
    }

    fn covers(&self, owner: KeyOwner<'_>, part: &Permissions) -> bool {
        owner.bound.is_none_or(|bound| bound.covers(part)) && self.held.covers_part(part, owner.bound)
    }
}

/// A few members or permission sets by their ids. When there are too many, all are removed.
struct Recent<K, V>(HashMap<K, Arc<V>>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V> Recent<K, V> {
    fn insert(&mut self, key: K, value: Arc<V>) {
        if self.0.len() >= MAX_CACHED {
            self.0.clear();
        }
        self.0.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::tests::{steps_of, wide};

    #[test]
    fn grant_checks_of_many_equal_keys_run_once() {
        let uuid = uuid::Uuid::from_u128;
        let sets: Vec<(SetId, Permissions)> =
            (0..16).map(|n| (SetId::from_uuid(uuid(n)), wide(Permissions::MAX, |n| format!("*:a{n}")))).collect();
        let (own, bound) = (wide(Permissions::MAX, |n| format!("r{n}:*")), Permissions::all());
        let user = Some(UserId::from_uuid(uuid(0)));
        for owner in [KeyOwner { user: None, bound: None }, KeyOwner { user, bound: Some(&bound) }] {
            let mut grantable = Grantable::new(EffectivePermissions::of_organization(Permissions::all()));
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
    fn grant_checks_are_cached_per_user() {
        let set = SetId::from_uuid(uuid::Uuid::nil());
        let [read, write] = ["read", "write"].map(|text| Permissions::from_flat([text]).expect("a permission"));
        let users = [1, 2].map(|n| Some(UserId::from_uuid(uuid::Uuid::from_u128(n))));
        let (reader, writer) =
            (KeyOwner { user: users[0], bound: Some(&read) }, KeyOwner { user: users[1], bound: Some(&write) });
        let mut grantable = Grantable::new(EffectivePermissions::of_organization(Permissions::all()));
        assert!(grantable.includes(reader, &read) && grantable.includes_set(reader, set, &read));
        assert!(!grantable.includes(writer, &read) && !grantable.includes_set(writer, set, &read));
        let mut weak = Grantable::new(EffectivePermissions::of_organization(write.clone()));
        assert!(!weak.includes(reader, &read) && weak.includes(writer, &write) && !weak.includes(reader, &read));
    }
}
