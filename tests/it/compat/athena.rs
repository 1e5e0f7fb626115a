//! The Athena API: the examples of its documents, and recorded requests of its SDK.

use harness::{Answer, Caller, TestApp};
use serde_json::{Value, json};

pub(crate) const API: &str = "/api/auth/api-key";
pub(crate) const MADE_UP: &str = "01a1fd3b-5f15-77c5-bbb0-186d2b075cec";

pub(crate) async fn post(caller: &Caller, operation: &str, body: Value) -> Answer {
    caller.post(&format!("{API}/{operation}"), &body).await
}

pub(crate) async fn get(caller: &Caller, id: &str) -> Answer {
    caller.get(&format!("{API}/get?id={id}")).await
}

fn names(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

const CREATED: [&str; 25] = [
    "id",
    "createdAt",
    "updatedAt",
    "name",
    "prefix",
    "start",
    "key",
    "enabled",
    "expiresAt",
    "userId",
    "lastRefillAt",
    "lastRequest",
    "metadata",
    "rateLimitMax",
    "rateLimitTimeWindow",
    "remaining",
    "refillAmount",
    "refillInterval",
    "rateLimitEnabled",
    "requestCount",
    "permissions",
    "referenceId",
    "configId",
    "org_id",
    "canManage",
];
const GOT: [&str; 24] = [
    "id",
    "name",
    "start",
    "prefix",
    "userId",
    "refillInterval",
    "refillAmount",
    "lastRefillAt",
    "enabled",
    "rateLimitEnabled",
    "rateLimitTimeWindow",
    "rateLimitMax",
    "requestCount",
    "remaining",
    "lastRequest",
    "expiresAt",
    "createdAt",
    "updatedAt",
    "metadata",
    "permissions",
    "referenceId",
    "configId",
    "org_id",
    "canManage",
];

#[tokio::test]
async fn the_examples_of_the_athena_documents_work() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let me = &tenant.admin;
    let created =
        post(me, "create", json!({"name": "mobile-client-key", "expiresIn": "3600", "remaining": "1000"})).await;
    assert_eq!(created.status, 200, "{}", created.text);
    let key = created.json();
    assert_eq!(names(&key), CREATED);
    assert_eq!(key["name"], "mobile-client-key");
    assert_eq!(key["createdAt"], "2026-11-21T08:00:00.250Z");
    assert_eq!(key["expiresAt"], "2026-11-21T09:00:00.250Z");
    assert_eq!(key["remaining"], 1_000);
    assert_eq!(key["userId"], tenant.user_id.as_str());
    assert_eq!((&key["referenceId"], &key["configId"]), (&key["userId"], &json!("default")));
    assert_eq!((&key["rateLimitEnabled"], &key["rateLimitMax"]), (&json!(false), &Value::Null));
    assert_eq!((&key["enabled"], &key["requestCount"], &key["permissions"]), (&json!(true), &json!(0), &Value::Null));
    let id = text(&key["id"]);

    let got = get(me, id).await;
    assert_eq!((got.status, names(&got.json())), (200, GOT.to_vec()));

    let update = json!({"keyId": id, "name": "mobile-client-key-updated", "expiresIn": "3600", "permissions": "{}"});
    let updated = post(me, "update", update).await;
    assert_eq!((updated.status, names(&updated.json())), (200, GOT.to_vec()), "{}", updated.text);
    assert_eq!(updated.json()["name"], "mobile-client-key-updated");

    let list = me.get(&format!("{API}/list")).await.json();
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    assert!(list.as_array().expect("an array").iter().all(|key| names(key) == GOT));

    let verified = post(me, "verify", json!({"key": key["key"]})).await.json();
    assert_eq!(names(&verified), ["valid", "error", "key"]);
    assert_eq!((&verified["valid"], &verified["error"]), (&json!(true), &Value::Null));
    assert_eq!(names(&verified["key"]), GOT);
    assert_eq!((&verified["key"]["remaining"], &verified["key"]["requestCount"]), (&json!(999), &json!(1)));

    let unknown = post(me, "verify", json!({"key": "prefix.secret"})).await;
    let refusal =
        json!({"valid": false, "error": {"message": "Invalid API key.", "code": "INVALID_API_KEY"}, "key": null});
    assert_eq!((unknown.status, unknown.json()), (200, refusal));

    let deleted = post(me, "delete", json!({"keyId": id})).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (200, r#"{"success":true}"#));
    let not_found = json!({"message": "API Key not found", "code": "KEY_NOT_FOUND"});
    for answer in [get(me, id).await, post(me, "delete", json!({"keyId": id})).await] {
        assert_eq!((answer.status, answer.json()), (404, not_found.clone()));
    }
    let expired = post(me, "delete-all-expired-api-keys", json!({})).await;
    assert_eq!((expired.status, expired.text.as_str()), (200, r#"{"deleted":0}"#));
}

#[tokio::test]
async fn the_recorded_requests_of_the_athena_sdk_work() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = post(&tenant.admin, "create", json!({"permissions": {"*": ["*"]}})).await.json();
    let (key, own_id) = (text(&key["key"]).to_owned(), text(&key["id"]).to_owned());
    let requests: Value = serde_json::from_str(include_str!("athena_requests.json")).expect("recorded");
    let requests = requests.as_array().expect("a list");
    assert_eq!(requests.len(), 21);
    let ours = app.base().replace("http://", "");
    for request in requests {
        let call = text(&request["call"]);
        // Replaces the placeholders and ids of the recording.
        let real = |text: &str| {
            text.replace("127.0.0.1:PORT", &ours)
                .replace("CALL_TOKEN", &key)
                .replace("TOKEN", &key)
                .replace("user_1", &tenant.user_id)
        };
        let mut caller = app.anyone();
        for header in request["headers"].as_array().expect("headers") {
            let (name, value) = (text(&header[0]), text(&header[1]));
            if !["content-length", "connection", "host"].contains(&name.to_lowercase().as_str()) {
                caller = caller.with(name, &real(value));
            }
        }
        let body = request["body"].as_str().filter(|body| !body.is_empty()).map(|body| real(body).into_bytes());
        let answer = caller.send(text(&request["method"]), text(&request["target"]), body).await;
        let expected = match call {
            call if call.starts_with("anonymous") => 401,
            call if call.contains("no query") => 400,
            call if call.contains("api_key_id") || call.contains("get (") || call.contains("update (") => 404,
            call if call.contains("delete (docs example)") || call.contains("stripped from the body") => 404,
            _ => 200,
        };
        assert_eq!(answer.status, expected, "{call}: {}", answer.text);
        assert!(answer.json().is_object() || answer.json().is_array(), "{call}");
        if expected != 200 {
            assert_eq!(names(&answer.json()), ["message", "code"], "{call}");
        }
    }
    // With an id that exists.
    let caller = app.caller(&key);
    let made = text(&post(&caller, "create", json!({})).await.json()["id"]).to_owned();
    assert_ne!(made, own_id);
    let update = json!({"keyId": made, "enabled": false, "remaining": 5, "metadata": {"a": 1}});
    let updated = post(&caller, "update", update).await.json();
    assert_eq!(
        (&updated["enabled"], &updated["remaining"], &updated["metadata"]),
        (&json!(false), &json!(5), &json!({"a": 1}))
    );
}
