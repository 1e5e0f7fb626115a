//! The signing keys of sessions and tokens: their file, and their rotation.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use harness::{Caller, Process, TestApp, TestDatabase};
use serde_json::{Value, json};

use crate::auth::sessions::sign_in;

#[tokio::test]
async fn a_signing_key_is_created_next_to_the_sqlite_file() {
    let database = TestDatabase::sqlite();
    let path = format!("{}.signing-key.pem", database.url().strip_prefix("sqlite://").expect("a path"));
    let settings = [("CLAVIGER_DATABASE_URL", database.url())];
    assert_eq!(Process::run(&["migrate"], &settings).status.code(), Some(0));
    assert!(!std::path::Path::new(&path).exists(), "only `serve` creates a signing key");
    let first = {
        let process = Process::serve(&settings);
        let metadata = std::fs::metadata(&path).expect("a file");
        let mode = std::os::unix::fs::MetadataExt::mode(&metadata);
        assert_eq!(mode & 0o777, 0o600);
        let keys = keys_of(&process).await;
        process.signal("TERM");
        let log = process.wait().1;
        assert!(log.contains("created: ") && log.contains(&path), "{log}");
        keys
    };
    let process = Process::serve(&settings);
    let second = keys_of(&process).await;
    assert_eq!((first.len(), &first), (1, &second), "the key is the same after a restart");
    process.signal("TERM");
    let log = process.wait().1;
    assert!(!log.contains("created: "), "{log}");
}

async fn keys_of(process: &Process) -> Vec<String> {
    let keys = process.anyone().get("/.well-known/jwks.json").await.json();
    let keys = keys["keys"].as_array().expect("keys").iter();
    keys.map(|key| key["kid"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn without_a_signing_key_sessions_and_tokens_are_unavailable() {
    let database = TestDatabase::fresh().await;
    let app = TestApp::start_on(database, |config| config.signing_key_file = None).await;
    let tenant = app.tenant("Acme").await;
    let opened = tenant.admin.send("POST", "/session", None).await;
    let made = tenant.admin.post("/tokens", &json!({"audience": "a"})).await;
    for answer in
        [opened, made, app.anyone().get("/.well-known/jwks.json").await, app.anyone().get("/.well-known/revoked").await]
    {
        assert_eq!((answer.status, answer.header("retry-after")), (503, ""), "{}", answer.text);
        assert!(answer.text.contains("no signing key"), "{}", answer.text);
    }
    assert_eq!(tenant.admin.get("/me").await.status, 200);
}

#[tokio::test]
async fn a_signing_key_file_without_a_key_fails_the_start() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("key.pem");
    let database = TestDatabase::fresh().await;
    let start = || {
        let path = path.display().to_string();
        let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_SIGNING_KEY_FILE", path.as_str())];
        let output = Process::run(&["serve"], &settings);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = start();
    assert!(code == Some(2) && text.contains("signing keys"), "{text}");
    let rsa = harness::SigningKey::rsa("").pem();
    for wrong in ["", "hunter2", rsa.as_str()] {
        harness::write_secret(&path, wrong);
        let (code, text) = start();
        assert!(code == Some(2) && text.contains("Ed25519") && !text.contains("hunter2"), "{text}");
        assert!(text.contains(&path.display().to_string()), "the error names the file: {text}");
    }
}

#[tokio::test]
async fn a_signing_key_file_that_others_can_read_is_refused() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("key.pem");
    harness::write_secret(&path, &harness::SigningKey::ed25519("").pem());
    let database = TestDatabase::sqlite();
    let name = path.display().to_string();
    let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_SIGNING_KEY_FILE", name.as_str())];
    for mode in [0o644, 0o604, 0o620, 0o602, 0o666] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("changed");
        let output = Process::run(&["serve"], &settings);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{mode:o}: {text}");
        assert!(text.contains("chmod 600") && text.contains(&name), "{mode:o}: {text}");
    }
    // Kubernetes mounts secrets readable by a group, in files of root.
    std::fs::set_permissions(&path, Permissions::from_mode(0o440)).expect("changed");
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).expect("it is there")) == 0;
    if is_root {
        drop(Process::serve(&settings));
    } else {
        assert_eq!(Process::run(&["serve"], &settings).status.code(), Some(2), "its own file, and its group reads it");
    }
}

#[tokio::test]
async fn sessions_stay_valid_while_signing_keys_are_rotated() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("key.pem");
    let (old, new) = (harness::SigningKey::ed25519("").pem(), harness::SigningKey::ed25519("").pem());
    let mut database = Some(TestDatabase::fresh().await);
    let mut session: Option<Caller> = None;
    let mut steps: Vec<(Vec<Value>, Option<u16>)> = Vec::new();
    let mut admin: Option<String> = None;
    // The next key is published before it signs, and the old one until all that it signed has expired.
    for keys in [vec![&old], vec![&old, &new], vec![&new, &old], vec![&new]] {
        harness::write_secret(&path, &keys.into_iter().map(String::as_str).collect::<String>());
        let app = TestApp::start_on(database.take().expect("kept"), |config| {
            config.signing_key_file = Some(path.clone());
        })
        .await;
        let status = match &session {
            Some(page) => Some(page.at(&app.base()).get("/me").await.status),
            None => None,
        };
        let key = match &admin {
            Some(key) => key.clone(),
            None => app.tenant("Acme").await.admin.bearer().to_owned(),
        };
        if session.is_none() {
            session = Some(sign_in(&app, &app.caller(&key)).await);
        }
        admin = Some(key);
        let published = app.anyone().get("/.well-known/jwks.json").await.json();
        steps.push((published["keys"].as_array().expect("keys").clone(), status));
        database = Some(app.stop().await.1);
    }
    let lengths: Vec<usize> = steps.iter().map(|(keys, _)| keys.len()).collect();
    let statuses: Vec<Option<u16>> = steps.iter().map(|(_, status)| *status).collect();
    assert_eq!((lengths, statuses), (vec![1, 2, 2, 1], vec![None, Some(200), Some(200), Some(401)]));
    assert_eq!((&steps[1].0[0], &steps[1].0[1]), (&steps[2].0[1], &steps[2].0[0]));
}
