//! The two written forms, the one rule, and sets drawn at random for others to test with.

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

/// What `work` answers, and the comparisons and lookups that it takes.
pub(crate) fn steps_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = STEPS.with(Cell::get);
    let answer = work();
    (answer, STEPS.with(Cell::get) - before)
}

/// So many permissions: more than one set may hold.
pub(crate) fn wide(count: usize, flat: fn(usize) -> String) -> PermissionSet {
    let texts: Vec<String> = (0..count).map(flat).collect();
    let set = |texts: &[String]| PermissionSet::from_flat(texts.iter().map(String::as_str)).expect("permissions");
    let sets: Vec<_> = texts.chunks(PermissionSet::MAX).map(set).collect();
    PermissionSet::union(&sets)
}

/// Few tokens, so that random sets often overlap.
fn any_permission() -> impl Strategy<Value = Permission> {
    let token = || prop::sample::select(vec!["*", "a", "b", "c"]);
    (token(), token()).prop_map(|(resource, action)| Permission::new(resource, action).expect("valid"))
}

pub(crate) fn any_set() -> impl Strategy<Value = PermissionSet> {
    vec(any_permission(), 0..6).prop_map(|list| PermissionSet::new(list).expect("few"))
}

/// More permissions than are looked at one by one, of tokens that often meet.
pub(crate) fn any_wide_set() -> impl Strategy<Value = PermissionSet> {
    let token = || prop_oneof![1 => Just("*".to_owned()), 6 => (0..5_u8).prop_map(|n| format!("t{n}"))];
    let permission =
        (token(), token()).prop_map(|(resource, action)| Permission::new(&resource, &action).expect("valid"));
    vec(permission, 0..40).prop_map(|list| PermissionSet::new(list).expect("few"))
}

/// Every permission without wildcard that the sets above can tell apart: their tokens and one that none names.
pub(crate) fn concrete() -> Vec<Permission> {
    let tokens = ["a", "b", "c", "other"];
    tokens
        .iter()
        .flat_map(|resource| tokens.iter().map(|action| Permission::new(resource, action).expect("valid")))
        .collect()
}

proptest! {
    #[test]
    fn flat_form_is_lossless(set in any_set()) {
        let flat = set.flat();
        prop_assert_eq!(PermissionSet::from_flat(flat.iter().map(String::as_str)), Ok(set));
    }

    #[test]
    fn map_form_is_lossless_but_for_the_order_across_resources(set in any_set()) {
        let from_map = PermissionSet::from_map(set.map()).expect("few");
        prop_assert_eq!(from_map.map(), set.map());
        prop_assert!(from_map.covers(&set) && set.covers(&from_map));
    }

    #[test]
    fn covering_is_reflexive_and_transitive(a in any_set(), b in any_set(), c in any_set()) {
        prop_assert!(a.covers(&a));
        prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
    }

    #[test]
    fn sets_that_cover_each_other_allow_the_same(a in any_set(), b in any_set(), permission in any_permission()) {
        prop_assert!(!(a.covers(&b) && b.covers(&a)) || a.allows(&permission) == b.allows(&permission));
    }

    #[test]
    fn covering_implies_allowing_all_that_the_other_allows(a in any_set(), b in any_set()) {
        if a.covers(&b) {
            for permission in concrete() {
                prop_assert!(!b.allows(&permission) || a.allows(&permission), "{permission}");
            }
        }
    }

    #[test]
    fn not_covering_shows_in_some_permission(a in any_set(), b in any_set()) {
        // A wildcard is only held by a wildcard, so the witness is one of the set's own permissions.
        prop_assert_eq!(a.covers(&b), !b.0.iter().any(|permission| !a.allows(permission)));
    }
}

#[test]
fn written_forms() {
    let set = PermissionSet::from_flat(["read", "*:write", "files:read", "*", "read"]).expect("valid");
    assert_eq!(set.flat(), ["read", "write", "files:read", "*"]);
    assert_eq!(set.map(), [("*", vec!["read", "write", "*"]), ("files", vec!["read"])]);
    assert_eq!(PermissionSet::from_map([("files", vec![])]), Ok(PermissionSet::default()));
}

#[test]
fn what_a_set_holds() {
    let holds = |flat: &[&str], permission: &str| {
        let set = PermissionSet::from_flat(flat.iter().copied()).expect("valid");
        set.allows(&Permission::parse(permission).expect("valid"))
    };
    for holder in ["files:read", "files:*", "read", "*"] {
        assert!(holds(&[holder], "files:read"), "{holder}");
    }
    for other in ["files:write", "Files:read", "file:read", "docs:*", "write"] {
        assert!(!holds(&[other], "files:read"), "{other}");
    }
    assert!(!holds(&["files:read"], "read"), "asking for read asks for every resource");
    assert!(!holds(&["files:read", "files:write"], "files:*"));
    assert!(holds(&["read"], "read"));
}

#[test]
fn what_is_not_a_permission() {
    let long = "x".repeat(65);
    for text in ["", ":", "a:", ":a", "a:b:c", "file*", "a b", "ä", "a:b*", "**", &long] {
        assert!(Permission::parse(text).is_err(), "{text:?}");
    }
    let many: Vec<_> = (0..=PermissionSet::MAX).map(|n| format!("r{n}:read")).collect();
    assert_eq!(PermissionSet::from_flat(many.iter().map(String::as_str)), Err(Invalid::TooManyPermissions));
}

#[test]
fn who_has_one_of_its_holders_has_a_permission() {
    let set = |permission: &Permission| PermissionSet::new([permission.clone()]).expect("one");
    let any = |text: &str| Permission::parse(text).expect("valid");
    let all: Vec<Permission> = concrete().into_iter().chain(["a:*", "b:*", "*:a", "*:c", "*"].map(any)).collect();
    for asked in all.clone() {
        let holders = asked.holders();
        for held in &all {
            assert_eq!(holders.contains(held), set(held).allows(&asked), "{held} {asked}");
        }
    }
}

#[test]
fn the_widest_sets_take_few_steps() {
    const WIDEST: usize = PermissionSet::MAX_EFFECTIVE;
    let wide = wide(WIDEST, |n| format!("r{n}:a{n}"));
    let asked = PermissionSet::from_flat(wide.flat()[..PermissionSet::MAX].iter().map(String::as_str)).expect("valid");
    let (holds, steps) = steps_of(|| wide.covers(&asked));
    assert!(holds && steps <= 4 * PermissionSet::MAX, "{steps}");
    let unknown = Permission::parse("other:thing").expect("valid");
    assert_eq!(steps_of(|| wide.allows(&unknown)), (false, 4));
    let (union, steps) = steps_of(|| PermissionSet::union([&wide, &wide]));
    assert!(union == wide && steps == 2 * WIDEST, "{steps}");
    let (map, steps) = steps_of(|| wide.map());
    assert!(map.len() == WIDEST && steps == WIDEST, "{steps}");
    let flat = wide.flat();
    let doubles = flat[..PermissionSet::MAX].iter().cycle().take(100_000).map(String::as_str);
    let (set, steps) = steps_of(|| PermissionSet::from_flat(doubles));
    assert!(set.is_ok_and(|set| set.len() == PermissionSet::MAX) && steps == 100_000, "{steps}");
}

#[test]
fn what_a_set_weighs_is_what_it_takes() {
    let long = "x".repeat(48);
    for (count, name) in [(1, "r"), (3, "files"), (16, "r"), (17, "r"), (200, "r"), (PermissionSet::MAX, &*long)] {
        let texts: Vec<String> = (0..count).map(|n| format!("{name}{n}:read{n}")).collect();
        let mut set = None;
        let taken = allocation_counter::measure(|| {
            set = Some(PermissionSet::from_flat(texts.iter().map(String::as_str)).expect("permissions"));
        });
        let (taken, weight) =
            (usize::try_from(taken.bytes_current).expect("more than before"), set.expect("made").heap_size());
        assert!((taken..=taken * 3 / 2 + 64).contains(&weight), "{count} of {name}: {weight} for {taken}");
    }
    assert_eq!(PermissionSet::default().heap_size(), 0);
    assert_eq!(PermissionSet::all().heap_size() % 16, 0);
}
