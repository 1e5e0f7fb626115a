//! Members: their permissions bound their keys, and one member with all permissions remains.

use harness::{KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

/// A member with these permissions, who has a key with all permissions.
async fn member(app: &TestApp, tenant: &Tenant, name: &str, permissions: &[&str]) -> (String, String) {
    let body = json!({"user_email": format!("{name}@example.com"), "user_name": name, "permissions": permissions});
    let answer = tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let id = answer.json()["user_id"].as_str().expect("an id").to_owned();
    let (_, key) = app.key(&tenant.org_id, KeySpec { user_id: Some(id.clone()), ..KeySpec::with(&["*"]) }).await;
    (id, key)
}

async fn holds(tenant: &Tenant, key: &str, permission: &str) -> bool {
    let answer = tenant.admin.post("/api_keys/verify", &json!({"key": key, "permissions": [permission]})).await;
    answer.json()["valid"] == true
}

#[tokio::test]
async fn a_change_of_a_members_permissions_bounds_their_keys_at_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = member(&app, &tenant, "bob", &["files:read"]).await;
    let path = format!("/orgs/{}/members/{id}", tenant.org_id);
    let shown = tenant.admin.get(&path).await.json();
    assert_eq!((&shown["user_name"], &shown["user_email"]), (&json!("bob"), &json!("bob@example.com")));
    assert_eq!((&shown["permissions"], &shown["permission_sets"]), (&json!(["files:read"]), &json!([])));
    assert!(holds(&tenant, &key, "files:read").await && !holds(&tenant, &key, "files:write").await);
    let changed = tenant.admin.patch(&path, &json!({"permissions": ["files:write"]})).await;
    assert_eq!(changed.json()["permissions"], json!(["files:write"]));
    assert!(!holds(&tenant, &key, "files:read").await && holds(&tenant, &key, "files:write").await);
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    let verdict = tenant.admin.post("/api_keys/verify", &json!({"key": key})).await.json();
    assert_eq!(verdict["code"], "KEY_DISABLED");
    assert_eq!(app.caller(&key).get("/auth/check-key").await.status, 401);
    for answer in [
        tenant.admin.get(&path).await,
        tenant.admin.delete(&path).await,
        tenant.admin.patch(&path, &json!({"permissions": []})).await,
        tenant.admin.patch(&path, &json!({"permission_sets": []})).await,
    ] {
        assert_eq!(answer.status, 404);
    }
    let back = json!({"user_email": "bob@example.com", "user_name": "bob", "permissions": ["files:read"]});
    let back = tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), &back).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_ne!(back.json()["user_id"], json!(id), "another user");
    assert!(!holds(&tenant, &key, "files:read").await, "a member who is added again has no keys");
    let actions: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    let expected =
        ["organization.sign_up", "member.add", "api_key.create", "member.update", "member.remove", "member.add"];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn members_are_added_by_address_once() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let path = format!("/orgs/{}/members", tenant.org_id);
    let add = async |body: Value| tenant.admin.post(&path, &body).await;
    let known = add(json!({"user_email": "OTHER@example.com", "user_name": "x", "permissions": []})).await.json();
    assert_ne!(known["user_id"], json!(other.user_id), "another user");
    assert_eq!(
        (&known["user_name"], &known["user_email"]),
        (&json!("x"), &json!("OTHER@example.com")),
        "name and address as they were sent"
    );
    assert_eq!((&known["origin"], &known["email_verified"]), (&json!("invited"), &json!(false)));
    let again = json!({"user_email": "other@EXAMPLE.com", "user_name": "y", "permissions": []});
    assert_eq!(add(again).await.status, 409, "a member already");
    let by_id = add(json!({"user_id": other.user_id, "permissions": []})).await;
    assert!(by_id.text.contains("send user_name with user_email"), "{}", by_id.text);
    let ada = |more: Value| {
        let mut ada = json!({"user_email": "ada@example.com", "user_name": "x", "permissions": []});
        ada.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        ada
    };
    for (body, field) in [
        (json!({"permissions": []}), "user_email"),
        (json!({"user_email": "a@example.com", "permissions": []}), "user_email"),
        (json!({"user_id": other.user_id, "permissions": []}), "user_id"),
        (ada(json!({"user_id": other.user_id})), "user_id"),
        (ada(json!({"user_email": "nope"})), "user_email"),
        (json!({"user_email": "ada@example.com", "user_name": "x"}), "permissions"),
        (ada(json!({"permissions": ["a:b:c"]})), "permissions"),
        (ada(json!({"permission_sets": ["x"]})), "permission_sets"),
    ] {
        let answer = add(body.clone()).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field.to_owned()]), "{body}");
    }
    // Keys of another organization are refused, whatever the memberships of their user.
    assert_eq!(other.admin.get(&path).await.status, 404);
    let listed = tenant.admin.get(&format!("{path}?limit=1")).await;
    assert_eq!(listed.json().as_array().map(Vec::len), Some(1));
    let next = listed.header("link").trim_start_matches('<').split('>').next().expect("a link").to_owned();
    assert_eq!(tenant.admin.get(&next).await.json().as_array().map(Vec::len), Some(1));
    let made = futures_util::future::join_all(
        (0..6).map(|_| add(json!({"user_email": "race@example.com", "user_name": "x", "permissions": []}))),
    )
    .await;
    assert_eq!(made.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(made.iter().all(|answer| [200, 409].contains(&answer.status)));
}

#[tokio::test]
async fn members_cannot_be_granted_permissions_beyond_the_caller() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (lead, key) = member(&app, &tenant, "lead", &["members:admin", "files:read"]).await;
    let (clerk, _) = member(&app, &tenant, "clerk", &["files:read"]).await;
    let caller = app.caller(&key);
    let path = format!("/orgs/{}/members", tenant.org_id);
    let new = |permissions: Value| json!({"user_email": "n@example.com", "user_name": "n", "permissions": permissions});
    assert_eq!(caller.post(&path, &new(json!(["files:write"]))).await.status, 403);
    assert_eq!(caller.post(&path, &new(json!(["*"]))).await.status, 403);
    assert_eq!(caller.post(&path, &new(json!(["files:read", "members:admin"]))).await.status, 200);
    for (user, permissions, status) in [
        (&clerk, json!(["files:write"]), 403),
        (&clerk, json!([]), 200),
        (&clerk, json!(["files:read"]), 200),
        (&lead, json!(["members:admin", "files:read", "files:write"]), 403),
        (&tenant.user_id, json!([]), 403),
    ] {
        let answer = caller.patch(&format!("{path}/{user}"), &json!({"permissions": permissions})).await;
        assert_eq!(answer.status, status, "{user} {permissions}");
    }
}

#[tokio::test]
async fn the_last_member_with_all_permissions_cannot_be_removed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/members", tenant.org_id);
    let first = format!("{path}/{}", tenant.user_id);
    let (_, root) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    let root = app.caller(&root);
    assert_eq!(root.delete(&first).await.status, 409);
    assert_eq!(root.patch(&first, &json!({"permissions": ["files:read"]})).await.status, 409);
    // A member with all permissions by a permission set counts.
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let set = root.post(&sets, &json!({"name": "owners", "permissions": ["*"]})).await.json();
    let set_id = set["id"].as_str().expect("an id");
    let second =
        json!({"user_email": "b@example.com", "user_name": "b", "permissions": [], "permission_sets": [set_id]});
    let second = root.post(&path, &second).await;
    assert_eq!(second.status, 200, "{}", second.text);
    let second = format!("{path}/{}", second.json()["user_id"].as_str().expect("an id"));
    assert_eq!(root.delete(&first).await.status, 200);
    for answer in [
        root.delete(&second).await,
        root.patch(&second, &json!({"permission_sets": []})).await,
        root.patch(&format!("{sets}/{set_id}"), &json!({"permissions": ["files:read"]})).await,
        root.delete(&format!("{sets}/{set_id}?detach=true")).await,
    ] {
        assert_eq!(answer.status, 409, "{}", answer.text);
    }
    let third = json!({"user_email": "c@example.com", "user_name": "c", "permissions": ["*"]});
    let third = root.post(&path, &third).await.json();
    let third = format!("{path}/{}", third["user_id"].as_str().expect("an id"));
    // Of two concurrent removals, one is refused.
    let (one, other) = futures_util::join!(root.delete(&second), root.delete(&third));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}
