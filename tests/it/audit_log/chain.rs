//! The audit log's chain: tampering is detected, and events past retention are purged.

use std::{process::Output, sync::Arc};

use api::{
    auth::jwt::keyring::{Keyring, SigningKeyLocation},
    process::system::SystemEntropy,
};
use domain::{clock::Clock, ports::PruneSigner};
use harness::{Process, Tampering, TestApp, TestDatabase, signing_key};
use persistence::{Settings, Store};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};

use crate::audit_log::events::{create, events, log_of};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[tokio::test]
async fn tampering_with_a_log_is_reported() {
    const TOUCHED: [(Option<Tampering>, &str, &str); 9] = [
        (None, "valid: proven up to event 4", "valid: proven up to event 4"),
        (Some(Tampering::Change), "event 2 was changed", "event 2 was changed"),
        (Some(Tampering::Remove), "event 2 is missing", "event 2 is missing"),
        (Some(Tampering::Reorder), "event 2 was changed", "event 2 was changed"),
        (Some(Tampering::Cut), "ends with event 3", "ends with event 3"),
        (Some(Tampering::CutWithEnd), "checkpoint of event 4", "checkpoint of event 4"),
        (Some(Tampering::RemoveAll), "the log is missing", "the log is missing"),
        (Some(Tampering::EraseFront), "UNPROVEN: events 1 to 1 are missing", "UNPROVEN: events 1 to 1 are missing"),
        (Some(Tampering::EraseEvents), "UNPROVEN: events 1 to 4 are missing", "checkpoint of event 4"),
    ];
    let database = TestDatabase::empty().await;
    let signing = signing_key().to_str().expect("text");
    let settings = [
        ("CLAVIGER_DATABASE_URL", database.url()),
        ("CLAVIGER_SIGNING_KEY_FILE", signing),
        ("CLAVIGER_SIGNUP_RATE", "1000"),
    ];
    let process = Process::serve(&settings);
    let anyone = process.anyone();
    let mut organizations = Vec::new();
    for n in 0..TOUCHED.len() {
        let body = json!({"user_name": "n", "user_email": format!("n{n}@example.com")});
        let data = anyone.post("/auth/create-key", &body).await.json()["data"].clone();
        let org_id = data["org_id"].as_str().expect("an id").to_owned();
        let admin = anyone.with_bearer(data["api_key"].as_str().expect("a key"));
        for _ in 0..3 {
            let body = json!({"name": "n", "permissions": []});
            assert_eq!(admin.post(&format!("/orgs/{org_id}/api_keys"), &body).await.status, 200);
        }
        organizations.push(org_id);
    }
    process.signal("TERM");
    let (status, log) = process.wait();
    assert!(status.success(), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let signed: Vec<String> = lines.filter_map(|line| line["signed"].as_str().map(ToOwned::to_owned)).collect();
    assert!(signed.len() >= TOUCHED.len(), "each log has grown: {log}");
    let checkpoints: Vec<&str> = signed.iter().flat_map(|checkpoint| ["--checkpoint", checkpoint]).collect();
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let (logged, bare) = (write("log", &log), write("bare", &signed.join("\n")));
    let forged = write("forged", &log.replace("eyJ0eXAiOi", "eyJ0eXAiOj"));
    let (empty, missing) = (write("empty", "listening\n{}\n"), format!("{logged}.gone"));
    let verify = |flags: &[&str]| Process::run(&[&["audit", "verify"], flags].concat(), &settings);
    let whole = verify(&checkpoints);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    assert_eq!(stdout(&whole).matches(" 1..4 ").count(), TOUCHED.len(), "{}", stdout(&whole));
    for files in [&["--checkpoints", &logged][..], &["--checkpoints", &bare, "--checkpoints", &logged]] {
        let verified = verify(files);
        assert_eq!((verified.status.code(), stdout(&verified)), (Some(0), stdout(&whole)), "{verified:?}");
    }
    for (file, code, wrong) in [
        (&forged, 1, "was not signed by a key"),
        (&empty, 1, "no line is a signed checkpoint"),
        (&missing, 2, "No such file"),
    ] {
        let refused = verify(&["--checkpoints", file]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!((refused.status.code(), stdout(&refused)), (Some(code), String::new()), "{text}");
        assert!(text.contains(file.as_str()) && text.contains(wrong), "{text}");
    }
    let without_keys = Process::run(&["audit", "verify"], &settings[..1]);
    let consistent = "internally consistent, but not protected against an administrator of the database";
    assert_eq!(without_keys.status.code(), Some(3));
    assert_eq!(stdout(&without_keys).matches(consistent).count(), TOUCHED.len(), "{}", stdout(&without_keys));
    for (organization, (tampering, ..)) in organizations.iter().zip(TOUCHED) {
        if let Some(tampering) = tampering {
            database.tamper(organization, tampering).await;
        }
    }
    let (alone, with_checkpoints) = (verify(&[]), verify(&checkpoints));
    assert_eq!((alone.status.code(), with_checkpoints.status.code()), (Some(1), Some(1)));
    let with_file = verify(&["--checkpoints", &logged]);
    assert_eq!((with_file.status.code(), stdout(&with_file)), (Some(1), stdout(&with_checkpoints)));
    for (organization, (tampering, without, with)) in organizations.iter().zip(TOUCHED) {
        let line = |output: &Output| {
            stdout(output).lines().find(|line| line.starts_with(organization)).unwrap_or_default().to_owned()
        };
        assert!(line(&alone).contains(without), "{tampering:?}: {}", line(&alone));
        assert!(line(&with_checkpoints).contains(with), "{tampering:?}: {}", line(&with_checkpoints));
    }
    let one = Process::run(&["audit", "verify", "--organization", &organizations[0]], &settings);
    assert_eq!((one.status.code(), stdout(&one).lines().count()), (Some(0), 1));
    let forged = Process::run(&["audit", "verify", "--checkpoint", &signed[0].replace('.', "x")], &settings);
    assert_eq!((forged.status.code(), stdout(&forged)), (Some(1), String::new()));
}

#[tokio::test]
async fn events_past_retention_are_purged_and_the_rest_is_valid() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    create(&tenant.admin, &tenant, &[]).await;
    app.clock.advance_seconds(200 * 24 * 60 * 60);
    create(&tenant.admin, &tenant, &[]).await;
    let store = app.database.store().await;
    store.purge(app.clock.now(), None, true).await.expect("purged");
    assert_eq!(events(&tenant.admin, &log_of(&tenant)).await.len(), 3, "400 days");
    store.purge(app.clock.now().plus_millis(201 * 24 * 60 * 60 * 1_000), None, true).await.expect("purged");
    let left = events(&tenant.admin, &log_of(&tenant)).await;
    assert_eq!(left.iter().map(|event| event["seq"].clone()).collect::<Vec<_>>(), [json!(3)]);
    create(&tenant.admin, &tenant, &[]).await;
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url())];
    let verify = Process::run(&["audit", "verify"], &settings);
    assert_eq!(verify.status.code(), Some(3), "{}", stdout(&verify));
    assert!(stdout(&verify).contains(&format!("{} 3..4 ", tenant.org_id)), "{}", stdout(&verify));
    assert!(stdout(&verify).contains("without a signing key it cannot be checked"), "{}", stdout(&verify));
    store.purge(app.clock.now().plus_millis(500 * 24 * 60 * 60 * 1_000), None, true).await.expect("purged");
    assert_eq!(events(&tenant.admin, &log_of(&tenant)).await.len(), 0);
    create(&tenant.admin, &tenant, &[]).await;
    assert_eq!(Process::run(&["audit", "verify"], &settings).status.code(), Some(3));
    store.close().await;
}

fn signer() -> Arc<dyn PruneSigner> {
    let at = SigningKeyLocation::File(signing_key().clone());
    Arc::new(Keyring::open(&at, None, &SystemEntropy).expect("a file").keyring.expect("keys"))
}

const DAY: i64 = 24 * 60 * 60 * 1_000;

#[tokio::test]
async fn pruning_by_retention_is_signed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    create(&tenant.admin, &tenant, &[]).await;
    app.sign_checkpoints().await;
    app.clock.advance_seconds(DAY / 1_000);
    create(&tenant.admin, &tenant, &[]).await;
    app.sign_checkpoints().await;
    let store = app.database.store().await;
    let signing = signing_key().to_str().expect("text");
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url()), ("CLAVIGER_SIGNING_KEY_FILE", signing)];
    let verify = || {
        let verify = Process::run(&["audit", "verify", "--organization", &tenant.org_id], &settings);
        (verify.status.code(), stdout(&verify))
    };
    let (code, line) = verify();
    assert!(code == Some(0) && line.contains("valid: proven up to event 3") && line.contains(" 1..3 "), "{line}");
    let then = app.clock.now().plus_millis(400 * DAY);
    store.purge(then.plus_millis(-DAY / 2), Some(signer()), true).await.expect("purged");
    let (code, line) = verify();
    let signed = "; events 1 to 2 were pruned by retention until 2027-12-26T";
    assert!(code == Some(0) && line.contains(" valid: ") && line.contains(signed) && line.contains(" 3..3 "), "{line}");
    // With one more event missing, the prune record does not match the first event.
    app.database.tamper(&tenant.org_id, Tampering::EraseEvents).await;
    let (code, line) = verify();
    assert!(code == Some(1) && line.contains("UNPROVEN: events 1 to 3 are missing"), "{line}");
    // Later pruning by retention does not hide it.
    create(&tenant.admin, &tenant, &[]).await;
    create(&tenant.admin, &tenant, &[]).await;
    store.purge(then.plus_millis(DAY), Some(signer()), true).await.expect("purged");
    let (code, line) = verify();
    assert!(code == Some(1) && line.contains("UNPROVEN: events 1 to 3 are missing"), "{line}");
    assert_eq!(events(&tenant.admin, &log_of(&tenant)).await.len(), 0, "{line}");
    store.close().await;
}

#[tokio::test]
async fn retention_does_not_prune_a_broken_log() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for _ in 0..3 {
        create(&tenant.admin, &tenant, &[]).await;
    }
    app.database.tamper(&tenant.org_id, Tampering::Change).await;
    let registry = Registry::new();
    let store = Store::connect(&Settings { registry: registry.clone(), ..app.database.settings() }).await;
    let store = store.expect("a database connection");
    let then = app.clock.now().plus_millis(401 * DAY);
    store.purge(then, Some(signer()), true).await.expect("purged");
    assert_eq!(events(&tenant.admin, &log_of(&tenant)).await.len(), 4, "a changed log is not purged");
    assert_eq!(events(&other.admin, &log_of(&other)).await.len(), 0, "the logs of others are pruned");
    let metrics = TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
    assert!(metrics.contains("claviger_audit_logs_broken 1"), "{metrics}");
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url())];
    let verify = Process::run(&["audit", "verify", "--organization", &tenant.org_id], &settings);
    assert!(stdout(&verify).contains("BROKEN: event 2 was changed"), "{}", stdout(&verify));
    store.close().await;
}
