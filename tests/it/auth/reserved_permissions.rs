//! Reserved resources: a permission on every resource includes keys, but no other reserved resource.

use harness::{Caller, KeySpec, Tenant, TestApp};
use serde_json::json;

async fn key(app: &TestApp, tenant: &Tenant, permissions: &[&str]) -> Caller {
    app.caller(&app.key(&tenant.org_id, KeySpec::with(permissions)).await.1)
}

#[tokio::test]
async fn a_bare_action_allows_reserved_operations_on_keys_only() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let (victim, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let rename = json!({"name": "x"});
    let set = json!({"name": "x", "permissions": []});
    for admin in ["admin", "*:admin"] {
        let admin = key(&app, &tenant, &[admin]).await;
        assert_eq!(admin.patch(&org, &rename).await.status, 403);
        assert_eq!(admin.post(&format!("{org}/permission_sets"), &set).await.status, 403);
        assert_eq!(admin.delete(&format!("{org}/members/{}", tenant.user_id)).await.status, 403);
        assert_eq!(admin.delete(&format!("{org}?confirm={}", tenant.org_id)).await.status, 403);
    }
    let places = ["", "/members", "/permission_sets", "/audit_events"];
    for read in ["read", "*:read"] {
        let reader = key(&app, &tenant, &[read]).await;
        for place in places {
            assert_eq!(reader.get(&format!("{org}{place}")).await.status, 403, "{read}: {place}");
        }
        // As in the documents of Locktera's API.
        assert_eq!(reader.get(&format!("{org}/api_keys")).await.status, 200);
        assert_eq!(reader.get(&format!("{org}/api_keys/{victim}")).await.status, 200);
    }
    let named = key(&app, &tenant, &["org:read", "members:*", "permission_sets:read", "audit:read"]).await;
    let everything = key(&app, &tenant, &["*"]).await;
    for place in places {
        assert_eq!(named.get(&format!("{org}{place}")).await.status, 200, "{place}");
        assert_eq!(everything.get(&format!("{org}{place}")).await.status, 200, "{place}");
    }
    assert_eq!(named.patch(&org, &rename).await.status, 403);
    assert_eq!(everything.patch(&org, &rename).await.status, 200);
    // A key that cannot manage the service cannot delete keys, whatever its permissions.
    let spec = || KeySpec::with(&["write"]);
    let cannot_manage = app.caller(&app.key(&tenant.org_id, KeySpec { can_manage: false, ..spec() }).await.1);
    assert_eq!(cannot_manage.delete(&format!("{org}/api_keys/{victim}")).await.status, 403);
    let writer = app.caller(&app.key(&tenant.org_id, spec()).await.1);
    assert_eq!(
        writer.delete(&format!("{org}/api_keys/{victim}")).await.status,
        200,
        "as the documents of Locktera's API say"
    );
}

#[tokio::test]
async fn a_bare_action_cannot_grant_reserved_permissions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let maker = key(&app, &tenant, &["write", "read", "admin", "members:admin", "permission_sets:admin"]).await;
    for (permissions, status) in [
        (json!(["admin", "read", "write", "files:admin", "api_keys:write"]), 200),
        (json!(["members:admin"]), 200),
        (json!(["org:admin"]), 403),
        (json!(["audit:read"]), 403),
        (json!(["members:read"]), 403),
        (json!(["org:*"]), 403),
        (json!(["*"]), 403),
    ] {
        let new = json!({"name": "n", "permissions": permissions});
        assert_eq!(maker.post(&format!("{org}/api_keys"), &new).await.status, status, "{permissions}");
        let name = json!({"name": permissions.to_string(), "permissions": permissions});
        assert_eq!(maker.post(&format!("{org}/permission_sets"), &name).await.status, status, "{permissions}");
    }
}

#[tokio::test]
async fn a_bare_action_of_a_member_narrows_their_keys() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let of_user =
        |permissions: &[&str]| KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(permissions) };
    let (_, own) = app.key(&tenant.org_id, of_user(&["*", "org:*"])).await;
    let (_, verifier) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:verify"])).await;
    let verdict = async |permissions: &[&str]| {
        let question = json!({"key": own, "permissions": permissions});
        app.caller(&verifier).post("/api_keys/verify", &question).await.json()["code"].clone()
    };
    assert_eq!(app.caller(&own).get(&org).await.status, 200);
    assert_eq!(verdict(&["org:read", "files:read"]).await, "VALID");
    app.change_memberships("read admin").await;
    assert_eq!(app.caller(&own).get(&org).await.status, 403);
    assert_eq!(app.caller(&own).get(&format!("{org}/api_keys")).await.status, 200);
    assert_eq!(verdict(&["files:read", "files:admin", "api_keys:read"]).await, "VALID");
    assert_eq!(verdict(&["org:read"]).await, "INSUFFICIENT_PERMISSIONS");
    let me = app.caller(&own).get("/me").await.json();
    assert_eq!(me["organization"]["permissions"], json!(["read", "admin"]), "the intersection, without org:read");
}

#[tokio::test]
async fn the_permission_filter_follows_the_rule_of_bare_actions() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for permissions in [&["read"][..], &["org:read"], &["org:*"], &["api_keys:read"]] {
        app.key(&tenant.org_id, KeySpec::with(permissions)).await;
    }
    for (permission, count) in [("org:read", 3), ("api_keys:read", 3), ("files:read", 2), ("read", 2), ("org:*", 2)] {
        let path = format!("/orgs/{}/api_keys?permission={permission}", tenant.org_id);
        let listed = tenant.admin.get(&path).await.json();
        assert_eq!(listed.as_array().expect("a list").len(), count, "{permission}, the first key with * among them");
    }
}
