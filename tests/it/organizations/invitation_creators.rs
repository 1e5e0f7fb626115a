//! What an invitation can give: no more than its creator has, and only as long as the creator has it.

use harness::{Caller, KeySpec, TestApp};
use serde_json::{Value, json};

use crate::{
    auth::idp::{fixture, platform_of, with},
    organizations::invitations::{assert_invalid, assert_reason, invitations, invite, preview, token},
};

#[tokio::test]
async fn an_invitation_gives_no_more_than_the_inviter_has() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let with = async |spec: KeySpec| app.caller(&app.key(&tenant.org_id, spec).await.1);
    let set = json!({"name": "s", "permissions": ["files:write"]});
    let set = tenant.admin.post(&format!("/orgs/{}/permission_sets", tenant.org_id), &set).await.json();
    let manager = with(KeySpec::with(&["members:admin", "files:read"])).await;
    token(&invite(&manager, &tenant, &["files:read"]).await);
    assert_reason(&invite(&manager, &tenant, &["files:write"]).await, "exceeds_permissions");
    let by_set = json!({"user_name": "A", "permissions": [], "permission_sets": [set["id"]]});
    assert_reason(&manager.post(&invitations(&tenant), &by_set).await, "exceeds_permissions");
    let short = with(KeySpec { expires_in: Some(60), ..KeySpec::with(&["*"]) }).await;
    assert_reason(&invite(&short, &tenant, &["files:read"]).await, "exceeds_expiry");
    token(&invite(&short, &tenant, &[]).await);
    assert_reason(&invite(&with(KeySpec::with(&["members:read"])).await, &tenant, &[]).await, "permission_required");
    let unknown =
        json!({"user_name": "A", "permissions": [], "permission_sets": ["ffffffff-0000-7000-8000-000000000000"]});
    assert_reason(&tenant.admin.post(&invitations(&tenant), &unknown).await, "permission_set_not_found");
    for (field, value) in [
        ("user_name", json!("")),
        ("user_email", json!("nope")),
        ("permissions", json!(["a b"])),
        ("user_name", Value::Null),
    ] {
        let mut body = json!({"user_name": "A", "permissions": []});
        body[field] = value;
        let answer = tenant.admin.post(&invitations(&tenant), &body).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field.to_owned()]), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_link_is_not_valid_when_its_creator_could_not_create_it() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let granted: &[&str] = &["members:admin", "files:read"];
    let invited = async |caller: &Caller| token(&invite(caller, tenant, &["files:read"]).await);
    let key = async |user_id: Option<String>| {
        let (id, secret) = app.key(&tenant.org_id, KeySpec { user_id, ..KeySpec::with(granted) }).await;
        (format!("{}/{id}", tenant.keys()), app.caller(&secret))
    };
    // A key: narrowed, disabled, not for management, deleted.
    for (body, why) in [
        (Some(json!({"permissions": ["members:admin"]})), "it has lost a permission"),
        (Some(json!({"permissions": ["files:read"]})), "it cannot add members"),
        (Some(json!({"enabled": false})), "it is disabled"),
        (Some(json!({"can_manage": false})), "it cannot manage"),
        (Some(json!({"expires_at": "2026-11-21T08:01:00Z"})), "it has expired"),
        (None, "it is deleted"),
    ] {
        let (path, caller) = key(None).await;
        let token = invited(&caller).await;
        assert_eq!(preview(app, &token).await.status, 200, "{why}");
        let changed = match body {
            Some(body) => tenant.admin.patch(&path, &body).await,
            None => tenant.admin.delete(&path).await,
        };
        assert_eq!(changed.status, 200, "{}", changed.text);
        if why == "it has expired" {
            app.clock.advance_seconds(61);
        }
        assert_invalid(&fixture, &token, why).await;
    }
    // A person, and a key of a member.
    let bob = fixture.join(tenant, "bob", granted).await;
    let member = format!("/orgs/{}/members/{bob}", tenant.org_id);
    let caller = fixture.caller_with(&fixture.claims("bob"));
    let tokens = [invited(&caller).await, invited(&key(Some(bob.clone())).await.1).await];
    for (body, is_valid) in [
        (json!({"permissions": ["members:admin"]}), false),
        (json!({"permissions": ["members:admin", "files:*"]}), true),
        (json!({"permissions": ["files:*"]}), false),
        (json!({"permissions": ["*"]}), true),
    ] {
        assert_eq!(tenant.admin.patch(&member, &body).await.status, 200);
        for token in &tokens {
            let status = preview(app, token).await.status;
            assert_eq!(status, if is_valid { 200 } else { 404 }, "{body}");
        }
    }
    assert_eq!(tenant.admin.delete(&member).await.status, 200);
    for token in &tokens {
        assert_invalid(&fixture, token, "the member is removed").await;
    }
    // The platform is bounded by its own permissions.
    let platform = app.platform().await;
    let own = platform_of(&platform).await;
    let (id, secret) = app.key(&own, KeySpec::with(granted)).await;
    let token = invited(&app.caller(&secret)).await;
    assert_eq!(preview(app, &token).await.status, 200);
    assert_eq!(platform.delete(&format!("/orgs/{own}/api_keys/{id}")).await.status, 200);
    assert_invalid(&fixture, &token, "the key of the platform is deleted").await;
}

#[tokio::test]
async fn an_authoritative_provider_gives_the_permissions_of_the_creator() {
    let fixture = fixture(|entry| entry["authoritative"] = json!(true)).await;
    let tenant = &fixture.tenant;
    let bob = fixture.join(tenant, "bob", &[]).await;
    let caller =
        fixture.caller_with(&with(&fixture.claims("bob"), "permissions", json!(["members:admin", "files:read"])));
    let token = token(&invite(&caller, tenant, &["files:read"]).await);
    assert_reason(&invite(&caller, tenant, &["files:write"]).await, "exceeds_permissions");
    assert_eq!(preview(&fixture.app, &token).await.status, 200, "the membership has no permissions");
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/members/{bob}", tenant.org_id)).await.status, 200);
    assert_invalid(&fixture, &token, "the member is removed").await;
}
