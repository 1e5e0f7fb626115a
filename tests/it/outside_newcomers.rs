//! Users of identity providers who are seen for the first time.

use harness::Caller;
use serde_json::{Value, json};

use crate::outside::{World, with, without, world};

#[tokio::test]
async fn newcomers_are_what_the_operator_makes_of_them() {
    let people = |world: &World| {
        let path = format!("/orgs/{}/members", world.tenant.org_id);
        let admin = world.tenant.admin.clone();
        async move { admin.get(&path).await.json().as_array().expect("a list").len() }
    };
    let about = |world: &World| {
        let claims = with(&world.claims("ada"), "email", json!("acme@example.com"));
        with(&with(&claims, "name", json!("Ada")), "org_id", json!(world.tenant.org_id))
    };
    let refusing = world(|_| ()).await;
    assert_eq!(refusing.says(&about(&refusing)).get("/me").await.status, 403);
    // Made, and a member of nothing. The address is somebody else's here: it makes nobody that user.
    let making = world(|entry| entry["create_users"] = json!(true)).await;
    let me = making.says(&about(&making)).get("/me").await.json();
    assert_eq!(me["user"]["email"], "acme@example.com");
    assert_ne!(me["user"]["id"], json!(making.tenant.user_id));
    assert_eq!((&me["user"]["name"], &me["organizations"]), (&json!("Ada"), &json!([])));
    assert_eq!(making.says(&about(&making)).get("/me").await.json()["user"], me["user"], "the same the next time");
    assert_eq!(people(&making).await, 1);
    let by_id = json!({"user_id": me["user"]["id"], "permissions": ["api_keys:read"]});
    let members = format!("/orgs/{}/members", making.tenant.org_id);
    let added = making.tenant.admin.post(&members, &by_id).await.json();
    assert_eq!((&added["user_email"], &added["user_name"]), (&json!("acme@example.com"), &json!("Ada")));
    assert_eq!(making.says(&about(&making)).get(&making.keys()).await.status, 200);
    // Made members, once: who was removed stays so. Twice at once is once.
    let joining = world(|entry| {
        entry["create_users"] = json!(true);
        entry["member_permissions"] = json!(["api_keys:read"]);
    })
    .await;
    let callers: Vec<Caller> = (0..8).map(|_| joining.says(&about(&joining))).collect();
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
    // What passes does not keep them out: an organization that is not there or not open yet, or that is not named.
    let bob = with(&about(&joining), "sub", json!("bob"));
    let platform = joining.app.platform().await;
    let org = format!("/orgs/{}", joining.tenant.org_id);
    assert_eq!(platform.patch(&org, &json!({"suspended": true, "max_members": 1})).await.status, 200);
    let unknown = with(&bob, "org_id", json!("00000000-0000-7000-8000-000000000000"));
    assert_eq!(joining.says(&unknown).get("/me").await.status, 403);
    assert_eq!(joining.says(&bob).get("/me").await.status, 403, "suspended");
    assert_eq!(platform.patch(&org, &json!({"suspended": false})).await.status, 200);
    assert_eq!(joining.says(&bob).get("/me").await.status, 403, "full");
    assert_eq!(platform.patch(&org, &json!({"max_members": null})).await.status, 200);
    let nowhere = joining.says(&without(&bob, "org_id")).get("/me").await;
    assert_eq!((nowhere.status, &nowhere.json()["organizations"]), (200, &json!([])), "{}", nowhere.text);
    assert_eq!(joining.says(&bob).get(&keys).await.status, 200);
    // Whether somebody else spoke of them first changes nothing about what they get, nor what they are called.
    let other = joining.app.tenant("Other").await;
    joining.join(&other, "eve", &["*"]).await;
    let eve = with(&with(&about(&joining), "sub", json!("eve")), "name", json!("Eve"));
    assert_eq!(joining.says(&eve).get(&keys).await.status, 200);
    let me = joining.says(&eve).get("/me").await.json();
    assert_eq!((&me["user"]["name"], &me["user"]["email"]), (&json!("Eve"), &json!("acme@example.com")));
    let both = joining.says(&without(&eve, "org_id")).get("/me").await.json();
    assert_eq!(both["organizations"].as_array().map(Vec::len), Some(2));
    // An address that a provider told is free to sign up with, and leads to nobody.
    let told = with(&with(&about(&joining), "sub", json!("zoe")), "email", json!("zoe@example.com"));
    let told = joining.says(&told).get("/me").await.json()["user"].clone();
    assert_eq!(told["email"], "zoe@example.com");
    assert_ne!(json!(joining.app.tenant("Zoe").await.user_id), told["id"]);
}

#[tokio::test]
async fn who_is_to_be_a_member_is_named_as_a_provider_does() {
    let world = world(|_| ()).await;
    let path = format!("/orgs/{}/members", world.tenant.org_id);
    let good = json!({"issuer": world.provider.issuer(), "subject": "a", "user_name": "A", "permissions": []});
    for (field, value) in [
        ("issuer", json!("https://id.example/")),
        ("issuer", Value::Null),
        ("subject", json!("")),
        ("subject", json!("a\u{0}b")),
        ("subject", json!("a".repeat(256))),
        ("subject", Value::Null),
    ] {
        let answer = world.tenant.admin.post(&path, &with(&good, field, value.clone())).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field.to_owned()]), "{value}: {}", answer.text);
    }
    let both = with(&good, "user_email", json!("a@example.com"));
    assert_eq!(world.tenant.admin.post(&path, &both).await.status, 400);
    assert_eq!(world.tenant.admin.post(&path, &good).await.status, 200);
    assert_eq!(world.tenant.admin.post(&path, &good).await.status, 409, "a member already");
}
