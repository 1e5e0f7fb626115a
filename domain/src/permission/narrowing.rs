//! What two sets have in common: a key's permissions narrowed to those of its user. Nothing here multiplies the two sets out.
//!
//! Only wildcards make a permission meet more than one of the other set. `files:*` meets each action that the other set has on
//! `files` or on every resource; `*:read` meets each resource that it has `read` or every action on; `*:*` meets all of it. So
//! the other set is sorted once by resource and once by action.

use std::{
    cell::{LazyCell, OnceCell},
    collections::HashMap,
};

use super::{ANY, Pair, Permission, PermissionSet, step};

/// A set of permissions that narrows others, sorted so that what a permission meets in it is found by lookups.
#[derive(Debug)]
pub(crate) struct Narrowing<'a> {
    by: &'a PermissionSet,
    /// Only wildcards need it.
    sorted: OnceCell<Sorted<'a>>,
}

#[derive(Debug, Default)]
struct Sorted<'a> {
    /// Resource → its actions.
    actions: HashMap<&'a str, Vec<&'a str>>,
    /// Action → the resources that have it.
    resources: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Narrowing<'a> {
    /// Narrows to what this set holds.
    pub(crate) fn to(by: &'a PermissionSet) -> Self {
        Self { by, sorted: OnceCell::new() }
    }

    /// What is left of a permission: the widest permissions that both it and the set hold. A few of them may be named twice,
    /// or be part of another one.
    pub(crate) fn narrow<'b>(&'b self, own: &'b Permission) -> impl Iterator<Item = Permission> + 'b {
        let own = own.pair();
        let is_held = own.resource != ANY && own.action != ANY && self.by.holds(own);
        let itself = is_held.then_some(own).into_iter();
        let (on_resource, on_action, all) = match (own.resource == ANY, own.action == ANY) {
            (false, false) => (None, None, None),
            (false, true) => (Some([own.resource, ANY]), None, None),
            (true, false) => (None, Some([own.action, ANY]), None),
            (true, true) => (None, None, Some(self.by)),
        };
        let actions = on_resource.into_iter().flatten().flat_map(|resource| self.actions(resource));
        let resources = on_action.into_iter().flatten().flat_map(|action| self.resources(action));
        itself
            .chain(actions.map(move |action| Pair { action, ..own }))
            .chain(resources.map(move |resource| Pair { resource, ..own }))
            .chain(all.into_iter().flat_map(PermissionSet::iter).map(Permission::pair))
            .map(|pair| {
                step();
                pair.to_permission()
            })
    }

    /// Whether `holder` holds all that is left of `own`. It takes a number of steps in proportion to the three sets' sizes
    /// added up: what `holder` has to name one by one it has to have, so it is looked up once for each of its permissions.
    pub(crate) fn is_covered(&self, own: &PermissionSet, holder: &PermissionSet) -> bool {
        // What the set gives on every resource, and as every action, and `holder` does not have so widely.
        let on_all = LazyCell::new(|| -> Vec<&str> {
            self.actions(ANY).filter(|action| !holder.holds(Pair { resource: ANY, action })).collect()
        });
        let with_all = LazyCell::new(|| -> Vec<&str> {
            self.resources(ANY).filter(|resource| !holder.holds(Pair { resource, action: ANY })).collect()
        });
        own.iter().map(Permission::pair).all(|own| {
            // Who holds it holds all that is left of it.
            holder.holds(own)
                || match (own.resource == ANY, own.action == ANY) {
                    (false, false) => !self.by.holds(own),
                    (false, true) => {
                        let mut actions = self.actions(own.resource).chain(on_all.iter().copied());
                        actions.all(|action| holder.holds(Pair { action, ..own }))
                    }
                    (true, false) => {
                        let mut resources = self.resources(own.action).chain(with_all.iter().copied());
                        resources.all(|resource| holder.holds(Pair { resource, ..own }))
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
