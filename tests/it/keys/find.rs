//! Finding a key: by its id, by the visible start of a secret, and by a secret.

use domain::keys::secret::LegacyHash;
use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use crate::keys::rotation::{Key, code, create, rotate};

async fn find(caller: &Caller, tenant: &Tenant, secret: &str) -> Answer {
    caller.post(&format!("{}/find", tenant.keys()), &json!({"key": secret})).await
}

/// The status of the secret, and the key, which must be this one.
async fn status(tenant: &Tenant, key: &Key, secret: &str) -> (String, Value) {
    let found = find(&tenant.admin, tenant, secret).await;
    assert_eq!(found.status, 200, "{}", found.text);
    let mut found = found.json();
    assert!(key.path.ends_with(found["id"].as_str().expect("an id")), "{found}");
    let status = found["secret_status"].take();
    (status.as_str().expect("a status").to_owned(), found)
}

#[tokio::test]
async fn a_key_is_found_by_each_of_its_secrets_in_every_state() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": [], "expires_at": "2026-11-21T09:00:00Z"})).await;
    assert_eq!(status(&tenant, &key, &key.secret).await.0, "newest");
    let second = rotate(&tenant.admin, &key, 60).await;
    assert_eq!(status(&tenant, &key, &key.secret).await.0, "previous");
    let (name, found) = status(&tenant, &key, &second).await;
    let mut shown = tenant.admin.get(&key.path).await.json();
    shown["secret_status"] = Value::Null;
    assert_eq!((name.as_str(), &found), ("newest", &shown));
    app.clock.advance_seconds(60);
    assert_eq!(status(&tenant, &key, &key.secret).await.0, "expired");
    let third = rotate(&tenant.admin, &key, 0).await;
    assert_eq!(status(&tenant, &key, &second).await.0, "expired");
    assert_eq!(tenant.admin.patch(&key.path, &json!({"enabled": false})).await.status, 200);
    assert_eq!(status(&tenant, &key, &third).await.1["enabled"], false);
    app.clock.advance_seconds(3_600);
    assert_eq!(status(&tenant, &key, &third).await.0, "newest", "the key has expired, its secret was not rotated");
    assert_eq!(tenant.admin.delete(&key.path).await.status, 200);
    assert_ne!(status(&tenant, &key, &third).await.1["deleted_at"], Value::Null);
}

#[tokio::test]
async fn finding_a_key_is_no_use_of_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": [], "remaining": 1})).await;
    let new = rotate(&tenant.admin, &key, 60).await;
    let before = tenant.admin.get(&key.path).await.json();
    for secret in [&key.secret, &new] {
        assert_eq!(find(&tenant.admin, &tenant, secret).await.status, 200);
    }
    assert_eq!(tenant.admin.get(&key.path).await.json(), before);
    assert_eq!(tenant.admin.delete(&format!("{}/newest_secret", key.path)).await.status, 200, "it was not used");
}

#[tokio::test]
async fn secrets_of_other_organizations_and_unknown_ones_are_not_found() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let foreign = create(&other, &json!({"name": "n", "permissions": []})).await;
    let unknown = find(&tenant.admin, &tenant, "cvg_unknown").await;
    let not_ours = find(&tenant.admin, &tenant, &foreign.secret).await;
    let mut bodies = [unknown, not_ours].map(|answer| (answer.status, answer.json()));
    for (_, body) in &mut bodies {
        body["request_id"] = Value::Null;
    }
    assert_eq!(bodies[0], bodies[1], "the response does not depend on other organizations");
    assert_eq!((bodies[0].0, &bodies[0].1["reason"]), (404, &json!("not_found")));
    assert_eq!(find(&tenant.admin, &other, &foreign.secret).await.status, 404, "no access to the organization");
    let platform = app.platform().await;
    assert_eq!(find(&platform, &other, &foreign.secret).await.status, 200);
    assert_eq!(find(&platform, &tenant, &foreign.secret).await.status, 404, "it is a key of the other one");
    let (_, writer) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    assert_eq!(find(&app.caller(&writer), &tenant, &foreign.secret).await.status, 403);
    for (body, field) in [(json!({}), "key"), (json!({"key": 1}), "key"), (json!({"key": "x", "org": 1}), "org")] {
        let refused = tenant.admin.post(&format!("{}/find", tenant.keys()), &body).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec![field.to_owned()]), "{body}");
    }
}

#[tokio::test]
async fn imported_keys_are_found_before_and_after_their_first_use() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let secret = format!("sk_{}", "a".repeat(64));
    let hash = LegacyHash::of(&secret).bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let mut keys = Vec::new();
    for owner in [&tenant, &other] {
        let shape = json!({"prefix": "sk_", "length": 64, "alphabet": "letters"});
        let body = json!({"shape": shape, "keys": [{"hash": hash, "start": "sk_aaa", "permissions": []}]});
        let made = owner.admin.post(&format!("{}/import", owner.keys()), &body).await.json();
        let path = format!("{}/{}", owner.keys(), made["keys"][0]["id"].as_str().expect("an id"));
        keys.push(Key { path, secret: secret.clone() });
    }
    for (owner, key) in [(&tenant, &keys[0]), (&other, &keys[1])] {
        assert_eq!(status(owner, key, &secret).await.0, "newest");
        assert_eq!(code(&owner.admin, &secret).await, "VALID");
        assert_eq!(status(owner, key, &secret).await.0, "newest");
        rotate(&owner.admin, key, 60).await;
        assert_eq!(status(owner, key, &secret).await.0, "previous");
    }
}

#[tokio::test]
async fn keys_are_listed_by_id_and_by_the_start_of_a_secret() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let key = create(&tenant, &json!({"name": "one", "permissions": [], "prefix": "acme_"})).await;
    create(&tenant, &json!({"name": "two", "permissions": [], "prefix": "acme-"})).await;
    let listed = async |caller: &Caller, query: &str| {
        let list = caller.get(&format!("{}?{query}", tenant.keys())).await;
        assert_eq!(list.status, 200, "{}", list.text);
        let keys = list.json().as_array().expect("an array").clone();
        let mut names: Vec<_> = keys.iter().map(|key| key["name"].as_str().expect("a name").to_owned()).collect();
        // Keys of the same millisecond have no fixed order.
        names.sort_unstable();
        names
    };
    let id = key.path.rsplit('/').next().expect("an id");
    assert_eq!(listed(&tenant.admin, &format!("id={id}")).await, ["one"]);
    assert_eq!(listed(&tenant.admin, &format!("id={id}&enabled=false")).await, [""; 0]);
    let start = |secret: &str| format!("start={}", &secret[..11]);
    assert_eq!(listed(&tenant.admin, &start(&key.secret)).await, ["one"]);
    assert_eq!(listed(&tenant.admin, "start=acme").await, ["one", "two"]);
    assert_eq!(listed(&tenant.admin, "start=acme_").await, ["one"], "no wildcards");
    assert_eq!(listed(&tenant.admin, "start=cme").await, [""; 0]);
    let new = rotate(&tenant.admin, &key, 0).await;
    for secret in [&key.secret, &new] {
        assert_eq!(listed(&tenant.admin, &start(secret)).await, ["one"], "also by a revoked one");
    }
    assert_eq!(listed(&tenant.admin, &format!("id={}", other.key_id)).await, [""; 0]);
    assert_eq!(tenant.admin.delete(&key.path).await.status, 200);
    assert_eq!(listed(&tenant.admin, &start(&new)).await, [""; 0]);
    assert_eq!(listed(&tenant.admin, &format!("{}&deleted=true", start(&new))).await, ["one"]);
}
