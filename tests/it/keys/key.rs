//! Reading and changing a key: fields, versions, and limits.

use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

/// Creates a key, and returns the response.
pub(crate) async fn create(tenant: &Tenant, body: &Value) -> Value {
    let made = tenant.admin.post(&tenant.keys(), body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    made.json()
}

fn path(tenant: &Tenant, key: &Value) -> String {
    format!("/orgs/{}/api_keys/{}", tenant.org_id, key["id"].as_str().expect("an id"))
}

async fn verify(tenant: &Tenant, key: &Value) -> Value {
    tenant.admin.post("/api_keys/verify", &json!({"key": key["key"]})).await.json()
}

#[tokio::test]
async fn each_field_of_a_key_can_be_read_and_changed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": ["files:read"], "metadata": {"a": 1}})).await;
    let path = path(&tenant, &key);
    let first = tenant.admin.get(&path).await;
    assert_eq!((first.status, first.header("etag")), (200, "\"0\""), "{}", first.text);
    let mut expected = key.clone();
    expected.as_object_mut().expect("a key").remove("key");
    assert_eq!(first.json(), expected, "the response of the creation, without the secret");
    let set = json!({"name": "more", "permissions": ["files:list"]});
    let set = tenant.admin.post(&format!("/orgs/{}/permission_sets", tenant.org_id), &set).await.json();
    for (field, value, shown) in [
        ("name", json!(" other "), json!("other")),
        ("enabled", json!(false), json!(false)),
        ("enabled", json!(true), json!(true)),
        ("expires_at", json!("2027-01-01T00:00:00+01:00"), json!("2026-12-31T23:00:00Z")),
        ("metadata", json!({"b": {"c": [1]}}), json!({"b": {"c": [1]}})),
        ("external_id", json!("x-1"), json!("x-1")),
        ("permissions", json!(["files:*", "files:*"]), json!(["files:*"])),
        ("permission_sets", json!([set["id"]]), json!([set["id"]])),
        ("remaining", json!(5), json!(5)),
        ("name", Value::Null, json!("")),
        ("expires_at", Value::Null, Value::Null),
        ("metadata", Value::Null, Value::Null),
        ("external_id", Value::Null, Value::Null),
        ("permissions", Value::Null, json!([])),
        ("permission_sets", Value::Null, json!([])),
        ("remaining", Value::Null, Value::Null),
    ] {
        app.clock.advance_seconds(1);
        let before = tenant.admin.get(&path).await.json();
        let changed = tenant.admin.patch(&path, &json!({field: value})).await;
        assert_eq!(changed.status, 200, "{field}: {}", changed.text);
        let mut expected = before.clone();
        expected[field] = shown;
        expected["version"] = json!(before["version"].as_u64().expect("a number") + 1);
        expected["updated_at"] = changed.json()["updated_at"].clone();
        assert_eq!(changed.json(), expected, "{field} and nothing else");
        assert_ne!(before["updated_at"], expected["updated_at"]);
        assert_eq!(changed.header("etag"), format!("\"{}\"", expected["version"]));
        assert_eq!(tenant.admin.get(&path).await.json(), expected);
    }
    let log: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    assert_eq!(log.iter().filter(|action| *action == "api_key.update").count(), 16);
}

#[tokio::test]
async fn a_change_of_a_key_takes_effect_at_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": ["files:read"]})).await;
    let path = path(&tenant, &key);
    let change = async |body: Value| {
        let answer = tenant.admin.patch(&path, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    let code = async || verify(&tenant, &key).await["code"].as_str().expect("a code").to_owned();
    assert_eq!(code().await, "VALID");
    change(json!({"enabled": false})).await;
    assert_eq!(code().await, "KEY_DISABLED");
    change(json!({"enabled": true, "remaining": 1})).await;
    assert_eq!((code().await, code().await), ("VALID".to_owned(), "USAGE_EXCEEDED".to_owned()));
    change(json!({"remaining": null, "expires_at": "2026-11-21T08:00:02Z"})).await;
    assert_eq!(code().await, "VALID");
    app.clock.advance_seconds(2);
    assert_eq!(code().await, "KEY_EXPIRED");
}

#[tokio::test]
async fn if_match_allows_a_change_of_the_current_version_only() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let path = path(&tenant, &key);
    let change = async |tag: &str, name: &str| {
        tenant.admin.with("if-match", tag).patch(&path, &json!({"name": name})).await.status
    };
    assert_eq!(verify(&tenant, &key).await["code"], "VALID", "use does not change the version");
    for (tag, status) in [
        ("\"0\"", 200),
        ("\"0\"", 412),
        ("1", 200),
        ("\"7\", \"2\"", 200),
        ("*", 200),
        ("W/\"4\"", 200),
        ("W/\"4\"", 412),
        ("nonsense", 412),
        ("-1", 412),
        ("", 400),
    ] {
        assert_eq!(change(tag, tag).await, status, "{tag}");
    }
    let refused = tenant.admin.with("if-match", "9").patch(&path, &json!({"name": "x"})).await;
    assert_eq!(refused.json()["code"], 412, "{}", refused.text);
    // Of concurrent changes of one version, one succeeds.
    let version = tenant.admin.get(&path).await.header("etag").to_owned();
    let names: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
    let racers = names.iter().map(|name| change(&version, name));
    let statuses = futures_util::future::join_all(racers).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 412].contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn every_invalid_field_of_a_key_change_is_named() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let path = path(&tenant, &key);
    let wrong = async |body: Value| -> Answer {
        let answer = tenant.admin.patch(&path, &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        answer
    };
    for (body, fields) in [
        (json!({"name": ""}), vec!["name"]),
        (json!({"name": "x".repeat(101)}), vec!["name"]),
        (json!({"enabled": "true"}), vec!["enabled"]),
        (json!({"expires_at": "2026-11-21T08:00:00Z"}), vec!["expires_at"]),
        (json!({"expires_at": 5, "nam": "x"}), vec!["expires_at", "nam"]),
        (json!({"metadata": []}), vec!["metadata"]),
        (json!({"permissions": ["a:b:c"]}), vec!["permissions"]),
        (json!({"permission_sets": ["x"]}), vec!["permission_sets"]),
        (json!({"external_id": ""}), vec!["external_id"]),
        (json!({"remaining": -1}), vec!["remaining"]),
        (json!({"remaining": 1.5}), vec!["remaining"]),
        (json!({"remaining": 9_007_199_254_740_992_u64}), vec!["remaining"]),
        (json!({"refill_amount": 0, "refill_interval": 0}), vec!["refill_amount", "refill_interval"]),
        (json!({"refill_amount": 5}), vec!["refill_interval"]),
        (json!({"remaining": null, "refill_amount": 5, "refill_interval": 5}), vec!["remaining"]),
        (json!({"rate_limit_max": 1}), vec!["rate_limit_window"]),
        (json!({"rate_limit_max": null}), vec!["rate_limit_window"]),
        (json!({"rate_limit_max": 1, "rate_limit_window": null}), vec!["rate_limit_window"]),
    ] {
        assert_eq!(wrong(body.clone()).await.wrong_fields(), fields, "{body}");
    }
    assert_eq!(wrong(json!({})).await.json()["message"], "The request changes nothing; set at least one field");
    for (body, fields) in [
        (json!({"refill_amount": 5}), vec!["refill_interval"]),
        (json!({"rate_limit_window": 5}), vec!["rate_limit_max"]),
        (json!({"rate_limit_window": 0, "rate_limit_max": 1}), vec!["rate_limit_window"]),
    ] {
        let mut new = json!({"name": "n", "permissions": []});
        new.as_object_mut().expect("a body").extend(body.as_object().expect("fields").clone());
        let answer = tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &new).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, fields.iter().map(ToString::to_string).collect()));
    }
}

#[tokio::test]
async fn limits_need_org_admin() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let limits = json!({
        "name": "n", "permissions": [], "remaining": 2, "refill_amount": 3, "refill_interval": 60_000,
        "rate_limit_max": 9, "rate_limit_window": 1_000,
    });
    let key = create(&tenant, &limits).await;
    for field in ["remaining", "refill_amount", "refill_interval", "rate_limit_max", "rate_limit_window"] {
        assert_eq!(key[field], limits[field], "{field}");
    }
    let left = async || verify(&tenant, &key).await["remaining"].clone();
    assert_eq!((left().await, left().await, left().await), (json!(1), json!(0), json!(0)));
    app.clock.advance_seconds(60);
    assert_eq!(left().await, json!(2), "refilled to three");
    let refill_alone = json!({"name": "n", "permissions": [], "refill_amount": 3, "refill_interval": 60_000});
    assert_eq!(create(&tenant, &refill_alone).await["remaining"], 3);
    let (_, writer) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:*"])).await;
    let writer = app.caller(&writer);
    let refused = writer.post(&keys, &limits).await;
    assert_eq!((refused.status, &refused.json()["message"]), (403, &json!("The permission org:admin is required")));
    let many = json!({"keys": [{"name": "n", "permissions": []}, limits]});
    assert_eq!(writer.post(&format!("{keys}/bulk_create"), &many).await.status, 403);
    let none = json!({"name": "n", "permissions": [], "remaining": null});
    assert_eq!(writer.post(&keys, &none).await.status, 200, "null is as absent");
    let path = path(&tenant, &key);
    assert_eq!(writer.patch(&path, &json!({"remaining": 1_000})).await.status, 403);
    assert_eq!(writer.patch(&path, &json!({"remaining": null})).await.status, 403);
    assert_eq!(writer.patch(&path, &json!({"name": "m"})).await.status, 200);
}

#[tokio::test]
async fn a_key_cannot_be_widened_beyond_the_caller() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let caller = async |permissions: &[&str]| -> (String, Caller) {
        let (id, key) = app.key(&tenant.org_id, KeySpec::with(permissions)).await;
        (format!("/orgs/{}/api_keys/{id}", tenant.org_id), app.caller(&key))
    };
    let (own_path, writer) = caller(&["api_keys:write", "files:read"]).await;
    let (strong, _) = caller(&["files:*"]).await;
    let (weak, _) = caller(&[]).await;
    let status = async |path: &str, body: Value| writer.patch(path, &body).await.status;
    assert_eq!(status(&weak, json!({"permissions": ["files:read"]})).await, 200);
    assert_eq!(status(&weak, json!({"permissions": ["files:write"]})).await, 403);
    assert_eq!(status(&strong, json!({"name": "x"})).await, 403, "the key has more permissions than the caller");
    assert_eq!(status(&strong, json!({"enabled": false})).await, 200, "disabling grants nothing");
    assert_eq!(status(&strong, json!({"enabled": true})).await, 403);
    // Its own key it can only narrow.
    assert_eq!(status(&own_path, json!({"name": "x"})).await, 403);
    assert_eq!(status(&own_path, json!({"expires_at": "2026-12-01T00:00:00Z"})).await, 200);
    assert_eq!(status(&own_path, json!({"expires_at": "2026-12-02T00:00:00Z"})).await, 403);
    assert_eq!(status(&own_path, json!({"permissions": ["api_keys:write"]})).await, 200);
    assert_eq!(status(&own_path, json!({"permissions": ["api_keys:write", "files:read"]})).await, 403);
    let (bare, _) = caller(&[]).await;
    let refused = writer.patch(&bare, &json!({"expires_at": "2026-12-02T00:00:00Z"})).await;
    let message = refused.json()["message"].to_string();
    assert!(refused.status == 403 && message.contains("expire no later"), "{message}");
}
