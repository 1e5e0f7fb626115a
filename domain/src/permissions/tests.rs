//! Tests of the two text forms and of the rule for wildcards, and random sets for other tests.

use std::cell::Cell;

use proptest::{collection::vec, prelude::*};

use super::*;

thread_local! {
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// Counts a comparison or a lookup.
pub(crate) fn step() {
    STEPS.with(|steps| steps.set(steps.get() + 1));
}

/// The result of `work`, and the number of comparisons and lookups that it takes.
pub(crate) fn steps_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = STEPS.with(Cell::get);
    let answer = work();
    (answer, STEPS.with(Cell::get) - before)
}

/// A set with `count` permissions, which may be more than one set may have.
pub(crate) fn wide(count: usize, flat: fn(usize) -> String) -> Permissions {
    let strings: Vec<String> = (0..count).map(flat).collect();
    let set = |strings: &[String]| Permissions::from_flat(strings.iter().map(String::as_str)).expect("permissions");
    let sets: Vec<_> = strings.chunks(Permissions::MAX).map(set).collect();
    Permissions::union(&sets)
}

/// Few tokens, so that random sets often overlap. Two of the resources must be named, one reserved resource need not.
fn any_permission() -> impl Strategy<Value = Permission> {
    let resource = prop::sample::select(vec!["*", "*", "a", "b", "api_keys", "org", "audit"]);
    let action = prop::sample::select(vec!["*", "a", "b", "c"]);
    (resource, action).prop_map(|(resource, action)| Permission::new(resource, action).expect("valid"))
}

pub(crate) fn any_set() -> impl Strategy<Value = Permissions> {
    vec(any_permission(), 0..6).prop_map(|list| Permissions::new(list).expect("few permissions"))
}

/// More permissions than are compared one by one, of tokens that often overlap.
pub(crate) fn any_wide_set() -> impl Strategy<Value = Permissions> {
    let token = || prop_oneof![1 => Just("*".to_owned()), 6 => (0..5_u8).prop_map(|n| format!("t{n}"))];
    let resource = prop_oneof![4 => token(), 1 => Just("org".to_owned()), 1 => Just("members".to_owned())];
    let permission =
        (resource, token()).prop_map(|(resource, action)| Permission::new(&resource, &action).expect("valid"));
    vec(permission, 0..40).prop_map(|list| Permissions::new(list).expect("few permissions"))
}

/// Every permission without wildcards that can distinguish the sets above: their tokens, and one that is in none.
pub(crate) fn concrete() -> Vec<Permission> {
    let own = ReservedResource::CODES;
    let (resources, actions) = ([&["a", "b", "other"][..], &own].concat(), ["a", "b", "c", "other"]);
    resources
        .iter()
        .flat_map(|resource| actions.iter().map(|action| Permission::new(resource, action).expect("valid")))
        .collect()
}

/// Reference implementation: whether a set allows a permission without wildcards.
pub(crate) fn plainly_allows(set: &Permissions, asked: &Permission) -> bool {
    set.iter().any(|held| {
        let needs_its_name = ["org", "members", "permission_sets", "trust_rules", "portal_sessions", "audit"]
            .contains(&asked.resource());
        (held.resource() == "*" && held.action() == "*")
            || (held.resource() == "*" && held.action() == asked.action() && !needs_its_name)
            || (held.resource() == asked.resource() && held.action() == "*")
            || (held.resource() == asked.resource() && held.action() == asked.action())
    })
}

proptest! {
    #[test]
    fn the_flat_form_of_permissions_is_lossless(set in any_set()) {
        let flat = set.flat();
        prop_assert_eq!(Permissions::from_flat(flat.iter().map(String::as_str)), Ok(set));
    }

    #[test]
    fn the_map_form_of_permissions_is_lossless_except_for_order(set in any_set()) {
        let from_map = Permissions::from_map(set.map()).expect("few permissions");
        prop_assert_eq!(from_map.map(), set.map());
        prop_assert!(from_map.covers(&set) && set.covers(&from_map));
    }

    #[test]
    fn covers_is_reflexive_and_transitive(a in any_set(), b in any_set(), c in any_set()) {
        prop_assert!(a.covers(&a));
        prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
    }

    #[test]
    fn permissions_that_cover_each_other_allow_the_same(a in any_set(), b in any_set(), permission in any_permission()) {
        prop_assert!(!(a.covers(&b) && b.covers(&a)) || a.allows(&permission) == b.allows(&permission));
    }

    #[test]
    fn covered_permissions_allow_nothing_more(a in any_set(), b in any_set()) {
        if a.covers(&b) {
            for permission in concrete() {
                prop_assert!(!b.allows(&permission) || a.allows(&permission), "{permission}");
            }
        }
    }

    #[test]
    fn allows_equals_the_reference(set in any_set()) {
        for permission in concrete() {
            prop_assert_eq!(set.allows(&permission), plainly_allows(&set, &permission), "{}", permission);
        }
    }

    #[test]
    fn permissions_cover_exactly_what_allows_all(a in any_set(), b in any_set()) {
        let plain = concrete().iter().all(|asked| !plainly_allows(&b, asked) || plainly_allows(&a, asked));
        prop_assert_eq!(a.covers(&b), plain);
    }

    #[test]
    fn a_union_allows_what_any_of_its_parts_allows(a in any_set(), b in any_set()) {
        let union = Permissions::union([&a, &b]);
        for asked in concrete() {
            prop_assert_eq!(union.allows(&asked), plainly_allows(&a, &asked) || plainly_allows(&b, &asked), "{}", asked);
        }
    }

    #[test]
    fn without_covering_some_permission_is_not_allowed(a in any_set(), b in any_set()) {
        // A wildcard is only included by a wildcard, so the counterexample is one of the set's own permissions.
        prop_assert_eq!(a.covers(&b), !b.0.iter().any(|permission| !a.allows(permission)));
    }
}

#[test]
fn permissions_have_a_flat_and_a_map_form() {
    let set = Permissions::from_flat(["read", "*:write", "files:read", "*", "read"]).expect("valid");
    assert_eq!(set.flat(), ["read", "write", "files:read", "*"]);
    assert_eq!(set.map(), [("*", vec!["read", "write", "*"]), ("files", vec!["read"])]);
    assert_eq!(Permissions::from_map([("files", vec![])]), Ok(Permissions::default()));
}

#[test]
fn wildcards_allow_actions_and_resources() {
    let holds = |flat: &[&str], permission: &str| {
        let set = Permissions::from_flat(flat.iter().copied()).expect("valid");
        set.allows(&Permission::parse(permission).expect("valid"))
    };
    for holder in ["files:read", "files:*", "read", "*"] {
        assert!(holds(&[holder], "files:read"), "{holder}");
    }
    for other in ["files:write", "Files:read", "file:read", "docs:*", "write"] {
        assert!(!holds(&[other], "files:read"), "{other}");
    }
    assert!(!holds(&["files:read"], "read"), "the permission `read` is for every resource");
    assert!(!holds(&["files:read", "files:write"], "files:*"));
    assert!(holds(&["read"], "read"));
}

#[test]
fn reserved_resources_need_their_name_except_keys() {
    let holds = |held: &str, asked: &str| {
        let set = Permissions::from_flat([held]).expect("valid");
        set.allows(&Permission::parse(asked).expect("valid"))
    };
    for reserved in ReservedResource::ALL {
        let name = reserved.code();
        let is_for_keys = ["api_keys", "own_api_keys"].contains(&name);
        let (read, every) = (format!("{name}:read"), format!("{name}:*"));
        assert_eq!(holds("read", &read), is_for_keys, "{name}");
        assert_eq!(holds("*:read", &read), is_for_keys, "{name}");
        assert!(!holds("read", &every) && !holds("admin", &every), "{name}");
        for held in [&*read, &every, "*", "*:*"] {
            assert!(holds(held, &read), "{held}");
        }
        assert!(holds("*", &every) && holds(&every, &every) && !holds(&every, "read"), "{name}");
    }
    assert!(holds("read", "read"), "`read` allows `read`");
}

#[test]
fn the_permissions_of_the_service_are_on_reserved_resources() {
    let named = ReservedResource::CODES;
    let service = Permission::SERVICE;
    let (all, everything) = service.split_at(service.len() - 1);
    assert_eq!(everything, [Permission::EVERYTHING]);
    assert!(all.iter().all(|permission| named.contains(&permission.resource())));
    assert!(named.iter().all(|name| all.iter().any(|permission| permission.resource() == *name)));
}

#[test]
fn invalid_permissions_are_refused() {
    let long = "x".repeat(65);
    for text in ["", ":", "a:", ":a", "a:b:c", "file*", "a b", "ä", "a:b*", "**", &long] {
        assert!(Permission::parse(text).is_err(), "{text:?}");
    }
    let many: Vec<_> = (0..=Permissions::MAX).map(|n| format!("r{n}:read")).collect();
    assert_eq!(Permissions::from_flat(many.iter().map(String::as_str)), Err(ValidationError::TooManyPermissions));
}

#[test]
fn the_holders_of_a_permission_are_those_that_allow_it() {
    let set = |permission: &Permission| Permissions::new([permission.clone()]).expect("one");
    let any = |text: &str| Permission::parse(text).expect("valid");
    let all: Vec<Permission> = concrete()
        .into_iter()
        .chain(["a:*", "b:*", "*:a", "*:c", "*", "org:*", "api_keys:*", "audit:*"].map(any))
        .collect();
    for asked in all.clone() {
        let holders = asked.holders();
        for held in &all {
            assert_eq!(holders.contains(held), set(held).allows(&asked), "{held} {asked}");
        }
    }
}

#[test]
fn operations_on_the_largest_sets_take_linear_time() {
    const MAX_EFFECTIVE: usize = Permissions::MAX_EFFECTIVE;
    let wide = wide(MAX_EFFECTIVE, |n| format!("r{n}:a{n}"));
    let asked = Permissions::from_flat(wide.flat()[..Permissions::MAX].iter().map(String::as_str)).expect("valid");
    let (holds, steps) = steps_of(|| wide.covers(&asked));
    assert!(holds && steps <= 4 * Permissions::MAX, "{steps}");
    let unknown = Permission::parse("other:thing").expect("valid");
    assert_eq!(steps_of(|| wide.allows(&unknown)), (false, 4));
    let (union, steps) = steps_of(|| Permissions::union([&wide, &wide]));
    assert!(union == wide && steps == 2 * MAX_EFFECTIVE, "{steps}");
    let (map, steps) = steps_of(|| wide.map());
    assert!(map.len() == MAX_EFFECTIVE && steps == MAX_EFFECTIVE, "{steps}");
    let flat = wide.flat();
    let duplicates = flat[..Permissions::MAX].iter().cycle().take(100_000).map(String::as_str);
    let (set, steps) = steps_of(|| Permissions::from_flat(duplicates));
    assert!(set.is_ok_and(|set| set.len() == Permissions::MAX) && steps == 100_000, "{steps}");
}

#[test]
fn the_heap_size_of_permissions_is_that_of_their_allocations() {
    let long = "x".repeat(48);
    for (count, name) in [(1, "r"), (3, "files"), (16, "r"), (17, "r"), (200, "r"), (Permissions::MAX, &*long)] {
        let strings: Vec<String> = (0..count).map(|n| format!("{name}{n}:read{n}")).collect();
        let mut set = None;
        let taken = allocation_counter::measure(|| {
            set = Some(Permissions::from_flat(strings.iter().map(String::as_str)).expect("permissions"));
        });
        let (taken, weight) =
            (usize::try_from(taken.bytes_current).expect("more than before"), set.expect("a set").heap_size());
        assert!((taken..=taken * 3 / 2 + 64).contains(&weight), "{count} of {name}: {weight} for {taken}");
    }
    assert_eq!(Permissions::default().heap_size(), 0);
    assert_eq!(Permissions::all().heap_size() % 16, 0);
}
