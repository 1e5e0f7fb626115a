//! Restrictions of keys: allowed addresses, `not_before`, and the cost of a use.

use api::http::client_ip::TrustedProxies;
use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

async fn create(tenant: &Tenant, body: Value) -> Answer {
    let mut whole = json!({"name": "n", "permissions": ["*"]});
    whole.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
    tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &whole).await
}

async fn made(tenant: &Tenant, body: Value) -> (String, String) {
    let made = create(tenant, body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let text = |name: &str| made.json()[name].as_str().expect("a text").to_owned();
    (text("id"), text("key"))
}

async fn verify(caller: &Caller, key: &str, ip: Option<&str>) -> String {
    let context = ip.map_or_else(|| json!({}), |ip| json!({"ip": ip}));
    let native = json!({"key": key, "context": context});
    let answers = [
        caller.post("/api_keys/verify", &native).await.json()["code"].clone(),
        // Not on the fast path.
        caller.post("/api_keys/verify?explain=true", &native).await.json()["code"].clone(),
        caller.post("/api_keys/verify_batch", &json!({"keys": [native]})).await.json()["results"][0]["code"].clone(),
    ];
    let athena = caller.post("/api/auth/api-key/verify", &native).await.json();
    let athena = if athena["valid"] == true { json!("VALID") } else { athena["error"]["code"].clone() };
    assert!(answers.iter().all(|code| *code == athena), "{answers:?} {athena}");
    athena.as_str().expect("a code").to_owned()
}

#[tokio::test]
async fn a_key_is_valid_from_its_allowed_addresses_only() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let networks = json!({"allowed_addresses": ["203.0.113.0/24", "2001:db8::/32", "::ffff:198.51.100.7"]});
    let (id, key) = made(&tenant, networks).await;
    for (ip, code) in [
        (Some("203.0.113.9"), "VALID"),
        (Some("::ffff:203.0.113.9"), "VALID"),
        (Some("2001:db8:1::1"), "VALID"),
        (Some("198.51.100.7"), "VALID"),
        (Some("198.51.100.8"), "ADDRESS_NOT_ALLOWED"),
        (Some("2001:db9::1"), "ADDRESS_NOT_ALLOWED"),
        (None, "ADDRESS_NOT_ALLOWED"),
    ] {
        assert_eq!(verify(&tenant.admin, &key, ip).await, code, "{ip:?}");
    }
    let path = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    let shown = tenant.admin.get(&path).await.json()["allowed_addresses"].clone();
    assert_eq!(shown, json!(["203.0.113.0/24", "2001:db8::/32", "198.51.100.7/32"]));
    assert_eq!(tenant.admin.patch(&path, &json!({"allowed_addresses": null})).await.status, 200);
    assert_eq!(verify(&tenant.admin, &key, None).await, "VALID");
    for wrong in [json!([]), json!(["10.0.0.1/8"]), json!(["here"]), json!("10.0.0.1"), json!(vec!["10.0.0.1"; 65])] {
        let body = json!({"allowed_addresses": wrong});
        for answer in [create(&tenant, body.clone()).await, tenant.admin.patch(&path, &body).await] {
            assert_eq!((answer.status, answer.wrong_fields()), (400, vec!["allowed_addresses".to_owned()]), "{body}");
        }
    }
    let wrong = create(&tenant, json!({"allowed_addresses": ["10.0.0.1/8"]})).await;
    let expected = "must contain networks without bits after the prefix: 10.0.0.0/8, not 10.0.0.1/8";
    assert_eq!(wrong.json()["fields"]["allowed_addresses"], expected);
}

#[tokio::test]
async fn allowed_addresses_apply_to_the_client_behind_trusted_proxies() {
    let trusted = || TrustedProxies(vec!["127.0.0.0/8".parse().expect("a network")]);
    let app = TestApp::start_with(|config| config.trusted_proxies = trusted()).await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = made(&tenant, json!({"allowed_addresses": ["203.0.113.0/24"]})).await;
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    for (forwarded, status) in [
        ("203.0.113.9", 200),
        ("::ffff:203.0.113.9", 200),
        ("198.51.100.1", 401),
        // Addresses before the last one were sent by the client, and are not trusted.
        ("203.0.113.9, 198.51.100.1", 401),
        ("198.51.100.1, 203.0.113.9", 200),
        ("nonsense", 401),
    ] {
        let caller = app.caller(&key).with("x-forwarded-for", forwarded);
        assert_eq!(caller.get(&path).await.status, status, "{forwarded}");
        // The fast path of verification makes the same decision.
        let question = json!({"key": key, "context": {"ip": "203.0.113.1"}});
        assert_eq!(caller.post("/api_keys/verify", &question).await.status, status, "{forwarded}");
        let check = caller.get("/auth/check-key").await;
        assert_eq!(check.status, status, "{forwarded}");
    }
    assert_eq!(app.caller(&key).get(&path).await.status, 401, "the address of the proxy itself");
    // The allowed addresses apply to sessions of the key.
    let inside = app.caller(&key).with("x-forwarded-for", "203.0.113.9");
    let session = inside.post("/session", &json!({})).await;
    assert_eq!(session.status, 200, "{}", session.text);
    let browser = app.anyone().with("cookie", session.cookie()).with("sec-fetch-site", "same-origin");
    assert_eq!(browser.with("x-forwarded-for", "203.0.113.77").get(&path).await.status, 200);
    assert_eq!(browser.with("x-forwarded-for", "198.51.100.1").get(&path).await.status, 401);
    // It cannot be exchanged for a token, which would be valid everywhere.
    assert_eq!(inside.post("/tokens", &json!({"permissions": [], "expires_in": 60})).await.status, 403);
}

#[tokio::test]
async fn the_client_is_found_in_every_form_of_a_forwarding_header() {
    let trusted = || TrustedProxies(vec!["127.0.0.0/8".parse().expect("a network")]);
    let app = TestApp::start_with(|config| config.trusted_proxies = trusted()).await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = made(&tenant, json!({"allowed_addresses": ["203.0.113.9", "2001:db8::7"]})).await;
    let path = tenant.keys();
    for (headers, status) in [
        (&[("x-forwarded-for", "[2001:db8::7]")][..], 200),
        (&[("x-forwarded-for", "\"[2001:db8::7]:4711\",")], 200),
        (&[("x-forwarded-for", "203.0.113.9:4711, ,")], 200),
        (&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.9")], 200),
        (&[("x-forwarded-for", "203.0.113.9, unknown")], 401),
        (&[("forwarded", "for=6.6.6.6, For=\"[2001:db8::7]:4711\";proto=https")], 200),
        (&[("forwarded", "by=_proxy;for=203.0.113.9")], 200),
        (&[("forwarded", "for=6.6.6.6"), ("forwarded", "for=\"203.0.113.9:_x\"")], 200),
        (&[("forwarded", "for=203.0.113.9, for=_hidden")], 401),
        (&[("forwarded", "for=unknown")], 401),
        (&[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "203.0.113.9")], 200),
        (&[("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "6.6.6.6")], 401),
    ] {
        let caller = headers.iter().fold(app.caller(&key), |caller, (name, value)| caller.with(name, value));
        assert_eq!(caller.get(&path).await.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn forwarded_addresses_are_ignored_without_trusted_proxies() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    let (_, elsewhere) = made(&tenant, json!({"allowed_addresses": ["203.0.113.0/24"]})).await;
    let forged = app.caller(&elsewhere).with("x-forwarded-for", "203.0.113.9");
    assert_eq!(forged.get(&path).await.status, 401);
    let (_, here) = made(&tenant, json!({"allowed_addresses": ["127.0.0.1"]})).await;
    assert_eq!(app.caller(&here).with("x-forwarded-for", "203.0.113.9").get(&path).await.status, 200);
}

#[tokio::test]
async fn a_key_with_allowed_addresses_creates_only_keys_within_them() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (own, key) = made(&tenant, json!({"allowed_addresses": ["127.0.0.0/8"]})).await;
    let bound = Tenant { admin: app.caller(&key), ..tenant };
    let inherited = create(&bound, json!({})).await.json();
    assert_eq!(inherited["allowed_addresses"], json!(["127.0.0.0/8"]));
    for (addresses, status) in
        [(json!(["127.0.0.1", "127.1.0.0/16"]), 200), (json!(["10.0.0.1"]), 403), (json!(["0.0.0.0/0"]), 403)]
    {
        assert_eq!(create(&bound, json!({"allowed_addresses": addresses})).await.status, status, "{addresses}");
        let path = format!("/orgs/{}/api_keys/{}", bound.org_id, inherited["id"].as_str().expect("an id"));
        assert_eq!(bound.admin.patch(&path, &json!({"allowed_addresses": addresses})).await.status, status);
        assert_eq!(bound.admin.patch(&path, &json!({"allowed_addresses": null})).await.status, 403);
    }
    let (free, _) = app.key(&bound.org_id, KeySpec::with(&["files:read"])).await;
    let rotate = format!("/orgs/{}/api_keys/{free}/rotate", bound.org_id);
    assert_eq!(bound.admin.post(&rotate, &json!({"grace_seconds": 0})).await.status, 403);
    let itself = format!("/orgs/{}/api_keys/{own}", bound.org_id);
    assert_eq!(bound.admin.patch(&itself, &json!({"allowed_addresses": null})).await.status, 403);
    assert_eq!(bound.admin.patch(&itself, &json!({"allowed_addresses": ["127.0.0.1", "10.0.0.1"]})).await.status, 403);
    assert_eq!(bound.admin.patch(&itself, &json!({"allowed_addresses": ["127.0.0.1"]})).await.status, 200);
}

#[tokio::test]
async fn a_key_is_invalid_before_not_before() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = made(&tenant, json!({"not_before": "2026-11-21T08:00:10Z", "remaining": 1})).await;
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    assert_eq!(verify(&tenant.admin, &key, None).await, "KEY_NOT_YET_VALID");
    assert_eq!(app.caller(&key).get(&path).await.status, 401);
    app.clock.advance_seconds(10);
    assert_eq!(app.caller(&key).get(&path).await.status, 200);
    assert_eq!(tenant.admin.post("/api_keys/verify", &json!({"key": key})).await.json()["code"], "VALID");
    assert_eq!(verify(&tenant.admin, &key, None).await, "USAGE_EXCEEDED", "the key had one use until now");
    // A key that would never be valid is refused.
    let one = format!("{path}/{id}");
    let late = json!({"not_before": "2027-01-02T00:00:00Z", "expires_at": "2027-01-02T00:00:00Z"});
    assert_eq!(create(&tenant, late.clone()).await.status, 400);
    assert_eq!(tenant.admin.patch(&one, &late).await.status, 400);
    assert_eq!(tenant.admin.patch(&one, &json!({"expires_at": "2027-01-02T00:00:00Z"})).await.status, 200);
    assert_eq!(tenant.admin.patch(&one, &json!({"not_before": "2027-01-02T00:00:00Z"})).await.status, 400);
    assert_eq!(tenant.admin.patch(&one, &json!({"not_before": "2027-01-01T00:00:00Z"})).await.status, 200);
    assert_eq!(verify(&tenant.admin, &key, None).await, "KEY_NOT_YET_VALID");
    assert_eq!(tenant.admin.patch(&one, &json!({"not_before": null})).await.status, 200);
    let far = create(&tenant, json!({"not_before": "2036-11-20T00:00:00Z"})).await;
    assert_eq!(far.wrong_fields(), ["not_before"], "more than ten years ahead");
}

#[tokio::test]
async fn a_use_takes_the_requested_cost() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let limits = json!({"remaining": 10, "rate_limit_max": 4, "rate_limit_window": 60_000});
    let (_, key) = made(&tenant, limits).await;
    let ask = async |cost: Value| {
        let answer = tenant.admin.post("/api_keys/verify", &json!({"key": key, "cost": cost})).await.json();
        (answer["code"].as_str().unwrap_or_default().to_owned(), answer["remaining"].clone())
    };
    let explained = async |cost: u64| {
        let question = json!({"key": key, "cost": cost});
        tenant.admin.post("/api_keys/verify?explain=true", &question).await.json()["code"].clone()
    };
    assert_eq!(ask(json!(7)).await, ("VALID".to_owned(), json!(3)));
    assert_eq!(explained(4).await, "USAGE_EXCEEDED");
    assert_eq!(ask(json!(4)).await, ("USAGE_EXCEEDED".to_owned(), json!(3)), "a denied use takes nothing");
    assert_eq!(explained(3).await, "VALID");
    assert_eq!(ask(json!(3)).await, ("VALID".to_owned(), json!(0)));
    assert_eq!(ask(json!(1)).await, ("USAGE_EXCEEDED".to_owned(), json!(0)));
    assert_eq!(ask(json!(0)).await, ("VALID".to_owned(), json!(0)), "a use that costs 0 needs no remaining uses");
    assert_eq!(ask(Value::Null).await.0, "USAGE_EXCEEDED", "the default cost is 1");
    assert_eq!(ask(json!(0)).await.0, "VALID");
    assert_eq!(ask(json!(0)).await.0, "RATE_LIMITED", "each use counts as one in the window");
    for wrong in [json!(-1), json!(1.5), json!("1"), json!(9_007_199_254_740_992_u64)] {
        let answer = tenant.admin.post("/api_keys/verify", &json!({"key": key, "cost": wrong})).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec!["cost".to_owned()]), "{wrong}");
    }
    // Concurrent uses with different costs: the admitted cost is what was taken, and less than the highest cost is left.
    let (id, key) = made(&tenant, json!({"remaining": 100})).await;
    let questions: Vec<Value> = (0..60).map(|n| json!({"key": key, "cost": 1 + n % 3})).collect();
    let asked = questions.iter().map(|question| tenant.admin.post("/api_keys/verify", question));
    let answers = futures_util::future::join_all(asked).await;
    let spent: u64 = questions
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.json()["valid"] == true)
        .map(|(question, _)| question["cost"].as_u64().expect("a number"))
        .sum();
    let path = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    let left = tenant.admin.get(&path).await.json()["remaining"].as_u64().expect("a number");
    assert_eq!(spent + left, 100);
    assert!(left < 3, "uses are admitted while enough remains: {left}");
}
