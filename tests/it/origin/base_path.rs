//! The service below a path of a host that it shares, behind proxies that remove the path from requests, and that do not.

use std::collections::BTreeSet;

use api::http::origin::PublicUrl;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use harness::{Answer, Caller, KeySpec, TestApp};
use serde_json::{Value, json};

/// A service that clients reach at this URL.
async fn start_at(url: &str) -> TestApp {
    let public_url = PublicUrl::parse(url).expect("a public URL");
    TestApp::start_with(|config| config.public_url = Some(public_url)).await
}

/// The caller behind a proxy that removes the base path, and behind one that does not.
fn both_ways(app: &TestApp, caller: &Caller, base_path: &str) -> [Caller; 2] {
    [caller.clone(), caller.at(&format!("{}{base_path}", app.base()))]
}

/// The path in the header `Link`.
fn next_path(answer: &Answer) -> String {
    let link = answer.header("link");
    let path = link.strip_prefix('<').and_then(|link| link.split_once(">; rel=\"next\""));
    path.unwrap_or_else(|| panic!("a link to the next page: {link:?} {}", answer.text)).0.to_owned()
}

#[tokio::test]
async fn requests_are_answered_with_and_without_the_base_path() {
    let app = start_at("https://example.com/keys").await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    for admin in both_ways(&app, &tenant.admin, "/keys") {
        let anyone = admin.without("authorization");
        assert_eq!(anyone.get("/health/ready").await.json(), json!({"status": "ready"}));
        assert_eq!(anyone.get("/docs").await.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(admin.get("/me").await.json()["organization"]["id"], json!(tenant.org_id));
        // The second verify is on the fast path: then the key of the caller is cached.
        for _ in 0..2 {
            let verdict = admin.post("/api_keys/verify", &json!({"key": key})).await;
            assert_eq!((verdict.status, &verdict.json()["code"]), (200, &json!("VALID")));
        }
        let verdict = admin.post("/api/auth/api-key/verify", &json!({"key": key})).await;
        assert_eq!((verdict.status, &verdict.json()["valid"]), (200, &json!(true)));
        // Errors are in the format of their contract.
        assert_eq!(anyone.get("/me").await.json()["reason"], "unauthenticated");
        assert_eq!(anyone.get("/auth/check-key").await.json()["success"], false);
        assert_eq!(admin.get("/nothing").await.json()["reason"], "unknown_path");
        let not_allowed = admin.send("PUT", "/me", None).await;
        assert_eq!((not_allowed.status, not_allowed.header("allow")), (405, "GET, HEAD"));
    }
    for path in ["/keysmith/me", "/keys/keys/me", "/other/me"] {
        assert_eq!(tenant.admin.get(path).await.status, 404, "{path}");
    }
    // Both are the same request.
    let [direct, below] = both_ways(&app, &tenant.admin.with("idempotency-key", "k"), "/keys");
    let body = json!({"name": "n", "permissions": []});
    let first = direct.post(&tenant.keys(), &body).await;
    let again = below.post(&tenant.keys(), &body).await;
    assert_eq!((first.status, &first.json()["id"]), (200, &again.json()["id"]));
    assert_eq!(again.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn links_have_the_base_path() {
    let app = start_at("https://example.com/keys").await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    for name in ["a", "b"] {
        assert_eq!(tenant.admin.post(&tenant.keys(), &json!({"name": name, "permissions": []})).await.status, 200);
        let member = json!({"user_email": format!("{name}@example.com"), "user_name": name, "permissions": []});
        assert_eq!(tenant.admin.post(&format!("{org}/members"), &member).await.status, 200);
    }
    for list in ["api_keys", "members", "audit_events"] {
        for admin in both_ways(&app, &tenant.admin, "/keys") {
            let answer = admin.get(&format!("{org}/{list}?limit=1")).await;
            let next = next_path(&answer);
            assert!(next.starts_with(&format!("/keys{org}/{list}?")), "{next}");
            let second = tenant.admin.get(&next).await;
            assert_eq!(second.status, 200, "{}", second.text);
            assert!(second.text != answer.text && second.json().as_array().is_some_and(|items| items.len() == 1));
        }
    }
}

#[tokio::test]
async fn the_document_cookies_and_tokens_have_the_base_path() {
    let app = start_at("https://example.com/keys").await;
    let tenant = app.tenant("Acme").await;
    let document = app.anyone().get("/keys/openapi.json").await.json();
    assert_eq!(document["servers"][0]["url"], "/keys");
    assert!(
        app.anyone().get("/docs").await.text.contains("\"url\": \"/keys\""),
        "the reference page sends requests there"
    );
    // The prefix `__Host-` needs the path `/`.
    let opened = tenant.admin.send("POST", "/session", None).await;
    let (cookie, attributes) = opened.header("set-cookie").split_once("; ").expect("attributes");
    assert!(cookie.starts_with("apiKeyCookie=ey"), "{cookie}");
    let attributes: BTreeSet<&str> = attributes.split("; ").collect();
    assert!(["Path=/keys", "Secure", "HttpOnly"].iter().all(|one| attributes.contains(one)), "{attributes:?}");
    let page = app.anyone().with("cookie", cookie).with("origin", "https://example.com");
    for page in both_ways(&app, &page, "/keys") {
        assert_eq!(page.post(&tenant.keys(), &json!({"name": "n", "permissions": []})).await.status, 200);
    }
    let closed = page.delete("/session").await;
    assert!(closed.header("set-cookie").contains("Path=/keys"), "{}", closed.header("set-cookie"));
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let token = app.caller(&key).post("/tokens", &json!({"audience": "a"})).await.json();
    let revoked = app.anyone().get("/.well-known/revoked").await.text;
    for token in [token["token"].as_str().expect("a token"), &revoked] {
        let claims = token.split('.').nth(1).and_then(|claims| BASE64_URL_SAFE_NO_PAD.decode(claims).ok());
        let claims: Value = serde_json::from_slice(&claims.expect("claims")).expect("JSON");
        assert_eq!(claims["iss"], "https://example.com/keys");
    }
}

#[tokio::test]
async fn the_dashboard_loads_its_files_below_the_base_path() {
    let app = start_at("https://example.com/keys").await;
    for path in ["/", "/keys", "/keys/"] {
        let page = app.anyone().get(path).await;
        let files: Vec<&str> = page.text.split('"').filter(|text| text.contains("assets/")).collect();
        assert!(files.len() >= 3, "{path}: {}", page.text);
        for file in files {
            let below = file.strip_prefix("/keys").unwrap_or_else(|| panic!("{path}: {file}"));
            assert_eq!(app.anyone().get(file).await.status, 200, "{file}");
            assert_eq!(app.anyone().get(below).await.status, 200, "{below}");
        }
        assert!(page.header("content-security-policy").contains("base-uri 'none'"));
    }
}

#[tokio::test]
async fn a_base_path_can_begin_like_the_paths_of_a_contract() {
    let app = start_at("https://example.com/api").await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    for admin in both_ways(&app, &tenant.admin, "/api") {
        let verdict = admin.post("/api/auth/api-key/verify", &json!({"key": key})).await;
        assert_eq!((verdict.status, &verdict.json()["valid"]), (200, &json!(true)), "{}", verdict.text);
        assert_eq!(admin.get("/auth/check-key").await.status, 200);
        assert_eq!(admin.get("/me").await.status, 200);
    }
}

#[tokio::test]
async fn a_base_path_cannot_begin_like_another_path_of_the_service() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("paths").keys();
    let mut segments: BTreeSet<&str> = paths.filter_map(|path| path.split('/').nth(1)).collect();
    assert!(segments.remove("api") && segments.len() > 5, "{segments:?}");
    for segment in segments.into_iter().chain(["assets", "docs", "health", "metrics", "openapi.json"]) {
        for url in [format!("https://example.com/{segment}"), format!("https://example.com/{segment}/keys")] {
            assert!(PublicUrl::parse(&url).is_err(), "{url}");
        }
    }
}
