//! The settings of a key: which of them a change changed, and what counts as a change.

use domain::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    clock::Clock,
    id::OrganizationId,
    keys::{key_scope::KeyScope, quota::Quota},
    ports::ApiKeys,
};
use harness::{Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use crate::{
    audit_log::events::{events, log_of},
    keys::{import, key::create},
};

/// The newest event about a key: its action and the fields that it names.
async fn newest_event(caller: &Caller, tenant: &Tenant, id: &str) -> (String, Value) {
    let events = events(caller, &format!("{}?target={id}&limit=1", log_of(tenant))).await;
    assert_eq!(events[0]["reason"], Value::Null, "an executed change has no reason");
    (events[0]["action"].as_str().expect("an action").to_owned(), events[0]["changed_fields"].clone())
}

#[tokio::test]
async fn the_audit_event_of_a_change_names_the_changed_fields() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let set = json!({"name": "readers", "permissions": ["files:list"]});
    let set = tenant.admin.post(&format!("/orgs/{}/permission_sets", tenant.org_id), &set).await.json()["id"].clone();
    let made = create(&tenant, &json!({"name": "n", "permissions": ["files:read"]})).await;
    let id = made["id"].as_str().expect("an id");
    let path = format!("{}/{id}", tenant.keys());
    assert_eq!(newest_event(&tenant.admin, &tenant, id).await, ("api_key.create".to_owned(), json!([])));
    let update = "api_key.update";
    for (patch, action, fields) in [
        (json!({"name": "other", "enabled": false}), update, json!(["name", "enabled"])),
        (json!({"name": "other", "enabled": true}), update, json!(["enabled"])),
        (json!({"name": "other"}), update, json!([])),
        (json!({"name": null}), update, json!(["name"])),
        (json!({"not_before": "2026-01-01T00:00:00Z"}), update, json!(["not_before"])),
        (json!({"expires_at": "2027-01-01T00:00:00Z"}), update, json!(["expires_at"])),
        (json!({"allowed_addresses": ["127.0.0.0/8"]}), update, json!(["allowed_addresses"])),
        (json!({"metadata": {"a": 1}}), update, json!(["metadata"])),
        (json!({"external_id": "x"}), update, json!(["external_id"])),
        (json!({"permissions": ["files:*"]}), update, json!(["permissions"])),
        (json!({"permission_sets": [set]}), update, json!(["permission_sets"])),
        (json!({"remaining": 5}), update, json!(["remaining"])),
        (json!({"refill_amount": 5, "refill_interval": 9}), update, json!(["refill_amount", "refill_interval"])),
        (json!({"refill_amount": 6, "refill_interval": 9}), update, json!(["refill_amount"])),
        (json!({"rate_limit_max": 5, "rate_limit_window": 9}), update, json!(["rate_limit_max", "rate_limit_window"])),
        (
            json!({"can_manage": false, "external_id": null}),
            "api_key.deny_management",
            json!(["can_manage", "external_id"]),
        ),
        (json!({"can_manage": true}), "api_key.allow_management", json!(["can_manage"])),
    ] {
        let answer = tenant.admin.patch(&path, &patch).await;
        assert_eq!(answer.status, 200, "{patch}: {}", answer.text);
        assert_eq!(newest_event(&tenant.admin, &tenant, id).await, (action.to_owned(), fields), "{patch}");
    }
    let athena = json!({"keyId": id, "name": "again", "remaining": null});
    assert_eq!(tenant.admin.post("/api/auth/api-key/update", &athena).await.status, 200);
    let fields = json!(["name", "remaining", "refill_amount", "refill_interval"]);
    assert_eq!(newest_event(&tenant.admin, &tenant, id).await, ("api_key.update".to_owned(), fields));
}

#[tokio::test]
async fn a_setting_that_is_set_to_its_value_is_a_version_but_no_change() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let settings = json!({
        "name": "n", "permissions": ["api_keys:write"], "expires_at": "2026-12-01T00:00:00Z", "remaining": 5,
        "refill_amount": 5, "refill_interval": 60_000, "rate_limit_max": 9, "rate_limit_window": 60_000,
    });
    let made = create(&tenant, &settings).await;
    let path = format!("{}/{}", tenant.keys(), made["id"].as_str().expect("an id"));
    let before = tenant.admin.get(&path).await.json();
    let after = tenant.admin.patch(&path, &settings).await;
    assert_eq!(after.status, 200, "{}", after.text);
    let mut expected = before.clone();
    expected["version"] = json!(1);
    expected["updated_at"] = after.json()["updated_at"].clone();
    assert_eq!(after.json(), expected);
    // A key cannot set a later expiry for itself or rename itself. It can send its current values.
    let own = app.caller(made["key"].as_str().expect("a secret"));
    assert_eq!(own.patch(&path, &json!({"name": "n", "expires_at": "2026-12-01T00:00:00Z"})).await.status, 200);
    assert_eq!(own.patch(&path, &json!({"name": "m"})).await.status, 403);
    assert_eq!(own.patch(&path, &json!({"expires_at": "2026-12-02T00:00:00Z"})).await.status, 403);
    // A caller without the permissions of a key can disable it, and change nothing else.
    let (_, weak) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    let (strong, _) = app.key(&tenant.org_id, KeySpec::with(&["files:*"])).await;
    let (weak, strong) = (app.caller(&weak), format!("{}/{strong}", tenant.keys()));
    assert_eq!(weak.patch(&strong, &json!({"enabled": true})).await.status, 403);
    assert_eq!(weak.patch(&strong, &json!({"enabled": false, "external_id": "x"})).await.status, 403);
    assert_eq!(weak.patch(&strong, &json!({"enabled": false})).await.status, 200);
    assert_eq!(
        weak.patch(&strong, &json!({"enabled": false})).await.status,
        200,
        "also if the key is disabled already"
    );
    assert_eq!(weak.patch(&strong, &json!({"enabled": true})).await.status, 403);
}

#[tokio::test]
async fn every_way_to_create_a_key_sets_its_description_and_every_view_shows_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = tenant.keys();
    let key = |name: &str, more: Value| {
        let mut key = json!({"name": name, "permissions": []});
        key.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        key
    };
    let made = create(&tenant, &key("created", json!({"description": " For the nightly build. "}))).await;
    assert_eq!(made["description"], "For the nightly build.", "trimmed");
    for absent in [json!({}), json!({"description": null})] {
        assert_eq!(create(&tenant, &key("none", absent)).await["description"], Value::Null);
    }
    let many = json!({"keys": [key("bulk", json!({"description": "one of many"})), key("none", json!({}))]});
    let many = tenant.admin.post(&format!("{keys}/bulk_create"), &many).await.json();
    let shown = (&many["keys"][0]["description"], &many["keys"][1]["description"]);
    assert_eq!(shown, (&json!("one of many"), &Value::Null));
    let old = import::key(&import::secret(0), &json!({"name": "imported", "description": "from before"}));
    let imported = import::import(&tenant.admin, &tenant.org_id, &[old]).await;
    assert_eq!(imported.status, 200, "{}", imported.text);
    let imported = imported.json()["keys"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(tenant.admin.get(&format!("{keys}/{imported}")).await.json()["description"], "from before");
    let expected = [("bulk", "one of many"), ("created", "For the nightly build."), ("imported", "from before")];
    for path in [keys.clone(), format!("{keys}?limit=100")] {
        let list = tenant.admin.get(&path).await.json();
        let list = list.as_array().expect("a list");
        let mut described: Vec<(&str, &str)> =
            list.iter().filter_map(|key| Some((key["name"].as_str()?, key["description"].as_str()?))).collect();
        described.sort_unstable();
        assert_eq!(described, expected, "{path}");
    }
    let rotated = format!("{keys}/{}/rotate", made["id"].as_str().expect("an id"));
    let rotated = tenant.admin.post(&rotated, &json!({"grace_seconds": 0})).await.json();
    assert_eq!(rotated["description"], "For the nightly build.");
    let verified = tenant.admin.post("/api_keys/verify", &json!({"key": rotated["key"]})).await;
    assert_eq!(verified.json()["valid"], true);
    assert!(!verified.text.contains("description") && !verified.text.contains("nightly"), "{}", verified.text);
}

#[tokio::test]
async fn changes_of_a_description_are_logged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let id = made["id"].as_str().expect("an id");
    let path = format!("{}/{id}", tenant.keys());
    for (description, fields) in [
        (json!("first"), json!(["description"])),
        (json!("second"), json!(["description"])),
        (json!("second"), json!([])),
        (Value::Null, json!(["description"])),
        (json!("é".repeat(500)), json!(["description"])),
    ] {
        let changed = tenant.admin.patch(&path, &json!({"description": description})).await;
        assert_eq!((changed.status, &changed.json()["description"]), (200, &description), "{}", changed.text);
        assert_eq!(tenant.admin.get(&path).await.json()["description"], description);
        assert_eq!(newest_event(&tenant.admin, &tenant, id).await, ("api_key.update".to_owned(), fields));
    }
    let kept = tenant.admin.patch(&path, &json!({"name": "m"})).await.json();
    assert_eq!(kept["description"], "é".repeat(500), "an absent field does not change");
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    let restored = tenant.admin.post(&format!("{path}/restore"), &json!({})).await.json();
    assert_eq!(restored["description"], "é".repeat(500));
}

#[tokio::test]
async fn a_wrong_description_is_named() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = tenant.keys();
    let made = create(&tenant, &json!({"name": "n", "permissions": []})).await;
    let path = format!("{keys}/{}", made["id"].as_str().expect("an id"));
    for wrong in [json!(""), json!("  "), json!("x".repeat(501)), json!("a\nb"), json!(5), json!(["x"]), json!({})] {
        let key = json!({"name": "n", "permissions": [], "description": wrong});
        let many = json!({"keys": [key]});
        let old = import::key(&import::secret(0), &json!({"description": wrong}));
        for (answer, field) in [
            (tenant.admin.post(&keys, &key).await, "description"),
            (tenant.admin.post(&format!("{keys}/bulk_create"), &many).await, "keys[0].description"),
            (import::import(&tenant.admin, &tenant.org_id, &[old]).await, "keys[0].description"),
            (tenant.admin.patch(&path, &json!({"description": wrong})).await, "description"),
        ] {
            assert_eq!(
                (answer.status, answer.wrong_fields()),
                (400, vec![field.to_owned()]),
                "{wrong}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn remaining_is_written_if_it_is_set_to_the_value_that_was_read() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(5), ..Quota::default() };
    let (id, secret) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let organization: OrganizationId = tenant.org_id.parse().expect("an id");
    let (actor, action, origin) = (Actor::Operator, Action::UpdateKey, RequestContext::default());
    let context = AuditContext { organization, actor, action, permission: None, origin, at: app.clock.now() };
    let store = app.database.store().await;
    let (scope, key) = (KeyScope::whole(organization), id.parse().expect("an id"));
    let seen = ApiKeys::find(&*store.database, scope, key).await.expect("read").expect("a key");
    // A use between the read and the change.
    let verified = tenant.admin.post("/api_keys/verify", &json!({"key": secret})).await.json();
    assert_eq!((verified["valid"].clone(), verified["remaining"].clone()), (json!(true), json!(4)));
    for (sets_remaining, remaining) in [(false, 4), (true, 5)] {
        let seen = domain::keys::api_key::ApiKey { version: seen.version + u64::from(sets_remaining), ..seen.clone() };
        let changed =
            ApiKeys::update(&*store.database, scope, &seen, &seen.settings, sets_remaining, None, &context).await;
        assert_eq!(changed.expect("written").expect("a key").settings.remaining, Some(remaining));
    }
}
