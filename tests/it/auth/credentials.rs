//! Every operation × every kind of key. A test fails if an operation of the OpenAPI document is missing here.

use std::collections::BTreeSet;

use harness::{Caller, KeySpec, Scheme, Tenant, TestApp};
use serde_json::{Value, json};

use crate::auth::operations::{Operation, PORTAL, PROTECTED, PUBLIC, encoded};

pub(crate) async fn call(caller: &Caller, operation: &Operation, org_id: &str, key_id: &str) -> harness::Answer {
    let (method, path, body) = (operation.request)(org_id, key_id);
    let (kind, body) = body.map(|body| encoded(&path, &body)).unzip();
    caller.with("content-type", kind.unwrap_or("application/json")).send(method, &path, body).await
}

async fn document(app: &TestApp) -> Value {
    app.anyone().get("/openapi.json").await.json()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().expect("paths");
    paths.values().flat_map(|path| path.as_object().expect("methods").values())
}

#[tokio::test]
async fn the_matrix_and_the_document_have_the_same_operations() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let documented: BTreeSet<&str> = operations(&document).filter_map(|it| it["operationId"].as_str()).collect();
    let known = PROTECTED.iter().chain(PORTAL).map(|operation| operation.id).chain(PUBLIC.iter().copied());
    assert_eq!(documented, known.collect());
    // One scheme is the default: clients that know several would send the same key several times.
    assert_eq!(document["security"], json!([{"bearerAuth": []}]));
    for operation in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        let expected = match id {
            "closeSession" => json!([{"apiKeyCookie": []}]),
            id if PUBLIC.contains(&id) => json!([]),
            id if PORTAL.iter().any(|operation| operation.id == id) => json!([{"portalSession": []}]),
            _ => Value::Null,
        };
        assert_eq!(operation["security"], expected, "{id}");
    }
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["bearerAuth"]["scheme"], "bearer");
    assert_eq!(schemes["portalSession"]["scheme"], "bearer");
    assert_eq!(
        (&schemes["apiKeyHeader"]["in"], &schemes["apiKeyHeader"]["name"]),
        (&json!("header"), &json!("x-api-key"))
    );
    assert_eq!(
        (&schemes["apiKeyCookie"]["in"], &schemes["apiKeyCookie"]["name"]),
        (&json!("cookie"), &json!("apiKeyCookie"))
    );
}

struct Keys {
    right: Vec<String>,
    bad: Vec<(&'static str, String)>,
    without_permission: String,
    foreign: String,
}

async fn keys(app: &TestApp, tenant: &Tenant, other: &Tenant, permission: Option<&str>) -> Keys {
    let permissions: Vec<&str> = permission.into_iter().flat_map(|all| all.split(' ')).collect();
    let key = async |spec: KeySpec| app.key(&tenant.org_id, spec).await.1;
    let with = |permissions: &[&str]| KeySpec::with(permissions);
    let mut right = vec![key(with(&permissions)).await, key(with(&["*"])).await];
    right.push(key(KeySpec { user_id: Some(tenant.user_id.clone()), ..with(&["*"]) }).await);
    let good = right[0].clone();
    let (revoked_id, revoked) = app.key(&tenant.org_id, with(&["*"])).await;
    let deleted = tenant.admin.delete(&format!("/orgs/{}/api_keys/{revoked_id}", tenant.org_id)).await;
    assert_eq!(deleted.status, 200);
    let last = if good.ends_with('A') { "B" } else { "A" };
    let spec = with(&["*"]);
    let bad = vec![
        ("malformed", "nonsense".to_owned()),
        ("wrong check digits", format!("{}{last}", &good[..good.len() - 1])),
        (
            "unknown",
            domain::keys::secret::Secret::generate(
                &domain::keys::secret::KeyPrefix::default_prefix(),
                &api::process::system::SystemEntropy,
            )
            .expose()
            .to_owned(),
        ),
        ("other prefix", good.replacen("cvg_", "lvk_", 1)),
        ("a JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln".to_owned()),
        ("too long", "x".repeat(600)),
        ("revoked", revoked),
        ("disabled", key(KeySpec { enabled: false, ..spec }).await),
        ("expired", key(KeySpec { expires_in: Some(-1), ..with(&["*"]) }).await),
        ("expiring now", key(KeySpec { expires_in: Some(0), ..with(&["*"]) }).await),
        ("no member", key(KeySpec { user_id: Some(other.user_id.clone()), ..with(&["*"]) }).await),
    ];
    Keys {
        right,
        bad,
        without_permission: key(with(&["other:thing"])).await,
        foreign: app.key(&other.org_id, with(&["*"])).await.1,
    }
}

#[tokio::test]
async fn every_operation_checks_every_kind_of_key() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for operation in PROTECTED {
        let keys = keys(&app, &tenant, &other, operation.permission).await;
        let victim = async || app.key(&tenant.org_id, KeySpec::with(&[])).await.0;
        let status = async |caller: Caller| call(&caller, operation, &tenant.org_id, &victim().await).await;
        let none = status(app.anyone()).await;
        assert_eq!((none.status, none.header("www-authenticate")), (401, "Bearer"), "{}: none", operation.id);
        for scheme in Scheme::ALL {
            let with = |key: &str| app.anyone().with_key(scheme, key);
            let name = format!("{} {scheme:?}", operation.id);
            for (what, key) in &keys.bad {
                let answer = status(with(key)).await;
                // With a public origin of https, sessions have a cookie of their own, and a JWT in this one is ignored.
                let is_ignored = *what == "a JWT" && scheme == Scheme::Cookie;
                let expected = if is_ignored { "Bearer" } else { "Bearer error=\"invalid_token\"" };
                assert_eq!((answer.status, answer.header("www-authenticate")), (401, expected), "{name}: {what}");
                assert!(!answer.text.contains(key.as_str()), "{name}: {what}: the key is not repeated");
            }
            for key in &keys.right {
                assert_eq!(status(with(key)).await.status, operation.permitted, "{name}: right");
            }
            let without_permission = status(with(&keys.without_permission)).await;
            let foreign = status(with(&keys.foreign)).await.status;
            if operation.permission.is_some() {
                let challenge = without_permission.header("www-authenticate");
                assert_eq!(
                    (without_permission.status, challenge),
                    (403, "Bearer error=\"insufficient_scope\""),
                    "{name}"
                );
            } else {
                assert_eq!(without_permission.status, operation.permitted, "{name}");
            }
            assert_eq!(
                foreign,
                if operation.is_tenant_bound { 404 } else { operation.permitted },
                "{name}: wrong tenant"
            );
        }
    }
}

#[tokio::test]
async fn an_invalid_header_is_not_replaced_by_a_valid_cookie() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, good) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (_, also_good) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let status = async |caller: Caller| caller.get("/auth/check-key").await.status;
    let cookie = app.anyone().with_key(Scheme::Cookie, &good);
    assert_eq!(status(cookie.clone()).await, 200);
    for (name, value) in [
        ("authorization", "Bearer nonsense".to_owned()),
        ("authorization", "Bearer".to_owned()),
        ("authorization", good.clone()),
        ("x-api-key", "nonsense".to_owned()),
        ("x-api-key", String::new()),
    ] {
        assert_eq!(status(cookie.with(name, &value)).await, 401, "{name}: {value:?} next to a valid cookie");
    }
    let header = app.anyone().with_key(Scheme::Header, &good);
    assert_eq!(status(header.with_bearer(&also_good)).await, 401, "two that differ");
    assert_eq!(status(header.with_bearer(&good)).await, 200, "twice the same");
    assert_eq!(status(header.with_key(Scheme::Header, &good)).await, 401, "the same header twice");
    assert_eq!(status(cookie.with_key(Scheme::Cookie, &good)).await, 401, "the same cookie twice");
    assert_eq!(status(app.anyone().with("authorization", &format!("bEARER   {good}"))).await, 200);
}

#[tokio::test]
async fn a_cookie_is_refused_in_changes_from_other_sites() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    let body = json!({"name": "n", "permissions": []});
    let cookie = app.anyone().with_key(Scheme::Cookie, &key);
    for (headers, status) in [
        (&[][..], 200),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], 200),
        (&[("origin", "https://keys.example")], 200),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://keys.example")], 403),
        (&[("sec-fetch-site", "none")], 403),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
    ] {
        let caller = headers.iter().fold(cookie.clone(), |caller, (name, value)| caller.with(name, value));
        assert_eq!(caller.post(&path, &body).await.status, status, "{headers:?}");
        assert_eq!(caller.get(&path).await.status, 200, "reading: {headers:?}");
        let header = headers.iter().fold(app.caller(&key), |caller, (name, value)| caller.with(name, value));
        assert_eq!(header.post(&path, &body).await.status, 200, "the check applies to cookies only: {headers:?}");
    }
}

#[tokio::test]
async fn authorization_of_another_scheme_is_ignored() {
    let app = TestApp::start_with(|config| config.auth_failure_rate = 1).await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    let (path, basic) = (tenant.keys(), app.anyone().with("authorization", "Basic dXNlcjpwYXNzd29yZA=="));
    for _ in 0..3 {
        let alone = basic.get(&path).await;
        assert_eq!((alone.status, alone.header("www-authenticate")), (401, "Bearer"), "it is no failed attempt");
        assert_eq!(alone.json()["reason"], "unauthenticated");
    }
    let session = app.caller(&key).post("/session", &json!({})).await;
    let browser = basic.with("cookie", session.cookie()).with("sec-fetch-site", "same-origin");
    assert_eq!(browser.get(&path).await.status, 200, "a session");
    for scheme in Scheme::ALL {
        let caller = basic.with_key(scheme, &key);
        assert_eq!(caller.get(&path).await.status, 200, "{scheme:?}");
        let verified = caller.post("/api_keys/verify", &json!({"key": key})).await;
        assert_eq!((verified.status, &verified.json()["code"]), (200, &json!("VALID")), "{scheme:?}");
    }
    assert_eq!(basic.with_key(Scheme::Header, "wrong").get(&path).await.status, 401);
}

#[tokio::test]
async fn whitespace_around_a_secret_is_ignored() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    for scheme in Scheme::ALL {
        let caller = app.anyone().with_key(scheme, &format!("  {key} "));
        assert_eq!(caller.get("/auth/check-key").await.status, 200, "{scheme:?}");
    }
    let quoted = app.anyone().with("cookie", &format!("apiKeyCookie=\"{key}\""));
    assert_eq!(quoted.get("/auth/check-key").await.status, 200, "a quoted cookie (RFC 6265)");
}
