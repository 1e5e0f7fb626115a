//! Rules for all responses: headers, request ids, size limits, and errors outside of operations.

use std::collections::BTreeSet;

use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

use crate::http::raw;

#[tokio::test]
async fn every_response_has_the_common_headers() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    for (path, status) in [
        (keys.as_str(), 200),
        ("/auth/check-key", 200),
        ("/orgs/x/api_keys", 404),
        ("/nothing", 404),
        ("/health/live", 200),
    ] {
        let answer = tenant.admin.get(path).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(
            answer.header("content-type"),
            if path == "/health/live" { "application/json; charset=utf-8" } else { "application/json" }
        );
        assert_eq!(answer.header("x-request-id").len(), 32, "{path}");
    }
}

#[tokio::test]
async fn a_valid_request_id_is_used() {
    let app = TestApp::start().await;
    let long = "x".repeat(65);
    for (given, taken) in [("abc-1._Z", true), (&long[..64], true), (long.as_str(), false), ("a b", false), ("", false)]
    {
        let answer = app.anyone().with("x-request-id", given).get("/nothing").await;
        assert_eq!(answer.header("x-request-id") == given, taken, "{given}");
        assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
    }
}

#[tokio::test]
async fn errors_outside_operations_have_the_form_of_their_path() {
    let app = TestApp::start().await;
    for path in
        ["/nothing", "/assets/nothing.js", "/index.html", "/organ", "/orgs/x/y", "/orgs/x/api_keys/y/z", "/authentic"]
    {
        let answer = app.anyone().get(path).await;
        assert_eq!(
            (answer.status, answer.failure()),
            (404, json!({"message": "No operation has this path; see /docs", "code": 404, "reason": "unknown_path"})),
            "{path}"
        );
    }
    let answer = app.anyone().get("/auth/create-key/").await;
    assert_eq!(
        (answer.status, answer.json()),
        (404, json!({"success": false, "message": "Resource not found", "data": null}))
    );
    for (method, path, allow) in [
        ("PUT", "/orgs/x/api_keys", "GET, POST, HEAD"),
        ("PUT", "/orgs/x/api_keys/y", "GET, PATCH, DELETE, HEAD"),
        ("GET", "/orgs/x/api_keys/y/rotate", "POST"),
        ("GET", "/auth/create-key", "POST"),
        ("GET", "/orgs/x/api_keys/bulk_create", "POST"),
        ("POST", "/health/live", "GET, HEAD"),
    ] {
        let answer = app.anyone().send(method, path, None).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{method} {path}");
    }
    let answer = app.anyone().send("HEAD", "/health/live", None).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn allow_has_the_documented_methods_of_each_path() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let mut paths = 0;
    for (template, operations) in document["paths"].as_object().expect("paths") {
        let path: Vec<&str> = template.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        let path = path.join("/");
        let methods = operations.as_object().expect("operations").keys().map(|method| method.to_uppercase());
        let mut documented: BTreeSet<String> = methods.collect();
        if documented.contains("GET") {
            documented.insert("HEAD".to_owned());
        }
        for (method, status) in [("TRACE", 405), ("OPTIONS", 204)] {
            let answer = app.anyone().send(method, &path, None).await;
            let allowed: BTreeSet<String> = answer.header("allow").split(", ").map(ToOwned::to_owned).collect();
            assert_eq!((answer.status, &allowed), (status, &documented), "{method} {path}");
        }
        paths += 1;
    }
    assert!(paths > 30, "{paths}");
    assert_eq!(app.anyone().send("OPTIONS", "/nothing", None).await.status, 404);
}

#[tokio::test]
async fn bodies_have_a_size_limit_and_a_content_type() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let body = |size: usize| {
        let mut body = json!({"name": "n", "permissions": []}).to_string();
        body.push_str(&" ".repeat(size - body.len()));
        body.into_bytes()
    };
    for (size, status) in [(65_536, 200), (65_537, 413), (1_000_000, 413)] {
        let answer = tenant.admin.send("POST", &keys, Some(body(size))).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_i64()),
            (status, (status != 200).then_some(i64::from(status))),
            "{size}"
        );
    }
    let key = tenant.admin.post(&keys, &json!({"name": "n", "permissions": ["*"]})).await.json()["key"].clone();
    let head = format!(
        "POST {keys} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nconnection: close\r\n",
        key.as_str().expect("text")
    );
    let chunk = body(65_537);
    let chunked = [
        format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n", chunk.len()).as_bytes(),
        &chunk[..],
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let answer = raw(&app, &chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    for (content_type, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
        ("", 415),
    ] {
        let caller = tenant.admin.with("content-type", content_type);
        assert_eq!(caller.send("POST", &keys, Some(body(100))).await.status, status, "{content_type}");
    }
    let none = tenant.admin.send("POST", &keys, Some(body(100))).await;
    assert_eq!(none.status, 200, "without a content type: read as JSON");
    let empty = tenant.admin.send("POST", &keys, None).await;
    assert_eq!(empty.status, 400);
}

#[tokio::test]
async fn invalid_json_is_reported() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    for body in ["{", "[]", "null", "\"x\"", r#"{"name":"n","permissions":[],"name":"m"}"#, "{} {}", "\u{feff}{}"] {
        let answer = tenant.admin.send("POST", &keys, Some(body.into())).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(400)), "{body}");
        assert!(answer.json()["message"].as_str().is_some_and(|text| text.starts_with("The body ")), "{body}");
    }
    let deep = "[".repeat(30_000);
    assert_eq!(tenant.admin.send("POST", &keys, Some(deep.into())).await.status, 400);
    assert_eq!(tenant.admin.send("POST", &keys, Some(vec![b'"', 0xff, b'"'])).await.status, 400);
}

#[tokio::test]
async fn request_heads_have_a_size_limit() {
    let app = TestApp::start().await;
    let request = format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    assert!(raw(&app, request.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    assert!(raw(&app, b"NONSENSE\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn health_checks_and_documents_are_served() {
    let app = TestApp::start().await;
    assert_eq!(app.anyone().get("/health/live").await.json(), json!({"status": "live"}));
    assert_eq!(app.anyone().get("/health/ready").await.json(), json!({"status": "ready"}));
    let document = app.anyone().get("/openapi.json").await.json();
    assert_eq!(document["info"]["title"], "Claviger");
    let page = app.anyone().get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    for attribute in ["src=\"http", "href=\"http", "src=\"//", "@import"] {
        let loads = page.text.split("<script").next().expect("the head").contains(attribute);
        assert!(!loads, "the page loads something from elsewhere: {attribute}");
    }
}

#[tokio::test]
async fn documents_are_compressed_and_have_etags() {
    let app = TestApp::start().await;
    for path in ["/docs", "/openapi.json"] {
        let plain = app.anyone().get(path).await;
        assert_eq!((plain.header("cache-control"), plain.header("content-encoding")), ("no-cache", ""), "{path}");
        let packed = app.anyone().with("accept-encoding", "gzip").get(path).await;
        assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"), "{path}");
        let length = |answer: &harness::Answer| answer.header("content-length").parse::<usize>().expect("a length");
        assert!(length(&packed) < length(&plain) / 2, "{path}");
        for (known, encoding) in [(&plain, "identity"), (&packed, "gzip")] {
            let caller = app.anyone().with("accept-encoding", encoding).with("if-none-match", known.header("etag"));
            let answer = caller.get(path).await;
            assert_eq!((answer.status, answer.text.len()), (304, 0), "{path}");
            assert_eq!(answer.header("etag"), known.header("etag"), "{path}");
        }
    }
}

#[tokio::test]
async fn an_internal_error_has_a_fixed_message_and_the_request_id() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    app.break_keys().await;
    let answer = tenant.admin.get(&format!("/orgs/{}/api_keys", tenant.org_id)).await;
    assert_eq!(answer.status, 500);
    let message = "An error occurred on the server; give its operator the request id";
    assert_eq!(answer.failure(), json!({"message": message, "code": 500, "reason": "internal"}));
    let answer = tenant.admin.get("/auth/check-key").await;
    let message = format!("An error occurred on the server (request {})", answer.header("x-request-id"));
    assert_eq!(
        (answer.status, answer.json()),
        (500, json!({"success": false, "message": message, "data": Value::Null}))
    );
}
