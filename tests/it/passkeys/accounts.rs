//! Accounts: signing up, joining by an invitation, recovering access, and signing in.

use harness::{Authenticator, TestApp};
use serde_json::{Value, json};

use crate::{
    audit_log::events::events,
    organizations::invitations::{invite, token},
    passkeys::{assert_rejected, browser, page, register, registration, sign_in, sign_up, signature},
};

#[tokio::test]
async fn a_person_signs_up_and_signs_in_with_a_passkey() {
    let app = TestApp::start().await;
    let mut device = Authenticator::default();
    let registered = register(&app, &mut device, &sign_up("Ada")).await;
    let ada = page(&app, &registered);
    let body = registered.json();
    assert_eq!(body["expires_at"], "2026-11-21T20:00:00.250Z", "a session of 12 hours");
    let org = body["org_id"].as_str().expect("an id").to_owned();
    let me = ada.get("/me").await.json();
    assert_eq!((&me["user"]["id"], &me["user"]["email"]), (&body["user_id"], &json!("ada@example.com")));
    assert_eq!((&me["organization"]["name"], &me["organization"]["permissions"]), (&json!("Ada Ltd"), &json!(["*"])));
    assert_eq!(me["identity"]["issuer"], "urn:claviger:passkey");
    assert_eq!(ada.get(&format!("/orgs/{org}/api_keys")).await.json(), json!([]), "no key was created");
    assert_eq!(ada.post(&format!("/orgs/{org}/api_keys"), &json!({"name": "n", "permissions": []})).await.status, 200);
    assert_eq!(ada.delete("/session").await.status, 200);
    assert_eq!(ada.get("/me").await.status, 401);
    app.clock.advance_seconds(60);
    let again = page(&app, &sign_in(&app, &mut device).await);
    assert_eq!(again.get("/me").await.json()["user"]["id"], body["user_id"]);
    let passkeys = again.get("/me/passkeys").await.json();
    let times = (&passkeys[0]["created_at"], &passkeys[0]["last_used_at"]);
    assert_eq!(times, (&json!("2026-11-21T08:00:00.250Z"), &json!("2026-11-21T08:01:00.250Z")));
    let log = events(&again, &format!("/orgs/{org}/audit_events")).await;
    let actions: Vec<&str> = log.iter().filter_map(|event| event["action"].as_str()).collect();
    for action in ["organization.sign_up", "passkey.register", "session.open", "session.close"] {
        assert!(actions.contains(&action), "{action} is not in {actions:?}");
    }
    assert!(log.iter().all(|event| event["actor"]["user_id"] == body["user_id"]), "{log:?}");
    // The e-mail address can sign up once; then the other passkey is not registered.
    let mut other = Authenticator::default();
    let taken = register(&app, &mut other, &sign_up("Ada")).await;
    assert_eq!((taken.status, &taken.json()["reason"]), (409, &json!("email_taken")));
    assert_rejected(&sign_in(&app, &mut other).await, "it was not registered");
}

#[tokio::test]
async fn a_colleague_joins_by_an_invitation_with_a_passkey() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let link = json!({"invitation": token(&invite(&tenant.admin, &tenant, &["api_keys:read"]).await)});
    let (mut device, mut late) = (Authenticator::default(), Authenticator::default());
    let begun_too_late = registration(&browser(&app), &mut late, &link).await;
    let registered = register(&app, &mut device, &link).await;
    let ada = page(&app, &registered);
    let me = ada.get("/me").await.json();
    assert_eq!((&me["user"]["name"], &me["organization"]["id"]), (&json!("Ada Lovelace"), &json!(tenant.org_id)));
    assert_eq!(ada.get(&tenant.keys()).await.status, 200);
    assert_eq!(ada.post(&tenant.keys(), &json!({"name": "n", "permissions": []})).await.status, 403);
    // The link is valid once.
    let answers =
        [browser(&app).post("/passkey_options", &link).await, browser(&app).post("/passkeys", &begun_too_late).await];
    for answer in answers {
        assert_eq!((answer.status, &answer.json()["reason"]), (404, &json!("invitation_not_found")));
    }
    assert_rejected(&sign_in(&app, &mut late).await, "it was not registered");
    page(&app, &sign_in(&app, &mut device).await);
}

#[tokio::test]
async fn a_person_who_has_lost_their_passkey_recovers_access_with_another_one() {
    let app = TestApp::start().await;
    let mut lost = Authenticator::default();
    let registered = register(&app, &mut lost, &sign_up("Ada")).await;
    let (ada, body) = (page(&app, &registered), registered.json());
    let (org, user) = (body["org_id"].as_str().expect("an id"), body["user_id"].as_str().expect("an id"));
    let created = ada.send("POST", &format!("/orgs/{org}/members/{user}/recovery_links"), None).await;
    let link = json!({"invitation": token(&created)});
    assert_eq!(ada.get("/me").await.status, 401, "the sessions have ended");
    let mut new = Authenticator::default();
    let recovered = page(&app, &register(&app, &mut new, &link).await);
    assert_eq!(recovered.get("/me").await.json()["user"]["id"], user, "the same member");
    assert_rejected(&sign_in(&app, &mut lost).await, "it was removed");
    page(&app, &sign_in(&app, &mut new).await);
}

#[tokio::test]
async fn a_recovery_keeps_passkeys_that_sign_in_to_another_organization() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let mut device = Authenticator::default();
    let registered = register(&app, &mut device, &sign_up("Ada")).await;
    let (ada, own) = (page(&app, &registered), registered.json()["user_id"].clone());
    let link = token(&invite(&tenant.admin, &tenant, &[]).await);
    let joined = ada.post("/invitations/redeem", &json!({"token": link})).await;
    assert_eq!(joined.status, 200, "a person with a passkey joins with it: {}", joined.text);
    let user = joined.json()["user_id"].as_str().expect("an id").to_owned();
    let path = format!("/orgs/{}/members/{user}/recovery_links", tenant.org_id);
    let link = json!({"invitation": token(&tenant.admin.send("POST", &path, None).await)});
    let mut new = Authenticator::default();
    page(&app, &register(&app, &mut new, &link).await);
    let still = page(&app, &sign_in(&app, &mut device).await).get("/me").await.json();
    assert_eq!(still["user"]["id"], own);
    let organizations = still["organizations"].as_array().map(Vec::len);
    assert_eq!(organizations, Some(1), "only their own organization: {still}");
}

#[tokio::test]
async fn a_member_of_the_platform_signs_in_with_a_passkey() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let own = platform.get("/me").await.json()["organization"]["id"].as_str().expect("an id").to_owned();
    let body = json!({"user_name": "Op", "permissions": ["org:read"]});
    let created = platform.post(&format!("/orgs/{own}/invitations"), &body).await;
    let mut device = Authenticator::default();
    let operator = page(&app, &register(&app, &mut device, &json!({"invitation": token(&created)})).await);
    assert_eq!(operator.get("/orgs").await.status, 200);
}

#[tokio::test]
async fn simultaneous_registrations_by_one_invitation_make_one_member() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let link = json!({"invitation": token(&invite(&tenant.admin, &tenant, &[]).await)});
    let (mut one, mut two) = (Authenticator::default(), Authenticator::default());
    let first = registration(&browser(&app), &mut one, &link).await;
    let second = registration(&browser(&app), &mut two, &link).await;
    let callers = [browser(&app), browser(&app)];
    let (first, second) = tokio::join!(callers[0].post("/passkeys", &first), callers[1].post("/passkeys", &second));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404]);
    let members = tenant.admin.get(&format!("/orgs/{}/members", tenant.org_id)).await.json();
    assert_eq!(members.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn simultaneous_uses_of_one_signature_open_one_session() {
    let app = TestApp::start().await;
    let mut device = Authenticator::default();
    page(&app, &register(&app, &mut device, &sign_up("Ada")).await);
    let body: Value = signature(&browser(&app), &mut device).await;
    let callers = [browser(&app), browser(&app)];
    let (first, second) =
        tokio::join!(callers[0].post("/session/passkey", &body), callers[1].post("/session/passkey", &body));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403]);
}
