//! What nobody gets by rotating a key, and what rotating does not lose.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::quota::Quota;
use harness::{KeySpec, TestApp};
use serde_json::json;

use crate::rotation::{Key, code, create, rotate};

#[tokio::test]
async fn the_old_text_cannot_make_itself_last() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": ["*"]})).await;
    let new = rotate(&tenant.admin, &key, 60).await;
    let (old, keys) = (app.caller(&key.text), format!("/orgs/{}/api_keys", tenant.org_id));
    let answer = old.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": 0})).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    let other = create(&tenant, &json!({"name": "o", "permissions": []})).await;
    assert_eq!(old.post(&format!("{}/rotate", other.path), &json!({"grace_seconds": 0})).await.status, 403);
    let heir = old.post(&keys, &json!({"name": "n", "permissions": []})).await;
    assert_eq!(heir.json()["expires_at"], "2026-11-21T08:01:00.250Z", "what it makes ends with it");
    // Sessions and tokens end with it, too.
    let opened = old.send("POST", "/session", None).await;
    assert!(opened.header("set-cookie").contains("Max-Age=60"), "{}", opened.header("set-cookie"));
    let made = old.post("/tokens", &json!({"audience": "a", "permissions": ["read"], "ttl_seconds": 900})).await;
    assert_eq!(made.json()["expires_at"], "2026-11-21T08:01:00.250Z", "{}", made.text);
    let page = app.anyone().with("cookie", opened.cookie());
    assert_eq!(page.get("/me").await.status, 200);
    assert_eq!(tenant.admin.delete(&format!("{}/previous_secret", key.path)).await.status, 200);
    assert_eq!(page.get("/me").await.status, 401);
    assert_eq!(app.caller(&new).post(&format!("{}/rotate", key.path), &json!({"grace_seconds": 0})).await.status, 200);
}

#[tokio::test]
async fn nobody_gets_what_a_user_may_get_again() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let member = json!({"user_email": "m@example.com", "user_name": "m", "permissions": ["*"]});
    let members = format!("/orgs/{}/members", tenant.org_id);
    let user = tenant.admin.post(&members, &member).await.json()["user_id"].clone();
    let user_id = user.as_str().map(ToOwned::to_owned);
    let (id, _) = app.key(&tenant.org_id, KeySpec { user_id, ..KeySpec::with(&["*"]) }).await;
    let (_, helper) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "files:read"])).await;
    let member = format!("{members}/{}", user.as_str().expect("an id"));
    assert_eq!(tenant.admin.patch(&member, &json!({"permissions": ["files:read"]})).await.status, 200);
    let path = format!("/orgs/{}/api_keys/{id}/rotate", tenant.org_id);
    let body = json!({"grace_seconds": 0});
    assert_eq!(app.caller(&helper).post(&path, &body).await.status, 403, "narrowed");
    assert_eq!(tenant.admin.delete(&member).await.status, 200);
    assert_eq!(app.caller(&helper).post(&path, &body).await.status, 403, "no member any more");
    assert_eq!(tenant.admin.post(&path, &body).await.status, 200);
}

#[tokio::test]
async fn each_text_is_recognized_by_its_own_beginning() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    // A key from before beginnings were kept with each text.
    app.forget_starts().await;
    let new = rotate(&tenant.admin, &key, 60).await;
    let previous = tenant.admin.get(&format!("{}/previous_secret", key.path)).await.json();
    assert_eq!(previous["start"], key.text[..10]);
    for text in [&key.text, &new] {
        let verdict = tenant.admin.post("/api/auth/api-key/verify", &json!({"key": text})).await.json();
        assert_eq!(verdict["key"]["start"], text[..10]);
    }
    // The end of the key is the end of both.
    let end = json!({"expires_at": "2026-11-21T08:00:30Z"});
    assert_eq!(tenant.admin.patch(&key.path, &end).await.status, 200);
    let previous = format!("{}/previous_secret", key.path);
    assert_eq!(tenant.admin.get(&previous).await.json()["expires_at"], "2026-11-21T08:00:30Z");
    app.clock.advance_seconds(30);
    assert_eq!(tenant.admin.get(&previous).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_texts_together_get_exactly_what_there_is() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(300), ..Quota::default() };
    let (id, text) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let key = Key { path: format!("/orgs/{}/api_keys/{id}", tenant.org_id), text };
    let valid = AtomicU64::new(0);
    let storm = async |text: String| {
        let caller = tenant.admin.keeping_connections();
        for _ in 0..40 {
            if code(&caller, &text).await == "VALID" {
                valid.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let old = futures_util::future::join_all((0..8).map(|_| storm(key.text.clone())));
    let new = async {
        let new = rotate(&tenant.admin, &key, 60).await;
        futures_util::future::join_all((0..8).map(|_| storm(new.clone()))).await;
    };
    futures_util::join!(old, new);
    assert_eq!((valid.load(Ordering::SeqCst), app.counts(&id).await.0), (300, Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_rotates_while_others_change_or_delete_is_told_what_came_of_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for _ in 0..10 {
        let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
        let (path, body) = (format!("{}/rotate", key.path), json!({"grace_seconds": 0}));
        let name = json!({"name": "m"});
        let change = tenant.admin.patch(&key.path, &name);
        let (rotated, changed) = futures_util::join!(tenant.admin.post(&path, &body), change);
        assert_eq!((rotated.status, changed.status), (200, 200), "{} {}", rotated.text, changed.text);
        assert_eq!(tenant.admin.get(&key.path).await.json()["version"], 2);
        let text = rotated.json()["key"].as_str().expect("a text").to_owned();
        assert_eq!((code(&tenant.admin, &key.text).await, code(&tenant.admin, &text).await), {
            ("INVALID_API_KEY".into(), "VALID".into())
        });
        let (rotated, deleted) = futures_util::join!(tenant.admin.post(&path, &body), tenant.admin.delete(&key.path));
        assert_eq!(deleted.status, 200);
        assert!([200, 404].contains(&rotated.status), "{}", rotated.text);
        let newest = rotated.json()["key"].as_str().unwrap_or(&text).to_owned();
        assert_eq!(code(&tenant.admin, &newest).await, "INVALID_API_KEY");
    }
}
