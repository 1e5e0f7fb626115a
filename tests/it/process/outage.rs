//! Outages of the database: 503 in the form of each contract, never "invalid", and recovery without a restart.

use std::time::{Duration, Instant};

use api::config::Config;
use domain::keys::quota::Quota;
use harness::{Flow, KeySpec, Process, Proxy, TestApp, TestDatabase, wait_until, within};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn behind_a_proxy() -> (TestApp, Proxy) {
    let change = |config: &mut Config| {
        config.database_timeout = Duration::from_secs(2);
        // So long that a slow machine, too, verifies from the cache during the outage.
        config.staleness_bound = Duration::from_mins(1);
    };
    TestApp::behind_a_proxy(change).await
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_database_outage_is_a_503_until_it_recovers() {
    let (app, proxy) = behind_a_proxy().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let (_, plain) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let quota = Quota { remaining: Some(10), ..Quota::default() };
    let (id, limited) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let (native, athena) = ("/api_keys/verify", "/api/auth/api-key/verify");
    for key in [&plain, &limited] {
        assert_eq!(tenant.admin.post(native, &json!({"key": key})).await.json()["valid"], true);
    }
    proxy.all(Flow::Cut);
    assert_eq!(tenant.admin.post(native, &json!({"key": plain})).await.json()["valid"], true, "from the cache");
    let message = "The service is temporarily unavailable; try again";
    let envelope = json!({"success": false, "message": message, "data": null});
    let body = json!({"user_name": "n", "user_email": "b@example.com"});
    for answer in [tenant.admin.get("/auth/check-key").await, app.anyone().post("/auth/create-key", &body).await] {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
        assert_eq!(answer.json(), envelope);
    }
    for answer in [tenant.admin.get(&keys).await, tenant.admin.delete(&format!("{keys}/{id}")).await] {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
        assert_eq!(answer.failure(), json!({"message": message, "code": 503, "reason": "unavailable"}));
    }
    let update = json!({"keyId": id, "name": "n"});
    for (path, body) in [(athena, json!({"key": limited})), ("/api/auth/api-key/update", update)] {
        let answer = tenant.admin.post(path, &body).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
        assert_eq!(answer.json(), json!({"message": message, "code": "SERVICE_UNAVAILABLE"}));
    }
    let answer = tenant.admin.post(native, &json!({"key": limited})).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.failure(), json!({"message": message, "code": 503, "reason": "unavailable"}));
    assert_eq!(app.anyone().get("/health/ready").await.status, 503);
    assert_eq!(app.anyone().get("/health/live").await.status, 200);
    proxy.restore();
    assert_eq!(tenant.admin.get(&keys).await.status, 200, "works again without a restart");
    assert_eq!(
        app.anyone().post("/auth/create-key", &body).await.status,
        200,
        "nothing of the failed sign-up was stored"
    );
    assert_eq!(app.anyone().get("/health/ready").await.status, 200);
    assert_eq!(
        tenant.admin.post(native, &json!({"key": limited})).await.json()["remaining"],
        8,
        "refused uses are not counted"
    );
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn uses_are_counted_after_the_server_has_closed_idle_connections() {
    let (app, proxy) = behind_a_proxy().await;
    let tenant = app.tenant("Acme").await;
    let quota = Quota { remaining: Some(10), ..Quota::default() };
    let (_, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let use_key = async || tenant.admin.post("/api_keys/verify", &json!({"key": key})).await;
    for left in [9, 8] {
        assert_eq!(use_key().await.json()["remaining"], left);
    }
    let last_use = Instant::now();
    proxy.all(Flow::Cut);
    proxy.restore();
    // Connections are tested again when they were not used for a second.
    wait_until("the connections to be idle", async || {
        Some(last_use.elapsed()).filter(|idle| *idle > Duration::from_millis(1_100)).ok_or("in use")
    })
    .await;
    let answer = use_key().await;
    assert_eq!((answer.status, &answer.json()["remaining"]), (200, &json!(7)), "{}", answer.text);
}

#[tokio::test]
async fn a_locked_sqlite_file_refuses_writes_only() {
    let database = TestDatabase::sqlite();
    let app = TestApp::start_on(database, |config| config.database_timeout = Duration::from_millis(500)).await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let create = json!({"name": "n", "permissions": []});
    let other = app.hold_write_lock().await;
    let refused = tenant.admin.post(&keys, &create).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert_eq!(tenant.admin.get(&keys).await.status, 200);
    other.close().await.expect("closed");
    assert_eq!(tenant.admin.post(&keys, &create).await.status, 200);
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_list_that_fails_midway_is_incomplete_json() {
    let (app, proxy) = behind_a_proxy().await;
    let tenant = app.tenant("Acme").await;
    // More than the buffers between server and client hold.
    app.copy_key(&tenant.key_id, 60_000).await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    let mut stream = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    let request = format!("GET /orgs/{}/api_keys HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n", tenant.org_id);
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = vec![0; 12];
    within("the first bytes", stream.read_exact(&mut text)).await.expect("it begins");
    assert_eq!(text, b"HTTP/1.1 200");
    proxy.all(Flow::Cut);
    let _ = within("the end of the list", stream.read_to_end(&mut text)).await;
    assert!(!text.ends_with(b"0\r\n\r\n"), "there is no last chunk");
    assert!(!String::from_utf8_lossy(&text).contains("}]"), "the array does not end");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_read_only_database_is_refused_at_the_start() {
    let database = TestDatabase::fresh().await;
    database.make_read_only().await;
    let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_DATABASE_TIMEOUT", "500ms")];
    let output = Process::run(&["serve"], &settings);
    assert_eq!(output.status.code(), Some(1), "a standby may lag behind: {output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.lines().last().is_some_and(|line| line.contains("the server is read-only")), "{text}");
}
