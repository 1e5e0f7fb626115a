//! Invitations: how a person becomes a member by a link.

use futures_util::future::join_all;
use harness::{Answer, Caller, KeySpec, Tenant, TestApp, read_issuers};
use serde_json::{Value, json};

use crate::{
    audit_log::events::{events, log_of},
    auth::{
        idp::{Fixture, fixture, fixture_with, with},
        sessions::sign_in,
    },
};

pub(crate) fn invitations(tenant: &Tenant) -> String {
    format!("/orgs/{}/invitations", tenant.org_id)
}

/// Invites Ada with these permissions. Returns the response.
pub(crate) async fn invite(caller: &Caller, tenant: &Tenant, permissions: &[&str]) -> Answer {
    let body = json!({"user_name": "Ada Lovelace", "permissions": permissions});
    caller.post(&invitations(tenant), &body).await
}

/// The token of a link that was just created.
#[track_caller]
pub(crate) fn token(created: &Answer) -> String {
    assert_eq!(created.status, 200, "{}", created.text);
    created.json()["token"].as_str().expect("a token").to_owned()
}

pub(crate) async fn redeem(caller: &Caller, token: &str) -> Answer {
    caller.post("/invitations/redeem", &json!({"token": token})).await
}

pub(crate) async fn preview(app: &TestApp, token: &str) -> Answer {
    app.anyone().post("/invitations/preview", &json!({"token": token})).await
}

/// Asserts that a link is not valid, neither for a preview nor to be redeemed.
pub(crate) async fn assert_invalid(fixture: &Fixture, token: &str, why: &str) {
    let person = fixture.caller_with(&fixture.claims("ada"));
    let answers = [preview(&fixture.app, token).await, redeem(&person, token).await];
    let message =
        "The link is unknown, expired, revoked or redeemed; ask an administrator of the organization for a new one";
    let expected = json!({"message": message, "code": 404, "reason": "invitation_not_found"});
    for answer in answers {
        assert_eq!((answer.status, answer.failure()), (404, expected.clone()), "{why}");
    }
}

/// The events with these actions, the newest first: action, target and user.
pub(crate) async fn log(tenant: &Tenant, actions: &[&str]) -> Vec<Value> {
    let events = events(&tenant.admin, &log_of(tenant)).await;
    let about = events.iter().filter(|event| actions.iter().any(|action| event["action"] == *action));
    about.map(|event| json!([event["action"], event["target_id"], event["actor"]["user_id"]])).collect()
}

#[track_caller]
pub(crate) fn assert_reason(answer: &Answer, reason: &str) {
    assert_eq!(answer.json()["reason"], reason, "{} {}", answer.status, answer.text);
}

async fn open_count(tenant: &Tenant) -> usize {
    tenant.admin.get(&invitations(tenant)).await.json().as_array().expect("a list").len()
}

#[tokio::test]
async fn a_person_becomes_a_member_by_an_invitation() {
    // `create_users` is false: the provider's users are refused until an organization has them.
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let set = json!({"name": "Readers", "permissions": ["files:read"]});
    let set = tenant.admin.post(&format!("/orgs/{}/permission_sets", tenant.org_id), &set).await.json();
    let body = json!({"user_name": "Ada Lovelace", "permissions": ["api_keys:read"], "permission_sets": [set["id"]]});
    let created = tenant.admin.post(&invitations(tenant), &body).await;
    let token = token(&created);
    let invitation = created.json();
    assert!(token.starts_with("cvi_") && token.len() == 53, "{token}");
    assert_eq!(invitation["url"], format!("https://keys.example/#/invitation/{token}"));
    assert_eq!((&invitation["kind"], &invitation["user_id"]), (&json!("invitation"), &Value::Null));
    assert_eq!(invitation["expires_at"], "2026-11-24T08:00:00.250Z", "after 72 hours");
    assert_eq!(invitation["created_by"], json!({"type": "key", "id": tenant.key_id}));
    // The token is nowhere else.
    let mut listed = invitation.clone();
    for name in ["token", "url"] {
        listed.as_object_mut().expect("an object").remove(name);
    }
    assert_eq!(tenant.admin.get(&invitations(tenant)).await.json(), json!([listed]));
    let one = format!("{}/{}", invitations(tenant), invitation["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.get(&one).await.json(), listed);
    let previewed = preview(app, &token).await;
    let expected = json!({
        "kind": "invitation", "org_name": "Acme", "user_name": "Ada Lovelace", "expires_at": "2026-11-24T08:00:00.250Z",
    });
    assert_eq!((previewed.status, previewed.json()), (200, expected));
    let claims = with(&with(&fixture.claims("ada"), "name", json!("ada")), "email", json!("ada@example.com"));
    let ada = fixture.caller_with(&claims);
    assert_eq!(ada.get("/me").await.status, 403, "no organization has the person");
    let redeemed = redeem(&ada, &token).await;
    assert_eq!((redeemed.status, &redeemed.json()["org_id"]), (200, &json!(tenant.org_id)), "{}", redeemed.text);
    let user = redeemed.json()["user_id"].clone();
    let me = ada.get("/me").await.json();
    assert_eq!((&me["user"]["id"], &me["organization"]["id"]), (&user, &json!(tenant.org_id)));
    assert_eq!(me["organizations"][0]["accepted"], true);
    assert_eq!(me["organization"]["permissions"], json!(["api_keys:read", "files:read"]));
    assert_eq!((&me["user"]["name"], &me["user"]["email"]), (&json!("Ada Lovelace"), &json!("ada@example.com")));
    assert_eq!(ada.get(&fixture.keys()).await.status, 200);
    let member = format!("/orgs/{}/members/{}", tenant.org_id, user.as_str().expect("an id"));
    let member = tenant.admin.get(&member).await.json();
    assert_eq!((&member["permission_sets"], &member["origin"]), (&json!([set["id"]]), &json!("identity_provider")));
    // It is used up.
    assert_eq!((open_count(tenant).await, tenant.admin.get(&one).await.status), (0, 404));
    assert_invalid(&fixture, &token, "redeemed").await;
    let id = &invitation["id"];
    assert_eq!(
        log(tenant, &["invitation.create", "invitation.redeem", "member.add"]).await,
        [
            json!(["member.add", user, user]),
            json!(["invitation.redeem", id, user]),
            json!(["invitation.create", id, tenant.user_id]),
        ]
    );
}

#[tokio::test]
async fn only_the_hash_of_a_token_is_stored() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let caller = tenant.admin.with("idempotency-key", "k");
    let first = invite(&caller, &tenant, &[]).await;
    let token = token(&first);
    let again = invite(&caller, &tenant, &[]).await;
    let mut expected = first.json();
    (expected["token"], expected["url"]) = (Value::Null, Value::Null);
    assert_eq!((again.header("idempotent-replayed"), again.json()), ("true", expected));
    assert_eq!(open_count(&tenant).await, 1);
    assert!(!app.database.has_stored_response_with(&token).await);
    assert!(!app.database.has_stored_token(&token).await);
    // A token is no credential, and no secret of a key.
    assert_reason(&app.caller(&token).get("/me").await, "invalid_credential");
    let verified = tenant.admin.post("/api_keys/verify", &json!({"key": token})).await.json();
    assert_eq!(verified["valid"], false);
    let without_dashboard = TestApp::start_with(|config| config.dashboard = false).await;
    let tenant = without_dashboard.tenant("Acme").await;
    let created = invite(&tenant.admin, &tenant, &[]).await.json();
    assert!(created["token"].is_string() && created["url"].is_null(), "{created}");
}

#[tokio::test]
async fn a_link_is_valid_for_72_hours_until_it_is_revoked() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    for text in ["", "cvi_", "nonsense", &tenant.admin.bearer().replacen("lvk_", "cvi_", 1)] {
        assert_invalid(&fixture, text, "malformed").await;
    }
    let unknown = domain::auth::invitation::InvitationToken::generate(&api::process::system::SystemEntropy);
    assert_invalid(&fixture, unknown.expose(), "unknown").await;
    let created = invite(&tenant.admin, tenant, &[]).await;
    let one = format!("{}/{}", invitations(tenant), created.json()["id"].as_str().expect("an id"));
    let (_, reader) = app.key(&tenant.org_id, KeySpec::with(&["members:read"])).await;
    assert_eq!(app.caller(&reader).delete(&one).await.status, 403);
    assert_eq!(preview(app, &token(&created)).await.status, 200);
    assert_eq!((tenant.admin.delete(&one).await.status, tenant.admin.delete(&one).await.status), (200, 404));
    assert_invalid(&fixture, &token(&created), "revoked").await;
    let events = app.audit(&tenant.org_id).await;
    assert_eq!(events.last().expect("an event").action, "invitation.revoke");
    let created = invite(&tenant.admin, tenant, &[]).await;
    let one = format!("{}/{}", invitations(tenant), created.json()["id"].as_str().expect("an id"));
    app.clock.advance_seconds(72 * 60 * 60 - 1);
    assert_eq!((preview(app, &token(&created)).await.status, open_count(tenant).await), (200, 1));
    app.clock.advance_seconds(1);
    assert_invalid(&fixture, &token(&created), "expired").await;
    assert_eq!((open_count(tenant).await, tenant.admin.get(&one).await.status), (0, 404));
    assert_eq!(tenant.admin.delete(&one).await.status, 404);
    assert_eq!(app.database.stored_invitations().await, 1);
    app.purge().await;
    assert_eq!(app.database.stored_invitations().await, 0, "personal data is not kept");
}

#[tokio::test]
async fn a_link_of_a_suspended_or_deleted_organization_is_not_valid() {
    let fixture = fixture(|_| ()).await;
    let tenant = &fixture.tenant;
    let token = token(&invite(&tenant.admin, tenant, &[]).await);
    let platform = fixture.app.platform().await;
    let org = format!("/orgs/{}", tenant.org_id);
    for suspended in [true, false] {
        assert_eq!(platform.patch(&org, &json!({"suspended": suspended})).await.status, 200);
        if suspended {
            assert_invalid(&fixture, &token, "suspended").await;
        }
    }
    assert_eq!(preview(&fixture.app, &token).await.status, 200);
    assert_eq!(platform.delete(&format!("{org}?confirm={}", tenant.org_id)).await.status, 200);
    assert_invalid(&fixture, &token, "deleted").await;
    assert_eq!(platform.send("POST", &format!("{org}/restore"), None).await.status, 200);
    assert_eq!(preview(&fixture.app, &token).await.status, 200, "restored");
    assert_eq!(platform.delete(&format!("{org}?confirm={}", tenant.org_id)).await.status, 200);
    fixture.app.clock.advance_seconds(8 * 24 * 60 * 60);
    fixture.app.purge().await;
    harness::wait_until("the organization's data is removed", async || {
        let left = fixture.app.database.stored_invitations().await;
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_simultaneous_redemptions_one_succeeds() {
    let fixture = fixture(|_| ()).await;
    let token = token(&invite(&fixture.tenant.admin, &fixture.tenant, &[]).await);
    let people: Vec<Caller> = (0..8).map(|n| fixture.caller_with(&fixture.claims(&format!("p{n}")))).collect();
    let answers = join_all(people.iter().map(|person| redeem(person, &token))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 404].contains(status)), "{statuses:?}");
    let members = fixture.tenant.admin.get(&format!("/orgs/{}/members", fixture.tenant.org_id)).await.json();
    assert_eq!(members.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_link_that_cannot_be_redeemed_now_stays_valid() {
    let fixture = fixture_with(|_| (), |config| config.max_members = 3).await;
    let tenant = &fixture.tenant;
    let ada = fixture.caller_with(&fixture.claims("ada"));
    let token = token(&invite(&tenant.admin, tenant, &[]).await);
    assert_reason(&redeem(&tenant.admin, &token).await, "person_required");
    assert_reason(&redeem(&fixture.app.anyone(), &token).await, "unauthenticated");
    let elsewhere = fixture.app.tenant("Other").await;
    let named = fixture.caller_with(&with(&fixture.claims("ada"), "org_id", json!(elsewhere.org_id)));
    assert_reason(&redeem(&named, &token).await, "provider_not_allowed");
    let bob = fixture.join(tenant, "bob", &[]).await;
    assert_reason(&redeem(&fixture.caller_with(&fixture.claims("bob")), &token).await, "already_member");
    fixture.join(tenant, "eve", &[]).await;
    assert_reason(&redeem(&ada, &token).await, "member_limit_reached");
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/members/{bob}", tenant.org_id)).await.status, 200);
    // A person who was removed can be invited again.
    assert_eq!(redeem(&fixture.caller_with(&fixture.claims("bob")), &token).await.status, 200);
    assert_eq!(
        fixture.caller_with(&fixture.claims("bob")).get("/me").await.json()["organizations"][0]["accepted"],
        true
    );
}

#[tokio::test]
async fn a_provider_must_be_configured_for_the_organization() {
    let first = fixture(|_| ()).await;
    let token = token(&invite(&first.tenant.admin, &first.tenant, &[]).await);
    let other = first.app.tenant("Other").await;
    let providers = read_issuers(&json!([first.provider.entry(&json!([other.org_id]))])).expect("valid issuers");
    let Fixture { app, provider, key, tenant } = first;
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |config| config.providers = providers).await;
    let ada = app.caller(&key.sign(&provider.claims("ada", app.now_seconds())));
    assert_reason(&redeem(&ada, &token).await, "provider_not_allowed");
    assert_eq!(tenant.admin.at(&app.base()).get(&invitations(&tenant)).await.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_session_of_a_person_can_redeem_an_invitation() {
    let fixture = fixture(|entry| entry["create_users"] = json!(true)).await;
    let page = sign_in(&fixture.app, &fixture.caller_with(&fixture.claims("ada"))).await;
    let first = token(&invite(&fixture.tenant.admin, &fixture.tenant, &["files:read"]).await);
    let cross_site = page.without("sec-fetch-site").with("sec-fetch-site", "cross-site");
    assert_reason(&redeem(&cross_site, &first).await, "cross_site_request");
    assert_eq!(redeem(&page, &first).await.status, 200);
    let me = page.get("/me").await.json();
    assert_eq!((&me["organization"]["id"], &me["user"]["email"]), (&json!(fixture.tenant.org_id), &Value::Null));
    // A second organization of the same person.
    let other = fixture.app.tenant("Other").await;
    assert_eq!(redeem(&page, &token(&invite(&other.admin, &other, &[]).await)).await.status, 200);
    assert_eq!(page.get("/me").await.json()["organizations"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_deleted_permission_set_is_not_attached() {
    let fixture = fixture(|_| ()).await;
    let tenant = &fixture.tenant;
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let set = json!({"name": name, "permissions": [format!("{name}:read")]});
        ids.push(tenant.admin.post(&sets, &set).await.json()["id"].clone());
    }
    let body = json!({"user_name": "Ada", "permissions": [], "permission_sets": ids});
    let token = token(&tenant.admin.post(&invitations(tenant), &body).await);
    assert_eq!(tenant.admin.delete(&format!("{sets}/{}", ids[0].as_str().expect("an id"))).await.status, 200);
    let ada = fixture.caller_with(&fixture.claims("ada"));
    assert_eq!(redeem(&ada, &token).await.status, 200);
    assert_eq!(ada.get("/me").await.json()["organization"]["permissions"], json!(["two:read"]));
}

#[tokio::test]
async fn an_organization_has_at_most_100_open_invitations() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let first = invite(&tenant.admin, &tenant, &[]).await.json();
    for _ in 1..100 {
        token(&invite(&tenant.admin, &tenant, &[]).await);
    }
    assert_reason(&invite(&tenant.admin, &tenant, &[]).await, "invitation_limit_reached");
    let recovery = format!("/orgs/{}/members/{}/recovery_links", tenant.org_id, tenant.user_id);
    assert_reason(&tenant.admin.send("POST", &recovery, None).await, "invitation_limit_reached");
    let other = app.tenant("Other").await;
    token(&invite(&other.admin, &other, &[]).await);
    // Pages, as of other lists.
    let page = tenant.admin.get(&format!("{}?limit=60", invitations(&tenant))).await;
    let next = page.header("link").strip_prefix('<').and_then(|link| link.split_once('>')).expect("a next page").0;
    let (page, rest) = (page.json(), tenant.admin.get(next).await.json());
    assert_eq!((page.as_array().map(Vec::len), rest.as_array().map(Vec::len)), (Some(60), Some(40)));
    // Revoked and expired ones do not count.
    let one = format!("{}/{}", invitations(&tenant), first["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.delete(&one).await.status, 200);
    token(&invite(&tenant.admin, &tenant, &[]).await);
    assert_reason(&invite(&tenant.admin, &tenant, &[]).await, "invitation_limit_reached");
    app.clock.advance_seconds(72 * 60 * 60);
    token(&invite(&tenant.admin, &tenant, &[]).await);
    assert_eq!(app.database.stored_invitations().await, 2, "the expired ones are removed");
}

#[tokio::test]
async fn invitations_of_other_organizations_are_unknown() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let created = invite(&other.admin, &other, &[]).await.json();
    let id = created["id"].as_str().expect("an id");
    for path in [format!("{}/{id}", invitations(&mine)), format!("{}/{id}", invitations(&other))] {
        assert_reason(&mine.admin.get(&path).await, "not_found");
        assert_reason(&mine.admin.delete(&path).await, "not_found");
    }
    assert_reason(&mine.admin.get(&invitations(&other)).await, "not_found");
    assert_reason(&invite(&mine.admin, &other, &[]).await, "not_found");
    assert_eq!((open_count(&mine).await, open_count(&other).await), (0, 1));
    let recovery = |org: &Tenant, user: &str| format!("/orgs/{}/members/{user}/recovery_links", org.org_id);
    for path in [recovery(&mine, &other.user_id), recovery(&other, &other.user_id), recovery(&other, &mine.user_id)] {
        assert_reason(&mine.admin.send("POST", &path, None).await, "not_found");
    }
}

#[tokio::test]
async fn attempts_with_unknown_tokens_are_limited() {
    let fixture = fixture_with(|_| (), |config| config.auth_failure_rate = 3).await;
    let token = token(&invite(&fixture.tenant.admin, &fixture.tenant, &[]).await);
    let ada = fixture.caller_with(&fixture.claims("ada"));
    assert_eq!(preview(&fixture.app, &token).await.status, 200);
    assert_reason(&preview(&fixture.app, "cvi_x").await, "invitation_not_found");
    assert_reason(&redeem(&ada, "cvi_x").await, "invitation_not_found");
    assert_reason(&preview(&fixture.app, "cvi_x").await, "invitation_not_found");
    for answer in [preview(&fixture.app, &token).await, redeem(&ada, &token).await] {
        assert_eq!(answer.status, 429, "{}", answer.text);
        assert_reason(&answer, "too_many_attempts");
    }
}
