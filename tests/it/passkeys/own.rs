//! The passkeys of an account.

use harness::{Authenticator, TestApp};
use serde_json::{Value, json};

use crate::{
    audit_log::events::events,
    auth::{idp::fixture, sessions},
    passkeys::{add, assert_rejected, begin, page, register, sign_in, sign_up},
};

#[tokio::test]
async fn a_person_adds_renames_and_removes_passkeys() {
    let app = TestApp::start().await;
    let (mut phone, mut laptop) = (Authenticator::default(), Authenticator::default());
    let registered = register(&app, &mut phone, &sign_up("Ada")).await;
    let ada = page(&app, &registered);
    let first = ada.get("/me/passkeys").await.json();
    assert_eq!((first.as_array().map(Vec::len), &first[0]["name"]), (Some(1), &json!("Passkey")));
    let begun = begin(&ada, "/me/passkey_options", &json!({})).await;
    let options = &begun["public_key"];
    assert_eq!(options["excludeCredentials"][0]["id"], phone.created(options)["id"], "an authenticator creates one");
    assert_eq!((&options["user"]["name"], &options["attestation"]), (&json!("Ada"), &json!("none")));
    app.clock.advance_seconds(1);
    let added = add(&ada, &mut laptop).await;
    assert_eq!((added.status, &added.json()["last_used_at"]), (200, &Value::Null), "{}", added.text);
    let one = format!("/me/passkeys/{}", added.json()["id"].as_str().expect("an id"));
    let renamed = ada.patch(&one, &json!({"name": " Laptop "})).await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("Laptop")));
    assert_eq!(ada.patch(&one, &json!({"name": ""})).await.wrong_fields(), ["name"]);
    let listed = ada.get("/me/passkeys").await.json();
    assert_eq!((&listed[0], &listed[1]), (&first[0], &renamed.json()), "oldest first");
    assert_eq!(
        page(&app, &sign_in(&app, &mut laptop).await).get("/me").await.json()["user"]["id"],
        registered.json()["user_id"],
        "the same account"
    );
    let oldest = format!("/me/passkeys/{}", first[0]["id"].as_str().expect("an id"));
    assert_eq!(ada.delete(&oldest).await.status, 200);
    assert_rejected(&sign_in(&app, &mut phone).await, "it was removed");
    assert_eq!(ada.get("/me").await.status, 200, "sessions stay valid");
    let last = ada.delete(&one).await;
    assert_eq!((last.status, &last.json()["reason"]), (409, &json!("last_passkey")));
    page(&app, &sign_in(&app, &mut laptop).await);
    app.clock.advance_seconds(60);
    let org = registered.json()["org_id"].as_str().expect("an id").to_owned();
    let log = events(&ada, &format!("/orgs/{org}/audit_events")).await;
    for action in ["passkey.rename", "passkey.remove"] {
        assert_eq!(log.iter().filter(|event| event["action"] == action).count(), 1, "{action} in {log:?}");
    }
    assert_eq!(log.iter().filter(|event| event["action"] == "passkey.register").count(), 2);
}

#[tokio::test]
async fn a_session_adds_and_removes_passkeys_only_after_a_fresh_sign_in() {
    let app = TestApp::start().await;
    let (mut phone, mut laptop) = (Authenticator::default(), Authenticator::default());
    let ada = page(&app, &register(&app, &mut phone, &sign_up("Ada")).await);
    let first = format!("/me/passkeys/{}", ada.get("/me/passkeys").await.json()[0]["id"].as_str().expect("an id"));
    app.clock.advance_seconds(598);
    let begun = begin(&ada, "/me/passkey_options", &json!({})).await;
    // The ceremony began when the sign-in was still fresh.
    let late = json!({"ceremony": begun["ceremony"], "credential": laptop.create(&begun["public_key"])});
    app.clock.advance_seconds(2);
    for refused in [
        ada.post("/me/passkey_options", &json!({})).await,
        ada.post("/me/passkeys", &late).await,
        ada.delete(&first).await,
    ] {
        assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!("fresh_sign_in_required")));
    }
    let fresh = page(&app, &sign_in(&app, &mut phone).await);
    assert_eq!(fresh.post("/me/passkeys", &late).await.status, 200);
    assert_eq!(fresh.delete(&first).await.status, 200);
}

#[tokio::test]
async fn the_passkeys_of_others_do_not_exist() {
    let app = TestApp::start().await;
    let (mut phone, mut other) = (Authenticator::default(), Authenticator::default());
    let ada = page(&app, &register(&app, &mut phone, &sign_up("Ada")).await);
    let eve = page(&app, &register(&app, &mut other, &sign_up("Eve")).await);
    let path = format!("/me/passkeys/{}", ada.get("/me/passkeys").await.json()[0]["id"].as_str().expect("an id"));
    assert_eq!(eve.patch(&path, &json!({"name": "mine"})).await.status, 404);
    assert_eq!(eve.delete(&path).await.status, 404);
    assert_eq!(eve.delete("/me/passkeys/nonsense").await.status, 404);
    // A credential that was created for one account is not added to another.
    let begun = begin(&ada, "/me/passkey_options", &json!({})).await;
    let body = json!({"ceremony": begun["ceremony"], "credential": phone.create(&begun["public_key"])});
    assert_rejected(&eve.post("/me/passkeys", &body).await, "it is Ada's");
    assert_eq!(ada.post("/me/passkeys", &body).await.status, 200);
    assert_rejected(&ada.post("/me/passkeys", &body).await, "the ceremony was used");
}

#[tokio::test]
async fn an_account_has_at_most_twenty_passkeys() {
    let app = TestApp::start().await;
    let mut device = Authenticator::default();
    let ada = page(&app, &register(&app, &mut device, &sign_up("Ada")).await);
    for _ in 1..19 {
        assert_eq!(add(&ada, &mut device).await.status, 200);
    }
    let two =
        [begin(&ada, "/me/passkey_options", &json!({})).await, begin(&ada, "/me/passkey_options", &json!({})).await];
    let bodies =
        two.map(|begun| json!({"ceremony": begun["ceremony"], "credential": device.create(&begun["public_key"])}));
    let (first, second) = tokio::join!(ada.post("/me/passkeys", &bodies[0]), ada.post("/me/passkeys", &bodies[1]));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "simultaneous requests do not exceed it");
    assert_eq!(ada.get("/me/passkeys").await.json().as_array().map(Vec::len), Some(20));
    let full = ada.post("/me/passkey_options", &json!({})).await;
    assert_eq!((full.status, &full.json()["reason"]), (409, &json!("passkey_limit_reached")));
}

#[tokio::test]
async fn keys_and_users_of_identity_providers_have_no_passkeys() {
    let fixture = fixture(|_| ()).await;
    fixture.join(&fixture.tenant, "ada", &[]).await;
    let person = sessions::sign_in(&fixture.app, &fixture.caller_with(&fixture.claims("ada"))).await;
    let id = "0197a5b0-0000-7000-8000-000000000000";
    for caller in [&fixture.tenant.admin, &person] {
        let answers = [
            caller.get("/me/passkeys").await,
            caller.post("/me/passkey_options", &json!({})).await,
            caller.post("/me/passkeys", &json!({"ceremony": "x", "credential": {}})).await,
            caller.patch(&format!("/me/passkeys/{id}"), &json!({"name": "n"})).await,
            caller.delete(&format!("/me/passkeys/{id}")).await,
        ];
        for answer in answers {
            assert_eq!((answer.status, &answer.json()["reason"]), (403, &json!("passkey_account_required")));
        }
    }
}
