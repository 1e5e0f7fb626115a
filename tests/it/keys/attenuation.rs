//! A key that gains something must afterwards be within the caller's own limits: permissions, also those that its user
//! lacks at the moment, expiry and allowed addresses.

use harness::{Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

/// A request: what it does, method, path, body.
type Call = (&'static str, &'static str, String, Value);

/// All ways to grant something to keys that expire later than the caller's, or are valid from more addresses.
async fn granting_calls(app: &TestApp, tenant: &Tenant) -> Vec<Call> {
    let (org, admin) = (format!("/orgs/{}", tenant.org_id), &tenant.admin);
    let key = async |enabled| app.key(&tenant.org_id, KeySpec { enabled, ..KeySpec::with(&["files:read"]) }).await.0;
    let id = |answer: harness::Answer, name: &str| answer.json()[name].as_str().expect("an id").to_owned();
    let body = json!({"name": app.now_millis().to_string(), "permissions": ["files:read"]});
    let set = id(admin.post(&format!("{org}/permission_sets"), &body).await, "id");
    let body = json!({"name": format!("empty {}", app.now_millis()), "permissions": []});
    let empty = id(admin.post(&format!("{org}/permission_sets"), &body).await, "id");
    let member =
        json!({"user_email": format!("m{}@example.com", app.now_millis()), "user_name": "M", "permissions": []});
    let member = id(admin.post(&format!("{org}/members"), &member).await, "user_id");
    app.clock.advance_seconds(1);
    let deleted = key(true).await;
    assert_eq!(admin.delete(&format!("{org}/api_keys/{deleted}")).await.status, 200);
    let path = async |enabled| format!("{org}/api_keys/{}", key(enabled).await);
    let athena = "/api/auth/api-key/update".to_owned();
    let athena_key = |id: String, field: &str, value: Value| json!({"keyId": id, field: value});
    vec![
        ("permissions", "PATCH", path(true).await, json!({"permissions": ["files:write"]})),
        ("permission_sets", "PATCH", path(true).await, json!({"permission_sets": [set]})),
        ("attached", "PUT", format!("{}/permission_sets", path(true).await), json!({"permission_sets": [set]})),
        ("enabled", "PATCH", path(false).await, json!({"enabled": true})),
        ("restored", "POST", format!("{org}/api_keys/{deleted}/restore"), json!({})),
        ("Athena permissions", "POST", athena.clone(), athena_key(key(true).await, "permissions", json!({"a": ["b"]}))),
        ("Athena enabled", "POST", athena, athena_key(key(false).await, "enabled", json!(true))),
        ("set widened", "PATCH", format!("{org}/permission_sets/{set}"), json!({"permissions": ["files:*"]})),
        (
            "set created",
            "POST",
            format!("{org}/permission_sets"),
            json!({"name": "made", "permissions": ["files:read"]}),
        ),
        ("member widened", "PATCH", format!("{org}/members/{member}"), json!({"permissions": ["files:read"]})),
        ("member given an empty set", "PATCH", format!("{org}/members/{member}"), json!({"permission_sets": [empty]})),
        ("member given another set", "PATCH", format!("{org}/members/{member}"), json!({"permission_sets": [set]})),
        (
            "member added",
            "POST",
            format!("{org}/members"),
            json!({
                "user_email": format!("n{}@example.com", app.now_millis()), "user_name": "N", "permissions": ["files:read"]
            }),
        ),
        (
            "member added with an empty set",
            "POST",
            format!("{org}/members"),
            json!({
                "user_email": format!("o{}@example.com", app.now_millis()), "user_name": "O", "permissions": [],
                "permission_sets": [empty]
            }),
        ),
    ]
}

async fn send(caller: &Caller, (_, method, path, body): &Call) -> harness::Answer {
    caller.with("content-type", "application/json").send(method, path, Some(body.to_string().into_bytes())).await
}

/// Asserts that `caller` is refused in all of these ways, and an administrator is not.
async fn assert_cannot_grant(app: &TestApp, tenant: &Tenant, caller: &Caller, said: &str) {
    for way in granting_calls(app, tenant).await {
        let refused = send(caller, &way).await;
        let what = way.0;
        assert_eq!(refused.status, 403, "{what}: {}", refused.text);
        assert!(refused.text.contains(said) || what.starts_with("Athena"), "{what}: {}", refused.text);
        let given = send(&tenant.admin, &way).await;
        assert_eq!(given.status, 200, "{what}, by the administrator: {}", given.text);
    }
}

#[tokio::test]
async fn an_expiring_key_cannot_grant_to_keys_that_expire_later() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let spec = KeySpec { expires_in: Some(3_600), ..KeySpec::with(&["*"]) };
    let caller = app.caller(&app.key(&tenant.org_id, spec).await.1);
    assert_cannot_grant(&app, &tenant, &caller, "Your key expires").await;
    // A result within the caller's limits is allowed.
    let org = format!("/orgs/{}", tenant.org_id);
    let (id, _) = app.key(&tenant.org_id, KeySpec { enabled: false, ..KeySpec::with(&["files:read"]) }).await;
    let key = format!("{org}/api_keys/{id}");
    let more = json!({"permissions": ["files:*"], "enabled": true});
    assert_eq!(caller.patch(&key, &more).await.status, 403);
    let mut short = more.clone();
    short["expires_at"] = json!("2026-11-21T08:30:00Z");
    assert_eq!(caller.patch(&key, &short).await.status, 200);
    for later in [json!({"expires_at": null}), json!({"expires_at": "2026-11-22T08:00:00Z"})] {
        assert_eq!(caller.patch(&key, &later).await.status, 403, "{later}");
    }
    // Changes that grant nothing are allowed.
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&["files:*"])).await;
    let key = format!("{org}/api_keys/{id}");
    for less in [json!({"name": "n"}), json!({"permissions": ["files:read"]}), json!({"enabled": false})] {
        assert_eq!(caller.patch(&key, &less).await.status, 200, "{less}");
    }
    let member = json!({"user_email": "nothing@example.com", "user_name": "N", "permissions": []});
    let member = caller.post(&format!("{org}/members"), &member).await;
    assert_eq!(member.status, 200, "{}", member.text);
    let set = caller.post(&format!("{org}/permission_sets"), &json!({"name": "nothing", "permissions": []})).await;
    assert_eq!(set.status, 200, "{}", set.text);
    // Permissions that a member has can stay, and can be removed.
    let set = set.json()["id"].clone();
    let member = format!("{org}/members/{}", member.json()["user_id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.patch(&member, &json!({"permission_sets": [set]})).await.status, 200);
    for kept in [json!({"permission_sets": [set], "permissions": []}), json!({"permission_sets": []})] {
        assert_eq!(caller.patch(&member, &kept).await.status, 200, "{kept}");
    }
    assert_eq!(
        caller.patch(&member, &json!({"permission_sets": [set]})).await.status,
        403,
        "the member does not have the permission any more"
    );
}

#[tokio::test]
async fn a_key_with_allowed_addresses_cannot_grant_to_less_restricted_keys() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let bound = json!({"name": "n", "permissions": ["*"], "allowed_addresses": ["127.0.0.0/8"]});
    let bound = tenant.admin.post(&keys, &bound).await.json();
    let caller = app.caller(bound["key"].as_str().expect("a key"));
    assert_cannot_grant(&app, &tenant, &caller, "Your key has allowed addresses").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let within = json!({"permissions": ["files:*"], "allowed_addresses": ["127.0.0.1"]});
    assert_eq!(caller.patch(&format!("{keys}/{id}"), &within).await.status, 200);
    for more in [json!({"allowed_addresses": null}), json!({"allowed_addresses": ["10.0.0.1"]})] {
        assert_eq!(caller.patch(&format!("{keys}/{id}"), &more).await.status, 403, "{more}");
    }
}

#[tokio::test]
async fn widening_a_key_needs_its_own_permissions_even_if_its_user_lacks_them() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let (_, writer) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    let writer = app.caller(&writer);
    // The user is not a member, so the key has no effective permissions.
    let spec = |enabled| KeySpec {
        user_id: Some(other.user_id.clone()),
        expires_in: Some(3_600),
        enabled,
        ..KeySpec::with(&["*"])
    };
    let key = async |enabled| app.key(&tenant.org_id, spec(enabled)).await.0;
    let (disabled, deleted) = (key(false).await, key(true).await);
    let limited = json!({"not_before": "2026-11-21T08:10:00Z", "allowed_addresses": ["127.0.0.1"]});
    assert_eq!(tenant.admin.patch(&format!("{keys}/{disabled}"), &limited).await.status, 200);
    assert_eq!(tenant.admin.delete(&format!("{keys}/{deleted}")).await.status, 200);
    let athena = |field: &str, value: Value| json!({"keyId": disabled, field: value});
    for (path, body) in [
        (format!("{keys}/{disabled}"), json!({"enabled": true})),
        (format!("{keys}/{disabled}"), json!({"expires_at": "2026-11-21T20:00:00Z"})),
        ("/api/auth/api-key/update".to_owned(), athena("expiresIn", json!(86_400))),
        (format!("{keys}/{disabled}"), json!({"expires_at": null})),
        (format!("{keys}/{disabled}"), json!({"not_before": null})),
        (format!("{keys}/{disabled}"), json!({"allowed_addresses": ["0.0.0.0/0"]})),
        (format!("{keys}/{deleted}/restore"), json!({})),
        ("/api/auth/api-key/update".to_owned(), athena("enabled", json!(true))),
    ] {
        let method = if path.ends_with(&disabled) { "PATCH" } else { "POST" };
        let way = ("", method, path, body);
        let refused = send(&writer, &way).await;
        assert_eq!(refused.status, 403, "{way:?}: {}", refused.text);
        let done = send(&tenant.admin, &way).await;
        assert_eq!(done.status, 200, "{way:?}: {}", done.text);
        assert_eq!(tenant.admin.patch(&format!("{keys}/{disabled}"), &json!({"enabled": false})).await.status, 200);
    }
    // Changes that remove something need no more permissions.
    assert_eq!(writer.patch(&format!("{keys}/{disabled}"), &json!({"name": "n"})).await.status, 200);
    assert_eq!(writer.patch(&format!("{keys}/{disabled}"), &json!({"permissions": []})).await.status, 200);
    assert_eq!(
        writer.patch(&format!("{keys}/{disabled}"), &json!({"enabled": true})).await.status,
        200,
        "the key has no permissions"
    );
}
