//! Audit events of credentials: sessions, short-lived tokens, refused keys, and lists of all keys.

use harness::{KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use crate::audit_log::events::{events, log_of};

async fn events_of(tenant: &Tenant, query: &str) -> Vec<Value> {
    events(&tenant.admin, &format!("{}?{query}", log_of(tenant))).await
}

/// The sum of the counts: equal events are merged.
fn count(events: &[Value]) -> u64 {
    events.iter().filter_map(|event| event["count"].as_u64()).sum()
}

#[tokio::test]
async fn sessions_are_logged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let opened = tenant.admin.send("POST", "/session", None).await;
    assert_eq!(opened.status, 200, "{}", opened.text);
    let page = app.anyone().with("cookie", opened.cookie()).with("sec-fetch-site", "same-origin");
    // A session cannot create sessions or tokens.
    assert_eq!(page.send("POST", "/session", None).await.status, 403);
    assert_eq!(page.post("/tokens", &json!({"audience": "a"})).await.status, 403);
    assert_eq!(page.delete("/session").await.status, 200);
    let all = events_of(&tenant, "action=session.&outcome=done").await;
    let session = all[0]["target_id"].clone();
    let logged =
        |event: &Value| [&event["action"], &event["target_id"], &event["actor"]["session_id"]].map(Value::clone);
    let mut logged: Vec<_> = all.iter().map(logged).collect();
    logged.sort_by_key(|logged| logged[0].to_string());
    let [close, open] =
        ["session.close", "session.open"].map(|action| [json!(action), session.clone(), session.clone()]);
    assert_eq!(logged, [close, open]);
    for event in &all {
        assert_eq!((&event["actor"]["key_id"], &event["client"]), (&json!(tenant.key_id), &json!("127.0.0.1")));
    }
    for (action, reason) in
        [("session.open", "session_cannot_create_session"), ("token.create", "session_cannot_create_token")]
    {
        let refused = events_of(&tenant, &format!("action={action}&outcome=refused")).await;
        assert_eq!((refused.len(), &refused[0]["reason"]), (1, &json!(reason)), "{action}");
    }
}

#[tokio::test]
async fn tokens_are_logged_once_per_token_group() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read", "files:write"])).await;
    let caller = app.caller(&key);
    for permissions in [json!(["files:read"]), json!(["files:read"]), json!(["files:read"]), json!(["files:write"])] {
        let body = json!({"audience": "files", "permissions": permissions});
        assert_eq!(caller.post("/tokens", &body).await.status, 200);
    }
    let refused = json!({"audience": "files", "permissions": ["files:delete"]});
    assert_eq!(caller.post("/tokens", &refused).await.status, 403);
    events_of(&tenant, "").await;
    // Events after the first write are written at the end of their minute.
    app.clock.advance_seconds(60);
    let all = events_of(&tenant, "action=token.create").await;
    let done: Vec<Value> = all.iter().filter(|event| event["outcome"] == "done").cloned().collect();
    assert_eq!(count(&done), 4, "{done:?}");
    let families: std::collections::BTreeSet<String> =
        done.iter().map(|event| event["target_id"].to_string()).collect();
    assert_eq!(families.len(), 2, "{done:?}");
    assert!(done.iter().all(|event| event["actor"]["key_id"] == json!(id)), "{done:?}");
    let refused = all.iter().find(|event| event["outcome"] == "refused").expect("an event");
    assert_eq!(refused["reason"], "exceeds_permissions");
}

#[tokio::test]
async fn keys_refused_as_credentials_are_logged() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let good = KeySpec::with(&["*"]);
    let (disabled, disabled_key) = app.key(&tenant.org_id, KeySpec { enabled: false, ..good }).await;
    let (expired, expired_key) =
        app.key(&tenant.org_id, KeySpec { expires_in: Some(-1), ..KeySpec::with(&["*"]) }).await;
    for _ in 0..3 {
        assert_eq!(app.caller(&disabled_key).get("/me").await.status, 401);
    }
    assert_eq!(app.caller(&expired_key).send("POST", "/session", None).await.status, 401);
    // An unknown key belongs to no log.
    assert_eq!(app.caller("claviger_none").get("/me").await.status, 401);
    events_of(&tenant, "").await;
    app.clock.advance_seconds(60);
    let all = events_of(&tenant, "action=api_key.authenticate").await;
    for (key, reason, times) in [(&disabled, "key_disabled", 3), (&expired, "key_expired", 1)] {
        let own: Vec<Value> = all.iter().filter(|event| event["target_id"] == json!(key)).cloned().collect();
        assert_eq!(count(&own), times, "{own:?}");
        for event in own {
            assert_eq!(
                (&event["outcome"], &event["reason"], &event["actor"]["type"], &event["client"]),
                (&json!("refused"), &json!(reason), &json!("unknown"), &json!("127.0.0.1"))
            );
        }
    }
    assert_eq!(count(&all), 4, "{all:?}");
    assert_eq!(events_of(&other, "action=api_key.authenticate").await, [] as [Value; 0]);
}

#[tokio::test]
async fn lists_of_all_keys_are_logged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    for page in [format!("{keys}?limit=10"), "/api/auth/api-key/list?limit=10".to_owned()] {
        assert_eq!(tenant.admin.get(&page).await.status, 200);
    }
    assert_eq!(events_of(&tenant, "action=api_key.export").await.len(), 0, "a page is not logged as an export");
    for all in [keys, "/api/auth/api-key/list".to_owned()] {
        assert_eq!(tenant.admin.get(&all).await.status, 200);
        let logged = events_of(&tenant, "action=api_key.export").await;
        assert_eq!(
            (&logged[0]["target_id"], &logged[0]["permission"]),
            (&json!(tenant.org_id), &json!("api_keys:read"))
        );
        app.clock.advance_seconds(60);
    }
    assert_eq!(count(&events_of(&tenant, "action=api_key.export").await), 2);
}

#[tokio::test]
async fn events_of_many_sessions_are_merged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for _ in 0..130 {
        assert_eq!(tenant.admin.send("POST", "/session", None).await.status, 200);
    }
    events_of(&tenant, "").await;
    app.clock.advance_seconds(60);
    let all = events_of(&tenant, "action=session.open&limit=1000").await;
    assert_eq!(count(&all), 130);
    assert!(all.len() <= 102, "{}: the rest is counted together", all.len());
    let others = all.iter().filter(|event| event["reason"] == "others");
    assert!(others.count() >= 1, "{all:?}");
}
