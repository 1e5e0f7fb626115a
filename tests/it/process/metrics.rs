//! Metrics: what is counted, that they contain no secrets, and their own address.

use api::config::MetricsAt;
use harness::{Caller, MAX_WAIT, Process, TestApp, wait_until};
use serde_json::json;

/// The value of a metric, with its labels, as text.
fn written<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn value_of(text: &str, name: &str) -> u64 {
    written(text, name).parse().expect("a whole number")
}

async fn metrics_of(app: &TestApp) -> String {
    let answer = app.anyone().get("/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; version=0.0.4"));
    answer.text
}

#[tokio::test]
async fn requests_and_verifications_are_counted_in_metrics() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let good = tenant.create_key(&json!({"name": "good", "permissions": ["files:read"]})).await;
    let disabled = tenant.create_key(&json!({"name": "disabled", "permissions": []})).await;
    let listed = tenant.admin.get(&format!("{}?name=disabled", tenant.keys())).await.json();
    let path = format!("{}/{}", tenant.keys(), listed[0]["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.patch(&path, &json!({"enabled": false})).await.status, 200);
    let limited = tenant.create_key(&json!({"name": "limited", "permissions": [], "remaining": 1})).await;
    let before = metrics_of(&app).await;
    for (path, body) in [
        ("/api_keys/verify", json!({"key": good})),
        // Not on the fast path.
        ("/api_keys/verify", json!({"key": good, "permissions": {"files": "read"}})),
        ("/api_keys/verify", json!({"key": good, "permissions": ["files:write"]})),
        ("/api_keys/verify_batch", json!({"keys": [{"key": good}, {"key": disabled}, {"key": "nonsense"}]})),
        ("/api/auth/api-key/verify", json!({"key": limited})),
        ("/api/auth/api-key/verify", json!({"key": limited})),
    ] {
        let _ = tenant.admin.post(path, &body).await;
    }
    assert_eq!(app.anyone().with_bearer(&good).get("/auth/check-key").await.status, 200);
    assert_eq!(app.anyone().with_bearer(&disabled).get("/auth/check-key").await.status, 401);
    let sign_up = json!({"user_name": "Acme", "org_name": "Acme", "user_email": "acme@example.com"});
    assert_eq!(app.anyone().post("/auth/create-key", &sign_up).await.status, 400);
    let text = wait_until("the change feed", async || {
        let text = metrics_of(&app).await;
        if value_of(&text, "claviger_feed_up") == 1 { Ok(text) } else { Err(text) }
    })
    .await;
    let grown = |name: &str| value_of(&text, name) - value_of(&before, name);
    for (contract, outcome, count) in [
        ("native", "VALID", 2),
        ("native", "INSUFFICIENT_PERMISSIONS", 1),
        ("native", "KEY_DISABLED", 1),
        ("native", "INVALID_API_KEY", 1),
        ("athena", "VALID", 1),
        ("athena", "USAGE_EXCEEDED", 1),
        ("livekit", "VALID", 1),
        ("livekit", "KEY_DISABLED", 1),
    ] {
        let name = format!("claviger_verifications_total{{contract=\"{contract}\",outcome=\"{outcome}\"}}");
        assert_eq!(grown(&name), count, "{name}");
    }
    assert_eq!(value_of(&text, "claviger_requests_total{operation=\"verifyApiKey\",status=\"200\"}"), 2);
    assert_eq!(value_of(&text, "claviger_requests_total{operation=\"verifyApiKey\",status=\"400\"}"), 1);
    assert_eq!(value_of(&text, "claviger_request_seconds_count{operation=\"verifyApiKey\"}"), 3);
    assert_eq!(value_of(&text, "claviger_signups_refused_total{reason=\"email_taken\"}"), 1);
    assert_eq!((grown("claviger_ledger_batch_size_count"), grown("claviger_ledger_wait_seconds_count")), (2, 2));
    assert!(grown("claviger_cache_hits_total") > 0 && grown("claviger_cache_misses_total") > 0);
    assert!(value_of(&text, "claviger_cache_keys") >= 4 && value_of(&text, "claviger_cache_bytes") > 500);
    let age: f64 = written(&text, "claviger_feed_age_seconds").parse().expect("seconds");
    assert!((0.0..MAX_WAIT.as_secs_f64()).contains(&age), "{age}");
    let bound = if app.database.is_postgres() { 2 } else { 0 };
    assert_eq!(value_of(&text, "claviger_staleness_bound_seconds"), bound);
    for pool in ["verification", "write", "read"] {
        let open = |state: &str| {
            value_of(&text, &format!("claviger_database_connections{{pool=\"{pool}\",state=\"{state}\"}}"))
        };
        assert!(open("idle") + open("used") >= 1, "{pool}");
    }
    for secret in [&tenant.org_id, &tenant.key_id, &good, "acme", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn metrics_on_the_service_address_are_for_loopback_only() {
    let app = TestApp::start().await;
    assert_eq!(app.anyone().get("/metrics").await.status, 200);
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        let answer = app.anyone().with(header, "203.0.113.9").get("/metrics").await;
        assert_eq!(answer.status, 403, "{header}");
        assert!(answer.text.contains("CLAVIGER_METRICS_LISTEN") && !answer.text.contains("claviger_"), "{header}");
    }
    let own_address = MetricsAt::Address(([127, 0, 0, 1], 0).into());
    let app = TestApp::start_with(|config| config.metrics = own_address).await;
    let metrics = Caller::anyone(format!("http://{}", app.metrics_address().expect("an address")));
    assert_eq!(metrics.with("x-forwarded-for", "203.0.113.9").get("/metrics").await.status, 200);
}

#[tokio::test]
async fn metrics_can_have_their_own_address_or_be_disabled() {
    let app = TestApp::start_with(|config| config.metrics = MetricsAt::Off).await;
    assert_eq!(app.anyone().get("/metrics").await.status, 404);
    let own_address = MetricsAt::Address(([127, 0, 0, 1], 0).into());
    let app = TestApp::start_with(|config| config.metrics = own_address).await;
    assert_eq!(app.anyone().get("/metrics").await.status, 404);
    let metrics = Caller::anyone(format!("http://{}", app.metrics_address().expect("an address")));
    let answer = metrics.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("claviger_verifications_total"));
    for path in ["/openapi.json", "/auth/check-key", "/"] {
        assert_eq!(metrics.get(path).await.status, 404, "{path}");
    }
    assert!(app.stop().await.0, "both listeners are closed");
    // A metrics address that is in use is an error at the start.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let settings = [("CLAVIGER_METRICS_LISTEN", address.as_str()), ("CLAVIGER_DATABASE_URL", "sqlite::memory:")];
    let output = Process::run(&["serve"], &settings);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("cannot listen on {address}")));
}
