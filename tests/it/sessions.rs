//! Signing in to a browser, and what ends a session.

use harness::{Answer, Caller, KeySpec, TestApp};
use serde_json::json;

use crate::outside::world;

/// The browser that got this answer to its sign-in.
fn browser(app: &TestApp, answer: &Answer) -> Caller {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let cookie = answer.cookie();
    app.anyone().with("cookie", cookie).with("sec-fetch-site", "same-origin")
}

pub(crate) async fn sign_in(app: &TestApp, caller: &Caller) -> Caller {
    browser(app, &caller.send("POST", "/session", None).await)
}

#[tokio::test]
async fn a_session_speaks_for_a_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:read", "api_keys:write"])).await;
    let opened = app.caller(&key).send("POST", "/session", None).await;
    let cookie = opened.header("set-cookie").to_owned();
    let (value, attributes) = cookie.split_once("; ").expect("attributes");
    assert!(value.starts_with("apiKeyCookie=ey") && !value.contains(&key), "{cookie}");
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
    // What it is good for goes no further than the key's own.
    let more = page.post(&keys, &json!({"name": "n", "permissions": ["files:read"]})).await;
    assert_eq!(more.status, 403);
    let events = app.audit(&tenant.org_id).await;
    let event = events.last().expect("it is in the log");
    assert_eq!((event.action.as_str(), &event.actor_key), ("api_key.create", &id));
    assert!(!event.session.is_empty(), "and by which session");
    // A session opens no further one, and ends once.
    assert_eq!(page.send("POST", "/session", None).await.status, 403);
    assert_eq!(page.post("/tokens", &json!({"audience": "a"})).await.status, 403);
    let closed = page.delete("/session").await;
    assert_eq!(closed.status, 200);
    assert!(closed.header("set-cookie").starts_with("apiKeyCookie=;") && closed.text.contains("Signed out"));
    assert!(closed.header("set-cookie").contains("Max-Age=0"));
    for answer in [page.get("/me").await, page.delete("/session").await] {
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer error=\"invalid_token\""));
    }
    assert_eq!(app.caller(&key).get("/me").await.status, 200, "the key is as good as before");
}

#[tokio::test]
async fn a_session_is_for_pages_of_our_own() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let opened = tenant.admin.send("POST", "/session", None).await;
    let cookie = opened.cookie().to_owned();
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    let body = json!({"name": "n", "permissions": []});
    for (headers, status) in [
        (&[("sec-fetch-site", "same-origin")][..], 200),
        (&[("origin", "https://keys.example")], 200),
        // No browser omits both, so whoever shows a browser's cookie without them has stolen it.
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
    // Nobody is signed in by a page of another site.
    let foreign = tenant.admin.with("sec-fetch-site", "cross-site").send("POST", "/session", None).await;
    assert_eq!(foreign.status, 403);
    // A session is for the cookie alone, and the cookie for one session.
    let token = cookie.strip_prefix("apiKeyCookie=").expect("the cookie");
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
        assert_eq!(app.anyone().with("cookie", &format!("apiKeyCookie={forged}")).get("/me").await.status, 401);
    }
    // What is signed by the same operator for others is no session.
    let published = tenant.admin.post("/tokens", &json!({"audience": "a"})).await.json();
    let published = published["token"].as_str().expect("a token");
    assert_eq!(app.anyone().with("cookie", &format!("apiKeyCookie={published}")).get("/me").await.status, 401);
    assert_eq!(app.caller(published).get("/me").await.status, 401, "this service does not take its own tokens");
}

#[tokio::test]
async fn a_session_ends_with_what_is_behind_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let platform = app.platform().await;
    let admin = sign_in(&app, &tenant.admin).await;
    let new = async |spec: KeySpec| app.key(&tenant.org_id, spec).await;
    let status = async |page: &Caller| page.get("/me").await.status;
    // The key.
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
    assert_eq!(status(&page).await, 200);
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
    // The organization.
    let suspended = |suspended: bool| json!({"suspended": suspended});
    assert_eq!(platform.patch(&org, &suspended(true)).await.status, 200);
    assert_eq!(status(&admin).await, 401, "suspended");
    assert_eq!(platform.patch(&org, &suspended(false)).await.status, 200);
    assert_eq!(status(&admin).await, 200);
    // Its own time.
    app.clock.advance_seconds(12 * 60 * 60);
    assert_eq!(status(&admin).await, 401, "half a day later");
    let admin = sign_in(&app, &tenant.admin).await;
    // The membership behind the key of a user.
    app.end_memberships().await;
    assert_eq!(status(&admin).await, 401, "no member any more");
}

#[tokio::test]
async fn a_session_remembers_what_a_provider_said() {
    let world = world(|_| ()).await;
    let (app, tenant) = (&world.app, &world.tenant);
    let user = world.join(tenant, "ada", &["api_keys:read", "api_keys:write"]).await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let mut claims = world.claims("ada");
    claims["permissions"] = json!(["api_keys:read"]);
    claims["org_id"] = json!(tenant.org_id);
    let page = sign_in(app, &world.says(&claims)).await;
    let wide = sign_in(app, &world.says(&world.claims("ada"))).await;
    // The token ends after five minutes, the session does not; but it is no wider than the token was.
    app.clock.advance_seconds(3_600);
    let me = page.get("/me").await.json();
    assert_eq!((&me["credential"], &me["user"]["id"]), (&json!("session"), &json!(user)));
    assert_eq!(me["organization"]["permissions"], json!(["api_keys:read"]));
    assert_eq!(page.get(&keys).await.status, 200);
    let new = json!({"name": "n", "permissions": []});
    assert_eq!((page.post(&keys, &new).await.status, wide.post(&keys, &new).await.status), (403, 200));
    // Nor does it lead anywhere else.
    let other = app.tenant("Other").await;
    world.join(&other, "ada", &["*"]).await;
    let elsewhere = format!("/orgs/{}/api_keys", other.org_id);
    assert_eq!((page.get(&elsewhere).await.status, wide.get(&elsewhere).await.status), (404, 200));
    assert_eq!(page.get("/auth/check-key").await.status, 401, "there is no key behind it");
    let member = format!("/orgs/{}/members/{user}", tenant.org_id);
    assert_eq!(tenant.admin.patch(&member, &json!({"permissions": []})).await.status, 200);
    assert_eq!(page.get(&keys).await.status, 403);
    assert_eq!(tenant.admin.delete(&member).await.status, 200);
    assert_eq!(page.get("/me").await.json()["organizations"], json!([]));
    // A provider that is not believed any more takes its sessions with it.
    let (_, database) = world.app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let stale = page.at(&app.base());
    assert_eq!(stale.get("/me").await.status, 401);
}

#[tokio::test]
async fn the_word_of_an_authoritative_provider_lasts_no_longer_than_its_token() {
    let world = world(|entry| entry["authoritative"] = json!(true)).await;
    world.join(&world.tenant, "ada", &[]).await;
    let mut claims = world.claims("ada");
    let silent = sign_in(&world.app, &world.says(&claims)).await;
    claims["permissions"] = json!(["api_keys:read"]);
    let short = sign_in(&world.app, &world.says(&claims)).await;
    let keys = format!("/orgs/{}/api_keys", world.tenant.org_id);
    world.app.clock.advance_seconds(299);
    assert_eq!((short.get(&keys).await.status, silent.get("/me").await.status), (200, 200));
    world.app.clock.advance_seconds(1);
    assert_eq!((short.get(&keys).await.status, silent.get("/me").await.status), (401, 401));
}

#[tokio::test]
async fn very_many_sessions_make_room_for_each_other() {
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
