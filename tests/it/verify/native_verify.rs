//! `/api_keys/verify` and `/api_keys/verify_batch`: results, errors, and the fast path.

use domain::{
    clock::Clock,
    keys::quota::{Quota, RateLimit},
};
use harness::{Caller, KeySpec, Scheme, TestApp};
use serde_json::{Value, json};

const VERIFY: &str = "/api_keys/verify";
const ATHENA: &str = "/api/auth/api-key/verify";
const BATCH: &str = "/api_keys/verify_batch";

async fn verify(caller: &Caller, body: Value) -> Value {
    let answer = caller.post(VERIFY, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_valid_key_is_returned_with_all_fields() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let rate_limit = Some(RateLimit { max: 5, window: 10_500 });
    let quota = Quota { remaining: Some(3), rate_limit, ..Quota::default() };
    let spec = KeySpec { quota, expires_in: Some(60), ..KeySpec::with(&["files:read", "write"]) };
    let (id, key) = app.key(&tenant.org_id, spec).await;
    let body = json!({"key": key, "permissions": ["files:read"], "context": {"ip": "2001:db8::1"}});
    let expected = |remaining: u64, left: u64, reset: u64| {
        json!({
            "valid": true, "code": "VALID", "key_id": id, "org_id": tenant.org_id, "org_external_id": null,
            "external_id": null, "name": null, "permissions": ["files:read", "write"], "metadata": null, "remaining": remaining,
            "expires_at": "2026-11-21T08:01:00.250Z",
            "rate_limit": {"limit": 5, "remaining": left, "reset": reset},
        })
    };
    assert_eq!(verify(&tenant.admin, body.clone()).await, expected(2, 4, 11));
    app.clock.advance_seconds(4);
    assert_eq!(verify(&tenant.admin, body).await, expected(1, 3, 7));
    let made = json!({"name": "n", "permissions": [], "metadata": {"a": [1, "\"ü"]}});
    let made = tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &made).await.json();
    let plain = verify(&tenant.admin, json!({"key": made["key"]})).await;
    let expected = json!({
        "valid": true, "code": "VALID", "key_id": made["id"], "org_id": tenant.org_id, "org_external_id": null,
        "external_id": null, "name": "n", "permissions": [], "metadata": {"a": [1, "\"ü"]}, "remaining": null, "expires_at": null, "rate_limit": null,
    });
    assert_eq!(plain, expected);
}

#[tokio::test]
async fn an_invalid_key_is_named_if_the_caller_can_see_it() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let limited = Quota { rate_limit: Some(RateLimit { max: 1, window: 10_500 }), ..Quota::default() };
    let limited = Quota { window_start: Some(app.clock.now()), window_count: 1, ..limited };
    let empty = Quota { remaining: Some(0), ..Quota::default() };
    for (spec, code) in [
        (KeySpec { enabled: false, ..KeySpec::with(&[]) }, "KEY_DISABLED"),
        (KeySpec { expires_in: Some(-1), ..KeySpec::with(&[]) }, "KEY_EXPIRED"),
        (KeySpec::with(&["other"]), "INSUFFICIENT_PERMISSIONS"),
        (KeySpec { quota: empty, ..KeySpec::with(&["read"]) }, "USAGE_EXCEEDED"),
        (KeySpec { quota: limited, ..KeySpec::with(&["read"]) }, "RATE_LIMITED"),
    ] {
        let (id, key) = app.key(&tenant.org_id, spec).await;
        let verdict = verify(&tenant.admin, json!({"key": key, "permissions": ["files:read"]})).await;
        let mut expected = json!({
            "valid": false, "code": code, "key_id": id, "org_id": tenant.org_id, "org_external_id": null,
            "external_id": null, "name": null, "permissions": null, "metadata": null, "remaining": null, "expires_at": null, "rate_limit": null,
        });
        if code == "USAGE_EXCEEDED" {
            expected["remaining"] = json!(0);
        }
        if code == "RATE_LIMITED" {
            expected["rate_limit"] = json!({"limit": 1, "remaining": 0, "reset": 11});
        }
        assert_eq!(verdict, expected);
        let foreign = verify(&other.admin, json!({"key": key})).await;
        assert_eq!(
            foreign,
            verify(&other.admin, json!({"key": "nonsense"})).await,
            "a key of another organization is unknown"
        );
        assert_eq!((&foreign["code"], &foreign["key_id"]), (&json!("INVALID_API_KEY"), &Value::Null));
    }
}

#[tokio::test]
async fn org_id_must_be_the_callers_except_for_the_platform() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let platform = app.platform().await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let within = |org_id: &str| json!({"key": key, "org_id": org_id});
    assert_eq!(verify(&tenant.admin, within(&tenant.org_id)).await["valid"], true);
    for foreign in [other.org_id.as_str(), "00000000-0000-7000-8000-000000000000", "nonsense"] {
        for (path, body) in [(VERIFY, within(foreign)), (BATCH, json!({"keys": [within(foreign)]}))] {
            let answer = tenant.admin.post(path, &body).await;
            assert_eq!(answer.status, 404, "{foreign}");
            assert_eq!(answer.failure()["code"], 404);
        }
    }
    assert_eq!(verify(&platform, json!({"key": key})).await["org_id"], tenant.org_id.as_str());
    assert_eq!(verify(&platform, within(&tenant.org_id)).await["valid"], true);
    assert_eq!(verify(&platform, within(&other.org_id)).await["code"], "INVALID_API_KEY");
}

#[tokio::test]
async fn every_invalid_field_of_a_verification_is_named() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for (body, field) in [
        (json!({}), "key"),
        (json!({"key": null}), "key"),
        (json!({"key": 1}), "key"),
        (json!({"key": "x", "permission": []}), "permission"),
        (json!({"key": "x", "permissions": "read"}), "permissions"),
        (json!({"key": "x", "permissions": ["a:b:c"]}), "permissions"),
        (json!({"key": "x", "context": {"ip": "1.2.3"}}), "context"),
        (json!({"key": "x", "context": {"address": "1.2.3.4"}}), "context"),
        (json!({"key": "x", "org_id": 5}), "org_id"),
    ] {
        let answer = tenant.admin.post(VERIFY, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.wrong_fields(), [field], "{body}");
        let answer = tenant.admin.post(BATCH, &json!({"keys": [{"key": "x"}, body]})).await;
        assert_eq!(answer.status, 400, "{body}");
        let named = format!("keys[1].{field}");
        assert_eq!(answer.wrong_fields(), [named]);
    }
    for body in
        [json!({}), json!({"keys": []}), json!({"keys": ["x"]}), json!({"keys": vec![json!({"key": "x"}); 101]})]
    {
        assert_eq!(tenant.admin.post(BATCH, &body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_batch_equals_single_verifications() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, good) = app.key(&tenant.org_id, KeySpec::with(&["read"])).await;
    let quota = Quota { remaining: Some(2), ..Quota::default() };
    let (id, metered) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let question = |key: &str| json!({"key": key});
    let body = json!({"keys": [
        question(&metered), question(&good), {"key": good, "permissions": ["write"]}, question("nonsense"),
        question(&metered), question(&metered), {"key": good, "permissions": ["files:read"], "context": {"ip": "::1"}},
    ]});
    let answer = tenant.admin.post(BATCH, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let results = answer.json()["results"].as_array().expect("results").clone();
    let codes: Vec<&str> = results.iter().map(|result| result["code"].as_str().expect("a code")).collect();
    let expected =
        ["VALID", "VALID", "INSUFFICIENT_PERMISSIONS", "INVALID_API_KEY", "VALID", "USAGE_EXCEEDED", "VALID"];
    assert_eq!(codes, expected);
    assert_eq!(app.counts(&id).await, (Some(0), 0, 2));
    let rate_limit = Some(RateLimit { max: 10, window: 60_000 });
    let quota = Quota { rate_limit, ..Quota::default() };
    let (_, limited) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let answer = tenant.admin.post(BATCH, &json!({"keys": vec![question(&limited); 3]})).await.json();
    let left: Vec<&Value> = (0..3).map(|n| &answer["results"][n]["rate_limit"]["remaining"]).collect();
    assert_eq!(left, [9, 8, 7]);
    let hundred = json!({"keys": vec![question(&good); 100]});
    let answer = tenant.admin.post(BATCH, &hundred).await.json();
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(100));
    assert!(answer["results"].as_array().expect("results").iter().all(|result| result["valid"] == true));
    let single = verify(&tenant.admin, question(&good)).await;
    assert_eq!(answer["results"][99], single);
}

/// A request with a cookie goes to the documented operation, one with a header takes the fast path.
#[tokio::test]
async fn the_fast_path_and_the_operation_give_the_same_response() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made =
        json!({"name": "n \"ü\"", "permissions": ["files:read", "*:list", "docs:*"], "metadata": {"a": {"b": 1.50}}});
    let made = tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &made).await.json();
    let own = KeySpec { user_id: Some(tenant.user_id.clone()), expires_in: Some(60), ..KeySpec::with(&["read"]) };
    let rate_limit = Some(RateLimit { max: 0, window: 10_500 });
    let limited = KeySpec { quota: Quota { rate_limit, ..Quota::default() }, ..KeySpec::with(&[]) };
    let mut keys = vec![made["key"].as_str().expect("a text").to_owned(), "nonsense".to_owned(), String::new()];
    for spec in [KeySpec::with(&[]), own, limited, KeySpec { enabled: false, ..KeySpec::with(&[]) }] {
        keys.push(app.key(&tenant.org_id, spec).await.1);
    }
    let extras = [
        "",
        r#","permissions":{}"#,
        r#","permissions":[]"#,
        r#","permissions":{"files":["read"]}"#,
        r#","permissions":["files:read"]"#,
        r#","permissions":["files:read","nothing"]"#,
        r#","permissions":null"#,
        r#","permissions":{"files":["read"],"files":["write"]}"#,
        r#","permissions":{"":["x"]}"#,
        r#","permissions":"{}""#,
        r#","permissions":["$"]"#,
        r#","context":{"ip":"10.0.0.1"}"#,
        r#","context":{"ip":"ten"}"#,
        r#","context":null"#,
        r#","context":{"ip":null}"#,
        r#","context":5"#,
        r#","unknown":1"#,
        r#","key":"twice""#,
        r#","key":"twice"#,
        r#","permissions":["a\u0062c"]"#,
        r#","$serde_json::private::Number":"1""#,
        "} ",
        "}}",
    ];
    let short = app.anyone().with_key(Scheme::Header, tenant.admin.bearer());
    let long = app.anyone().with_key(Scheme::Cookie, tenant.admin.bearer());
    for key in &keys {
        for extra in extras {
            for path in [VERIFY, ATHENA] {
                let body = format!("{{\"key\":\"{key}\"{extra}}}").into_bytes();
                let send = async |caller: &Caller| {
                    caller.with("content-type", "application/json").send("POST", path, Some(body.clone())).await
                };
                let [short, long] = [send(&short).await, send(&long).await];
                assert_eq!(short.status, long.status, "{path} {extra}: {} {}", short.text, long.text);
                let without_counts = |text: &str| {
                    let mut json: Value = serde_json::from_str(text).expect("JSON");
                    json.as_object_mut().expect("an object").remove("request_id");
                    if let Some(key) = json.get_mut("key").and_then(Value::as_object_mut) {
                        key.remove("requestCount");
                    }
                    json.to_string()
                };
                assert_eq!(without_counts(&short.text), without_counts(&long.text), "{path} {extra}");
                for name in ["content-type", "cache-control", "x-content-type-options"] {
                    assert_eq!(short.header(name), long.header(name), "{path} {extra}");
                }
                assert_ne!(short.header("x-request-id"), "");
            }
        }
    }
}

/// A parser that accepts arrays for structs would accept these.
#[tokio::test]
async fn an_array_in_place_of_an_object_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    for (path, body) in [
        (ATHENA, json!([key])),
        (ATHENA, json!([key, {}, null])),
        (VERIFY, json!([key, null, null, null])),
        (VERIFY, json!({"key": key, "context": ["1.2.3.4"]})),
        (BATCH, json!({"keys": [[key, null, null, null]]})),
        (BATCH, json!([[{"key": key}]])),
        (VERIFY, json!({"key": key, "permissions": vec!["a"; 257]})),
    ] {
        assert_eq!(tenant.admin.post(path, &body).await.status, 400, "{path} {body}");
    }
}

#[tokio::test]
async fn a_verified_key_has_the_fields_of_the_get_operation() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let create = json!({
        "name": "n \"ü\"", "expiresIn": 60, "remaining": 5, "refillAmount": 9, "refillInterval": 1000, "rateLimitMax": 7,
        "rateLimitTimeWindow": 60_000, "metadata": {"a": {"b": [1, 2.50]}}, "permissions": {"files": ["read", "write"], "*": ["list"]},
    });
    let made = tenant.admin.post("/api/auth/api-key/create", &create).await.json();
    let body = json!({"key": made["key"]});
    app.clock.advance_seconds(2);
    let verified = tenant.admin.post(ATHENA, &body).await.json()["key"].clone();
    let got = tenant.admin.get(&format!("/api/auth/api-key/get?id={}", made["id"].as_str().expect("an id"))).await;
    assert_eq!(verified.to_string(), got.json().to_string(), "the same fields in the same order");
    assert_eq!(verified["lastRefillAt"], "2026-11-21T08:00:02.250Z");
}
