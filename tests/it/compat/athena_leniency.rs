//! The Athena API: accepted values, defaults, and errors of its fields.

use harness::TestApp;
use serde_json::{Value, json};

use crate::compat::athena::{API, MADE_UP, post, text};

#[tokio::test]
async fn athena_accepts_strings_in_place_of_values() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let as_strings = json!({
        "expiresIn": "3600", "metadata": "{\"tier\":\"gold\"}", "name": "n", "permissions": "{\"files\":[\"read\"]}",
        "prefix": "app_", "rateLimitEnabled": "true", "rateLimitMax": "10", "rateLimitTimeWindow": "60000",
        "refillAmount": "5", "refillInterval": "1000", "remaining": "1000", "userId": tenant.user_id,
    });
    let as_values = json!({
        "expiresIn": 3600, "metadata": {"tier": "gold"}, "name": "n", "permissions": {"files": ["read"]},
        "prefix": "app_", "rateLimitEnabled": true, "rateLimitMax": 10, "rateLimitTimeWindow": 60_000,
        "refillAmount": 5, "refillInterval": 1_000, "remaining": 1_000, "userId": tenant.user_id,
    });
    let mut answers = Vec::new();
    for body in [as_strings, as_values] {
        let mut key = post(&tenant.admin, "create", body).await.json();
        for name in ["id", "key", "start"] {
            key.as_object_mut().expect("an object").remove(name).expect("there");
        }
        answers.push(key);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0]["permissions"], json!({"files": ["read"]}));
    assert_eq!(answers[0]["metadata"], json!({"tier": "gold"}));
    assert_eq!((&answers[0]["rateLimitMax"], &answers[0]["refillInterval"]), (&json!(10), &json!(1_000)));
    let absent = json!({
        "name": "", "expiresIn": "", "remaining": null, "metadata": "", "permissions": null, "userId": "", "prefix": null,
        "rateLimitEnabled": null, "rateLimitMax": "", "unknown": {"x": 1}, "configId": "other",
    });
    let key = post(&tenant.admin, "create", absent).await.json();
    assert_eq!((&key["name"], &key["expiresAt"], &key["remaining"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(key["prefix"], "cvg_");
}

#[tokio::test]
async fn athena_rate_limits_have_the_defaults_of_the_plugin() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let cases = [
        (json!({}), json!([false, null, null])),
        (json!({"rateLimitMax": 3}), json!([true, 3, 86_400_000])),
        (json!({"rateLimitTimeWindow": 5}), json!([true, 10, 5])),
        (json!({"rateLimitEnabled": true}), json!([true, 10, 86_400_000])),
        (json!({"rateLimitEnabled": false, "rateLimitMax": 3, "rateLimitTimeWindow": 5}), json!([false, null, null])),
    ];
    let limits = |key: &Value| json!([key["rateLimitEnabled"], key["rateLimitMax"], key["rateLimitTimeWindow"]]);
    for (body, expected) in &cases {
        let key = post(&tenant.admin, "create", body.clone()).await.json();
        assert_eq!(limits(&key), *expected, "{body}");
    }
    let key = post(&tenant.admin, "create", json!({"rateLimitMax": 3})).await.json();
    for (mut patch, expected) in [
        (json!({"rateLimitTimeWindow": 7}), json!([true, 3, 7])),
        (json!({"rateLimitEnabled": false}), json!([false, null, null])),
        (json!({"rateLimitEnabled": true}), json!([true, 10, 86_400_000])),
        (json!({"rateLimitMax": null, "rateLimitTimeWindow": null}), json!([false, null, null])),
        (json!({"rateLimitMax": 4}), json!([true, 4, 86_400_000])),
        (json!({"rateLimitMax": null}), json!([false, null, null])),
    ] {
        patch["keyId"] = key["id"].clone();
        let updated = post(&tenant.admin, "update", patch.clone()).await;
        assert_eq!((updated.status, limits(&updated.json())), (200, expected), "{patch}");
    }
}

#[tokio::test]
async fn athena_names_invalid_fields() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let whole = "must be a whole number, or a string containing one";
    let cases = [
        ("create", json!({"expiresIn": 0}), "[body.expiresIn] must be a whole number from 1 to 315360000".to_owned()),
        (
            "create",
            json!({"expiresIn": "315360001"}),
            "[body.expiresIn] must be a whole number from 1 to 315360000".to_owned(),
        ),
        ("create", json!({"expiresIn": 1.5}), format!("[body.expiresIn] {whole}")),
        ("create", json!({"remaining": "01"}), format!("[body.remaining] {whole}")),
        ("create", json!({"remaining": "+1"}), format!("[body.remaining] {whole}")),
        ("create", json!({"remaining": "-1"}), format!("[body.remaining] {whole}")),
        ("create", json!({"remaining": -1}), format!("[body.remaining] {whole}")),
        ("create", json!({"remaining": " 1"}), format!("[body.remaining] {whole}")),
        ("create", json!({"remaining": true}), format!("[body.remaining] {whole}")),
        (
            "create",
            json!({"remaining": 9_007_199_254_740_992_u64}),
            "[body.remaining] must be a whole number from 0 to 9007199254740991".to_owned(),
        ),
        (
            "create",
            json!({"remaining": "99999999999999999999999"}),
            "[body.remaining] must be a whole number from 0 to 9007199254740991".to_owned(),
        ),
        (
            "create",
            json!({"rateLimitMax": 0}),
            "[body.rateLimitMax] must be a whole number from 1 to 9007199254740991".to_owned(),
        ),
        ("create", json!({"rateLimitEnabled": "yes"}), "[body.rateLimitEnabled] must be true or false".to_owned()),
        (
            "create",
            json!({"name": 1, "prefix": "a b"}),
            "[body.name] must be a string; [body.prefix] must be 1 to 32 characters of A-Z a-z 0-9 _ -".to_owned(),
        ),
        (
            "create",
            json!({"metadata": "[]"}),
            "[body.metadata] must be an object, or a string containing one as JSON".to_owned(),
        ),
        ("create", json!({"metadata": 5}), "[body.metadata] must be an object".to_owned()),
        (
            "create",
            json!({"permissions": {"files": "read"}}),
            "[body.permissions] must map each resource to an array of actions".to_owned(),
        ),
        ("update", json!({}), "[body.keyId] is required".to_owned()),
        ("update", json!({"keyId": null}), "[body.keyId] is required".to_owned()),
        ("update", json!({"keyId": MADE_UP, "enabled": null}), "[body.enabled] must not be null".to_owned()),
        (
            "update",
            json!({"keyId": MADE_UP, "rateLimitEnabled": null}),
            "[body.rateLimitEnabled] must not be null".to_owned(),
        ),
        ("update", json!({"keyId": MADE_UP, "userId": null}), "[body.userId] must not be null".to_owned()),
        ("delete", json!({}), "[body.keyId] is required".to_owned()),
        ("verify", json!({}), "[body.key] is required".to_owned()),
        ("verify", json!({"key": 1}), "[body.key] must be a string".to_owned()),
        (
            "verify",
            json!({"key": "x", "permissions": {"a:b": ["c"]}}),
            "[body.permissions] must contain permissions such as read, files:read or *; \"a:b\" is not one".to_owned(),
        ),
    ];
    for (operation, body, message) in cases {
        let answer = post(&tenant.admin, operation, body.clone()).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (400, json!("VALIDATION_ERROR")),
            "{operation} {body}"
        );
        assert!(text(&answer.json()["message"]).starts_with(&message), "{operation} {body}: {}", answer.text);
    }
}

#[tokio::test]
async fn every_error_has_the_form_of_the_athena_contract() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for path in ["get", "get?id=", "list?limit=x", "list?offset=-1"] {
        let answer = tenant.admin.get(&format!("{API}/{path}")).await;
        assert_eq!((answer.status, answer.json()["code"].clone()), (400, json!("VALIDATION_ERROR")), "{path}");
    }
    for (body, code) in [
        (json!({"refillAmount": 5}), "REFILL_INTERVAL_AND_AMOUNT_REQUIRED"),
        (json!({"refillInterval": 5}), "REFILL_AMOUNT_AND_INTERVAL_REQUIRED"),
    ] {
        let answer = post(&tenant.admin, "create", body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)));
    }
    let caller = tenant.admin.with("content-type", "application/json");
    for (body, status, code) in
        [("{", 400, "BAD_REQUEST"), ("[]", 400, "BAD_REQUEST"), (r#"{"name":"a","name":"b"}"#, 400, "BAD_REQUEST")]
    {
        let answer = caller.send("POST", &format!("{API}/create"), Some(body.into())).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{body}");
    }
    let large = caller.send("POST", &format!("{API}/create"), Some(vec![b' '; 65_537])).await;
    assert_eq!((large.status, &large.json()["code"]), (413, &json!("PAYLOAD_TOO_LARGE")));
    let other =
        tenant.admin.with("content-type", "text/plain").send("POST", &format!("{API}/create"), Some("{}".into())).await;
    assert_eq!((other.status, &other.json()["code"]), (415, &json!("UNSUPPORTED_MEDIA_TYPE")));
    let path = tenant.admin.get("/api/auth/nothing").await;
    assert_eq!((path.status, &path.json()["code"]), (404, &json!("NOT_FOUND")));
    let method = tenant.admin.get(&format!("{API}/create")).await;
    assert_eq!(
        (method.status, &method.json()["code"], method.header("allow")),
        (405, &json!("METHOD_NOT_ALLOWED"), "POST")
    );
}
