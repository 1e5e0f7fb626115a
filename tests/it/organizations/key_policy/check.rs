//! The dry run of a policy, and what the policies say about one key.

use harness::{Answer, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use super::{DAY, create, create_set, id, in_days, org, set_policy};

async fn check(tenant: &Tenant, body: &Value) -> Answer {
    tenant.admin.post(&format!("{}/key_policy/check", org(tenant)), body).await
}

fn names(report: &Value) -> Vec<&str> {
    report["keys"].as_array().expect("a list").iter().map(|key| key["name"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn a_dry_run_counts_and_lists_the_keys_that_break_the_policy_and_changes_nothing() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for (name, days) in [("never", None), ("late", Some(100)), ("fine", Some(90)), ("soon", Some(1))] {
        app.clock.advance_seconds(1);
        let mut body = json!({"name": name});
        if let Some(days) = days {
            body["expires_at"] = json!(in_days(&app, days));
        }
        id(&create(&tenant.admin, &tenant, body).await);
    }
    app.clock.advance_seconds(2 * DAY);
    let policy = json!({"expiry_required": true, "max_lifetime_days": 90});
    // Without the uses of the administrator's key, which are stored in the background.
    let listed = async || {
        let mut keys = tenant.admin.get(&tenant.keys()).await.json();
        keys.as_array_mut().expect("a list").iter_mut().for_each(|key| key["last_used_at"] = Value::Null);
        keys
    };
    let before = listed().await;
    let answer = check(&tenant, &json!({"key_policy": policy})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let report = answer.json();
    // The key of the sign-up has no name and never expires; "soon" has expired, and is not checked.
    assert_eq!(names(&report), ["", "never", "late"]);
    assert_eq!((&report["keys_checked"], &report["keys_breaking"]), (&json!(4), &json!(3)));
    assert_eq!((&report["is_complete"], &report["next_cursor"]), (&json!(true), &Value::Null));
    let counts = json!([{"rule": "max_lifetime_days", "keys": 3}, {"rule": "expiry_required", "keys": 2}]);
    assert_eq!(report["rules"], counts);
    assert_eq!(report["keys"][2]["rules"], json!(["max_lifetime_days"]));
    assert!(report["keys"][2]["start"].as_str().is_some_and(|start| start.starts_with("cvg_")), "{report}");
    assert_eq!(listed().await, before);
    assert_eq!(tenant.admin.get(&org(&tenant)).await.json()["key_policy"], Value::Null);
}

#[tokio::test]
async fn a_dry_run_is_read_page_by_page() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for n in 0..5 {
        app.clock.advance_seconds(1);
        id(&create(&tenant.admin, &tenant, json!({"name": format!("key {n}")})).await);
    }
    let mut body = json!({"key_policy": {"expiry_required": true}, "limit": 2});
    let mut found = Vec::new();
    for (breaking, is_last) in [(6, false), (4, false), (2, true)] {
        let report = check(&tenant, &body).await.json();
        assert_eq!(
            (&report["keys_breaking"], report["next_cursor"].is_null()),
            (&json!(breaking), is_last),
            "{report}"
        );
        found.extend(names(&report).iter().map(|name| (*name).to_owned()));
        body["cursor"] = report["next_cursor"].clone();
    }
    assert_eq!(found, ["", "key 0", "key 1", "key 2", "key 3", "key 4"]);
    for (field, value) in [("limit", json!(0)), ("limit", json!(1_001)), ("cursor", json!("x"))] {
        let mut body = json!({"key_policy": {}});
        body[field] = value;
        assert_eq!(check(&tenant, &body).await.wrong_fields(), [field]);
    }
    let other = app.tenant("Other").await;
    let report = check(&tenant, &json!({"key_policy": {"expiry_required": true}, "limit": 1})).await.json();
    let stolen = json!({"key_policy": {}, "cursor": report["next_cursor"]});
    assert_eq!(check(&other, &stolen).await.wrong_fields(), ["cursor"], "a cursor is for one organization");
}

#[tokio::test]
async fn a_dry_run_for_a_permission_set_checks_the_keys_that_have_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let set = create_set(&tenant, &["billing:read"], Value::Null).await;
    id(&create(&tenant.admin, &tenant, json!({"name": "without"})).await);
    id(&create(&tenant.admin, &tenant, json!({"name": "with", "permission_sets": [set]})).await);
    let policy = json!({
        "addresses_required_for": ["billing:*"], "allowed_permissions": [{"permission": "files:*"}], "can_manage": false,
    });
    let report = check(&tenant, &json!({"key_policy": policy, "permission_set_id": set})).await.json();
    assert_eq!((names(&report), &report["keys_checked"]), (vec!["with"], &json!(1)));
    let rules = json!(["addresses_required_for", "allowed_permissions", "can_manage"]);
    assert_eq!(report["keys"][0]["rules"], rules);
    for unknown in [json!("ffffffff-0000-7000-8000-000000000000"), json!("x")] {
        let answer = check(&tenant, &json!({"key_policy": policy, "permission_set_id": unknown})).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (404, &json!("permission_set_not_found")));
    }
}

#[tokio::test]
async fn a_dry_run_reports_only_keys_that_the_caller_can_read() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let own = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["own_api_keys:read"]) };
    let own = app.caller(&app.key(&tenant.org_id, own).await.1);
    id(&create(&tenant.admin, &tenant, json!({"name": "of the organization"})).await);
    let body = json!({"key_policy": {"expiry_required": true}});
    let report = own.post(&format!("{}/key_policy/check", org(&tenant)), &body).await.json();
    assert_eq!(report["keys_breaking"], 2, "that of the sign-up, and its own");
    assert_eq!(check(&tenant, &body).await.json()["keys_breaking"], 3);
}

#[tokio::test]
async fn the_state_of_a_key_says_which_rules_it_breaks_and_when_it_is_disabled() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let set = create_set(&tenant, &["files:read"], Value::Null).await;
    let made = create(&tenant.admin, &tenant, json!({"permission_sets": [set]})).await;
    let path = format!("{}/{}/key_policy", tenant.keys(), id(&made));
    let state = async || {
        let answer = tenant.admin.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let created = in_days(&app, 0);
    let none = json!({
        "broken_rules": [], "secret_created_at": created, "rotation_due_at": null, "disabled_unless_rotated_at": null,
        "disabled_unless_used_at": null,
    });
    assert_eq!(state().await, none);
    let (ten, twenty) = (in_days(&app, 10), in_days(&app, 20));
    set_policy(&tenant, json!({"rotation": {"days": 10}, "disable_unused_after_days": 20})).await;
    let of_set = json!({"key_policy": {"expiry_required": true, "rotation": {"days": 20, "enforce": true}}});
    let set_path = format!("{}/permission_sets/{set}", org(&tenant));
    assert_eq!(tenant.admin.patch(&set_path, &of_set).await.status, 200);
    let now = state().await;
    assert_eq!((&now["rotation_due_at"], &now["disabled_unless_rotated_at"]), (&json!(ten), &json!(twenty)));
    assert_eq!(now["disabled_unless_used_at"], json!(twenty));
    let broken = json!([{
        "rule": "expiry_required", "permission_set_id": set, "message": "a key must expire; set expires_at",
    }]);
    assert_eq!(now["broken_rules"], broken);
    app.clock.advance_seconds(10 * DAY);
    let overdue = state().await;
    let rules: Vec<&Value> =
        overdue["broken_rules"].as_array().expect("a list").iter().map(|broken| &broken["rule"]).collect();
    assert_eq!(rules, ["rotation", "expiry_required"]);
    assert_eq!(overdue["broken_rules"][0]["permission_set_id"], Value::Null);
    let rotate = path.replace("key_policy", "rotate");
    assert_eq!(tenant.admin.post(&rotate, &json!({"grace_seconds": 0})).await.status, 200);
    let rotated = state().await;
    assert_eq!((&rotated["secret_created_at"], &rotated["rotation_due_at"]), (&json!(ten), &json!(twenty)));
    let other = app.tenant("Other").await;
    assert_eq!(other.admin.get(&path).await.status, 404);
}
