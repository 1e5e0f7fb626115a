//! Responses of authenticators that are not accepted.

use harness::{Authenticator, TestApp};
use serde_json::{Value, json};

use crate::passkeys::{assert_rejected, begin, browser, page, register, registration, sign_in, sign_up, signature};

/// Changes a browser or a device.
type Change = fn(&mut Authenticator);

/// Ways in which a browser or a device is wrong.
const WRONG: [(&str, Change); 5] = [
    ("another origin", |device| "https://evil.example".clone_into(&mut device.origin)),
    ("another port", |device| "https://keys.example:8443".clone_into(&mut device.origin)),
    ("another scheme", |device| "http://keys.example".clone_into(&mut device.origin)),
    ("another host", |device| "example".clone_into(&mut device.rp_id)),
    ("the user is not verified", |device| device.verifies_user = false),
];

#[tokio::test]
async fn a_response_must_be_for_this_service_and_of_a_verified_user() {
    let app = TestApp::start().await;
    for (why, change) in WRONG {
        let mut device = Authenticator::default();
        change(&mut device);
        assert_rejected(&register(&app, &mut device, &sign_up("Eve")).await, why);
    }
    let mut device = Authenticator::default();
    page(&app, &register(&app, &mut device, &sign_up("Ada")).await);
    for (why, change) in WRONG {
        let mut wrong = Authenticator { counter: device.counter, ..Authenticator::default() };
        change(&mut wrong);
        wrong.credentials = std::mem::take(&mut device.credentials);
        assert_rejected(&sign_in(&app, &mut wrong).await, why);
        device.credentials = wrong.credentials;
    }
    page(&app, &sign_in(&app, &mut device).await);
}

#[tokio::test]
async fn a_ceremony_is_valid_once_for_five_minutes_and_one_purpose() {
    let app = TestApp::start().await;
    let mut device = Authenticator::default();
    let first = registration(&browser(&app), &mut device, &sign_up("Ada")).await;
    page(&app, &browser(&app).post("/passkeys", &first).await);
    let mut again = first.clone();
    again["user_email"] = json!("other@example.com");
    assert_rejected(&browser(&app).post("/passkeys", &again).await, "it was used to register");
    let body = signature(&browser(&app), &mut device).await;
    page(&app, &browser(&app).post("/session/passkey", &body).await);
    assert_rejected(&browser(&app).post("/session/passkey", &body).await, "it was used to sign in");
    // Used ceremonies are stored until they have expired for long.
    app.purge().await;
    assert_rejected(&browser(&app).post("/session/passkey", &body).await, "it was used to sign in");
    assert_eq!(app.database.used_ceremonies().await, 2);
    let body = signature(&browser(&app), &mut device).await;
    app.clock.advance_seconds(5 * 60);
    assert_rejected(&browser(&app).post("/session/passkey", &body).await, "it has expired");
    app.clock.advance_seconds(15 * 60);
    app.purge().await;
    assert_eq!(app.database.used_ceremonies().await, 0);
    // The state of a registration is none of signing in, and the other way round.
    let other = begin(&browser(&app), "/passkey_options", &sign_up("Eve")).await;
    let body = json!({"ceremony": other["ceremony"], "credential": device.sign(&other["public_key"])});
    assert_rejected(&browser(&app).post("/session/passkey", &body).await, "it is for a registration");
    let begun = begin(&browser(&app), "/session/passkey_options", &json!({})).await;
    let mut body = registration(&browser(&app), &mut Authenticator::default(), &sign_up("Eve")).await;
    body["ceremony"] = begun["ceremony"].clone();
    assert_rejected(&browser(&app).post("/passkeys", &body).await, "it is for signing in");
    // The challenge belongs to the signed state.
    let mut body = signature(&browser(&app), &mut device).await;
    body["ceremony"] = begin(&browser(&app), "/session/passkey_options", &json!({})).await["ceremony"].clone();
    assert_rejected(&browser(&app).post("/session/passkey", &body).await, "another ceremony");
    for forged in ["", "x", "a.b.c"] {
        body["ceremony"] = json!(forged);
        assert_rejected(&browser(&app).post("/session/passkey", &body).await, "it is not signed");
    }
}

#[tokio::test]
async fn a_signature_must_be_that_of_the_passkey_and_its_account() {
    let app = TestApp::start().await;
    let (mut ada, mut eve) = (Authenticator::default(), Authenticator::default());
    page(&app, &register(&app, &mut ada, &sign_up("Ada")).await);
    page(&app, &register(&app, &mut eve, &sign_up("Eve")).await);
    let mut change = async |change: &dyn Fn(&mut Value), why: &str| {
        let mut body = signature(&browser(&app), &mut eve).await;
        change(&mut body["credential"]);
        assert_rejected(&browser(&app).post("/session/passkey", &body).await, why);
    };
    let of_ada = ada.sign(&json!({"challenge": "AAAAAAAAAAAAAAAAAAAAAA"}));
    change(&|it| it["response"]["userHandle"] = of_ada["response"]["userHandle"].clone(), "the account of another")
        .await;
    change(
        &|it| {
            it["id"] = of_ada["id"].clone();
            it["rawId"] = of_ada["id"].clone();
            it["response"]["userHandle"] = of_ada["response"]["userHandle"].clone();
        },
        "the passkey of another",
    )
    .await;
    change(&|it| it["response"]["signature"] = of_ada["response"]["signature"].clone(), "another signature").await;
    change(&|it| it["response"]["signature"] = json!("AAAA"), "no signature").await;
    change(&|it| it["response"] = json!({}), "no response").await;
    change(&|it| *it = json!({}), "no credential").await;
    let mut unknown = Authenticator::default();
    unknown.create(&json!({"user": {"id": "AAAAAAAAAAAAAAAAAAAAAA"}, "challenge": "AAAAAAAAAAAAAAAAAAAAAA"}));
    assert_rejected(&sign_in(&app, &mut unknown).await, "it is not registered");
}

#[tokio::test]
async fn the_signature_counter_must_not_go_back() {
    let app = TestApp::start().await;
    let mut device = Authenticator { counter: 41, ..Authenticator::default() };
    page(&app, &register(&app, &mut device, &sign_up("Ada")).await);
    page(&app, &sign_in(&app, &mut device).await);
    device.counter = 40;
    assert_rejected(&sign_in(&app, &mut device).await, "a copy of the passkey is used");
    device.counter = 41;
    assert_rejected(&sign_in(&app, &mut device).await, "a copy of the passkey is used");
    device.counter = 42;
    page(&app, &sign_in(&app, &mut device).await);
}

#[tokio::test]
async fn failed_attempts_are_limited_by_network() {
    let app = TestApp::start_with(|config| config.auth_failure_rate = 2).await;
    let mut unknown = Authenticator::default();
    unknown.create(&json!({"user": {"id": "AAAAAAAAAAAAAAAAAAAAAA"}, "challenge": "AAAAAAAAAAAAAAAAAAAAAA"}));
    for _ in 0..2 {
        assert_rejected(&sign_in(&app, &mut unknown).await, "it is not registered");
    }
    let refused = sign_in(&app, &mut unknown).await;
    assert_eq!((refused.status, &refused.json()["reason"]), (429, &json!("too_many_attempts")));
    let link = browser(&app).post("/passkey_options", &json!({"invitation": "cvi_x"})).await;
    assert_eq!(link.status, 429, "{}", link.text);
}

#[tokio::test]
async fn pages_of_other_sites_cannot_sign_people_in() {
    let app = TestApp::start().await;
    let mut device = Authenticator::default();
    page(&app, &register(&app, &mut device, &sign_up("Ada")).await);
    let body = signature(&browser(&app), &mut device).await;
    let elsewhere = app.anyone().with("sec-fetch-site", "cross-site");
    let refused = elsewhere.post("/session/passkey", &body).await;
    assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!("cross_site_request")));
    assert_eq!(browser(&app).post("/session/passkey", &body).await.status, 200, "it was not used up");
}
