//! Rotation: what it does not grant, and what it does not lose.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::keys::quota::Quota;
use harness::{KeySpec, TestApp};
use serde_json::json;

use crate::keys::rotation::{Key, code, create, rotate};

#[tokio::test]
async fn the_previous_secret_cannot_extend_its_own_validity() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": ["*"]})).await;
    let new = rotate(&tenant.admin, &key, 60).await;
    let (old, keys) = (app.caller(&key.secret), format!("/orgs/{}/api_keys", tenant.org_id));
    let answer = old.post(&format!("{}/rotate", key.path), &json!({"grace_seconds": 0})).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    let other = create(&tenant, &json!({"name": "o", "permissions": []})).await;
    assert_eq!(old.post(&format!("{}/rotate", other.path), &json!({"grace_seconds": 0})).await.status, 403);
    let created = old.post(&keys, &json!({"name": "n", "permissions": []})).await;
    assert_eq!(created.json()["expires_at"], "2026-11-21T08:01:00.250Z", "a key that it creates expires with it");
    // Its sessions and tokens expire with it.
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
async fn rotation_needs_the_keys_own_permissions_even_if_its_user_lacks_them() {
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
    assert_eq!(app.caller(&helper).post(&path, &body).await.status, 403, "the user is not a member any more");
    assert_eq!(tenant.admin.post(&path, &body).await.status, 200);
}

#[tokio::test]
async fn each_secret_is_shown_with_its_own_start() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    // As an earlier version stored it: the secret has no start.
    app.remove_secret_starts().await;
    let new = rotate(&tenant.admin, &key, 60).await;
    let previous = tenant.admin.get(&format!("{}/previous_secret", key.path)).await.json();
    assert_eq!(previous["start"], key.secret[..10]);
    for text in [&key.secret, &new] {
        let verdict = tenant.admin.post("/api/auth/api-key/verify", &json!({"key": text})).await.json();
        assert_eq!(verdict["key"]["start"], text[..10]);
    }
    // The expiry of the key applies to both secrets.
    let end = json!({"expires_at": "2026-11-21T08:00:30Z"});
    assert_eq!(tenant.admin.patch(&key.path, &end).await.status, 200);
    let previous = format!("{}/previous_secret", key.path);
    assert_eq!(tenant.admin.get(&previous).await.json()["expires_at"], "2026-11-21T08:00:30Z");
    app.clock.advance_seconds(30);
    assert_eq!(tenant.admin.get(&previous).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_share_the_remaining_uses() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(300), ..Quota::default() };
    let (id, text) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let key = Key { path: format!("/orgs/{}/api_keys/{id}", tenant.org_id), secret: text };
    let valid = AtomicU64::new(0);
    let verify_repeatedly = async |text: String| {
        let caller = tenant.admin.keeping_connections();
        for _ in 0..40 {
            if code(&caller, &text).await == "VALID" {
                valid.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let old = futures_util::future::join_all((0..8).map(|_| verify_repeatedly(key.secret.clone())));
    let new = async {
        let new = rotate(&tenant.admin, &key, 60).await;
        futures_util::future::join_all((0..8).map(|_| verify_repeatedly(new.clone()))).await;
    };
    futures_util::join!(old, new);
    assert_eq!((valid.load(Ordering::SeqCst), app.counts(&id).await.0), (300, Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_during_concurrent_changes_and_deletions_is_consistent() {
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
        assert_eq!((code(&tenant.admin, &key.secret).await, code(&tenant.admin, &text).await), {
            ("INVALID_API_KEY".into(), "VALID".into())
        });
        let (rotated, deleted) = futures_util::join!(tenant.admin.post(&path, &body), tenant.admin.delete(&key.path));
        assert_eq!(deleted.status, 200);
        assert!([200, 404].contains(&rotated.status), "{}", rotated.text);
        let newest = rotated.json()["key"].as_str().unwrap_or(&text).to_owned();
        assert_eq!(code(&tenant.admin, &newest).await, "INVALID_API_KEY");
    }
}
