//! Callers with `own_api_keys:…` use the operations on keys for the keys of their own user, and no others.

use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use crate::auth::{
    credentials::call,
    idp::{Fixture, fixture, with},
    operations::PROTECTED,
};

const OWN: [&str; 2] = ["own_api_keys:read", "own_api_keys:write"];

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn ids(list: &Answer) -> Vec<String> {
    let list = list.json();
    list.as_array().expect("a list").iter().map(|key| text(&key["id"]).to_owned()).collect()
}

fn of(user: &str, permissions: &[&str]) -> KeySpec {
    KeySpec { user_id: Some(user.to_owned()), ..KeySpec::with(permissions) }
}

/// Adds a member. Returns the id of the user.
async fn member(tenant: &Tenant, name: &str, permissions: &[&str]) -> String {
    let email = format!("{name}@example.com");
    let body = json!({"user_name": name, "user_email": email, "permissions": permissions});
    let added = tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), &body).await;
    assert_eq!(added.status, 200, "{}", added.text);
    text(&added.json()["user_id"]).to_owned()
}

/// A caller with a key of a member that has only the permissions for own keys, and those for the keys that it creates.
async fn owner(app: &TestApp, tenant: &Tenant) -> (String, Caller) {
    let permissions = [&OWN[..], &["files:read"]].concat();
    let user = member(tenant, "grace", &permissions).await;
    let (_, secret) = app.key(&tenant.org_id, of(&user, &permissions)).await;
    (user, app.caller(&secret))
}

#[tokio::test]
async fn every_operation_with_own_keys_reaches_the_keys_of_the_callers_user_only() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let user = member(&tenant, "grace", &OWN).await;
    let mut tried = 0;
    for operation in PROTECTED {
        let Some(own) = operation.own_permission() else { continue };
        tried += 1;
        let caller = app.caller(&app.key(&tenant.org_id, of(&user, &[own])).await.1);
        let key = async |spec: KeySpec| app.key(&tenant.org_id, spec).await.0;
        let answer = call(&caller, operation, &tenant.org_id, &key(of(&user, &[])).await).await;
        assert_eq!(answer.status, operation.permitted, "{}: {}", operation.id, answer.text);
        let names_key = (operation.request)("", "one") != (operation.request)("", "another");
        for stranger in [key(KeySpec::with(&[])).await, key(of(&tenant.user_id, &[])).await] {
            let answer = call(&caller, operation, &tenant.org_id, &stranger).await;
            // The ids of other keys are listed as unknown, or left out.
            let expected = match operation.id {
                "bulkDeleteApiKeys" | "getApiKeysUsage" => 200,
                _ if names_key => 404,
                _ => operation.permitted,
            };
            assert_eq!(answer.status, expected, "{}: {}", operation.id, answer.text);
            let kept = tenant.admin.get(&format!("{}/{stranger}", tenant.keys())).await;
            assert_eq!((kept.status, &kept.json()["version"]), (200, &json!(0)), "{}: {}", operation.id, kept.text);
        }
        if operation.is_tenant_bound && !operation.id.contains("Athena") {
            let elsewhere = call(&caller, operation, &other.org_id, &other.key_id).await;
            assert_eq!(elsewhere.status, 404, "{}: another organization", operation.id);
        }
        let without_user = app.caller(&app.key(&tenant.org_id, KeySpec::with(&[own])).await.1);
        let refused = call(&without_user, operation, &tenant.org_id, &tenant.key_id).await;
        assert_eq!(refused.status, 403, "{}: a key without a user has no own keys", operation.id);
    }
    assert!(tried > 15, "{tried}");
}

#[tokio::test]
async fn a_member_manages_their_own_keys() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (user, grace) = owner(&app, &tenant).await;
    let keys = tenant.keys();
    let before = ids(&grace.get(&keys).await);
    assert_eq!(before.len(), 1, "her own key, without that of the administrator");
    let made = grace.post(&keys, &json!({"name": "laptop", "permissions": ["files:read"]})).await;
    assert_eq!((made.status, &made.json()["user_id"]), (200, &json!(user)), "{}", made.text);
    let one = format!("{keys}/{}", text(&made.json()["id"]));
    let found = grace.post(&format!("{keys}/find"), &json!({"key": made.json()["key"]})).await;
    assert_eq!(found.json()["id"], made.json()["id"]);
    let of_admin = json!({"key": tenant.admin.bearer()});
    assert_eq!(grace.post(&format!("{keys}/find"), &of_admin).await.status, 404, "a key of another user");
    let more = grace.post(&keys, &json!({"name": "more", "permissions": ["files:write"]})).await;
    assert_eq!(more.json()["reason"], "exceeds_permissions");
    let widened = grace.patch(&one, &json!({"permissions": ["*"]})).await;
    assert_eq!(widened.json()["reason"], "exceeds_permissions");
    let limited = grace.post(&keys, &json!({"name": "limited", "permissions": [], "remaining": 5})).await;
    assert_eq!(limited.json()["reason"], "permission_required", "limits need org:admin");
    assert_eq!(grace.patch(&one, &json!({"name": "Laptop"})).await.status, 200);
    let rotated = grace.post(&format!("{one}/rotate"), &json!({"grace_seconds": 60})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    assert_eq!(grace.get(&format!("{one}/previous_secret")).await.status, 200);
    assert_eq!(grace.delete(&format!("{one}/newest_secret")).await.status, 200, "undo the rotation");
    assert_eq!(grace.get(&format!("{one}/usage")).await.status, 200);
    assert_eq!(grace.delete(&one).await.status, 200);
    assert_eq!(ids(&grace.get(&format!("{keys}?deleted=true")).await), [text(&made.json()["id"])]);
    assert_eq!(grace.post(&format!("{one}/restore"), &json!({})).await.status, 200);
    assert_eq!(grace.patch(&one, &json!({"enabled": true})).await.status, 200);
    for (path, body) in [
        (format!("/orgs/{}/usage", tenant.org_id), None),
        (format!("{keys}/import"), Some(json!({"keys": []}))),
        (format!("/orgs/{}/members", tenant.org_id), None),
    ] {
        let answer = match body {
            None => grace.get(&path).await,
            Some(body) => grace.post(&path, &body).await,
        };
        assert_eq!(answer.status, 403, "{path}");
    }
    let events = app.audit(&tenant.org_id).await;
    let created = events.iter().rfind(|event| event.action == "api_key.create").expect("the creation is logged");
    assert_eq!(created.actor_user, user);
    // Without the membership there is nothing left.
    let removed = tenant.admin.delete(&format!("/orgs/{}/members/{user}", tenant.org_id)).await;
    assert_eq!((removed.status, grace.get(&keys).await.status), (200, 401));
}

#[tokio::test]
async fn a_caller_with_all_keys_creates_keys_of_the_organization_or_of_their_user() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let create = async |caller: &Caller, own: Value| {
        caller.post(&tenant.keys(), &json!({"name": "n", "permissions": [], "own": own})).await
    };
    for (own, user) in [(Value::Null, Value::Null), (json!(false), Value::Null), (json!(true), json!(tenant.user_id))] {
        assert_eq!(create(&tenant.admin, own).await.json()["user_id"], user);
    }
    let (_, without_user) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    let refused = create(&app.caller(&without_user), json!(true)).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["own".to_owned()]), "{}", refused.text);
    let bulk = json!({"keys": [{"name": "a", "permissions": [], "own": true}, {"name": "b", "permissions": []}]});
    let made = tenant.admin.post(&format!("{}/bulk_create", tenant.keys()), &bulk).await.json();
    assert_eq!((&made["keys"][0]["user_id"], &made["keys"][1]["user_id"]), (&json!(tenant.user_id), &Value::Null));
}

#[tokio::test]
async fn a_secret_of_another_key_cannot_be_supplied_for_an_own_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, grace) = owner(&app, &tenant).await;
    let shape = json!({"prefix": "tf_", "length": 43, "alphabet": "base64url"});
    let new = json!({"name": "n", "permissions": [], "secret": {"sha256": "ab".repeat(32), "start": "tf_abc", "shape": shape}});
    let early = grace.post(&tenant.keys(), &new).await;
    assert_eq!(early.json()["reason"], "permission_required", "a shape that is new to the organization");
    assert_eq!(tenant.admin.post(&tenant.keys(), &new).await.status, 200);
    let taken = grace.post(&tenant.keys(), &new).await;
    assert_eq!((taken.status, &taken.json()["reason"]), (409, &json!("secret_in_use")));
}

/// Adds a user of the provider to two organizations, with permissions for own keys in both.
async fn in_two(fixture: &Fixture, other: &Tenant) -> [String; 2] {
    let first = fixture.join(&fixture.tenant, "ada", &OWN).await;
    [first, fixture.join(other, "ada", &OWN).await]
}

#[tokio::test]
async fn a_user_of_a_provider_has_own_keys_in_each_organization() {
    let fixture = fixture(|_| ()).await;
    let (app, acme) = (&fixture.app, &fixture.tenant);
    let (other, third) = (app.tenant("Other").await, app.tenant("Third").await);
    let users = in_two(&fixture, &other).await;
    let good = fixture.claims("ada");
    let ada = fixture.caller_with(&good);
    for (tenant, user) in [(acme, &users[0]), (&other, &users[1])] {
        let made = ada.post(&tenant.keys(), &json!({"name": "n", "permissions": []})).await;
        assert_eq!((made.status, &made.json()["user_id"]), (200, &json!(user)), "{}", made.text);
        assert_eq!(ids(&ada.get(&tenant.keys()).await), [text(&made.json()["id"])]);
        assert_eq!(ada.get(&format!("{}/{}", tenant.keys(), tenant.key_id)).await.status, 404);
    }
    let made_up = "01a1fd3b-5f15-77c5-bbb0-186d2b075cec";
    for org in [third.org_id.as_str(), made_up, "not-an-id"] {
        assert_eq!(ada.get(&format!("/orgs/{org}/api_keys")).await.status, 404, "{org}");
    }
    // A token that names an organization is for that one.
    let named = fixture.caller_with(&with(&good, "org_id", json!(acme.org_id)));
    assert_eq!((named.get(&acme.keys()).await.status, named.get(&other.keys()).await.status), (200, 404));
    let without = fixture.join(&third, "ada", &["files:read"]).await;
    assert_eq!(ada.get(&third.keys()).await.status, 403, "{without}: a member without the permission");
}

#[tokio::test]
async fn a_platform_caller_with_own_keys_reaches_no_other_organization() {
    let app = TestApp::start().await;
    let (platform, tenant) = (app.platform().await, app.tenant("Acme").await);
    let own = text(&platform.get("/me").await.json()["organization"]["id"]).to_owned();
    let added = json!({"user_name": "Op", "user_email": "op@example.com", "permissions": OWN});
    let added = platform.post(&format!("/orgs/{own}/members"), &added).await;
    assert_eq!(added.status, 200, "{}", added.text);
    let user = text(&added.json()["user_id"]).to_owned();
    let operator = app.caller(&app.key(&own, of(&user, &OWN)).await.1);
    assert_eq!(ids(&operator.get(&format!("/orgs/{own}/api_keys")).await).len(), 1);
    for request in ["GET", "POST"] {
        let answer = operator.send(request, &tenant.keys(), None).await;
        assert_eq!(answer.status, 404, "{request}: {}", answer.text);
    }
}
