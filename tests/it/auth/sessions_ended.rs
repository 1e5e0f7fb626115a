//! Ending sessions: everywhere, of a member, with the key, and with the token of a provider.

use std::{sync::Arc, time::Duration};

use harness::{Answer, KeySpec, Tenant, TestApp, TestClock};
use serde_json::{Value, json};

use crate::{
    audit_log::events::{events, log_of},
    auth::{
        idp::{fixture, fixture_with, status, with},
        sessions::sign_in,
    },
};

fn ended(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["ended"].as_u64().expect("a number")
}

/// The keys and users whose sessions were ended together, from the log.
async fn endings(tenant: &Tenant) -> Vec<Value> {
    let events = events(&tenant.admin, &log_of(tenant)).await;
    let endings = events.into_iter().filter(|event| event["action"] == "session.end_all" && event["outcome"] == "done");
    endings.map(|event| event["target_id"].clone()).collect()
}

#[tokio::test]
async fn a_session_cannot_rotate_its_own_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let (own_id, own) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "files:read"])).await;
    let (other_id, _) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let page = sign_in(&app, &app.caller(&own)).await;
    let now = json!({"grace_seconds": 0});
    let refused = page.post(&format!("{keys}/{own_id}/rotate"), &now).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(refused.text.contains("the key itself"), "{}", refused.text);
    let other = page.post(&format!("{keys}/{other_id}/rotate"), &now).await;
    assert_eq!(other.status, 200, "a session can create keys, so it can rotate another key: {}", other.text);
    assert_eq!(app.caller(&own).post(&format!("{keys}/{own_id}/rotate"), &now).await.status, 200);
}

#[tokio::test]
async fn enabling_a_key_again_does_not_restore_its_sessions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for athena in [false, true] {
        let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
        let page = sign_in(&app, &app.caller(&key)).await;
        for enabled in [false, true] {
            let answer = if athena {
                tenant.admin.post("/api/auth/api-key/update", &json!({"keyId": id, "enabled": enabled})).await
            } else {
                let path = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
                tenant.admin.patch(&path, &json!({"enabled": enabled})).await
            };
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert_eq!(status(&page).await, 401, "athena: {athena}, enabled: {enabled}");
        }
        let again = sign_in(&app, &app.caller(&key)).await;
        assert_eq!(status(&again).await, 200, "a new one is opened");
    }
}

#[tokio::test]
async fn signing_out_everywhere_ends_the_sessions_of_the_key_on_every_node() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    // There is only one node on SQLite.
    let node = if app.database.is_postgres() {
        Some(TestApp::start_by(app.database.shared(), Arc::new(TestClock::default()), false, |_| {}).await)
    } else {
        None
    };
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (_, other) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let unaffected = sign_in(&app, &app.caller(&other)).await;
    let first = sign_in(&app, &app.caller(&key)).await;
    let mut others = vec![sign_in(&app, &app.caller(&key)).await];
    if let Some(node) = &node {
        others.extend([sign_in(node, &node.caller(&key)).await, others[0].at(&node.base())]);
        assert_eq!(status(&others[2]).await, 200, "the session is valid on every node");
    }
    let answer = first.delete("/me/sessions").await;
    assert_eq!(ended(&answer), if node.is_some() { 3 } else { 2 });
    assert!(answer.header("set-cookie").starts_with("__Host-apiKeyCookie=;"), "{}", answer.header("set-cookie"));
    for page in others.iter().chain([&first]) {
        assert_eq!(status(page).await, 401);
    }
    assert_eq!((status(&unaffected).await, status(&app.caller(&key)).await), (200, 200));
    assert_eq!(ended(&app.caller(&key).delete("/me/sessions").await), 0);
    assert_eq!(endings(&tenant).await, [json!(id)], "requests that end no session are not logged");
}

#[tokio::test]
async fn an_administrator_can_end_the_sessions_of_a_member() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let ada = fixture.join(tenant, "ada", &["api_keys:read"]).await;
    let eve = fixture.join(tenant, "eve", &["api_keys:read"]).await;
    let key = async |user: &String| {
        let spec = KeySpec { user_id: Some(user.clone()), ..KeySpec::with(&["*"]) };
        app.caller(&app.key(&tenant.org_id, spec).await.1)
    };
    let of_ada = [
        sign_in(app, &fixture.caller_with(&fixture.claims("ada"))).await,
        sign_in(app, &key(&ada).await).await,
        sign_in(app, &key(&ada).await).await,
    ];
    let of_others = [
        sign_in(app, &fixture.caller_with(&fixture.claims("eve"))).await,
        sign_in(app, &key(&eve).await).await,
        sign_in(app, &tenant.admin).await,
    ];
    let sessions = format!("/orgs/{}/members/{ada}/sessions", tenant.org_id);
    let (_, reader) = app.key(&tenant.org_id, KeySpec::with(&["members:read"])).await;
    assert_eq!(app.caller(&reader).delete(&sessions).await.status, 403);
    assert_eq!(app.tenant("Other").await.admin.delete(&sessions).await.status, 404);
    let (_, manager) = app.key(&tenant.org_id, KeySpec::with(&["members:admin"])).await;
    assert_eq!(ended(&app.caller(&manager).delete(&sessions).await), 3, "members:admin is sufficient");
    for page in &of_ada {
        assert_eq!(status(page).await, 401);
    }
    for page in &of_others {
        assert_eq!(status(page).await, 200);
    }
    assert_eq!(ended(&tenant.admin.delete(&sessions).await), 0);
    assert_eq!(endings(tenant).await, [json!(ada)]);
}

#[tokio::test]
async fn an_organization_cannot_end_sessions_without_an_accepted_membership() {
    let fixture = fixture(|_| ()).await;
    let (app, first) = (&fixture.app, &fixture.tenant);
    let (second, stranger) = (app.tenant("Second").await, app.tenant("Stranger").await);
    let ada = fixture.claims("ada");
    let at_first = fixture.join(first, "ada", &[]).await;
    let at_stranger = fixture.add(&stranger, "ada", &["*"]).await;
    let opened_at_first = sign_in(app, &fixture.caller_with(&ada)).await;
    let at_second = fixture.join(&second, "ada", &[]).await;
    // Two memberships are accepted and no organization is named: the session has no organization.
    let opened_nowhere = sign_in(app, &fixture.caller_with(&ada)).await;
    let named = with(&ada, "org_id", json!(stranger.org_id));
    let opened_at_stranger = sign_in(app, &fixture.caller_with(&named)).await;
    let end = async |tenant: &Tenant, user: &str| {
        ended(&tenant.admin.delete(&format!("/orgs/{}/members/{user}/sessions", tenant.org_id)).await)
    };
    assert_eq!(end(&stranger, &at_stranger).await, 1, "the session that was opened in this organization");
    assert_eq!(status(&opened_at_stranger).await, 401);
    assert_eq!((status(&opened_at_first).await, status(&opened_nowhere).await), (200, 200));
    assert_eq!(
        end(&second, &at_second).await,
        1,
        "the session without an organization, because this membership is accepted"
    );
    assert_eq!((status(&opened_at_first).await, status(&opened_nowhere).await), (200, 401));
    assert_eq!(end(first, &at_first).await, 1);
    assert_eq!(status(&opened_at_first).await, 401);
}

#[tokio::test]
async fn an_idp_user_can_sign_out_everywhere() {
    let fixture = fixture(|_| ()).await;
    fixture.join(&fixture.tenant, "ada", &["api_keys:read"]).await;
    fixture.join(&fixture.tenant, "eve", &["api_keys:read"]).await;
    let (ada, eve) = (fixture.caller_with(&fixture.claims("ada")), fixture.caller_with(&fixture.claims("eve")));
    let pages = [sign_in(&fixture.app, &ada).await, sign_in(&fixture.app, &ada).await];
    let unaffected = sign_in(&fixture.app, &eve).await;
    assert_eq!(ended(&ada.delete("/me/sessions").await), 2);
    for page in &pages {
        assert_eq!(status(page).await, 401);
    }
    assert_eq!((status(&unaffected).await, status(&ada).await), (200, 200));
}

#[tokio::test]
async fn an_idp_session_ends_with_its_token_or_at_the_configured_time() {
    // The tokens of these tests are valid for five minutes.
    for (hours, seconds) in [(0, 300), (1, 3_600), (12, 12 * 3_600)] {
        let fixture = fixture_with(|_| (), |config| config.provider_session_time = Duration::from_hours(hours)).await;
        fixture.join(&fixture.tenant, "ada", &[]).await;
        let page = sign_in(&fixture.app, &fixture.caller_with(&fixture.claims("ada"))).await;
        fixture.app.clock.advance_seconds(seconds - 1);
        assert_eq!(status(&page).await, 200, "{hours}");
        fixture.app.clock.advance_seconds(1);
        assert_eq!(status(&page).await, 401, "{hours}");
    }
}
