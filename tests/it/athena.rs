//! The Athena contract: the documents' own examples, the recorded requests of its SDK, and each refusal.

use harness::{Answer, Caller, KeySpec, TestApp};
use serde_json::{Value, json};

const API: &str = "/api/auth/api-key";
const MADE_UP: &str = "01a1fd3b-5f15-77c5-bbb0-186d2b075cec";

async fn post(caller: &Caller, operation: &str, body: Value) -> Answer {
    caller.post(&format!("{API}/{operation}"), &body).await
}

async fn get(caller: &Caller, id: &str) -> Answer {
    caller.get(&format!("{API}/get?id={id}")).await
}

fn names(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

const CREATED: [&str; 24] = [
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
];
const GOT: [&str; 23] = [
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
];

#[tokio::test]
async fn the_documented_examples() {
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
    let gone = json!({"message": "API Key not found", "code": "KEY_NOT_FOUND"});
    for answer in [get(me, id).await, post(me, "delete", json!({"keyId": id})).await] {
        assert_eq!((answer.status, answer.json()), (404, gone.clone()));
    }
    let expired = post(me, "delete-all-expired-api-keys", json!({})).await;
    assert_eq!((expired.status, expired.text.as_str()), (200, r#"{"deleted":0}"#));
}

#[tokio::test]
async fn the_recorded_requests_of_the_sdk() {
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
        // Placeholders of the recording, and its ids, stand for what is there.
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
    // The same with an id that exists.
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

#[tokio::test]
async fn strings_and_values_are_the_same() {
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
async fn rate_limits_take_the_defaults_of_the_plugin() {
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
    ] {
        patch["keyId"] = key["id"].clone();
        let updated = post(&tenant.admin, "update", patch.clone()).await;
        assert_eq!((updated.status, limits(&updated.json())), (200, expected), "{patch}");
    }
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let whole = "must be a whole number, or a string of one";
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
            "[body.metadata] must be an object, or a string that holds one as JSON".to_owned(),
        ),
        ("create", json!({"metadata": 5}), "[body.metadata] must be an object".to_owned()),
        (
            "create",
            json!({"permissions": {"files": "read"}}),
            "[body.permissions] must give each resource an array of actions".to_owned(),
        ),
        ("update", json!({}), "[body.keyId] is required".to_owned()),
        ("update", json!({"keyId": null}), "[body.keyId] is required".to_owned()),
        ("update", json!({"keyId": MADE_UP, "enabled": null}), "[body.enabled] must not be null".to_owned()),
        (
            "update",
            json!({"keyId": MADE_UP, "rateLimitEnabled": null}),
            "[body.rateLimitEnabled] must not be null".to_owned(),
        ),
        ("delete", json!({}), "[body.keyId] is required".to_owned()),
        ("verify", json!({}), "[body.key] is required".to_owned()),
        ("verify", json!({"key": 1}), "[body.key] must be a string".to_owned()),
        (
            "verify",
            json!({"key": "x", "permissions": {"a:b": ["c"]}}),
            "[body.permissions] must hold permissions like read, files:read or *; \"a:b\" is not one".to_owned(),
        ),
    ];
    for (operation, body, message) in cases {
        let answer = post(&tenant.admin, operation, body.clone()).await;
        let message = if message.contains("is required") && operation == "verify" && body["key"] == 1 {
            message
        } else {
            message
        };
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (400, json!("VALIDATION_ERROR")),
            "{operation} {body}"
        );
        assert!(text(&answer.json()["message"]).starts_with(&message), "{operation} {body}: {}", answer.text);
    }
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

#[tokio::test]
async fn what_is_absent_stays_and_null_clears() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let full = json!({
        "name": "n", "expiresIn": 3600, "remaining": 7, "refillAmount": 5, "refillInterval": 1000, "rateLimitMax": 3,
        "rateLimitTimeWindow": 60_000, "metadata": {"a": 1}, "permissions": {"files": ["read"]},
    });
    let key = post(&tenant.admin, "create", full).await.json();
    let id = text(&key["id"]).to_owned();
    let update = async |mut patch: Value| {
        patch["keyId"] = json!(id);
        post(&tenant.admin, "update", patch).await
    };
    app.clock.advance_seconds(1);
    let renamed = update(json!({"name": "m"})).await.json();
    for name in ["expiresAt", "remaining", "refillAmount", "rateLimitMax", "metadata", "permissions", "createdAt"] {
        assert_eq!(renamed[name], key[name], "{name} stays");
    }
    assert_eq!((&renamed["name"], &renamed["updatedAt"]), (&json!("m"), &json!("2026-11-21T08:00:01.250Z")));
    let nothing = update(json!({})).await;
    assert_eq!(
        (nothing.status, nothing.json()),
        (400, json!({"message": "No values to update.", "code": "NO_VALUES_TO_UPDATE"}))
    );
    for (patch, name) in [
        (json!({"name": null}), "name"),
        (json!({"expiresIn": null}), "expiresAt"),
        (json!({"metadata": null}), "metadata"),
        (json!({"permissions": null}), "permissions"),
    ] {
        let updated = update(patch).await.json();
        assert_eq!(updated[name], Value::Null, "{name}");
    }
    let half = update(json!({"refillAmount": null})).await;
    assert_eq!((half.status, &half.json()["code"]), (400, &json!("REFILL_AMOUNT_AND_INTERVAL_REQUIRED")));
    let cleared = update(json!({"remaining": null})).await.json();
    assert_eq!(
        (&cleared["remaining"], &cleared["refillAmount"]),
        (&Value::Null, &Value::Null),
        "clearing what remains clears the refill"
    );
    let refilled = update(json!({"refillAmount": 4, "refillInterval": 9})).await.json();
    assert_eq!(refilled["remaining"], 4, "a refill without anything remaining starts it");
}

#[tokio::test]
async fn limits_and_owners_are_for_administrators() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (_, writer) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "files:read"])).await;
    let writer = app.caller(&writer);
    let refusal = json!({
        "message": "The property you're trying to set can only be set from the server auth instance only.",
        "code": "SERVER_ONLY_PROPERTY",
    });
    for body in [
        json!({"remaining": 5}),
        json!({"refillAmount": 5, "refillInterval": 5}),
        json!({"rateLimitMax": 5}),
        json!({"rateLimitTimeWindow": 5}),
        json!({"rateLimitEnabled": false}),
        json!({"permissions": {}}),
        json!({"userId": tenant.user_id}),
    ] {
        let answer = post(&writer, "create", body.clone()).await;
        assert_eq!((answer.status, answer.json()), (400, refusal.clone()), "{body}");
        let mut patch = body.clone();
        patch["keyId"] = json!(MADE_UP);
        let answer = post(&writer, "update", patch).await;
        assert_eq!((answer.status, answer.json()), (400, refusal.clone()), "before the key is looked for: {body}");
    }
    let plain = post(&writer, "create", json!({"name": "n", "remaining": null})).await;
    assert_eq!(
        (plain.status, &plain.json()["userId"]),
        (200, &json!(tenant.org_id)),
        "an organization's own key makes such"
    );

    let named = post(&tenant.admin, "create", json!({"userId": tenant.user_id})).await;
    assert_eq!((named.status, &named.json()["userId"]), (200, &json!(tenant.user_id)));
    for user in [other.user_id.as_str(), MADE_UP, "user_1"] {
        let answer = post(&tenant.admin, "create", json!({"userId": user})).await;
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({"message": "User not found", "code": "USER_NOT_FOUND"})),
            "{user}"
        );
        let answer =
            post(&tenant.admin, "update", json!({"keyId": named.json()["id"], "userId": user, "name": "x"})).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("KEY_NOT_FOUND")), "{user}");
    }
}

#[tokio::test]
async fn own_keys_are_those_of_the_own_user() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let spec = KeySpec {
        user_id: Some(tenant.user_id.clone()),
        ..KeySpec::with(&["own_api_keys:read", "own_api_keys:write"])
    };
    let (own_id, own) = app.key(&tenant.org_id, spec).await;
    let own = app.caller(&own);
    let (shared_id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let created = post(&own, "create", json!({"name": "mine"})).await.json();
    assert_eq!(created["userId"], tenant.user_id.as_str());
    let listed = own.get(&format!("{API}/list")).await.json();
    let listed: Vec<&str> = listed.as_array().expect("an array").iter().map(|key| text(&key["id"])).collect();
    assert!(
        listed.contains(&own_id.as_str())
            && listed.contains(&text(&created["id"]))
            && !listed.contains(&shared_id.as_str())
    );
    assert_eq!(get(&own, &shared_id).await.status, 404);
    assert_eq!(post(&own, "delete", json!({"keyId": shared_id})).await.status, 404);
    assert_eq!(post(&own, "update", json!({"keyId": shared_id, "name": "x"})).await.status, 404);
    assert_eq!(post(&own, "delete", json!({"keyId": created["id"]})).await.status, 200);
    assert_eq!(
        own.get(&format!("/orgs/{}/api_keys", tenant.org_id)).await.status,
        403,
        "the other contract wants the whole"
    );
    assert_eq!(post(&own, "verify", json!({"key": "x"})).await.status, 403);
    let (_, nobody) = app.key(&tenant.org_id, KeySpec::with(&["own_api_keys:read"])).await;
    let answer = app.caller(&nobody).get(&format!("{API}/list")).await;
    let forbidden = json!({"message": "You do not have permission to perform this action.", "code": "FORBIDDEN"});
    assert_eq!((answer.status, answer.json()), (403, forbidden), "an organization's own key has no own keys");
}

#[tokio::test]
async fn updating_needs_what_the_key_holds() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (strong_id, _) = app.key(&tenant.org_id, KeySpec::with(&["files:read", "files:write"])).await;
    let (weak_id, weak) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "org:admin", "files:read"])).await;
    let weak = app.caller(&weak);
    let update = async |id: &str, mut patch: Value| {
        patch["keyId"] = json!(id);
        post(&weak, "update", patch).await.status
    };
    assert_eq!(update(&strong_id, json!({"name": "x"})).await, 403, "before: it holds files:write");
    assert_eq!(update(&strong_id, json!({"permissions": {"files": ["read"]}})).await, 403, "also to narrow it");
    assert_eq!(update(&strong_id, json!({"enabled": false})).await, 200, "disabling takes away");
    assert_eq!(update(&strong_id, json!({"enabled": true})).await, 403, "enabling gives");
    let made = text(&post(&weak, "create", json!({"permissions": {"files": ["read"]}})).await.json()["id"]).to_owned();
    assert_eq!(
        update(&made, json!({"permissions": {"files": ["write"]}})).await,
        403,
        "after: it would hold files:write"
    );
    assert_eq!(update(&made, json!({"name": "x", "remaining": 5})).await, 200);
    // Itself: less, never more or other.
    assert_eq!(update(&weak_id, json!({"name": "x"})).await, 403);
    assert_eq!(update(&weak_id, json!({"remaining": 5})).await, 403);
    assert_eq!(update(&weak_id, json!({"permissions": {"api_keys": ["write"], "org": ["admin"]}})).await, 200);
    assert_eq!(
        update(&weak_id, json!({"permissions": {"api_keys": ["write"], "org": ["admin"], "files": ["read"]}})).await,
        403
    );
    assert_eq!(update(&weak_id, json!({"expiresIn": 60})).await, 200);
    assert_eq!(update(&weak_id, json!({"expiresIn": 90})).await, 403);
    assert_eq!(update(&made, json!({"expiresIn": 90})).await, 403, "nor may another key outlive it by its hand");
    assert_eq!(update(&weak_id, json!({"enabled": false})).await, 200);
    assert_eq!(update(&weak_id, json!({"enabled": true})).await, 401);
}

#[tokio::test]
async fn expired_keys_in_reach_are_deleted() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let expired = || KeySpec { expires_in: Some(-5), ..KeySpec::with(&[]) };
    for _ in 0..3 {
        app.key(&tenant.org_id, expired()).await;
    }
    let (_, own) = app
        .key(
            &tenant.org_id,
            KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["own_api_keys:write"]) },
        )
        .await;
    app.key(&tenant.org_id, KeySpec { user_id: Some(tenant.user_id.clone()), ..expired() }).await;
    app.key(&tenant.org_id, KeySpec { expires_in: Some(5), ..KeySpec::with(&[]) }).await;
    let (foreign, _) = app.key(&other.org_id, expired()).await;
    let delete =
        async |caller: &Caller| post(caller, "delete-all-expired-api-keys", json!({})).await.json()["deleted"].clone();
    assert_eq!(delete(&app.caller(&own)).await, 1, "only the own user's");
    assert_eq!(delete(&tenant.admin).await, 3);
    assert_eq!(delete(&tenant.admin).await, 0);
    assert_eq!(get(&other.admin, &foreign).await.status, 200);
    assert_eq!(tenant.admin.get(&format!("{API}/list")).await.json().as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn lists_have_limits_and_offsets() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    app.copy_key(&tenant.key_id, 2_500).await;
    let list = async |query: &str| {
        let list = tenant.admin.get(&format!("{API}/list{query}")).await.json();
        let ids = list.as_array().expect("an array").iter().map(|key| text(&key["id"]).to_owned());
        ids.collect::<Vec<_>>()
    };
    let all = list("").await;
    assert_eq!(all.len(), 2_501);
    assert_eq!(list("?limit=10&offset=0").await, all[..10]);
    assert_eq!(list("?limit=1500&offset=700").await, all[700..2_200]);
    assert_eq!(list("?offset=2000").await, all[2_000..]);
    assert_eq!(list("?offset=2501").await, Vec::<String>::new());
    assert_eq!(list("?limit=0").await, Vec::<String>::new());
}
