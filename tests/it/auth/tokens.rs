//! Short-lived tokens, verified as by a service that does not call Claviger.

use std::collections::BTreeSet;

use harness::{Caller, KeySpec, Tenant, TestApp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};

/// A service that verifies tokens as the documents describe.
pub(crate) struct Checker<'a>(pub(crate) &'a TestApp);

impl Checker<'_> {
    /// The claims of a token of this type, if it is signed and has not expired.
    pub(crate) async fn claims(&self, token: &str, kind: &str) -> Value {
        let published = self.0.anyone().get("/.well-known/jwks.json").await;
        let keys: JwkSet = serde_json::from_str(&published.text).expect("a JWK set");
        let header = decode_header(token).expect("a header");
        assert_eq!((header.typ.as_deref(), header.alg), (Some(kind), Algorithm::EdDSA));
        let key = keys.find(header.kid.as_deref().expect("a name")).expect("a published key");
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&["https://keys.example"]);
        // The library uses the real clock.
        validation.required_spec_claims = ["iss".to_owned()].into();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let key = DecodingKey::from_jwk(key).expect("a key");
        let claims: Value = decode(token, &key, &validation).expect("a valid token").claims;
        assert!(claims["exp"].as_i64().expect("an expiry") > self.0.now_seconds(), "{claims}");
        claims
    }

    /// The revoked families. No organization is named as a whole.
    pub(crate) async fn revoked(&self) -> BTreeSet<String> {
        let (families, organizations) = self.revoked_of_all().await;
        assert_eq!(organizations, BTreeSet::new());
        families
    }

    /// The revoked families, and the organizations whose tokens are all revoked.
    pub(crate) async fn revoked_of_all(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        // The list is made four times a second.
        self.0.clock.advance_seconds(1);
        let answer = self.0.anyone().get("/.well-known/revoked").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/jwt"), "{}", answer.text);
        let claims = self.claims(&answer.text, "revoked+jwt").await;
        assert_eq!(
            claims["exp"].as_i64().expect("an expiry") - self.0.now_seconds(),
            10,
            "the list expires after 10 seconds"
        );
        let names = |claim: &str| {
            let names = claims[claim].as_array().expect("a list");
            names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
        };
        (names("revoked"), names("revoked_organizations"))
    }

    pub(crate) async fn family(&self, token: &Value) -> String {
        let token = token["token"].as_str().expect("a token");
        let claims = self.claims(token, "at+jwt").await;
        claims["family"].as_str().expect("a name").to_owned()
    }
}

pub(crate) async fn token(caller: &Caller, body: &Value) -> Value {
    let answer = caller.post("/tokens", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_key_can_be_exchanged_for_a_verifiable_token() {
    let app = TestApp::start().await;
    let (tenant, checker) = (app.tenant("Acme").await, Checker(&app));
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read", "files:write"])).await;
    let caller = app.caller(&key);
    let made = token(&caller, &json!({"audience": "storage", "permissions": ["files:read"], "ttl_seconds": 60})).await;
    assert_eq!((&made["token_type"], &made["permissions"]), (&json!("Bearer"), &json!(["files:read"])));
    assert_eq!(made["expires_at"], "2026-11-21T08:01:00.250Z");
    let text = made["token"].as_str().expect("a token");
    let claims = checker.claims(text, "at+jwt").await;
    assert_eq!(
        (&claims["aud"], &claims["scope"], &claims["client_id"], &claims["sub"], &claims["org_id"]),
        (&json!("storage"), &json!("files:read"), &json!(id), &json!(id), &json!(tenant.org_id))
    );
    assert_eq!(
        (claims["iat"].as_i64(), claims["exp"].as_i64()),
        (Some(app.now_seconds()), Some(app.now_seconds() + 60))
    );
    assert!(!text.contains(&key) && claims["family"] != claims["jti"]);
    let all = token(&caller, &json!({"audience": "storage"})).await;
    assert_eq!(
        (&all["permissions"], &all["expires_at"]),
        (&json!(["files:read", "files:write"]), &json!("2026-11-21T08:05:00.250Z"))
    );
    let again = token(&caller, &json!({"audience": "other", "permissions": ["files:read"]})).await;
    let families = [checker.family(&made).await, checker.family(&again).await, checker.family(&all).await];
    assert!(
        families[0] == families[1] && families[1] != families[2],
        "tokens with the same permissions are one family"
    );
    assert_eq!(checker.revoked().await, BTreeSet::new());
    // A user's key: the user is the subject, and bounds the permissions.
    let user = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["*"]) };
    app.change_memberships("files:read api_keys:write").await;
    let (_, key) = app.key(&tenant.org_id, user).await;
    let made = token(&app.caller(&key), &json!({"audience": "storage"})).await;
    assert_eq!(made["permissions"], json!(["files:read", "api_keys:write"]));
    let claims = checker.claims(made["token"].as_str().expect("a token"), "at+jwt").await;
    assert_eq!(claims["sub"], json!(tenant.user_id));
}

#[tokio::test]
async fn invalid_token_requests_are_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let body = json!({"audience": "storage"});
    let with = async |spec: KeySpec| app.caller(&app.key(&tenant.org_id, spec).await.1);
    let plain = with(KeySpec::with(&["files:read"])).await;
    for (field, value) in [
        ("audience", json!("")),
        ("audience", json!("a".repeat(256))),
        ("audience", json!("a\u{0}")),
        ("audience", Value::Null),
        ("audience", json!(["storage"])),
        ("ttl_seconds", json!(0)),
        ("ttl_seconds", json!(901)),
        ("ttl_seconds", json!(-1)),
        ("ttl_seconds", json!(1.5)),
        ("permissions", json!("files:read")),
        ("permissions", json!(["a:b:c"])),
        ("permissions", json!((0..200).map(|n| format!("files:{n:030}")).collect::<Vec<_>>())),
        ("aud", json!("storage")),
    ] {
        let mut wrong = body.clone();
        wrong[field] = value.clone();
        let answer = plain.post("/tokens", &wrong).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field.to_owned()]), "{value}: {}", answer.text);
    }
    let more = plain.post("/tokens", &json!({"audience": "a", "permissions": ["files:write"]})).await;
    assert_eq!((more.status, &more.json()["reason"]), (403, &json!("exceeds_permissions")));
    let quota = domain::keys::quota::Quota { remaining: Some(3), ..domain::keys::quota::Quota::default() };
    let metered = with(KeySpec { quota, ..KeySpec::with(&["files:read"]) }).await;
    for (refused, reason) in
        [(metered, "metered_key_not_exchangeable"), (app.platform().await, "platform_key_not_exchangeable")]
    {
        let answer = refused.post("/tokens", &body).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (403, &json!(reason)), "{}", answer.text);
    }
    // The permissions of a key can be too many for a token.
    let wide = (0..200).map(|n| format!("files:{n:030}")).collect::<Vec<_>>();
    let wide = with(KeySpec::with(&wide.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let answer = wide.post("/tokens", &body).await;
    assert_eq!((answer.status, answer.wrong_fields()), (400, vec!["permissions".to_owned()]));
    // It expires no later than the key.
    let short = with(KeySpec { expires_in: Some(30), ..KeySpec::with(&[]) }).await;
    assert_eq!(token(&short, &body).await["expires_at"], "2026-11-21T08:00:30.250Z");
    // The number of families is limited.
    let many = with(KeySpec::with(&["*"])).await;
    for n in 0..100 {
        token(&many, &json!({"audience": "a", "permissions": [format!("files:{n}")]})).await;
    }
    let next = json!({"audience": "a", "permissions": ["files:100"]});
    assert_eq!(many.post("/tokens", &next).await.status, 409);
    token(&many, &json!({"audience": "a", "permissions": ["files:7"]})).await;
    app.clock.advance_seconds(361);
    token(&many, &next).await;
}

/// A new key with a token. Returns the key's id and the token's family.
async fn family(app: &TestApp, tenant: &Tenant, spec: KeySpec) -> (String, String) {
    let (id, key) = app.key(&tenant.org_id, spec).await;
    let made = token(&app.caller(&key), &json!({"audience": "a", "permissions": ["files:read"]})).await;
    (id, Checker(app).family(&made).await)
}

#[tokio::test]
async fn tokens_are_revoked_with_their_key() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (checker, platform) = (Checker(&app), app.platform().await);
    let org = format!("/orgs/{}", tenant.org_id);
    let plain = || KeySpec::with(&["files:*"]);
    let of_user = |user: &str| KeySpec { user_id: Some(user.to_owned()), ..KeySpec::with(&["*"]) };
    let revoked = async |family: &str| {
        let list = checker.revoked().await;
        let is_there = list.contains(family);
        assert_eq!(list.len(), usize::from(is_there), "no other family is revoked: {list:?}");
        is_there
    };
    let update = async |id: &str, what: Value| {
        let mut body = what;
        body["keyId"] = json!(id);
        let answer = tenant.admin.post("/api/auth/api-key/update", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    let (_, unaffected) = family(&app, &other, plain()).await;

    let (id, tokens) = family(&app, &tenant, plain()).await;
    assert!(!revoked(&tokens).await);
    assert_eq!(tenant.admin.delete(&format!("{org}/api_keys/{id}")).await.status, 200);
    assert!(revoked(&tokens).await, "deleted");
    app.clock.advance_seconds(361);
    let revoked = async |family: &str| {
        let list = checker.revoked().await;
        assert!(!list.contains(&unaffected));
        list.contains(family)
    };
    assert!(!revoked(&tokens).await, "expired tokens are not listed");

    let (id, tokens) = family(&app, &tenant, plain()).await;
    update(&id, json!({"enabled": false})).await;
    assert!(revoked(&tokens).await, "disabled");
    update(&id, json!({"enabled": true})).await;
    assert!(!revoked(&tokens).await);
    update(&id, json!({"permissions": {"files": ["write"]}})).await;
    assert!(revoked(&tokens).await, "narrowed");
    update(&id, json!({"permissions": {"files": ["read"]}})).await;
    assert!(!revoked(&tokens).await, "the key has the permissions of the tokens");
    update(&id, json!({"remaining": 5})).await;
    assert!(revoked(&tokens).await, "metered");
    let (id, tokens) = family(&app, &tenant, plain()).await;
    update(&id, json!({"expiresIn": 10})).await;
    assert!(!revoked(&tokens).await);
    app.clock.advance_seconds(10);
    assert!(revoked(&tokens).await, "expired");

    // Permission sets.
    let set = json!({"name": "files", "permissions": ["files:read"]});
    let set = tenant.admin.post(&format!("{org}/permission_sets"), &set).await.json();
    let set_path = format!("{org}/permission_sets/{}", set["id"].as_str().expect("an id"));
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let attach = json!({"permission_sets": [set["id"]]});
    assert_eq!(tenant.admin.put(&format!("{org}/api_keys/{id}/permission_sets"), &attach).await.status, 200);
    let made = token(&app.caller(&key), &json!({"audience": "a"})).await;
    let tokens = checker.family(&made).await;
    assert!(!revoked(&tokens).await);
    assert_eq!(tenant.admin.patch(&set_path, &json!({"permissions": []})).await.status, 200);
    assert!(revoked(&tokens).await, "the permission set was narrowed");

    // Members.
    let member = json!({"user_email": "m@example.com", "user_name": "M", "permissions": ["files:read"]});
    let user = tenant.admin.post(&format!("{org}/members"), &member).await.json();
    let user = user["user_id"].as_str().expect("an id");
    let (_, tokens) = family(&app, &tenant, of_user(user)).await;
    let member = format!("{org}/members/{user}");
    assert!(!revoked(&tokens).await);
    assert_eq!(tenant.admin.patch(&member, &json!({"permissions": []})).await.status, 200);
    assert!(revoked(&tokens).await, "the membership was narrowed");
    assert_eq!(tenant.admin.patch(&member, &json!({"permissions": ["files:*"]})).await.status, 200);
    assert!(!revoked(&tokens).await);
    assert_eq!(tenant.admin.delete(&member).await.status, 200);
    assert!(revoked(&tokens).await, "the user is not a member any more");

    // Organizations.
    let (_, tokens) = family(&app, &tenant, plain()).await;
    assert_eq!(platform.patch(&org, &json!({"suspended": true})).await.status, 200);
    assert!(revoked(&tokens).await, "suspended");
    assert_eq!(platform.patch(&org, &json!({"suspended": false})).await.status, 200);
    assert!(!revoked(&tokens).await);
    let gone = format!("{org}?confirm={}", tenant.org_id);
    assert_eq!(platform.delete(&gone).await.status, 200);
    assert!(revoked(&tokens).await, "removed");

    // Another node has the same list.
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    assert!(Checker(&app).revoked().await.contains(&tokens));
}
