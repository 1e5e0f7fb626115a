//! What a caller or a key may do in one organization, when all that bounds it is counted in.

use crate::permission::{Narrowing, Permission, PermissionSet};

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

    /// The permissions that they consist of. `None`: more than one set holds.
    #[must_use]
    pub fn permissions(&self) -> Option<PermissionSet> {
        let Some(user) = &self.user else { return PermissionSet::new(self.own.iter().cloned()).ok() };
        let narrowing = Narrowing::to(user);
        PermissionSet::new(self.own.iter().flat_map(|own| narrowing.narrow(own))).ok()
    }

    /// Whether the grants hold `permission`.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        self.own.allows(permission) && self.user.as_ref().is_none_or(|user| user.allows(permission))
    }

    /// Whether these grants hold all that `other` holds.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.covers_part(&other.own, other.user.as_ref())
    }

    /// Whether these grants hold all of `own` that is left when `user` narrows it. Whoever holds what is left of each part of a
    /// set holds what is left of all of it.
    #[must_use]
    pub fn covers_part(&self, own: &PermissionSet, user: Option<&PermissionSet>) -> bool {
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
    use crate::permission::tests::{any_set, any_wide_set, concrete, steps_of, wide};

    fn any_grants() -> impl Strategy<Value = Grants> {
        (any_set(), prop::option::of(any_set())).prop_map(|(own, user)| Grants { own, user })
    }

    /// The rule in its plainest form, which multiplies both sides out.
    mod plain {
        use super::*;

        fn part(one: &str, other: &str) -> Option<String> {
            match (one, other) {
                ("*", _) => Some(other.to_owned()),
                (_, "*") => Some(one.to_owned()),
                _ => (one == other).then(|| one.to_owned()),
            }
        }

        fn includes(one: &Permission, other: &Permission) -> bool {
            (one.resource() == "*" || one.resource() == other.resource())
                && (one.action() == "*" || one.action() == other.action())
        }

        fn allows(grants: &Grants, permission: &Permission) -> bool {
            let holds = |set: &PermissionSet| set.iter().any(|held| includes(held, permission));
            holds(&grants.own) && grants.user.as_ref().is_none_or(holds)
        }

        /// The permissions that the grants consist of.
        pub(super) fn permissions(grants: &Grants) -> Vec<Permission> {
            let Some(user) = &grants.user else { return grants.own.iter().cloned().collect() };
            let meet = |own: &Permission, user: &Permission| {
                let (resource, action) = (part(own.resource(), user.resource())?, part(own.action(), user.action())?);
                Permission::new(&resource, &action).ok()
            };
            grants.own.iter().flat_map(|own| user.iter().filter_map(move |user| meet(own, user))).collect()
        }

        pub(super) fn covers(grants: &Grants, other: &Grants) -> bool {
            permissions(other).iter().all(|permission| allows(grants, permission))
        }
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

    /// Sets of one kind each, as wide as `size`.
    fn shapes(size: usize) -> Vec<PermissionSet> {
        let kinds: [fn(usize) -> String; 6] = [
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
    fn covering_takes_steps_in_proportion_to_the_size() {
        // What an older version stored may be as wide as this.
        const WIDEST: usize = 17 * PermissionSet::MAX;
        let shapes = shapes(WIDEST);
        for own in &shapes {
            for user in &shapes {
                let other = Grants::of_user(own.clone(), user.clone());
                for held in &shapes {
                    let grants = Grants::of_user(held.clone(), PermissionSet::all());
                    let (_, steps) = steps_of(|| grants.covers(&other));
                    // Each permission of the three sets is looked up a few times.
                    assert!(steps < 3 * WIDEST * 16, "{steps}");
                }
                let (_, steps) = steps_of(|| other.permissions());
                assert!(steps < 8 * WIDEST, "{steps}");
            }
            let (_, steps) = steps_of(|| Grants::of_organization(own.clone()).permissions());
            assert!(steps < 8 * WIDEST, "{steps}");
        }
    }

    #[test]
    fn covering_of_each_shape_is_that_of_the_plain_rule() {
        let shapes = shapes(24);
        for own in &shapes {
            for user in &shapes {
                let other = Grants::of_user(own.clone(), user.clone());
                for held in &shapes {
                    let grants = Grants::of_organization(held.clone());
                    assert_eq!(grants.covers(&other), plain::covers(&grants, &other), "{held:?} {other:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn covering_is_that_of_the_plain_rule(a in any_grants(), b in any_grants()) {
            prop_assert_eq!(a.covers(&b), plain::covers(&a, &b), "{:?} {:?}", a, b);
        }

        #[test]
        fn what_grants_consist_of_is_that_of_the_plain_rule(grants in any_grants()) {
            let plain = PermissionSet::new(plain::permissions(&grants)).expect("a few");
            prop_assert_eq!(grants.permissions(), Some(plain));
        }
    }

    proptest! {
        #[test]
        fn wide_sets_are_covered_by_the_plain_rule(
            a in any_wide_set(), user in prop::option::of(any_wide_set()), own in any_wide_set(), bound in any_wide_set()
        ) {
            let (held, other) = (Grants { own: a, user }, Grants::of_user(own, bound));
            prop_assert_eq!(held.covers(&other), plain::covers(&held, &other));
            // What is covered for sure, so that both answers are seen.
            let all: Vec<Permission> = plain::permissions(&other);
            let whole = PermissionSet::union(&[PermissionSet::new(all).expect("few"), held.own.clone()]);
            prop_assert!(Grants::of_organization(whole).covers(&other));
        }

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
