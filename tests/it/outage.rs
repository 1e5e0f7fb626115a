//! The database is away: 503 in each contract's shape, never "invalid", and all is well when it is back.

use std::time::Duration;

use domain::quota::Quota;
use harness::{Flow, KeySpec, Process, Proxy, TestApp, TestDatabase};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A service whose way to the database can be cut. `None` on SQLite: a file does not go away; its lock is tried below.
async fn behind_a_proxy() -> Option<(TestApp, Proxy)> {
    let database = TestDatabase::fresh().await;
    if !database.is_postgres() {
        return None;
    }
    let proxy = Proxy::to(database.server_address()).await;
    let url = database.url_by(proxy.address);
    let app = TestApp::start_on(database, |config| {
        config.database_url = url;
        config.database_timeout = Duration::from_secs(2);
    });
    Some((app.await, proxy))
}

#[tokio::test]
async fn a_database_that_is_away_is_told_and_recovered_from() {
    let Some((app, proxy)) = behind_a_proxy().await else { return };
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
    assert_eq!(tenant.admin.post(native, &json!({"key": plain})).await.json()["valid"], true, "remembered");
    let away = "The service is temporarily unavailable, try again";
    let envelope = json!({"success": false, "message": away, "data": null});
    let body = json!({"user_name": "n", "user_email": "b@example.com"});
    for answer in [tenant.admin.get("/auth/check-key").await, app.anyone().post("/auth/create-key", &body).await] {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
        assert_eq!(answer.json(), envelope);
    }
    for answer in [tenant.admin.get(&keys).await, tenant.admin.delete(&format!("{keys}/{id}")).await] {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
        assert_eq!(answer.failure(), json!({"message": away, "code": 503}));
    }
    let update = json!({"keyId": id, "name": "n"});
    for (path, body) in [(athena, json!({"key": limited})), ("/api/auth/api-key/update", update)] {
        let answer = tenant.admin.post(path, &body).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
        assert_eq!(answer.json(), json!({"message": away, "code": "SERVICE_UNAVAILABLE"}));
    }
    let answer = tenant.admin.post(native, &json!({"key": limited})).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.failure(), json!({"message": away, "code": 503}));
    assert_eq!(app.anyone().get("/health/ready").await.status, 503);
    assert_eq!(app.anyone().get("/health/live").await.status, 200);
    proxy.mend();
    assert_eq!(tenant.admin.get(&keys).await.status, 200, "no restart needed");
    assert_eq!(app.anyone().post("/auth/create-key", &body).await.status, 200, "nothing was half done");
    assert_eq!(app.anyone().get("/health/ready").await.status, 200);
    assert_eq!(tenant.admin.post(native, &json!({"key": limited})).await.json()["remaining"], 8, "nothing was spent");
}

#[tokio::test]
async fn a_locked_database_is_away_for_writers_only() {
    let database = TestDatabase::fresh().await;
    if database.is_postgres() {
        return; // PostgreSQL's writers do not lock each other out.
    }
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
async fn a_list_that_fails_midway_does_not_look_whole() {
    let Some((app, proxy)) = behind_a_proxy().await else { return };
    let tenant = app.tenant("Acme").await;
    // More than the buffers between server and client take in.
    app.copy_key(&tenant.key_id, 60_000).await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
    let mut stream = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    let request = format!("GET /orgs/{}/api_keys HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n", tenant.org_id);
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = vec![0; 12];
    stream.read_exact(&mut text).await.expect("it begins");
    assert_eq!(text, b"HTTP/1.1 200");
    proxy.all(Flow::Cut);
    let _ = stream.read_to_end(&mut text).await;
    assert!(!text.ends_with(b"0\r\n\r\n"), "the last chunk says that all is there");
    assert!(!String::from_utf8_lossy(&text).contains("}]"), "nor does the array end");
}

#[tokio::test]
async fn a_read_only_database_is_refused() {
    let database = TestDatabase::fresh().await;
    if !database.is_postgres() {
        return;
    }
    database.make_read_only().await;
    let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_DATABASE_TIMEOUT", "500ms")];
    let output = Process::run(&["serve"], &settings);
    assert_eq!(output.status.code(), Some(1), "a standby may lag behind: {output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.lines().last().is_some_and(|line| line.contains("the server is read-only")), "{text}");
}
