//! Answers of a provider that are not for the sign-in that the browser has begun, and refusals.

use harness::{Provider, SigningKey, TestApp, read_issuers};
use serde_json::json;

use super::{SignIn, assert_failed};

#[tokio::test]
async fn an_answer_is_accepted_once_and_only_by_the_browser_that_has_begun() {
    let signed = SignIn::start().await;
    signed.add("ada").await;
    let begun = signed.begin("").await;
    signed.answer_with(&signed.claims(&begun, "ada"));
    for (what, changes) in [("another state", [("state", "x")]), ("no state", [("state", "")])] {
        assert_failed(&signed.come_back_with(&begun, &changes).await, "expired", what);
    }
    let state = begun.parameter("state");
    let path = format!("/sign_in/acme/callback?code=c0de&state={state}&iss={}", signed.provider.issuer());
    assert_failed(&signed.app.anyone().get(&path).await, "expired", "without the cookie");
    let other = signed.begin("").await;
    let elsewhere = signed.app.anyone().with("cookie", &other.cookie);
    assert_failed(&elsewhere.get(&path).await, "expired", "the cookie of another sign-in");
    assert!(signed.provider.token_requests().is_empty(), "no code was exchanged");
    assert_eq!(signed.come_back(&begun).await.header("location"), "/#/");
    assert_failed(&signed.come_back(&begun).await, "expired", "the same answer again");
    assert_eq!(signed.provider.token_requests().len(), 1);
}

#[tokio::test]
async fn a_sign_in_takes_ten_minutes_at_most() {
    let signed = SignIn::start().await;
    signed.add("ada").await;
    for (seconds, is_in_time) in [(599, true), (600, false)] {
        let begun = signed.begin("").await;
        signed.app.clock.advance_seconds(seconds);
        signed.answer_with(&signed.claims(&begun, "ada"));
        let answer = signed.come_back(&begun).await;
        if is_in_time {
            assert_eq!(answer.header("location"), "/#/");
        } else {
            assert_failed(&answer, "expired", "after ten minutes");
        }
    }
}

#[tokio::test]
async fn the_answer_of_one_provider_is_not_taken_for_that_of_another_one() {
    let signed = SignIn::start().await;
    let code = [("code", "c0de")];
    for (what, issuer) in [("another issuer", "https://evil.example/"), ("no issuer", "")] {
        let begun = signed.begin("").await;
        let answer = signed.come_back_with(&begun, &[code[0], ("iss", issuer)]).await;
        assert_failed(&answer, "invalid_answer", what);
    }
    // A provider that does not name itself in its answers: the cookie says to which one the browser was sent.
    let key = SigningKey::ed25519("k1");
    let (one, other) = (Provider::start(&[&key]).await, Provider::start(&[&key]).await);
    let entries: Vec<_> = [(&one, "one"), (&other, "other")]
        .into_iter()
        .map(|(provider, id)| {
            let mut metadata = provider.sign_in_metadata();
            metadata["authorization_response_iss_parameter_supported"] = json!(false);
            provider.describe(&metadata);
            let mut entry = provider.entry(&json!("tenants"));
            entry["sign_in"] = json!({"id": id, "name": id, "client_id": "claviger"});
            entry
        })
        .collect();
    let providers = read_issuers(&json!(entries)).expect("valid issuers");
    let app = TestApp::start_with(|config| config.providers = providers).await;
    let begun = app.anyone().get("/sign_in/one").await;
    let state = begun.header("location").split("state=").nth(1).and_then(|rest| rest.split('&').next());
    let browser = app.anyone().with("cookie", begun.cookie());
    let path = format!("/sign_in/other/callback?code=c0de&state={}", state.expect("a state"));
    assert_failed(&browser.get(&path).await, "expired", "the callback of the other provider");
    assert!(one.token_requests().is_empty() && other.token_requests().is_empty(), "the code was not sent");
    // It is a public client.
    let path = path.replace("/other/", "/one/");
    one.answer_token("400 Bad Request", &json!({"error": "invalid_grant"}));
    assert_failed(&browser.get(&path).await, "invalid_answer", "a code that the provider refuses");
    let request = one.token_requests().concat();
    assert!(request.contains("client_id=claviger") && !request.to_lowercase().contains("authorization:"), "{request}");
}

#[tokio::test]
async fn refusals_and_outages_are_distinguished() {
    let signed = SignIn::start().await;
    for (error, reason) in [("access_denied", "denied"), ("login_required", "denied"), ("server_error", "unavailable")]
    {
        let begun = signed.begin("").await;
        let answer = signed.come_back_with(&begun, &[("code", ""), ("error", error)]).await;
        assert_failed(&answer, reason, error);
    }
    let begun = signed.begin("").await;
    assert_failed(&signed.come_back_with(&begun, &[("code", "")]).await, "invalid_answer", "no code");
    let begun = signed.begin("").await;
    signed.provider.answer_token("200 OK", &json!({"access_token": "a", "token_type": "Bearer"}));
    assert_failed(&signed.come_back(&begun).await, "invalid_answer", "no ID token");
    let begun = signed.begin("").await;
    signed.answer_with(&signed.claims(&begun, "eve"));
    assert_failed(&signed.come_back(&begun).await, "no_membership", "a member of no organization");
    let unknown = signed.app.anyone().get("/sign_in/other").await;
    assert_eq!(unknown.header("location"), "/#/sign-in?error=unknown_provider");
    signed.provider.describe(&json!({"issuer": "https://evil.example/"}));
    signed.app.clock.advance_seconds(3_601);
    let answer = signed.app.anyone().get("/sign_in/acme").await;
    assert_eq!(answer.header("location"), "/#/sign-in?error=unavailable");
    let requests = signed.provider.requests();
    signed.app.anyone().get("/sign_in/acme").await;
    assert_eq!(signed.provider.requests(), requests, "a provider that fails is not asked at once again");
}

#[tokio::test]
async fn failed_sign_ins_count_as_failed_attempts() {
    let signed = SignIn::start_with(|_| (), |config| config.auth_failure_rate = 2).await;
    signed.add("ada").await;
    // Any site can make a browser begin a sign-in, and send these answers.
    for _ in 0..3 {
        let answer = signed.app.anyone().get("/sign_in/acme/callback?code=c0de&state=x").await;
        assert_failed(&answer, "expired", "without the cookie");
        let begun = signed.begin("").await;
        assert_failed(&signed.come_back_with(&begun, &[("state", "x")]).await, "expired", "another state");
    }
    for _ in 0..2 {
        let begun = signed.begin("").await;
        assert_failed(&signed.come_back_with(&begun, &[("code", "")]).await, "invalid_answer", "no code");
    }
    let begun = signed.begin("").await;
    signed.answer_with(&signed.claims(&begun, "ada"));
    assert_failed(&signed.come_back(&begun).await, "too_many_attempts", "the third one");
}
