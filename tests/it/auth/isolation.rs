//! Tenants are isolated: ids of other organizations get the same response as unknown ids.

use harness::{Answer, KeySpec, TestApp};
use serde_json::json;

const MADE_UP: &str = "01a1fd3b-5f15-77c5-bbb0-186d2b075cec";

fn assert_same(left: &Answer, right: &Answer) {
    assert_eq!((left.status, left.failure()), (right.status, right.failure()));
    let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(left), names(right));
    assert_eq!(left.header("content-length"), right.header("content-length"));
}

#[tokio::test]
async fn other_organizations_are_unknown() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let keys = |org: &str| format!("/orgs/{org}/api_keys");
    let body = json!({"name": "n", "permissions": []});
    let foreign = mine.admin.get(&keys(&other.org_id)).await;
    assert_eq!(foreign.status, 404);
    for org in [MADE_UP, "not-an-id", "org-123", "%00", &MADE_UP.replace('-', ""), &format!("{{{MADE_UP}}}")] {
        assert_same(&foreign, &mine.admin.get(&keys(org)).await);
        assert_same(&foreign, &mine.admin.post(&keys(org), &body).await);
    }
    // A path that is not UTF-8 has no operation.
    assert_eq!(mine.admin.get(&keys("%FF")).await.json()["reason"], "unknown_path");
    assert_same(&foreign, &mine.admin.post(&keys(&other.org_id), &body).await);
    // Also with an invalid body.
    assert_same(&foreign, &mine.admin.send("POST", &keys(&other.org_id), Some("{".into())).await);
    let listed = other.admin.get(&keys(&other.org_id)).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn keys_of_other_organizations_are_unknown() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let foreign = mine.admin.delete(&format!("/orgs/{}/api_keys/{}", mine.org_id, other.key_id)).await;
    assert_eq!(foreign.status, 404);
    for key in [MADE_UP, "key-123"] {
        assert_same(&foreign, &mine.admin.delete(&format!("/orgs/{}/api_keys/{key}", mine.org_id)).await);
    }
    assert_same(&foreign, &mine.admin.delete(&format!("/orgs/{}/api_keys/{}", other.org_id, other.key_id)).await);
    assert_eq!(other.admin.get("/auth/check-key").await.status, 200, "the other organization's key is unchanged");
}

#[tokio::test]
async fn without_the_permission_every_organization_id_is_forbidden() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let (_, key) = app.key(&mine.org_id, KeySpec::with(&["files:read"])).await;
    let caller = app.caller(&key);
    let own = caller.get(&format!("/orgs/{}/api_keys", mine.org_id)).await;
    assert_eq!((own.status, own.header("www-authenticate")), (403, "Bearer error=\"insufficient_scope\""));
    for org in [&other.org_id, MADE_UP, "not-an-id"] {
        assert_same(&own, &caller.get(&format!("/orgs/{org}/api_keys")).await);
    }
}

#[tokio::test]
async fn without_a_credential_every_organization_id_is_unauthorized() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let anyone = app.anyone();
    let real = anyone.get(&format!("/orgs/{}/api_keys", tenant.org_id)).await;
    assert_eq!((real.status, real.header("www-authenticate")), (401, "Bearer"));
    assert_same(&real, &anyone.get(&format!("/orgs/{MADE_UP}/api_keys")).await);
    assert_same(&real, &anyone.send("POST", &format!("/orgs/{MADE_UP}/api_keys"), Some("{".into())).await);
    assert_same(&real, &anyone.get(&format!("/orgs/{MADE_UP}/api_keys?limit=x&cursor=x")).await);
}

#[tokio::test]
async fn the_platform_can_act_in_all_organizations_within_its_permissions() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let created = platform.post(&keys, &json!({"name": "n", "permissions": ["read"]})).await;
    assert_eq!((created.status, &created.json()["org_id"]), (200, &json!(tenant.org_id)));
    assert_eq!(platform.get(&keys).await.json().as_array().map(Vec::len), Some(2));
    assert_eq!(platform.delete(&format!("{keys}/{}", tenant.key_id)).await.status, 200);
    assert_eq!(platform.get(&format!("/orgs/{MADE_UP}/api_keys")).await.status, 404);
    let own = platform.get("/auth/check-key").await.json()["data"]["org_id"].as_str().expect("an id").to_owned();
    let (_, reader) = app.key(&own, KeySpec::with(&["read"])).await;
    assert_eq!(app.caller(&reader).get(&keys).await.status, 200);
    assert_eq!(app.caller(&reader).delete(&format!("{keys}/{MADE_UP}")).await.status, 403);
    let other = app.tenant("Other").await;
    assert_eq!(
        other.admin.get(&format!("/orgs/{own}/api_keys")).await.status,
        404,
        "a tenant does not see the platform"
    );
}

#[tokio::test]
async fn keys_of_other_organizations_are_unknown_in_athena() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let (foreign_id, foreign_key) = app.key(&other.org_id, KeySpec::with(&[])).await;
    let unknown_key = app.key(&mine.org_id, KeySpec::with(&[])).await;
    let deleted = json!({"keyId": unknown_key.0});
    assert_eq!(mine.admin.post("/api/auth/api-key/delete", &deleted).await.status, 200);
    let post = async |operation: &str, body: serde_json::Value| {
        let answer = mine.admin.post(&format!("/api/auth/api-key/{operation}"), &body).await;
        (answer.status, answer.json())
    };
    let not_found = (404, json!({"message": "API Key not found", "code": "KEY_NOT_FOUND"}));
    for id in [foreign_id.as_str(), unknown_key.0.as_str(), MADE_UP, "api_key_id"] {
        let got = mine.admin.get(&format!("/api/auth/api-key/get?id={id}")).await;
        assert_eq!((got.status, got.json()), not_found, "{id}");
        assert_eq!(post("update", json!({"keyId": id, "name": "x", "remaining": 1})).await, not_found, "{id}");
        assert_eq!(post("delete", json!({"keyId": id})).await, not_found, "{id}");
    }
    let refused = post("verify", json!({"key": unknown_key.1, "permissions": {"a": ["b"]}})).await;
    assert_eq!(post("verify", json!({"key": foreign_key, "permissions": {"a": ["b"]}})).await, refused);
    assert_eq!(post("verify", json!({"key": "nonsense"})).await, refused);
    let unknown_user = post("create", json!({"userId": MADE_UP})).await;
    assert_eq!(post("create", json!({"userId": other.user_id})).await, unknown_user);
    let listed = mine.admin.get("/api/auth/api-key/list").await.text;
    assert!(!listed.contains(&foreign_id) && !listed.contains(&other.org_id));
}
