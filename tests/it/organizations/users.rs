//! Users belong to one organization: what an organization does to its users does not affect others.

use std::time::Duration;

use domain::clock::Clock;
use harness::{Caller, KeySpec, Tenant, TestApp};
use jsonwebtoken::dangerous::insecure_decode_claims;
use serde_json::{Value, json};

fn person(email: &str, name: &str, permissions: &[&str]) -> Value {
    json!({"user_email": email, "user_name": name, "permissions": permissions})
}

/// Adds a member. Returns the user's id.
async fn add(tenant: &Tenant, person: &Value) -> String {
    let added = tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), person).await;
    assert_eq!(added.status, 200, "{}", added.text);
    added.json()["user_id"].as_str().expect("an id").to_owned()
}

async fn sign_up(app: &TestApp, email: &str) -> u16 {
    app.anyone().post("/auth/create-key", &json!({"user_name": "n", "user_email": email})).await.status
}

/// The id of a key of this user, and the caller with the key.
async fn key_of(app: &TestApp, tenant: &Tenant, user_id: &str) -> (String, Caller) {
    let spec = KeySpec { user_id: Some(user_id.to_owned()), ..KeySpec::with(&["*"]) };
    let (id, key) = app.key(&tenant.org_id, spec).await;
    (id, app.caller(&key))
}

#[tokio::test]
async fn a_user_with_the_address_of_another_organizations_user_is_a_different_user() {
    let app = TestApp::start().await;
    let (victim, other) = (app.tenant("Victim").await, app.tenant("Other").await);
    let user_id = add(&other, &person("victim@example.com", "Vic", &["*"])).await;
    assert_ne!(user_id, victim.user_id);
    let (_, caller) = key_of(&app, &other, &user_id).await;
    let token = caller.post("/tokens", &json!({"audience": "a"})).await.json();
    let claims: Value = insecure_decode_claims(token["token"].as_str().expect("a token")).expect("claims");
    assert_eq!((&claims["sub"], &claims["org_id"]), (&json!(user_id), &json!(other.org_id)));
    let checked = caller.get("/auth/check-key").await.json()["data"].clone();
    assert_eq!((&checked["user_id"], &checked["user_name"]), (&json!(user_id), &json!("Vic")));
    assert_eq!((&checked["user_email"], &checked["email_verified"]), (&json!("victim@example.com"), &json!(false)));
    let made = caller.post("/api/auth/api-key/create", &json!({})).await.json();
    assert_eq!(made["userId"], json!(user_id), "{made}");
    let foreign = other.admin.post("/api/auth/api-key/create", &json!({"userId": victim.user_id})).await;
    assert_eq!(foreign.status, 404, "users of other organizations are unknown");
    // A key of a user of another organization is invalid.
    let (_, stranger) = key_of(&app, &other, &victim.user_id).await;
    assert_eq!(stranger.get("/auth/check-key").await.status, 401);
    let own = victim.admin.get("/auth/check-key").await.json()["data"].clone();
    assert_eq!((&own["user_id"], &own["user_name"]), (&json!(victim.user_id), &json!("Victim")));
}

#[tokio::test]
async fn an_address_added_by_others_can_sign_up() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for n in 0..20 {
        let email = format!("person{n}@example.com");
        add(&tenant, &person(&email, "n", &[])).await;
        add(&other, &person(&email, "n", &[])).await;
        assert_eq!(sign_up(&app, &email).await, 200, "{email}");
        assert_eq!(sign_up(&app, &email).await, 400, "{email}: once");
    }
    // An address that has signed up can be added by others.
    add(&tenant, &person("other@example.com", "n", &[])).await;
}

#[tokio::test]
async fn deleting_an_organization_frees_the_address_of_its_sign_up() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    assert_eq!(sign_up(&app, "acme@example.com").await, 400);
    let path = format!("/orgs/{0}?confirm={0}", tenant.org_id);
    assert!([200, 202].contains(&tenant.admin.delete(&path).await.status));
    assert_eq!(sign_up(&app, "acme@example.com").await, 200);
    assert_eq!(sign_up(&app, "acme@example.com").await, 400);
}

#[tokio::test]
async fn personal_data_of_a_removed_member_is_deleted() {
    let app = TestApp::start_with(|config| config.deleted_keys_kept = Duration::ZERO).await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let (bob, bare) = (
        add(&tenant, &person("bob@example.com", "Bob", &["files:read"])).await,
        add(&tenant, &person("bare@example.com", "Bare", &[])).await,
    );
    let (first, caller) = key_of(&app, &tenant, &bob).await;
    let (second, _) = key_of(&app, &tenant, &bob).await;
    for user in [&bob, &bare] {
        assert_eq!(app.database.stored_user(user).await, (1, 1));
        assert_eq!(tenant.admin.delete(&format!("{org}/members/{user}")).await.status, 200);
    }
    assert_eq!(app.database.stored_user(&bare).await, (0, 0), "a user without keys is removed");
    assert_eq!(app.database.stored_user(&bob).await, (1, 0), "the user's keys are kept, personal data is not");
    assert_eq!(caller.get("/auth/check-key").await.status, 401);
    let keys = tenant.admin.get(&format!("{org}/api_keys?limit=10&user={bob}")).await.json();
    assert_eq!(keys.as_array().map(Vec::len), Some(2), "the keys are still listed for the user");
    for (key, left) in [(&first, 1), (&second, 0)] {
        assert_eq!(tenant.admin.delete(&format!("{org}/api_keys/{key}")).await.status, 200);
        assert_eq!(app.database.stored_user(&bob).await, (left, 0), "the user is kept until the last key is deleted");
    }
    add(&tenant, &person("bob@example.com", "Bob", &[])).await;
}

#[tokio::test]
async fn retention_purges_removed_users_without_keys() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (bob, eve) = (
        add(&tenant, &person("bob@example.com", "Bob", &[])).await,
        add(&tenant, &person("eve@example.com", "Eve", &[])).await,
    );
    for user in [&bob, &eve] {
        key_of(&app, &tenant, user).await;
        assert_eq!(tenant.admin.delete(&format!("/orgs/{}/members/{user}", tenant.org_id)).await.status, 200);
    }
    app.database.remove_keys_of_user(&bob).await;
    assert_eq!(app.database.stored_user(&bob).await, (1, 0));
    let store = app.database.store().await;
    store.purge(app.clock.now(), None, false).await.expect("it runs");
    store.close().await;
    assert_eq!(app.database.stored_user(&bob).await, (0, 0));
    assert_eq!(app.database.stored_user(&eve).await, (1, 0), "a key still refers to this user");
    assert_eq!(app.database.stored_user(&tenant.user_id).await, (1, 1));
}

#[tokio::test]
async fn the_platform_can_find_and_erase_all_users_of_an_address() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let (ada, acme) = (app.tenant("Ada").await, app.tenant("Acme").await);
    let in_acme = add(&acme, &person("ADA@example.com", "A.", &["*"])).await;
    let (_, key) = key_of(&app, &acme, &in_acme).await;
    let path = "/users?email=Ada%40EXAMPLE.com";
    for caller in [&ada.admin, &acme.admin] {
        assert_eq!((caller.get(path).await.status, caller.delete(path).await.status), (403, 403));
    }
    for wrong in ["/users", "/users?email=ada"] {
        assert_eq!(platform.get(wrong).await.wrong_fields(), ["email"]);
        assert_eq!(platform.delete(wrong).await.wrong_fields(), ["email"]);
    }
    // An ambiguous request is refused.
    for (more, named) in
        [("email=bob%40example.com", "email"), ("Email=bob%40example.com", "Email"), ("limit=1", "limit")]
    {
        for query in [format!("{path}&{more}"), format!("/users?{more}&{}", &path[7..])] {
            let refused = platform.delete(&query).await;
            assert_eq!((refused.status, refused.wrong_fields()), (400, vec![named.to_owned()]), "{query}");
        }
    }
    let found = platform.get(path).await.json();
    let mut found: Vec<_> = found.as_array().expect("a list").iter().collect();
    found.sort_by_key(|user| user["origin"].to_string());
    let shown = |user: &Value| (user["org_id"].clone(), user["user_id"].clone(), user["user_name"].clone());
    assert_eq!(found.len(), 2);
    assert_eq!(shown(found[0]), (json!(acme.org_id), json!(in_acme), json!("A.")));
    assert_eq!(shown(found[1]), (json!(ada.org_id), json!(ada.user_id), json!("Ada")));
    let page = platform.get(&format!("{path}&limit=1")).await;
    let next = page.header("link").trim_start_matches('<').split('>').next().expect("a link").to_owned();
    assert_eq!(platform.get(&next).await.json().as_array().map(Vec::len), Some(1), "{next}");
    let erased = platform.delete(path).await.json();
    assert_eq!(erased, json!({"erased": 2, "has_more": false}), "the last administrator is erased as well");
    assert_eq!(platform.get(path).await.json(), json!([]));
    for caller in [&key, &ada.admin] {
        assert_eq!(caller.get("/auth/check-key").await.status, 401);
    }
    for (tenant, user) in [(&acme, &in_acme), (&ada, &ada.user_id)] {
        let (_, personal) = app.database.stored_user(user).await;
        assert_eq!(personal, 0);
        let events = platform
            .get(&format!("/orgs/{}/audit_events?action=member.remove&outcome=done", tenant.org_id))
            .await
            .json();
        assert_eq!(events[0]["target_id"], json!(user), "{events}");
        assert!(!events.to_string().contains('@'));
    }
    assert_eq!(sign_up(&app, "ada@example.com").await, 200);
}

#[tokio::test]
async fn many_users_of_an_address_are_erased_in_batches() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    for n in 0..101 {
        let org = platform.post("/orgs", &json!({"name": format!("o{n}")})).await.json();
        let path = format!("/orgs/{}/members", org["id"].as_str().expect("an id"));
        assert_eq!(platform.post(&path, &person("many@example.com", "n", &[])).await.status, 200);
    }
    let erase = async || platform.delete("/users?email=many%40example.com").await.json();
    assert_eq!(erase().await, json!({"erased": 100, "has_more": true}));
    assert_eq!(erase().await, json!({"erased": 1, "has_more": false}));
    assert_eq!(erase().await, json!({"erased": 0, "has_more": false}));
}
