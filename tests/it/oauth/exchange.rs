//! Tokens by client credentials (RFC 6749 §4.4) and by token exchange (RFC 8693).

use domain::keys::quota::{Quota, RateLimit};
use harness::{Answer, Caller, KeySpec, TestApp};
use serde_json::{Value, json};

use crate::{
    auth::tokens::Checker,
    oauth::requests::{TOKEN, assert_error, post, with_basic},
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Asks for a token with the credentials of a client.
async fn by_credentials(client: &Caller, more: &[(&str, &str)]) -> Answer {
    let mut parameters = vec![("grant_type", "client_credentials")];
    parameters.extend(more);
    post(client, TOKEN, &parameters).await
}

/// Exchanges a key.
async fn exchange(client: &Caller, key: &str, more: &[(&str, &str)]) -> Answer {
    let mut parameters = vec![("grant_type", EXCHANGE), ("subject_token", key)];
    if !more.iter().any(|(name, _)| *name == "subject_token_type") {
        parameters.push(("subject_token_type", ACCESS_TOKEN));
    }
    parameters.extend(more);
    post(client, TOKEN, &parameters).await
}

fn token(answer: &Answer) -> (String, Value) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut body = answer.json();
    let token = body["access_token"].take();
    body.as_object_mut().expect("an object").remove("access_token");
    (token.as_str().expect("a token").to_owned(), body)
}

#[tokio::test]
async fn both_grants_issue_the_same_token_as_the_native_operation() {
    let app = TestApp::start().await;
    let (tenant, checker) = (app.tenant("Acme").await, Checker(&app));
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read", "files:write"])).await;
    let client = with_basic(&app, &id, &key);
    let narrow = [("audience", "storage"), ("scope", "files:read")];
    let (by_credentials_token, body) = token(&by_credentials(&client, &narrow).await);
    assert_eq!(body, json!({"token_type": "Bearer", "expires_in": 300, "scope": "files:read"}));
    let (exchanged, body) = token(&exchange(&app.anyone(), &key, &narrow).await);
    let expected =
        json!({"issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300, "scope": "files:read"});
    assert_eq!(body, expected);
    let native = json!({"audience": "storage", "permissions": ["files:read"]});
    let native = app.caller(&key).post("/tokens", &native).await.json();
    let mut all = Vec::new();
    for text in [&by_credentials_token, &exchanged, native["token"].as_str().expect("a token")] {
        let mut claims = checker.claims(text, "at+jwt").await;
        assert!(claims["jti"].take().is_string());
        all.push(claims);
    }
    assert!(all.iter().all(|claims| *claims == all[0]), "{all:?}");
    assert_eq!((&all[0]["aud"], &all[0]["client_id"]), (&json!("storage"), &json!(id)));
    // By default a token has all permissions; a resource is an audience, too.
    let resource = [("resource", "https://storage.example/v1?x=y"), ("scope", "")];
    let (text, body) = token(&by_credentials(&client, &resource).await);
    assert_eq!(body["scope"], "files:read files:write");
    assert_eq!(checker.claims(&text, "at+jwt").await["aud"], "https://storage.example/v1?x=y");
    // It expires with the key.
    let (id, key) = app.key(&tenant.org_id, KeySpec { expires_in: Some(30), ..KeySpec::with(&["files:read"]) }).await;
    let (_, body) = token(&by_credentials(&with_basic(&app, &id, &key), &narrow).await);
    assert_eq!(body["expires_in"], 30);
}

#[tokio::test]
async fn invalid_requests_for_tokens_are_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let client = with_basic(&app, &id, &key);
    let long = "x".repeat(256);
    let many = (0..257).map(|n| format!("f:{n}")).collect::<Vec<_>>().join(" ");
    for (parameters, error) in [
        (vec![], "invalid_target"),
        (vec![("audience", long.as_str())], "invalid_target"),
        (vec![("audience", "a\u{0}")], "invalid_target"),
        (vec![("resource", "storage")], "invalid_target"),
        (vec![("resource", "https://storage.example/#part")], "invalid_target"),
        (vec![("audience", "a"), ("resource", "https://a.example")], "invalid_request"),
        (vec![("audience", "a"), ("scope", "files:write")], "invalid_scope"),
        (vec![("audience", "a"), ("scope", "*")], "invalid_scope"),
        (vec![("audience", "a"), ("scope", "a:b:c")], "invalid_scope"),
        (vec![("audience", "a"), ("scope", " ")], "invalid_scope"),
        (vec![("audience", "a"), ("scope", "files:read\tfiles:write")], "invalid_scope"),
        (vec![("audience", "a"), ("scope", many.as_str())], "invalid_scope"),
    ] {
        assert_error(&by_credentials(&client, &parameters).await, 400, error);
        assert_error(&exchange(&app.anyone(), &key, &parameters).await, 400, error);
    }
    let wide: Vec<String> = (0..200).map(|n| format!("files:{n:030}")).collect();
    let wide = KeySpec::with(&wide.iter().map(String::as_str).collect::<Vec<_>>());
    let (wide_id, wide_key) = app.key(&tenant.org_id, wide).await;
    let answer = by_credentials(&with_basic(&app, &wide_id, &wide_key), &[("audience", "a")]).await;
    assert!(assert_error(&answer, 400, "invalid_scope").contains("4,096"));
    for grant in ["authorization_code", "password", "refresh_token", "CLIENT_CREDENTIALS", "x"] {
        let answer = post(&client, TOKEN, &[("grant_type", grant), ("audience", "a")]).await;
        assert_error(&answer, 400, "unsupported_grant_type");
    }
    let session = app.caller(&key).post("/session", &json!({})).await;
    let cookie = app.anyone().with("cookie", session.cookie()).with("sec-fetch-site", "same-origin");
    assert_error(&by_credentials(&cookie, &[("audience", "a")]).await, 401, "invalid_client");
}

#[tokio::test]
async fn keys_that_are_not_valid_or_not_exchangeable_get_no_tokens() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = async |spec: KeySpec| app.key(&tenant.org_id, spec).await;
    let with = || KeySpec::with(&["files:read"]);
    let audience = [("audience", "a")];
    for spec in [KeySpec { enabled: false, ..with() }, KeySpec { expires_in: Some(0), ..with() }] {
        let (id, secret) = key(spec).await;
        assert_error(&by_credentials(&with_basic(&app, &id, &secret), &audience).await, 401, "invalid_client");
        let description = assert_error(&exchange(&app.anyone(), &secret, &audience).await, 400, "invalid_request");
        assert!(description.contains("subject_token"), "{description}");
    }
    let limit = RateLimit { max: 1, window: 60_000 };
    let limited = Quota { rate_limit: Some(limit), ..Quota::default() };
    let exhausted = Quota { remaining: Some(0), ..Quota::default() };
    for quota in [limited, exhausted] {
        let (id, secret) = key(KeySpec { quota, ..with() }).await;
        let client = with_basic(&app, &id, &secret);
        assert_error(&by_credentials(&client, &audience).await, 400, "unauthorized_client");
        assert_error(&exchange(&app.anyone(), &secret, &audience).await, 400, "unauthorized_client");
    }
    let root = app.platform().await.bearer().to_owned();
    assert_error(&exchange(&app.anyone(), &root, &audience).await, 400, "unauthorized_client");
    // A key that cannot manage can be exchanged, as in the native API.
    let (id, secret) = key(KeySpec { can_manage: false, ..with() }).await;
    assert_eq!(by_credentials(&with_basic(&app, &id, &secret), &audience).await.status, 200);
    // A suspended organization has no clients.
    let platform = app.caller(&root);
    let suspended = platform.patch(&format!("/orgs/{}", tenant.org_id), &json!({"suspended": true})).await;
    assert_eq!(suspended.status, 200, "{}", suspended.text);
    assert_error(&by_credentials(&with_basic(&app, &id, &secret), &audience).await, 401, "invalid_client");
    assert_error(&exchange(&app.anyone(), &secret, &audience).await, 400, "invalid_request");
}

#[tokio::test]
async fn only_api_keys_can_be_exchanged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let (gateway_id, gateway) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let anyone = app.anyone();
    let audience = ("audience", "a");
    let own_type = ("subject_token_type", "urn:claviger:params:oauth:token-type:api_key");
    for more in [
        vec![audience],
        vec![audience, own_type],
        vec![audience, ("requested_token_type", ACCESS_TOKEN)],
        vec![audience, ("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")],
        vec![audience, ("client_id", id.as_str())],
    ] {
        token(&exchange(&anyone, &key, &more).await);
    }
    // The client may be another key, such as that of a gateway; it must be valid.
    token(&exchange(&with_basic(&app, &gateway_id, &gateway), &key, &[audience]).await);
    for client in [with_basic(&app, &id, &gateway), with_basic(&app, &gateway_id, "wrong")] {
        assert_error(&exchange(&client, &key, &[audience]).await, 401, "invalid_client");
    }
    assert_error(&exchange(&anyone, &key, &[audience, ("client_id", &gateway_id)]).await, 401, "invalid_client");
    for more in [
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("subject_token_type", ""),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
        ("actor_token", "x"),
        ("actor_token_type", ACCESS_TOKEN),
    ] {
        assert_error(&exchange(&anyone, &key, &[audience, more]).await, 400, "invalid_request");
    }
    let made = token(&exchange(&anyone, &key, &[audience]).await).0;
    for subject in ["", "nonsense", "eyJ.e.s", made.as_str(), &"x".repeat(60_000)] {
        assert_error(&exchange(&anyone, subject, &[audience]).await, 400, "invalid_request");
    }
}

#[tokio::test]
async fn without_an_issuer_there_are_no_tokens() {
    let app = TestApp::start_with(|config| config.public_url = None).await;
    let tenant = app.tenant("Acme").await;
    let answer = exchange(&app.anyone(), tenant.admin.bearer(), &[("audience", "a")]).await;
    assert!(assert_error(&answer, 503, "server_error").contains("CLAVIGER_PUBLIC_ORIGIN"));
}
