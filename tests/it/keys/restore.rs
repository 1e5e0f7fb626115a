//! Deleted keys: unknown at once, can be restored within the retention, then purged.

use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use harness::{Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

const MONTH: i64 = 30 * 24 * 60 * 60;

fn path(tenant: &Tenant, id: &str) -> String {
    format!("/orgs/{}/api_keys/{id}", tenant.org_id)
}

async fn restore(caller: &Caller, tenant: &Tenant, id: &str) -> u16 {
    caller.post(&format!("{}/restore", path(tenant, id)), &json!({})).await.status
}

async fn deleted(tenant: &Tenant) -> Vec<Value> {
    let list = tenant.admin.get(&format!("/orgs/{}/api_keys?deleted=true", tenant.org_id)).await;
    list.json().as_array().expect("an array").clone()
}

async fn purge(app: &TestApp, now: Timestamp) {
    let store = app.database.store().await;
    store.purge(now, None, true).await.expect("purged");
    store.close().await;
}

#[tokio::test]
async fn a_deleted_key_is_unknown_until_it_is_restored() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:read", "files:read"])).await;
    let path = path(&tenant, &id);
    let before = tenant.admin.get(&path).await.json();
    let session = app.caller(&key).post("/session", &json!({})).await;
    let browser = app.anyone().with("cookie", session.cookie()).with("sec-fetch-site", "same-origin");
    assert_eq!(browser.get(&path).await.status, 200);
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    let verify = async || tenant.admin.post("/api_keys/verify", &json!({"key": key})).await.json()["code"].clone();
    assert_eq!(verify().await, "INVALID_API_KEY");
    assert_eq!(app.caller(&key).get(&path).await.status, 401);
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("PATCH", path.clone(), Some(json!({"name": "x"}))),
        ("DELETE", path.clone(), None),
        ("POST", format!("{path}/rotate"), Some(json!({"grace_seconds": 0}))),
        ("GET", format!("/api/auth/api-key/get?id={id}"), None),
        ("POST", "/api/auth/api-key/update".to_owned(), Some(json!({"keyId": id, "name": "x"}))),
    ] {
        let body = body.map(|body| body.to_string().into_bytes());
        let answer = tenant.admin.with("content-type", "application/json").send(method, &path, body).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }
    let listed = tenant.admin.get(&format!("/orgs/{}/api_keys", tenant.org_id)).await;
    assert!(!listed.text.contains(&id), "{}", listed.text);
    let shown = deleted(&tenant).await;
    assert_eq!(
        (shown.len(), &shown[0]["id"], &shown[0]["deleted_at"]),
        (1, &json!(id), &json!("2026-11-21T08:00:00.250Z"))
    );
    // Restored with all fields, but disabled.
    assert_eq!(restore(&tenant.admin, &tenant, &id).await, 200);
    assert_eq!(verify().await, "KEY_DISABLED");
    let after = tenant.admin.get(&path).await.json();
    for field in ["name", "permissions", "metadata", "created_at", "start", "deleted_at"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!((deleted(&tenant).await.len(), restore(&tenant.admin, &tenant, &id).await), (0, 404));
    assert_eq!(tenant.admin.patch(&path, &json!({"enabled": true})).await.status, 200);
    assert_eq!(verify().await, "VALID");
    assert_eq!(browser.get(&path).await.status, 401, "sessions are not restored");
    let log: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    assert!(log.contains(&"api_key.restore".to_owned()), "{log:?}");
}

#[tokio::test]
async fn a_deleted_key_can_be_read_with_who_deleted_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let path = path(&tenant, &id);
    let deletion = format!("{path}/deletion");
    let with_deleted = format!("{path}?include_deleted=true");
    assert_eq!(tenant.admin.get(&with_deleted).await.json()["deleted_at"], Value::Null, "a key that is not deleted");
    assert_eq!(tenant.admin.get(&deletion).await.status, 404, "it is not deleted");
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    let shown = tenant.admin.get(&with_deleted).await;
    assert_eq!((shown.status, shown.json()["id"].clone()), (200, json!(id)));
    let deleted_at = shown.json()["deleted_at"].clone();
    assert!(deleted_at.is_string(), "{}", shown.text);
    for without in [path.clone(), format!("{path}?include_deleted=false")] {
        assert_eq!(tenant.admin.get(&without).await.status, 404, "{without}");
    }
    let by = json!({"type": "key", "id": tenant.key_id});
    let expected = json!({"deleted_at": deleted_at, "deleted_by": by});
    assert_eq!(tenant.admin.get(&deletion).await.json(), expected);
    // Deleted once more, by another caller.
    assert_eq!(restore(&tenant.admin, &tenant, &id).await, 200);
    assert_eq!(tenant.admin.get(&deletion).await.status, 404, "it was restored");
    let (deleter, secret) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    app.clock.advance_seconds(60);
    assert_eq!(app.caller(&secret).delete(&path).await.status, 200);
    let again = tenant.admin.get(&deletion).await.json();
    assert_eq!(again["deleted_by"], json!({"type": "key", "id": deleter}));
    assert_ne!(again["deleted_at"], deleted_at);
    // Within the scope of the caller, and until it is purged.
    let other = app.tenant("Else").await;
    for hidden in [with_deleted.as_str(), deletion.as_str()] {
        assert_eq!(other.admin.get(hidden).await.status, 404, "{hidden}");
    }
    let own = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["own_api_keys:read"]) };
    let (_, own) = app.key(&tenant.org_id, own).await;
    assert_eq!(app.caller(&own).get(&deletion).await.status, 404, "a key of the organization");
    purge(&app, Timestamp::from_millis(app.clock.now().millis() + 2 * MONTH * 1_000)).await;
    for hidden in [with_deleted.as_str(), deletion.as_str()] {
        assert_eq!(tenant.admin.get(hidden).await.status, 404, "{hidden}");
    }
    let refused = tenant.admin.get(&format!("{path}?include_deleted=1")).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["include_deleted".to_owned()]));
}

#[tokio::test]
async fn restoring_a_key_needs_its_permissions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let other = app.tenant("Other").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    assert_eq!(tenant.admin.delete(&path(&tenant, &id)).await.status, 200);
    let caller = async |permissions: &[&str], expires_in| {
        let spec = KeySpec { expires_in, ..KeySpec::with(permissions) };
        app.caller(&app.key(&tenant.org_id, spec).await.1)
    };
    assert_eq!(
        restore(&caller(&["api_keys:write"], None).await, &tenant, &id).await,
        403,
        "the key has more permissions than the caller"
    );
    assert_eq!(restore(&caller(&["api_keys:read", "files:*"], None).await, &tenant, &id).await, 403);
    assert_eq!(
        restore(&caller(&["*"], Some(60)).await, &tenant, &id).await,
        403,
        "the key expires later than the caller"
    );
    assert_eq!(restore(&other.admin, &tenant, &id).await, 404);
    assert_eq!(restore(&other.admin, &other, &id).await, 404);
    assert_eq!(restore(&caller(&["api_keys:write", "files:read"], None).await, &tenant, &id).await, 200);
}

#[tokio::test]
async fn restoring_a_key_respects_the_cap() {
    let app = TestApp::start_with(|config| config.max_api_keys = 2).await;
    let tenant = app.tenant("Acme").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_eq!(tenant.admin.delete(&path(&tenant, &id)).await.status, 200);
    let create = json!({"name": "n", "permissions": []});
    let made = tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &create).await;
    assert_eq!(made.status, 200, "a deleted key does not use a place: {}", made.text);
    assert_eq!(restore(&tenant.admin, &tenant, &id).await, 409);
    let made = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(tenant.admin.delete(&path(&tenant, &made)).await.status, 200);
    // Of two concurrent requests, one restores it.
    let twice = [restore(&tenant.admin, &tenant, &id), restore(&tenant.admin, &tenant, &id)];
    let mut statuses = futures_util::future::join_all(twice).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404]);
    assert_eq!(restore(&tenant.admin, &tenant, &made).await, 409);
}

#[tokio::test]
async fn a_deleted_key_is_purged_after_30_days() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_eq!(tenant.admin.delete(&path(&tenant, &id)).await.status, 200);
    let then = app.clock.now();
    purge(&app, then.plus_millis(MONTH * 1_000 - 1)).await;
    assert_eq!(deleted(&tenant).await.len(), 1);
    purge(&app, then.plus_millis(MONTH * 1_000)).await;
    assert_eq!((deleted(&tenant).await.len(), restore(&tenant.admin, &tenant, &id).await), (0, 404));
    assert_eq!(tenant.admin.get(&path(&tenant, &tenant.key_id)).await.status, 200, "other keys are unchanged");
}

#[tokio::test]
async fn without_retention_a_deleted_key_is_purged_at_once() {
    let app = TestApp::start_with(|config| config.deleted_keys_kept = Duration::ZERO).await;
    let tenant = app.tenant("Acme").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_eq!(tenant.admin.delete(&path(&tenant, &id)).await.status, 200);
    assert_eq!((deleted(&tenant).await.len(), restore(&tenant.admin, &tenant, &id).await), (0, 404));
}

#[tokio::test]
async fn a_deleted_key_does_not_block_the_deletion_of_its_permission_set() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let set = tenant.admin.post(&sets, &json!({"name": "s", "permissions": ["files:read"]})).await.json();
    let body = json!({"name": "n", "permissions": [], "permission_sets": [set["id"]]});
    let made = tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &body).await.json();
    let id = made["id"].as_str().expect("an id");
    let set = format!("{sets}/{}", set["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.delete(&set).await.status, 409, "a key has the permission set");
    assert_eq!(tenant.admin.delete(&path(&tenant, id)).await.status, 200);
    assert_eq!(tenant.admin.delete(&set).await.status, 200, "no valid key has the permission set");
    assert_eq!(restore(&tenant.admin, &tenant, id).await, 200);
    assert_eq!(tenant.admin.get(&path(&tenant, id)).await.json()["permission_sets"], json!([]));
}
