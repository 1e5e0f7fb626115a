//! The audit log of an organization: its events, filters and pages.

use api::auth::audit_denials;
use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

pub(crate) fn log_of(tenant: &Tenant) -> String {
    format!("/orgs/{}/audit_events", tenant.org_id)
}

pub(crate) async fn events(caller: &Caller, path: &str) -> Vec<Value> {
    let answer = caller.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json().as_array().expect("an array").clone()
}

fn strings(events: &[Value], field: &str) -> Vec<String> {
    events.iter().map(|event| event[field].as_str().unwrap_or_default().to_owned()).collect()
}

pub(crate) async fn create(caller: &Caller, tenant: &Tenant, permissions: &[&str]) -> Answer {
    let body = json!({"name": "n", "permissions": permissions});
    caller.post(&format!("/orgs/{}/api_keys", tenant.org_id), &body).await
}

#[tokio::test]
async fn an_event_has_actor_permission_and_client() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made = create(&tenant.admin.with("x-request-id", "make-1"), &tenant, &["files:read"]).await.json();
    let all = events(&tenant.admin, &log_of(&tenant)).await;
    assert_eq!(strings(&all, "action"), ["api_key.create", "organization.sign_up"], "the newest first");
    let mut event = all[0].clone();
    let hash = event["hash"].take();
    assert_eq!(hash.as_str().map(str::len), Some(64));
    let actor = json!({"type": "key", "key_id": tenant.key_id, "user_id": tenant.user_id, "session_id": null});
    assert_eq!(
        event,
        json!({
            "seq": 2, "at": "2026-11-21T08:00:00.250Z", "action": "api_key.create", "outcome": "done", "reason": null,
            "secret_start": null, "changed_fields": [], "count": 1, "target_id": made["id"], "actor": actor, "permission": "api_keys:write",
            "client": "127.0.0.1", "request_id": "make-1", "hash": null
        })
    );
    assert!(!all.iter().any(|event| event.to_string().contains("acme@example.com")), "ids, never addresses");
}

#[tokio::test]
async fn the_log_can_be_filtered_and_paged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        app.clock.advance_seconds(1);
        ids.push(create(&tenant.admin, &tenant, &[]).await.json()["id"].as_str().expect("an id").to_owned());
    }
    let path = format!("/orgs/{}/api_keys/{}", tenant.org_id, ids[0]);
    assert_eq!(tenant.admin.patch(&path, &json!({"name": "x"})).await.status, 200);
    assert_eq!(
        create(&app.caller("x"), &tenant, &[]).await.status,
        401,
        "an attempt with an unknown key is not logged"
    );
    let log = log_of(&tenant);
    for (query, count) in [
        (String::new(), 7),
        ("action=api_key.create".to_owned(), 5),
        ("action=api_key.".to_owned(), 6),
        ("action=api_key.rotate".to_owned(), 0),
        (format!("target={}", ids[0]), 2),
        (format!("actor={}", tenant.user_id), 7),
        (format!("actor={}", tenant.key_id), 6),
        ("outcome=done".to_owned(), 7),
        ("outcome=refused".to_owned(), 0),
        ("since=2026-11-21T08:00:04Z".to_owned(), 3),
        ("until=2026-11-21T08:00:04Z".to_owned(), 4),
        ("since=2026-11-21T08:00:02Z&until=2026-11-21T08:00:04Z&action=api_key.create".to_owned(), 2),
    ] {
        let found = events(&tenant.admin, &format!("{log}?{query}")).await;
        assert_eq!(found.len(), count, "{query}");
        let mut seen = Vec::new();
        let mut next = Some(format!("{log}?limit=2&{query}"));
        while let Some(page) = next {
            assert!(seen.len() <= found.len(), "the pages do not end: {page}");
            let answer = tenant.admin.get(&page).await;
            seen.extend(answer.json().as_array().expect("an array").clone());
            next = answer.header("link").strip_prefix('<').and_then(|link| Some(link.split_once('>')?.0.to_owned()));
        }
        assert_eq!(seen, found, "{query}, page by page");
    }
    for (query, name) in [
        ("action=api_key", "action"),
        ("action=%25.", "action"),
        ("outcome=x", "outcome"),
        ("actor=x", "actor"),
        ("since=x", "since"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
    ] {
        let refused = tenant.admin.get(&format!("{log}?{query}")).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec![name.to_owned()]), "{query}");
    }
}

#[tokio::test]
async fn denied_changes_are_logged_and_equal_ones_merged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let other = app.tenant("Other").await;
    let (reader_id, reader) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:read", "files:read"])).await;
    let (writer_id, writer) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    let (reader, writer) = (app.caller(&reader), app.caller(&writer));
    for _ in 0..3 {
        assert_eq!(create(&reader, &tenant, &[]).await.status, 403);
    }
    assert_eq!(create(&writer, &tenant, &["files:read"]).await.status, 403);
    let path = format!("/orgs/{}/api_keys/{}", tenant.org_id, tenant.key_id);
    assert_eq!(reader.delete(&path).await.status, 403);
    assert_eq!(reader.post("/api/auth/api-key/create", &json!({})).await.status, 403);
    // Denied reads and verifications are not logged.
    assert_eq!(writer.get(&path).await.status, 403);
    assert_eq!(writer.post("/api_keys/verify", &json!({"key": "x"})).await.status, 403);
    // Attempts of other organizations' keys are not in an organization's log.
    assert_eq!(create(&reader, &other, &[]).await.status, 403);
    let refused = async |tenant: &Tenant| {
        let found = events(&tenant.admin, &format!("{}?outcome=refused", log_of(tenant))).await;
        let logged = |event: &Value| {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let actor = event["actor"]["key_id"].as_str().unwrap_or_default().to_owned();
            (text("action"), text("reason"), text("permission"), actor, text("target_id"), event["count"].clone())
        };
        let mut logged: Vec<_> = found.iter().map(logged).collect();
        logged.sort_by_key(|logged| (logged.0.clone(), logged.1.clone(), logged.4.clone()));
        logged
    };
    let event = |action: &str, reason: &str, permission: &str, actor: &str, target: &str, count: u64| {
        let [action, reason, permission] = [action, reason, permission].map(ToOwned::to_owned);
        (action, reason, permission, actor.to_owned(), target.to_owned(), json!(count))
    };
    let mut expected = vec![
        event("api_key.create", "exceeds_permissions", "", &writer_id, &tenant.org_id, 1),
        event("api_key.create", "permission_required", "api_keys:write", &reader_id, &tenant.org_id, 4),
        event("api_key.create", "permission_required", "api_keys:write", &reader_id, &other.org_id, 1),
        event("api_key.delete", "permission_required", "api_keys:write", &reader_id, &tenant.key_id, 1),
    ];
    expected.sort_by_key(|logged| (logged.0.clone(), logged.1.clone(), logged.4.clone()));
    let first = refused(&tenant).await;
    // Events after the first write are written at the end of their minute.
    app.clock.advance_seconds(60);
    let all = refused(&tenant).await;
    let counted = |logged: &[(String, String, String, String, String, Value)]| {
        let mut sums: Vec<_> = Vec::new();
        for one in logged {
            let key = (one.0.clone(), one.1.clone(), one.2.clone(), one.3.clone(), one.4.clone());
            match sums.iter_mut().find(|(known, _)| *known == key) {
                Some((_, sum)) => *sum += one.5.as_u64().unwrap_or_default(),
                None => sums.push((key, one.5.as_u64().unwrap_or_default())),
            }
        }
        sums
    };
    assert_eq!(counted(&all), counted(&expected));
    assert!(first.len() <= expected.len(), "equal attempts are merged: {first:?}");
    assert_eq!(refused(&other).await, []);
}

#[test]
fn every_changing_operation_has_a_log_action() {
    /// Sign-up has no caller, and the others change nothing.
    const OTHERS: [&str; 12] = [
        "signUp",
        "findApiKey",
        "verifyApiKey",
        "verifyApiKeysBatch",
        "verifyAthenaKey",
        "introspectToken",
        "previewInvitation",
        "checkKeyPolicy",
        "createPasskeySignInOptions",
        "signInWithPasskey",
        "createPasskeyRegistrationOptions",
        "registerWithPasskey",
    ];
    let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("JSON");
    let mut count = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id");
            if method != "get" && !OTHERS.contains(&id) {
                assert!(audit_denials::action(id).is_some(), "{method} {path}: {id}");
                count += 1;
            }
        }
    }
    assert!(count > 15, "{count}");
}

#[tokio::test]
async fn using_an_expired_secret_is_an_alarm() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made = create(&tenant.admin, &tenant, &["*"]).await.json();
    let (id, old) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a text"));
    let rotate = async |grace: u64| {
        let path = format!("/orgs/{}/api_keys/{id}/rotate", tenant.org_id);
        let answer = tenant.admin.post(&path, &json!({"grace_seconds": grace})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["key"].as_str().expect("a text").to_owned()
    };
    let alarms = async || events(&tenant.admin, &format!("{}?outcome=alarm", log_of(&tenant))).await;
    let second = rotate(60).await;
    assert_eq!(tenant.admin.post("/api_keys/verify", &json!({"key": old})).await.json()["code"], "VALID");
    assert_eq!(alarms().await.len(), 0, "no alarm within the grace period");
    app.clock.advance_seconds(60);
    for _ in 0..3 {
        let question = json!({"key": old, "context": {"ip": "203.0.113.9"}});
        assert_eq!(tenant.admin.post("/api_keys/verify", &question).await.json()["code"], "INVALID_API_KEY");
    }
    let logged = alarms().await;
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(
        (&logged[0]["action"], &logged[0]["target_id"], &logged[0]["secret_start"], &logged[0]["actor"]["key_id"]),
        (&json!("api_key.use_ended_secret"), &json!(id), &json!(old[..10]), &json!(tenant.key_id))
    );
    // Used as a credential: the actor is unknown.
    assert_eq!(app.caller(old).get("/me").await.status, 401);
    let logged = alarms().await;
    assert_eq!(
        (logged.len(), &logged[0]["actor"]["type"], &logged[0]["client"]),
        (2, &json!("unknown"), &json!("127.0.0.1"))
    );
    // Equal alarms within an hour are merged.
    assert_eq!(app.caller(old).get("/me").await.status, 401);
    assert_eq!(alarms().await.len(), 2);
    app.clock.advance_seconds(3_600);
    let third = rotate(0).await;
    assert_eq!(app.caller(&second).get("/me").await.status, 401, "ended at once");
    let logged = alarms().await;
    assert!(logged.iter().any(|event| event["secret_start"] == json!(second[..10])), "{logged:?}");
    assert_eq!(app.caller(&third).get("/me").await.status, 200);
    assert!(!logged.iter().any(|event| event.to_string().contains(old)), "no event contains the whole secret");
}

#[tokio::test]
async fn the_platform_can_read_the_log_of_a_deleted_organization() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let tenant = app.tenant("Acme").await;
    create(&tenant.admin, &tenant, &[]).await;
    assert_eq!(events(&platform, &log_of(&tenant)).await.len(), 2);
    let gone = platform.delete(&format!("/orgs/{}?confirm={}", tenant.org_id, tenant.org_id)).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    assert_eq!(tenant.admin.get(&log_of(&tenant)).await.status, 401);
    let logged = events(&platform, &log_of(&tenant)).await;
    assert_eq!(strings(&logged, "action"), ["organization.delete", "api_key.create", "organization.sign_up"]);
    let nowhere = "/orgs/01a1fd1e-8cfa-74df-85f1-9534e4d89595/audit_events";
    assert_eq!(platform.get(nowhere).await.status, 404);
}
