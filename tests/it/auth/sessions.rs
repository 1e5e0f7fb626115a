//! Sessions of browsers: opening, use, and expiry.

mod limits;
mod list;
mod step_up;

use std::time::Duration;

use api::config::Config;
use harness::{Answer, Caller, KeySpec, TestApp};
use serde_json::json;

use crate::auth::idp::fixture_with;

/// The browser that got this response to its login.
pub(crate) fn browser(app: &TestApp, answer: &Answer) -> Caller {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let cookie = answer.cookie();
    app.anyone().with("cookie", cookie).with("sec-fetch-site", "same-origin")
}

pub(crate) async fn sign_in(app: &TestApp, caller: &Caller) -> Caller {
    browser(app, &caller.send("POST", "/session", None).await)
}

#[tokio::test]
async fn a_session_has_the_permissions_of_its_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:read", "api_keys:write"])).await;
    let opened = app.caller(&key).send("POST", "/session", None).await;
    let cookie = opened.header("set-cookie").to_owned();
    let (value, attributes) = cookie.split_once("; ").expect("attributes");
    assert!(value.starts_with("__Host-apiKeyCookie=ey") && !value.contains(&key), "{cookie}");
    let mut attributes: Vec<&str> = attributes.split("; ").collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict", "Secure"]);
    assert_eq!(opened.json()["expires_at"], "2026-11-21T20:00:00.250Z");
    let page = browser(&app, &opened);
    let me = page.get("/me").await.json();
    assert_eq!((&me["credential"], &me["api_key"]["id"]), (&json!("session"), &json!(id)));
    assert_eq!(me["organization"]["permissions"], json!(["api_keys:read", "api_keys:write"]));
    assert_eq!(app.caller(&key).get("/me").await.json()["credential"], "api_key");
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let made = page.post(&keys, &json!({"name": "n", "permissions": []})).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!(page.get("/auth/check-key").await.json()["data"]["key_id"], json!(id));
    // It has no more permissions than its key.
    let more = page.post(&keys, &json!({"name": "n", "permissions": ["files:read"]})).await;
    assert_eq!(more.status, 403);
    let events = app.audit(&tenant.org_id).await;
    let event = events.last().expect("the change is logged");
    assert_eq!((event.action.as_str(), &event.actor_key), ("api_key.create", &id));
    assert!(!event.session.is_empty(), "the event names the session");
    // A session cannot create sessions, and can be closed once.
    assert_eq!(page.send("POST", "/session", None).await.status, 403);
    assert_eq!(page.post("/tokens", &json!({"audience": "a"})).await.status, 403);
    let closed = page.delete("/session").await;
    assert_eq!(closed.status, 200);
    assert!(closed.header("set-cookie").starts_with("__Host-apiKeyCookie=;") && closed.text.contains("Signed out"));
    assert!(closed.header("set-cookie").contains("Max-Age=0"));
    for answer in [page.get("/me").await, page.delete("/session").await] {
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer error=\"invalid_token\""));
    }
    assert_eq!(app.caller(&key).get("/me").await.status, 200, "the key is still valid");
}

#[tokio::test]
async fn a_session_is_refused_in_changes_from_other_sites() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let opened = tenant.admin.send("POST", "/session", None).await;
    let cookie = opened.cookie().to_owned();
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    let body = json!({"name": "n", "permissions": []});
    for (headers, status) in [
        (&[("sec-fetch-site", "same-origin")][..], 200),
        (&[("origin", "https://keys.example")], 200),
        // Browsers always send one of them, so a cookie without both does not come from a browser.
        (&[], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://keys.example")], 403),
        (&[("sec-fetch-site", "none")], 403),
        (&[("origin", "https://evil.example")], 403),
    ] {
        let page = app.anyone().with("cookie", &cookie);
        let page = headers.iter().fold(page, |page, (name, value)| page.with(name, value));
        assert_eq!(page.post(&path, &body).await.status, status, "{headers:?}");
        assert_eq!(page.get(&path).await.status, 200, "reading: {headers:?}");
    }
    // A page of another site cannot open a session.
    let cross_site = tenant.admin.with("sec-fetch-site", "cross-site").send("POST", "/session", None).await;
    assert_eq!(cross_site.status, 403);
    // A session token is accepted in the cookie only, and cannot be forged.
    let token = cookie.strip_prefix("__Host-apiKeyCookie=").expect("the session cookie");
    assert_eq!(app.caller(token).get("/me").await.status, 401);
    assert_eq!(app.anyone().with("x-api-key", token).get("/me").await.status, 401);
    let (head, signature) = token.rsplit_once('.').expect("parts");
    let (header, claims) = head.split_once('.').expect("parts");
    let other = tenant.admin.send("POST", "/session", None).await;
    let other = other.header("set-cookie").split(['=', ';']).nth(1).expect("a token").to_owned();
    let other_claims = other.split('.').nth(1).expect("claims");
    for forged in [
        format!("{head}."),
        format!("{header}.{other_claims}.{signature}"),
        format!("{claims}.{header}.{signature}"),
        format!("{token}.x"),
    ] {
        assert_eq!(app.anyone().with("cookie", &format!("__Host-apiKeyCookie={forged}")).get("/me").await.status, 401);
    }
    // A token that the service has issued for others is not a session.
    let published = tenant.admin.post("/tokens", &json!({"audience": "a"})).await.json();
    let published = published["token"].as_str().expect("a token");
    assert_eq!(app.anyone().with("cookie", &format!("__Host-apiKeyCookie={published}")).get("/me").await.status, 401);
    assert_eq!(
        app.caller(published).get("/me").await.status,
        401,
        "the service does not accept the tokens that it issues"
    );
}

#[tokio::test]
async fn a_session_ends_with_its_key_organization_or_membership() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let platform = app.platform().await;
    let admin = sign_in(&app, &tenant.admin).await;
    let new = async |spec: KeySpec| app.key(&tenant.org_id, spec).await;
    let status = async |page: &Caller| page.get("/me").await.status;
    // Its key.
    let (id, key) = new(KeySpec::with(&["*"])).await;
    let page = sign_in(&app, &app.caller(&key)).await;
    assert_eq!(status(&page).await, 200);
    assert_eq!(admin.delete(&format!("{org}/api_keys/{id}")).await.status, 200);
    assert_eq!(status(&page).await, 401, "deleted");
    let (id, key) = new(KeySpec::with(&["*"])).await;
    let page = sign_in(&app, &app.caller(&key)).await;
    let switch = async |enabled: bool| {
        let body = json!({"keyId": id, "enabled": enabled});
        assert_eq!(admin.post("/api/auth/api-key/update", &body).await.status, 200);
    };
    switch(false).await;
    assert_eq!(status(&page).await, 401, "disabled");
    switch(true).await;
    assert_eq!(status(&page).await, 401, "enabling the key does not restore the session");
    assert_eq!(status(&sign_in(&app, &app.caller(&key)).await).await, 200);
    let (_, key) = new(KeySpec { expires_in: Some(60), ..KeySpec::with(&["*"]) }).await;
    let opened = app.caller(&key).send("POST", "/session", None).await;
    assert!(opened.header("set-cookie").contains("Max-Age=60;") || opened.header("set-cookie").ends_with("Max-Age=60"));
    let page = browser(&app, &opened);
    app.clock.advance_seconds(59);
    assert_eq!(status(&page).await, 200);
    app.clock.advance_seconds(1);
    assert_eq!(status(&page).await, 401, "expired");
    // Its permissions.
    let (id, key) = new(KeySpec::with(&["api_keys:read"])).await;
    let page = sign_in(&app, &app.caller(&key)).await;
    let keys = format!("{org}/api_keys");
    assert_eq!(page.get(&keys).await.status, 200);
    let narrower = json!({"keyId": id, "permissions": {}});
    assert_eq!(admin.post("/api/auth/api-key/update", &narrower).await.status, 200);
    assert_eq!(page.get(&keys).await.status, 403, "narrowed");
    // Its organization.
    let suspended = |suspended: bool| json!({"suspended": suspended});
    assert_eq!(platform.patch(&org, &suspended(true)).await.status, 200);
    assert_eq!(status(&admin).await, 401, "suspended");
    assert_eq!(platform.patch(&org, &suspended(false)).await.status, 200);
    assert_eq!(status(&admin).await, 200);
    // Its own expiry.
    app.clock.advance_seconds(12 * 60 * 60);
    assert_eq!(status(&admin).await, 401, "half a day later");
    let admin = sign_in(&app, &tenant.admin).await;
    // The membership of its key's user.
    app.end_memberships().await;
    assert_eq!(status(&admin).await, 401, "the user is not a member any more");
}

#[tokio::test]
async fn a_session_keeps_the_permissions_of_its_idp_token() {
    let fixture = fixture_with(|_| (), |config| config.provider_session_time = Duration::from_hours(12)).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let user = fixture.join(tenant, "ada", &["api_keys:read", "api_keys:write"]).await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let mut claims = fixture.claims("ada");
    claims["permissions"] = json!(["api_keys:read"]);
    claims["org_id"] = json!(tenant.org_id);
    let page = sign_in(app, &fixture.caller_with(&claims)).await;
    let wide = sign_in(app, &fixture.caller_with(&fixture.claims("ada"))).await;
    // The token expires after five minutes. The session lives longer, with the permissions of the token.
    app.clock.advance_seconds(3_600);
    let me = page.get("/me").await.json();
    assert_eq!((&me["credential"], &me["user"]["id"]), (&json!("session"), &json!(user)));
    assert_eq!(me["organization"]["permissions"], json!(["api_keys:read"]));
    assert_eq!(page.get(&keys).await.status, 200);
    let new = json!({"name": "n", "permissions": []});
    assert_eq!((page.post(&keys, &new).await.status, wide.post(&keys, &new).await.status), (403, 200));
    // And for the organization of the token only.
    let other = app.tenant("Other").await;
    fixture.join(&other, "ada", &["*"]).await;
    let elsewhere = format!("/orgs/{}/api_keys", other.org_id);
    assert_eq!((page.get(&elsewhere).await.status, wide.get(&elsewhere).await.status), (404, 200));
    assert_eq!(page.get("/auth/check-key").await.status, 401, "the session was not opened with a key");
    let member = format!("/orgs/{}/members/{user}", tenant.org_id);
    assert_eq!(tenant.admin.patch(&member, &json!({"permissions": []})).await.status, 200);
    assert_eq!(page.get(&keys).await.status, 403);
    assert_eq!(tenant.admin.delete(&member).await.status, 200);
    assert_eq!(page.get("/me").await.status, 401, "the user of the session was removed");
    let page = sign_in(app, &fixture.caller_with(&fixture.claims("ada"))).await;
    assert_eq!(page.get(&elsewhere).await.status, 200);
    // Sessions of a provider that is not configured any more are invalid.
    let (_, database) = fixture.app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let stale = page.at(&app.base());
    assert_eq!(stale.get("/me").await.status, 401);
}

#[tokio::test]
async fn a_session_of_an_authoritative_provider_ends_with_the_token() {
    let settings = |config: &mut Config| config.provider_session_time = Duration::from_hours(12);
    let fixture = fixture_with(|entry| entry["authoritative"] = json!(true), settings).await;
    fixture.join(&fixture.tenant, "ada", &[]).await;
    let mut claims = fixture.claims("ada");
    let silent = sign_in(&fixture.app, &fixture.caller_with(&claims)).await;
    claims["permissions"] = json!(["api_keys:read"]);
    let short = sign_in(&fixture.app, &fixture.caller_with(&claims)).await;
    let keys = format!("/orgs/{}/api_keys", fixture.tenant.org_id);
    fixture.app.clock.advance_seconds(299);
    assert_eq!((short.get(&keys).await.status, silent.get("/me").await.status), (200, 200));
    fixture.app.clock.advance_seconds(1);
    assert_eq!((short.get(&keys).await.status, silent.get("/me").await.status), (401, 401));
}

#[tokio::test]
async fn the_oldest_session_of_a_key_is_replaced_at_the_limit() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let first = sign_in(&app, &tenant.admin).await;
    let mut last = first.clone();
    for _ in 0..100 {
        app.clock.advance_seconds(1);
        last = sign_in(&app, &tenant.admin).await;
    }
    assert_eq!((first.get("/me").await.status, last.get("/me").await.status), (401, 200));
}
