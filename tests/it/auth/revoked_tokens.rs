//! The list of all revoked tokens, and the lists of organizations.

use std::collections::BTreeSet;

use harness::{KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use crate::auth::tokens::{Checker, token};

/// The list of an organization: token groups, and keys.
async fn list_of(app: &TestApp, org_id: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    app.clock.advance_seconds(1);
    let answer = app.anyone().get(&format!("/.well-known/revoked?org_id={org_id}")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/jwt"), "{}", answer.text);
    let claims = Checker(app).claims(&answer.text, "revoked+jwt").await;
    assert_eq!(claims["org_id"], json!(org_id), "the list names its organization");
    let strings = |name: &str| {
        let list: &Vec<Value> = claims[name].as_array().expect("a list");
        list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    (strings("revoked"), strings("revoked_keys"))
}

/// A key with `count` token groups. Returns its id, its secret, and the groups.
async fn key_with(app: &TestApp, tenant: &Tenant, count: usize) -> (String, String, BTreeSet<String>) {
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:*"])).await;
    let mut groups = BTreeSet::new();
    for n in 0..count {
        let body = json!({"audience": "a", "permissions": [format!("files:{n}")]});
        groups.insert(Checker(app).family(&token(&app.caller(&key), &body).await).await);
    }
    (id, key, groups)
}

#[tokio::test]
async fn an_organization_has_its_own_list_of_revoked_tokens() {
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
    assert_eq!(
        list_of(&app, &tenant.org_id).await,
        (none(), none()),
        "revocations of another organization are not in the list"
    );
    assert_eq!(tenant.admin.delete(&path(&tenant, &deleted)).await.status, 200);
    assert_eq!(
        list_of(&app, &tenant.org_id).await,
        (none(), [deleted.clone()].into()),
        "a deleted key is one entry, not one for each token group"
    );
    let disable = tenant.admin.patch(&path(&tenant, &disabled), &json!({"enabled": false})).await;
    assert_eq!(disable.status, 200, "{}", disable.text);
    assert_eq!(list_of(&app, &tenant.org_id).await, (of_disabled.clone(), [deleted.clone()].into()));
    assert_eq!(list_of(&app, &other.org_id).await, (none(), [foreign].into()));
    // The list of all names the token groups.
    let all = of_deleted.iter().chain(&of_disabled).chain(&of_foreign).cloned().collect();
    assert_eq!(Checker(&app).revoked().await, all);
    // Unknown organizations have an empty list.
    let unknown_organization = "01a1fd1e-8cfa-74df-85f1-9534e4d89595";
    assert_eq!(list_of(&app, unknown_organization).await, (none(), none()));
    for wrong in ["x", ""] {
        let refused = app.anyone().get(&format!("/.well-known/revoked?org_id={wrong}")).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["org_id".to_owned()]), "{wrong}");
    }
}

#[tokio::test]
async fn only_the_revoked_tokens_of_a_valid_key_are_listed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _, old) = key_with(&app, &tenant, 2).await;
    let path = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    let rotated = tenant.admin.post(&format!("{path}/rotate"), &json!({"grace_seconds": 0})).await.json();
    let text = rotated["key"].as_str().expect("a text");
    token(&app.caller(text), &json!({"audience": "a"})).await;
    assert_eq!(list_of(&app, &tenant.org_id).await, (old, BTreeSet::new()));
    // The tokens of a restored key are valid again, a little later.
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    assert_eq!(list_of(&app, &tenant.org_id).await.1, [id.clone()].into());
    assert_eq!(tenant.admin.post(&format!("{path}/restore"), &json!({})).await.status, 200);
    assert_eq!(tenant.admin.patch(&path, &json!({"enabled": true})).await.status, 200);
    app.clock.advance_seconds(10);
    let (groups, keys) = list_of(&app, &tenant.org_id).await;
    assert_eq!((groups.len(), keys.len()), (2, 0));
}

#[tokio::test]
async fn lists_of_revoked_tokens_are_made_at_most_four_times_a_second() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _, groups) = key_with(&app, &tenant, 1).await;
    let get = async || app.anyone().get("/.well-known/revoked").await.text;
    app.clock.advance_seconds(1);
    let before = get().await;
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
    for _ in 0..3 {
        assert_eq!(get().await, before, "the same list for all requests within its interval");
    }
    assert_eq!(Checker(&app).revoked().await, groups);
}

#[tokio::test]
async fn token_groups_are_bounded_and_every_revocation_is_listed() {
    let app = TestApp::start_with(|config| {
        let bounds = &mut config.bounds;
        (bounds.token_groups_of_organization, bounds.token_groups, bounds.token_groups_when_crowded) = (4, 5, 1);
    })
    .await;
    let tenants = [app.tenant("One").await, app.tenant("Two").await, app.tenant("Three").await];
    let (_, key, mut groups) = key_with(&app, &tenants[0], 4).await;
    let create_token = async |key: &str, n: usize| {
        let body = json!({"audience": "a", "permissions": [format!("files:{n}")]});
        app.caller(key).post("/tokens", &body).await
    };
    assert_eq!(create_token(&key, 9).await.status, 409, "the limit of the organization is reached");
    assert_eq!(create_token(&key, 0).await.status, 200, "an existing token group gets more tokens");
    let (_, second, of_second) = key_with(&app, &tenants[1], 1).await;
    groups.extend(of_second);
    // The global limit is reached: organizations with token groups get no more, the others do.
    let over_limit = create_token(&second, 9).await;
    assert_eq!((over_limit.status, over_limit.header("retry-after")), (429, "60"), "{}", over_limit.text);
    let (_, _, of_third) = key_with(&app, &tenants[2], 1).await;
    groups.extend(of_third);
    let platform = app.platform().await;
    for tenant in &tenants {
        let suspend = platform.patch(&format!("/orgs/{}", tenant.org_id), &json!({"suspended": true})).await;
        assert_eq!(suspend.status, 200, "{}", suspend.text);
    }
    assert_eq!(Checker(&app).revoked().await, groups);
    // Expired token groups do not count.
    app.clock.advance_seconds(361);
    app.purge().await;
    for tenant in &tenants {
        platform.patch(&format!("/orgs/{}", tenant.org_id), &json!({"suspended": false})).await;
    }
    assert_eq!(create_token(&second, 9).await.status, 200);
    assert_eq!(Checker(&app).revoked().await, BTreeSet::new());
}

#[tokio::test]
async fn an_organization_with_many_revoked_token_groups_is_named_as_a_whole() {
    let app = TestApp::start_with(|config| config.bounds.listed_token_groups = 2).await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (id, _, mut groups) = key_with(&app, &tenant, 2).await;
    let (more, _, of_more) = key_with(&app, &tenant, 1).await;
    let (foreign, _, of_foreign) = key_with(&app, &other, 2).await;
    let delete = async |tenant: &Tenant, id: &str| {
        assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
    };
    delete(&tenant, &id).await;
    delete(&other, &foreign).await;
    groups.extend(of_foreign.clone());
    assert_eq!(Checker(&app).revoked_of_all().await, (groups, BTreeSet::new()), "two of each are listed");
    delete(&tenant, &more).await;
    assert_eq!(Checker(&app).revoked_of_all().await, (of_foreign, [tenant.org_id.clone()].into()));
    assert_eq!(list_of(&app, &tenant.org_id).await.1, [id, more].into(), "its own list is complete");
    assert_eq!(of_more.len(), 1);
}
