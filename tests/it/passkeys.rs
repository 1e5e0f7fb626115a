//! Passkeys: registration, signing in, and those of an account.

pub(crate) mod accounts;
pub(crate) mod own;
pub(crate) mod refusals;
pub(crate) mod services;

use harness::{Answer, Authenticator, Caller, TestApp};
use serde_json::{Value, json};

/// The body of a sign-up.
pub(crate) fn sign_up(name: &str) -> Value {
    let email = format!("{}@example.com", name.to_lowercase());
    json!({"user_name": name, "user_email": email, "org_name": format!("{name} Ltd")})
}

/// A browser without a session.
pub(crate) fn browser(app: &TestApp) -> Caller {
    app.anyone().with("sec-fetch-site", "same-origin")
}

/// The page of a person who has just signed in.
#[track_caller]
pub(crate) fn page(app: &TestApp, signed_in: &Answer) -> Caller {
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    browser(app).with("cookie", signed_in.cookie())
}

/// Begins a ceremony.
pub(crate) async fn begin(caller: &Caller, path: &str, body: &Value) -> Value {
    let begun = caller.post(path, body).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    begun.json()
}

/// The request that registers an account, with what the authenticator has created.
pub(crate) async fn registration(caller: &Caller, authenticator: &mut Authenticator, account: &Value) -> Value {
    let begun = begin(caller, "/passkey_options", account).await;
    let mut body = account.clone();
    body["ceremony"] = begun["ceremony"].clone();
    body["credential"] = authenticator.create(&begun["public_key"]);
    body
}

/// Registers an account.
pub(crate) async fn register(app: &TestApp, authenticator: &mut Authenticator, account: &Value) -> Answer {
    let body = registration(&browser(app), authenticator, account).await;
    browser(app).post("/passkeys", &body).await
}

/// The request that signs in.
pub(crate) async fn signature(caller: &Caller, authenticator: &mut Authenticator) -> Value {
    let begun = begin(caller, "/session/passkey_options", &json!({})).await;
    json!({"ceremony": begun["ceremony"], "credential": authenticator.sign(&begun["public_key"])})
}

/// Signs in.
pub(crate) async fn sign_in(app: &TestApp, authenticator: &mut Authenticator) -> Answer {
    let body = signature(&browser(app), authenticator).await;
    browser(app).post("/session/passkey", &body).await
}

/// Adds a passkey to the account of a page.
pub(crate) async fn add(page: &Caller, authenticator: &mut Authenticator) -> Answer {
    let begun = begin(page, "/me/passkey_options", &json!({})).await;
    let credential = authenticator.create(&begun["public_key"]);
    page.post("/me/passkeys", &json!({"ceremony": begun["ceremony"], "credential": credential})).await
}

/// Asserts that a response of an authenticator is not accepted.
#[track_caller]
pub(crate) fn assert_rejected(answer: &Answer, why: &str) {
    assert_eq!((answer.status, &answer.json()["reason"]), (403, &json!("passkey_rejected")), "{why}: {}", answer.text);
}
