//! Portal sessions keep the key policy: what their customer could not correct is refused when a session is created.

use harness::{KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use super::{assert_failed, create, create_key, customer, exchange, open, session, sessions};
use crate::organizations::key_policy::{DAY, assert_broken, in_days, set_policy};

/// What is wrong with a session with these changes of [`session`]: its field and the message.
async fn wrong(tenant: &Tenant, changes: Value) -> (String, String) {
    let answer = tenant.admin.post(&sessions(tenant), &session(changes)).await;
    assert_failed(&answer, 400, "invalid_fields");
    let fields = answer.wrong_fields();
    assert_eq!(fields.len(), 1, "{}", answer.text);
    let message = answer.json()["fields"][&fields[0]].as_str().expect("a message").to_owned();
    (fields[0].clone(), message)
}

#[tokio::test]
async fn the_longest_lifetime_of_the_policy_is_the_default_and_the_maximum() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    set_policy(&tenant, json!({"max_lifetime_days": 30, "expiry_required": true})).await;
    for (limits, lifetime) in [
        (json!({}), 30 * DAY),
        (json!({"max_lifetime_seconds": 60 * DAY}), 30 * DAY),
        (json!({"max_lifetime_seconds": 7 * DAY}), 7 * DAY),
    ] {
        let portal = open(&app, &tenant, json!({"limits": limits})).await;
        assert_eq!(portal.get("/portal/session").await.json()["limits"]["max_lifetime_seconds"], lifetime, "{limits}");
        let (id, _) = create_key(&portal, "n").await;
        let key = tenant.admin.get(&format!("{}/{id}", tenant.keys())).await.json();
        assert_eq!(key["expires_at"], in_days(&app, lifetime / DAY), "{limits}");
    }
}

#[tokio::test]
async fn a_session_without_a_required_lifetime_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    set_policy(&tenant, json!({"expiry_required": true})).await;
    let (field, message) = wrong(&tenant, json!({})).await;
    assert_eq!(field, "limits.max_lifetime_seconds");
    assert_eq!(message, "is required, because the key policy of the organization requires that keys expire");
    let portal = open(&app, &tenant, json!({"limits": {"max_lifetime_seconds": DAY}})).await;
    create_key(&portal, "n").await;
    // Its keys expire with the key that creates it.
    let expiring = KeySpec { expires_in: Some(7_200), ..KeySpec::with(&["portal_sessions:write", "files:*"]) };
    let backend = app.caller(&app.key(&tenant.org_id, expiring).await.1);
    let (_, secret) = create(&backend, &tenant, json!({})).await;
    create_key(&customer(&app, &exchange(&app, &secret).await), "n").await;
}

#[tokio::test]
async fn a_session_whose_keys_would_break_the_policy_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for (policy, changes, field, part) in [
        (
            json!({"allowed_permissions": [{"permission": "files:read", "description": null}]}),
            json!({}),
            "permissions_ceiling",
            "files:write",
        ),
        (json!({"addresses_required_for": ["files:write"]}), json!({}), "permissions_ceiling", "files:write"),
        (
            json!({"addresses_required_for": ["files:write"]}),
            json!({"permissions_ceiling": ["files:*"]}),
            "permissions_ceiling",
            "files:write",
        ),
        (json!({"prefix": "acme_"}), json!({"prefix": "shop_"}), "prefix", "acme_"),
    ] {
        set_policy(&tenant, policy.clone()).await;
        let (wrong, message) = wrong(&tenant, changes.clone()).await;
        assert_eq!(wrong, field, "{policy} {changes}");
        assert!(message.contains(part), "{message}");
        // A session that creates no keys is not affected.
        let mut without = changes;
        without["allowed"] = json!(["rotate", "revoke"]);
        create(&tenant.admin, &tenant, without).await;
        let within = json!({"permissions_ceiling": ["files:read"]});
        create_key(&open(&app, &tenant, within).await, "n").await;
    }
    let (_, key) = create_key(&open(&app, &tenant, json!({})).await, "n").await;
    assert!(key.starts_with("acme_"), "the prefix of the policy");
}

#[tokio::test]
async fn a_policy_that_is_changed_later_applies_to_open_sessions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let portal = open(&app, &tenant, json!({})).await;
    set_policy(&tenant, json!({"addresses_required_for": ["files:write"]})).await;
    let refused = portal.post("/portal/api_keys", &json!({"name": "n"})).await;
    assert_broken(&refused, &["key_policy.addresses_required_for"]);
    let fewer = json!({"name": "n", "permissions": ["files:read"]});
    assert_eq!(portal.post("/portal/api_keys", &fewer).await.status, 200);
}
