//! The intersection of two sets: a key's permissions limited to those of its user. It takes linear time, not the
//! product of both sizes.
//!
//! Only a wildcard overlaps with more than one permission of the other set. `files:*` overlaps with each action that
//! the other set has on `files` or on every resource; `*:read` overlaps with each resource that it has `read` or every
//! action on; `*:*` overlaps with all of it. So the other set is indexed once by resource and once by action. `*:read`
//! overlaps with nothing on the reserved resources that it does not include, even if the other set has every action on
//! them.

use std::{
    cell::{LazyCell, OnceCell},
    collections::HashMap,
};

use super::{ANY, Pair, Permission, Permissions, reserved::is_reached_by_wildcard, step};

/// A set of permissions that limits others, indexed so that overlapping permissions are found by lookups.
#[derive(Debug)]
pub(crate) struct Narrowing<'a> {
    by: &'a Permissions,
    /// Created on first use, which is only for wildcards.
    sorted: OnceCell<Sorted<'a>>,
}

#[derive(Debug, Default)]
struct Sorted<'a> {
    /// Resource → its actions.
    actions: HashMap<&'a str, Vec<&'a str>>,
    /// Action → its resources.
    resources: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Narrowing<'a> {
    /// Limits permissions to those of this set.
    pub(crate) fn to(by: &'a Permissions) -> Self {
        Self { by, sorted: OnceCell::new() }
    }

    /// The intersection of one permission with the set: the widest permissions that both include. The result may have
    /// duplicates, and permissions that others of it include.
    pub(crate) fn narrow<'b>(&'b self, own: &'b Permission) -> impl Iterator<Item = Permission> + 'b {
        let own = own.pair();
        let is_held = own.resource != ANY && own.action != ANY && self.by.holds(own);
        let itself = is_held.then_some(own).into_iter();
        let (on_resource, on_action, all) = match (own.resource == ANY, own.action == ANY) {
            (false, false) => (None, None, None),
            (false, true) => (Some(own.resource), None, None),
            (true, false) => (None, Some(own.action), None),
            (true, true) => (None, None, Some(self.by)),
        };
        let actions = on_resource.into_iter().flat_map(|resource| {
            let on_every = self.actions(ANY).filter(move |action| Pair { resource: ANY, action }.reaches(resource));
            self.actions(resource).chain(on_every)
        });
        let resources = on_action
            .into_iter()
            .flat_map(|action| self.resources(action).chain(self.resources(ANY)))
            .filter(|resource| is_reached_by_wildcard(resource));
        itself
            .chain(actions.map(move |action| Pair { action, ..own }))
            .chain(resources.map(move |resource| Pair { resource, ..own }))
            .chain(all.into_iter().flat_map(Permissions::iter).map(Permission::pair))
            .map(|pair| {
                step();
                pair.to_permission()
            })
    }

    /// Whether `holder` includes the intersection of `own` with the set. The number of steps is proportional to the sum
    /// of the sizes of the three sets: what `holder` includes only by individual permissions is at most as large as
    /// `holder`, so each of these is looked up once.
    pub(crate) fn is_covered(&self, own: &Permissions, holder: &Permissions) -> bool {
        // The actions on every resource, and resources with every action, that the set has but `holder` does not have
        // as such.
        let on_all = LazyCell::new(|| -> Vec<&str> {
            self.actions(ANY).filter(|action| !holder.holds(Pair { resource: ANY, action })).collect()
        });
        let with_all = LazyCell::new(|| -> Vec<&str> {
            self.resources(ANY).filter(|resource| !holder.holds(Pair { resource, action: ANY })).collect()
        });
        own.iter().map(Permission::pair).all(|own| {
            // A holder of the permission itself has every part of it.
            holder.holds(own)
                || match (own.resource == ANY, own.action == ANY) {
                    (false, false) => !self.by.holds(own),
                    (false, true) => {
                        let on_all = on_all.iter().copied();
                        let reaching = on_all.filter(|action| Pair { resource: ANY, action }.reaches(own.resource));
                        let mut actions = self.actions(own.resource).chain(reaching);
                        actions.all(|action| holder.holds(Pair { action, ..own }))
                    }
                    (true, false) => {
                        let resources = self.resources(own.action).chain(with_all.iter().copied());
                        let mut reached = resources.filter(|resource| is_reached_by_wildcard(resource));
                        reached.all(|resource| holder.holds(Pair { resource, ..own }))
                    }
                    (true, true) => holder.covers(self.by),
                }
        })
    }

    fn actions(&self, resource: &str) -> impl Iterator<Item = &'a str> {
        self.sorted().actions.get(resource).into_iter().flatten().copied()
    }

    fn resources(&self, action: &str) -> impl Iterator<Item = &'a str> {
        self.sorted().resources.get(action).into_iter().flatten().copied()
    }

    fn sorted(&self) -> &Sorted<'a> {
        self.sorted.get_or_init(|| {
            let mut sorted = Sorted::default();
            for permission in self.by.iter() {
                step();
                let Pair { resource, action } = permission.pair();
                sorted.actions.entry(resource).or_default().push(action);
                sorted.resources.entry(action).or_default().push(resource);
            }
            sorted
        })
    }
}
