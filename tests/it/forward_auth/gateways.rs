//! Gateways: their secret, their mistakes, and what visitors must not influence.

use api::{config::Config, http::origin::cors::CorsOrigins};
use harness::{Caller, KeySpec, TestApp};
use serde_json::json;

use super::{SECRET, assert_allowed, assert_misconfigured, assert_refused, path, with_secret, with_trusted_gateway};

fn gateway(app: &TestApp, requirements: &str) -> Caller {
    app.anyone().with("claviger-gateway", &format!("secret={SECRET}{requirements}"))
}

async fn metric(app: &TestApp, name: &str) -> String {
    let text = app.anyone().get("/metrics").await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn mistakes_are_refused_and_named_on_this_machine() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let visitor = app.caller(tenant.admin.bearer());
    let queries = [
        ("?permissions=read", "unknown"),
        ("?permission=a:b:c", "permission"),
        ("?cost=-1", "cost"),
        ("?cost=1&cost=1", "more than once"),
        ("?on_limit=200", "on_limit"),
        ("?secret=x", "query"),
        ("?credential_header=a&credential_cookie=b", "choose one"),
        ("?resource_metadata=x", "URL"),
    ];
    for (query, mistake) in queries {
        assert_misconfigured(&visitor.get(&path(&tenant, query)).await, mistake);
    }
    for wrong in ["/forward-auth", "/forward-auth/", "/forward-auth/acme", "/forward-auth//x"] {
        assert_misconfigured(&visitor.get(wrong).await, "id of an organization");
    }
    assert_misconfigured(&visitor.get("/forward-auth/any").await, "CLAVIGER_FORWARD_AUTH_SECRET");
    let with_header = visitor.with("claviger-gateway", &format!("secret={SECRET}"));
    assert_misconfigured(&with_header.get(&path(&tenant, "")).await, "is not set");
    // Its query would be the visitor's.
    let with_path = ["/", "//", "/v1/files", "/?permission=read", "/any?permission=read"];
    for rest in with_path {
        assert_misconfigured(&visitor.get(&path(&tenant, rest)).await, "needs the header Claviger-Gateway");
    }
    let mistakes = queries.len() + 4 + 2 + with_path.len();
    assert_eq!(metric(&app, "claviger_forward_auth_misconfigured_total").await, mistakes.to_string());
    let name = r#"claviger_requests_total{operation="forwardAuth",status="403"}"#;
    assert_eq!(metric(&app, name).await, mistakes.to_string());
}

#[tokio::test]
async fn a_secret_is_needed_if_it_is_set() {
    let app = TestApp::start_with(with_secret).await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let exact = path(&tenant, "");
    let key = tenant.admin.bearer();
    assert_allowed(&gateway(&app, "").with_bearer(key).get(&exact).await);
    assert_misconfigured(&app.caller(key).get(&exact).await, "does not have the header");
    let wrong = app.caller(key).with("claviger-gateway", "secret=0123456789abcdef-0123456789ABCDEf");
    assert_misconfigured(&wrong.get(&exact).await, "missing, repeated, or not that");
    let twice = gateway(&app, "").with("claviger-gateway", &format!("secret={SECRET}"));
    assert_misconfigured(&twice.with_bearer(key).get(&exact).await, "more than once");
    let both = gateway(&app, "&cost=1").with_bearer(key);
    assert_misconfigured(&both.get(&path(&tenant, "?cost=1")).await, "both have requirements");
    assert_allowed(&both.get(&exact).await);
    assert_allowed(&gateway(&app, "").with_bearer(key).get(&path(&tenant, "?cost=0")).await);
    assert_misconfigured(&gateway(&app, "&costs=1").with_bearer(key).get(&exact).await, "unknown");
    // Keys of every organization.
    for tenant in [&tenant, &other] {
        let answer =
            gateway(&app, "&permission=read").with_bearer(tenant.admin.bearer()).get("/forward-auth/any").await;
        assert_allowed(&answer);
        assert_eq!(answer.header("claviger-org-id"), tenant.org_id);
    }
    assert_refused(&gateway(&app, "").with_bearer("x").get("/forward-auth/any/path").await, 401, "invalid_key");
    assert_misconfigured(&app.caller(key).get("/forward-auth/any").await, "does not have the header");
}

#[tokio::test]
async fn the_query_of_a_visitor_has_no_influence() {
    let app = TestApp::start_with(with_secret).await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    for query in [
        "?permission=files:read&cost=0",
        "?allow_anonymous_options=true",
        "?permission=a:b:c&cost=x&secret=y",
        "?",
        "?credential_header=X-Forged",
    ] {
        for trailing in ["/", "/v1/files", "//x", "/any"] {
            let path = path(&tenant, &format!("{trailing}{query}"));
            let needs = |permission: &str| gateway(&app, &format!("&permission={permission}")).with_bearer(&key);
            assert_allowed(&needs("files:read").get(&path).await);
            assert_refused(&needs("files:write").get(&path).await, 403, "insufficient_permissions");
            let options = gateway(&app, "").with("x-forged", &key).send("OPTIONS", &path, None).await;
            assert_refused(&options, 401, "missing_credential");
        }
    }
}

#[tokio::test]
async fn the_address_of_a_visitor_is_that_of_a_trusted_gateway_only() {
    let untrusted = TestApp::start().await;
    let tenant = untrusted.tenant("Acme").await;
    for header in ["x-forwarded-for", "forwarded"] {
        let caller = tenant.admin.with(header, "192.0.2.1");
        assert_misconfigured(&caller.get(&path(&tenant, "")).await, "CLAVIGER_TRUSTED_PROXIES");
    }
    for (change, secret) in [(with_trusted_gateway as fn(&mut _), None), (with_secret, Some(SECRET))] {
        let app = TestApp::start_with(change).await;
        let tenant = app.tenant("Acme").await;
        let body = json!({"name": "n", "permissions": [], "allowed_addresses": ["192.0.2.1"]});
        let made = tenant.admin.post(&tenant.keys(), &body).await.json();
        let visitor = app.caller(made["key"].as_str().expect("a secret"));
        let visitor = match secret {
            Some(secret) => visitor.with("claviger-gateway", &format!("secret={secret}")),
            None => visitor,
        };
        let from = async |list: &str| visitor.with("x-forwarded-for", list).get(&path(&tenant, "")).await;
        assert_allowed(&from("192.0.2.1").await);
        assert_allowed(&from("198.51.100.9, 192.0.2.1").await);
        // A visitor can write what is on the left.
        assert_refused(&from("192.0.2.1, 198.51.100.9").await, 403, "address_not_allowed");
        assert_refused(&visitor.get(&path(&tenant, "")).await, 403, "address_not_allowed");
    }
}

/// Changes the configuration so that the gateway is trusted. `true`: by its secret.
type Trust = (fn(&mut Config), bool);

#[tokio::test]
async fn a_gateway_that_reports_no_address_is_neither_locked_out_nor_taken_for_a_visitor() {
    let trusts: [Trust; 2] = [(with_trusted_gateway, false), (with_secret, true)];
    for (change, has_secret) in trusts {
        let app = TestApp::start_with(|config| {
            change(config);
            config.auth_failure_rate = 1;
        })
        .await;
        let tenant = app.tenant("Acme").await;
        let path = path(&tenant, "");
        let created = async |address: Option<&str>| {
            let body = json!({"name": "n", "permissions": [], "allowed_addresses": address.map(|address| [address])});
            let made = tenant.admin.post(&tenant.keys(), &body).await.json();
            made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
        };
        let of_gateway = created(Some("127.0.0.1")).await;
        let gateway = if has_secret { gateway(&app, "") } else { app.anyone() };
        for silent in [
            gateway.with("x-other", "192.0.2.1"),
            gateway.with("x-forwarded-for", ""),
            gateway.with("x-forwarded-for", "192.0.2.1, unknown"),
            gateway.with("forwarded", "for=_hidden"),
        ] {
            for _ in 0..3 {
                assert_refused(&silent.with_bearer("wrong").get(&path).await, 401, "invalid_key");
            }
            // A key that is not cached yet.
            assert_allowed(&silent.with_bearer(&created(None).await).get(&path).await);
            for _ in 0..2 {
                assert_refused(&silent.with_bearer(&of_gateway).get(&path).await, 403, "address_not_allowed");
            }
        }
        assert_eq!(metric(&app, "claviger_forward_auth_misconfigured_total").await, (4 * 6).to_string());
        // A visitor in the network of the gateway is reported.
        assert_allowed(&gateway.with("x-forwarded-for", "127.0.0.1").with_bearer(&of_gateway).get(&path).await);
        let of_link = created(Some("fe80::1")).await;
        assert_allowed(&gateway.with("x-forwarded-for", "fe80::1%eth0").with_bearer(&of_link).get(&path).await);
        assert_eq!(metric(&app, "claviger_forward_auth_misconfigured_total").await, (4 * 6).to_string());
    }
}

#[tokio::test]
async fn a_gateway_that_asks_at_another_path_is_refused() {
    let app = TestApp::start_with(|config| {
        with_secret(config);
        config.cors_origins = CorsOrigins::Any;
    })
    .await;
    let tenant = app.tenant("Acme").await;
    let asks = gateway(&app, "&permission=read").with_bearer(tenant.admin.bearer());
    for other in ["/", "/docs", "/health/ready", "/me", "/metrics", "/api_keys/verify", "/forward-authx", "/nothing"] {
        for method in ["GET", "POST", "OPTIONS"] {
            assert_misconfigured(&asks.send(method, other, None).await, "is not below /forward-auth/");
        }
    }
    let preflight = asks.with("origin", "https://x.example").with("access-control-request-method", "GET");
    assert_misconfigured(&preflight.send("OPTIONS", "/me", None).await, "is not below /forward-auth/");
    let verify = json!({"key": tenant.admin.bearer()});
    assert_misconfigured(&asks.post("/api_keys/verify", &verify).await, "is not below /forward-auth/");
    let wrong = app.caller(tenant.admin.bearer()).with("claviger-gateway", "x");
    assert_refused(&wrong.get("/me").await, 403, "misconfigured");
    assert_eq!(tenant.admin.get("/me").await.status, 200);
    // Without a secret, too.
    let app = TestApp::start().await;
    assert_misconfigured(&gateway(&app, "").get("/health/ready").await, "is not set");
    assert_eq!(app.anyone().get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn headers_with_another_purpose_have_no_key_and_no_method() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for name in [
        "X-Request-Id",
        "Host",
        "Content-Type",
        "Connection",
        "Cookie",
        "Transfer-Encoding",
        "X-Forwarded-For",
        "Forwarded",
        "Claviger-Key-Id",
    ] {
        for parameter in ["credential_header", "method_header"] {
            let answer = tenant.admin.get(&path(&tenant, &format!("?{parameter}={name}"))).await;
            assert_misconfigured(&answer, parameter);
        }
    }
    // It would be in the answer and in the log.
    let key = app.anyone().with("x-request-id", tenant.admin.bearer());
    assert_misconfigured(&key.get(&path(&tenant, "?credential_header=x-request-id")).await, "credential_header");
}

#[tokio::test]
async fn a_preflight_for_the_api_is_not_answered_here() {
    let app = TestApp::start_with(|config| {
        with_secret(config);
        config.cors_origins = CorsOrigins::Any;
    })
    .await;
    let tenant = app.tenant("Acme").await;
    let preflight = gateway(&app, "").with("origin", "https://x.example");
    let preflight = preflight.with("access-control-request-method", "GET");
    for rest in ["", "/", "/me"] {
        let answer = preflight.send("OPTIONS", &path(&tenant, rest), None).await;
        assert_refused(&answer, 401, "missing_credential");
        assert_eq!(answer.headers.get("access-control-allow-origin"), None);
        assert_allowed(&preflight.with_bearer(tenant.admin.bearer()).get(&path(&tenant, rest)).await);
    }
}

#[tokio::test]
async fn forward_auth_is_in_the_metrics_of_verifications() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, disabled) = app.key(&tenant.org_id, KeySpec { enabled: false, ..KeySpec::with(&[]) }).await;
    for _ in 0..2 {
        assert_allowed(&tenant.admin.get(&path(&tenant, "")).await);
    }
    assert_refused(&app.caller(&disabled).get(&path(&tenant, "")).await, 401, "disabled");
    assert_refused(&app.anyone().get(&path(&tenant, "")).await, 401, "missing_credential");
    for (outcome, count) in [("VALID", "2"), ("KEY_DISABLED", "1"), ("INVALID_API_KEY", "0")] {
        let name = format!(r#"claviger_verifications_total{{contract="forward_auth",outcome="{outcome}"}}"#);
        assert_eq!(metric(&app, &name).await, count, "{outcome}");
    }
    for (status, count) in [(200, "2"), (401, "2")] {
        let name = format!(r#"claviger_requests_total{{operation="forwardAuth",status="{status}"}}"#);
        assert_eq!(metric(&app, &name).await, count, "{status}");
    }
    assert_eq!(metric(&app, r#"claviger_request_seconds_count{operation="forwardAuth"}"#).await, "4");
}
