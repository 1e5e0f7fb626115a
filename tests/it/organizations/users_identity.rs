//! Users of identity providers: memberships need their acceptance.

use harness::KeySpec;
use serde_json::{Value, json};

use crate::auth::{
    idp::{Fixture, fixture, membership, with, without},
    sessions::sign_in,
};

async fn me(fixture: &Fixture, claims: &Value) -> Value {
    fixture.caller_with(claims).get("/me").await.json()
}

/// The ids of the organizations that are not accepted.
fn pending(me: &Value) -> Vec<Value> {
    let organizations = me["organizations"].as_array().expect("a list").iter();
    organizations.filter(|place| place["accepted"] == false).map(|place| place["id"].clone()).collect()
}

#[tokio::test]
async fn adding_an_idp_user_does_not_capture_or_lock_out_the_user() {
    let fixture = fixture(|_| ()).await;
    let (app, own) = (&fixture.app, &fixture.tenant);
    let stranger = app.tenant("Stranger").await;
    let ada = fixture.claims("ada");
    // The stranger adds the user first.
    let there = fixture.add(&stranger, "ada", &["*"]).await;
    let pending_only = me(&fixture, &ada).await;
    assert_eq!((&pending_only["organization"], &pending_only["user"]), (&Value::Null, &Value::Null));
    assert_eq!(pending(&pending_only), [json!(stranger.org_id)]);
    let made = fixture.caller_with(&ada).post("/api/auth/api-key/create", &json!({})).await;
    assert_eq!(made.status, 403, "no key is created in the stranger's organization: {}", made.text);
    // The user has another organization.
    let here = fixture.join(own, "ada", &["*"]).await;
    assert_ne!(here, there, "a separate user in each organization");
    let profile = me(&fixture, &ada).await;
    assert_eq!((&profile["organization"]["id"], &profile["user"]["id"]), (&json!(own.org_id), &json!(here)));
    let made = fixture.caller_with(&ada).post("/api/auth/api-key/create", &json!({})).await.json();
    assert_eq!((&made["userId"], &made["org_id"]), (&json!(here), &json!(own.org_id)), "{made}");
    let page = sign_in(app, &fixture.caller_with(&ada)).await;
    assert_eq!(page.get("/me").await.json()["organization"]["id"], json!(own.org_id));
    // A request can name the stranger's organization, by its path or by the token.
    let keys = format!("/orgs/{}/api_keys", stranger.org_id);
    assert_eq!(fixture.caller_with(&ada).get(&keys).await.status, 200);
    let named = with(&ada, "org_id", json!(stranger.org_id));
    assert_eq!(me(&fixture, &named).await["user"]["id"], json!(there));
    // Each organization sees its own user only.
    for (tenant, user) in [(own, &here), (&stranger, &there)] {
        let members = tenant.admin.get(&format!("/orgs/{}/members", tenant.org_id)).await.text;
        assert!(members.contains(user.as_str()) && !members.contains(if *user == here { &there } else { &here }));
    }
}

#[tokio::test]
async fn at_most_100_pending_memberships_are_listed() {
    let fixture = fixture(|_| ()).await;
    fixture.join(&fixture.tenant, "ada", &["files:read"]).await;
    let ada = fixture.claims("ada");
    let mut strangers = Vec::new();
    for n in 0..=100 {
        let stranger = fixture.app.tenant(&format!("Stranger{n}")).await;
        fixture.add(&stranger, "ada", &["*"]).await;
        strangers.push(stranger);
    }
    let profile = me(&fixture, &ada).await;
    let listed = pending(&profile);
    assert_eq!((&profile["organization"]["id"], listed.len()), (&json!(fixture.tenant.org_id), 100));
    // A membership that is not listed can be named by the token, and accepted.
    let other = strangers
        .iter()
        .find(|stranger| !listed.contains(&json!(stranger.org_id)))
        .expect("an organization that is not listed");
    let named = me(&fixture, &with(&ada, "org_id", json!(other.org_id))).await;
    assert_eq!(named["organization"]["id"], json!(other.org_id));
    let accepted = fixture.caller_with(&ada).send("POST", &membership(other), None).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text);
    let both = me(&fixture, &ada).await;
    assert_eq!((both["organizations"].as_array().map(Vec::len), pending(&both).len()), (Some(102), 100));
}

#[tokio::test]
async fn an_idp_user_can_accept_and_leave_memberships() {
    let fixture = fixture(|_| ()).await;
    let (app, acme) = (&fixture.app, &fixture.tenant);
    let other = app.tenant("Other").await;
    let user = fixture.add(acme, "ada", &["files:read"]).await;
    let ada = fixture.caller_with(&fixture.claims("ada"));
    let accept = async |path: &str| ada.send("POST", path, None).await.status;
    for path in [&membership(&other), "/me/memberships/nonsense"] {
        assert_eq!((accept(path).await, ada.delete(path).await.status), (404, 404), "{path}");
    }
    let elsewhere = fixture.caller_with(&with(&fixture.claims("ada"), "org_id", json!(other.org_id)));
    assert_eq!(
        elsewhere.send("POST", &membership(acme), None).await.status,
        404,
        "the token is for another organization"
    );
    assert_eq!(acme.admin.send("POST", &membership(acme), None).await.status, 404, "a key cannot accept a membership");
    assert_eq!((accept(&membership(acme)).await, accept(&membership(acme)).await), (200, 200));
    let profile = ada.get("/me").await.json();
    assert_eq!((&profile["organization"]["id"], pending(&profile).len()), (&json!(acme.org_id), 0));
    assert_eq!(profile["user"]["email_verified"], false);
    let (_, key) = app.key(&acme.org_id, KeySpec { user_id: Some(user.clone()), ..KeySpec::with(&["*"]) }).await;
    let page = sign_in(app, &ada).await;
    assert_eq!(page.delete(&membership(acme)).await.status, 200, "a session can leave as well");
    assert_eq!(app.caller(&key).get("/me").await.status, 401);
    assert_eq!(ada.get("/me").await.json()["organizations"], json!([]));
    assert_eq!(app.database.stored_user(&user).await, (1, 0));
    let events = app.audit(&acme.org_id).await;
    let about: Vec<_> = events.iter().filter(|event| event.action.starts_with("member.")).collect();
    let actions: Vec<_> = about.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["member.add", "member.accept", "member.remove"], "accepting again changes nothing");
    assert!(about[1..].iter().all(|event| event.actor_user == user && event.actor_key.is_empty()));
    // After being added again, the user must accept again.
    fixture.add(acme, "ada", &["*"]).await;
    assert_eq!(pending(&ada.get("/me").await.json()), [json!(acme.org_id)]);
    // The last administrator cannot leave.
    assert_eq!(acme.admin.delete(&membership(acme)).await.status, 200, "another administrator leaves, with a key");
    assert_eq!(ada.delete(&membership(acme)).await.status, 409);
    let (_, narrow) =
        app.key(&other.org_id, KeySpec { user_id: Some(other.user_id.clone()), ..KeySpec::with(&["a:b"]) }).await;
    assert_eq!(app.caller(&narrow).delete(&membership(&other)).await.status, 403, "a key without members:admin");
}

#[tokio::test]
async fn a_removed_member_is_not_provisioned_again() {
    let fixture = fixture(|entry| {
        entry["create_users"] = json!(true);
        entry["member_permissions"] = json!(["api_keys:read"]);
    })
    .await;
    let acme = &fixture.tenant;
    let ada = with(&fixture.claims("ada"), "org_id", json!(acme.org_id));
    let profile = me(&fixture, &ada).await;
    assert_eq!(
        (&profile["organization"]["id"], pending(&profile).len()),
        (&json!(acme.org_id), 0),
        "provisioned: accepted"
    );
    assert_eq!(fixture.caller_with(&ada).delete(&membership(acme)).await.status, 200);
    assert_eq!(me(&fixture, &ada).await["organizations"], json!([]));
    fixture.add(acme, "ada", &[]).await;
    assert_eq!(me(&fixture, &ada).await["organizations"][0]["permissions"], json!([]), "added by an administrator");
    // Naming the organization by a token of a provider that provisions there counts as acceptance.
    let anywhere = me(&fixture, &without(&ada, "org_id")).await;
    assert_eq!((&anywhere["organization"]["id"], pending(&anywhere).len()), (&json!(acme.org_id), 0));
}

#[tokio::test]
async fn memberships_in_listed_organizations_need_no_acceptance() {
    let tenants = fixture(|_| ()).await;
    let stranger = tenants.app.tenant("Stranger").await;
    tenants.add(&tenants.tenant, "ada", &["*"]).await;
    tenants.add(&stranger, "ada", &["*"]).await;
    let entry = tenants.provider.entry(&json!([tenants.tenant.org_id]));
    let listed = harness::read_issuers(&json!([entry])).expect("valid issuers");
    let Fixture { app, provider, key, tenant } = tenants;
    let claims = provider.claims("ada", app.now_seconds());
    let (_, database) = app.stop().await;
    let app = harness::TestApp::start_on(database, |config| config.providers = listed).await;
    let me = app.caller(&key.sign(&claims)).get("/me").await.json();
    assert_eq!(me["organization"]["id"], json!(tenant.org_id));
    assert_eq!(me["organizations"].as_array().map(Vec::len), Some(1), "the provider is not configured for the other");
    let ada = json!({"issuer": provider.issuer(), "subject": "eve", "user_name": "e", "permissions": []});
    let refused = stranger.admin.at(&app.base()).post(&format!("/orgs/{}/members", stranger.org_id), &ada).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["issuer".to_owned()]));
}
