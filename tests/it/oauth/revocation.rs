//! Revocation of tokens (RFC 7009).

use harness::{Caller, KeySpec, TestApp};
use serde_json::json;

use crate::{
    audit_log::events::{events, log_of},
    auth::tokens::{Checker, token as issue},
    oauth::{
        introspection::is_active,
        requests::{REVOKE, assert_error, post, with_basic},
    },
};

async fn revoke(caller: &Caller, token: &str) {
    let answer = post(caller, REVOKE, &[("token", token), ("token_type_hint", "access_token")]).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
}

async fn new_token(key: &Caller, permissions: &[&str]) -> String {
    let body = json!({"audience": "storage", "permissions": permissions});
    issue(key, &body).await["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_revoked_token_ends_with_its_group_and_nothing_else() {
    let app = TestApp::start().await;
    let (tenant, checker) = (app.tenant("Acme").await, Checker(&app));
    let (id, secret) = app.key(&tenant.org_id, KeySpec::with(&["files:read", "files:write"])).await;
    let key = app.caller(&secret);
    let (one, same) = (new_token(&key, &["files:read"]).await, new_token(&key, &["files:read"]).await);
    let other = new_token(&key, &["files:write"]).await;
    let family = checker.family(&json!({"token": one})).await;
    assert!(is_active(&tenant.admin, &one).await);
    revoke(&with_basic(&app, &id, &secret), &one).await;
    revoke(&key, &one).await;
    for (token, is_valid) in [(&one, false), (&same, false), (&other, true)] {
        assert_eq!(is_active(&tenant.admin, token).await, is_valid);
    }
    assert_eq!(checker.revoked().await, [family.clone()].into());
    let own = app.anyone().get(&format!("/.well-known/revoked?org_id={}", tenant.org_id)).await;
    let own = checker.claims(&own.text, "revoked+jwt").await;
    assert_eq!((&own["revoked"], &own["revoked_keys"]), (&json!([family]), &json!([])), "the key itself is valid");
    // The next token belongs to a new group, also on another node.
    let next = new_token(&key, &["files:read"]).await;
    assert!(is_active(&tenant.admin, &next).await);
    assert_eq!(checker.revoked().await, [family.clone()].into());
    let done = events(&tenant.admin, &format!("{}?action=token.revoke", log_of(&tenant))).await;
    assert_eq!(done.len(), 1, "revoking it again is no event: {done:?}");
    assert_eq!((&done[0]["target_id"], &done[0]["actor"]["key_id"]), (&json!(family), &json!(id)));
    let (admin, next) = (tenant.admin.clone(), next.clone());
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let admin = admin.at(&app.base());
    assert!(!is_active(&admin, &one).await && is_active(&admin, &next).await);
    assert_eq!(Checker(&app).revoked().await, [family].into());
}

#[tokio::test]
async fn tokens_are_revoked_by_their_key_and_by_those_who_may_delete_it() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let platform = app.platform().await;
    let (_, secret) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let key = app.caller(&secret);
    let token = new_token(&key, &["files:read"]).await;
    let stranger = app.caller(&app.key(&tenant.org_id, KeySpec::with(&["files:*", "api_keys:read"])).await.1);
    assert_error(&post(&stranger, REVOKE, &[("token", &token)]).await, 403, "insufficient_scope");
    let cannot_manage = KeySpec { can_manage: false, ..KeySpec::with(&["*"]) };
    let cannot_manage = app.caller(&app.key(&tenant.org_id, cannot_manage).await.1);
    assert_error(&post(&cannot_manage, REVOKE, &[("token", &token)]).await, 403, "insufficient_scope");
    // To others, the token is unknown.
    revoke(&other.admin, &token).await;
    assert!(is_active(&tenant.admin, &token).await);
    for writer in [app.caller(&app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await.1), platform] {
        let token = new_token(&key, &["files:read"]).await;
        revoke(&writer, &token).await;
        assert!(!is_active(&tenant.admin, &token).await);
    }
    // A key that cannot manage may revoke its own tokens.
    let token = new_token(&cannot_manage, &["files:read"]).await;
    revoke(&cannot_manage, &token).await;
    assert!(!is_active(&tenant.admin, &token).await);
}

#[tokio::test]
async fn what_is_no_token_of_this_service_is_ignored_or_a_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, secret) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let key = app.caller(&secret);
    let expired = new_token(&key, &["files:read"]).await;
    app.clock.advance_seconds(301);
    for unknown in ["x", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", expired.as_str(), &"x".repeat(60_000)] {
        revoke(&key, unknown).await;
    }
    assert_error(&post(&tenant.admin, REVOKE, &[("token", &secret)]).await, 400, "unsupported_token_type");
    assert!(is_active(&tenant.admin, &secret).await);
}

#[tokio::test]
async fn revoked_groups_of_a_key_are_bounded() {
    let app = TestApp::start_with(|config| config.bounds.token_groups_of_secret = 2).await;
    let tenant = app.tenant("Acme").await;
    let (_, secret) = app.key(&tenant.org_id, KeySpec::with(&["files:*"])).await;
    let key = app.caller(&secret);
    for _ in 0..6 {
        let token = new_token(&key, &["files:read"]).await;
        revoke(&key, &token).await;
    }
    let refused = key.post("/tokens", &json!({"audience": "a", "permissions": ["files:read"]})).await;
    assert_eq!((refused.status, &refused.json()["reason"]), (409, &json!("token_limit_reached")));
    app.clock.advance_seconds(361);
    new_token(&key, &["files:read"]).await;
}
