//! What a caller or a key may do in one organization, when all that bounds it is counted in.

use std::collections::HashSet;

use crate::permission::{Permission, PermissionSet};

/// Its own set and, for a user's key, also what the user may do there: only what both hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    own: PermissionSet,
    user: Option<PermissionSet>,
}

impl Grants {
    /// The grants of an organization's own key.
    #[must_use]
    pub fn of_organization(own: PermissionSet) -> Self {
        Self { own, user: None }
    }

    /// The grants of a user's key: what both the key and the user hold.
    #[must_use]
    pub fn of_user(own: PermissionSet, user: PermissionSet) -> Self {
        Self { own, user: Some(user) }
    }

    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::of_organization(PermissionSet::default())
    }

    /// The permissions that they consist of. `None`: more than one set holds, or too many to look.
    #[must_use]
    pub fn permissions(&self) -> Option<PermissionSet> {
        let Some(user) = &self.user else { return PermissionSet::new(self.own.iter().cloned()).ok() };
        if self.own.len() * user.len() > PermissionSet::MAX * PermissionSet::MAX {
            return None;
        }
        let mut seen = HashSet::new();
        let both = self.own.iter().flat_map(|own| user.iter().filter_map(|user| own.meet(user)));
        let new = both.filter(|both| seen.insert(both.clone()));
        PermissionSet::new(new.take(PermissionSet::MAX + 1)).ok()
    }

    /// Whether the grants hold `permission`.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        self.own.allows(permission) && self.user.as_ref().is_none_or(|user| user.allows(permission))
    }

    /// Whether these grants hold all that `other` holds.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match &other.user {
            None => other.own.iter().all(|permission| self.allows(permission)),
            // Not collected: two sets of 256 can have 65,536 permissions in common.
            Some(user) => other
                .own
                .iter()
                .flat_map(|own| user.iter().filter_map(|user| own.meet(user)))
                .all(|both| self.allows(&both)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::permission::tests::{any_set, concrete};

    fn any_grants() -> impl Strategy<Value = Grants> {
        (any_set(), prop::option::of(any_set())).prop_map(|(own, user)| Grants { own, user })
    }

    /// So many permissions on one side, which all meet all of the other side.
    fn wide(count: usize, flat: fn(usize) -> String) -> PermissionSet {
        let texts: Vec<String> = (0..count).map(flat).collect();
        let sets: Vec<_> = texts
            .chunks(PermissionSet::MAX)
            .map(|texts| PermissionSet::from_flat(texts.iter().map(String::as_str)).expect("permissions"))
            .collect();
        PermissionSet::union(&sets)
    }

    #[test]
    fn what_is_too_much_to_say_is_not_said() {
        let grants = |own, user| {
            Grants::of_user(wide(own, |n| format!("*:a{n}")), wide(user, |n| format!("r{n}:*"))).permissions()
        };
        assert_eq!(grants(16, 16).map(|set| set.len()), Some(256));
        assert_eq!(grants(17, 16), None);
        assert_eq!(grants(4_000, 4_000), None);
        let own = wide(257, |n| format!("r{n}:a"));
        assert_eq!(Grants::of_organization(own).permissions(), None);
    }

    proptest! {
        #[test]
        fn grants_are_the_intersection(own in any_set(), user in any_set()) {
            let grants = Grants::of_user(own.clone(), user.clone());
            for permission in concrete() {
                prop_assert_eq!(grants.allows(&permission), own.allows(&permission) && user.allows(&permission));
            }
        }

        #[test]
        fn what_grants_consist_of_says_what_they_allow(grants in any_grants()) {
            let listed = grants.permissions().expect("a few");
            for permission in concrete() {
                prop_assert_eq!(listed.allows(&permission), grants.allows(&permission), "{}", permission);
            }
        }

        #[test]
        fn covered_grants_allow_nothing_more(a in any_grants(), b in any_grants()) {
            prop_assert!(a.covers(&a));
            if a.covers(&b) {
                for permission in concrete() {
                    prop_assert!(!b.allows(&permission) || a.allows(&permission), "{permission}");
                }
            }
        }
    }
}
