//! Keys that cannot manage the service: its operations refuse them whatever their permissions, and they are verified like
//! other keys.

use harness::{Answer, Caller, KeySpec, Scheme, Tenant, TestApp};
use serde_json::{Value, json};

use crate::{
    audit_log::events::{events, log_of},
    auth::{credentials::call, operations::PROTECTED, sessions::sign_in},
    compat::athena::{API, post},
};

/// The operations that accept such a key.
const OPEN_OPERATIONS: [&str; 4] = ["getMe", "createToken", "revokeToken", "checkApiKey"];

fn cannot_manage(permissions: &[&str]) -> KeySpec {
    KeySpec { can_manage: false, ..KeySpec::with(permissions) }
}

/// Asserts that this is the error for a key that cannot manage, in the form of its API.
fn assert_refused(answer: &Answer, name: &str) {
    assert_eq!(answer.status, 403, "{name}: {}", answer.text);
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"insufficient_scope\"", "{name}");
    let body = answer.json();
    let (member, expected) = if body.get("request_id").is_some() {
        ("reason", "cannot_manage")
    } else if body.get("error").is_some() {
        ("error", "insufficient_scope")
    } else {
        ("code", "CANNOT_MANAGE")
    };
    assert_eq!(body[member], expected, "{name}: {}", answer.text);
}

async fn create(caller: &Caller, tenant: &Tenant, more: &Value) -> Value {
    let mut body = json!({"name": "n", "permissions": []});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let answer = caller.post(&tenant.keys(), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_key_that_cannot_manage_is_refused_by_all_but_four_operations() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let everything = app.key(&tenant.org_id, cannot_manage(&["*"])).await.1;
    let of_user = KeySpec { user_id: Some(tenant.user_id.clone()), ..cannot_manage(&["*"]) };
    let of_user = app.key(&tenant.org_id, of_user).await.1;
    let nothing = app.key(&tenant.org_id, cannot_manage(&[])).await.1;
    for operation in PROTECTED {
        for key in [&everything, &of_user, &nothing] {
            for scheme in Scheme::ALL {
                let caller = app.anyone().with_key(scheme, key);
                let name = format!("{} {scheme:?}", operation.id);
                // With and without a cached key, and for any organization.
                app.empty_cache();
                for org_id in [&tenant.org_id, &tenant.org_id, &other.org_id] {
                    let answer = call(&caller, operation, org_id, &tenant.key_id).await;
                    if OPEN_OPERATIONS.contains(&operation.id) {
                        assert_eq!(answer.status, operation.permitted, "{name}: {}", answer.text);
                    } else {
                        assert_refused(&answer, &name);
                    }
                }
            }
        }
    }
    assert_eq!(tenant.admin.get("/auth/check-key").await.status, 200, "the named key is unchanged");
    for path in ["/health/ready", "/.well-known/jwks.json", "/openapi.json"] {
        assert_eq!(app.caller(&everything).get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_manage_is_verified_as_usual() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made = create(&tenant.admin, &tenant, &json!({"permissions": ["*"], "can_manage": false})).await;
    assert_eq!(made["can_manage"], false);
    let (id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a secret"));
    let path = format!("{}/{id}", tenant.keys());
    assert_eq!(tenant.admin.get(&path).await.json()["can_manage"], false);
    for _ in 0..2 {
        let question = json!({"key": key, "permissions": ["files:read", "org:admin"]});
        assert_eq!(tenant.admin.post("/api_keys/verify", &question).await.json()["code"], "VALID");
        let athena = post(&tenant.admin, "verify", json!({"key": key})).await.json();
        assert_eq!((&athena["valid"], &athena["key"]["canManage"]), (&json!(true), &json!(false)));
    }
    let explained = tenant.admin.post("/api_keys/verify?explain=true", &json!({"key": key})).await.json();
    assert_eq!((&explained["valid"], &explained["checks"][0]["inputs"]), (&json!(true), &json!({"can_manage": false})));
    let unknown = tenant.admin.post("/api_keys/verify?explain=true", &json!({"key": "x"})).await.json();
    assert_eq!(unknown["checks"][0]["inputs"], json!({}));
    let athena = tenant.admin.get(&format!("{API}/get?id={id}")).await.json();
    assert_eq!(athena["canManage"], false);
    let holder = app.caller(key);
    assert_eq!(holder.get("/me").await.json()["api_key"]["can_manage"], false);
    assert_eq!(holder.get("/auth/check-key").await.json()["data"]["can_manage"], false);
    assert_eq!(
        tenant.admin.get("/auth/check-key").await.json()["data"]["can_manage"],
        true,
        "the key of a sign-up can manage"
    );
    for (filter, ids) in [("false", vec![id]), ("true", vec![tenant.key_id.as_str()])] {
        let listed = tenant.admin.get(&format!("{}?can_manage={filter}", tenant.keys())).await.json();
        let listed: Vec<&str> =
            listed.as_array().expect("a list").iter().map(|key| key["id"].as_str().expect("an id")).collect();
        assert_eq!(listed, ids, "{filter}");
    }
    let wrong = tenant.admin.get(&format!("{}?can_manage=x", tenant.keys())).await;
    assert_eq!((wrong.status, wrong.wrong_fields()), (400, vec!["can_manage".to_owned()]));
    let wrong = tenant.admin.patch(&path, &json!({"can_manage": "no"})).await;
    assert_eq!((wrong.status, wrong.wrong_fields()), (400, vec!["can_manage".to_owned()]));
}

#[tokio::test]
async fn sessions_of_a_key_that_cannot_manage_are_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made = create(&tenant.admin, &tenant, &json!({"permissions": ["*"]})).await;
    assert_eq!(made["can_manage"], true);
    let (id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a secret"));
    let (path, holder) = (format!("{}/{id}", tenant.keys()), app.caller(key));
    let page = sign_in(&app, &holder).await;
    let keys = tenant.keys();
    assert_eq!(page.get(&keys).await.status, 200);
    assert_eq!(tenant.admin.patch(&path, &json!({"can_manage": false})).await.json()["can_manage"], false);
    for caller in [&holder, &page] {
        assert_refused(&caller.get(&keys).await, "reading");
        assert_refused(&caller.post(&keys, &json!({"name": "n", "permissions": []})).await, "writing");
        assert_refused(&caller.send("POST", "/session", None).await, "opening a session");
        assert_eq!(caller.get("/me").await.json()["api_key"]["can_manage"], false);
    }
    let token = holder.post("/tokens", &json!({"audience": "a", "permissions": ["org:admin"]})).await;
    assert_eq!(token.status, 200, "{}", token.text);
    let token = token.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(
        app.caller(&token).get(&keys).await.status,
        401,
        "the service does not accept the tokens that it issues"
    );
    assert_eq!(tenant.admin.patch(&path, &json!({"can_manage": true})).await.status, 200);
    assert_eq!((holder.get(&keys).await.status, page.get(&keys).await.status), (200, 200));
    assert_eq!(tenant.admin.patch(&path, &json!({"can_manage": false})).await.status, 200);
    assert_eq!(page.delete("/session").await.status, 200, "a session can always be closed");
    assert_eq!(page.get("/me").await.status, 401);
}

#[tokio::test]
async fn the_organization_has_a_default_for_can_manage() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    assert_eq!(tenant.admin.get(&org).await.json()["keys_can_manage_by_default"], true);
    let (_, reader) = app.key(&tenant.org_id, KeySpec::with(&["org:read", "api_keys:write"])).await;
    let off = json!({"keys_can_manage_by_default": false});
    assert_eq!(app.caller(&reader).patch(&org, &off).await.status, 403, "it needs org:admin");
    let set = tenant.admin.patch(&org, &off).await;
    assert_eq!((set.status, &set.json()["keys_can_manage_by_default"]), (200, &json!(false)));
    assert_eq!(tenant.admin.get(&tenant.keys()).await.status, 200, "existing keys do not change");
    for (setting, expected) in [(json!({}), false), (json!({"can_manage": true}), true)] {
        assert_eq!(create(&tenant.admin, &tenant, &setting).await["can_manage"], expected, "{setting}");
        let mut key = json!({"name": "n", "permissions": []});
        key.as_object_mut().expect("an object").extend(setting.as_object().expect("an object").clone());
        let bulk = tenant.admin.post(&format!("{}/bulk_create", tenant.keys()), &json!({"keys": [key]})).await;
        assert_eq!(bulk.json()["keys"][0]["can_manage"], expected, "{setting}");
        let setting = if expected { json!({"canManage": "true"}) } else { json!({"canManage": null}) };
        let athena = post(&tenant.admin, "create", setting.clone()).await.json();
        assert_eq!(athena["canManage"], expected, "{setting}");
    }
    let imported = [json!({}), json!({"can_manage": true}), json!({"can_manage": false})];
    let keys: Vec<Value> = (0_u8..)
        .zip(&imported)
        .map(|(n, more)| crate::keys::import::key(&crate::keys::import::secret(n), more))
        .collect();
    let answer = crate::keys::import::import(&tenant.admin, &tenant.org_id, &keys).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for (key, expected) in answer.json()["keys"].as_array().expect("keys").iter().zip([false, true, false]) {
        let path = format!("{}/{}", tenant.keys(), key["id"].as_str().expect("an id"));
        assert_eq!(tenant.admin.get(&path).await.json()["can_manage"], expected);
    }
    let platform = app.platform().await;
    for (setting, expected) in [(json!({}), true), (json!({"keys_can_manage_by_default": false}), false)] {
        let made = platform.post("/orgs", &setting).await.json();
        assert_eq!(made["keys_can_manage_by_default"], expected);
        let keys = format!("/orgs/{}/api_keys", made["id"].as_str().expect("an id"));
        let key = platform.post(&keys, &json!({"name": "n", "permissions": []})).await.json();
        assert_eq!(key["can_manage"], expected, "the default of the key's organization, not of the caller's");
    }
}

#[tokio::test]
async fn allowing_a_key_to_manage_needs_its_permissions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, weak) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write", "files:read"])).await;
    let weak = app.caller(&weak);
    let path = |id: &str| format!("{}/{id}", tenant.keys());
    let (small, _) = app.key(&tenant.org_id, cannot_manage(&["files:read"])).await;
    let (large, _) = app.key(&tenant.org_id, cannot_manage(&["files:read", "files:write"])).await;
    // Its user has few permissions now, and may get more later.
    let of_member = KeySpec { user_id: Some(tenant.user_id.clone()), ..cannot_manage(&["*"]) };
    let (of_member, _) = app.key(&tenant.org_id, of_member).await;
    let (_, admin) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    app.change_memberships("files:read").await;
    let allow = json!({"can_manage": true});
    assert_eq!(weak.patch(&path(&small), &allow).await.json()["can_manage"], true);
    assert_eq!(weak.patch(&path(&large), &allow).await.status, 403);
    assert_eq!(weak.patch(&path(&of_member), &json!({"name": "x"})).await.status, 200);
    assert_eq!(weak.patch(&path(&of_member), &allow).await.status, 403);
    assert_eq!(app.caller(&admin).patch(&path(&of_member), &allow).await.status, 200);
    assert_eq!(app.caller(&admin).patch(&path(&large), &allow).await.status, 200);
    let athena = json!({"keyId": large, "canManage": false});
    assert_eq!(post(&app.caller(&admin), "update", athena).await.json()["canManage"], false);
    let athena = json!({"keyId": large, "canManage": null});
    assert_eq!(post(&app.caller(&admin), "update", athena).await.status, 400);
    // Nor beyond the expiry and the allowed addresses of the caller's key.
    for (bound, patch) in [
        (json!({"expires_at": "2026-11-21T09:00:00Z"}), json!({"expires_at": "2026-11-21T08:30:00Z"})),
        (json!({"allowed_addresses": ["127.0.0.0/8"]}), json!({"allowed_addresses": ["127.0.0.1"]})),
    ] {
        let permissions = ["api_keys:write", "files:read"];
        let mut settings = json!({"permissions": permissions});
        settings.as_object_mut().expect("an object").extend(bound.as_object().expect("an object").clone());
        let made = create(&app.caller(&admin), &tenant, &settings).await;
        let bound = app.caller(made["key"].as_str().expect("a secret"));
        let (free, _) = app.key(&tenant.org_id, cannot_manage(&["files:read"])).await;
        assert_eq!(bound.patch(&path(&free), &allow).await.status, 403, "{patch}");
        let mut within = patch.clone();
        within["can_manage"] = json!(true);
        assert_eq!(bound.patch(&path(&free), &within).await.status, 200, "{patch}");
    }
    // Absent fields do not change.
    let renamed = app.caller(&admin).patch(&path(&large), &json!({"name": "y"})).await.json();
    assert_eq!((&renamed["name"], &renamed["can_manage"]), (&json!("y"), &json!(false)));
    // A key can disable it for itself, but not enable it again.
    let made = create(&app.caller(&admin), &tenant, &json!({"permissions": ["*"]})).await;
    let (id, own) = (made["id"].as_str().expect("an id"), app.caller(made["key"].as_str().expect("a secret")));
    assert_eq!(own.patch(&path(id), &json!({"can_manage": false})).await.status, 200);
    assert_refused(&own.patch(&path(id), &allow).await, "itself");
}

#[tokio::test]
async fn changes_of_can_manage_and_refusals_are_logged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let made = create(&tenant.admin, &tenant, &json!({"permissions": ["*"], "can_manage": false})).await;
    let (id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a secret"));
    let path = format!("{}/{id}", tenant.keys());
    assert_refused(&app.caller(key).patch(&path, &json!({"name": "x"})).await, "changing");
    for can_manage in [true, true, false] {
        assert_eq!(tenant.admin.patch(&path, &json!({"can_manage": can_manage})).await.status, 200);
    }
    let changes = events(&tenant.admin, &format!("{}?target={id}&outcome=done", log_of(&tenant))).await;
    let actions: Vec<&str> = changes.iter().map(|event| event["action"].as_str().expect("an action")).collect();
    assert_eq!(
        actions,
        ["api_key.deny_management", "api_key.update", "api_key.allow_management", "api_key.create"],
        "the newest first"
    );
    let refused = events(&tenant.admin, &format!("{}?outcome=refused", log_of(&tenant))).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (&refused[0]["action"], &refused[0]["reason"], &refused[0]["target_id"], &refused[0]["actor"]["key_id"]),
        (&json!("api_key.update"), &json!("cannot_manage"), &json!(id), &json!(id))
    );
}
