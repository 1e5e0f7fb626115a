//! Changes of keys that a policy was set for: what must keep it, and what is always possible.

use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

use super::{DAY, assert_broken, create, create_set, id, in_days, org, set_policy};
use crate::compat::athena::post as athena;

#[tokio::test]
async fn an_existing_key_stays_valid_and_must_keep_the_policy_when_it_is_changed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let admin = &tenant.admin;
    let made = create(admin, &tenant, json!({"permissions": ["files:read", "files:write"]})).await;
    let path = format!("{}/{}", tenant.keys(), id(&made));
    let secret = made.json()["key"].as_str().expect("a secret").to_owned();
    set_policy(&tenant, json!({"expiry_required": true, "prefix": "acme_"})).await;
    let verified = admin.post("/api_keys/verify", &json!({"key": secret})).await.json();
    assert_eq!(verified["code"], "VALID", "a policy does not change keys");
    let broken = ["key_policy.expiry_required", "key_policy.prefix"];
    for change in [
        json!({"name": "another"}),
        json!({"permissions": ["files:read", "mail:send"]}),
        json!({"metadata": {"a": 1}}),
        json!({"not_before": null, "description": "d"}),
    ] {
        assert_broken(&admin.patch(&path, &change).await, &broken);
    }
    let through_athena = athena(admin, "update", json!({"keyId": id(&made), "name": "another"})).await;
    assert_eq!((through_athena.status, &through_athena.json()["code"]), (400, &json!("KEY_POLICY_VIOLATED")));
    // What only restricts the key is possible, also if the key breaks rules afterwards.
    for change in [
        json!({"permissions": ["files:read"]}),
        json!({"allowed_addresses": ["192.0.2.0/24"]}),
        json!({"can_manage": false}),
        json!({"enabled": false}),
        json!({"name": "n"}),
    ] {
        assert_eq!(admin.patch(&path, &change).await.status, 200, "{change}");
    }
    assert_broken(&admin.patch(&path, &json!({"enabled": true})).await, &broken);
    // A shorter lifetime and a new secret bring it into line.
    assert_eq!(admin.patch(&path, &json!({"expires_at": in_days(&app, 5)})).await.status, 200);
    assert_broken(&admin.patch(&path, &json!({"enabled": true})).await, &["key_policy.prefix"]);
    let rotated = admin.post(&format!("{path}/rotate"), &json!({"grace_seconds": 0})).await;
    assert_eq!((rotated.status, &rotated.json()["prefix"]), (200, &json!("acme_")), "{}", rotated.text);
    assert_eq!(admin.patch(&path, &json!({"enabled": true, "name": "another"})).await.status, 200);
    // A change that keeps the policy must keep all of it.
    assert_broken(&admin.patch(&path, &json!({"expires_at": null})).await, &["key_policy.expiry_required"]);
}

#[tokio::test]
async fn a_key_that_breaks_a_policy_can_be_rotated_and_deleted() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let admin = &tenant.admin;
    let path = format!("{}/{}", tenant.keys(), id(&create(admin, &tenant, json!({})).await));
    set_policy(&tenant, json!({"expiry_required": true})).await;
    assert_eq!(admin.post(&format!("{path}/rotate"), &json!({"grace_seconds": 60})).await.status, 200);
    assert_eq!(admin.delete(&format!("{path}/newest_secret")).await.status, 200, "the rotation is undone");
    assert_eq!(admin.delete(&path).await.status, 200);
    // It comes back only if it keeps the policy.
    let restore = format!("{path}/restore");
    assert_broken(&admin.send("POST", &restore, None).await, &["key_policy.expiry_required"]);
    set_policy(&tenant, Value::Null).await;
    assert_eq!(admin.send("POST", &restore, None).await.status, 200);
}

#[tokio::test]
async fn a_secret_of_the_client_must_have_the_prefix() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    set_policy(&tenant, json!({"prefix": "acme_"})).await;
    let path = format!("{}/{}", tenant.keys(), id(&create(&tenant.admin, &tenant, json!({})).await));
    let rotate = async |prefix: &str, digit: &str| {
        let shape = json!({"prefix": prefix, "length": 32, "alphabet": "hex"});
        let secret = json!({"sha256": digit.repeat(64), "shape": shape});
        tenant.admin.post(&format!("{path}/rotate"), &json!({"grace_seconds": 0, "secret": secret})).await
    };
    assert_broken(&rotate("other_", "1").await, &["key_policy.prefix"]);
    let rotated = rotate("acme_", "2").await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
}

#[tokio::test]
async fn an_old_secret_must_be_rotated_before_the_key_is_enabled_or_changed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let admin = &tenant.admin;
    let path = format!("{}/{}", tenant.keys(), id(&create(admin, &tenant, json!({})).await));
    set_policy(&tenant, json!({"rotation": {"days": 30}})).await;
    app.clock.advance_seconds(30 * DAY);
    assert_eq!(admin.patch(&path, &json!({"name": "a"})).await.status, 200, "it is only reported");
    set_policy(&tenant, json!({"rotation": {"days": 30, "enforce": true}})).await;
    assert_broken(&admin.patch(&path, &json!({"name": "b"})).await, &["key_policy.rotation"]);
    assert_eq!(admin.patch(&path, &json!({"enabled": false})).await.status, 200);
    assert_eq!(admin.patch(&path, &json!({"name": "b"})).await.status, 200, "it cannot be used");
    assert_broken(&admin.patch(&path, &json!({"enabled": true})).await, &["key_policy.rotation"]);
    assert_eq!(admin.post(&format!("{path}/rotate"), &json!({"grace_seconds": 0})).await.status, 200);
    assert_eq!(admin.patch(&path, &json!({"enabled": true})).await.status, 200);
}

#[tokio::test]
async fn rotating_again_does_not_extend_a_secret_that_must_be_replaced() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let admin = &tenant.admin;
    let path = format!("{}/{}", tenant.keys(), id(&create(admin, &tenant, json!({})).await));
    let rotate = async || {
        let rotated = admin.post(&format!("{path}/rotate"), &json!({"grace_seconds": 10 * DAY})).await;
        assert_eq!(rotated.status, 200, "{}", rotated.text);
        admin.get(&path).await.json()["previous_secret_expires_at"].clone()
    };
    let first = rotate().await;
    app.clock.advance_seconds(DAY);
    let extended = rotate().await;
    assert_ne!(extended, first, "without a policy the later end counts");
    set_policy(&tenant, json!({"rotation": {"days": 1, "enforce": true}})).await;
    app.clock.advance_seconds(DAY);
    assert_eq!(rotate().await, extended);
}

#[tokio::test]
async fn an_allowlist_with_all_addresses_is_none_for_a_policy() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    set_policy(&tenant, json!({"addresses_required_for": ["pay:write"]})).await;
    let create = async |addresses: &[&str]| {
        let key = json!({"name": "k", "permissions": ["pay:write"], "allowed_addresses": addresses});
        tenant.admin.post(&tenant.keys(), &key).await
    };
    for all in [&["0.0.0.0/0"][..], &["::/0", "192.0.2.1"], &["0.0.0.0/1", "128.0.0.0/1"]] {
        assert_broken(&create(all).await, &["key_policy.addresses_required_for"]);
    }
    assert_eq!(create(&["0.0.0.0/1"]).await.status, 200);
}

#[tokio::test]
async fn a_permission_set_is_not_widened_for_a_key_whose_allowlist_has_all_addresses() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    set_policy(&tenant, json!({"addresses_required_for": ["pay:write"]})).await;
    let set = create_set(&tenant, &["pay:read"], Value::Null).await;
    let path = format!("{}/permission_sets/{set}", org(&tenant));
    let widen = async || tenant.admin.patch(&path, &json!({"permissions": ["pay:read", "pay:write"]})).await;
    let key = json!({"permission_sets": [set], "allowed_addresses": ["192.0.2.1"]});
    let key = format!("{}/{}", tenant.keys(), id(&create(&tenant.admin, &tenant, key).await));
    let allow = async |addresses: &[&str]| {
        let changed = tenant.admin.patch(&key, &json!({"allowed_addresses": addresses})).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
    };
    for all in [&["0.0.0.0/0"][..], &["192.0.2.1", "::/0"], &["0.0.0.0/1", "128.0.0.0/1"]] {
        allow(all).await;
        assert_broken(&widen().await, &["key_policy.addresses_required_for"]);
    }
    allow(&["0.0.0.0/1", "10.0.0.0/16"]).await;
    assert_eq!(widen().await.status, 200);
}

#[tokio::test]
async fn a_permission_set_does_not_give_keys_what_policies_forbid() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let admin = &tenant.admin;
    set_policy(
        &tenant,
        json!({
            "allowed_permissions": [{"permission": "files:*"}, {"permission": "mail:*"}],
            "addresses_required_for": ["files:delete"],
        }),
    )
    .await;
    let set = create_set(&tenant, &["files:read"], Value::Null).await;
    let path = format!("{}/permission_sets/{set}", org(&tenant));
    let change = async |permissions: &[&str]| admin.patch(&path, &json!({"permissions": permissions})).await;
    // Without a key that has it, the set can have any permissions: it may be for members.
    assert_eq!(change(&["files:read", "billing:read"]).await.status, 200);
    assert_eq!(change(&["files:read"]).await.status, 200);
    let key = format!("{}/{}", tenant.keys(), id(&create(admin, &tenant, json!({"permission_sets": [set]})).await));
    assert_broken(&change(&["files:read", "billing:read"]).await, &["key_policy.allowed_permissions"]);
    assert_broken(&change(&["files:*"]).await, &["key_policy.addresses_required_for"]);
    assert_broken(&change(&["*"]).await, &["key_policy.allowed_permissions", "key_policy.addresses_required_for"]);
    assert_eq!(admin.get(&path).await.json()["permissions"], json!(["files:read"]));
    assert_eq!(change(&["files:read", "files:list"]).await.status, 200);
    assert_eq!(admin.patch(&key, &json!({"allowed_addresses": ["192.0.2.1"]})).await.status, 200);
    assert_eq!(change(&["files:*"]).await.status, 200, "all keys with the set have an IP allowlist");
    // A policy of another set that the same key has, and of the set itself.
    let strict = json!({"allowed_permissions": [{"permission": "files:*"}]});
    let other = create_set(&tenant, &["files:read"], strict.clone()).await;
    assert_eq!(admin.patch(&key, &json!({"permission_sets": [set, other]})).await.status, 200);
    let field = format!("permission_sets.{other}.key_policy.allowed_permissions");
    assert_broken(&change(&["files:*", "mail:send"]).await, &[&field]);
    assert_eq!(admin.patch(&key, &json!({"permission_sets": [set]})).await.status, 200);
    let own = json!({"permissions": ["files:*", "mail:send"], "key_policy": strict});
    let field = format!("permission_sets.{set}.key_policy.allowed_permissions");
    assert_broken(&admin.patch(&path, &own).await, &[&field]);
    // Deleted keys do not count.
    assert_eq!(admin.delete(&key).await.status, 200);
    assert_eq!(change(&["files:*", "billing:read"]).await.status, 200);
}

#[tokio::test]
async fn the_operator_creates_root_keys_whatever_the_policy_of_the_platform() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let me = platform.get("/me").await.json();
    let org = format!("/orgs/{}", me["organizations"][0]["id"].as_str().expect("an id"));
    let policy = json!({"key_policy": {"expiry_required": true, "can_manage": false}});
    assert_eq!(platform.patch(&org, &policy).await.status, 200);
    assert_eq!(platform.post(&format!("{org}/api_keys"), &json!({"name": "n", "permissions": []})).await.status, 400);
    let store = app.database.store().await;
    let (clock, entropy) = (app.clock.clone(), std::sync::Arc::new(api::process::system::SystemEntropy));
    let database = store.database.clone();
    let bootstrap = domain::auth::bootstrap::Bootstrap::new(database.clone(), database, clock, entropy);
    let secret = bootstrap.create_root_key().await.expect("a key");
    assert_eq!(app.caller(secret.expose()).patch(&org, &json!({"key_policy": null})).await.status, 200);
    store.close().await;
}

#[tokio::test]
async fn a_policy_in_the_database_that_breaks_a_rule_is_an_internal_error() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    app.key(&tenant.org_id, KeySpec::with(&[])).await;
    app.break_policies().await;
    let answer = create(&tenant.admin, &tenant, json!({})).await;
    assert_eq!(answer.status, 500, "no rule is guessed: {}", answer.text);
    let verified = tenant.admin.post("/api_keys/verify", &json!({"key": "x"})).await;
    assert_eq!(verified.status, 200, "verification does not depend on it");
}
