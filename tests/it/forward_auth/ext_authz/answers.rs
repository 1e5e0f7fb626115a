//! The answers: headers for the API and the visitor, metadata for Envoy, and a status and a reason for each refusal.

use domain::{
    clock::Clock,
    keys::quota::{Quota, RateLimit},
};
use futures_util::future::join_all;
use harness::KeySpec;
use serde_json::json;

use super::{Answer, GrpcApp, Visit, assert_allowed, assert_refused, created};
use crate::forward_auth::{IDENTITY, with_trusted_gateway};

#[tokio::test]
async fn a_valid_key_is_described_in_headers_and_metadata() {
    let asked = GrpcApp::start(with_trusted_gateway).await;
    let tenant = asked.app.tenant("Acme").await;
    let body = json!({
        "name": "Ünal 100%", "external_id": "user-1", "permissions": ["files:read", "write"], "metadata": {"a": "ü"},
        "rate_limit_max": 5, "rate_limit_window": 60_000,
    });
    let made = created(&tenant, body).await;
    let key = made["key"].as_str().expect("a secret");
    let visit = Visit::of(&tenant.org_id).require("permission", "files:read write").require("metadata", "true");
    let bearer = visit.clone().header("authorization", &format!("Bearer {key}"));
    let joined = Visit { is_raw: false, ..visit.clone().key(key) };
    for (visit, left) in [(visit.key(key), 4), (bearer, 3), (joined, 2)] {
        let answer = asked.check(&visit).await;
        assert_allowed(&answer);
        let expected = [
            made["id"].as_str().expect("an id"),
            "%C3%9Cnal%20100%25",
            &tenant.org_id,
            "",
            made["user_id"].as_str().unwrap_or_default(),
            "user-1",
            "files:read *:write",
            "eyJhIjoiw7wifQ",
        ];
        assert_eq!(IDENTITY.map(|name| answer.header(name)), expected);
        let limits =
            [("ratelimit", format!(r#""rate";r={left};t=60"#)), ("ratelimit-policy", r#""rate";q=5;w=60"#.to_owned())];
        assert_eq!(answer.added, limits.map(|(name, value)| (name.to_owned(), value)), "for the visitor");
        let mut metadata = json!({
            "key_id": made["id"], "key_name": "Ünal 100%", "org_id": tenant.org_id, "external_id": "user-1",
            "permissions": ["files:read", "*:write"], "rate_limit": {"limit": 5.0, "remaining": f64::from(left), "reset": 60.0},
        });
        if made["user_id"].is_string() {
            metadata["user_id"] = made["user_id"].clone();
        }
        assert_eq!(answer.metadata, metadata);
    }
}

#[tokio::test]
async fn forged_headers_are_replaced_or_removed() {
    let asked = GrpcApp::start(with_trusted_gateway).await;
    let tenant = asked.app.tenant("Acme").await;
    let (id, key) = asked.app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let other = ["claviger-anything", "claviger_key_id", "claviger-key_id", "Claviger_Gateway", "CLAVIGER-USER-ID"];
    let names = IDENTITY.iter().chain(&["claviger-permissions-truncated", "claviger-metadata-truncated"]).chain(&other);
    let forged = names.fold(Visit::of(&tenant.org_id), |visit, name| visit.header(name, "forged"));
    let answer = asked.check(&forged.clone().key(&key)).await;
    assert_allowed(&answer);
    assert_eq!(
        answer.headers,
        [("claviger-key-id", &id), ("claviger-org-id", &tenant.org_id)]
            .map(|(name, value)| { (name.to_owned(), value.clone()) })
    );
    let is_removed = |answer: &Answer, name: &str| answer.removed.contains(&name.to_ascii_lowercase());
    for name in other.iter().chain(&["claviger-permissions-truncated", "claviger-metadata-truncated"]) {
        assert!(is_removed(&answer, name), "{name}: {answer:?}");
    }
    // A preflight has no key, and no identity.
    let preflight = Visit { method: "OPTIONS".to_owned(), ..forged.require("allow_anonymous_options", "true") };
    let answer = asked.check(&preflight).await;
    assert_allowed(&answer);
    assert!(answer.headers.is_empty() && answer.added.is_empty() && answer.metadata.is_null(), "{answer:?}");
    assert!(IDENTITY.iter().chain(&other).all(|name| is_removed(&answer, name)), "{answer:?}");
    // The method is the visitor's, whatever its headers say.
    let get = Visit { method: "GET".to_owned(), ..preflight.clone().header("x-forwarded-method", "OPTIONS") };
    assert_refused(&asked.check(&get).await, 401, "missing_credential");
    let odd = Visit { method: "options".to_owned(), ..preflight };
    assert_refused(&asked.check(&odd).await, 401, "missing_credential");
}

#[tokio::test]
async fn every_refusal_has_its_status_and_reason() {
    let asked = GrpcApp::start(with_trusted_gateway).await;
    let (tenant, other) = (asked.app.tenant("Acme").await, asked.app.tenant("Other").await);
    let limited = Quota { rate_limit: Some(RateLimit { max: 1, window: 10_500 }), ..Quota::default() };
    let limited = Quota { window_start: Some(asked.app.clock.now()), window_count: 1, ..limited };
    let empty = Quota { remaining: Some(1), ..Quota::default() };
    let elsewhere = json!({"name": "a", "permissions": ["read"], "allowed_addresses": ["192.0.2.77"]});
    let elsewhere = created(&tenant, elsewhere).await["key"].as_str().expect("a secret").to_owned();
    let stored = async |spec: KeySpec| asked.app.key(&tenant.org_id, spec).await.1;
    let visit = Visit::of(&tenant.org_id).require("permission", "files:read").require("cost", "2");
    for (key, status, reason) in [
        (stored(KeySpec { enabled: false, ..KeySpec::with(&["read"]) }).await, 401, "disabled"),
        (stored(KeySpec { expires_in: Some(-1), ..KeySpec::with(&["read"]) }).await, 401, "expired"),
        (stored(KeySpec::with(&["files:write"])).await, 403, "insufficient_permissions"),
        (stored(KeySpec { quota: empty, ..KeySpec::with(&["read"]) }).await, 429, "usage_exceeded"),
        (stored(KeySpec { quota: limited, ..KeySpec::with(&["read"]) }).await, 429, "rate_limited"),
        (elsewhere, 403, "address_not_allowed"),
        (other.admin.bearer().to_owned(), 401, "invalid_key"),
        ("nonsense".to_owned(), 401, "invalid_key"),
    ] {
        let visit = visit.clone().key(&key);
        let answer = asked.check(&visit).await;
        assert_refused(&answer, status, reason);
        assert_eq!(answer.metadata["key_id"].is_string(), reason != "invalid_key", "{answer:?}");
        if reason == "rate_limited" {
            assert_eq!(answer.header("retry-after"), "11");
            let limit = json!({"limit": 1.0, "remaining": 0.0, "reset": 11.0});
            assert_eq!((answer.header("ratelimit"), &answer.metadata["rate_limit"]), (r#""rate";r=0;t=11"#, &limit));
        }
        let status = if status == 429 { 403 } else { status };
        assert_refused(&asked.check(&visit.require("on_limit", "403")).await, status, reason);
    }
    assert_refused(&asked.check(&visit).await, 401, "missing_credential");
    let several = visit.clone().key(tenant.admin.bearer()).key(tenant.admin.bearer());
    assert_refused(&asked.check(&several).await, 401, "invalid_key");
    let both = visit.clone().key(tenant.admin.bearer()).header("authorization", "Bearer other");
    assert_refused(&asked.check(&both).await, 401, "invalid_key");
    let answer = asked.check(&visit.require("basic", "either")).await;
    let challenges: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "www-authenticate").collect();
    assert_eq!(challenges.len(), 2, "{answer:?}");
}

#[tokio::test]
async fn parallel_checks_use_each_use_once() {
    let asked = GrpcApp::start(with_trusted_gateway).await;
    let tenant = asked.app.tenant("Acme").await;
    for (cost, allowed) in [(1, 7), (3, 2), (0, 16)] {
        let quota = Quota { remaining: Some(7), ..Quota::default() };
        let (id, key) = asked.app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        let visit = Visit::of(&tenant.org_id).key(&key).require("cost", &cost.to_string());
        let answers = join_all((0..16).map(|_| asked.check(&visit))).await;
        let (valid, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(valid.len(), allowed, "cost {cost}");
        for answer in refused {
            assert_refused(answer, 429, "usage_exceeded");
        }
        let left = 7 - cost * i64::try_from(allowed).expect("few");
        assert_eq!(asked.app.counts(&id).await, (Some(left), 0, i64::try_from(allowed).expect("few")), "cost {cost}");
    }
}
