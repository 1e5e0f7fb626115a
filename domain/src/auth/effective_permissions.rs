//! Effective permissions: what a caller or a key may do in one organization, after all limits are applied.

use crate::permissions::{Narrowing, Permission, Permissions};

/// Effective permissions: the key's own permissions; for a key that belongs to a user, their intersection with the
/// user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectivePermissions {
    own: Permissions,
    user: Option<Permissions>,
}

impl EffectivePermissions {
    /// The permissions of a key that belongs to an organization.
    #[must_use]
    pub fn of_organization(own: Permissions) -> Self {
        Self { own, user: None }
    }

    /// The permissions of a key that belongs to a user: the intersection of the key's and the user's.
    #[must_use]
    pub fn of_user(own: Permissions, user: Permissions) -> Self {
        Self { own, user: Some(user) }
    }

    /// No permissions.
    #[must_use]
    pub fn none() -> Self {
        Self::of_organization(Permissions::default())
    }

    /// The intersection as a set. `None`: it would have more permissions than a set may have.
    #[must_use]
    pub fn permissions(&self) -> Option<Permissions> {
        let Some(user) = &self.user else { return Permissions::new(self.own.iter().cloned()).ok() };
        let narrowing = Narrowing::to(user);
        Permissions::new(self.own.iter().flat_map(|own| narrowing.narrow(own))).ok()
    }

    /// Whether `permission` is included.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        self.own.allows(permission) && self.user.as_ref().is_none_or(|user| user.allows(permission))
    }

    /// Whether everything that `other` allows is allowed here, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.covers_part(&other.own, other.user.as_ref())
    }

    /// Whether everything that both `own` and `user` allow is allowed here, too (`None`: everything that `own` allows).
    /// It is enough to check each part of a set on its own.
    #[must_use]
    pub fn covers_part(&self, own: &Permissions, user: Option<&Permissions>) -> bool {
        let mut bounds = std::iter::once(&self.own).chain(&self.user);
        match user {
            None => bounds.all(|bound| bound.covers(own)),
            Some(user) => {
                let narrowing = Narrowing::to(user);
                bounds.all(|bound| narrowing.is_covered(own, bound))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::permissions::tests::{any_set, any_wide_set, concrete, plainly_allows, steps_of, wide};

    fn any_effective() -> impl Strategy<Value = EffectivePermissions> {
        (any_set(), prop::option::of(any_set())).prop_map(|(own, user)| EffectivePermissions { own, user })
    }

    /// Reference implementation: multiplies both sets out.
    mod plain {
        use super::*;

        fn part(one: &str, other: &str) -> Option<String> {
            match (one, other) {
                ("*", _) => Some(other.to_owned()),
                (_, "*") => Some(one.to_owned()),
                _ => (one == other).then(|| one.to_owned()),
            }
        }

        /// Whether `*:action` does not include this resource, so that a permission has to name it, or be `*:*`.
        fn needs_its_name(resource: &str) -> bool {
            ["org", "members", "permission_sets", "trust_rules", "portal_sessions", "audit"].contains(&resource)
        }

        fn reaches(one: &Permission, resource: &str) -> bool {
            one.resource() == resource || (one.resource() == "*" && (one.action() == "*" || !needs_its_name(resource)))
        }

        fn includes(one: &Permission, other: &Permission) -> bool {
            reaches(one, other.resource()) && (one.action() == "*" || one.action() == other.action())
        }

        fn allows(effective: &EffectivePermissions, permission: &Permission) -> bool {
            let holds = |set: &Permissions| set.iter().any(|held| includes(held, permission));
            holds(&effective.own) && effective.user.as_ref().is_none_or(holds)
        }

        /// The intersection as a list.
        pub(crate) fn permissions(effective: &EffectivePermissions) -> Vec<Permission> {
            let Some(user) = &effective.user else { return effective.own.iter().cloned().collect() };
            let intersect = |own: &Permission, user: &Permission| {
                let (resource, action) = (part(own.resource(), user.resource())?, part(own.action(), user.action())?);
                let is_reached = reaches(own, &resource) && reaches(user, &resource);
                Permission::new(&resource, &action).ok().filter(|_| is_reached)
            };
            effective.own.iter().flat_map(|own| user.iter().filter_map(move |user| intersect(own, user))).collect()
        }

        pub(crate) fn covers(effective: &EffectivePermissions, other: &EffectivePermissions) -> bool {
            permissions(other).iter().all(|permission| allows(effective, permission))
        }
    }

    #[test]
    fn effective_permissions_over_the_limit_are_not_listed() {
        let effective = |own, user| {
            EffectivePermissions::of_user(wide(own, |n| format!("*:a{n}")), wide(user, |n| format!("r{n}:*")))
                .permissions()
        };
        assert_eq!(effective(16, 16).map(|set| set.len()), Some(256));
        assert_eq!(effective(17, 16), None);
        assert_eq!(effective(4_000, 4_000), None);
        let own = wide(257, |n| format!("r{n}:a"));
        assert_eq!(EffectivePermissions::of_organization(own).permissions(), None);
    }

    /// One set of each kind, with `size` permissions.
    fn sets_of_each_kind(size: usize) -> Vec<Permissions> {
        let kinds: [fn(usize) -> String; 7] = [
            |n| if n == 0 { "org:*".to_owned() } else { format!("{}:a{n}", if n % 2 == 0 { "org" } else { "*" }) },
            |n| format!("*:a{n}"),
            |n| format!("r{n}:*"),
            |n| format!("r{n}:a{n}"),
            |n| format!("r{}:a{}", n % 64, n / 64),
            |n| format!("r{}:a{}", n / 64, n % 64),
            |n| if n % 2 == 0 { format!("*:a{n}") } else { format!("r{n}:*") },
        ];
        kinds.map(|kind| wide(size, kind)).to_vec()
    }

    #[test]
    fn covers_takes_linear_time() {
        // Older versions may have stored sets of this size.
        const WIDEST: usize = 17 * Permissions::MAX;
        let sets_of_each_kind = sets_of_each_kind(WIDEST);
        for own in &sets_of_each_kind {
            for user in &sets_of_each_kind {
                let other = EffectivePermissions::of_user(own.clone(), user.clone());
                for held in &sets_of_each_kind {
                    let effective = EffectivePermissions::of_user(held.clone(), Permissions::all());
                    let (_, steps) = steps_of(|| effective.covers(&other));
                    // Each permission of the three sets is looked up a constant number of times.
                    assert!(steps < 3 * WIDEST * 16, "{steps}");
                }
                let (_, steps) = steps_of(|| other.permissions());
                assert!(steps < 8 * WIDEST, "{steps}");
            }
            let (_, steps) = steps_of(|| EffectivePermissions::of_organization(own.clone()).permissions());
            assert!(steps < 8 * WIDEST, "{steps}");
        }
    }

    #[test]
    fn covers_equals_the_reference_for_each_kind_of_set() {
        let sets_of_each_kind = sets_of_each_kind(24);
        for own in &sets_of_each_kind {
            for user in &sets_of_each_kind {
                let other = EffectivePermissions::of_user(own.clone(), user.clone());
                for held in &sets_of_each_kind {
                    let effective = EffectivePermissions::of_organization(held.clone());
                    assert_eq!(effective.covers(&other), plain::covers(&effective, &other), "{held:?} {other:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn covers_equals_the_reference_for_random_sets(a in any_effective(), b in any_effective()) {
            prop_assert_eq!(a.covers(&b), plain::covers(&a, &b), "{:?} {:?}", a, b);
        }

        #[test]
        fn effective_permissions_cover_exactly_what_allows_all(a in any_effective(), b in any_effective()) {
            let allows = |effective: &EffectivePermissions, asked: &Permission| {
                plainly_allows(&effective.own, asked)
                    && effective.user.as_ref().is_none_or(|user| plainly_allows(user, asked))
            };
            let plain = concrete().iter().all(|asked| !allows(&b, asked) || allows(&a, asked));
            prop_assert_eq!(a.covers(&b), plain, "{:?} {:?}", a, b);
        }

        #[test]
        fn listed_effective_permissions_equal_the_reference(effective in any_effective()) {
            let plain = Permissions::new(plain::permissions(&effective)).expect("few permissions");
            prop_assert_eq!(effective.permissions(), Some(plain));
        }
    }

    proptest! {
        #[test]
        fn covers_equals_the_reference_for_wide_sets(
            a in any_wide_set(), user in prop::option::of(any_wide_set()), own in any_wide_set(), bound in any_wide_set()
        ) {
            let (held, other) = (EffectivePermissions { own: a, user }, EffectivePermissions::of_user(own, bound));
            prop_assert_eq!(held.covers(&other), plain::covers(&held, &other));
            // A set that certainly covers the other, so that both results are tested.
            let all: Vec<Permission> = plain::permissions(&other);
            let whole = Permissions::union(&[Permissions::new(all).expect("few"), held.own.clone()]);
            prop_assert!(EffectivePermissions::of_organization(whole).covers(&other));
        }

        #[test]
        fn effective_permissions_are_the_intersection_of_key_and_user(own in any_set(), user in any_set()) {
            let effective = EffectivePermissions::of_user(own.clone(), user.clone());
            for permission in concrete() {
                prop_assert_eq!(effective.allows(&permission), own.allows(&permission) && user.allows(&permission));
            }
        }

        #[test]
        fn listed_effective_permissions_allow_the_same(effective in any_effective()) {
            let listed = effective.permissions().expect("few permissions");
            for permission in concrete() {
                prop_assert_eq!(listed.allows(&permission), effective.allows(&permission), "{}", permission);
            }
        }

        #[test]
        fn covered_effective_permissions_allow_nothing_more(a in any_effective(), b in any_effective()) {
            prop_assert!(a.covers(&a));
            if a.covers(&b) {
                for permission in concrete() {
                    prop_assert!(!b.allows(&permission) || a.allows(&permission), "{permission}");
                }
            }
        }
    }
}
