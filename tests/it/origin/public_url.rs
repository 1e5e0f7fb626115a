//! The public URL: cookies and the check for the origin of a request, with the setting, with an `http` URL, and without it.

use api::{
    config::Config,
    http::{client_ip::TrustedProxies, origin::PublicUrl},
};
use harness::{Answer, Caller, KeySpec, Process, Scheme, Tenant, TestApp, TestDatabase};
use serde_json::json;

async fn start_without(change: impl FnOnce(&mut Config)) -> (TestApp, Tenant) {
    let app = TestApp::start_with(|config| {
        config.public_url = None;
        change(config);
    })
    .await;
    let tenant = app.tenant("Acme").await;
    (app, tenant)
}

async fn open_session(caller: &Caller) -> Answer {
    let opened = caller.send("POST", "/session", None).await;
    assert_eq!(opened.status, 200, "{}", opened.text);
    opened
}

/// The status of a change by a page of this origin, with this cookie.
async fn change(page: &Caller, opened: &Answer, tenant: &Tenant, origin: &str) -> u16 {
    let page = page.with("cookie", opened.cookie()).with("origin", origin);
    page.post(&tenant.keys(), &json!({"name": "n", "permissions": []})).await.status
}

fn is_secure(opened: &Answer) -> bool {
    opened.header("set-cookie").split("; ").any(|attribute| attribute == "Secure")
}

#[tokio::test]
async fn over_https_the_session_is_in_a_cookie_of_the_host() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let opened = open_session(&tenant.admin).await;
    let token = opened.cookie().strip_prefix("__Host-apiKeyCookie=").expect("the cookie").to_owned();
    let me = async |cookie: &str| app.anyone().with("cookie", cookie).get("/me").await;
    assert_eq!(me(opened.cookie()).await.json()["credential"], "session");
    // Another subdomain can set the cookie `apiKeyCookie`, so it has no sessions, and does not hide the session.
    let under_old_name = me(&format!("apiKeyCookie={token}")).await;
    assert_eq!((under_old_name.status, &under_old_name.json()["reason"]), (401, &json!("unauthenticated")));
    let both = me(&format!("apiKeyCookie={token}x; {}", opened.cookie())).await;
    assert_eq!((both.status, &both.json()["credential"]), (200, &json!("session")));
    // It still has keys, as documented.
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let with_key = app.anyone().with_key(Scheme::Cookie, &key).get("/me").await;
    assert_eq!((&with_key.json()["credential"], &with_key.json()["api_key"]["id"]), (&json!("api_key"), &json!(id)));
    let wrong = me(&format!("__Host-apiKeyCookie={key}")).await;
    assert_eq!((wrong.status, &wrong.json()["reason"]), (401, &json!("invalid_credential")));
}

#[tokio::test]
async fn an_http_url_is_the_decision_of_the_operator() {
    let app = TestApp::start_with(|config| config.public_url = PublicUrl::parse("http://keys.example:8080").ok()).await;
    let tenant = app.tenant("Acme").await;
    let opened = open_session(&tenant.admin).await;
    assert!(opened.cookie().starts_with("apiKeyCookie=ey") && !is_secure(&opened), "{}", opened.header("set-cookie"));
    // Browsers send no fetch metadata over http.
    assert_eq!(change(&app.anyone(), &opened, &tenant, "http://keys.example:8080").await, 200);
    assert_eq!(change(&app.anyone(), &opened, &tenant, "http://keys.example").await, 403);
}

#[tokio::test]
async fn without_the_setting_the_request_names_the_origin() {
    let (app, tenant) = start_without(|_| {}).await;
    let opened = open_session(&tenant.admin).await;
    assert!(opened.cookie().starts_with("apiKeyCookie=ey") && !is_secure(&opened), "{}", opened.header("set-cookie"));
    assert_eq!(change(&app.anyone(), &opened, &tenant, &app.base()).await, 200);
    let named = app.anyone().with("host", "keys.example:8080");
    assert_eq!(change(&named, &opened, &tenant, "http://keys.example:8080").await, 200);
    for origin in ["http://keys.example", "https://keys.example:8080", "http://evil.example", "null"] {
        assert_eq!(change(&named, &opened, &tenant, origin).await, 403, "{origin}");
    }
    // This client is no trusted proxy.
    let forwarded = named.with("x-forwarded-host", "evil.example").with("x-forwarded-proto", "https");
    assert_eq!(change(&forwarded, &opened, &tenant, "https://evil.example").await, 403);
    assert_eq!(change(&forwarded, &opened, &tenant, "http://keys.example:8080").await, 200);
    // Links have no base path.
    let link = tenant.admin.get(&format!("/orgs/{}/audit_events?limit=1", tenant.org_id)).await;
    assert!(link.header("link").starts_with("</orgs/"), "{}", link.header("link"));
}

#[tokio::test]
async fn without_the_setting_a_trusted_proxy_reports_the_origin() {
    let proxies = TrustedProxies(vec!["127.0.0.1/32".parse().expect("a network")]);
    let (app, tenant) = start_without(|config| config.trusted_proxies = proxies).await;
    let by_proxy = |caller: &Caller| caller.with("x-forwarded-proto", "https").with("x-forwarded-host", "keys.example");
    let opened = open_session(&by_proxy(&tenant.admin)).await;
    assert!(opened.cookie().starts_with("__Host-apiKeyCookie=ey"), "{}", opened.header("set-cookie"));
    assert!(is_secure(&opened));
    assert_eq!(change(&by_proxy(&app.anyone()), &opened, &tenant, "https://keys.example").await, 200);
    assert_eq!(change(&by_proxy(&app.anyone()), &opened, &tenant, "http://keys.example").await, 403);
    assert_eq!(change(&app.anyone(), &opened, &tenant, &app.base()).await, 401, "over http the cookie has no session");
}

#[tokio::test]
async fn without_the_setting_no_tokens_are_issued() {
    let (app, tenant) = start_without(|_| {}).await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let issued = app.caller(&key).post("/tokens", &json!({"audience": "a"})).await;
    for answer in [issued, app.anyone().get("/.well-known/revoked").await] {
        let body = answer.json();
        assert_eq!((answer.status, &body["reason"]), (503, &json!("public_origin_required")), "{}", answer.text);
        assert!(body["message"].as_str().is_some_and(|message| message.contains("CLAVIGER_PUBLIC_ORIGIN")));
    }
    assert_eq!(app.anyone().get("/.well-known/jwks.json").await.status, 200, "the keys are public");
}

#[tokio::test]
async fn the_start_warns_about_an_http_url() {
    let database = TestDatabase::empty().await;
    for (url, warns) in [("http://keys.example", true), ("http://localhost:8080", false), ("https://a.b/keys", false)] {
        let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_PUBLIC_ORIGIN", url)];
        let process = Process::serve(&settings);
        process.signal("TERM");
        let (status, log) = process.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        let is_warned =
            log.lines().any(|line| line.contains("\"WARN\"") && line.contains("CLAVIGER_PUBLIC_ORIGIN is http"));
        assert_eq!(is_warned, warns, "{url}: {log}");
    }
}

#[test]
fn no_path_of_the_api_can_be_a_base_path() {
    let document: serde_json::Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let first = paths.keys().map(|path| path.split('/').nth(1).expect("a segment"));
    let first: std::collections::BTreeSet<&str> = first.filter(|segment| *segment != "api").collect();
    assert!(first.len() > 5, "{first:?}");
    for segment in first.into_iter().chain(["assets", "docs", "health", "metrics", "openapi.json"]) {
        assert!(PublicUrl::parse(&format!("https://example.com/{segment}/keys")).is_err(), "{segment}");
    }
}
