//! Tenants do not see each other: what is foreign is unknown, with the same body.

use harness::{Answer, KeySpec, TestApp};
use serde_json::json;

const MADE_UP: &str = "01a1fd3b-5f15-77c5-bbb0-186d2b075cec";

fn same(left: &Answer, right: &Answer) {
    assert_eq!((left.status, left.failure()), (right.status, right.failure()));
    let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(left), names(right));
    assert_eq!(left.header("content-length"), right.header("content-length"));
}

#[tokio::test]
async fn a_foreign_organization_is_an_unknown_one() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let keys = |org: &str| format!("/orgs/{org}/api_keys");
    let body = json!({"name": "n", "permissions": []});
    let foreign = mine.admin.get(&keys(&other.org_id)).await;
    assert_eq!(foreign.status, 404);
    for org in [MADE_UP, "not-an-id", "org-123", "%FF", "%00", &MADE_UP.replace('-', ""), &format!("{{{MADE_UP}}}")] {
        same(&foreign, &mine.admin.get(&keys(org)).await);
        same(&foreign, &mine.admin.post(&keys(org), &body).await);
    }
    same(&foreign, &mine.admin.post(&keys(&other.org_id), &body).await);
    // With a body that is no body: nothing is told about it either.
    same(&foreign, &mine.admin.send("POST", &keys(&other.org_id), Some("{".into())).await);
    let listed = other.admin.get(&keys(&other.org_id)).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_foreign_key_is_an_unknown_one() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let foreign = mine.admin.delete(&format!("/orgs/{}/api_keys/{}", mine.org_id, other.key_id)).await;
    assert_eq!(foreign.status, 404);
    for key in [MADE_UP, "key-123"] {
        same(&foreign, &mine.admin.delete(&format!("/orgs/{}/api_keys/{key}", mine.org_id)).await);
    }
    same(&foreign, &mine.admin.delete(&format!("/orgs/{}/api_keys/{}", other.org_id, other.key_id)).await);
    assert_eq!(other.admin.get("/auth/check-key").await.status, 200, "the foreign key lives");
}

#[tokio::test]
async fn without_the_permission_every_id_is_forbidden() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let (_, key) = app.key(&mine.org_id, KeySpec::with(&["files:read"])).await;
    let caller = app.caller(&key);
    let own = caller.get(&format!("/orgs/{}/api_keys", mine.org_id)).await;
    assert_eq!((own.status, own.header("www-authenticate")), (403, "Bearer error=\"insufficient_scope\""));
    for org in [&other.org_id, MADE_UP, "not-an-id"] {
        same(&own, &caller.get(&format!("/orgs/{org}/api_keys")).await);
    }
}

#[tokio::test]
async fn a_stranger_learns_nothing() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let anyone = app.anyone();
    let real = anyone.get(&format!("/orgs/{}/api_keys", tenant.org_id)).await;
    assert_eq!((real.status, real.header("www-authenticate")), (401, "Bearer"));
    same(&real, &anyone.get(&format!("/orgs/{MADE_UP}/api_keys")).await);
    same(&real, &anyone.send("POST", &format!("/orgs/{MADE_UP}/api_keys"), Some("{".into())).await);
    same(&real, &anyone.get(&format!("/orgs/{MADE_UP}/api_keys?limit=x&cursor=x")).await);
}

#[tokio::test]
async fn the_platform_acts_everywhere_within_its_grants() {
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
async fn athena_knows_no_foreign_keys_either() {
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
    let gone = (404, json!({"message": "API Key not found", "code": "KEY_NOT_FOUND"}));
    for id in [foreign_id.as_str(), unknown_key.0.as_str(), MADE_UP, "api_key_id"] {
        let got = mine.admin.get(&format!("/api/auth/api-key/get?id={id}")).await;
        assert_eq!((got.status, got.json()), gone, "{id}");
        assert_eq!(post("update", json!({"keyId": id, "name": "x", "remaining": 1})).await, gone, "{id}");
        assert_eq!(post("delete", json!({"keyId": id})).await, gone, "{id}");
    }
    let refused = post("verify", json!({"key": unknown_key.1, "permissions": {"a": ["b"]}})).await;
    assert_eq!(post("verify", json!({"key": foreign_key, "permissions": {"a": ["b"]}})).await, refused);
    assert_eq!(post("verify", json!({"key": "nonsense"})).await, refused);
    let nobody = post("create", json!({"userId": MADE_UP})).await;
    assert_eq!(post("create", json!({"userId": other.user_id})).await, nobody);
    let listed = mine.admin.get("/api/auth/api-key/list").await.text;
    assert!(!listed.contains(&foreign_id) && !listed.contains(&other.org_id));
}
