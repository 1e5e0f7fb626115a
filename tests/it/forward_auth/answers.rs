//! The answers: identity headers, and a status and a reason for each refusal.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::{
    clock::Clock,
    keys::quota::{Quota, RateLimit, Refill},
};
use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

use super::{IDENTITY, SECRET, assert_allowed, assert_misconfigured, assert_refused, path, with_secret};

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];

#[tokio::test]
async fn a_valid_key_is_described_in_headers() {
    let app = TestApp::start_with(with_secret).await;
    let tenant = app.tenant("Acme").await;
    let (own, platform) = (format!("/orgs/{}", tenant.org_id), app.platform().await);
    assert_eq!(platform.patch(&own, &json!({"external_id": "crm 1"})).await.status, 200);
    let key = json!({
        "name": "Ünal 100%", "external_id": "user-1", "permissions": ["files:read", "write", "*"], "metadata": {"a": "ü"},
    });
    let made = tenant.admin.post(&tenant.keys(), &key).await.json();
    let visitor = app.caller(made["key"].as_str().expect("a secret"));
    let visitor = visitor.with("claviger-gateway", &format!("secret={SECRET}"));
    let expected = |metadata: &str| {
        [
            made["id"].as_str().expect("an id").to_owned(),
            "%C3%9Cnal%20100%25".to_owned(),
            tenant.org_id.clone(),
            "crm%201".to_owned(),
            made["user_id"].as_str().unwrap_or_default().to_owned(),
            "user-1".to_owned(),
            "files:read *:write *:*".to_owned(),
            metadata.to_owned(),
        ]
    };
    let found = |answer: &harness::Answer| IDENTITY.map(|name| answer.header(name).to_owned());
    for method in METHODS {
        for rest in ["?permission=files:read", "/", "/v1/files?permission=nothing&cost=x"] {
            let answer = visitor.send(method, &path(&tenant, rest), None).await;
            assert_allowed(&answer);
            assert_eq!(found(&answer), expected(""), "{method} {rest}");
        }
    }
    let answer = visitor.get(&path(&tenant, "?metadata=true")).await;
    assert_eq!(found(&answer), expected(&BASE64_URL_SAFE_NO_PAD.encode(r#"{"a":"ü"}"#)));
    assert_eq!(answer.headers.get("ratelimit"), None, "there is no limit");
}

#[tokio::test]
async fn absent_values_are_empty_headers() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    // What a visitor sends does not come back.
    let forged = IDENTITY.iter().fold(app.caller(&key), |caller, name| caller.with(name, "forged"));
    let answer = forged.get(&path(&tenant, "?metadata=true")).await;
    assert_allowed(&answer);
    let found = IDENTITY.map(|name| answer.header(name));
    assert_eq!(found, [id.as_str(), "", &tenant.org_id, "", "", "", "", ""]);
    let own = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["files:read", "docs:*"]) };
    let (_, key) = app.key(&tenant.org_id, own).await;
    let answer = app.caller(&key).get(&path(&tenant, "")).await;
    assert_allowed(&answer);
    assert_eq!(answer.header("claviger-user-id"), tenant.user_id);
    assert_eq!(answer.header("claviger-permissions"), "files:read docs:*");
}

#[tokio::test]
async fn long_permissions_and_metadata_are_truncated() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let permissions: Vec<String> = (0..256).map(|n| format!("resource-{n:03}:{}", "a".repeat(30))).collect();
    let metadata = json!({"a": "x".repeat(3_100)});
    let key = json!({"name": "n", "permissions": permissions, "metadata": metadata});
    let made = tenant.admin.post(&tenant.keys(), &key).await.json();
    let visitor = app.caller(made["key"].as_str().expect("a secret"));
    let answer = visitor.get(&path(&tenant, "?metadata=true")).await;
    assert_allowed(&answer);
    let listed: Vec<&str> = answer.header("claviger-permissions").split(' ').collect();
    assert_eq!(listed, permissions[..4_097 / (permissions[0].len() + 1)], "whole permissions, in 4 KiB");
    assert_eq!(answer.header("claviger-permissions-truncated"), "true");
    assert_eq!((answer.header("claviger-metadata"), answer.header("claviger-metadata-truncated")), ("", "true"));
    let answer = visitor.get(&path(&tenant, &format!("?permission={}", permissions[255]))).await;
    assert_allowed(&answer);
    assert_eq!(answer.headers.get("claviger-metadata-truncated"), None);
}

#[tokio::test]
async fn every_refusal_has_its_status_and_reason() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let limited = Quota { rate_limit: Some(RateLimit { max: 1, window: 10_500 }), ..Quota::default() };
    let limited = Quota { window_start: Some(app.clock.now()), window_count: 1, ..limited };
    let empty = Quota { remaining: Some(1), ..Quota::default() };
    let created = async |body: Value| {
        let made = tenant.admin.post(&tenant.keys(), &body).await.json();
        made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    };
    let elsewhere = created(json!({"name": "a", "permissions": ["read"], "allowed_addresses": ["192.0.2.1"]})).await;
    let later = created(json!({"name": "b", "permissions": ["read"], "not_before": "2027-01-01T00:00:00Z"})).await;
    let stored = async |spec: KeySpec| app.key(&tenant.org_id, spec).await.1;
    let query = "?permission=files:read&cost=2";
    for (key, status, reason) in [
        (stored(KeySpec { enabled: false, ..KeySpec::with(&["read"]) }).await, 401, "disabled"),
        (stored(KeySpec { expires_in: Some(-1), ..KeySpec::with(&["read"]) }).await, 401, "expired"),
        (stored(KeySpec::with(&["files:write"])).await, 403, "insufficient_permissions"),
        (stored(KeySpec { quota: empty, ..KeySpec::with(&["read"]) }).await, 429, "usage_exceeded"),
        (stored(KeySpec { quota: limited, ..KeySpec::with(&["read"]) }).await, 429, "rate_limited"),
        (elsewhere, 403, "address_not_allowed"),
        (later, 401, "disabled"),
        (other.admin.bearer().to_owned(), 401, "invalid_key"),
        (tenant.admin.bearer().to_uppercase(), 401, "invalid_key"),
        ("nonsense".to_owned(), 401, "invalid_key"),
    ] {
        let answer = app.caller(&key).get(&path(&tenant, query)).await;
        assert_refused(&answer, status, reason);
        if status == 401 {
            assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="api", error="invalid_token""#, "{reason}");
        }
        let status = if status == 429 { 403 } else { status };
        let answer = app.caller(&key).get(&path(&tenant, &format!("{query}&on_limit=403"))).await;
        assert_refused(&answer, status, reason);
    }
    let answer = app.anyone().get(&path(&tenant, query)).await;
    assert_refused(&answer, 401, "missing_credential");
    assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="api""#);
    let query = "?basic=either&resource_metadata=https://api.example/.well-known/oauth-protected-resource";
    let answer = app.anyone().get(&path(&tenant, query)).await;
    let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    let url = "https://api.example/.well-known/oauth-protected-resource";
    let bearer = format!(r#"Bearer realm="api", resource_metadata="{url}""#);
    assert_eq!(challenges, [bearer.as_str(), r#"Basic realm="api""#]);
}

#[tokio::test]
async fn one_of_several_permissions_can_be_required() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read", "docs:write"])).await;
    for (query, is_allowed) in [
        ("?any=files:read", true),
        ("?any=nothing&any=docs:write", true),
        ("?any=nothing&any=other:*", false),
        ("?permission=files:read&permission=docs:write", true),
        ("?permission=files:read&permission=other", false),
        ("?permission=files:read&any=docs:write&any=x", true),
        ("?permission=other&any=docs:write", false),
        ("?permission=files:read&any=other", false),
    ] {
        let answer = app.caller(&key).get(&path(&tenant, query)).await;
        if is_allowed {
            assert_allowed(&answer);
        } else {
            assert_refused(&answer, 403, "insufficient_permissions");
        }
    }
}

#[tokio::test]
async fn options_need_no_key_where_the_gateway_says_so() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (open, by_header) =
        ("?allow_anonymous_options=true", "?allow_anonymous_options=true&method_header=X-Forwarded-Method");
    let options = async |query: &str| app.anyone().send("OPTIONS", &path(&tenant, query), None).await;
    let answer = options(open).await;
    assert_allowed(&answer);
    assert!(IDENTITY.iter().all(|name| answer.header(name).is_empty()), "forged headers are replaced");
    assert_refused(&options("").await, 401, "missing_credential");
    assert_refused(&options("?allow_anonymous_options=false").await, 401, "missing_credential");
    assert_refused(&options(by_header).await, 401, "missing_credential");
    assert_misconfigured(&options("?allow_anonymous_options=yes").await, "allow_anonymous_options");
    let stated = async |query: &str, methods: &[&str]| {
        let caller = methods.iter().fold(app.anyone(), |caller, method| caller.with("x-forwarded-method", method));
        caller.get(&path(&tenant, query)).await
    };
    assert_allowed(&stated(by_header, &["OPTIONS"]).await);
    for (query, methods) in [
        (open, &["OPTIONS"][..]),
        (by_header, &["GET"]),
        (by_header, &["options"]),
        (by_header, &["OPTIONS", "GET"]),
        (by_header, &["OPTIONS", "OPTIONS"]),
        (by_header, &[]),
    ] {
        assert_refused(&stated(query, methods).await, 401, "missing_credential");
    }
}

#[tokio::test]
async fn limits_are_shown_in_headers() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let rate_limit = Some(RateLimit { max: 2, window: 10_500 });
    let refill = Some(Refill { amount: 9, interval: 60_000, since: app.clock.now() });
    let shown = async |key: &str| {
        let answer = app.caller(key).get(&path(&tenant, "?on_limit=403")).await;
        let names =
            ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
        let text = names.map(|name| answer.header(name).to_owned()).join(" | ");
        (answer.status, text, answer.header("retry-after").to_owned())
    };
    let result = |status, text: &str, wait: &str| (status, text.to_owned(), wait.to_owned());
    let quota = Quota { rate_limit, ..Quota::default() };
    let (_, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    assert_eq!(shown(&key).await, result(200, r#""rate";r=1;t=11 | "rate";q=2;w=11 | 2 | 1 | 11"#, ""));
    app.clock.advance_seconds(3);
    assert_eq!(shown(&key).await, result(200, r#""rate";r=0;t=8 | "rate";q=2;w=11 | 2 | 0 | 8"#, ""));
    assert_eq!(shown(&key).await, result(403, r#""rate";r=0;t=8 | "rate";q=2;w=11 | 2 | 0 | 8"#, "8"));
    let quota = Quota { remaining: Some(1), ..Quota::default() };
    let (_, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    assert_eq!(shown(&key).await, result(200, r#""uses";r=0 |  |  | 0 | "#, ""));
    assert_eq!(shown(&key).await, result(403, r#""uses";r=0 |  |  | 0 | "#, ""));
    let quota = Quota { remaining: Some(1), refill, rate_limit, ..Quota::default() };
    let (_, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let both = r#""rate";r=1;t=11, "uses";r=0 | "rate";q=2;w=11, "uses";q=9;w=60 | 2 | 1 | 11"#;
    assert_eq!(shown(&key).await, result(200, both, ""));
}
