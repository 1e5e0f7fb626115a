//! Provisioning of users of identity providers at their first login.

use harness::Caller;
use serde_json::{Value, json};

use crate::auth::idp::{Fixture, fixture, with, without};

#[tokio::test]
async fn unknown_idp_users_are_provisioned_by_the_policy() {
    let people = |fixture: &Fixture| {
        let path = format!("/orgs/{}/members", fixture.tenant.org_id);
        let admin = fixture.tenant.admin.clone();
        async move { admin.get(&path).await.json().as_array().expect("a list").len() }
    };
    let about = |fixture: &Fixture| {
        let claims = with(&fixture.claims("ada"), "email", json!("acme@example.com"));
        with(&with(&claims, "name", json!("Ada")), "org_id", json!(fixture.tenant.org_id))
    };
    let refusing = fixture(|_| ()).await;
    assert_eq!(refusing.caller_with(&about(&refusing)).get("/me").await.status, 403);
    // Accepted, without a membership. The address of another user does not make them that user.
    let making = fixture(|entry| entry["create_users"] = json!(true)).await;
    let me = making.caller_with(&about(&making)).get("/me").await.json();
    assert_eq!((&me["user"], &me["organizations"]), (&Value::Null, &json!([])));
    let identity = json!({"issuer": making.provider.issuer(), "subject": "ada"});
    assert_eq!(me["identity"], identity, "issuer and subject, with which an administrator can add the user");
    assert_eq!(people(&making).await, 1);
    // The response to adding them contains only what was sent.
    let ada = with(&with(&identity, "permissions", json!(["api_keys:read"])), "user_name", json!("A."));
    let members = format!("/orgs/{}/members", making.tenant.org_id);
    let added = making.tenant.admin.post(&members, &ada).await.json();
    assert_eq!((&added["user_email"], &added["user_name"]), (&Value::Null, &json!("A.")));
    assert_eq!(added["origin"], "identity_provider");
    assert_eq!(making.caller_with(&about(&making)).get(&making.keys()).await.status, 200);
    // Added as a member once, also by concurrent requests. Removed members are not added again.
    let joining = fixture(|entry| {
        entry["create_users"] = json!(true);
        entry["member_permissions"] = json!(["api_keys:read"]);
    })
    .await;
    let callers: Vec<Caller> = (0..8).map(|_| joining.caller_with(&about(&joining))).collect();
    let keys = joining.keys();
    let answers = futures_util::future::join_all(callers.iter().map(|ada| ada.get(&keys))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(people(&joining).await, 2);
    let events = joining.app.audit(&joining.tenant.org_id).await;
    let joined: Vec<_> = events.iter().filter(|event| event.action == "member.add").collect();
    assert_eq!(joined.len(), 1);
    assert!(!joined[0].actor_user.is_empty() && joined[0].actor_key.is_empty());
    let id = callers[0].get("/me").await.json()["user"]["id"].as_str().expect("an id").to_owned();
    let member = format!("/orgs/{}/members/{id}", joining.tenant.org_id);
    assert_eq!(joining.tenant.admin.delete(&member).await.status, 200);
    assert_eq!(callers[0].get(&keys).await.status, 403);
    assert_eq!(people(&joining).await, 1);
    // After a login that failed because the organization was missing, suspended, full or not named, a later one provisions
    // them.
    let bob = with(&about(&joining), "sub", json!("bob"));
    let platform = joining.app.platform().await;
    let org = format!("/orgs/{}", joining.tenant.org_id);
    assert_eq!(platform.patch(&org, &json!({"suspended": true, "max_members": 1})).await.status, 200);
    let unknown = with(&bob, "org_id", json!("00000000-0000-7000-8000-000000000000"));
    assert_eq!(joining.caller_with(&unknown).get("/me").await.status, 403);
    assert_eq!(joining.caller_with(&bob).get("/me").await.status, 403, "suspended");
    assert_eq!(platform.patch(&org, &json!({"suspended": false})).await.status, 200);
    assert_eq!(joining.caller_with(&bob).get("/me").await.status, 403, "full");
    assert_eq!(platform.patch(&org, &json!({"max_members": null})).await.status, 200);
    let nowhere = joining.caller_with(&without(&bob, "org_id")).get("/me").await;
    assert_eq!((nowhere.status, &nowhere.json()["organizations"]), (200, &json!([])), "{}", nowhere.text);
    assert_eq!(joining.caller_with(&bob).get(&keys).await.status, 200);
    // Users that another organization has added before are provisioned in the same way.
    let other = joining.app.tenant("Other").await;
    joining.join(&other, "eve", &["*"]).await;
    let eve = with(&with(&about(&joining), "sub", json!("eve")), "name", json!("Eve"));
    assert_eq!(joining.caller_with(&eve).get(&keys).await.status, 200);
    let me = joining.caller_with(&eve).get("/me").await.json();
    assert_eq!((&me["user"]["name"], &me["user"]["email"]), (&json!("Eve"), &json!("acme@example.com")));
    let both = joining.caller_with(&without(&eve, "org_id")).get("/me").await.json();
    assert_eq!(both["organizations"].as_array().map(Vec::len), Some(2));
    // An address from a provider's token can sign up, as another user.
    let result = with(&with(&about(&joining), "sub", json!("zoe")), "email", json!("zoe@example.com"));
    let result = joining.caller_with(&result).get("/me").await.json()["user"].clone();
    assert_eq!(result["email"], "zoe@example.com");
    assert_ne!(json!(joining.app.tenant("Zoe").await.user_id), result["id"]);
}

#[tokio::test]
async fn an_idp_member_needs_a_valid_issuer_and_subject() {
    let fixture = fixture(|_| ()).await;
    let path = format!("/orgs/{}/members", fixture.tenant.org_id);
    let good = json!({"issuer": fixture.provider.issuer(), "subject": "a", "user_name": "A", "permissions": []});
    for (field, value) in [
        ("issuer", json!("https://id.example/")),
        ("issuer", Value::Null),
        ("subject", json!("")),
        ("subject", json!("a\u{0}b")),
        ("subject", json!("a".repeat(256))),
        ("subject", Value::Null),
    ] {
        let answer = fixture.tenant.admin.post(&path, &with(&good, field, value.clone())).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field.to_owned()]), "{value}: {}", answer.text);
    }
    let both = with(&good, "user_email", json!("a@example.com"));
    assert_eq!(fixture.tenant.admin.post(&path, &both).await.status, 400);
    assert_eq!(fixture.tenant.admin.post(&path, &good).await.status, 200);
    assert_eq!(fixture.tenant.admin.post(&path, &good).await.status, 409, "a member already");
}
