//! Gateways: their mistakes, whom this service trusts, and the addresses of visitors.

use std::collections::HashMap;

use api::http::client_ip::TrustedProxies;
use envoy_types::ext_authz::v3::pb::CheckRequest;
use harness::CapturedLog;
use serde_json::json;

use super::{Answer, GrpcApp, Visit, assert_allowed, assert_misconfigured, assert_refused, created};
use crate::forward_auth::{SECRET, with_secret, with_trusted_gateway};

#[tokio::test]
async fn mistakes_are_refused_counted_and_logged() {
    let log = CapturedLog::start();
    let asked = GrpcApp::start(with_trusted_gateway).await;
    let tenant = asked.app.tenant("Acme").await;
    let visit = Visit::of(&tenant.org_id).key(tenant.admin.bearer());
    assert_allowed(&asked.check(&visit).await);
    let mistakes = [
        ("permissions", "read", "A name in context_extensions is unknown"),
        ("permission", "a:b:c", "permission"),
        ("permission", "", "permission"),
        ("cost", "-1", "cost"),
        ("on_limit", "200", "on_limit"),
        ("secret", SECRET, "initial_metadata"),
        ("method_header", "X-Forwarded-Method", "remove it"),
        ("credential_header", "claviger-key-id", "credential_header"),
        ("org_id", "acme", "context_extensions must have org_id"),
        ("org_id", "", "context_extensions must have org_id"),
        ("org_id", "any", "CLAVIGER_FORWARD_AUTH_SECRET"),
    ];
    for (name, value, mistake) in mistakes {
        assert_misconfigured(&asked.check(&visit.clone().require(name, value)).await, mistake);
    }
    let without = Visit { extensions: HashMap::new(), ..visit.clone() };
    assert_misconfigured(&asked.check(&without).await, "context_extensions must have org_id");
    let with_header = visit.clone().gateway(&format!("secret={SECRET}"));
    assert_misconfigured(&asked.check(&with_header).await, "is not set");
    let not_http = asked.client.clone().check(CheckRequest::default()).await.expect("an answer");
    assert_misconfigured(&Answer::of(not_http.into_inner()), "not about an HTTP request");
    let text = asked.app.anyone().get("/metrics").await.text;
    let count = mistakes.len() + 3;
    for line in [
        format!("claviger_forward_auth_misconfigured_total {count}"),
        format!(r#"claviger_requests_total{{operation="extAuthz",status="403"}} {count}"#),
        r#"claviger_requests_total{operation="extAuthz",status="200"} 1"#.to_owned(),
    ] {
        assert!(text.lines().any(|own| own == line), "{line}");
    }
    let warnings = log.lines("WARN", "a gateway that uses forward-auth is not configured correctly");
    assert_eq!(warnings.len(), 1, "one a minute: {warnings:?}");
    let lines = log.lines("INFO", "operation=\"extAuthz\"");
    assert_eq!(lines.len(), count, "none for the request that is allowed: {lines:?}");
    assert!(lines.iter().all(|line| line.contains("misconfigured") && !line.contains(SECRET)), "{lines:?}");
}

#[tokio::test]
async fn a_gateway_must_be_trusted() {
    let asked = GrpcApp::start(|_| {}).await;
    let tenant = asked.app.tenant("Acme").await;
    let visit = Visit::of(&tenant.org_id).key(tenant.admin.bearer());
    assert_misconfigured(&asked.check(&visit).await, "comes from a gateway that is not trusted");

    let asked = GrpcApp::start(with_secret).await;
    let (tenant, other) = (asked.app.tenant("Acme").await, asked.app.tenant("Other").await);
    let visit = Visit::of(&tenant.org_id).key(tenant.admin.bearer());
    let right = format!("secret={SECRET}");
    assert_allowed(&asked.check(&visit.clone().gateway(&right)).await);
    assert_misconfigured(&asked.check(&visit).await, "does not have the header");
    assert_misconfigured(&asked.check(&visit.clone().gateway("secret=wrong")).await, "missing, repeated, or not that");
    assert_misconfigured(&asked.check(&visit.clone().gateway(&right).gateway(&right)).await, "more than once");
    let more = visit.clone().gateway(&format!("{right}&permission=x"));
    assert_misconfigured(&asked.check(&more).await, "more than the secret");
    // The visitor's header is not the gateway's.
    assert_misconfigured(&asked.check(&visit.header("claviger-gateway", &right)).await, "does not have the header");
    for tenant in [&tenant, &other] {
        let visit = Visit::of("any").gateway(&right).key(tenant.admin.bearer());
        let answer = asked.check(&visit).await;
        assert_allowed(&answer);
        assert_eq!(answer.header("claviger-org-id"), tenant.org_id);
    }
}

#[tokio::test]
async fn the_address_of_a_visitor_is_the_one_that_envoy_reports() {
    let asked = GrpcApp::start(|config| {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8"].map(|network| network.parse().expect("a network"));
        config.trusted_proxies = TrustedProxies(trusted.to_vec());
    })
    .await;
    let tenant = asked.app.tenant("Acme").await;
    let body = json!({"name": "n", "permissions": [], "allowed_addresses": ["192.0.2.1", "2001:db8::/32"]});
    let made = created(&tenant, body).await;
    let visit = Visit::of(&tenant.org_id).key(made["key"].as_str().expect("a secret"));
    let forwarded = |from: &str, value: &str| visit.clone().from(from).header("x-forwarded-for", value);
    let unknown = Visit { address: None, ..visit.clone() };
    for (visit, is_allowed) in [
        (visit.clone(), true),
        (visit.clone().from("::ffff:192.0.2.1"), true),
        (visit.clone().from("2001:db8::7"), true),
        (visit.clone().from("192.0.2.2"), false),
        // The header counts only behind another proxy that is trusted.
        (forwarded("192.0.2.2", "192.0.2.1"), false),
        (forwarded("192.0.2.1", "192.0.2.2"), true),
        (forwarded("10.0.0.1", "192.0.2.1, 10.0.0.1"), true),
        (forwarded("10.0.0.1", "192.0.2.1, 192.0.2.2, 10.0.0.1"), false),
        (visit.clone().from("10.0.0.1"), false),
        (visit.clone().from("nonsense"), false),
        (unknown, false),
    ] {
        let answer = asked.check(&visit).await;
        if is_allowed {
            assert_allowed(&answer);
        } else {
            assert_refused(&answer, 403, "address_not_allowed");
        }
    }
}

#[tokio::test]
async fn the_network_of_a_visitor_is_locked_out_but_not_the_gateway() {
    let asked = GrpcApp::start(|config| {
        with_secret(config);
        config.auth_failure_rate = 1;
    })
    .await;
    let tenant = asked.app.tenant("Acme").await;
    let key = created(&tenant, json!({"name": "n", "permissions": []})).await;
    let visit = Visit::of(&tenant.org_id).gateway(&format!("secret={SECRET}"));
    let with_key = visit.clone().key(key["key"].as_str().expect("a secret"));
    assert_refused(&asked.check(&visit).await, 401, "missing_credential");
    assert_refused(&asked.check(&visit.clone().key("wrong")).await, 401, "invalid_key");
    let answer = asked.check(&with_key).await;
    assert_refused(&answer, 429, "too_many_failures");
    assert!(!answer.header("retry-after").is_empty());
    assert_allowed(&asked.check(&with_key.from("198.51.100.1")).await);
    // They count together with those of the API.
    assert_refused(&asked.check(&visit.from("127.0.0.1").key("wrong")).await, 401, "invalid_key");
    assert_eq!(asked.app.anyone().with_bearer("wrong").get("/me").await.status, 429);
}
