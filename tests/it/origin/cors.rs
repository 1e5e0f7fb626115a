//! Pages of other origins: preflights, and responses that they can read.

use std::time::Duration;

use api::http::origin::cors::{CorsOrigins, OriginPattern};
use harness::{Answer, Caller, KeySpec, TestApp, wait_until, within};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PAGE: &str = "https://app.example.com";

fn allow(patterns: &[&str]) -> CorsOrigins {
    CorsOrigins::Matching(patterns.iter().map(|text| OriginPattern::parse(text).expect("a pattern")).collect())
}

async fn start(patterns: &[&str]) -> TestApp {
    TestApp::start_with(|config| config.cors_origins = allow(patterns)).await
}

fn preflight(app: &TestApp, origin: &str, method: &str) -> Caller {
    let caller = app.anyone().with("origin", origin).with("access-control-request-method", method);
    caller.with("access-control-request-headers", "authorization,content-type")
}

/// The names in the header `Vary`, which may be repeated.
fn vary(answer: &Answer) -> Vec<String> {
    let lines = answer.headers.get_all("vary").iter().map(|line| line.to_str().expect("text"));
    lines.flat_map(|line| line.split(',')).map(|name| name.trim().to_lowercase()).collect()
}

/// Asserts that a page of this origin can read the response.
#[track_caller]
fn assert_readable(answer: &Answer, origin: &str) {
    let what = format!("{} {}", answer.status, answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), origin, "{what}");
    assert_eq!(answer.headers.get("access-control-allow-credentials"), None, "{what}");
    let exposed = answer.header("access-control-expose-headers");
    for name in ["etag", "link", "retry-after", "ratelimit", "x-request-id", "claviger-stale", "www-authenticate"] {
        assert!(exposed.split(", ").any(|one| one == name), "{name}: {exposed}");
    }
    assert_eq!(vary(answer).contains(&"origin".to_owned()), origin != "*", "{what}");
}

#[tokio::test]
async fn preflights_are_answered_for_paths_that_exist() {
    let app = start(&["https://other.example", "https://*.example.com"]).await;
    for (path, method, methods) in [
        ("/api_keys/verify", "POST", "POST"),
        ("/me", "GET", "GET, HEAD"),
        ("/orgs/0199/api_keys/0199", "PATCH", "DELETE, GET, HEAD, PATCH"),
        ("/api/auth/api-key/verify", "POST", "POST"),
    ] {
        let answer = preflight(&app, PAGE, method).send("OPTIONS", path, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{path}");
        assert_readable(&answer, PAGE);
        let mut allowed: Vec<&str> = answer.header("access-control-allow-methods").split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(", "), methods, "{path}");
        let headers = answer.header("access-control-allow-headers");
        for name in ["authorization", "x-api-key", "content-type", "idempotency-key", "if-match", "*"] {
            assert!(headers.split(", ").any(|one| one == name), "{name}: {headers}");
        }
        assert_eq!(answer.header("access-control-max-age"), "7200");
        let depends_on = ["access-control-request-method", "access-control-request-headers", "origin"];
        assert_eq!(vary(&answer), depends_on, "{path}");
        assert!(!answer.header("x-request-id").is_empty());
    }
    let unknown = preflight(&app, PAGE, "GET").send("OPTIONS", "/nothing", None).await;
    assert_eq!(unknown.status, 404);
    assert_readable(&unknown, PAGE);
    for origin in ["https://evil.example", "https://example.com", "http://app.example.com", "null"] {
        let answer = preflight(&app, origin, "GET").send("OPTIONS", "/me", None).await;
        assert_eq!((answer.status, answer.header("allow")), (204, "GET, HEAD"), "{origin}");
        assert_eq!(answer.headers.get("access-control-allow-origin"), None, "{origin}");
        assert_eq!(vary(&answer), ["origin"], "{origin}");
    }
    let no_preflight = app.anyone().with("origin", PAGE).send("OPTIONS", "/me", None).await;
    assert_eq!(no_preflight.header("access-control-allow-methods"), "", "without a method it is no preflight");
}

#[tokio::test]
async fn pages_of_allowed_origins_can_read_every_response() {
    let app = TestApp::start_with(|config| {
        config.cors_origins = allow(&[PAGE]);
        config.auth_failure_rate = 1;
    })
    .await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let page = tenant.admin.with("origin", PAGE).with("sec-fetch-site", "cross-site");
    let verify = json!({"key": key});
    let (malformed, large) = (Some(b"{".to_vec()), Some(vec![b' '; 70_000]));
    let as_json = page.with("content-type", "application/json");
    let as_text = page.with("content-type", "text/plain");
    for (status, answer) in [
        (200, page.get(&format!("{}?limit=1", tenant.keys())).await),
        (200, page.post("/api_keys/verify", &verify).await),
        // On the fast path: now the key of the caller is cached.
        (200, page.post("/api_keys/verify", &verify).await),
        (200, page.post("/api/auth/api-key/verify", &verify).await),
        (200, page.get("/openapi.json").await),
        (200, page.post(&tenant.keys(), &json!({"name": "n", "permissions": []})).await),
        (400, as_json.send("POST", "/api_keys/verify", malformed).await),
        (401, page.without("authorization").get("/me").await),
        (404, page.get("/nothing").await),
        (405, page.send("PUT", "/me", None).await),
        (413, as_json.send("POST", &tenant.keys(), large).await),
        (415, as_text.send("POST", &tenant.keys(), Some(b"{}".to_vec())).await),
        (401, page.without("authorization").with_bearer("cvg_wrong").get("/me").await),
        (429, page.without("authorization").with_bearer("cvg_wrong").get("/me").await),
    ] {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_readable(&answer, PAGE);
    }
    let metrics = page.get("/metrics").await;
    assert_eq!((metrics.status, metrics.headers.get("access-control-allow-origin")), (200, None));
    let other = tenant.admin.with("origin", "https://evil.example").get("/openapi.json").await;
    assert_eq!((other.status, other.headers.get("access-control-allow-origin")), (200, None));
    // So that no cache gives them to a page of an allowed origin.
    for answer in [other, app.anyone().get("/openapi.json").await] {
        assert_eq!(vary(&answer), ["accept-encoding", "origin"]);
    }
}

/// The response to a request of the page on its own connection.
async fn raw(app: &TestApp, head: &str) -> String {
    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    let request = format!("{head} HTTP/1.1\r\nhost: x\r\norigin: {PAGE}\r\nconnection: close\r\n");
    let request = format!("{request}access-control-request-method: GET\r\ncontent-length: 2\r\n\r\n{{");
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = within("a response", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn pages_can_read_that_the_service_is_overloaded_or_too_slow() {
    let app = TestApp::start_with(|config| {
        config.cors_origins = allow(&[PAGE]);
        config.request_timeout = Duration::from_millis(50);
    })
    .await;
    // The body is never complete.
    let answer = raw(&app, "POST /auth/create-key").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains(&format!("\r\naccess-control-allow-origin: {PAGE}\r\n")), "{answer}");
    let app = TestApp::start_with(|config| {
        config.cors_origins = allow(&[PAGE]);
        config.max_connections = 1;
    })
    .await;
    let mut busy = TcpStream::connect(app.address()).await.expect("a connection");
    let head = "POST /auth/create-key HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{";
    busy.write_all(head.as_bytes()).await.expect("sent");
    for request in ["GET /me", "OPTIONS /me"] {
        let answer = wait_until("the status 503", async || {
            let answer = raw(&app, request).await;
            if answer.starts_with("HTTP/1.1 503 ") { Ok(answer) } else { Err(answer) }
        });
        let answer = answer.await;
        assert!(answer.contains(&format!("\r\naccess-control-allow-origin: {PAGE}\r\n")), "{request}: {answer}");
    }
}

#[tokio::test]
async fn all_origins_can_be_allowed() {
    let app = TestApp::start_with(|config| config.cors_origins = CorsOrigins::Any).await;
    for origin in [PAGE, "null"] {
        assert_readable(&preflight(&app, origin, "POST").send("OPTIONS", "/api_keys/verify", None).await, "*");
        assert_readable(&app.anyone().with("origin", origin).get("/me").await, "*");
    }
}

#[tokio::test]
async fn cors_is_off_by_default() {
    let app = TestApp::start().await;
    let answer = preflight(&app, PAGE, "GET").send("OPTIONS", "/me", None).await;
    assert_eq!(answer.status, 204);
    for answer in [answer, app.anyone().with("origin", PAGE).get("/openapi.json").await] {
        assert!(
            answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")),
            "{:?}",
            answer.headers
        );
        assert!(!vary(&answer).contains(&"origin".to_owned()));
    }
}

#[tokio::test]
async fn cookies_are_for_pages_of_the_service_whatever_cors_allows() {
    let app = start(&[PAGE]).await;
    let tenant = app.tenant("Acme").await;
    let cookie = tenant.admin.send("POST", "/session", None).await.cookie().to_owned();
    let body = json!({"name": "n", "permissions": []});
    for site in ["cross-site", "same-site"] {
        let page = app.anyone().with("origin", PAGE).with("sec-fetch-site", site);
        let refused = page.with("cookie", &cookie).post(&tenant.keys(), &body).await;
        assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!("cross_site_request")));
        assert_readable(&refused, PAGE);
        let with_key = page.with_bearer(tenant.admin.bearer());
        assert_eq!(with_key.post(&tenant.keys(), &body).await.status, 200, "a key in a header is accepted");
    }
    let page = tenant.admin.with("origin", PAGE).with("sec-fetch-site", "cross-site");
    assert_eq!(page.send("POST", "/session", None).await.status, 403, "it cannot open a session");
}
