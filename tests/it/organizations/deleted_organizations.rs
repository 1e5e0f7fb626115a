//! Deleted organizations: unknown at once, can be restored by the platform within the retention, then removed.

use api::http::rfc3339::Rfc3339;
use domain::clock::{Clock, Timestamp};
use harness::{Caller, KeySpec, Tenant, TestApp};
use persistence::{Hold, Kind, Store};
use serde_json::{Value, json};

use crate::auth::sessions::sign_in;

const WEEK: i64 = 7 * 24 * 60 * 60 * 1_000;

async fn verdict(caller: &Caller, key: &str) -> Value {
    caller.post("/api_keys/verify", &json!({"key": key})).await.json()["code"].clone()
}

fn path(tenant: &Tenant) -> String {
    format!("/orgs/{}", tenant.org_id)
}

async fn delete(caller: &Caller, tenant: &Tenant) -> Value {
    let answer = caller.delete(&format!("{}?confirm={}", path(tenant), tenant.org_id)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn restore(caller: &Caller, tenant: &Tenant) -> u16 {
    caller.post(&format!("{}/restore", path(tenant)), &json!({})).await.status
}

async fn purge(app: &TestApp, now: Timestamp) {
    let store = app.database.store().await;
    store.purge(now, None, true).await.expect("purged");
    store.remove_deleted_rows().await.expect("removed");
    store.close().await;
}

/// The deleted organizations that a caller sees.
async fn deleted(caller: &Caller, query: &str) -> Vec<Value> {
    let answer = caller.get(&format!("/orgs?deleted=true{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json().as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_deleted_organization_is_unknown_until_it_is_restored() {
    let app = TestApp::start().await;
    let (tenant, other, platform) = (app.tenant("Acme").await, app.tenant("Other").await, app.platform().await);
    let own = platform.get("/auth/check-key").await.json()["data"]["org_id"].as_str().expect("an id").to_owned();
    let (_, reader) = app.key(&own, KeySpec::with(&["org:read"])).await;
    assert_eq!(platform.patch(&path(&tenant), &json!({"external_id": "crm-1"})).await.status, 200);
    let set = json!({"name": "readers", "permissions": ["files:read"]});
    let set = tenant.admin.post(&format!("{}/permission_sets", path(&tenant)), &set).await.json()["id"].clone();
    let key = json!({"name": "n", "permissions": [], "permission_sets": [set]});
    let key = tenant.admin.post(&format!("{}/api_keys", path(&tenant)), &key).await.json();
    let key = key["key"].as_str().expect("a key");
    let page = sign_in(&app, &tenant.admin).await;
    let before = platform.get(&path(&tenant)).await.json();
    let live = platform.post(&format!("{}/restore", path(&tenant)), &json!({})).await;
    assert_eq!(
        (live.status, live.json()),
        (200, before.clone()),
        "the organization is not deleted, so nothing changes"
    );
    assert_eq!(page.get("/me").await.status, 200, "its sessions stay valid");
    let unknown = platform.post("/orgs/00000000-0000-7000-8000-000000000000/restore", &json!({})).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);

    let answer = delete(&tenant.admin, &tenant).await;
    let until = Rfc3339(app.clock.now().plus_millis(WEEK)).text();
    assert_eq!(answer["restorable_until"], json!(until));
    for gone in [key, tenant.admin.bearer()] {
        assert_eq!(verdict(&platform, gone).await, "INVALID_API_KEY");
        assert_eq!(app.caller(gone).get("/me").await.status, 401);
    }
    assert_eq!(page.get("/me").await.status, 401);
    let keys = format!("{}/api_keys", path(&tenant));
    for answer in [platform.get(&keys).await, platform.patch(&path(&tenant), &json!({"name": "x"})).await] {
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    let shown = platform.get(&path(&tenant)).await.json();
    assert_eq!((&shown["restorable_until"], &shown["api_keys_left"]), (&json!(until), &json!(2)), "{shown}");
    assert_eq!(deleted(&platform, "").await, std::slice::from_ref(&shown));
    assert_eq!(deleted(&platform, "&external_id=crm-1").await, [shown]);
    assert_eq!(deleted(&platform, "&external_id=crm-2").await, [] as [Value; 0]);
    assert_eq!(deleted(&other.admin, "").await, [] as [Value; 0]);
    let live = platform.get("/orgs").await;
    assert!(!live.text.contains(&tenant.org_id), "{}", live.text);

    assert_eq!(restore(&tenant.admin, &tenant).await, 401, "its own keys are refused");
    assert_eq!(restore(&other.admin, &tenant).await, 403);
    assert_eq!(restore(&app.caller(&reader), &tenant).await, 403);
    assert_eq!(restore(&platform, &tenant).await, 200);
    assert_eq!(platform.get(&path(&tenant)).await.json(), before, "restored with all fields");
    assert_eq!(restore(&platform, &tenant).await, 200, "a repeated restoration changes nothing and is not logged");
    let reads = json!({"key": key, "permissions": ["files:read"]});
    assert_eq!(platform.post("/api_keys/verify", &reads).await.json()["code"], "VALID");
    assert_eq!(tenant.admin.get("/me").await.status, 200);
    assert_eq!(page.get("/me").await.status, 401, "sessions are not restored");
    let log: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    assert!(log.ends_with(&["organization.delete".to_owned(), "organization.restore".to_owned()]), "{log:?}");
}

#[tokio::test]
async fn an_expiring_or_restricted_key_cannot_restore_an_organization() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let own = platform.get("/auth/check-key").await.json()["data"]["org_id"].as_str().expect("an id").to_owned();
    let (_, expiring) = app.key(&own, KeySpec { expires_in: Some(3_600), ..KeySpec::with(&["*"]) }).await;
    let bound = json!({"name": "n", "permissions": ["*"], "allowed_addresses": ["127.0.0.0/8"]});
    let bound = platform.post(&format!("/orgs/{own}/api_keys"), &bound).await.json();
    let bound = bound["key"].as_str().expect("a key");
    delete(&platform, &tenant).await;
    for (key, message) in [(expiring.as_str(), "Your key expires"), (bound, "Your key has allowed addresses")] {
        let refused = app.caller(key).post(&format!("{}/restore", path(&tenant)), &json!({})).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(refused.text.contains(message), "{}", refused.text);
    }
    assert!(
        platform.get(&path(&tenant)).await.json()["restorable_until"].is_string(),
        "the organization is still deleted"
    );
    assert_eq!(restore(&platform, &tenant).await, 200);
}

#[tokio::test]
async fn a_deleted_organization_is_removed_after_its_retention() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    delete(&tenant.admin, &tenant).await;
    let then = app.clock.now();
    purge(&app, then.plus_millis(WEEK - 1)).await;
    assert_eq!(
        app.database.stored_keys(&tenant.org_id).await,
        (1, 0),
        "nothing is purged before the end of the retention"
    );
    assert_eq!(restore(&platform, &tenant).await, 200);
    delete(&tenant.admin, &tenant).await;
    purge(&app, then.plus_millis(WEEK)).await;
    assert_eq!(app.database.stored_keys(&tenant.org_id).await, (0, 0));
    assert_eq!(restore(&platform, &tenant).await, 404);
    assert_eq!(platform.get(&path(&tenant)).await.status, 404);
    assert_eq!(deleted(&platform, "").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_wrong_clock_does_not_remove_deleted_organizations() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    delete(&tenant.admin, &tenant).await;
    let store = app.database.store().await;
    let now = app.clock.now();
    store.purge(now, None, false).await.expect("it runs");
    let run = store.purge(now.plus_millis(70 * WEEK), None, false).await.expect("it runs");
    let purge = run
        .purges
        .iter()
        .find(|purge| purge.kind == Kind::DeletedOrganizations)
        .expect("the purge of deleted organizations");
    assert_eq!((purge.held, purge.due, purge.purged), (Some(Hold::UnusualShare), 1, 0), "{run:?}");
    assert_eq!(restore(&platform, &tenant).await, 200);
    store.close().await;
}

#[tokio::test]
async fn an_organization_that_is_being_removed_cannot_be_restored() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    delete(&tenant.admin, &tenant).await;
    let store = app.database.store().await;
    store.purge(app.clock.now().plus_millis(WEEK), None, true).await.expect("it begins");
    assert_eq!(restore(&platform, &tenant).await, 404);
    let shown = platform.get(&path(&tenant)).await.json();
    assert_eq!((&shown["restorable_until"], &shown["api_keys_left"]), (&Value::Null, &json!(1)), "{shown}");
    store.close().await;
}

#[tokio::test]
async fn restoring_with_an_external_id_in_use_is_a_conflict() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    assert_eq!(platform.patch(&path(&tenant), &json!({"external_id": "crm-1"})).await.status, 200);
    delete(&platform, &tenant).await;
    let new = platform.post("/orgs", &json!({"external_id": "crm-1"})).await;
    assert_eq!(new.status, 200, "the external id is free: {}", new.text);
    assert_eq!(restore(&platform, &tenant).await, 409);
    let new = format!("/orgs/{}", new.json()["id"].as_str().expect("an id"));
    assert_eq!(platform.patch(&new, &json!({"external_id": null})).await.status, 200);
    assert_eq!(restore(&platform, &tenant).await, 200);
    assert_eq!(platform.get(&path(&tenant)).await.json()["external_id"], "crm-1");
}

#[tokio::test]
async fn a_suspended_organization_stays_suspended_when_restored() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    assert_eq!(platform.patch(&path(&tenant), &json!({"suspended": true})).await.status, 200);
    let before = platform.get(&path(&tenant)).await.json();
    app.clock.advance_seconds(60);
    delete(&platform, &tenant).await;
    assert_eq!(restore(&platform, &tenant).await, 200);
    assert_eq!(platform.get(&path(&tenant)).await.json()["suspended_at"], before["suspended_at"]);
    assert_eq!(verdict(&platform, tenant.admin.bearer()).await, "ORGANIZATION_SUSPENDED");
}

#[tokio::test]
async fn the_oldest_deleted_organizations_are_removed_at_the_cap() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let mut tenants = Vec::new();
    for name in ["A", "B", "C"] {
        let tenant = app.tenant(name).await;
        app.clock.advance_seconds(1);
        delete(&tenant.admin, &tenant).await;
        tenants.push(tenant);
    }
    let mut settings = app.database.settings();
    settings.bounds.deleted_organizations = 2;
    let store = Store::connect(&settings).await.expect("a database connection");
    store.purge(app.clock.now(), None, false).await.expect("purged");
    store.close().await;
    let mut restored = Vec::new();
    for tenant in &tenants {
        restored.push(restore(&platform, tenant).await);
    }
    assert_eq!(restored, [404, 200, 200]);
}

#[tokio::test]
async fn deleting_an_organization_needs_all_permissions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let caller = async |permissions: &[&str]| app.caller(&app.key(&tenant.org_id, KeySpec::with(permissions)).await.1);
    let gone = format!("{}?confirm={}", path(&tenant), tenant.org_id);
    for permissions in [&["org:admin"][..], &["admin"], &["org:*", "api_keys:*", "members:*"], &["*:admin", "org:*"]] {
        let refused = caller(permissions).await.delete(&gone).await;
        assert_eq!(refused.status, 403, "{permissions:?}: {}", refused.text);
        assert!(refused.text.contains("permission *"), "{}", refused.text);
    }
    let shape = json!({"prefix": "sk_", "length": 40, "alphabet": "letters"});
    let body = json!({"shape": shape, "keys": [{"hash": "00".repeat(32), "permissions": []}]});
    let import = format!("{}/api_keys/import", path(&tenant));
    for (permissions, status) in
        [(&["org:admin"][..], 403), (&["api_keys:write"], 403), (&["org:admin", "api_keys:write"], 200)]
    {
        let answer = caller(permissions).await.post(&import, &body).await;
        assert_eq!(answer.status, status, "{permissions:?}: {}", answer.text);
    }
    assert_eq!(tenant.admin.delete(&gone).await.status, 200);
}
