//! The keys of a portal session: only those of its customer, within what the session allows.

use futures_util::future::join_all;
use harness::{Caller, Tenant, TestApp};
use serde_json::{Value, json};

use super::{assert_failed, create_key, names, open};

/// Creates a key by the administrator. Returns its id.
async fn key(tenant: &Tenant, settings: Value) -> String {
    let mut body = json!({"name": "n", "permissions": [], "can_manage": false, "external_id": "customer-1"});
    body.as_object_mut().expect("an object").extend(settings.as_object().cloned().unwrap_or_default());
    let created = tenant.admin.post(&tenant.keys(), &body).await;
    assert_eq!(created.status, 200, "{}", created.text);
    created.json()["id"].as_str().expect("an id").to_owned()
}

async fn stored(tenant: &Tenant, key: &str) -> Value {
    tenant.admin.get(&format!("{}/{key}", tenant.keys())).await.json()
}

async fn verify(tenant: &Tenant, secret: &str, permissions: &[&str]) -> Value {
    let body = json!({"key": secret, "permissions": permissions});
    tenant.admin.post("/api_keys/verify", &body).await.json()["code"].clone()
}

async fn rotate(customer: &Caller, key: &str, grace: u64) -> harness::Answer {
    customer.post(&format!("/portal/api_keys/{key}/rotate"), &json!({"grace_seconds": grace})).await
}

#[tokio::test]
async fn a_customer_creates_rotates_and_revokes_a_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let customer = open(&app, &tenant, json!({"prefix": "acme_"})).await;
    assert_eq!(names(&customer).await, Vec::<String>::new());
    let (id, secret) = create_key(&customer, "CI").await;
    assert!(secret.starts_with("acme_"), "{secret}");
    assert_eq!(verify(&tenant, &secret, &["files:write"]).await, "VALID");
    let created = stored(&tenant, &id).await;
    assert_eq!((&created["external_id"], &created["can_manage"]), (&json!("customer-1"), &json!(false)));
    assert_eq!((&created["user_id"], &created["permissions"]), (&Value::Null, &json!(["files:read", "files:write"])));
    assert_eq!(created["created_by"], json!({"type": "key", "id": tenant.key_id}));
    let listed = customer.get("/portal/api_keys").await.json();
    assert_eq!((&listed[0]["id"], &listed[0]["can_rotate"]), (&json!(id), &json!(true)));
    for hidden in ["org_id", "metadata", "created_by", "external_id", "key"] {
        assert_eq!(listed[0].get(hidden), None, "{hidden}");
    }
    let rotated = rotate(&customer, &id, 3_600).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    let new = rotated.json()["key"].as_str().expect("a secret").to_owned();
    assert_eq!(
        (verify(&tenant, &secret, &[]).await, verify(&tenant, &new, &[]).await),
        (json!("VALID"), json!("VALID"))
    );
    let usage = customer.get(&format!("/portal/api_keys/{id}/usage")).await;
    assert_eq!((usage.status, &usage.json()["by"]), (200, &json!("hour")), "{}", usage.text);
    assert_eq!(customer.delete(&format!("/portal/api_keys/{id}")).await.status, 200);
    assert_eq!(verify(&tenant, &new, &[]).await, "INVALID_API_KEY");
    assert_eq!(names(&customer).await, Vec::<String>::new());
    let restored = tenant.admin.send("POST", &format!("{}/{id}/restore", tenant.keys()), None).await;
    assert_eq!(restored.status, 200, "the organization can restore it");
}

#[tokio::test]
async fn a_customer_sees_only_their_own_keys() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let own = key(&tenant, json!({"name": "own"})).await;
    let hidden = [
        ("another customer's", key(&tenant, json!({"external_id": "customer-10"})).await),
        ("a key of no customer", key(&tenant, json!({"external_id": null})).await),
        ("one that can manage the service", key(&tenant, json!({"can_manage": true})).await),
        ("another organization's", key(&other, json!({})).await),
        ("unknown", "ffffffff-0000-7000-8000-000000000000".to_owned()),
        ("no id", "x".to_owned()),
    ];
    let customer = open(&app, &tenant, json!({})).await;
    assert_eq!(names(&customer).await, ["own"]);
    for (what, key) in &hidden {
        // A session for each, because the requests of one are limited.
        let customer = open(&app, &tenant, json!({})).await;
        let path = format!("/portal/api_keys/{key}");
        assert_failed(&customer.delete(&path).await, 404, "not_found");
        assert_failed(&rotate(&customer, key, 0).await, 404, "not_found");
        assert_failed(&customer.get(&format!("{path}/usage")).await, 404, "not_found");
        if what.ends_with('s') && !what.starts_with("another organization") {
            assert_eq!(stored(&tenant, key).await["deleted_at"], Value::Null, "{what}");
        }
    }
    assert_eq!(customer.delete(&format!("/portal/api_keys/{own}")).await.status, 200);
}

#[tokio::test]
async fn a_session_of_a_member_has_the_keys_of_that_member() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let members = format!("/orgs/{}/members", tenant.org_id);
    let member = json!({"user_name": "Jo", "user_email": "jo@example.com", "permissions": ["files:read"]});
    let member = tenant.admin.post(&members, &member).await.json()["user_id"].as_str().expect("an id").to_owned();
    key(&tenant, json!({"external_id": null, "own": true, "name": "of the administrator"})).await;
    let changes = json!({"external_id": null, "user_id": member});
    let customer = open(&app, &tenant, changes.clone()).await;
    assert_eq!(names(&customer).await, Vec::<String>::new());
    let all = customer.post("/portal/api_keys", &json!({"name": "n"})).await;
    assert_failed(&all, 403, "exceeds_permissions");
    let created = customer.post("/portal/api_keys", &json!({"name": "Jo's", "permissions": ["files:read"]})).await;
    assert_eq!(created.status, 200, "{}", created.text);
    let created = stored(&tenant, created.json()["id"].as_str().expect("an id")).await;
    assert_eq!((&created["user_id"], &created["external_id"]), (&json!(member), &Value::Null));
    assert_eq!(names(&customer).await, ["Jo's"]);
    assert_eq!(tenant.admin.delete(&format!("{members}/{member}")).await.status, 200);
    super::assert_ended(&customer, "the member was removed").await;
}

#[tokio::test]
async fn a_session_allows_only_what_it_names() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let id = key(&tenant, json!({"permissions": ["files:read"]})).await;
    let path = format!("/portal/api_keys/{id}");
    for allowed in ["", "create", "rotate", "usage", "revoke"] {
        let list: Vec<&str> = Some(allowed).filter(|allowed| !allowed.is_empty()).into_iter().collect();
        let customer = open(&app, &tenant, json!({"allowed": list})).await;
        let answers = [
            ("create", customer.post("/portal/api_keys", &json!({"name": "n"})).await),
            ("rotate", rotate(&customer, &id, 0).await),
            ("usage", customer.get(&format!("{path}/usage")).await),
            ("revoke", customer.delete(&path).await),
        ];
        for (action, answer) in answers {
            if action == allowed {
                assert_eq!(answer.status, 200, "{action}: {}", answer.text);
            } else {
                assert_failed(&answer, 403, "portal_action_not_allowed");
                assert!(answer.text.contains(action), "{}", answer.text);
            }
        }
        let can_rotate = customer.get("/portal/api_keys").await.json()[0]["can_rotate"].clone();
        // In the last round the key is revoked, and the one that was created in the second round is left.
        assert_eq!(can_rotate, json!(allowed == "rotate"), "{allowed}");
    }
}

#[tokio::test]
async fn a_key_never_has_permissions_above_the_ceiling() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let set = async |name: &str, permissions: Value| {
        tenant.admin.post(&sets, &json!({"name": name, "permissions": permissions})).await.json()["id"].clone()
    };
    let (narrow, wide) = (set("narrow", json!(["files:read"])).await, set("wide", json!(["invoices:read"])).await);
    let customer = open(&app, &tenant, json!({})).await;
    for permissions in
        [json!(["invoices:read"]), json!(["files:*"]), json!(["read"]), json!(["*"]), json!(["org:read"])]
    {
        let answer = customer.post("/portal/api_keys", &json!({"name": "n", "permissions": permissions})).await;
        assert_failed(&answer, 403, "exceeds_permissions");
    }
    for field in ["can_manage", "external_id", "permission_sets", "metadata", "remaining", "own", "secret"] {
        let answer = customer.post("/portal/api_keys", &json!({"name": "n", field: null})).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field.to_owned()]), "{}", answer.text);
    }
    // Another session, because the requests of one are limited.
    let customer = open(&app, &tenant, json!({})).await;
    // The client that gets the secret of a key has its permissions: such a key is not rotated, but can be revoked.
    for (settings, is_within) in [
        (json!({"permissions": ["files:read"]}), true),
        (json!({"permission_sets": [narrow]}), true),
        (json!({"permissions": ["invoices:read"]}), false),
        (json!({"permission_sets": [narrow, wide]}), false),
    ] {
        let id = key(&tenant, settings.clone()).await;
        let listed = customer.get("/portal/api_keys").await.json();
        assert_eq!((&listed[0]["id"], &listed[0]["can_rotate"]), (&json!(id), &json!(is_within)), "{settings}");
        let rotated = rotate(&customer, &id, 0).await;
        if is_within {
            assert_eq!(rotated.status, 200, "{settings}: {}", rotated.text);
        } else {
            assert_failed(&rotated, 403, "exceeds_permissions");
        }
        assert_eq!(customer.delete(&format!("/portal/api_keys/{id}")).await.status, 200);
    }
}

#[tokio::test]
async fn a_page_says_of_each_key_whether_it_can_be_rotated() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let set = async |name: &str, permissions: Value| {
        tenant.admin.post(&sets, &json!({"name": name, "permissions": permissions})).await.json()["id"].clone()
    };
    let (narrow, wide) = (set("narrow", json!(["files:read"])).await, set("wide", json!(["invoices:read"])).await);
    let keys = [
        ("a", json!({"permission_sets": [narrow]}), true),
        ("b", json!({"permission_sets": [wide]}), false),
        ("c", json!({"permission_sets": [narrow, wide]}), false),
        ("d", json!({"permission_sets": [narrow], "permissions": ["invoices:read"]}), false),
        ("e", json!({"permissions": ["files:write"]}), true),
        ("f", json!({"permission_sets": [narrow], "permissions": ["files:write"]}), true),
    ];
    for (name, settings, _) in &keys {
        let mut settings = settings.clone();
        settings["name"] = json!(name);
        key(&tenant, settings).await;
    }
    let listed = open(&app, &tenant, json!({})).await.get("/portal/api_keys").await.json();
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.len(), keys.len());
    for (name, _, is_within) in keys {
        let key = listed.iter().find(|key| key["name"] == name).expect("the key");
        assert_eq!(key["can_rotate"], json!(is_within), "{name}");
    }
}

#[tokio::test]
async fn keys_have_the_limits_of_the_session() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let limits =
        json!({"max_lifetime_seconds": 3_600, "rate_limit_max": 5, "rate_limit_window": 60_000, "remaining": 9});
    let customer = open(&app, &tenant, json!({"limits": limits})).await;
    let (id, _) = create_key(&customer, "n").await;
    let created = stored(&tenant, &id).await;
    assert_eq!((&created["rate_limit_max"], &created["rate_limit_window"]), (&json!(5), &json!(60_000)));
    assert_eq!((&created["remaining"], &created["expires_at"]), (&json!(9), &json!("2026-11-21T09:00:00.250Z")));
    let create = async |expires_at: &str| {
        customer.post("/portal/api_keys", &json!({"name": "n", "expires_at": expires_at})).await
    };
    assert_eq!(create("2026-11-21T09:00:00.250Z").await.status, 200);
    let late = create("2026-11-21T09:00:00.251Z").await;
    assert_eq!(late.json()["fields"], json!({"expires_at": "must be at most 3600 seconds ahead"}), "{}", late.text);
    assert_eq!(create("2026-11-21T07:59:00Z").await.wrong_fields(), ["expires_at"]);
}

#[tokio::test]
async fn a_customer_has_at_most_so_many_keys() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    key(&tenant, json!({"external_id": "customer-2"})).await;
    key(&tenant, json!({"can_manage": true})).await;
    let existing = key(&tenant, json!({})).await;
    let customer = open(&app, &tenant, json!({"limits": {"max_keys": 3}})).await;
    let names: Vec<Value> = (0..6).map(|n| json!({"name": format!("{n}")})).collect();
    let answers = join_all(names.iter().map(|body| customer.post("/portal/api_keys", body))).await;
    let created = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(created, 2, "also of simultaneous requests");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_failed(refused, 409, "portal_key_limit_reached");
    }
    assert_eq!(customer.delete(&format!("/portal/api_keys/{existing}")).await.status, 200);
    create_key(&customer, "n").await;
    assert_failed(&customer.post("/portal/api_keys", &json!({"name": "n"})).await, 409, "portal_key_limit_reached");
}

#[tokio::test]
async fn idempotency_keys_of_two_customers_have_nothing_to_do_with_each_other() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let one = open(&app, &tenant, json!({})).await.with("idempotency-key", "k");
    let other = open(&app, &tenant, json!({"external_id": "customer-2"})).await.with("idempotency-key", "k");
    let body = json!({"name": "n"});
    let first = one.post("/portal/api_keys", &body).await;
    let again = one.post("/portal/api_keys", &body).await;
    let mut expected = first.json();
    expected["key"] = Value::Null;
    assert_eq!((again.header("idempotent-replayed"), again.json()), ("true", expected));
    let others = other.post("/portal/api_keys", &body).await;
    assert_eq!((others.status, others.headers.get("idempotent-replayed")), (200, None), "{}", others.text);
    assert_ne!(others.json()["id"], first.json()["id"]);
}

#[tokio::test]
async fn the_list_has_pages() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let customer = open(&app, &tenant, json!({})).await;
    for name in ["a", "b", "c"] {
        create_key(&customer, name).await;
        app.clock.advance_seconds(1);
    }
    let page = customer.get("/portal/api_keys?limit=2").await;
    let of = |answer: &harness::Answer| {
        let listed = answer.json();
        listed.as_array().expect("a list").iter().map(|key| key["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&page), ["c", "b"]);
    let next =
        page.header("link").strip_prefix('<').and_then(|link| link.split_once('>')).expect("a link").0.to_owned();
    let last = customer.get(&next).await;
    assert_eq!((of(&last), last.headers.get("link")), (vec![json!("a")], None));
    assert_eq!(customer.get("/portal/api_keys?limit=0").await.wrong_fields(), ["limit"]);
    assert_eq!(customer.get("/portal/api_keys?external_id=customer-2").await.wrong_fields(), ["external_id"]);
}
