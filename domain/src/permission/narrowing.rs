//! What two sets have in common: a key's permissions narrowed to those of its user. Nothing here multiplies the two sets out.
//!
//! Only wildcards make a permission meet more than one of the other set. `files:*` meets each action that the other set has on
//! `files` or on every resource; `*:read` meets each resource that it has `read` or every action on; `*:*` meets all of it. So
//! the other set is sorted once by resource and once by action.

use std::collections::HashMap;

use super::{ANY, Pair, Permission, PermissionSet, step};

/// A set of permissions that narrows others, sorted so that what a permission meets in it is found by lookups.
#[derive(Debug)]
pub(crate) struct Narrowing<'a> {
    by: &'a PermissionSet,
    /// Resource → its actions.
    actions: HashMap<&'a str, Vec<&'a str>>,
    /// Action → the resources that have it.
    resources: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Narrowing<'a> {
    /// Narrows to what this set holds.
    pub(crate) fn to(by: &'a PermissionSet) -> Self {
        let (mut actions, mut resources) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for permission in by.iter() {
            step();
            let Pair { resource, action } = permission.pair();
            actions.entry(resource).or_default().push(action);
            resources.entry(action).or_default().push(resource);
        }
        Self { by, actions, resources }
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
        let lacks = |pair: &Pair<'_>| !holder.holds(*pair);
        let on_all = self.actions(ANY).map(|action| Pair { resource: ANY, action }).filter(lacks);
        let on_all: Vec<&str> = on_all.map(|pair| pair.action).collect();
        let with_all = self.resources(ANY).map(|resource| Pair { resource, action: ANY }).filter(lacks);
        let with_all: Vec<&str> = with_all.map(|pair| pair.resource).collect();
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
        self.actions.get(resource).into_iter().flatten().copied()
    }

    fn resources(&self, action: &str) -> impl Iterator<Item = &'a str> {
        self.resources.get(action).into_iter().flatten().copied()
    }
}
