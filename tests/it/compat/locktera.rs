//! The Locktera API: the examples of its document, and its errors.

use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

/// The request of the document, byte for byte.
const EXAMPLE: &str = r#"{
"name": "New API Key",
"permissions": ["read", "write"]
}"#;

#[tokio::test]
async fn the_examples_of_the_locktera_documents_work() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    app.clock.advance_seconds(1);

    let created = tenant.admin.with("content-type", "application/json").send("POST", &keys, Some(EXAMPLE.into())).await;
    assert_eq!(created.status, 200);
    let key = created.json();
    let names: Vec<&str> = key.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names[..4], ["id", "name", "created_at", "permissions"]);
    assert_eq!(key["name"], "New API Key");
    assert_eq!(key["created_at"], "2026-11-21T08:00:01Z");
    assert_eq!(key["permissions"], json!(["read", "write"]));
    let secret = key["key"].as_str().expect("the text");
    assert!(secret.starts_with("cvg_"));
    assert_eq!(key["start"], secret[..10]);
    assert_eq!(key["user_id"], Value::Null);
    assert_eq!(key["created_by"], json!({"type": "key", "id": tenant.key_id}));

    let listed = tenant.admin.get(&keys).await;
    assert_eq!(listed.status, 200);
    let listed = listed.json();
    let mut without_text = key.clone();
    without_text.as_object_mut().expect("an object").remove("key");
    assert_eq!(listed[1], without_text, "the list has all fields except the secret");
    assert_eq!(listed[0]["id"], tenant.key_id.as_str());
    assert_eq!(listed[0]["name"], "", "a nameless key");
    assert_eq!(listed[0]["permissions"], json!(["*"]));

    let new = app.caller(secret);
    assert_eq!(new.get(&keys).await.status, 200, "the new key works");
    let path = format!("{keys}/{}", key["id"].as_str().expect("an id"));
    let deleted = tenant.admin.delete(&path).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (200, r#"{"message":"API key deleted successfully"}"#));
    assert_eq!(new.get(&keys).await.status, 401, "the deleted key does not");
    assert_eq!(tenant.admin.delete(&path).await.status, 404, "deleting twice");
}

#[tokio::test]
async fn a_created_key_has_the_given_fields() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let metadata = json!({"z": [1, 2.50, 12_345_678_901_234_567_890_u64], "a": {"": null}});
    let body = json!({
        "name": "  n ", "permissions": ["*:read", "files:*", "files:*", "write"],
        "expires_at": "2027-01-01T01:00:00.5+01:00", "metadata": metadata, "prefix": "live-1_",
    });
    let key = tenant.admin.post(&keys, &body).await.json();
    assert_eq!(key["name"], "n");
    assert_eq!(key["permissions"], json!(["read", "files:*", "write"]));
    assert_eq!(key["expires_at"], "2027-01-01T00:00:00.500Z");
    assert_eq!(key["metadata"].to_string(), metadata.to_string());
    assert!(key["key"].as_str().is_some_and(|text| text.starts_with("live-1_")));
    let empty = json!({"name": "n", "permissions": [], "expires_at": null, "metadata": null, "prefix": null});
    let key = tenant.admin.post(&keys, &empty).await;
    assert_eq!((key.status, &key.json()["permissions"]), (200, &json!([])));
    assert_eq!(key.json()["metadata"], Value::Null);
}

#[tokio::test]
async fn every_invalid_field_of_a_new_key_is_named() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let good = || json!({"name": "n", "permissions": []});
    let with = |name: &str, value: Value| {
        let mut body = good();
        body[name] = value;
        body
    };
    let cases = [
        (json!({}), json!({"name": "is required", "permissions": "is required"})),
        (
            json!({"name": 1, "permissions": "read"}),
            json!({
                "name": "must be a string", "permissions": "must be an array of strings",
            }),
        ),
        (with("permissions", json!(["read", 1])), json!({"permissions": "must be an array of strings"})),
        (
            with("permissions", json!(["file*"])),
            json!({
                "permissions": "must contain permissions such as read, files:read or *; \"file*\" is not one",
            }),
        ),
        (with("name", json!(" ")), json!({"name": "must be 1 to 100 characters"})),
        (with("name", json!("x".repeat(101))), json!({"name": "must be 1 to 100 characters"})),
        (with("expires_at", json!("2026-11-21T08:00:00Z")), json!({"expires_at": "must be in the future"})),
        (with("expires_at", json!("2036-12-21T08:00:00Z")), json!({"expires_at": "must be at most ten years ahead"})),
        (
            with("expires_at", json!(3600)),
            json!({
                "expires_at": "must be a time like 2026-11-21T08:00:00Z (RFC 3339), with seconds from 00 to 59",
            }),
        ),
        (with("metadata", json!([])), json!({"metadata": "must be an object"})),
        (
            with("metadata", json!({"x": "y".repeat(8_190)})),
            json!({
                "metadata": "must be at most 8192 bytes as compact JSON",
            }),
        ),
        (with("prefix", json!("bad prefix")), json!({"prefix": "must be 1 to 32 characters of A-Z a-z 0-9 _ -"})),
        // A mistyped field must not create a key without an expiry or limits.
        (with("expires_in", json!(3600)), json!({"expires_in": "is not a known field"})),
        (
            json!({"name": "n", "permissions": [], "uses": 5, "enabled": false}),
            json!({
                "uses": "is not a known field", "enabled": "is not a known field",
            }),
        ),
    ];
    for (body, fields) in cases {
        let answer = tenant.admin.post(&keys, &body).await;
        let expected =
            json!({"message": "Some fields are invalid", "code": 400, "reason": "invalid_fields", "fields": fields});
        assert_eq!((answer.status, answer.failure()), (400, expected), "{body}");
    }
    let listed = tenant.admin.get(&keys).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "no key was created");
    for limit in ["0", "1001", "-1", "1.5", "abc", "", "%2B5"] {
        let answer = tenant.admin.get(&format!("{keys}?limit={limit}")).await;
        assert_eq!((answer.status, answer.json()["fields"].get("limit").is_some()), (400, true), "{limit}");
    }
}

#[tokio::test]
async fn a_new_key_cannot_have_permissions_beyond_the_caller() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let (_, writer) = app.key(&tenant.org_id, KeySpec::with(&["write"])).await;
    let create = |permissions: &[&str]| json!({"name": "n", "permissions": permissions});
    for (permissions, status) in [
        (&["write"][..], 200),
        (&["files:write"], 200),
        (&[], 200),
        (&["read"], 403),
        (&["write", "read"], 403),
        (&["files:*"], 403),
        (&["*"], 403),
    ] {
        let answer = app.caller(&writer).post(&keys, &create(permissions)).await;
        assert_eq!(answer.status, status, "{permissions:?}");
        if status == 403 {
            assert_eq!(answer.header("www-authenticate"), "Bearer error=\"insufficient_scope\"");
        }
    }
    let (_, reader) = app.key(&tenant.org_id, KeySpec::with(&["read"])).await;
    let refused = app.caller(&reader).post(&keys, &create(&[])).await;
    assert_eq!(refused.status, 403, "a read-only key cannot create");
    let (reason, message) = ("permission_required", "The permission api_keys:write is required");
    assert_eq!([&refused.failure()["reason"], &refused.failure()["message"]], [reason, message]);
    assert_eq!(app.caller(&writer).get(&keys).await.status, 403, "a write-only key cannot list");
}

#[tokio::test]
async fn a_new_key_expires_no_later_than_its_creator() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let spec = KeySpec { expires_in: Some(3_600), ..KeySpec::with(&["*"]) };
    let (_, expiring) = app.key(&tenant.org_id, spec).await;
    let expiring = app.caller(&expiring);
    let create = |expires_at: Value| json!({"name": "n", "permissions": [], "expires_at": expires_at});
    let own_end = "2026-11-21T09:00:00.250Z";
    let child = expiring.post(&keys, &create(Value::Null)).await;
    assert_eq!(
        (child.status, &child.json()["expires_at"]),
        (200, &json!(own_end)),
        "without an expiry: that of the caller"
    );
    assert_eq!(expiring.post(&keys, &create(json!(own_end))).await.status, 200);
    let later = expiring.post(&keys, &create(json!("2026-11-21T09:00:00.251Z"))).await;
    assert_eq!((later.status, later.header("www-authenticate")), (403, ""));
    app.clock.advance_seconds(3_600);
    assert_eq!(expiring.get(&keys).await.status, 401, "a key is expired at the time of its expiry");
}

#[tokio::test]
async fn a_caller_can_delete_its_own_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/api_keys/{}", tenant.org_id, tenant.key_id);
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    assert_eq!(tenant.admin.delete(&path).await.status, 401);
}

#[tokio::test]
async fn a_users_key_is_bounded_by_the_membership() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let (_, own) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    app.change_memberships("read").await;
    assert_eq!(tenant.admin.get(&keys).await.status, 200);
    assert_eq!(tenant.admin.post(&keys, &json!({"name": "n", "permissions": []})).await.status, 403);
    app.end_memberships().await;
    assert_eq!(tenant.admin.get(&keys).await.status, 401);
    assert_eq!(app.caller(&own).get(&keys).await.status, 200, "a key without a user does not depend on members");
}

#[tokio::test]
async fn an_expired_secret_is_unknown() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    app.expire_secrets_in(10).await;
    assert_eq!(tenant.admin.get("/auth/check-key").await.status, 200);
    app.clock.advance_seconds(10);
    assert_eq!(tenant.admin.get("/auth/check-key").await.status, 401);
}
