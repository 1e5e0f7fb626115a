//! The customers' portal: sessions of customers, and what they can do in them.

mod bounds;
mod creators;
mod keys;
mod page;
mod policies;
mod sessions;
mod settings;

use harness::{Answer, Caller, Tenant, TestApp};
use serde_json::{Value, json};

/// The path of the portal sessions of a tenant.
pub(crate) fn sessions(tenant: &Tenant) -> String {
    format!("/orgs/{}/portal_sessions", tenant.org_id)
}

/// The body of a session that allows everything, for the customer `customer-1`, with these changes.
pub(crate) fn session(changes: Value) -> Value {
    let mut body = json!({
        "external_id": "customer-1", "allowed": ["create", "rotate", "revoke", "usage"],
        "permissions_ceiling": ["files:read", "files:write"],
    });
    let Value::Object(changes) = changes else { panic!("{changes} is no object") };
    body.as_object_mut().expect("an object").extend(changes);
    body
}

/// Creates a session with these changes of [`session`]. Returns its id and the secret of its link.
pub(crate) async fn create(caller: &Caller, tenant: &Tenant, changes: Value) -> (String, String) {
    let created = caller.post(&sessions(tenant), &session(changes)).await;
    assert_eq!(created.status, 200, "{}", created.text);
    let created = created.json();
    let url = created["url"].as_str().expect("a link");
    let (page, secret) = url.split_once('#').expect("a secret");
    let id = created["id"].as_str().expect("an id");
    assert_eq!(page, format!("https://keys.example/portal?session={id}"));
    (id.to_owned(), secret.to_owned())
}

/// Exchanges the secret of a link.
pub(crate) async fn exchange(app: &TestApp, secret: &str) -> Answer {
    app.anyone().post("/portal/session", &json!({"secret": secret})).await
}

/// The caller with the token of an opened session.
#[track_caller]
pub(crate) fn customer(app: &TestApp, opened: &Answer) -> Caller {
    assert_eq!(opened.status, 200, "{}", opened.text);
    app.caller(opened.json()["token"].as_str().expect("a token"))
}

/// Creates a session by the tenant's administrator, and opens it. Returns the customer.
pub(crate) async fn open(app: &TestApp, tenant: &Tenant, changes: Value) -> Caller {
    let (_, secret) = create(&tenant.admin, tenant, changes).await;
    customer(app, &exchange(app, &secret).await)
}

/// Creates a key in a session. Returns its id and its secret.
pub(crate) async fn create_key(customer: &Caller, name: &str) -> (String, String) {
    let created = customer.post("/portal/api_keys", &json!({"name": name})).await;
    assert_eq!(created.status, 200, "{}", created.text);
    let created = created.json();
    let text = |name: &str| created[name].as_str().expect("a text").to_owned();
    (text("id"), text("key"))
}

/// The names of the keys that a customer sees.
pub(crate) async fn names(customer: &Caller) -> Vec<String> {
    let listed = customer.get("/portal/api_keys").await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    let listed = listed.json();
    let keys = listed.as_array().expect("a list").iter();
    keys.map(|key| key["name"].as_str().expect("a name").to_owned()).collect()
}

#[track_caller]
pub(crate) fn assert_failed(answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status, &answer.json()["reason"]), (status, &json!(reason)), "{}", answer.text);
}

/// Asserts that the session of a customer has ended.
pub(crate) async fn assert_ended(customer: &Caller, why: &str) {
    let answer = customer.get("/portal/session").await;
    assert_eq!((answer.status, &answer.json()["reason"]), (401, &json!("portal_session_required")), "{why}");
}
