//! Recovery links: how a member gets access again, or for the first time.

use domain::auth::identity::PASSKEY_ISSUER;
use harness::{Answer, Caller, KeySpec, Tenant};
use serde_json::{Value, json};

use crate::{
    auth::{
        idp::{Fixture, fixture, platform_of},
        sessions::sign_in,
    },
    organizations::invitations::{assert_invalid, invitations, log, preview, redeem, token},
};

async fn recover(caller: &Caller, tenant: &Tenant, user: &str) -> Answer {
    caller.send("POST", &format!("/orgs/{}/members/{user}/recovery_links", tenant.org_id), None).await
}

fn person(fixture: &Fixture, subject: &str) -> Caller {
    fixture.caller_with(&fixture.claims(subject))
}

/// The id of the user that a person is in their only organization.
async fn user_of(person: &Caller) -> Value {
    person.get("/me").await.json()["user"]["id"].clone()
}

#[tokio::test]
async fn a_member_gets_access_again_by_a_recovery_link() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let ada = fixture.join(tenant, "ada", &["api_keys:read"]).await;
    let page = sign_in(app, &person(&fixture, "ada")).await;
    let created = recover(&tenant.admin, tenant, &ada).await;
    let first = token(&created);
    let link = created.json();
    assert_eq!((&link["kind"], &link["user_id"], &link["user_name"]), (&json!("recovery"), &json!(ada), &json!("ada")));
    assert_eq!(link["url"], format!("https://keys.example/#/invitation/{first}"));
    assert_eq!(page.get("/me").await.status, 401, "the sessions of the member have ended");
    assert_eq!(preview(app, &first).await.json()["kind"], "recovery");
    // Another link replaces the first.
    let second = token(&recover(&tenant.admin, tenant, &ada).await);
    assert_invalid(&fixture, &first, "replaced").await;
    let listed = tenant.admin.get(&invitations(tenant)).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let new = person(&fixture, "ada2");
    assert_eq!(new.get("/me").await.status, 403);
    let page = sign_in(app, &person(&fixture, "ada")).await;
    let redeemed = redeem(&new, &second).await;
    let expected = json!({"kind": "recovery", "org_id": tenant.org_id, "user_id": ada});
    assert_eq!((redeemed.status, redeemed.json()), (200, expected), "{}", redeemed.text);
    assert_eq!(user_of(&new).await, json!(ada), "the same member, with the same permissions");
    assert_eq!(new.get(&fixture.keys()).await.status, 200);
    assert_eq!(page.get("/me").await.status, 401, "sessions that were opened meanwhile have ended, too");
    assert_eq!(user_of(&person(&fixture, "ada")).await, json!(ada), "the identity at the provider stays");
    assert_invalid(&fixture, &second, "redeemed").await;
    assert_eq!(
        log(tenant, &["recovery_link.create", "recovery_link.redeem", "session.end_all"]).await,
        [
            json!(["recovery_link.redeem", ada, ada]),
            json!(["recovery_link.create", ada, tenant.user_id]),
            json!(["recovery_link.create", ada, tenant.user_id]),
            json!(["session.end_all", ada, tenant.user_id]),
        ]
    );
    // A person cannot be two members of an organization.
    let eve = fixture.join(tenant, "eve", &[]).await;
    let third = token(&recover(&tenant.admin, tenant, &eve).await);
    assert_eq!(redeem(&new, &third).await.json()["reason"], "already_member");
    assert_eq!(redeem(&person(&fixture, "eve"), &third).await.status, 200, "the same identity again");
    let revoked = recover(&tenant.admin, tenant, &eve).await;
    let one = format!("{}/{}", invitations(tenant), revoked.json()["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.delete(&one).await.status, 200);
    assert_eq!(log(tenant, &["recovery_link.revoke"]).await, [json!(["recovery_link.revoke", eve, tenant.user_id])]);
}

#[tokio::test]
async fn a_recovery_unlinks_the_other_passkeys_of_the_member() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let ada = fixture.join(tenant, "ada", &[]).await;
    let eve = fixture.join(tenant, "eve", &[]).await;
    for (user, account) in [(&ada, "lost"), (&ada, "stolen"), (&eve, "other")] {
        app.link_identity(PASSKEY_ISSUER, account, &tenant.org_id, user).await;
    }
    let link = token(&recover(&tenant.admin, tenant, &ada).await);
    assert_eq!(redeem(&person(&fixture, "new"), &link).await.status, 200);
    let issuer = fixture.provider.issuer();
    let identity = |issuer: &str, subject: &str| (issuer.to_owned(), subject.to_owned());
    assert_eq!(app.identities_of(&ada).await, [identity(&issuer, "ada"), identity(&issuer, "new")]);
    assert_eq!(app.identities_of(&eve).await, [identity(&issuer, "eve"), identity(PASSKEY_ISSUER, "other")]);
}

#[tokio::test]
async fn a_member_has_at_most_ten_identities() {
    let fixture = fixture(|_| ()).await;
    let ada = fixture.join(&fixture.tenant, "ada", &[]).await;
    for n in 0..11 {
        fixture.app.clock.advance_seconds(1);
        let link = token(&recover(&fixture.tenant.admin, &fixture.tenant, &ada).await);
        assert_eq!(redeem(&person(&fixture, &format!("p{n}")), &link).await.status, 200);
    }
    let identities = fixture.app.identities_of(&ada).await;
    assert_eq!(identities.len(), 10);
    assert!(!identities.iter().any(|(_, subject)| ["ada", "p0"].contains(&subject.as_str())), "{identities:?}");
    assert_eq!(user_of(&person(&fixture, "p10")).await, json!(ada));
}

#[tokio::test]
async fn a_recovery_link_is_no_way_to_more_permissions() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let ada = fixture.join(tenant, "ada", &["members:admin", "files:*"]).await;
    let key = async |org: &str, spec: KeySpec| app.caller(&app.key(org, spec).await.1);
    let reason = async |caller: &Caller| recover(caller, tenant, &ada).await.json()["reason"].clone();
    let lower = key(&tenant.org_id, KeySpec::with(&["members:admin"])).await;
    assert_eq!(reason(&lower).await, "exceeds_permissions");
    assert_eq!(reason(&key(&tenant.org_id, KeySpec::with(&["members:read"])).await).await, "permission_required");
    let short = key(&tenant.org_id, KeySpec { expires_in: Some(60), ..KeySpec::with(&["*"]) }).await;
    assert_eq!(reason(&short).await, "exceeds_expiry");
    let equal = key(&tenant.org_id, KeySpec::with(&["members:admin", "files:*"])).await;
    let link = token(&recover(&equal, tenant, &ada).await);
    // The member has got more permissions meanwhile.
    let member = format!("/orgs/{}/members/{ada}", tenant.org_id);
    assert_eq!(tenant.admin.patch(&member, &json!({"permissions": ["*"]})).await.status, 200);
    assert_invalid(&fixture, &link, "its creator cannot create it any more").await;
    // The platform may, in other organizations.
    let platform = app.platform().await;
    let own = platform_of(&platform).await;
    let support = key(&own, KeySpec::with(&["members:admin"])).await;
    let link = token(&recover(&support, tenant, &ada).await);
    assert_eq!(preview(app, &link).await.status, 200);
    let operator = json!({"user_name": "Op", "user_email": "op@example.com", "permissions": ["*"]});
    let operator = platform.post(&format!("/orgs/{own}/members"), &operator).await.json();
    let path = format!("/orgs/{own}/members/{}/recovery_links", operator["user_id"].as_str().expect("an id"));
    assert_eq!(support.send("POST", &path, None).await.json()["reason"], "exceeds_permissions");
    assert_eq!(platform.send("POST", &path, None).await.status, 200);
    assert_eq!(redeem(&person(&fixture, "new"), &link).await.status, 200);
}

#[tokio::test]
async fn the_link_of_a_removed_member_is_not_valid() {
    let fixture = fixture(|_| ()).await;
    let tenant = &fixture.tenant;
    let member = json!({"user_name": "Jo", "user_email": "jo@example.com", "permissions": ["files:read"]});
    let jo = tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), &member).await.json();
    let jo = jo["user_id"].as_str().expect("an id");
    // A member without an identity gets one.
    let link = token(&recover(&tenant.admin, tenant, jo).await);
    assert_eq!(redeem(&person(&fixture, "jo"), &link).await.status, 200);
    assert_eq!(person(&fixture, "jo").get("/me").await.json()["user"]["email"], "jo@example.com");
    let link = token(&recover(&tenant.admin, tenant, jo).await);
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/members/{jo}", tenant.org_id)).await.status, 200);
    assert_invalid(&fixture, &link, "the member is removed").await;
    assert_eq!(fixture.app.database.stored_invitations().await, 0, "personal data is erased");
    assert_eq!(recover(&tenant.admin, tenant, jo).await.status, 404);
    assert_eq!(recover(&tenant.admin, tenant, "nonsense").await.status, 404);
}

#[tokio::test]
async fn a_repeated_request_creates_no_other_link() {
    let fixture = fixture(|_| ()).await;
    let tenant = &fixture.tenant;
    let ada = fixture.join(tenant, "ada", &[]).await;
    let caller = tenant.admin.with("idempotency-key", "k");
    let (first, again) = (recover(&caller, tenant, &ada).await, recover(&caller, tenant, &ada).await);
    let mut expected = first.json();
    (expected["token"], expected["url"]) = (Value::Null, Value::Null);
    assert_eq!((again.header("idempotent-replayed"), again.json()), ("true", expected));
    assert_eq!(preview(&fixture.app, &token(&first)).await.status, 200);
}
