//! Permission sets: changes take effect at once, and cannot grant more than the caller has.

use harness::{KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

async fn set(tenant: &Tenant, name: &str, permissions: &[&str]) -> String {
    let body = json!({"name": name, "permissions": permissions});
    let answer = tenant.admin.post(&format!("/orgs/{}/permission_sets", tenant.org_id), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

async fn holds(tenant: &Tenant, key: &str, permission: &str) -> bool {
    let answer = tenant.admin.post("/api_keys/verify", &json!({"key": key, "permissions": [permission]})).await;
    answer.json()["valid"] == true
}

#[tokio::test]
async fn a_change_of_a_permission_set_takes_effect_at_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let readers = set(&tenant, "readers", &["files:read"]).await;
    let writers = set(&tenant, "writers", &["files:write"]).await;
    let body = json!({"name": "n", "permissions": ["own:thing"], "permission_sets": [readers]});
    let key = tenant.admin.post(&format!("{org}/api_keys"), &body).await.json();
    assert_eq!((&key["permissions"], &key["permission_sets"]), (&json!(["own:thing"]), &json!([readers])));
    let (id, key) = (key["id"].as_str().expect("an id"), key["key"].as_str().expect("a key"));
    for permission in ["own:thing", "files:read"] {
        assert!(holds(&tenant, key, permission).await, "{permission}");
    }
    let verdict = tenant.admin.post("/api_keys/verify", &json!({"key": key})).await.json();
    assert_eq!(
        verdict["permissions"],
        json!(["own:thing", "files:read"]),
        "the union of own permissions and permission sets"
    );
    let sets = format!("{org}/api_keys/{id}/permission_sets");
    let both = tenant.admin.put(&sets, &json!({"permission_sets": [writers, readers]})).await;
    assert_eq!(both.status, 200, "{}", both.text);
    assert!(holds(&tenant, key, "files:write").await);
    // The permissions of a member's sets bound the member's keys.
    let member = json!({
        "user_email": "m@example.com", "user_name": "m", "permissions": [], "permission_sets": [readers]
    });
    let member = tenant.admin.post(&format!("{org}/members"), &member).await.json();
    let user_id = member["user_id"].as_str().map(ToOwned::to_owned);
    let (_, theirs) = app.key(&tenant.org_id, KeySpec { user_id, ..KeySpec::with(&["*"]) }).await;
    assert!(holds(&tenant, &theirs, "files:read").await && !holds(&tenant, &theirs, "files:write").await);
    let shrunk = tenant
        .admin
        .patch(&format!("{org}/permission_sets/{readers}"), &json!({"permissions": ["files:list"], "name": "listers"}))
        .await;
    assert_eq!((&shrunk.json()["name"], &shrunk.json()["permissions"]), (&json!("listers"), &json!(["files:list"])));
    for key in [key, &theirs] {
        assert!(!holds(&tenant, key, "files:read").await && holds(&tenant, key, "files:list").await);
    }
    let in_use = tenant.admin.delete(&format!("{org}/permission_sets/{readers}")).await;
    assert_eq!(in_use.status, 409);
    assert_eq!(tenant.admin.delete(&format!("{org}/permission_sets/{readers}?detach=maybe")).await.status, 400);
    assert_eq!(tenant.admin.delete(&format!("{org}/permission_sets/{readers}?detach=true")).await.status, 200);
    for key in [key, &theirs] {
        assert!(!holds(&tenant, key, "files:list").await);
    }
    assert!(holds(&tenant, key, "files:write").await, "the other permission set is unchanged");
    assert_eq!(tenant.admin.get(&format!("{org}/permission_sets/{readers}")).await.status, 404);
    let left = tenant.admin.get(&format!("{org}/permission_sets")).await.json();
    assert_eq!(left.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn permission_set_names_are_unique_and_sets_of_others_unknown() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let org = format!("/orgs/{}", tenant.org_id);
    let mine = set(&tenant, "readers", &["files:read"]).await;
    let foreign = set(&other, "readers", &["files:read"]).await;
    let body = json!({"name": " readers ", "permissions": []});
    assert_eq!(tenant.admin.post(&format!("{org}/permission_sets"), &body).await.status, 409);
    let second = set(&tenant, "writers", &[]).await;
    let path = format!("{org}/permission_sets/{second}");
    assert_eq!(tenant.admin.patch(&path, &json!({"name": "readers"})).await.status, 409);
    assert_eq!(tenant.admin.patch(&path, &json!({})).await.status, 400);
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let attach = format!("{org}/api_keys/{id}/permission_sets");
    let made_up = "01a1fd3b-5f15-77c5-bbb0-186d2b075cec";
    for set in [foreign.as_str(), made_up] {
        assert_eq!(tenant.admin.get(&format!("{org}/permission_sets/{set}")).await.status, 404);
        assert_eq!(tenant.admin.put(&attach, &json!({"permission_sets": [set]})).await.status, 404);
        let body = json!({"name": "n", "permissions": [], "permission_sets": [mine, set]});
        assert_eq!(tenant.admin.post(&format!("{org}/api_keys"), &body).await.status, 404);
        let body =
            json!({"user_email": "m@example.com", "user_name": "m", "permissions": [], "permission_sets": [set]});
        assert_eq!(tenant.admin.post(&format!("{org}/members"), &body).await.status, 404);
    }
    for wrong in [json!(["x"]), json!([mine, mine]), json!(vec![mine.as_str(); 17])] {
        let answer = tenant.admin.put(&attach, &json!({"permission_sets": wrong})).await;
        assert_eq!(answer.wrong_fields(), ["permission_sets"]);
    }
}

#[tokio::test]
async fn a_permission_set_cannot_grant_beyond_the_caller() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let all = set(&tenant, "all", &["*"]).await;
    let files = set(&tenant, "files", &["files:read"]).await;
    let held = ["permission_sets:admin", "api_keys:write", "members:admin", "files:read"];
    let (own, key) = app.key(&tenant.org_id, KeySpec::with(&held)).await;
    let (weak, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let caller = app.caller(&key);
    let put = async |key: &str, sets: Value| {
        let path = format!("{org}/api_keys/{key}/permission_sets");
        caller.put(&path, &json!({"permission_sets": sets})).await.status
    };
    assert_eq!(put(&weak, json!([all])).await, 403);
    assert_eq!(put(&own, json!([all])).await, 403, "itself");
    assert_eq!(put(&own, json!([files])).await, 403, "itself: the permission set may get more permissions");
    assert_eq!(put(&weak, json!([files])).await, 200);
    let body = |permissions: Value| json!({"name": "x", "permissions": permissions});
    let sets = format!("{org}/permission_sets");
    assert_eq!(caller.post(&sets, &body(json!(["files:write"]))).await.status, 403);
    let grown = caller.patch(&format!("{sets}/{files}"), &json!({"permissions": ["files:*"]})).await;
    assert_eq!(grown.status, 403, "keys with the permission set would get more than the caller has");
    let taken = caller.patch(&format!("{sets}/{all}"), &json!({"permissions": []})).await;
    assert_eq!(taken.status, 403, "keys with the permission set have more than the caller");
    let member = json!({"user_email": "m@example.com", "user_name": "m", "permissions": [], "permission_sets": [all]});
    assert_eq!(caller.post(&format!("{org}/members"), &member).await.status, 403);
    let create = json!({"name": "n", "permissions": [], "permission_sets": [all]});
    assert_eq!(caller.post(&format!("{org}/api_keys"), &create).await.status, 403);
}
