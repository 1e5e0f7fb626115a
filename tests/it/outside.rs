//! Access tokens of identity providers: what proves who somebody is, and what does not.

use harness::{Caller, Provider, SigningKey, Tenant, TestApp, written};
use serde_json::{Value, json};

pub(crate) struct World {
    pub(crate) app: TestApp,
    pub(crate) provider: Provider,
    pub(crate) key: SigningKey,
    pub(crate) tenant: Tenant,
}

/// A service that believes one provider, changed like this, for all tenants.
pub(crate) async fn world(change: impl FnOnce(&mut Value)) -> World {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let mut entry = provider.entry(&json!("tenants"));
    change(&mut entry);
    let providers = written(&json!([entry])).expect("it is right");
    let app = TestApp::start_with(|config| config.providers = providers).await;
    let tenant = app.tenant("Acme").await;
    World { app, provider, key, tenant }
}

impl World {
    pub(crate) fn claims(&self, subject: &str) -> Value {
        self.provider.claims(subject, self.app.second())
    }

    /// The caller with a token that says this.
    pub(crate) fn says(&self, claims: &Value) -> Caller {
        self.app.caller(&self.key.sign(claims))
    }

    /// Makes this user of the provider a member with these permissions. Answers their id.
    pub(crate) async fn join(&self, tenant: &Tenant, subject: &str, permissions: &[&str]) -> String {
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
async fn a_token_speaks_for_a_member() {
    let world = world(|_| ()).await;
    let user = world.join(&world.tenant, "ada", &["api_keys:read"]).await;
    let (ec, rsa) = (SigningKey::p256("k2"), SigningKey::rsa("k3"));
    world.provider.publish(&[&world.key, &ec, &rsa]);
    for key in [&world.key, &ec, &rsa] {
        let ada = world.app.caller(&key.sign(&world.claims("ada")));
        let me = ada.get("/me").await;
        assert_eq!(me.status, 200, "{:?}: {}", key.algorithm, me.text);
        assert_eq!((&me.json()["credential"], &me.json()["user"]["id"]), (&json!("token"), &json!(user)));
        assert_eq!(me.json()["organization"]["permissions"], json!(["api_keys:read"]));
        assert_eq!((&me.json()["api_key"], &me.json()["user"]["email"]), (&Value::Null, &Value::Null));
        assert_eq!(ada.get(&world.keys()).await.status, 200);
        let made = ada.post(&world.keys(), &json!({"name": "n", "permissions": []})).await;
        assert_eq!((made.status, made.header("www-authenticate")), (403, "Bearer error=\"insufficient_scope\""));
        // Outside of organizations they act in the only one that they are a member of.
        assert_eq!(ada.get("/api/auth/api-key/list").await.status, 200);
        assert_eq!(ada.get("/auth/check-key").await.status, 401, "a token is no key");
    }
    // What changes of the membership holds for the next request.
    let member = format!("/orgs/{}/members/{user}", world.tenant.org_id);
    let ada = world.says(&world.claims("ada"));
    let wider = json!({"permissions": ["api_keys:read", "api_keys:write"]});
    assert_eq!(world.tenant.admin.patch(&member, &wider).await.status, 200);
    let made = ada.post(&world.keys(), &json!({"name": "n", "permissions": []})).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let more = ada.post(&world.keys(), &json!({"name": "n", "permissions": ["files:read"]})).await;
    assert_eq!(more.json()["message"], "Nobody can grant more than they hold");
    let own = ada.post("/api/auth/api-key/create", &json!({"name": "own"})).await;
    assert_eq!(own.json()["userId"], json!(user), "{}", own.text);
    let events = world.app.audit(&world.tenant.org_id).await;
    let event = events.iter().rfind(|event| event.action == "api_key.create").expect("it is in the log");
    assert_eq!((event.actor_user.as_str(), event.actor_key.as_str()), (user.as_str(), ""));
    assert_eq!(world.tenant.admin.delete(&member).await.status, 200);
    assert_eq!(ada.get(&world.keys()).await.status, 403);
    assert_eq!(ada.get("/me").await.json()["organizations"], json!([]));
}

#[tokio::test]
async fn a_user_acts_where_they_are_a_member_and_the_provider_reaches() {
    let world = world(|_| ()).await;
    let (app, acme) = (&world.app, &world.tenant);
    let other = app.tenant("Other").await;
    let good = world.claims("ada");
    let place = |tenant: &Tenant| with(&good, "org_id", json!(tenant.org_id));
    let keys = |tenant: &Tenant| format!("/orgs/{}/api_keys", tenant.org_id);
    assert_eq!(status(&world.says(&good)).await, 403, "nobody knows them");
    let user = world.join(acme, "ada", &["api_keys:read"]).await;
    assert_eq!(world.join(&other, "ada", &["api_keys:write"]).await, user, "the same user");
    // Several memberships and no organization named: only where the path names one.
    let ada = world.says(&good);
    let me = ada.get("/me").await.json();
    assert_eq!((&me["organization"], me["organizations"].as_array().map(Vec::len)), (&Value::Null, Some(2)));
    for path in ["/orgs", "/api/auth/api-key/list"] {
        assert_eq!(ada.get(path).await.status, 403, "{path}");
    }
    assert_eq!(ada.post("/api_keys/verify", &json!({"key": "x"})).await.status, 403);
    assert_eq!(ada.get(&keys(acme)).await.status, 200);
    assert_eq!(ada.get(&keys(&other)).await.status, 403, "they may write there, and not read");
    let third = app.tenant("Third").await;
    let unknown = "00000000-0000-7000-8000-000000000000";
    for foreign in [third.org_id.as_str(), unknown, "nonsense"] {
        assert_eq!(ada.get(&format!("/orgs/{foreign}/api_keys")).await.status, 404, "{foreign}");
        assert_eq!(ada.get(&format!("/orgs/{foreign}/members")).await.status, 403, "{foreign}");
    }
    // The organization that a token names is the only one.
    let ada = world.says(&place(acme));
    assert_eq!(ada.get("/me").await.json()["organization"]["id"], json!(acme.org_id));
    assert_eq!((ada.get(&keys(acme)).await.status, ada.get(&keys(&other)).await.status), (200, 404));
    assert_eq!(ada.get("/api/auth/api-key/list").await.status, 200);
    assert_eq!(world.says(&place(&third)).get(&keys(&third)).await.status, 403, "no member");
    // A suspended organization is none.
    let platform = app.platform().await;
    let path = format!("/orgs/{}", acme.org_id);
    assert_eq!(platform.patch(&path, &json!({"suspended": true})).await.status, 200);
    assert_eq!(ada.get(&keys(acme)).await.status, 403);
    assert_eq!(world.says(&good).get("/me").await.json()["organization"]["id"], json!(other.org_id));
    assert_eq!(platform.patch(&path, &json!({"suspended": false})).await.status, 200);
    assert_eq!(ada.get(&keys(acme)).await.status, 200);
}

async fn platform_of(platform: &Caller) -> String {
    let organizations = platform.get("/orgs?limit=1000").await.json();
    let own = organizations.as_array().expect("a list").iter().find(|organization| organization["kind"] == "platform");
    own.expect("the platform")["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn the_platform_is_for_providers_that_name_it() {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let believed = written(&json!([provider.entry(&json!("tenants"))])).expect("it is right");
    let database = TestApp::start_with(|config| config.providers = believed).await;
    let platform = database.platform().await;
    let platform_id = platform_of(&platform).await;
    let tenant = database.tenant("Acme").await;
    let member = json!({"issuer": provider.issuer(), "subject": "op", "user_name": "op", "permissions": ["*"]});
    assert_eq!(platform.post(&format!("/orgs/{platform_id}/members"), &member).await.status, 200);
    let (_, database) = database.stop().await;
    let mut database = Some(database);
    for (organizations, reaches) in
        [(json!("tenants"), false), (json!([tenant.org_id]), false), (json!([]), false), (json!([platform_id]), true)]
    {
        let providers = written(&json!([provider.entry(&organizations)])).expect("it is right");
        let app = TestApp::start_on(database.take().expect("kept"), |config| config.providers = providers).await;
        let op = app.caller(&key.sign(&provider.claims("op", app.second())));
        let places = usize::from(reaches);
        assert_eq!(op.get("/me").await.json()["organizations"].as_array().map(Vec::len), Some(places));
        let path = format!("/orgs/{}/api_keys", tenant.org_id);
        assert_eq!(op.get(&path).await.status, if reaches { 200 } else { 403 }, "{organizations}");
        assert_eq!(op.get("/orgs").await.status, if reaches { 200 } else { 403 }, "{organizations}");
        database = Some(app.stop().await.1);
    }
}

#[tokio::test]
async fn what_a_token_says_about_permissions_narrows_the_membership() {
    let narrow = world(|_| ()).await;
    let authoritative = world(|entry| entry["authoritative"] = json!(true)).await;
    for (world, is_authoritative) in [(&narrow, false), (&authoritative, true)] {
        world.join(&world.tenant, "ada", &["api_keys:read", "files:*"]).await;
        let held = async |said: Value| {
            let me = world.says(&with(&world.claims("ada"), "permissions", said)).get("/me").await;
            me.json()["organization"]["permissions"].clone()
        };
        let unsaid = if is_authoritative { json!([]) } else { json!(["api_keys:read", "files:*"]) };
        assert_eq!(held(Value::Null).await, unsaid);
        assert_eq!(held(json!(["files:read"])).await, json!(["files:read"]));
        assert_eq!(held(json!("files:read files:list")).await, json!(["files:read", "files:list"]));
        assert_eq!(held(json!([])).await, json!([]));
        let wide = if is_authoritative { json!(["*"]) } else { json!(["api_keys:read", "files:*"]) };
        assert_eq!(held(json!(["*"])).await, wide);
        let admin = world.says(&with(&world.claims("ada"), "permissions", json!(["*"])));
        let made = admin.post(&world.keys(), &json!({"name": "n", "permissions": []})).await;
        assert_eq!(made.status, if is_authoritative { 200 } else { 403 });
        // Whether somebody is a member is never for a provider to say.
        let eve = world.says(&with(&world.claims("eve"), "permissions", json!(["*"])));
        assert_eq!(eve.get(&world.keys()).await.status, 403);
    }
}

#[tokio::test]
async fn who_is_of_the_platform_and_of_a_tenant_acts_as_what_is_enough() {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let mut entry = provider.entry(&json!("tenants"));
    let believed = |entry: &Value| written(&json!([entry])).expect("it is right");
    let before = believed(&entry);
    let app = TestApp::start_with(|config| config.providers = before).await;
    let (platform, tenant) = (app.platform().await, app.tenant("Acme").await);
    let platform_id = platform_of(&platform).await;
    for (caller, org_id, permissions) in
        [(&platform, &platform_id, json!(["org:*"])), (&tenant.admin, &tenant.org_id, json!(["*"]))]
    {
        let member =
            json!({"issuer": provider.issuer(), "subject": "op", "user_name": "op", "permissions": permissions});
        assert_eq!(caller.post(&format!("/orgs/{org_id}/members"), &member).await.status, 200);
    }
    let (_, database) = app.stop().await;
    entry["organizations"] = json!([platform_id, tenant.org_id]);
    let app = TestApp::start_on(database, |config| config.providers = believed(&entry)).await;
    let op = app.caller(&key.sign(&provider.claims("op", app.second())));
    let org = format!("/orgs/{}", tenant.org_id);
    assert_eq!(op.get(&format!("{org}/api_keys")).await.status, 200, "as a member");
    assert_eq!(op.patch(&org, &json!({"max_api_keys": 5})).await.status, 200, "as the platform");
}
