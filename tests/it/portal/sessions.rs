//! Portal sessions: links that are opened once, tokens that are valid for an hour and nowhere else.

use std::num::NonZero;

use futures_util::future::join_all;
use harness::{Caller, KeySpec, TestApp};
use serde_json::{Value, json};

use super::{assert_ended, assert_failed, create, create_key, customer, exchange, open, session, sessions};
use crate::{
    audit_log::events::{events, log_of},
    auth::{
        credentials::call,
        idp::fixture,
        operations::{PORTAL, PROTECTED},
    },
};

#[tokio::test]
async fn a_key_whose_prefix_is_that_of_tokens_can_manage() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = json!({"name": "k", "permissions": ["org:read"], "can_manage": true, "prefix": "cvp_"});
    let created = tenant.admin.post(&tenant.keys(), &key).await;
    assert_eq!(created.status, 200, "{}", created.text);
    let key = app.caller(created.json()["key"].as_str().expect("a secret"));
    assert_eq!(key.get(&format!("/orgs/{}", tenant.org_id)).await.status, 200);
}

#[tokio::test]
async fn a_link_is_opened_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let changes = json!({"return_url": "https://shop.example/account", "theme": "dark", "limits": {"max_keys": 3}});
    let created = tenant.admin.post(&sessions(&tenant), &session(changes)).await.json();
    assert_eq!(created["expires_at"], "2026-11-21T08:05:00.250Z", "after 5 minutes");
    let url = created["url"].as_str().expect("a link");
    let secret = url.rsplit_once('#').expect("a secret").1;
    assert!(secret.starts_with("cvl_") && secret.len() == 53, "{secret}");
    let opened = exchange(&app, secret).await;
    let portal = customer(&app, &opened);
    let mut expected = opened.json();
    let token = expected.as_object_mut().expect("an object").remove("token").expect("a token");
    assert!(token.as_str().is_some_and(|token| token.starts_with("cvp_") && token.len() == 53), "{token}");
    assert_eq!(portal.get("/portal/session").await.json(), expected);
    assert_eq!(
        expected,
        json!({
            "id": created["id"], "name": "Acme", "color": null, "logo": null,
            "allowed": ["create", "rotate", "revoke", "usage"], "permissions_ceiling": ["files:read", "files:write"],
            "limits": {"max_keys": 3}, "return_url": "https://shop.example/account", "theme": "dark",
            "expires_at": "2026-11-21T09:00:00.250Z",
        })
    );
    assert_failed(&exchange(&app, secret).await, 404, "portal_link_not_found");
    assert_eq!(portal.get("/portal/session").await.status, 200, "the session is unchanged");
    // The secret of the link is no token, and the token no secret.
    assert_ended(&app.caller(secret), "a secret").await;
    assert_failed(&exchange(&app, portal.bearer()).await, 404, "portal_link_not_found");
    for text in [secret, portal.bearer()] {
        assert!(!app.database.has_stored_portal_secret(text).await, "only hashes are stored");
    }
}

#[tokio::test]
async fn of_simultaneous_requests_one_opens_the_link() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for _ in 0..5 {
        let (_, secret) = create(&tenant.admin, &tenant, json!({})).await;
        let mut statuses: Vec<u16> =
            join_all((0..4).map(|_| exchange(&app, &secret))).await.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404, 404, 404]);
    }
}

#[tokio::test]
async fn links_and_sessions_expire() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, early) = create(&tenant.admin, &tenant, json!({})).await;
    let (_, late) = create(&tenant.admin, &tenant, json!({})).await;
    app.clock.advance_seconds(299);
    let portal = customer(&app, &exchange(&app, &early).await);
    app.clock.advance_seconds(1);
    assert_failed(&exchange(&app, &late).await, 404, "portal_link_not_found");
    app.clock.advance_seconds(3_598);
    assert_eq!(portal.get("/portal/session").await.status, 200);
    app.clock.advance_seconds(1);
    assert_ended(&portal, "an hour after it was opened").await;
    // Expired sessions are removed.
    assert_eq!(app.database.portal_sessions().await, 2);
    app.purge().await;
    assert_eq!(app.database.portal_sessions().await, 0);
}

#[tokio::test]
async fn a_session_is_ended_by_its_customer_or_its_organization() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let portal = open(&app, &tenant, json!({})).await;
    assert_eq!(portal.delete("/portal/session").await.status, 200);
    assert_ended(&portal, "signed out").await;
    let (id, secret) = create(&tenant.admin, &tenant, json!({})).await;
    let portal = customer(&app, &exchange(&app, &secret).await);
    let foreign = other.admin.delete(&format!("{}/{id}", sessions(&other))).await;
    assert_failed(&foreign, 404, "not_found");
    assert_eq!(portal.get("/portal/session").await.status, 200, "another organization cannot revoke it");
    assert_eq!(tenant.admin.delete(&format!("{}/{id}", sessions(&tenant))).await.status, 200);
    assert_ended(&portal, "revoked").await;
    assert_failed(&tenant.admin.delete(&format!("{}/{id}", sessions(&tenant))).await, 404, "not_found");
    // Before it is opened.
    let (id, secret) = create(&tenant.admin, &tenant, json!({})).await;
    assert_eq!(tenant.admin.delete(&format!("{}/{id}", sessions(&tenant))).await.status, 200);
    assert_failed(&exchange(&app, &secret).await, 404, "portal_link_not_found");
}

#[tokio::test]
async fn an_organization_lists_its_open_sessions() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    create(&other.admin, &other, json!({})).await;
    let listed = async |query: &str| tenant.admin.get(&format!("{}{query}", sessions(&tenant))).await;
    assert_eq!(listed("").await.json(), json!([]));
    let (expired, _) = create(&tenant.admin, &tenant, json!({})).await;
    app.clock.advance_seconds(298);
    let (first, secret) = create(&tenant.admin, &tenant, json!({})).await;
    // Ids are in the order of their times.
    app.clock.advance_seconds(1);
    let member = json!({"external_id": null, "user_id": tenant.user_id, "allowed": [], "permissions_ceiling": []});
    let (second, unopened) = create(&tenant.admin, &tenant, member).await;
    let portal = customer(&app, &exchange(&app, &secret).await);
    app.clock.advance_seconds(1);
    let answer = listed("").await;
    let creator = json!({"type": "key", "id": tenant.key_id});
    let expected = json!([
        {
            "id": first, "external_id": "customer-1", "user_id": null,
            "allowed": ["create", "rotate", "revoke", "usage"], "permissions_ceiling": ["files:read", "files:write"],
            "created_by": creator, "created_at": "2026-11-21T08:04:58.250Z", "opened": true,
            "expires_at": "2026-11-21T09:04:59.250Z",
        },
        {
            "id": second, "external_id": null, "user_id": tenant.user_id, "allowed": [], "permissions_ceiling": [],
            "created_by": creator, "created_at": "2026-11-21T08:04:59.250Z", "opened": false,
            "expires_at": "2026-11-21T08:09:59.250Z",
        },
    ]);
    assert_eq!(answer.json(), expected, "without {expired}, whose link has expired");
    for secret in [secret.as_str(), unopened.as_str(), portal.bearer()] {
        assert!(!answer.text.contains(secret), "{}", answer.text);
    }
    // In pages.
    let page = listed("?limit=1").await;
    assert_eq!(page.json(), json!([expected[0]]));
    let next = page.header("link").trim_start_matches('<').split('>').next().expect("a path");
    let next = tenant.admin.get(next).await;
    assert_eq!((next.json(), next.headers.get("link")), (json!([expected[1]]), None));
    assert_eq!(listed("?external_id=customer-1").await.json(), json!([expected[0]]));
    assert_eq!(listed("?external_id=customer-2").await.json(), json!([]));
    // Ended ones are not listed.
    assert_eq!(tenant.admin.delete(&format!("{}/{first}", sessions(&tenant))).await.status, 200);
    assert_ended(&portal, "ended").await;
    assert_eq!(listed("").await.json(), json!([expected[1]]));
    // Only for callers who may create them.
    let reader = app.caller(&app.key(&tenant.org_id, KeySpec::with(&["org:*", "api_keys:*"])).await.1);
    assert_failed(&reader.get(&sessions(&tenant)).await, 403, "permission_required");
}

#[tokio::test]
async fn sessions_end_with_their_organization() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let org = format!("/orgs/{}", tenant.org_id);
    // Created by the platform, whose own organization is not suspended.
    let (_, secret) = create(&platform, &tenant, json!({})).await;
    let of_platform = customer(&app, &exchange(&app, &secret).await);
    let portal = open(&app, &tenant, json!({})).await;
    let (_, unopened) = create(&platform, &tenant, json!({})).await;
    assert_eq!(platform.patch(&org, &json!({"suspended": true})).await.status, 200);
    for portal in [&portal, &of_platform] {
        assert_ended(portal, "suspended").await;
        assert_failed(&portal.get("/portal/api_keys").await, 401, "portal_session_required");
    }
    assert_failed(&exchange(&app, &unopened).await, 404, "portal_link_not_found");
    assert_eq!(platform.patch(&org, &json!({"suspended": false})).await.status, 200);
    assert_eq!(of_platform.get("/portal/session").await.status, 200);
    assert_eq!(platform.delete(&format!("{org}?confirm={}", tenant.org_id)).await.status, 200);
    assert_ended(&of_platform, "deleted").await;
    assert_eq!(platform.send("POST", &format!("{org}/restore"), None).await.status, 200);
    assert_ended(&of_platform, "restored: its sessions are not").await;
}

#[tokio::test]
async fn a_token_is_refused_everywhere_else() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let portal = open(&app, &tenant, json!({})).await;
    for operation in PROTECTED {
        let answer = call(&portal, operation, &tenant.org_id, &tenant.key_id).await;
        assert_eq!(answer.status, 401, "{}: {}", operation.id, answer.text);
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, "Bearer error=\"invalid_token\"", "{}", operation.id);
    }
    let answer = portal.get(&tenant.keys()).await.json();
    assert_eq!(answer["reason"], "invalid_credential");
    assert!(answer["message"].as_str().expect("a message").contains("only valid below /portal"), "{answer}");
    for scheme in [harness::Scheme::Header, harness::Scheme::Cookie] {
        let otherwise = app.anyone().with_key(scheme, portal.bearer());
        assert_eq!(otherwise.get("/me").await.status, 401, "{scheme:?}");
        assert_ended(&otherwise, "only as a bearer token").await;
    }
    let body = json!({"key": portal.bearer()});
    assert_eq!(tenant.admin.post("/api_keys/verify", &body).await.json()["code"], "INVALID_API_KEY");
}

#[tokio::test]
async fn other_credentials_are_refused_in_the_portal() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    fixture.add(tenant, "ada", &["*"]).await;
    let person = fixture.caller_with(&fixture.claims("ada"));
    let session = tenant.admin.send("POST", "/session", None).await;
    let cookie = app.anyone().with("cookie", session.cookie()).with("sec-fetch-site", "same-origin");
    let portal = open(app, tenant, json!({})).await;
    let (key, _) = create_key(&portal, "n").await;
    let last = if portal.bearer().ends_with('A') { "B" } else { "A" };
    let changed = format!("{}{last}", &portal.bearer()[..portal.bearer().len() - 1]);
    let callers: [(&str, Caller); 6] = [
        ("nothing", app.anyone()),
        ("a key", tenant.admin.clone()),
        ("a person", person),
        ("a session", cookie),
        ("a changed token", app.caller(&changed)),
        ("two tokens", portal.with("authorization", "Bearer x")),
    ];
    for operation in PORTAL {
        for (what, caller) in &callers {
            let answer = call(caller, operation, &tenant.org_id, &key).await;
            assert_eq!(answer.status, 401, "{}: {what}: {}", operation.id, answer.text);
            assert_eq!(answer.json()["reason"], "portal_session_required", "{}: {what}", operation.id);
        }
    }
    // The last one ends the session.
    for operation in PORTAL {
        let answer = call(&portal, operation, &tenant.org_id, &key).await;
        assert_eq!(answer.status, operation.permitted, "{}: {}", operation.id, answer.text);
    }
}

#[tokio::test]
async fn failed_attempts_are_limited() {
    let app = TestApp::start_with(|config| config.auth_failure_rate = 3).await;
    let tenant = app.tenant("Acme").await;
    let (_, secret) = create(&tenant.admin, &tenant, json!({})).await;
    for _ in 0..2 {
        assert_failed(&exchange(&app, "cvl_unknown").await, 404, "portal_link_not_found");
    }
    assert_ended(&app.caller("cvp_unknown"), "unknown").await;
    assert_failed(&exchange(&app, &secret).await, 429, "too_many_attempts");
    assert_failed(&app.caller("cvp_unknown").get("/portal/session").await, 429, "too_many_attempts");
}

#[tokio::test]
async fn requests_of_sessions_count_towards_the_rate_limit_of_the_organization() {
    let app = TestApp::start_with(|config| config.management_rate = NonZero::new(2)).await;
    let tenant = app.tenant("Acme").await;
    let portal = open(&app, &tenant, json!({})).await;
    let statuses: Vec<u16> =
        join_all((0..6).map(|_| portal.get("/portal/session"))).await.iter().map(|answer| answer.status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_session_is_created_by_a_key_for_one_customer() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let wrong = async |changes: Value| tenant.admin.post(&sessions(tenant), &session(changes)).await.wrong_fields();
    for (changes, field) in [
        (json!({"external_id": null}), "external_id"),
        (json!({"external_id": " "}), "external_id"),
        (json!({"user_id": tenant.user_id}), "user_id"),
        (json!({"external_id": null, "user_id": "x"}), "user_id"),
        (json!({"allowed": ["create", "create"]}), "allowed"),
        (json!({"allowed": ["delete"]}), "allowed"),
        (json!({"permissions_ceiling": ["*"]}), "permissions_ceiling"),
        (json!({"permissions_ceiling": ["api_keys:read"]}), "permissions_ceiling"),
        (json!({"permissions_ceiling": ["a b"]}), "permissions_ceiling"),
        (json!({"limits": {"max_keys": 0}}), "limits.max_keys"),
        (json!({"limits": {"max_keys": 101}}), "limits.max_keys"),
        (json!({"limits": {"max_lifetime_seconds": 0}}), "limits.max_lifetime_seconds"),
        (json!({"limits": {"rate_limit_max": 1}}), "limits.rate_limit_window"),
        (json!({"limits": {"other": 1}}), "limits.other"),
        (json!({"prefix": "a b"}), "prefix"),
        (json!({"return_url": "javascript:alert(1)"}), "return_url"),
        (json!({"return_url": "http://shop.example/"}), "return_url"),
        (json!({"theme": "pink"}), "theme"),
        (json!({"other": 1}), "other"),
    ] {
        assert_eq!(wrong(changes.clone()).await, [field], "{changes}");
    }
    let unknown = json!({"external_id": null, "user_id": "ffffffff-0000-7000-8000-000000000000"});
    let unknown = tenant.admin.post(&sessions(tenant), &session(unknown)).await;
    assert_failed(&unknown, 404, "user_not_found");
    fixture.add(tenant, "ada", &["*"]).await;
    let ada = fixture.caller_with(&fixture.claims("ada"));
    assert_eq!(ada.send("POST", &crate::auth::idp::membership(tenant), None).await.status, 200);
    let by_person = ada.post(&sessions(tenant), &session(json!({}))).await;
    assert_failed(&by_person, 403, "api_key_required");
    let weak = app.caller(&app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "files:*"])).await.1);
    assert_failed(&weak.post(&sessions(tenant), &session(json!({}))).await, 403, "permission_required");
    // A repeated request creates no second session, and does not get the link.
    let caller = tenant.admin.with("idempotency-key", "k");
    let before = app.database.portal_sessions().await;
    let first = caller.post(&sessions(tenant), &session(json!({}))).await;
    let again = caller.post(&sessions(tenant), &session(json!({}))).await;
    let mut expected = first.json();
    expected["url"] = Value::Null;
    assert_eq!((again.header("idempotent-replayed"), again.json()), ("true", expected));
    assert_eq!(app.database.portal_sessions().await, before + 1);
}

#[tokio::test]
async fn the_audit_log_names_the_session() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, secret) = create(&tenant.admin, &tenant, json!({})).await;
    let portal = customer(&app, &exchange(&app, &secret).await);
    let (key, _) = create_key(&portal, "n").await;
    let rotated = portal.post(&format!("/portal/api_keys/{key}/rotate"), &json!({"grace_seconds": 0})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    assert_eq!(portal.delete(&format!("/portal/api_keys/{key}")).await.status, 200);
    assert_eq!(portal.delete("/portal/session").await.status, 200);
    let logged = events(&tenant.admin, &log_of(&tenant)).await;
    let about: Vec<Value> = logged
        .iter()
        .filter(|event| event["actor"]["session_id"] == json!(id) || event["target_id"] == json!(id))
        .map(|event| {
            json!([event["action"], event["target_id"], event["actor"]["session_id"], event["actor"]["key_id"]])
        })
        .collect();
    assert_eq!(
        about,
        [
            json!(["portal_session.close", id, id, tenant.key_id]),
            json!(["api_key.delete", key, id, tenant.key_id]),
            json!(["api_key.rotate", key, id, tenant.key_id]),
            json!(["api_key.create", key, id, tenant.key_id]),
            json!(["portal_session.open", id, id, tenant.key_id]),
            json!(["portal_session.create", id, null, tenant.key_id]),
        ]
    );
}
