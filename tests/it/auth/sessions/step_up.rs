//! Step-up: in a session, operations with far-reaching effects need a sign-in within the last 10 minutes.

use std::collections::BTreeSet;

use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use super::{browser, sign_in};
use crate::{
    audit_log::events::{events, log_of},
    auth::{
        idp::{Fixture, fixture, fixture_with, with},
        operations::PROTECTED,
    },
    oauth::workload::rules,
};

/// Ten minutes.
const FRESH_SECONDS: i64 = 600;

/// The changes that never need a fresh sign-in: they grant nothing, take something away, or need no session.
const EXEMPT: &[&str] = &[
    "verifyApiKey",
    "verifyApiKeysBatch",
    "findApiKey",
    "bulkDeleteApiKeys",
    "checkKeyPolicy",
    "revokePreviousSecret",
    "deleteApiKey",
    "createOrganization",
    "updateOrganization",
    "removeMember",
    "eraseUsers",
    "acceptMembership",
    "leaveOrganization",
    "endMemberSessions",
    "endMemberSession",
    "revokeInvitation",
    "redeemInvitation",
    "deletePermissionSet",
    "updatePortal",
    "createPortalSession",
    "revokePortalSession",
    "openSession",
    "closeSession",
    "renamePasskey",
    "endSessions",
    "endSession",
    "createToken",
    "introspectToken",
    "revokeToken",
    "deleteAthenaKey",
    "verifyAthenaKey",
    "deleteExpiredAthenaKeys",
];

fn is_fresh_sign_in_required(answer: &Answer) -> bool {
    answer.status == 403 && answer.text.contains("sign in again")
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let id = ["id", "user_id"].into_iter().find_map(|name| body[name].as_str());
    id.expect("an id").to_owned()
}

/// A request that needs a fresh sign-in: the id of its operation, method, path and body.
type Request = (&'static str, &'static str, String, Option<Value>);

/// The requests of a tenant that need a fresh sign-in, the one that deletes the organization last.
async fn requests(fixture: &Fixture) -> Vec<Request> {
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let (admin, org, keys) = (&tenant.admin, format!("/orgs/{}", tenant.org_id), fixture.keys());
    let everything = json!({"permissions": ["*"]});
    let set = async |name: &str, permissions: Value| {
        let set = json!({"name": name, "permissions": permissions});
        id(&admin.post(&format!("{org}/permission_sets"), &set).await)
    };
    let (all, none) = (set("all", json!(["*"])).await, set("none", json!([])).await);
    let key = async |permissions: &[&str], enabled: bool| {
        let spec = KeySpec { enabled, ..KeySpec::with(permissions) };
        format!("{keys}/{}", app.key(&tenant.org_id, spec).await.0)
    };
    let (weak, disabled, deleted) = (key(&[], true).await, key(&["*"], false).await, key(&["*"], true).await);
    let (other_weak, athena_weak) = (key(&[], true).await, app.key(&tenant.org_id, KeySpec::with(&[])).await.0);
    assert_eq!(admin.delete(&deleted).await.status, 200);
    let (rotated, undone) = (key(&["*"], true).await, key(&["*"], true).await);
    let rotate = json!({"grace_seconds": 3_600});
    assert_eq!(admin.post(&format!("{undone}/rotate"), &rotate).await.status, 200);
    let member = json!({"user_name": "Jo", "user_email": "jo@example.com", "permissions": []});
    let jo = format!("{org}/members/{}", id(&admin.post(&format!("{org}/members"), &member).await));
    let named = |name: &str, email: &str| json!({"user_name": name, "user_email": email, "permissions": ["*"]});
    let rule = json!({"name": "r", "issuer": fixture.provider.issuer(), "claims": {"sub": "s"}, "permissions": []});
    let (changed, gone) = (with(&rule, "name", json!("changed")), with(&rule, "name", json!("gone")));
    let changed = format!("{}/{}", rules(tenant), id(&admin.post(&rules(tenant), &changed).await));
    let gone = format!("{}/{}", rules(tenant), id(&admin.post(&rules(tenant), &gone).await));
    let new_key = json!({"name": "n", "permissions": ["*"]});
    let with_set = json!({"name": "n", "permissions": [], "permission_sets": [all]});
    let shape = json!({"prefix": "sk_", "length": 24, "alphabet": "base64url"});
    let legacy = json!([{"hash": "00".repeat(32), "permissions": ["*"]}]);
    let athena = "/api/auth/api-key";
    vec![
        ("createApiKey", "POST", keys.clone(), Some(new_key.clone())),
        ("createApiKey", "POST", keys.clone(), Some(with_set.clone())),
        ("bulkCreateApiKeys", "POST", format!("{keys}/bulk_create"), Some(json!({"keys": [new_key]}))),
        ("bulkCreateApiKeys", "POST", format!("{keys}/bulk_create"), Some(json!({"keys": [with_set]}))),
        ("importApiKeys", "POST", format!("{keys}/import"), Some(json!({"shape": shape, "keys": legacy}))),
        ("updateApiKey", "PATCH", weak, Some(everything.clone())),
        ("updateApiKey", "PATCH", disabled, Some(json!({"enabled": true}))),
        (
            "setApiKeyPermissionSets",
            "PUT",
            format!("{other_weak}/permission_sets"),
            Some(json!({"permission_sets": [all]})),
        ),
        ("restoreApiKey", "POST", format!("{deleted}/restore"), None),
        ("rotateApiKey", "POST", format!("{rotated}/rotate"), Some(rotate)),
        ("undoRotation", "DELETE", format!("{undone}/newest_secret"), None),
        ("createAthenaKey", "POST", format!("{athena}/create"), Some(json!({"permissions": {"*": ["*"]}}))),
        (
            "updateAthenaKey",
            "POST",
            format!("{athena}/update"),
            Some(json!({"keyId": athena_weak, "permissions": {"*": ["*"]}})),
        ),
        ("addMember", "POST", format!("{org}/members"), Some(named("Eve", "eve@example.com"))),
        ("updateMember", "PATCH", jo, Some(everything.clone())),
        ("createInvitation", "POST", format!("{org}/invitations"), Some(named("Max", "max@example.com"))),
        ("createRecoveryLink", "POST", format!("{org}/members/{}/recovery_links", tenant.user_id), None),
        (
            "createPermissionSet",
            "POST",
            format!("{org}/permission_sets"),
            Some(with(&everything, "name", json!("new"))),
        ),
        ("updatePermissionSet", "PATCH", format!("{org}/permission_sets/{none}"), Some(everything)),
        ("createTrustRule", "POST", rules(tenant), Some(rule)),
        ("updateTrustRule", "PATCH", changed, Some(json!({"enabled": false}))),
        ("deleteTrustRule", "DELETE", gone, None),
        ("deleteOrganization", "DELETE", format!("{org}?confirm={}", tenant.org_id), None),
    ]
}

async fn send(caller: &Caller, (_, method, path, body): &Request) -> Answer {
    let Some(body) = body else { return caller.send(method, path, None).await };
    caller.with("content-type", "application/json").send(method, path, Some(body.to_string().into_bytes())).await
}

#[tokio::test]
async fn every_operation_that_needs_a_fresh_sign_in_is_refused_without_one() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let requests = requests(&fixture).await;
    let mut known: BTreeSet<&str> = requests.iter().map(|request| request.0).chain(EXEMPT.iter().copied()).collect();
    // Tested below, and with passkeys.
    known.extend(["restoreOrganization", "createPasskeyOptions", "addPasskey", "removePasskey"]);
    let change = |request: fn(&str, &str) -> (&'static str, String, Option<Value>)| request("o", "k").0 != "GET";
    let changes = PROTECTED.iter().filter(|operation| change(operation.request)).map(|operation| operation.id);
    assert_eq!(known, changes.collect(), "each change needs a fresh sign-in, or is exempt");
    // A key of the organization itself: the recovery link for the administrator does not end its session.
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    let key = app.caller(&key);
    let stale = sign_in(app, &key).await;
    app.clock.advance_seconds(FRESH_SECONDS);
    let fresh = sign_in(app, &key).await;
    for request in &requests {
        let refused = send(&stale, request).await;
        assert!(is_fresh_sign_in_required(&refused), "{request:?}: {} {}", refused.status, refused.text);
        if !request.0.contains("Athena") {
            assert_eq!(refused.json()["reason"], "fresh_sign_in_required", "{request:?}");
        }
        let allowed = send(&fresh, request).await;
        assert_eq!(allowed.status, 200, "{request:?}: {}", allowed.text);
    }
}

#[tokio::test]
async fn the_platform_restores_an_organization_only_after_a_fresh_sign_in() {
    let app = TestApp::start().await;
    let (platform, tenant) = (app.platform().await, app.tenant("Acme").await);
    let org = format!("/orgs/{}", tenant.org_id);
    assert_eq!(platform.delete(&format!("{org}?confirm={}", tenant.org_id)).await.status, 200);
    let page = sign_in(&app, &platform).await;
    app.clock.advance_seconds(FRESH_SECONDS);
    let restore = format!("{org}/restore");
    assert!(is_fresh_sign_in_required(&page.send("POST", &restore, None).await));
    assert_eq!(platform.send("POST", &restore, None).await.status, 200);
}

#[tokio::test]
async fn a_sign_in_is_fresh_for_ten_minutes_and_renewed_by_signing_in_again() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = tenant.keys();
    let everything = json!({"name": "n", "permissions": ["*"]});
    let opened = tenant.admin.send("POST", "/session", None).await;
    let page = browser(&app, &opened);
    app.clock.advance_seconds(FRESH_SECONDS - 1);
    assert_eq!(page.post(&keys, &everything).await.status, 200);
    app.clock.advance_seconds(1);
    let once = page.with("idempotency-key", "k");
    let refused = once.post(&keys, &everything).await;
    assert!(is_fresh_sign_in_required(&refused), "{}", refused.text);
    assert!(refused.text.contains("10 minutes"), "it says how long a sign-in is fresh: {}", refused.text);
    let log = events(&tenant.admin, &log_of(&tenant)).await;
    let denied = |event: &&Value| event["outcome"] == "refused" && event["reason"] == "fresh_sign_in_required";
    assert_eq!(log.iter().filter(denied).count(), 1, "{log:?}");
    // What grants less is allowed, and so are callers who send the key itself.
    let less = json!({"name": "n", "permissions": ["files:read", "api_keys:write", "org:read"]});
    assert_eq!(page.post(&keys, &less).await.status, 200);
    let path = format!("{keys}/{}", id(&tenant.admin.post(&keys, &everything).await));
    // Other changes of a key with all permissions grant nothing.
    assert_eq!(page.patch(&path, &json!({"name": "other name"})).await.status, 200);
    // The browser signs in again: the same request, with the same idempotency key, is executed.
    let again = tenant.admin.with("cookie", opened.cookie()).with("sec-fetch-site", "same-origin");
    let renewed = browser(&app, &again.send("POST", "/session", None).await);
    let repeated = renewed.with("idempotency-key", "k").post(&keys, &everything).await;
    assert_eq!(repeated.status, 200, "{}", repeated.text);
    assert_eq!(page.get("/me").await.status, 401, "the old session is replaced");
}

#[tokio::test]
async fn a_person_signed_in_when_the_provider_says() {
    let day = |config: &mut api::config::Config| config.provider_session_time = std::time::Duration::from_hours(12);
    let fixture = fixture_with(|_| (), day).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    fixture.join(tenant, "ada", &["*"]).await;
    let now = app.now_seconds();
    let everything = json!({"name": "n", "permissions": ["*"]});
    let claims = fixture.claims("ada");
    for (auth_time, iat, is_fresh) in [
        (Some(now - 599), Some(now), true),
        (Some(now - 601), Some(now), false),
        (None, Some(now - 599), true),
        (None, Some(now - 601), false),
        // Neither is in the token: it counts from when the session is created.
        (None, None, true),
        // The clock of the provider is ahead.
        (Some(now + 30), None, true),
    ] {
        let mut claims = claims.clone();
        for (name, at) in [("auth_time", auth_time), ("iat", iat)] {
            if let Some(at) = at {
                claims[name] = json!(at);
            }
        }
        let person = fixture.caller_with(&claims);
        let page = sign_in(app, &person).await;
        let answer = page.post(&fixture.keys(), &everything).await;
        assert_eq!(
            (answer.status == 200, is_fresh_sign_in_required(&answer)),
            (is_fresh, !is_fresh),
            "{}",
            answer.text
        );
        assert_eq!(person.post(&fixture.keys(), &everything).await.status, 200, "the token itself was sent");
    }
    let page = sign_in(app, &fixture.caller_with(&with(&claims, "auth_time", json!(now + 30)))).await;
    app.clock.advance_seconds(FRESH_SECONDS);
    let answer = page.post(&fixture.keys(), &everything).await;
    assert!(is_fresh_sign_in_required(&answer), "a time in the future is not later than the sign-in");
}

#[tokio::test]
async fn a_session_that_is_not_fresh_creates_nothing_that_administers() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let page = sign_in(&app, &tenant.admin).await;
    app.clock.advance_seconds(FRESH_SECONDS);
    let org = format!("/orgs/{}", tenant.org_id);
    for permission in ["*", "*:admin", "org:*", "members:admin", "permission_sets:admin", "trust_rules:admin"] {
        let key = json!({"name": "n", "permissions": [permission]});
        let invitation = json!({"user_name": "Max", "permissions": [permission]});
        for (path, body) in [("api_keys", key), ("invitations", invitation)] {
            let refused = page.post(&format!("{org}/{path}"), &body).await;
            let is_reserved = permission != "*:admin";
            assert_eq!(is_fresh_sign_in_required(&refused), is_reserved, "{path}, {permission}: {}", refused.text);
        }
    }
}

#[tokio::test]
async fn the_platform_needs_a_fresh_sign_in_to_recover_a_member() {
    let app = TestApp::start().await;
    let (platform, tenant) = (app.platform().await, app.tenant("Acme").await);
    let member = json!({"user_name": "Jo", "user_email": "jo@example.com", "permissions": ["files:read"]});
    let jo = id(&tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), &member).await);
    let page = sign_in(&app, &platform).await;
    app.clock.advance_seconds(FRESH_SECONDS);
    let link = |tenant: &Tenant, user: &str| format!("/orgs/{}/members/{user}/recovery_links", tenant.org_id);
    assert!(is_fresh_sign_in_required(&page.send("POST", &link(&tenant, &tenant.user_id), None).await));
    let few = page.send("POST", &link(&tenant, &jo), None).await;
    assert!(is_fresh_sign_in_required(&few), "a member with few permissions: the link hands over the account");
    assert_eq!(platform.send("POST", &link(&tenant, &jo), None).await.status, 200);
}
