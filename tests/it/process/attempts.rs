//! Limits on attempts by network of the client: valid credentials are served, and what is refused is reported.

use std::time::Duration;

use api::{config::Config, http::client_ip::TrustedProxies};
use harness::{Answer, Caller, Process, Scheme, TestApp, TestDatabase, wait_until};
use serde_json::{Value, json};

use crate::auth::idp;

const CHECK: &str = "/auth/check-key";

/// The metric of keys that were not in the cache.
const MISSES: &str = "claviger_cache_misses_total";

/// One failed authentication a minute, and a proxy on this machine.
fn one_failure_behind_a_proxy(config: &mut Config) {
    config.auth_failure_rate = 1;
    config.trusted_proxies = TrustedProxies(vec!["127.0.0.1/32".parse().expect("a network")]);
}

/// Asserts that an answer is a refused attempt that says when to try again.
fn assert_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 429, "{what}: {}", answer.text);
    let wait: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{what}: {wait}");
    let unit = if wait == 1 { "second" } else { "seconds" };
    let message = format!("Too many attempts from this IP address; try again in {wait} {unit}");
    assert_eq!(answer.json()["message"], message, "{what}");
}

async fn metric(app: &TestApp, name: &str) -> u64 {
    let text = app.anyone().get("/metrics").await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

#[tokio::test]
async fn valid_credentials_are_served_in_a_network_that_failed_too_often() {
    let app = TestApp::start_with(|config| {
        one_failure_behind_a_proxy(config);
        // So that the cache is used on a busy machine, too.
        config.staleness_bound = Duration::from_mins(1);
    })
    .await;
    let tenant = app.tenant("Acme").await;
    // By the API: a change that is not made by the service empties its cache.
    let key = async || {
        let created = tenant.admin.post(&tenant.keys(), &json!({"name": "n", "permissions": ["*"]})).await.json();
        let text = |name: &str| created[name].as_str().expect("a text").to_owned();
        (text("id"), text("key"))
    };
    let ((_, cached), (_, uncached), (disabled_id, disabled)) = (key().await, key().await, key().await);
    let path = format!("{}/{disabled_id}", tenant.keys());
    assert_eq!(tenant.admin.patch(&path, &json!({"enabled": false})).await.status, 200);
    let from = |address: &str| app.anyone().with("x-forwarded-for", address);
    let check = async |caller: Caller| caller.get(CHECK).await;
    // Requests without a credential, and with a valid one, are not failures.
    for _ in 0..3 {
        assert_eq!(check(from("2001:db8::1")).await.status, 401);
        assert_eq!(check(from("2001:db8::1").with_bearer(&cached)).await.status, 200);
    }
    let session = from("198.51.100.1").with_bearer(&cached).post("/session", &json!({})).await;
    let mut tries = 0;
    wait_until("both keys are in the cache", async || {
        // Each time from another network, because the disabled key is a failure.
        tries += 1;
        let (other, before) = (from(&format!("2001:db8:1:{tries:x}::1")), metric(&app, MISSES).await);
        assert_eq!(check(other.with_bearer(&cached)).await.status, 200);
        assert_eq!(check(other.with_bearer(&disabled)).await.status, 401);
        let misses = metric(&app, MISSES).await - before;
        if misses == 0 { Ok(()) } else { Err(misses) }
    })
    .await;
    assert_eq!(check(from("2001:db8::1").with_bearer("wrong")).await.status, 401);

    let inside = from("2001:db8::99");
    for scheme in Scheme::ALL {
        let caller = inside.with_key(scheme, &cached);
        assert_eq!(check(caller.clone()).await.status, 200, "{scheme:?}");
        let verified = caller.post("/api_keys/verify", &json!({"key": cached})).await;
        assert_eq!((verified.status, &verified.json()["valid"]), (200, &json!(true)), "{scheme:?}");
    }
    let (session_cookie, _) = session.cookie().split_once('=').expect("a cookie");
    let unsigned = format!("{session_cookie}=a.b.c");
    let browser = inside.with("cookie", session.cookie()).with("sec-fetch-site", "same-origin");
    assert_eq!(browser.get(&tenant.keys()).await.status, 200, "a session");
    assert_eq!(check(inside.clone()).await.status, 401, "no credential is no attempt");
    let mut refused = 0;
    // A failure before each request: the first one counts only for a minute.
    let fail = async || u64::from(check(inside.with_bearer("wrong")).await.status == 429);
    for (what, caller) in [
        ("an unknown secret", inside.with_bearer("wrong")),
        ("a key that is not cached", inside.with_bearer(&uncached)),
        ("a cached key that is disabled", inside.with_bearer(&disabled)),
        ("a malformed header", inside.with("authorization", "Bearer")),
        ("an unsigned session", inside.with("cookie", &unsigned)),
        ("an unsigned token", inside.with_bearer("a.b.c")),
    ] {
        for path in [CHECK, &tenant.keys(), "/api/auth/api-key/list"] {
            refused += fail().await;
            assert_refused(&caller.get(path).await, what);
            refused += 1;
        }
    }
    refused += fail().await;
    let verify = inside.with_bearer(&uncached).post("/api_keys/verify", &json!({"key": cached})).await;
    assert_refused(&verify, "verify by a key that is not cached");
    assert_eq!(metric(&app, "claviger_attempts_refused_total{kind=\"authentication\"}").await, refused + 1);

    assert_eq!(check(from("2001:db8:0:1::1").with_bearer(&uncached)).await.status, 200, "another network");
    assert_eq!(check(inside.with_bearer(&uncached)).await.status, 200, "it is cached now");
}

#[tokio::test]
async fn access_tokens_are_accepted_in_a_network_that_failed_too_often() {
    let fixture = idp::fixture_with(|_| {}, |config| config.auth_failure_rate = 1).await;
    fixture.join(&fixture.tenant, "ada", &["*"]).await;
    assert_eq!(fixture.app.caller("wrong").get(CHECK).await.status, 401);
    let claims = fixture.claims("ada");
    assert_eq!(fixture.caller_with(&claims).get(&fixture.keys()).await.status, 200);
    let expired = fixture.caller_with(&idp::with(&claims, "exp", json!(1)));
    assert_refused(&expired.get(&fixture.keys()).await, "an expired token");
}

#[tokio::test]
async fn requests_whose_client_is_unclear_are_counted() {
    const UNTRUSTED: &str = "claviger_forwarding_headers_ignored_total{reason=\"untrusted_peer\"}";
    const UNREADABLE: &str = "claviger_forwarding_headers_ignored_total{reason=\"unreadable\"}";
    let app = TestApp::start().await;
    for header in ["x-forwarded-for", "forwarded"] {
        assert_eq!(app.anyone().with(header, "nonsense").get("/health/live").await.status, 200);
    }
    assert_eq!((metric(&app, UNTRUSTED).await, metric(&app, UNREADABLE).await), (2, 0));
    let app = TestApp::start_with(one_failure_behind_a_proxy).await;
    let tenant = app.tenant("Acme").await;
    for (forwarded, verifies) in [("nonsense", 1), ("203.0.113.9, unknown", 2), ("203.0.113.9", 2)] {
        let caller = tenant.admin.with("x-forwarded-for", forwarded);
        // On the fast path, from the second time on.
        assert_eq!(caller.post("/api_keys/verify", &json!({"key": "x"})).await.status, 200);
        assert_eq!(metric(&app, UNREADABLE).await, verifies, "{forwarded}");
    }
    assert_eq!(metric(&app, UNTRUSTED).await, 0);
}

#[tokio::test]
async fn one_warning_names_the_network_that_is_refused() {
    let database = TestDatabase::empty().await;
    let process = Process::serve(&[
        ("CLAVIGER_DATABASE_URL", database.url()),
        ("CLAVIGER_AUTH_FAILURE_RATE", "1"),
        ("CLAVIGER_SIGNUP_RATE", "1"),
    ]);
    let forwarded = process.anyone().with("x-forwarded-for", "203.0.113.9").with_bearer("wrong");
    for status in [401, 429, 429] {
        assert_eq!(forwarded.get(CHECK).await.status, status);
    }
    for status in [400, 429, 429] {
        assert_eq!(process.anyone().post("/auth/create-key", &json!({})).await.status, status);
    }
    process.signal("TERM");
    let (_, log) = process.wait();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let warnings: Vec<Value> =
        events.filter(|event| event["level"] == "WARN" && event.get("network").is_some()).collect();
    let [authentications, sign_ups] = &warnings[..] else { panic!("{warnings:?}") };
    for (warning, what, names_proxy) in
        [(authentications, "too many failed authentications", true), (sign_ups, "too many sign-ups", false)]
    {
        assert_eq!(warning["network"], "127.0.0.1");
        assert!(warning["retry_after"].as_u64().is_some_and(|wait| (1..=60).contains(&wait)), "{warning}");
        let message = warning["message"].as_str().expect("a message");
        assert!(message.starts_with(what), "{message}");
        assert_eq!(message.contains("CLAVIGER_TRUSTED_PROXIES"), names_proxy, "{message}");
    }
}
