//! That the log is whole: what was touched shows, what is too old goes.

use std::{process::Output, sync::Arc};

use api::{
    jwt::keyring::{Keyring, SigningKeysAt},
    system::SystemEntropy,
};
use domain::{clock::Clock, ports::PruneSigner};
use harness::{Caller, Process, Tampering, TestApp, TestDatabase, signing_key};
use serde_json::{Value, json};

use crate::audit::{create, events, log_of};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[tokio::test]
async fn a_log_that_was_touched_does_not_hold() {
    const TOUCHED: [(Option<Tampering>, &str, &str); 9] = [
        (None, "holds", "holds"),
        (Some(Tampering::Change), "event 2 was changed", "event 2 was changed"),
        (Some(Tampering::Remove), "event 2 is missing", "event 2 is missing"),
        (Some(Tampering::Reorder), "event 2 was changed", "event 2 was changed"),
        (Some(Tampering::Cut), "ends with event 3", "ends with event 3"),
        (Some(Tampering::CutWithHead), "holds", "event 4 was signed"),
        (Some(Tampering::RemoveAll), "", "event 4 was signed"),
        (Some(Tampering::EraseFront), "UNPROVEN: events 1 to 1 are gone", "UNPROVEN: events 1 to 1 are gone"),
        (Some(Tampering::EraseEvents), "UNPROVEN: events 1 to 4 are gone", "event 4 was signed"),
    ];
    let database = TestDatabase::empty().await;
    let signing = signing_key().to_str().expect("text");
    let settings = [
        ("CLAVIGER_DATABASE_URL", database.url()),
        ("CLAVIGER_SIGNING_KEY_FILE", signing),
        ("CLAVIGER_SIGNUP_RATE", "1000"),
    ];
    let process = Process::serve(&settings);
    let anyone = Caller::anyone(format!("http://{}", process.address));
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
    assert_eq!(signed.len(), TOUCHED.len(), "each log has grown: {log}");
    let heads: Vec<&str> = signed.iter().flat_map(|head| ["--head", head]).collect();
    let verify = |heads: &[&str]| Process::run(&[&["audit", "verify"], heads].concat(), &settings);
    let whole = verify(&heads);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    assert_eq!(stdout(&whole).matches(" 1..4 ").count(), TOUCHED.len(), "{}", stdout(&whole));
    for (organization, (tampering, ..)) in organizations.iter().zip(TOUCHED) {
        if let Some(tampering) = tampering {
            database.tamper(organization, tampering).await;
        }
    }
    let (alone, with_heads) = (verify(&[]), verify(&heads));
    assert_eq!((alone.status.code(), with_heads.status.code()), (Some(1), Some(1)));
    for (organization, (tampering, without, with)) in organizations.iter().zip(TOUCHED) {
        let line = |output: &Output| {
            stdout(output).lines().find(|line| line.starts_with(organization)).unwrap_or_default().to_owned()
        };
        assert!(line(&alone).contains(without), "{tampering:?}: {}", line(&alone));
        assert!(line(&with_heads).contains(with), "{tampering:?}: {}", line(&with_heads));
    }
    let one = Process::run(&["audit", "verify", "--organization", &organizations[0]], &settings);
    assert_eq!((one.status.code(), stdout(&one).lines().count()), (Some(0), 1));
    let forged = Process::run(&["audit", "verify", "--head", &signed[0].replace('.', "x")], &settings);
    assert_eq!((forged.status.code(), stdout(&forged)), (Some(1), String::new()));
}

#[tokio::test]
async fn old_events_go_and_the_rest_still_holds() {
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
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
    assert!(stdout(&verify).contains(&format!("{} 3..4 ", tenant.org_id)), "{}", stdout(&verify));
    assert!(stdout(&verify).contains("without a signing key it cannot be checked"), "{}", stdout(&verify));
    store.purge(app.clock.now().plus_millis(500 * 24 * 60 * 60 * 1_000), None, true).await.expect("purged");
    assert_eq!(events(&tenant.admin, &log_of(&tenant)).await.len(), 0);
    create(&tenant.admin, &tenant, &[]).await;
    assert_eq!(Process::run(&["audit", "verify"], &settings).status.code(), Some(0));
    store.close().await;
}

fn signer() -> Arc<dyn PruneSigner> {
    let at = SigningKeysAt::File(signing_key().clone());
    Arc::new(Keyring::open(&at, "", &SystemEntropy).expect("a file").keyring.expect("keys"))
}

const DAY: i64 = 24 * 60 * 60 * 1_000;

#[tokio::test]
async fn what_retention_pruned_is_signed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    create(&tenant.admin, &tenant, &[]).await;
    app.clock.advance_seconds(DAY / 1_000);
    create(&tenant.admin, &tenant, &[]).await;
    let store = app.database.store().await;
    let signing = signing_key().to_str().expect("text");
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url()), ("CLAVIGER_SIGNING_KEY_FILE", signing)];
    let verify = || {
        let verify = Process::run(&["audit", "verify", "--organization", &tenant.org_id], &settings);
        (verify.status.code(), stdout(&verify))
    };
    let (code, line) = verify();
    assert!(code == Some(0) && line.trim_end().ends_with(" holds") && line.contains(" 1..3 "), "{line}");
    let then = app.clock.now().plus_millis(400 * DAY);
    store.purge(then.plus_millis(-DAY / 2), Some(signer()), true).await.expect("purged");
    let (code, line) = verify();
    let signed = "holds; events 1 to 2 were pruned by retention until 2027-12-26T";
    assert!(code == Some(0) && line.contains(signed) && line.contains(" 3..3 "), "{line}");
    // An event more, and the record is of another front.
    app.database.tamper(&tenant.org_id, Tampering::EraseEvents).await;
    let (code, line) = verify();
    assert!(code == Some(1) && line.contains("UNPROVEN: events 1 to 3 are gone"), "{line}");
    // Retention that goes on from there does not make it good.
    create(&tenant.admin, &tenant, &[]).await;
    create(&tenant.admin, &tenant, &[]).await;
    store.purge(then.plus_millis(DAY), Some(signer()), true).await.expect("purged");
    let (code, line) = verify();
    assert!(code == Some(1) && line.contains("UNPROVEN: events 1 to 3 are gone"), "{line}");
    assert_eq!(events(&tenant.admin, &log_of(&tenant)).await.len(), 0, "{line}");
    store.close().await;
}

#[tokio::test]
async fn retention_removes_nothing_from_a_log_that_does_not_hold() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for _ in 0..3 {
        create(&tenant.admin, &tenant, &[]).await;
    }
    app.database.tamper(&tenant.org_id, Tampering::Change).await;
    let store = app.database.store().await;
    let then = app.clock.now().plus_millis(401 * DAY);
    store.purge(then, Some(signer()), true).await.expect("purged");
    assert_eq!(events(&tenant.admin, &log_of(&tenant)).await.len(), 4, "what was changed is still there to be found");
    assert_eq!(events(&other.admin, &log_of(&other)).await.len(), 0, "the logs of others are pruned");
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url())];
    let verify = Process::run(&["audit", "verify", "--organization", &tenant.org_id], &settings);
    assert!(stdout(&verify).contains("BROKEN: event 2 was changed"), "{}", stdout(&verify));
    store.close().await;
}
