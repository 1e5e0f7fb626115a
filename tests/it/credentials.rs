//! Every operation × every credential. The operations come from the OpenAPI document: one that is missing here fails.

use std::collections::BTreeSet;

use api::address::TrustedProxies;
use harness::{Caller, KeySpec, Scheme, Tenant, TestApp};
use serde_json::{Value, json};

use crate::operations::{Operation, PROTECTED, PUBLIC};

pub(crate) async fn call(caller: &Caller, operation: &Operation, org_id: &str, key_id: &str) -> harness::Answer {
    let (method, path, body) = (operation.request)(org_id, key_id);
    let body = body.map(|body| body.to_string().into_bytes());
    caller.with("content-type", "application/json").send(method, &path, body).await
}

async fn document(app: &TestApp) -> Value {
    app.anyone().get("/openapi.json").await.json()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().expect("paths");
    paths.values().flat_map(|path| path.as_object().expect("methods").values())
}

#[tokio::test]
async fn the_matrix_has_every_operation_and_the_document_its_schemes() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let documented: BTreeSet<&str> = operations(&document).filter_map(|it| it["operationId"].as_str()).collect();
    let known = PROTECTED.iter().map(|operation| operation.id).chain(PUBLIC.iter().copied());
    assert_eq!(documented, known.collect());
    let alternatives = json!([{"bearerAuth": []}, {"apiKeyHeader": []}, {"apiKeyCookie": []}]);
    for operation in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        let expected = if PUBLIC.contains(&id) { json!([{}]) } else { alternatives.clone() };
        assert_eq!(operation["security"], expected, "{id}");
    }
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["bearerAuth"]["scheme"], "bearer");
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
    powerless: String,
    foreign: String,
}

async fn keys(app: &TestApp, tenant: &Tenant, other: &Tenant, permission: Option<&str>) -> Keys {
    let permissions: Vec<&str> = permission.into_iter().collect();
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
            domain::secret::Secret::generate(&domain::secret::KeyPrefix::standard(), &api::system::SystemEntropy)
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
        powerless: key(with(&["other:thing"])).await,
        foreign: app.key(&other.org_id, with(&["*"])).await.1,
    }
}

#[tokio::test]
async fn every_operation_with_every_credential() {
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
                let challenge = answer.header("www-authenticate");
                assert_eq!((answer.status, challenge), (401, "Bearer error=\"invalid_token\""), "{name}: {what}");
                assert!(!answer.text.contains(key.as_str()), "{name}: {what}: the key is not repeated");
            }
            for key in &keys.right {
                assert_eq!(status(with(key)).await.status, operation.permitted, "{name}: right");
            }
            let powerless = status(with(&keys.powerless)).await;
            let foreign = status(with(&keys.foreign)).await.status;
            if operation.permission.is_some() {
                let challenge = powerless.header("www-authenticate");
                assert_eq!((powerless.status, challenge), (403, "Bearer error=\"insufficient_scope\""), "{name}");
            } else {
                assert_eq!(powerless.status, operation.permitted, "{name}");
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
async fn a_header_is_final() {
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
        ("authorization", format!("Basic {good}")),
        ("authorization", good.clone()),
        ("x-api-key", "nonsense".to_owned()),
        ("x-api-key", String::new()),
    ] {
        assert_eq!(status(cookie.with(name, &value)).await, 401, "{name}: {value:?} beside a good cookie");
    }
    let header = app.anyone().with_key(Scheme::Header, &good);
    assert_eq!(status(header.with_bearer(&also_good)).await, 401, "two that differ");
    assert_eq!(status(header.with_bearer(&good)).await, 200, "twice the same");
    assert_eq!(status(header.with_key(Scheme::Header, &good)).await, 401, "the same header twice");
    assert_eq!(status(cookie.with_key(Scheme::Cookie, &good)).await, 401, "the same cookie twice");
    assert_eq!(status(app.anyone().with("authorization", &format!("bEARER   {good}"))).await, 200);
}

#[tokio::test]
async fn a_cookie_is_not_for_other_sites() {
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
        assert_eq!(header.post(&path, &body).await.status, 200, "a header is no cookie: {headers:?}");
    }
}

#[tokio::test]
async fn who_guesses_has_to_wait() {
    let app = TestApp::start_with(|config| {
        config.auth_failure_rate = 3;
        config.trusted_proxies = TrustedProxies(vec!["127.0.0.1/32".parse().expect("a network")]);
    })
    .await;
    let tenant = app.tenant("Acme").await;
    let (_, good) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    let from = |address: &str| app.anyone().with("x-forwarded-for", address);
    let check = async |caller: Caller| caller.get("/auth/check-key").await;
    // Nothing shown, and good ones, are no failures.
    for _ in 0..5 {
        assert_eq!(check(from("2001:db8::1")).await.status, 401);
        assert_eq!(check(from("2001:db8::1").with_bearer(&good)).await.status, 200);
    }
    for n in 0..3 {
        assert_eq!(check(from(&format!("2001:db8::{n}")).with_bearer("wrong")).await.status, 401);
    }
    let limited = check(from("2001:db8::99").with_bearer(&good)).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, "60"), "a good one from the same network too");
    assert_eq!(limited.json()["success"], false);
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    let limited = from("2001:db8::99").with_bearer(&good).get(&path).await;
    assert_eq!((limited.status, &limited.json()["code"]), (429, &json!(429)));
    assert_eq!(check(from("2001:db8:0:1::1").with_bearer(&good)).await.status, 200, "another network");
    app.clock.advance_seconds(60);
    assert_eq!(check(from("2001:db8::99").with_bearer(&good)).await.status, 200, "the next minute");
}
