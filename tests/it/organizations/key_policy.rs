//! Key policies: how they are set, and that every way of creating and changing keys keeps them.

mod changes;
mod check;
mod property;
mod races;
mod worker;

use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use crate::{
    audit_log::events::events,
    compat::athena::post as athena,
    keys::import::{import, key as legacy_key, secret as legacy_secret},
};

/// Seconds of a day.
pub(crate) const DAY: i64 = 24 * 60 * 60;

pub(super) fn org(tenant: &Tenant) -> String {
    format!("/orgs/{}", tenant.org_id)
}

/// Sets the policy of the organization.
pub(crate) async fn set_policy(tenant: &Tenant, policy: Value) {
    let answer = tenant.admin.patch(&org(tenant), &json!({"key_policy": policy})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// Creates a permission set with this policy. Returns its id.
pub(super) async fn create_set(tenant: &Tenant, permissions: &[&str], policy: Value) -> String {
    let name = format!("{permissions:?} {policy}").chars().take(100).collect::<String>();
    let body = json!({"name": name, "permissions": permissions, "key_policy": policy});
    let answer = tenant.admin.post(&format!("{}/permission_sets", org(tenant)), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// The time `days` after the current time of the service, as text.
pub(crate) fn in_days(app: &TestApp, days: i64) -> String {
    api::http::rfc3339::Rfc3339(domain::clock::Timestamp::from_millis(app.now_millis() + days * DAY * 1_000)).text()
}

/// Asserts that an answer of the native API names these broken rules and no others.
pub(crate) fn assert_broken(answer: &Answer, rules: &[impl AsRef<str>]) {
    assert_eq!((answer.status, &answer.json()["reason"]), (400, &json!("key_policy_violated")), "{}", answer.text);
    let rules: Vec<&str> = rules.iter().map(AsRef::as_ref).collect();
    assert_eq!(answer.wrong_fields(), rules, "{}", answer.text);
}

async fn create(caller: &Caller, tenant: &Tenant, more: Value) -> Answer {
    let mut body = json!({"name": "n", "permissions": []});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    caller.post(&tenant.keys(), &body).await
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_policy_is_set_replaced_and_removed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let shown = async || tenant.admin.get(&org(&tenant)).await.json()["key_policy"].clone();
    assert_eq!(shown().await, Value::Null);
    let full = json!({
        "max_lifetime_days": 90, "expiry_required": true, "addresses_required_for": ["files:write"], "prefix": "acme_",
        "allowed_permissions": [
            {"permission": "files:*", "description": "Read and write files"}, {"permission": "read", "description": null},
        ],
        "can_manage": false, "rotation": {"days": 30, "enforce": true}, "disable_unused_after_days": 60,
    });
    set_policy(&tenant, full.clone()).await;
    assert_eq!(shown().await, full);
    // The whole policy is replaced, and a change of something else keeps it.
    set_policy(&tenant, json!({"expiry_required": true})).await;
    assert_eq!(tenant.admin.patch(&org(&tenant), &json!({"name": "Acme"})).await.status, 200);
    let rest = json!({
        "max_lifetime_days": null, "expiry_required": true, "addresses_required_for": [], "prefix": null,
        "allowed_permissions": null, "can_manage": true, "rotation": null, "disable_unused_after_days": null,
    });
    assert_eq!(shown().await, rest);
    set_policy(&tenant, Value::Null).await;
    assert_eq!(shown().await, Value::Null);
    // The log says which changes were about the policy.
    let logged = events(&tenant.admin, &format!("{}/audit_events?action=organization.update", org(&tenant))).await;
    let fields: Vec<&Value> = logged.iter().map(|event| &event["changed_fields"]).collect();
    let policy = json!(["key_policy"]);
    assert_eq!(fields, [&policy, &json!([]), &policy, &policy]);
    // The same for a permission set.
    let set = create_set(&tenant, &["files:read"], full.clone()).await;
    let path = format!("{}/permission_sets/{set}", org(&tenant));
    assert_eq!(tenant.admin.get(&path).await.json()["key_policy"], full);
    let changed = tenant.admin.patch(&path, &json!({"key_policy": {"can_manage": false}})).await.json();
    assert_eq!((&changed["key_policy"]["can_manage"], &changed["key_policy"]["prefix"]), (&json!(false), &Value::Null));
    let renamed = tenant.admin.patch(&path, &json!({"name": "readers"})).await.json();
    assert_eq!(renamed["key_policy"], changed["key_policy"]);
    assert_eq!(tenant.admin.patch(&path, &json!({"key_policy": null})).await.json()["key_policy"], Value::Null);
}

#[tokio::test]
async fn an_invalid_policy_is_refused_with_the_names_of_its_fields() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let many: Vec<String> = (0..51).map(|n| format!("r{n}:read")).collect();
    let catalogue = |count: usize, length: usize| -> Vec<Value> {
        (0..count).map(|n| json!({"permission": format!("r{n}:read"), "description": "x".repeat(length)})).collect()
    };
    for (policy, field) in [
        (json!({"max_lifetime_days": 0}), "key_policy.max_lifetime_days"),
        (json!({"max_lifetime_days": 3_651}), "key_policy.max_lifetime_days"),
        (json!({"expiry_required": "yes"}), "key_policy.expiry_required"),
        (json!({"addresses_required_for": ["a:b:c"]}), "key_policy.addresses_required_for"),
        (json!({"addresses_required_for": many}), "key_policy.addresses_required_for"),
        (json!({"prefix": ""}), "key_policy.prefix"),
        (json!({"allowed_permissions": []}), "key_policy.allowed_permissions"),
        (json!({"allowed_permissions": catalogue(201, 1)}), "key_policy.allowed_permissions"),
        (json!({"allowed_permissions": catalogue(100, 200)}), "key_policy.allowed_permissions"),
        (json!({"allowed_permissions": catalogue(1, 201)}), "key_policy.allowed_permissions[0].description"),
        (json!({"allowed_permissions": [{"permission": ":"}]}), "key_policy.allowed_permissions[0].permission"),
        (
            json!({"allowed_permissions": [{"permission": "read"}, {"permission": "*:read"}]}),
            "key_policy.allowed_permissions",
        ),
        (json!({"rotation": {"days": 0}}), "key_policy.rotation.days"),
        (json!({"rotation": {"enforce": true}}), "key_policy.rotation.days"),
        (json!({"disable_unused_after_days": 3_651}), "key_policy.disable_unused_after_days"),
        (json!({"lifetime": 1}), "key_policy.lifetime"),
    ] {
        let sets = format!("{}/permission_sets", org(&tenant));
        let set = json!({"name": "n", "permissions": [], "key_policy": policy});
        let check = json!({"key_policy": policy});
        for answer in [
            tenant.admin.patch(&org(&tenant), &json!({"key_policy": policy})).await,
            tenant.admin.post(&sets, &set).await,
            tenant.admin.post(&format!("{}/key_policy/check", org(&tenant)), &check).await,
        ] {
            assert_eq!(
                (answer.status, answer.wrong_fields()),
                (400, vec![field.to_owned()]),
                "{policy}: {}",
                answer.text
            );
        }
    }
    assert_eq!(tenant.admin.get(&org(&tenant)).await.json()["key_policy"], Value::Null);
    let (_, weak) = app.key(&tenant.org_id, KeySpec::with(&["org:read", "api_keys:write"])).await;
    let refused = app.caller(&weak).patch(&org(&tenant), &json!({"key_policy": null})).await;
    assert_eq!(refused.status, 403, "it needs the permission to change the organization");
}

#[tokio::test]
async fn every_way_to_create_a_key_keeps_the_policy() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    set_policy(&tenant, json!({"expiry_required": true, "max_lifetime_days": 90})).await;
    let missing = ["key_policy.max_lifetime_days", "key_policy.expiry_required"];
    let admin = &tenant.admin;
    let (fine, late) = (in_days(&app, 90), in_days(&app, 91));
    assert_broken(&create(admin, &tenant, json!({})).await, &missing);
    let too_late = create(admin, &tenant, json!({"expires_at": late})).await;
    assert_broken(&too_late, &["key_policy.max_lifetime_days"]);
    assert!(too_late.text.contains(&format!("set expires_at to {fine} or earlier")), "{}", too_late.text);
    assert_broken(&create(admin, &tenant, json!({"own": true})).await, &missing);
    id(&create(admin, &tenant, json!({"expires_at": fine})).await);
    // With a secret that the client has generated.
    let shape = json!({"prefix": "own_", "length": 32, "alphabet": "hex"});
    let secret = json!({"sha256": "1f".repeat(32), "shape": shape});
    assert_broken(&create(admin, &tenant, json!({"secret": secret})).await, &missing);
    // One of several: the answer says which one.
    let missing_in = |index: usize| missing.map(|rule| format!("keys[{index}].{rule}"));
    let keys = json!({"keys": [
        {"name": "a", "permissions": [], "expires_at": fine}, {"name": "b", "permissions": []},
    ]});
    assert_broken(&admin.post(&format!("{}/bulk_create", tenant.keys()), &keys).await, &missing_in(1));
    let supplied = json!({"keys": [{"name": "a", "permissions": [], "secret": secret}]});
    assert_broken(&admin.post(&format!("{}/bulk_create", tenant.keys()), &supplied).await, &missing_in(0));
    // Imported keys, whose lifetime begins with their creation in the other system.
    let imported = async |more: Value| import(admin, &tenant.org_id, &[legacy_key(&legacy_secret(0), &more)]).await;
    assert_broken(&imported(json!({})).await, &missing_in(0));
    let third = [json!({"expires_at": fine}), json!({"expires_at": fine}), json!({})];
    let keys: Vec<Value> = (1..).zip(&third).map(|(n, more)| legacy_key(&legacy_secret(n), more)).collect();
    assert_broken(&import(admin, &tenant.org_id, &keys).await, &missing_in(2));
    let old = json!({"expires_at": fine, "created_at": "2026-01-01T00:00:00Z"});
    assert_broken(&imported(old).await, &["keys[0].key_policy.max_lifetime_days"]);
    assert_eq!(imported(json!({"expires_at": fine})).await.status, 200);
    // Athena's API, with its own form of errors.
    let answer = athena(admin, "create", json!({"name": "n"})).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("KEY_POLICY_VIOLATED")), "{}", answer.text);
    let message = answer.json()["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("key_policy.expiry_required: a key must expire; set expires_at"), "{message}");
    assert_eq!(athena(admin, "create", json!({"name": "n", "expiresIn": 89 * DAY})).await.status, 200);
    // A caller who can create only their own keys.
    let own = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["own_api_keys:write"]) };
    let own = app.caller(&app.key(&tenant.org_id, own).await.1);
    assert_broken(&create(&own, &tenant, json!({})).await, &missing);
    // A repetition with the same idempotency key is not executed either.
    let repeated = admin.with("idempotency-key", "once");
    for _ in 0..2 {
        assert_broken(&create(&repeated, &tenant, json!({})).await, &missing);
    }
    // Other organizations have their own policies.
    let other = app.tenant("Other").await;
    id(&create(&other.admin, &other, json!({})).await);
}

#[tokio::test]
async fn each_rule_on_the_settings_is_checked() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    set_policy(
        &tenant,
        json!({
            "addresses_required_for": ["files:write", "billing:*"], "prefix": "acme_", "can_manage": false,
            "allowed_permissions": [
                {"permission": "files:*"}, {"permission": "billing:*"}, {"permission": "mail:send"},
            ],
        }),
    )
    .await;
    let set = create_set(&tenant, &["billing:read", "users:read"], Value::Null).await;
    let addresses = json!(["192.0.2.0/24"]);
    for (more, broken) in [
        (json!({"prefix": "other_"}), &["key_policy.prefix"][..]),
        (json!({"can_manage": true}), &["key_policy.can_manage"]),
        (json!({"permissions": ["mail:read"]}), &["key_policy.allowed_permissions"]),
        (json!({"permissions": ["mail:*"], "allowed_addresses": addresses}), &["key_policy.allowed_permissions"]),
        (json!({"permissions": ["files:write"]}), &["key_policy.addresses_required_for"]),
        (json!({"permissions": ["files:*"]}), &["key_policy.addresses_required_for"]),
        (json!({"permissions": ["billing:read"]}), &["key_policy.addresses_required_for"]),
        (json!({"permissions": ["*"]}), &["key_policy.addresses_required_for", "key_policy.allowed_permissions"]),
        (json!({"permission_sets": [set]}), &["key_policy.addresses_required_for", "key_policy.allowed_permissions"]),
    ] {
        assert_broken(&create(&tenant.admin, &tenant, more.clone()).await, broken);
    }
    // What the request does not say is as the policy says it.
    let made = create(&tenant.admin, &tenant, json!({"permissions": ["files:read", "mail:send"]})).await;
    id(&made);
    let key = made.json();
    assert_eq!((&key["prefix"], &key["can_manage"]), (&json!("acme_"), &json!(false)));
    assert!(key["key"].as_str().is_some_and(|secret| secret.starts_with("acme_")), "{}", made.text);
    let body = json!({"permissions": ["files:*"], "allowed_addresses": addresses, "prefix": "acme_"});
    id(&create(&tenant.admin, &tenant, body).await);
}

#[tokio::test]
async fn a_policy_of_a_permission_set_applies_to_keys_that_have_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let policy = json!({"expiry_required": true, "prefix": "fin_", "can_manage": false});
    let set = create_set(&tenant, &["billing:write"], policy).await;
    let field = |rule: &str| format!("permission_sets.{set}.key_policy.{rule}");
    id(&create(&tenant.admin, &tenant, json!({})).await);
    let refused = create(&tenant.admin, &tenant, json!({"permission_sets": [set], "prefix": "x_"})).await;
    assert_broken(&refused, &[&field("expiry_required"), &field("prefix")]);
    let body = json!({"permission_sets": [set], "expires_at": in_days(&app, 1)});
    let made = create(&tenant.admin, &tenant, body).await;
    id(&made);
    assert_eq!((&made.json()["prefix"], &made.json()["can_manage"]), (&json!("fin_"), &json!(false)));
    // Attaching the set to a key that does not keep its rules.
    let plain = id(&create(&tenant.admin, &tenant, json!({})).await);
    let path = format!("{}/{plain}", tenant.keys());
    let broken = [&*field("expiry_required"), &field("prefix"), &field("can_manage")];
    let attached = tenant.admin.put(&format!("{path}/permission_sets"), &json!({"permission_sets": [set]})).await;
    assert_broken(&attached, &broken);
    assert_broken(&tenant.admin.patch(&path, &json!({"permission_sets": [set]})).await, &broken);
    assert_eq!(tenant.admin.get(&path).await.json()["permission_sets"], json!([]));
}
