//! A caller cannot grant permissions that it does not have: checked with random permissions.

use domain::permissions::{Permission, Permissions};
use harness::{KeySpec, TestApp};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::json;

fn any_flat() -> impl Strategy<Value = Vec<String>> {
    let resource = prop::sample::select(vec!["*", "*", "files", "api_keys", "org", "audit"]);
    let action = prop::sample::select(vec!["*", "read", "write", "admin"]);
    let permission = (resource, action).prop_map(|(resource, action)| format!("{resource}:{action}"));
    prop::collection::vec(permission, 0..5)
}

/// The reference rule: the permission itself or a wildcard is held. An action on every resource does not include the
/// organization and its log.
fn holds(held: &[String], asked: &str) -> bool {
    let (resource, action) = asked.split_once(':').expect("a pair");
    let mut candidates = vec![format!("{resource}:{action}"), format!("{resource}:*"), "*:*".to_owned()];
    if !["org", "audit"].contains(&resource) {
        candidates.push(format!("*:{action}"));
    }
    candidates.iter().any(|candidate| held.contains(candidate))
}

#[tokio::test]
async fn a_new_key_has_no_more_permissions_than_its_creator() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let mut runner = TestRunner::new(Config::default());
    let mut made = 0;
    for _ in 0..60 {
        let held = any_flat().new_tree(&mut runner).expect("a set").current();
        let asked = any_flat().new_tree(&mut runner).expect("a set").current();
        let spec = KeySpec::with(&held.iter().map(String::as_str).collect::<Vec<_>>());
        let (_, key) = app.key(&tenant.org_id, spec).await;
        let answer = app.caller(&key).post(&keys, &json!({"name": "n", "permissions": asked})).await;
        let may = holds(&held, "api_keys:write") && asked.iter().all(|permission| holds(&held, permission));
        assert_eq!(answer.status, if may { 200 } else { 403 }, "a caller with {held:?} creates {asked:?}");
        if may {
            made += 1;
            let granted = answer.json()["permissions"].clone();
            let granted: Vec<&str> =
                granted.as_array().expect("flat").iter().filter_map(|text| text.as_str()).collect();
            let granted = Permissions::from_flat(granted).expect("flat");
            let held = Permissions::from_flat(held.iter().map(String::as_str)).expect("flat");
            assert!(held.covers(&granted));
            assert!(asked.iter().all(|text| granted.allows(&Permission::parse(text).expect("a permission"))));
        }
    }
    assert!(made > 0, "some grants were allowed");
}
