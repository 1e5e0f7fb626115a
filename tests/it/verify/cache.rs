//! The key cache is never wrong: a change takes effect for the next verification, for the verified key and for the caller's
//! key, and on PostgreSQL also on the other nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use harness::{Caller, Flow, KeySpec, TestApp, TestDatabase, binary, cluster::Node, wait_until, wait_until_refused};
use serde_json::{Value, json};

/// The default of the staleness bound.
const BOUND: Duration = Duration::from_secs(2);

async fn code(caller: &Caller, key: &str) -> String {
    let answer = caller.post("/api_keys/verify", &json!({"key": key})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["code"].as_str().expect("a code").to_owned()
}

async fn update(admin: &Caller, id: &str, change: Value) {
    let mut body = json!({"keyId": id});
    body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
    let answer = admin.post("/api/auth/api-key/update", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn a_change_of_a_key_applies_to_the_next_verification() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    for _ in 0..3 {
        assert_eq!(code(&tenant.admin, &key).await, "VALID");
        update(&tenant.admin, &id, json!({"enabled": false})).await;
        assert_eq!(code(&tenant.admin, &key).await, "KEY_DISABLED");
        update(&tenant.admin, &id, json!({"enabled": true})).await;
    }
    let asks = json!({"key": key, "permissions": ["files:read"]});
    assert_eq!(tenant.admin.post("/api_keys/verify", &asks).await.json()["valid"], true);
    update(&tenant.admin, &id, json!({"permissions": {"files": ["write"]}})).await;
    assert_eq!(tenant.admin.post("/api_keys/verify", &asks).await.json()["code"], "INSUFFICIENT_PERMISSIONS");
    update(&tenant.admin, &id, json!({"remaining": 1})).await;
    assert_eq!(code(&tenant.admin, &key).await, "VALID");
    assert_eq!(code(&tenant.admin, &key).await, "USAGE_EXCEEDED");
    let path = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    assert_eq!(code(&tenant.admin, &key).await, "INVALID_API_KEY");
}

#[tokio::test]
async fn the_callers_cached_key_is_refused_once_invalid() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (id, checker) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:verify"])).await;
    let service = app.caller(&checker);
    assert_eq!(code(&service, &key).await, "VALID");
    update(&tenant.admin, &id, json!({"permissions": {"api_keys": ["read"]}})).await;
    assert_eq!(service.post("/api_keys/verify", &json!({"key": key})).await.status, 403);
    update(&tenant.admin, &id, json!({"permissions": {"api_keys": ["verify"]}, "enabled": false})).await;
    assert_eq!(service.post("/api_keys/verify", &json!({"key": key})).await.status, 401);
    update(&tenant.admin, &id, json!({"enabled": true, "expiresIn": 60})).await;
    assert_eq!(code(&service, &key).await, "VALID");
    app.clock.advance_seconds(60);
    assert_eq!(service.post("/api_keys/verify", &json!({"key": key})).await.status, 401);
}

#[tokio::test]
async fn a_change_made_in_the_database_takes_effect() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let platform = app.platform().await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_eq!(code(&tenant.admin, &key).await, "VALID");
    app.disable_keys_by_hand().await;
    // The caller's key is disabled as well.
    wait_until("the change to take effect", async || {
        let answer = platform.post("/api_keys/verify", &json!({"key": key})).await;
        if answer.status == 200 { Err(answer.text) } else { Ok(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_read_does_not_cache_a_revoked_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for _ in 0..30 {
        let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
        let revoked = Arc::new(AtomicBool::new(false));
        let verifiers = (0..6).map(|_| {
            let (caller, key, revoked) = (tenant.admin.clone(), key.clone(), revoked.clone());
            async move {
                loop {
                    let was_revoked = revoked.load(Ordering::SeqCst);
                    let code = code(&caller, &key).await;
                    if was_revoked {
                        return code;
                    }
                }
            }
        });
        let revoke = async {
            let path = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
            assert_eq!(tenant.admin.delete(&path).await.status, 200);
            revoked.store(true, Ordering::SeqCst);
        };
        let (codes, ()) = futures_util::join!(futures_util::future::join_all(verifiers), revoke);
        assert!(codes.iter().all(|code| code == "INVALID_API_KEY"), "{codes:?}");
    }
}

/// Two nodes on one PostgreSQL: the test's own service, and one whose connections to the database go through a proxy.
async fn two_nodes() -> (TestApp, Node) {
    let database = TestDatabase::fresh().await;
    let node = Node::start(binary(), &database, &[("CLAVIGER_DATABASE_TIMEOUT", "1s")]).await;
    (TestApp::start_on(database, |_| {}).await, node)
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_revocation_takes_effect_on_another_node() {
    let (app, node) = two_nodes().await;
    let tenant = app.tenant("Acme").await;
    let other = node.caller(tenant.admin.bearer());
    for _ in 0..20 {
        let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
        assert_eq!(code(&other, &key).await, "VALID");
        assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
        let revoked = Instant::now();
        wait_until_refused("a revoked key", revoked, BOUND, async || code(&other, &key).await == "VALID").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_node_that_is_cut_off_uses_no_cached_key_past_the_staleness_bound() {
    let (app, node) = two_nodes().await;
    let tenant = app.tenant("Acme").await;
    let other = node.caller(tenant.admin.bearer());
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_eq!(code(&other, &key).await, "VALID");
    node.proxy.all(Flow::Cut);
    assert_eq!(tenant.admin.delete(&format!("/orgs/{}/api_keys/{id}", tenant.org_id)).await.status, 200);
    let revoked = Instant::now();
    wait_until_refused("a node that is cut off", revoked, BOUND, async || {
        let answer = other.post("/api_keys/verify", &json!({"key": key})).await;
        assert!(
            answer.status == 503 || answer.json()["code"] == "VALID",
            "a valid key was reported as invalid: {answer:?}"
        );
        answer.status != 503
    })
    .await;
    node.proxy.restore();
    wait_until("the node to recover", async || {
        let answer = other.post("/api_keys/verify", &json!({"key": key})).await;
        if answer.status != 200 {
            return Err(answer.text);
        }
        assert_eq!(answer.json()["code"], "INVALID_API_KEY");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_change_of_a_shared_value_takes_effect_on_another_node() {
    let (app, node) = two_nodes().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let other = node.caller(platform.bearer());
    let org = format!("/orgs/{}", tenant.org_id);
    let set = json!({"name": "readers", "permissions": ["files:read"]});
    let set = tenant.admin.post(&format!("{org}/permission_sets"), &set).await.json();
    let (set_path, sets) =
        (format!("{org}/permission_sets/{}", set["id"].as_str().expect("an id")), json!([set["id"]]));
    let body = json!({"name": "n", "permissions": [], "permission_sets": sets});
    let by_set = tenant.admin.post(&format!("{org}/api_keys"), &body).await.json()["key"].clone();
    let (_, own) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let asks = async |key: &Value| {
        let answer = other.post("/api_keys/verify", &json!({"key": key, "permissions": ["files:read"]})).await;
        answer.json()["code"].as_str().map(ToOwned::to_owned)
    };
    for cut in [false, true] {
        // A removed member cannot be restored.
        let member = json!({"user_email": "m@example.com", "user_name": "m", "permissions": ["files:read"]});
        let member = tenant.admin.post(&format!("{org}/members"), &member).await.json()["user_id"].clone();
        let user_id = member.as_str().map(ToOwned::to_owned);
        let (_, of_member) = app.key(&tenant.org_id, KeySpec { user_id, ..KeySpec::with(&["files:read"]) }).await;
        let member_path = format!("{org}/members/{}", member.as_str().expect("an id"));
        let keys = [
            (json!(by_set), "INSUFFICIENT_PERMISSIONS"),
            (json!(of_member), "KEY_DISABLED"),
            (json!(own), "ORGANIZATION_SUSPENDED"),
        ];
        for (key, _) in &keys {
            assert_eq!(asks(key).await.as_deref(), Some("VALID"));
        }
        if cut {
            node.proxy.feed(Flow::Lost);
        }
        // One after the other: each key shows one change.
        let changes = [
            (&tenant.admin, "PATCH", &set_path, json!({"permissions": []})),
            (&tenant.admin, "DELETE", &member_path, Value::Null),
            (&platform, "PATCH", &org, json!({"suspended": true})),
        ];
        for ((caller, method, path, body), (key, refusal)) in changes.into_iter().zip(&keys) {
            let caller = caller.with("content-type", "application/json");
            let answer = caller.send(method, path, (!body.is_null()).then(|| body.to_string().into_bytes())).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let is_valid = async || asks(key).await.as_deref() == Some("VALID");
            wait_until_refused(refusal, Instant::now(), BOUND, is_valid).await;
            assert_eq!(asks(key).await.as_deref(), Some(*refusal));
        }
        node.proxy.restore();
        let back = [
            (&platform, "PATCH", org.clone(), json!({"suspended": false})),
            (&tenant.admin, "PATCH", set_path.clone(), json!({"permissions": ["files:read"]})),
        ];
        for (caller, method, path, body) in back {
            let caller = caller.with("content-type", "application/json");
            let answer = caller.send(method, &path, Some(body.to_string().into_bytes())).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        for (key, refusal) in keys.iter().filter(|(_, refusal)| *refusal != "KEY_DISABLED") {
            wait_until(&format!("a valid key, not {refusal}"), async || {
                let code = asks(key).await;
                (code.as_deref() == Some("VALID")).then_some(()).ok_or(code)
            })
            .await;
        }
    }
}

#[tokio::test]
async fn shared_permissions_count_towards_the_cache_size() {
    const MIB: u64 = 1 << 20;
    let app = TestApp::start_with(|config| config.cache_bytes = 2 << 20).await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let long = "x".repeat(60);
    let mut sets = Vec::new();
    for set in 0..4 {
        let permissions: Vec<String> = (0..255).map(|n| format!("{long}{set}:{long}{n}")).collect();
        let body = json!({"name": format!("set {set}"), "permissions": permissions});
        let answer = tenant.admin.post(&format!("{org}/permission_sets"), &body).await;
        sets.push(answer.json()["id"].clone());
    }
    // Each key has one permission of its own, so that its thousand permissions are shared with no other key.
    let keys: Vec<Value> =
        (0..24).map(|n| json!({"name": "n", "permissions": [format!("own:{n}")], "permission_sets": sets})).collect();
    let made = tenant.admin.post(&format!("{org}/api_keys/bulk_create"), &json!({"keys": keys})).await.json();
    let value_of = async |name: &str| {
        let text = app.anyone().get("/metrics").await.text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok());
        value.unwrap_or_else(|| panic!("no {name}"))
    };
    let secrets: Vec<&str> =
        made["keys"].as_array().expect("keys").iter().filter_map(|key| key["key"].as_str()).collect();
    assert_eq!(secrets.len(), 24);
    for (n, key) in secrets.iter().enumerate() {
        assert_eq!(code(&tenant.admin, key).await, "VALID");
        let bytes = value_of("claviger_cache_bytes").await;
        assert!(n >= 4 || bytes > (n as u64 + 1) * 1_020 * 2 * 61, "{bytes} bytes for the permissions of {n} keys");
    }
    // Evicted keys are dropped a moment after the response.
    wait_until("the cache to be within its bound", async || {
        let bytes = value_of("claviger_cache_bytes").await;
        (bytes <= 2 * MIB).then_some(()).ok_or(bytes)
    })
    .await;
    let cached = value_of("claviger_cache_keys").await;
    assert!((4..20).contains(&cached), "{cached}");
}
