//! A portal session never allows more than the key that created it.

use harness::{KeySpec, Tenant, TestApp};
use serde_json::json;

use super::{assert_ended, assert_failed, create, create_key, customer, exchange, session, sessions};

const GRANTED: &[&str] = &["portal_sessions:write", "files:*"];

fn path(tenant: &Tenant, key: &str) -> String {
    format!("{}/{key}", tenant.keys())
}

#[tokio::test]
async fn the_creator_must_hold_the_ceiling() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let backend = app.caller(&app.key(&tenant.org_id, KeySpec::with(GRANTED)).await.1);
    let (_, secret) = create(&backend, &tenant, json!({})).await;
    // It needs no other permission for keys.
    let portal = customer(&app, &exchange(&app, &secret).await);
    create_key(&portal, "n").await;
    let wide = session(json!({"permissions_ceiling": ["files:read", "invoices:read"]}));
    assert_failed(&backend.post(&sessions(&tenant), &wide).await, 403, "exceeds_permissions");
    assert_failed(&backend.get(&tenant.keys()).await, 403, "permission_required");
}

#[tokio::test]
async fn a_session_ends_when_its_creator_could_not_create_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for (body, why) in [
        (Some(json!({"permissions": ["portal_sessions:write", "files:read"]})), "it has lost a permission"),
        (Some(json!({"permissions": ["files:*"]})), "it cannot create sessions"),
        (Some(json!({"enabled": false})), "it is disabled"),
        (Some(json!({"can_manage": false})), "it cannot manage"),
        (Some(json!({"expires_at": "2026-11-21T09:00:00Z"})), "it has expired"),
        (Some(json!({"allowed_addresses": ["127.0.0.0/8"]})), "it has an IP allowlist"),
        (None, "it is deleted"),
    ] {
        let (id, key) = app.key(&tenant.org_id, KeySpec::with(GRANTED)).await;
        let backend = app.caller(&key);
        let (_, opened) = create(&backend, &tenant, json!({})).await;
        let (_, unopened) = create(&backend, &tenant, json!({})).await;
        let portal = customer(&app, &exchange(&app, &opened).await);
        assert_eq!(portal.get("/portal/session").await.status, 200, "{why}");
        let changed = match &body {
            Some(body) => tenant.admin.patch(&path(&tenant, &id), body).await,
            None => tenant.admin.delete(&path(&tenant, &id)).await,
        };
        assert_eq!(changed.status, 200, "{why}: {}", changed.text);
        if why == "it has expired" {
            // Not the session itself, which lasts an hour.
            app.clock.advance_seconds(3_600);
        }
        assert_ended(&portal, why).await;
        assert_failed(&exchange(&app, &unopened).await, 404, "portal_link_not_found");
        if why == "it is disabled" {
            let enabled = tenant.admin.patch(&path(&tenant, &id), &json!({"enabled": true})).await;
            assert_eq!(enabled.status, 200, "{}", enabled.text);
            assert_ended(&portal, "it was disabled").await;
        }
    }
}

#[tokio::test]
async fn a_session_that_has_ended_is_not_valid_again_when_its_creator_gets_back_what_it_has_lost() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for (narrow, widen) in [
        (json!({"permissions": ["portal_sessions:write"]}), json!({"permissions": GRANTED})),
        (json!({"permissions": ["files:*"]}), json!({"permissions": GRANTED})),
        (json!({"can_manage": false}), json!({"can_manage": true})),
        (json!({"allowed_addresses": ["127.0.0.0/8"]}), json!({"allowed_addresses": null})),
    ] {
        let (id, key) = app.key(&tenant.org_id, KeySpec::with(GRANTED)).await;
        let backend = app.caller(&key);
        let (_, opened) = create(&backend, &tenant, json!({})).await;
        let (_, unopened) = create(&backend, &tenant, json!({})).await;
        let portal = customer(&app, &exchange(&app, &opened).await);
        let change = async |body: &serde_json::Value| {
            let changed = tenant.admin.patch(&path(&tenant, &id), body).await;
            assert_eq!(changed.status, 200, "{}", changed.text);
        };
        change(&narrow).await;
        let why = narrow.to_string();
        assert_ended(&portal, &why).await;
        assert_failed(&exchange(&app, &unopened).await, 404, "portal_link_not_found");
        change(&widen).await;
        assert_ended(&portal, &why).await;
        assert_failed(&exchange(&app, &unopened).await, 404, "portal_link_not_found");
        create(&backend, &tenant, json!({})).await;
    }
}

#[tokio::test]
async fn a_session_ends_with_the_secret_that_created_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(GRANTED)).await;
    let (_, secret) = create(&app.caller(&key), &tenant, json!({})).await;
    let portal = customer(&app, &exchange(&app, &secret).await);
    let rotated = tenant.admin.post(&format!("{}/rotate", path(&tenant, &id)), &json!({"grace_seconds": 600})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    assert_eq!(portal.get("/portal/session").await.status, 200, "within the grace period");
    app.clock.advance_seconds(600);
    assert_ended(&portal, "the secret has expired").await;
}

#[tokio::test]
async fn a_key_with_an_ip_allowlist_creates_no_sessions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let body = json!({"name": "n", "permissions": GRANTED, "allowed_addresses": ["127.0.0.1"]});
    let created = tenant.admin.post(&tenant.keys(), &body).await.json();
    let backend = app.caller(created["key"].as_str().expect("a secret"));
    assert_failed(&backend.post(&sessions(&tenant), &session(json!({}))).await, 403, "exceeds_addresses");
}

#[tokio::test]
async fn keys_expire_no_later_than_the_creator() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let short = KeySpec { expires_in: Some(7_200), ..KeySpec::with(GRANTED) };
    let backend = app.caller(&app.key(&tenant.org_id, short).await.1);
    for limits in [json!(null), json!({"max_lifetime_seconds": 86_400})] {
        let (_, secret) = create(&backend, &tenant, json!({"limits": limits})).await;
        let portal = customer(&app, &exchange(&app, &secret).await);
        let (id, _) = create_key(&portal, "n").await;
        let created = tenant.admin.get(&path(&tenant, &id)).await.json();
        assert_eq!(created["expires_at"], "2026-11-21T10:00:00.250Z", "{limits}");
    }
}

#[tokio::test]
async fn an_organization_has_a_limited_number_of_open_sessions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _) = create(&tenant.admin, &tenant, json!({})).await;
    app.database.copy_portal_session(&id, 9_999).await;
    let full = tenant.admin.post(&sessions(&tenant), &session(json!({}))).await;
    assert_failed(&full, 409, "portal_session_limit_reached");
    // Expired ones do not count.
    app.clock.advance_seconds(300);
    create(&tenant.admin, &tenant, json!({})).await;
}
