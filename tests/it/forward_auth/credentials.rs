//! Where the key of a visitor is, and what is no key. The unit tests of `forward_auth::credential` have all forms.

use base64::{Engine, prelude::BASE64_STANDARD};
use harness::{Caller, KeySpec, Scheme, TestApp};
use serde_json::json;

use super::{assert_allowed, assert_refused, path};

#[tokio::test]
async fn keys_are_accepted_in_two_headers_but_not_two_different_ones() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (_, second) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (bearer, header) = (app.caller(&key), app.anyone().with_key(Scheme::Header, &key));
    let message = async |caller: &Caller, query: &str| {
        caller.get(&path(&tenant, query)).await.json()["message"].as_str().unwrap_or_default().to_owned()
    };
    for caller in [&bearer, &header, &bearer.with_key(Scheme::Header, &key)] {
        assert_allowed(&caller.get(&path(&tenant, "")).await);
    }
    for caller in [
        bearer.with_key(Scheme::Header, &second),
        bearer.with_bearer(&key),
        header.with_key(Scheme::Header, &key),
        app.anyone().with("authorization", &key),
        app.anyone().with("x-api-key", &"x".repeat(10_000)),
    ] {
        assert_refused(&caller.get(&path(&tenant, "")).await, 401, "invalid_key");
    }
    for several in [bearer.with_key(Scheme::Header, &second), header.with_key(Scheme::Header, &key)] {
        assert_eq!(message(&several, "").await, "More than one API key was sent; send one, in one header");
    }
    let standard = "An API key is required; send it in the header Authorization: Bearer <key> or X-Api-Key: <key>";
    assert_eq!(message(&app.anyone(), "").await, standard);
    let named = "An API key is required; send it in the header X-Token";
    assert_eq!(message(&app.anyone(), "?credential_header=X-Token").await, named);
}

#[tokio::test]
async fn two_credentials_in_authorization_are_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let at_authorization = path(&tenant, "?basic=user&credential_header=authorization");
    let basic = app.anyone().with("authorization", &format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:"))));
    assert_allowed(&basic.get(&at_authorization).await);
    for other in [tenant.admin.bearer().to_owned(), format!("Bearer {}", tenant.admin.bearer())] {
        let both = basic.with("authorization", &other);
        assert_refused(&both.get(&at_authorization).await, 401, "invalid_key");
    }
}

#[tokio::test]
async fn basic_is_accepted_only_where_it_is_asked_for() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let basic = |text: String| app.anyone().with("authorization", &format!("Basic {}", BASE64_STANDARD.encode(text)));
    let get = async |caller: harness::Caller, query: &str| caller.get(&path(&tenant, query)).await;
    for (query, text) in [
        ("?basic=user", format!("{key}:")),
        ("?basic=password", format!("x:{key}")),
        ("?basic=either", format!("x:{key}")),
        ("?basic=either", format!("{key}:x-oauth-basic")),
    ] {
        assert_allowed(&get(basic(text.clone()), query).await);
        assert_refused(&get(basic(text.clone()), "").await, 401, "missing_credential");
        let both = basic(text).with_key(Scheme::Header, tenant.admin.bearer());
        assert_refused(&get(both, query).await, 401, "invalid_key");
    }
    for (query, text) in [("?basic=password", format!("{key}:x")), ("?basic=either", format!("{key}:{key}x"))] {
        let status = get(basic(text), query).await.status;
        assert_eq!(status, if query.ends_with("either") { 200 } else { 401 }, "{query}");
    }
}

#[tokio::test]
async fn sessions_and_the_cookie_of_the_dashboard_are_not_accepted() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let session = tenant.admin.post("/session", &json!({})).await;
    assert_eq!(session.status, 200, "{}", session.text);
    let (_, jwt) = session.cookie().split_once('=').expect("a cookie");
    let cookies = ["cookie"; 2].map(|name| app.anyone().with(name, session.cookie()));
    let [plain, _] = cookies;
    for query in ["", "?basic=either", "?credential_header=X-Token"] {
        assert_refused(&plain.get(&path(&tenant, query)).await, 401, "missing_credential");
        let key = app.anyone().with_key(Scheme::Cookie, tenant.admin.bearer());
        assert_refused(&key.get(&path(&tenant, query)).await, 401, "missing_credential");
    }
    for (query, caller) in [
        ("", app.caller(jwt)),
        ("", app.anyone().with_key(Scheme::Header, jwt)),
        ("?credential_cookie=t", app.anyone().with("cookie", &format!("t={jwt}"))),
        ("?credential_header=X-Token", app.anyone().with("x-token", jwt)),
    ] {
        assert_refused(&caller.get(&path(&tenant, query)).await, 401, "invalid_key");
    }
    for cookie in ["apiKeyCookie", "__Host-apiKeyCookie"] {
        let answer = plain.get(&path(&tenant, &format!("?credential_cookie={cookie}"))).await;
        assert_refused(&answer, 403, "misconfigured");
    }
    let named = app.anyone().with("cookie", &format!("a=b; token={}", tenant.admin.bearer()));
    assert_allowed(&named.get(&path(&tenant, "?credential_cookie=token")).await);
}
