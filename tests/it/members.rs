//! Members of an organization: what they may do bounds their keys, at once; the last one who may do everything stays.

use harness::{KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

/// A member with these permissions, and a key of theirs that holds everything.
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
async fn what_a_member_may_do_bounds_their_keys_at_once() {
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
    let back = json!({"user_id": id, "permissions": ["files:read"]});
    assert_eq!(tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), &back).await.status, 200);
    assert!(holds(&tenant, &key, "files:read").await, "who joins again has their keys again");
    let actions: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    let expected =
        ["organization.sign_up", "member.add", "api_key.create", "member.update", "member.remove", "member.add"];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn who_can_be_added() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let path = format!("/orgs/{}/members", tenant.org_id);
    let add = async |body: Value| tenant.admin.post(&path, &body).await;
    let known = add(json!({"user_email": "OTHER@example.com", "user_name": "x", "permissions": []})).await;
    assert_eq!((known.status, &known.json()["user_id"]), (200, &json!(other.user_id)), "who is known is taken");
    assert_eq!(add(json!({"user_id": other.user_id, "permissions": []})).await.status, 409);
    assert_eq!(add(json!({"user_id": tenant.key_id, "permissions": []})).await.status, 404);
    assert_eq!(add(json!({"user_id": "nobody", "permissions": []})).await.status, 404);
    for (body, field) in [
        (json!({"permissions": []}), "user_id"),
        (json!({"user_email": "a@example.com", "permissions": []}), "user_id"),
        (json!({"user_id": other.user_id, "user_name": "x", "permissions": []}), "user_id"),
        (json!({"user_email": "nope", "user_name": "x", "permissions": []}), "user_email"),
        (json!({"user_id": other.user_id}), "permissions"),
        (json!({"user_id": other.user_id, "permissions": ["a:b:c"]}), "permissions"),
        (json!({"user_id": other.user_id, "permissions": [], "permission_sets": ["x"]}), "permission_sets"),
    ] {
        let answer = add(body.clone()).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field.to_owned()]), "{body}");
    }
    // A foreign key opens nothing here: membership is no credential.
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
async fn nobody_grants_more_than_they_hold() {
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
async fn the_last_one_who_may_do_everything_stays() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/members", tenant.org_id);
    let first = format!("{path}/{}", tenant.user_id);
    let (_, root) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    let root = app.caller(&root);
    assert_eq!(root.delete(&first).await.status, 409);
    assert_eq!(root.patch(&first, &json!({"permissions": ["files:read"]})).await.status, 409);
    // One who has it by a permission set counts, as long as they have it.
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
    // Both go at the same moment: one of them stays.
    let (one, other) = futures_util::join!(root.delete(&second), root.delete(&third));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}
