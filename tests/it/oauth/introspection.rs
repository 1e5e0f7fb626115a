//! Introspection of keys and tokens (RFC 7662).

use domain::keys::quota::{Quota, RateLimit};
use harness::{Caller, KeySpec, TestApp};
use serde_json::{Value, json};

use crate::oauth::requests::{INTROSPECT, assert_error, post};

pub(crate) async fn introspect(caller: &Caller, token: &str) -> Value {
    introspect_with(caller, token, "").await
}

async fn introspect_with(caller: &Caller, token: &str, cost: &str) -> Value {
    let answer = post(caller, INTROSPECT, &[("token", token), ("token_type_hint", "anything"), ("cost", cost)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    if answer.json()["active"] == false {
        assert_eq!(answer.text, r#"{"active":false}"#);
    }
    answer.json()
}

pub(crate) async fn is_active(caller: &Caller, token: &str) -> bool {
    introspect(caller, token).await["active"] == true
}

#[tokio::test]
async fn an_active_key_has_what_verify_would_show() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let new = json!({
        "name": "Reader", "permissions": ["files:read", "write"], "external_id": "customer-1", "metadata": {"plan": "pro"},
        "remaining": 5, "expires_at": "2026-11-22T08:00:00Z",
    });
    let made = tenant.admin.post(&tenant.keys(), &new).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let key = made.json();
    let found = introspect(&tenant.admin, key["key"].as_str().expect("a secret")).await;
    let expected = json!({
        "active": true, "scope": "files:read write", "client_id": key["id"], "sub": key["id"], "token_type": "Bearer",
        "exp": app.now_seconds() + 86_400, "iat": app.now_seconds(), "iss": "https://keys.example", "org_id": tenant.org_id,
        "key_id": key["id"], "external_id": "customer-1", "name": "Reader", "metadata": {"plan": "pro"}, "remaining": 5,
    });
    assert_eq!(found, expected);
    // A user's key: the user is the subject, and bounds the permissions.
    app.change_memberships("files:read api_keys:verify").await;
    let user = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["*"]) };
    let (_, secret) = app.key(&tenant.org_id, user).await;
    let found = introspect(&app.caller(&secret), &secret).await;
    assert_eq!((&found["sub"], &found["scope"]), (&json!(tenant.user_id), &json!("files:read api_keys:verify")));
    assert_eq!((found.get("exp"), found.get("aud"), found.get("remaining")), (None, None, None));
}

#[tokio::test]
async fn whatever_is_not_valid_is_only_inactive() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let platform = app.platform().await;
    let key = async |spec: KeySpec| app.key(&tenant.org_id, spec).await.1;
    let with = || KeySpec::with(&["files:read"]);
    let good = key(with()).await;
    assert!(is_active(&tenant.admin, &good).await && is_active(&platform, &good).await);
    let exhausted = Quota { remaining: Some(0), ..Quota::default() };
    let restricted = json!({"name": "n", "permissions": [], "allowed_addresses": ["127.0.0.1"]});
    let restricted = tenant.admin.post(&tenant.keys(), &restricted).await.json();
    let (deleted_id, deleted) = app.key(&tenant.org_id, with()).await;
    assert_eq!(tenant.admin.delete(&format!("{}/{deleted_id}", tenant.keys())).await.status, 200);
    for (what, secret) in [
        ("nonsense", "nonsense".to_owned()),
        ("a long text", "x".repeat(60_000)),
        ("a JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln".to_owned()),
        ("a long JWT", format!("e.{}.x", "x".repeat(60_000))),
        ("disabled", key(KeySpec { enabled: false, ..with() }).await),
        ("expired", key(KeySpec { expires_in: Some(0), ..with() }).await),
        ("without a member", key(KeySpec { user_id: Some(other.user_id.clone()), ..with() }).await),
        ("without uses", key(KeySpec { quota: exhausted, ..with() }).await),
        ("restricted to addresses", restricted["key"].as_str().expect("a secret").to_owned()),
        ("deleted", deleted),
        ("of another organization", app.key(&other.org_id, with()).await.1),
    ] {
        assert!(!is_active(&tenant.admin, &secret).await, "{what}");
    }
    assert!(!is_active(&other.admin, &good).await);
    let suspend = json!({"suspended": true});
    assert_eq!(platform.patch(&format!("/orgs/{}", tenant.org_id), &suspend).await.status, 200);
    assert!(!is_active(&platform, &good).await, "of a suspended organization");
    let refused = post(&tenant.admin, INTROSPECT, &[("token", &good)]).await;
    assert_error(&refused, 401, "invalid_token");
    assert_eq!(platform.patch(&format!("/orgs/{}", tenant.org_id), &json!({"suspended": false})).await.status, 200);
    let gone = format!("/orgs/{0}?confirm={0}", tenant.org_id);
    assert_eq!(platform.delete(&gone).await.status, 200);
    assert!(!is_active(&platform, &good).await, "of a deleted organization");
}

#[tokio::test]
async fn uses_are_counted_only_with_a_cost() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let limit = RateLimit { max: 2, window: 60_000 };
    let quota = Quota { remaining: Some(10), rate_limit: Some(limit), ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    for _ in 0..5 {
        for cost in ["", "0"] {
            assert_eq!(introspect_with(&tenant.admin, &key, cost).await["remaining"], 10);
        }
    }
    let stored = async || {
        let key = tenant.admin.get(&format!("{}/{id}", tenant.keys())).await.json();
        (key["remaining"].clone(), key["request_count"].clone())
    };
    assert_eq!(stored().await, (json!(10), json!(0)));
    assert_eq!(introspect_with(&tenant.admin, &key, "4").await["remaining"], 6);
    assert_eq!(introspect_with(&tenant.admin, &key, "7").await, json!({"active": false}), "more than it has left");
    assert_eq!(introspect_with(&tenant.admin, &key, "6").await["remaining"], 0);
    assert_eq!(stored().await, (json!(0), json!(2)));
    assert!(!is_active(&tenant.admin, &key).await, "the key has no uses left");
    let more = tenant.admin.patch(&format!("{}/{id}", tenant.keys()), &json!({"remaining": 3})).await;
    assert_eq!(more.status, 200, "{}", more.text);
    assert!(!is_active(&tenant.admin, &key).await, "the rate limit is reached");
    app.clock.advance_seconds(60);
    assert!(is_active(&tenant.admin, &key).await);
    for wrong in ["-1", "1.5", "x", "9007199254740992", "99999999999999999999"] {
        let answer = post(&tenant.admin, INTROSPECT, &[("token", &key), ("cost", wrong)]).await;
        let description = assert_error(&answer, 400, "invalid_request");
        assert!(description.starts_with("cost "), "{description}");
    }
}

#[tokio::test]
async fn short_lived_tokens_are_introspected() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let platform = app.platform().await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:*"])).await;
    let body = json!({"audience": "storage", "permissions": ["files:read"], "ttl_seconds": 60});
    let token =
        async || app.caller(&key).post("/tokens", &body).await.json()["token"].as_str().expect("a token").to_owned();
    let one = token().await;
    let found = introspect(&tenant.admin, &one).await;
    let (issued, expires) = (app.now_seconds(), app.now_seconds() + 60);
    assert_eq!(
        json!([
            found["active"],
            found["scope"],
            found["client_id"],
            found["aud"],
            found["iss"],
            found["iat"],
            found["exp"]
        ]),
        json!([true, "files:read", id, "storage", "https://keys.example", issued, expires])
    );
    assert_eq!((&found["sub"], &found["org_id"], &found["key_id"]), (&json!(id), &json!(tenant.org_id), &json!(id)));
    assert!(found["jti"].is_string());
    assert!(is_active(&platform, &one).await && !is_active(&other.admin, &one).await);
    let (head, signature) = one.rsplit_once('.').expect("a JWT");
    let (header, claims) = head.split_once('.').expect("a JWT");
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    for forged in [
        format!("{head}.{flipped}{}", &signature[1..]),
        format!("{header}.{claims}."),
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("{claims}.{header}.{signature}"),
    ] {
        assert!(!is_active(&tenant.admin, &forged).await, "{forged}");
    }
    // Sessions and lists of revoked tokens are signed, too, and are no tokens.
    let session = app.caller(&key).post("/session", &json!({})).await;
    let session = session.cookie().split_once('=').expect("a cookie").1.to_owned();
    let list = app.anyone().get("/.well-known/revoked").await.text;
    assert!(!is_active(&tenant.admin, &session).await && !is_active(&tenant.admin, &list).await);
    let change = async |body: Value| {
        let answer = tenant.admin.patch(&format!("{}/{id}", tenant.keys()), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    change(json!({"enabled": false})).await;
    assert!(!is_active(&tenant.admin, &one).await, "the key is disabled");
    change(json!({"enabled": true})).await;
    assert!(is_active(&tenant.admin, &one).await);
    change(json!({"permissions": ["files:write"]})).await;
    assert!(!is_active(&tenant.admin, &one).await, "the key no longer has the permission");
    change(json!({"permissions": ["files:read"]})).await;
    app.clock.advance_seconds(59);
    assert!(is_active(&tenant.admin, &one).await);
    app.clock.advance_seconds(1);
    assert!(!is_active(&tenant.admin, &one).await, "expired");
}

#[tokio::test]
async fn keys_are_introspected_without_a_signing_key() {
    let app = TestApp::start_with(|config| {
        config.signing_key_file = None;
        config.public_url = None;
    })
    .await;
    let tenant = app.tenant("Acme").await;
    let found = introspect(&tenant.admin, tenant.admin.bearer()).await;
    assert_eq!((&found["active"], found.get("iss")), (&json!(true), None));
}
