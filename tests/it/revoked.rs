//! The lists of revoked tokens: of all, and of each organization.

use std::collections::BTreeSet;

use harness::{KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use crate::tokens::{Checker, token};

/// The list of an organization: families, and keys.
async fn list_of(app: &TestApp, org_id: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    app.clock.advance_seconds(1);
    let answer = app.anyone().get(&format!("/.well-known/revoked?org_id={org_id}")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/jwt"), "{}", answer.text);
    let claims = Checker(app).claims(&answer.text, "revoked+jwt").await;
    assert_eq!(claims["org_id"], json!(org_id), "one list is not to be taken for another");
    let texts = |name: &str| {
        let list: &Vec<Value> = claims[name].as_array().expect("a list");
        list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    (texts("revoked"), texts("revoked_keys"))
}

/// A key with tokens of so many families. Answers its id, its text, and these.
async fn key_with(app: &TestApp, tenant: &Tenant, count: usize) -> (String, String, BTreeSet<String>) {
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:*"])).await;
    let mut families = BTreeSet::new();
    for n in 0..count {
        let body = json!({"audience": "a", "permissions": [format!("files:{n}")]});
        families.insert(Checker(app).family(&token(&app.caller(&key), &body).await).await);
    }
    (id, key, families)
}

#[tokio::test]
async fn an_organization_has_a_list_of_its_own() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let none = BTreeSet::new;
    let (deleted, _, of_deleted) = key_with(&app, &tenant, 3).await;
    let (disabled, _, of_disabled) = key_with(&app, &tenant, 2).await;
    let (foreign, _, of_foreign) = key_with(&app, &other, 2).await;
    for tenant in [&tenant, &other] {
        assert_eq!(list_of(&app, &tenant.org_id).await, (none(), none()));
    }
    let path = |tenant: &Tenant, id: &str| format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    assert_eq!(other.admin.delete(&path(&other, &foreign)).await.status, 200);
    assert_eq!(list_of(&app, &tenant.org_id).await, (none(), none()), "what others do does not make it longer");
    assert_eq!(tenant.admin.delete(&path(&tenant, &deleted)).await.status, 200);
    assert_eq!(list_of(&app, &tenant.org_id).await, (none(), [deleted.clone()].into()), "one entry for a deleted key");
    let disable = tenant.admin.patch(&path(&tenant, &disabled), &json!({"enabled": false})).await;
    assert_eq!(disable.status, 200, "{}", disable.text);
    assert_eq!(list_of(&app, &tenant.org_id).await, (of_disabled.clone(), [deleted.clone()].into()));
    assert_eq!(list_of(&app, &other.org_id).await, (none(), [foreign].into()));
    // The list of all is as it ever was.
    let all = of_deleted.iter().chain(&of_disabled).chain(&of_foreign).cloned().collect();
    assert_eq!(Checker(&app).revoked().await, all);
    // Organizations that there are not have a list, too.
    let nobody = "01a1fd1e-8cfa-74df-85f1-9534e4d89595";
    assert_eq!(list_of(&app, nobody).await, (none(), none()));
    for wrong in ["x", ""] {
        let refused = app.anyone().get(&format!("/.well-known/revoked?org_id={wrong}")).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["org_id".to_owned()]), "{wrong}");
    }
}

#[tokio::test]
async fn a_key_that_goes_on_is_not_listed_as_a_whole() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _, old) = key_with(&app, &tenant, 2).await;
    let path = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    let rotated = tenant.admin.post(&format!("{path}/rotate"), &json!({"grace_seconds": 0})).await.json();
    let text = rotated["key"].as_str().expect("a text");
    token(&app.caller(text), &json!({"audience": "a"})).await;
    assert_eq!(list_of(&app, &tenant.org_id).await, (old, BTreeSet::new()));
    // A key that comes back takes its tokens with it, a little later.
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    assert_eq!(list_of(&app, &tenant.org_id).await.1, [id.clone()].into());
    assert_eq!(tenant.admin.post(&format!("{path}/restore"), &json!({})).await.status, 200);
    assert_eq!(tenant.admin.patch(&path, &json!({"enabled": true})).await.status, 200);
    app.clock.advance_seconds(10);
    let (families, keys) = list_of(&app, &tenant.org_id).await;
    assert_eq!((families.len(), keys.len()), (2, 0));
}

#[tokio::test]
async fn lists_are_made_four_times_a_second_at_most() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _, families) = key_with(&app, &tenant, 1).await;
    let get = async || app.anyone().get("/.well-known/revoked").await.text;
    app.clock.advance_seconds(1);
    let before = get().await;
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
    for _ in 0..3 {
        assert_eq!(get().await, before, "whoever asks, and however often, in the same moment");
    }
    assert_eq!(Checker(&app).revoked().await, families);
}

#[tokio::test]
async fn families_are_bounded_and_no_revocation_is_left_out() {
    let app = TestApp::start_with(|config| {
        let bounds = &mut config.bounds;
        (bounds.families_of_organization, bounds.families, bounds.families_in_a_crowd) = (4, 5, 1);
    })
    .await;
    let tenants = [app.tenant("One").await, app.tenant("Two").await, app.tenant("Three").await];
    let (_, key, mut families) = key_with(&app, &tenants[0], 4).await;
    let make = async |key: &str, n: usize| {
        let body = json!({"audience": "a", "permissions": [format!("files:{n}")]});
        app.caller(key).post("/tokens", &body).await
    };
    assert_eq!(make(&key, 9).await.status, 409, "the organization has as many as it may have");
    assert_eq!(make(&key, 0).await.status, 200, "one that there is goes on");
    let (_, second, of_second) = key_with(&app, &tenants[1], 1).await;
    families.extend(of_second);
    // All together have many: who has some gets no more, who has none does.
    let crowded = make(&second, 9).await;
    assert_eq!((crowded.status, crowded.header("retry-after")), (429, "60"), "{}", crowded.text);
    let (_, _, of_third) = key_with(&app, &tenants[2], 1).await;
    families.extend(of_third);
    let platform = app.platform().await;
    for tenant in &tenants {
        let suspend = platform.patch(&format!("/orgs/{}", tenant.org_id), &json!({"suspended": true})).await;
        assert_eq!(suspend.status, 200, "{}", suspend.text);
    }
    assert_eq!(Checker(&app).revoked().await, families);
    // When their tokens have ended there is room again.
    app.clock.advance_seconds(361);
    app.purge().await;
    for tenant in &tenants {
        platform.patch(&format!("/orgs/{}", tenant.org_id), &json!({"suspended": false})).await;
    }
    assert_eq!(make(&second, 9).await.status, 200);
    assert_eq!(Checker(&app).revoked().await, BTreeSet::new());
}
