//! SIGHUP: the issuers file and the signing keys are read again, and a file with an error changes nothing. Certificates:
//! [`super::tls`].

use api::process::system::SystemClock;
use domain::clock::Clock;
use harness::{Caller, Process, Provider, SigningKey, TestDatabase, wait_until, write_secret};
use serde_json::{Value, json};
use tempfile::TempDir;

async fn sign_up(anyone: &Caller) -> Caller {
    let answer = anyone.post("/auth/create-key", &json!({"user_name": "Ada", "user_email": "ada@example.com"})).await;
    anyone.with_bearer(answer.json()["data"]["api_key"].as_str().expect("a key"))
}

/// The ids of the published signing keys.
async fn published(anyone: &Caller) -> Vec<Value> {
    let keys = anyone.get("/.well-known/jwks.json").await.json();
    keys["keys"].as_array().expect("keys").iter().map(|key| key["kid"].clone()).collect()
}

async fn wait_for_keys(anyone: &Caller, count: usize) -> Vec<Value> {
    wait_until("the published keys", async || {
        let keys = published(anyone).await;
        if keys.len() == count { Ok(keys) } else { Err(keys) }
    })
    .await
}

async fn wait_for_failure(process: &Process, reason: &str) {
    wait_until("the line in the log", async || {
        let log = process.log();
        let is_there = log.lines().any(|line| line.contains("nothing was changed") && line.contains(reason));
        if is_there { Ok(()) } else { Err(log) }
    })
    .await;
    let metrics = process.anyone().get("/metrics").await.text;
    assert!(metrics.contains("claviger_last_reload_successful 0"), "{metrics}");
}

#[tokio::test]
async fn signing_keys_are_rotated_without_a_restart() {
    let (directory, database) = (TempDir::new().expect("a directory"), TestDatabase::fresh().await);
    let path = directory.path().join("signing.pem");
    let (old, new) = (SigningKey::ed25519("").pem(), SigningKey::ed25519("").pem());
    write_secret(&path, &old);
    let file = path.display().to_string();
    let process =
        Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_SIGNING_KEY_FILE", file.as_str())]);
    let anyone = process.anyone();
    let admin = sign_up(&anyone).await;
    let first = published(&anyone).await;
    let opened = admin.send("POST", "/session", None).await;
    let session = anyone.with("cookie", opened.cookie());
    assert_eq!(session.get("/me").await.status, 200);

    write_secret(&path, &format!("{new}{old}"));
    process.signal("HUP");
    let both = wait_for_keys(&anyone, 2).await;
    assert!(both[0] != first[0] && both[1] == first[0], "the new one signs: {both:?}");
    assert_eq!(session.get("/me").await.status, 200, "the old one is still accepted");
    let token = admin.post("/tokens", &json!({"audience": "storage"})).await;
    assert_eq!(token.status, 200, "{}", token.text);

    write_secret(&path, "hunter2");
    process.signal("HUP");
    wait_for_failure(&process, "signing keys").await;
    assert_eq!(published(&anyone).await, both);

    write_secret(&path, &new);
    process.signal("HUP");
    assert_eq!(wait_for_keys(&anyone, 1).await, both[..1]);
    assert_eq!(session.get("/me").await.status, 401, "the old one is not accepted any more");
    assert!(anyone.get("/metrics").await.text.contains("claviger_last_reload_successful 1"));
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn identity_providers_are_replaced_without_a_restart() {
    let (directory, database) = (TempDir::new().expect("a directory"), TestDatabase::fresh().await);
    let key = SigningKey::p256("k1");
    let provider = Provider::start(&[&key]).await;
    let path = directory.path().join("issuers.json");
    std::fs::write(&path, "[]").expect("written");
    let file = path.display().to_string();
    let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_ISSUERS_FILE", file.as_str())];
    // The loops below are refused many times.
    let process = Process::serve(&[&settings[..], &[("CLAVIGER_AUTH_FAILURE_RATE", "1000000")]].concat());
    let now = SystemClock.now().millis() / 1_000;
    let person = process.anyone().with_bearer(&key.sign(&provider.claims("ada", now)));
    assert_eq!(person.get("/me").await.status, 401, "the provider is unknown");
    let wait_for = async |expected: u16| {
        wait_until("the status", async || {
            let status = person.get("/me").await.status;
            if status == expected { Ok(()) } else { Err(status) }
        })
        .await;
    };

    let mut entry = provider.entry(&json!("tenants"));
    entry["create_users"] = json!(true);
    std::fs::write(&path, json!([entry]).to_string()).expect("written");
    process.signal("HUP");
    wait_for(200).await;

    // The keys of the provider are not needed again for a change of its settings.
    provider.be_silent(true);
    entry["audiences"] = json!(["others"]);
    std::fs::write(&path, json!([entry]).to_string()).expect("written");
    process.signal("HUP");
    wait_for(401).await;
    entry["audiences"] = json!(["claviger"]);
    std::fs::write(&path, json!([entry]).to_string()).expect("written");
    process.signal("HUP");
    wait_for(200).await;

    std::fs::write(&path, r#"[{"issuer": 1}]"#).expect("written");
    process.signal("HUP");
    wait_for_failure(&process, "CLAVIGER_ISSUERS_FILE must be valid").await;
    assert_eq!(person.get("/me").await.status, 200);

    std::fs::write(&path, "[]").expect("written");
    process.signal("HUP");
    wait_for(401).await;
}

#[test]
fn sighup_does_not_end_a_service_without_files() {
    let database = TestDatabase::sqlite();
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url())]);
    process.signal("HUP");
    harness::wait_until_blocking("the reload", || {
        let log = process.log();
        if log.contains("reloaded identity providers") { Ok(()) } else { Err(log) }
    });
    process.signal("TERM");
    assert_eq!(process.wait().0.code(), Some(0));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_to_its_end_does_not_delay_the_shutdown() {
    let (directory, database) = (TempDir::new().expect("a directory"), TestDatabase::fresh().await);
    let path = directory.path().join("issuers.json");
    std::fs::write(&path, "[]").expect("written");
    let file = path.display().to_string();
    let process =
        Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_ISSUERS_FILE", file.as_str())]);
    // Nothing is ever written into it.
    std::fs::remove_file(&path).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    process.signal("HUP");
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
}
