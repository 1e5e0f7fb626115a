//! The Athena API: updates, required permissions, and the scope of callers.

use harness::{Caller, KeySpec, TestApp};
use serde_json::{Value, json};

use crate::compat::athena::{API, MADE_UP, get, post, text};

#[tokio::test]
async fn athena_updates_keep_absent_fields_and_clear_null_fields() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let full = json!({
        "name": "n", "expiresIn": 3600, "remaining": 7, "refillAmount": 5, "refillInterval": 1000, "rateLimitMax": 3,
        "rateLimitTimeWindow": 60_000, "metadata": {"a": 1}, "permissions": {"files": ["read"]},
    });
    let key = post(&tenant.admin, "create", full).await.json();
    let id = text(&key["id"]).to_owned();
    let update = async |mut patch: Value| {
        patch["keyId"] = json!(id);
        post(&tenant.admin, "update", patch).await
    };
    app.clock.advance_seconds(1);
    let renamed = update(json!({"name": "m"})).await.json();
    for name in ["expiresAt", "remaining", "refillAmount", "rateLimitMax", "metadata", "permissions", "createdAt"] {
        assert_eq!(renamed[name], key[name], "{name} stays");
    }
    assert_eq!((&renamed["name"], &renamed["updatedAt"]), (&json!("m"), &json!("2026-11-21T08:00:01.250Z")));
    let nothing = update(json!({})).await;
    assert_eq!(
        (nothing.status, nothing.json()),
        (400, json!({"message": "No values to update.", "code": "NO_VALUES_TO_UPDATE"}))
    );
    for (patch, name) in [
        (json!({"name": null}), "name"),
        (json!({"expiresIn": null}), "expiresAt"),
        (json!({"metadata": null}), "metadata"),
        (json!({"permissions": null}), "permissions"),
    ] {
        let updated = update(patch).await.json();
        assert_eq!(updated[name], Value::Null, "{name}");
    }
    let half = update(json!({"refillAmount": null})).await;
    assert_eq!((half.status, &half.json()["code"]), (400, &json!("REFILL_AMOUNT_AND_INTERVAL_REQUIRED")));
    let cleared = update(json!({"remaining": null})).await.json();
    assert_eq!(
        (&cleared["remaining"], &cleared["refillAmount"]),
        (&Value::Null, &Value::Null),
        "clearing `remaining` clears the refill"
    );
    let refilled = update(json!({"refillAmount": 4, "refillInterval": 9})).await.json();
    assert_eq!(refilled["remaining"], 4, "a refill without anything remaining starts it");
}

#[tokio::test]
async fn athena_limits_and_owners_need_an_administrator() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (_, writer) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "files:read"])).await;
    let writer = app.caller(&writer);
    let refusal = json!({
        "message": "The property you're trying to set can only be set from the server auth instance only.",
        "code": "SERVER_ONLY_PROPERTY",
    });
    for body in [
        json!({"remaining": 5}),
        json!({"refillAmount": 5, "refillInterval": 5}),
        json!({"rateLimitMax": 5}),
        json!({"rateLimitTimeWindow": 5}),
        json!({"rateLimitEnabled": false}),
        json!({"permissions": {}}),
        json!({"userId": tenant.user_id}),
    ] {
        let answer = post(&writer, "create", body.clone()).await;
        assert_eq!((answer.status, answer.json()), (400, refusal.clone()), "{body}");
        let mut patch = body.clone();
        patch["keyId"] = json!(MADE_UP);
        let answer = post(&writer, "update", patch).await;
        assert_eq!((answer.status, answer.json()), (400, refusal.clone()), "checked before the key is read: {body}");
    }
    let plain = post(&writer, "create", json!({"name": "n", "remaining": null})).await;
    assert_eq!(
        (plain.status, &plain.json()["userId"]),
        (200, &json!(tenant.org_id)),
        "keys that an organization's own key creates have no user"
    );

    let named = post(&tenant.admin, "create", json!({"userId": tenant.user_id})).await;
    assert_eq!((named.status, &named.json()["userId"]), (200, &json!(tenant.user_id)));
    for user in [other.user_id.as_str(), MADE_UP, "user_1"] {
        let answer = post(&tenant.admin, "create", json!({"userId": user})).await;
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({"message": "User not found", "code": "USER_NOT_FOUND"})),
            "{user}"
        );
        let answer =
            post(&tenant.admin, "update", json!({"keyId": named.json()["id"], "userId": user, "name": "x"})).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("KEY_NOT_FOUND")), "{user}");
    }
}

#[tokio::test]
async fn an_athena_update_accepts_the_owner_from_the_response() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let shown = get(&tenant.admin, &id).await.json()["userId"].clone();
    assert_eq!(shown, tenant.org_id.as_str());
    let update = json!({"keyId": id, "userId": shown, "name": "x"});
    assert_eq!(post(&tenant.admin, "update", update).await.status, 200);
}

#[tokio::test]
async fn a_members_key_cannot_get_permissions_beyond_the_member() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let spec = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["read"]) };
    let (id, _) = app.key(&tenant.org_id, spec).await;
    let (_, caller) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "org:admin", "read"])).await;
    let caller = app.caller(&caller);
    app.change_memberships("read").await;
    let update =
        async |permissions: Value| post(&caller, "update", json!({"keyId": id, "permissions": permissions})).await;
    assert_eq!(
        update(json!({"*": ["*"]})).await.status,
        403,
        "the key would exceed the caller when its user gets more permissions"
    );
    assert_eq!(update(json!({"files": ["read"]})).await.status, 200);
    app.end_memberships().await;
    assert_eq!(update(json!({"*": ["read"]})).await.status, 403);
    assert_eq!(update(json!({})).await.status, 200, "removing permissions is allowed");
}

#[tokio::test]
async fn own_api_keys_permissions_cover_the_keys_of_the_callers_user() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let spec = KeySpec {
        user_id: Some(tenant.user_id.clone()),
        ..KeySpec::with(&["own_api_keys:read", "own_api_keys:write"])
    };
    let (own_id, own) = app.key(&tenant.org_id, spec).await;
    let own = app.caller(&own);
    let (shared_id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let created = post(&own, "create", json!({"name": "mine"})).await.json();
    assert_eq!(created["userId"], tenant.user_id.as_str());
    let listed = own.get(&format!("{API}/list")).await.json();
    let listed: Vec<&str> = listed.as_array().expect("an array").iter().map(|key| text(&key["id"])).collect();
    assert!(
        listed.contains(&own_id.as_str())
            && listed.contains(&text(&created["id"]))
            && !listed.contains(&shared_id.as_str())
    );
    assert_eq!(get(&own, &shared_id).await.status, 404);
    assert_eq!(post(&own, "delete", json!({"keyId": shared_id})).await.status, 404);
    assert_eq!(post(&own, "update", json!({"keyId": shared_id, "name": "x"})).await.status, 404);
    assert_eq!(post(&own, "delete", json!({"keyId": created["id"]})).await.status, 200);
    assert_eq!(post(&own, "verify", json!({"key": "x"})).await.status, 403);
    let (_, without_user) = app.key(&tenant.org_id, KeySpec::with(&["own_api_keys:read"])).await;
    let answer = app.caller(&without_user).get(&format!("{API}/list")).await;
    let forbidden = json!({"message": "You do not have permission to perform this action.", "code": "FORBIDDEN"});
    assert_eq!((answer.status, answer.json()), (403, forbidden), "a key without a user has no own keys");
}

#[tokio::test]
async fn updating_a_key_needs_its_permissions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (strong_id, _) = app.key(&tenant.org_id, KeySpec::with(&["files:read", "files:write"])).await;
    let (weak_id, weak) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "org:admin", "files:read"])).await;
    let weak = app.caller(&weak);
    let update = async |id: &str, mut patch: Value| {
        patch["keyId"] = json!(id);
        post(&weak, "update", patch).await.status
    };
    assert_eq!(update(&strong_id, json!({"name": "x"})).await, 403, "before: it holds files:write");
    assert_eq!(
        update(&strong_id, json!({"permissions": {"files": ["read"]}})).await,
        403,
        "narrowing is refused as well"
    );
    assert_eq!(update(&strong_id, json!({"enabled": false})).await, 200, "disabling grants nothing");
    assert_eq!(update(&strong_id, json!({"enabled": true})).await, 403, "enabling grants the permissions of the key");
    let made = text(&post(&weak, "create", json!({"permissions": {"files": ["read"]}})).await.json()["id"]).to_owned();
    assert_eq!(
        update(&made, json!({"permissions": {"files": ["write"]}})).await,
        403,
        "after: it would hold files:write"
    );
    assert_eq!(update(&made, json!({"name": "x", "remaining": 5})).await, 200);
    // Its own key it can only narrow.
    assert_eq!(update(&weak_id, json!({"name": "x"})).await, 403);
    assert_eq!(update(&weak_id, json!({"remaining": 5})).await, 403);
    assert_eq!(update(&weak_id, json!({"permissions": {"api_keys": ["write"], "org": ["admin"]}})).await, 200);
    assert_eq!(
        update(&weak_id, json!({"permissions": {"api_keys": ["write"], "org": ["admin"], "files": ["read"]}})).await,
        403
    );
    assert_eq!(update(&weak_id, json!({"expiresIn": 60})).await, 200);
    assert_eq!(update(&weak_id, json!({"expiresIn": 90})).await, 403);
    assert_eq!(
        update(&made, json!({"expiresIn": 90})).await,
        403,
        "a key cannot set a later expiry than its own for another key"
    );
    assert_eq!(update(&weak_id, json!({"enabled": false})).await, 200);
    assert_eq!(update(&weak_id, json!({"enabled": true})).await, 401);
}

#[tokio::test]
async fn expired_keys_in_the_callers_scope_are_deleted() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let expired = || KeySpec { expires_in: Some(-5), ..KeySpec::with(&[]) };
    for _ in 0..3 {
        app.key(&tenant.org_id, expired()).await;
    }
    let (_, own) = app
        .key(
            &tenant.org_id,
            KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["own_api_keys:write"]) },
        )
        .await;
    app.key(&tenant.org_id, KeySpec { user_id: Some(tenant.user_id.clone()), ..expired() }).await;
    app.key(&tenant.org_id, KeySpec { expires_in: Some(5), ..KeySpec::with(&[]) }).await;
    let (foreign, _) = app.key(&other.org_id, expired()).await;
    let delete =
        async |caller: &Caller| post(caller, "delete-all-expired-api-keys", json!({})).await.json()["deleted"].clone();
    assert_eq!(delete(&app.caller(&own)).await, 1, "only keys of the caller's user");
    assert_eq!(delete(&tenant.admin).await, 3);
    assert_eq!(delete(&tenant.admin).await, 0);
    assert_eq!(get(&other.admin, &foreign).await.status, 200);
    assert_eq!(tenant.admin.get(&format!("{API}/list")).await.json().as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn athena_lists_have_limits_and_offsets() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    app.copy_key(&tenant.key_id, 2_500).await;
    let list = async |query: &str| {
        let list = tenant.admin.get(&format!("{API}/list{query}")).await.json();
        let ids = list.as_array().expect("an array").iter().map(|key| text(&key["id"]).to_owned());
        ids.collect::<Vec<_>>()
    };
    let all = list("").await;
    assert_eq!(all.len(), 2_501);
    assert_eq!(list("?limit=10&offset=0").await, all[..10]);
    assert_eq!(list("?limit=1500&offset=700").await, all[700..2_200]);
    assert_eq!(list("?offset=2000").await, all[2_000..]);
    assert_eq!(list("?offset=2501").await, Vec::<String>::new());
    assert_eq!(list("?limit=0").await, Vec::<String>::new());
}
