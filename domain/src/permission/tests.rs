//! The two written forms, the one rule, and sets drawn at random for others to test with.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Few tokens, so that random sets often overlap.
fn any_permission() -> impl Strategy<Value = Permission> {
    let token = || prop::sample::select(vec!["*", "a", "b", "c"]);
    (token(), token()).prop_map(|(resource, action)| Permission::new(resource, action).expect("valid"))
}

pub(crate) fn any_set() -> impl Strategy<Value = PermissionSet> {
    vec(any_permission(), 0..6).prop_map(|list| PermissionSet::new(list).expect("few"))
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
