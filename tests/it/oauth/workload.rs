//! Tokens of identity providers that trust rules exchange (RFC 8693): the shapes of GitHub Actions and Kubernetes.

mod refusals;
mod revocation;

use harness::{Answer, Caller, CapturedLog, KeySpec, Tenant, TestApp, wait_until};
use jsonwebtoken::Header;
use serde_json::{Value, json};

use crate::{
    audit_log::events::{events, log_of},
    auth::{
        idp::{Fixture, fixture, with},
        tokens::Checker,
    },
    oauth::{
        introspection::{introspect, is_active},
        requests::{TOKEN, assert_error, post, with_basic},
    },
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

const MADE_UP: &str = "01a1fd3b-5f15-77c5-bbb0-186d2b075cec";

const SUBJECT: &str = "repo:octo-org/app:ref:refs/heads/main";

/// The entry of the issuers file: GitHub's tokens have the type `JWT`, those of Kubernetes have none.
fn of_workloads(entry: &mut Value) {
    entry["token_types"] = json!(["JWT", null]);
}

/// The claims of a job of GitHub Actions.
fn github(fixture: &Fixture) -> Value {
    let mut claims = fixture.claims(SUBJECT);
    for (name, value) in [
        ("repository", "octo-org/app"),
        ("repository_id", "74"),
        ("repository_owner_id", "65"),
        ("ref", "refs/heads/main"),
        ("ref_protected", "true"),
        ("event_name", "push"),
        ("job_workflow_ref", "octo-org/app/.github/workflows/release.yml@refs/heads/main"),
        ("run_attempt", "1"),
    ] {
        claims[name] = json!(value);
    }
    claims
}

/// A trust rule for jobs of that repository.
fn for_github(fixture: &Fixture) -> Value {
    json!({
        "name": "Release", "issuer": fixture.provider.issuer(),
        "claims": {
            "repository_id": "74", "ref": ["refs/heads/main", "refs/heads/stable"], "event_name": ["push", "workflow_dispatch"],
        },
        "permissions": ["files:read", "files:write"],
    })
}

fn jwt(fixture: &Fixture, claims: &Value) -> String {
    fixture.key.sign_as("JWT", claims)
}

pub(crate) fn rules(tenant: &Tenant) -> String {
    format!("/orgs/{}/trust_rules", tenant.org_id)
}

/// Creates a trust rule, and returns its id.
pub(crate) async fn create(tenant: &Tenant, rule: &Value) -> String {
    let answer = tenant.admin.post(&rules(tenant), rule).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// Changes a trust rule.
async fn change(tenant: &Tenant, rule: &str, body: Value) {
    let answer = tenant.admin.patch(&format!("{}/{rule}", rules(tenant)), &body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text);
}

/// Exchanges a JWT. `more` replaces the parameters with the same name.
async fn exchange_by(client: &Caller, jwt: &str, more: &[(&str, &str)]) -> Answer {
    let mut parameters = more.to_vec();
    for default in
        [("grant_type", EXCHANGE), ("subject_token", jwt), ("subject_token_type", JWT), ("audience", "storage")]
    {
        let has = |name: &str| more.iter().any(|(own, _)| *own == name);
        let is_replaced = has(default.0) || default.0 == "audience" && has("resource");
        if !is_replaced {
            parameters.push(default);
        }
    }
    post(client, TOKEN, &parameters).await
}

async fn exchange(app: &TestApp, jwt: &str, more: &[(&str, &str)]) -> Answer {
    exchange_by(&app.anyone(), jwt, more).await
}

fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_job_of_github_actions_gets_a_token_without_a_secret() {
    let log = CapturedLog::start();
    let fixture = fixture(of_workloads).await;
    let (app, tenant, checker) = (&fixture.app, &fixture.tenant, Checker(&fixture.app));
    let rule = json!({"ttl_seconds": 120, "audiences": ["storage", "mail"]});
    let mut body = for_github(&fixture);
    body.as_object_mut().expect("an object").extend(rule.as_object().expect("an object").clone());
    let rule = create(tenant, &body).await;
    let (job, org) = (jwt(&fixture, &github(&fixture)), ("org_id", tenant.org_id.as_str()));
    let answer = exchange(app, &job, &[org]).await;
    let issued = token(&answer);
    let mut body = answer.json();
    body.as_object_mut().expect("an object").remove("access_token");
    let expected = json!({
        "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 120, "scope": "files:read files:write",
    });
    assert_eq!(body, expected);
    let claims = checker.claims(&issued, "at+jwt").await;
    assert_eq!(
        json!([
            claims["sub"],
            claims["client_id"],
            claims["org_id"],
            claims["aud"],
            claims["scope"],
            claims["workload"]
        ]),
        json!([
            rule,
            rule,
            tenant.org_id,
            "storage",
            "files:read files:write",
            {"iss": fixture.provider.issuer(), "sub": SUBJECT}
        ])
    );
    assert_eq!(claims["exp"].as_i64(), Some(app.now_seconds() + 120));
    let found = introspect(&tenant.admin, &issued).await;
    assert_eq!(
        found,
        json!({
            "active": true, "scope": "files:read files:write", "client_id": rule, "sub": rule, "token_type": "Bearer",
            "exp": app.now_seconds() + 120, "iat": app.now_seconds(), "iss": "https://keys.example", "aud": "storage",
            "jti": claims["jti"], "org_id": tenant.org_id, "name": "Release",
            "workload": {"iss": fixture.provider.issuer(), "sub": SUBJECT},
        })
    );
    let (other, platform) = (app.tenant("Other").await, app.platform().await);
    assert!(is_active(&platform, &issued).await && !is_active(&other.admin, &issued).await);
    // The other types of subject tokens, a resource, and fewer permissions. A client_id alone is ignored.
    for kind in [ACCESS_TOKEN, ID_TOKEN] {
        let more = [org, ("subject_token_type", kind), ("client_id", "ci"), ("requested_token_type", JWT)];
        token(&exchange(app, &job, &more).await);
    }
    let narrow = exchange(app, &job, &[org, ("scope", "files:read"), ("audience", "mail")]).await;
    let claims = checker.claims(&token(&narrow), "at+jwt").await;
    assert_eq!((&claims["scope"], &claims["aud"]), (&json!("files:read"), &json!("mail")));
    // The log has the rule and the subject; the audit log has the rule.
    assert_eq!(log.lines("INFO", "issued a token to a workload").len(), 4);
    assert!(log.lines("INFO", "issued a token to a workload")[0].contains(&format!("subject=\"{SUBJECT}\"")));
    // It ends by itself. Exchanges after the first written event are written a minute later.
    app.clock.advance_seconds(121);
    assert!(!is_active(&tenant.admin, &issued).await);
    let path = format!("{}?action=trust_rule.exchange", log_of(tenant));
    let event = wait_until("the exchanges are in the log", async || {
        let found = events(&tenant.admin, &path).await;
        let count: u64 = found.iter().filter_map(|event| event["count"].as_u64()).sum();
        if count == 4 { Ok(found[0].clone()) } else { Err(json!(found).to_string()) }
    });
    let event = event.await;
    assert_eq!((&event["target_id"], &event["actor"]["type"]), (&json!(rule), &json!("unknown")));
}

#[tokio::test]
async fn a_service_account_of_kubernetes_is_found_by_nested_claims() {
    let fixture = fixture(of_workloads).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let rule = json!({
        "name": "Workers", "issuer": fixture.provider.issuer(), "permissions": ["files:read"], "audiences": ["storage"],
        "claims": {
            "/kubernetes.io/namespace": "billing", "/kubernetes.io/serviceaccount/name": ["worker", "cron"],
            "/kubernetes.io/warm": true,
        },
    });
    create(tenant, &rule).await;
    let claims = |namespace: &str, account: &str, warm: Value| {
        let place = json!({
            "namespace": namespace, "serviceaccount": {"name": account, "uid": MADE_UP}, "warm": warm,
            "pod": {"name": "worker-1", "uid": MADE_UP},
        });
        with(&fixture.claims(&format!("system:serviceaccount:{namespace}:{account}")), "kubernetes.io", place)
    };
    let jwt = |claims: &Value| {
        let mut header = Header::new(fixture.key.algorithm);
        (header.typ, header.kid) = (None, Some(fixture.key.id.clone()));
        fixture.key.sign_with(&header, claims)
    };
    let org = [("org_id", tenant.org_id.as_str()), ("audience", "")];
    for account in ["worker", "cron"] {
        let answer = exchange(app, &jwt(&claims("billing", account, json!(true))), &org).await;
        let claims = Checker(app).claims(&token(&answer), "at+jwt").await;
        assert_eq!(claims["aud"], "storage", "the only audience of the rule");
        assert_eq!(claims["workload"]["sub"], format!("system:serviceaccount:billing:{account}"));
    }
    for wrong in [
        claims("shop", "worker", json!(true)),
        claims("billing", "other", json!(true)),
        claims("billing", "worker", json!("true")),
        claims("billing", "worker", json!([true])),
        claims("billing", "worker", Value::Null),
        with(&claims("billing", "worker", json!(true)), "kubernetes.io", json!("billing")),
        // Names with a slash are not pointers.
        with(&fixture.claims("s"), "/kubernetes.io/namespace", json!("billing")),
    ] {
        assert_error(&exchange(app, &jwt(&wrong), &org).await, 400, "invalid_request");
    }
}

#[tokio::test]
async fn the_rule_bounds_permissions_and_audiences() {
    let fixture = fixture(of_workloads).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let rule = create(tenant, &for_github(&fixture)).await;
    let (job, org) = (jwt(&fixture, &github(&fixture)), ("org_id", tenant.org_id.as_str()));
    let resource = exchange(app, &job, &[org, ("resource", "https://storage.example/v1")]).await;
    assert_eq!(Checker(app).claims(&token(&resource), "at+jwt").await["aud"], "https://storage.example/v1");
    for (more, error) in [
        (("scope", "files:*"), "invalid_scope"),
        (("scope", "*"), "invalid_scope"),
        (("scope", "files:read users:read"), "invalid_scope"),
        (("scope", " "), "invalid_scope"),
        (("audience", ""), "invalid_target"),
        (("audience", "a\u{0}"), "invalid_target"),
        (("resource", "storage"), "invalid_target"),
    ] {
        assert_error(&exchange(app, &job, &[org, more]).await, 400, error);
    }
    let both = [org, ("audience", "storage"), ("resource", "https://storage.example")];
    assert_error(&exchange(app, &job, &both).await, 400, "invalid_request");
    change(tenant, &rule, json!({"audiences": ["storage", "mail"], "permissions": []})).await;
    assert_eq!(exchange(app, &job, &[org]).await.json()["scope"], "");
    assert_error(&exchange(app, &job, &[org, ("audience", "other")]).await, 400, "invalid_target");
    assert_error(&exchange(app, &job, &[org, ("audience", "")]).await, 400, "invalid_target");
    assert_error(&exchange(app, &job, &[org, ("scope", "files:read")]).await, 400, "invalid_scope");
    // A client that authenticates itself must be valid.
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    token(&exchange_by(&with_basic(app, &id, &key), &job, &[org]).await);
    let wrong = exchange_by(&with_basic(app, &id, "wrong"), &job, &[org]).await;
    assert_error(&wrong, 401, "invalid_client");
}
