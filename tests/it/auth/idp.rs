//! Access tokens of identity providers: the organizations and permissions that they give.

use api::config::Config;
use harness::{Caller, Provider, SigningKey, Tenant, TestApp, read_issuers};
use serde_json::{Value, json};

pub(crate) struct Fixture {
    pub(crate) app: TestApp,
    pub(crate) provider: Provider,
    pub(crate) key: SigningKey,
    pub(crate) tenant: Tenant,
}

/// A service that trusts one provider for all tenants, with a changed entry of the issuers file.
pub(crate) async fn fixture(change: impl FnOnce(&mut Value)) -> Fixture {
    fixture_with(change, |_| {}).await
}

/// As [`fixture`], with changed settings.
pub(crate) async fn fixture_with(change: impl FnOnce(&mut Value), settings: impl FnOnce(&mut Config)) -> Fixture {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let mut entry = provider.entry(&json!("tenants"));
    change(&mut entry);
    let providers = read_issuers(&json!([entry])).expect("valid issuers");
    let app = TestApp::start_with(|config| {
        config.providers = providers;
        settings(config);
    })
    .await;
    let tenant = app.tenant("Acme").await;
    Fixture { app, provider, key, tenant }
}

impl Fixture {
    pub(crate) fn claims(&self, subject: &str) -> Value {
        self.provider.claims(subject, self.app.now_seconds())
    }

    /// The caller with a token with these claims.
    pub(crate) fn caller_with(&self, claims: &Value) -> Caller {
        self.app.caller(&self.key.sign(claims))
    }

    /// Adds a user of the provider as a member, who accepts. Returns the user's id.
    pub(crate) async fn join(&self, tenant: &Tenant, subject: &str, permissions: &[&str]) -> String {
        let id = self.add(tenant, subject, permissions).await;
        let accepted = self.caller_with(&self.claims(subject)).send("POST", &membership(tenant), None).await;
        assert_eq!(accepted.status, 200, "{}", accepted.text);
        id
    }

    /// Adds a user of the provider as a member. Returns the user's id.
    pub(crate) async fn add(&self, tenant: &Tenant, subject: &str, permissions: &[&str]) -> String {
        let member = json!({
            "issuer": self.provider.issuer(), "subject": subject, "user_name": subject, "permissions": permissions,
        });
        let added = tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), &member).await;
        assert_eq!(added.status, 200, "{}", added.text);
        added.json()["user_id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn keys(&self) -> String {
        format!("/orgs/{}/api_keys", self.tenant.org_id)
    }
}

/// The path where a user accepts and leaves a membership.
pub(crate) fn membership(tenant: &Tenant) -> String {
    format!("/me/memberships/{}", tenant.org_id)
}

pub(crate) fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

pub(crate) fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().expect("claims").remove(name);
    claims
}

pub(crate) async fn status(caller: &Caller) -> u16 {
    caller.get("/me").await.status
}

#[tokio::test]
async fn an_idp_token_has_the_permissions_of_a_member() {
    let fixture = fixture(|_| ()).await;
    let (ec, rsa) = (SigningKey::p256("k2"), SigningKey::rsa("k3"));
    fixture.provider.publish(&[&fixture.key, &ec, &rsa]);
    let user = fixture.join(&fixture.tenant, "ada", &["api_keys:read"]).await;
    for key in [&fixture.key, &ec, &rsa] {
        let ada = fixture.app.caller(&key.sign(&fixture.claims("ada")));
        let me = ada.get("/me").await;
        assert_eq!(me.status, 200, "{:?}: {}", key.algorithm, me.text);
        assert_eq!((&me.json()["credential"], &me.json()["user"]["id"]), (&json!("token"), &json!(user)));
        assert_eq!(me.json()["organization"]["permissions"], json!(["api_keys:read"]));
        assert_eq!((&me.json()["api_key"], &me.json()["user"]["email"]), (&Value::Null, &Value::Null));
        assert_eq!(ada.get(&fixture.keys()).await.status, 200);
        let made = ada.post(&fixture.keys(), &json!({"name": "n", "permissions": []})).await;
        assert_eq!((made.status, made.header("www-authenticate")), (403, "Bearer error=\"insufficient_scope\""));
        // Without an organization in the path, the only membership is used.
        assert_eq!(ada.get("/api/auth/api-key/list").await.status, 200);
        assert_eq!(ada.get("/auth/check-key").await.status, 401, "/auth/check-key accepts keys only");
    }
    // A change of the membership applies to the next request.
    let member = format!("/orgs/{}/members/{user}", fixture.tenant.org_id);
    let ada = fixture.caller_with(&fixture.claims("ada"));
    let wider = json!({"permissions": ["api_keys:read", "api_keys:write"]});
    assert_eq!(fixture.tenant.admin.patch(&member, &wider).await.status, 200);
    let made = ada.post(&fixture.keys(), &json!({"name": "n", "permissions": []})).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let more = ada.post(&fixture.keys(), &json!({"name": "n", "permissions": ["files:read"]})).await;
    assert_eq!(more.json()["reason"], "exceeds_permissions");
    let own = ada.post("/api/auth/api-key/create", &json!({"name": "own"})).await;
    assert_eq!(own.json()["userId"], json!(user), "{}", own.text);
    let events = fixture.app.audit(&fixture.tenant.org_id).await;
    let event = events.iter().rfind(|event| event.action == "api_key.create").expect("the creation is logged");
    assert_eq!((event.actor_user.as_str(), event.actor_key.as_str()), (user.as_str(), ""));
    assert_eq!(fixture.tenant.admin.delete(&member).await.status, 200);
    assert_eq!(ada.get(&fixture.keys()).await.status, 403);
    assert_eq!(ada.get("/me").await.json()["organizations"], json!([]));
}

#[tokio::test]
async fn an_idp_user_can_act_in_their_organizations_that_the_provider_may_name() {
    let fixture = fixture(|_| ()).await;
    let (app, acme) = (&fixture.app, &fixture.tenant);
    let other = app.tenant("Other").await;
    let good = fixture.claims("ada");
    let place = |tenant: &Tenant| with(&good, "org_id", json!(tenant.org_id));
    let keys = |tenant: &Tenant| format!("/orgs/{}/api_keys", tenant.org_id);
    assert_eq!(status(&fixture.caller_with(&good)).await, 403, "the user is unknown");
    let user = fixture.join(acme, "ada", &["api_keys:read"]).await;
    assert_ne!(fixture.join(&other, "ada", &["api_keys:write"]).await, user, "a user of one organization");
    // With several memberships, the path or the token must name the organization.
    let ada = fixture.caller_with(&good);
    let me = ada.get("/me").await.json();
    assert_eq!((&me["organization"], me["organizations"].as_array().map(Vec::len)), (&Value::Null, Some(2)));
    for path in ["/orgs", "/api/auth/api-key/list"] {
        assert_eq!(ada.get(path).await.status, 403, "{path}");
    }
    assert_eq!(ada.post("/api_keys/verify", &json!({"key": "x"})).await.status, 403);
    assert_eq!(ada.get(&keys(acme)).await.status, 200);
    assert_eq!(ada.get(&keys(&other)).await.status, 403, "the membership there permits writing, not reading");
    let third = app.tenant("Third").await;
    let unknown = "00000000-0000-7000-8000-000000000000";
    for foreign in [third.org_id.as_str(), unknown, "nonsense"] {
        assert_eq!(ada.get(&format!("/orgs/{foreign}/api_keys")).await.status, 404, "{foreign}");
        assert_eq!(ada.get(&format!("/orgs/{foreign}/members")).await.status, 403, "{foreign}");
    }
    // A token that names an organization is valid for it only.
    let ada = fixture.caller_with(&place(acme));
    assert_eq!(ada.get("/me").await.json()["organization"]["id"], json!(acme.org_id));
    assert_eq!((ada.get(&keys(acme)).await.status, ada.get(&keys(&other)).await.status), (200, 404));
    assert_eq!(ada.get("/api/auth/api-key/list").await.status, 200);
    assert_eq!(fixture.caller_with(&place(&third)).get(&keys(&third)).await.status, 403, "the user is not a member");
    // A suspended organization does not count.
    let platform = app.platform().await;
    let path = format!("/orgs/{}", acme.org_id);
    assert_eq!(platform.patch(&path, &json!({"suspended": true})).await.status, 200);
    assert_eq!(ada.get(&keys(acme)).await.status, 403);
    assert_eq!(fixture.caller_with(&good).get("/me").await.json()["organization"]["id"], json!(other.org_id));
    assert_eq!(platform.patch(&path, &json!({"suspended": false})).await.status, 200);
    assert_eq!(ada.get(&keys(acme)).await.status, 200);
}

/// The id of the platform organization.
pub(crate) async fn platform_of(platform: &Caller) -> String {
    let organizations = platform.get("/orgs?limit=1000").await.json();
    let own = organizations.as_array().expect("a list").iter().find(|organization| organization["kind"] == "platform");
    own.expect("the platform")["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn only_providers_that_list_the_platform_can_act_for_it() {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let trusted_providers = read_issuers(&json!([provider.entry(&json!("tenants"))])).expect("valid issuers");
    let app = TestApp::start_with(|config| config.providers = trusted_providers).await;
    let platform = app.platform().await;
    let platform_id = platform_of(&platform).await;
    let tenant = app.tenant("Acme").await;
    let member = json!({"issuer": provider.issuer(), "subject": "op", "user_name": "op", "permissions": ["*"]});
    let members = format!("/orgs/{platform_id}/members");
    let refused = platform.post(&members, &member).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["issuer".to_owned()]), "{}", refused.text);
    let (_, database) = app.stop().await;
    let trusted_providers = read_issuers(&json!([provider.entry(&json!([platform_id]))])).expect("valid issuers");
    let app = TestApp::start_on(database, |config| config.providers = trusted_providers).await;
    assert_eq!(platform.at(&app.base()).post(&members, &member).await.status, 200);
    let elsewhere = format!("/orgs/{}/members", tenant.org_id);
    assert_eq!(
        tenant.admin.at(&app.base()).post(&elsewhere, &member).await.status,
        400,
        "the provider is not configured for this organization"
    );
    let (_, database) = app.stop().await;
    let mut database = Some(database);
    for (organizations, reaches) in
        [(json!("tenants"), false), (json!([tenant.org_id]), false), (json!([]), false), (json!([platform_id]), true)]
    {
        let providers = read_issuers(&json!([provider.entry(&organizations)])).expect("valid issuers");
        let app = TestApp::start_on(database.take().expect("kept"), |config| config.providers = providers).await;
        let op = app.caller(&key.sign(&provider.claims("op", app.now_seconds())));
        let places = usize::from(reaches);
        assert_eq!(op.get("/me").await.json()["organizations"].as_array().map(Vec::len), Some(places));
        let path = format!("/orgs/{}/api_keys", tenant.org_id);
        assert_eq!(op.get(&path).await.status, if reaches { 200 } else { 403 }, "{organizations}");
        assert_eq!(op.get("/orgs").await.status, if reaches { 200 } else { 403 }, "{organizations}");
        database = Some(app.stop().await.1);
    }
}

#[tokio::test]
async fn permissions_in_a_token_narrow_the_membership() {
    let narrow = fixture(|_| ()).await;
    let authoritative = fixture(|entry| entry["authoritative"] = json!(true)).await;
    for (fixture, is_authoritative) in [(&narrow, false), (&authoritative, true)] {
        fixture.join(&fixture.tenant, "ada", &["api_keys:read", "files:*"]).await;
        let held = async |claim: Value| {
            let me = fixture.caller_with(&with(&fixture.claims("ada"), "permissions", claim)).get("/me").await;
            me.json()["organization"]["permissions"].clone()
        };
        let without_claim = if is_authoritative { json!([]) } else { json!(["api_keys:read", "files:*"]) };
        assert_eq!(held(Value::Null).await, without_claim);
        assert_eq!(held(json!(["files:read"])).await, json!(["files:read"]));
        assert_eq!(held(json!("files:read files:list")).await, json!(["files:read", "files:list"]));
        assert_eq!(held(json!([])).await, json!([]));
        let wide = if is_authoritative { json!(["*"]) } else { json!(["api_keys:read", "files:*"]) };
        assert_eq!(held(json!(["*"])).await, wide);
        let admin = fixture.caller_with(&with(&fixture.claims("ada"), "permissions", json!(["*"])));
        let made = admin.post(&fixture.keys(), &json!({"name": "n", "permissions": []})).await;
        assert_eq!(made.status, if is_authoritative { 200 } else { 403 });
        // Claims never make a user a member.
        let eve = fixture.caller_with(&with(&fixture.claims("eve"), "permissions", json!(["*"])));
        assert_eq!(eve.get(&fixture.keys()).await.status, 403);
    }
}

#[tokio::test]
async fn a_member_of_platform_and_tenant_can_use_either_membership() {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let app = TestApp::start().await;
    let (platform, tenant) = (app.platform().await, app.tenant("Acme").await);
    let platform_id = platform_of(&platform).await;
    let (_, database) = app.stop().await;
    let entry = provider.entry(&json!([platform_id, tenant.org_id]));
    let trusted_providers = read_issuers(&json!([entry])).expect("valid issuers");
    let app = TestApp::start_on(database, |config| config.providers = trusted_providers).await;
    for (caller, org_id, permissions) in
        [(&platform, &platform_id, json!(["org:*"])), (&tenant.admin, &tenant.org_id, json!(["*"]))]
    {
        let member =
            json!({"issuer": provider.issuer(), "subject": "op", "user_name": "op", "permissions": permissions});
        assert_eq!(caller.at(&app.base()).post(&format!("/orgs/{org_id}/members"), &member).await.status, 200);
    }
    let op = app.caller(&key.sign(&provider.claims("op", app.now_seconds())));
    let org = format!("/orgs/{}", tenant.org_id);
    assert_eq!(op.get(&format!("{org}/api_keys")).await.status, 200, "by the permissions of the membership");
    assert_eq!(op.patch(&org, &json!({"max_api_keys": 5})).await.status, 200, "by the permissions of the platform");
}
