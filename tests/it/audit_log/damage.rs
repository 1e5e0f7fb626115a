//! Erased logs that continue, rows that cannot be read, and files that cannot be used.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, sync::Arc};

use api::cli::audit_verify::{self, Assurance};
use domain::{
    audit_log::VerificationReport,
    clock::Clock,
    ports::{self, CheckpointSigner},
};
use harness::{Manipulation, Process, SigningKey, Tamperer, TestApp, TestClock, TestDatabase, signing_key};
use serde_json::json;

use crate::audit_log::{
    checkpoints::sign_elsewhere,
    events::create,
    tampering::{Fixture, keyring},
};

const DAY: i64 = 24 * 60 * 60 * 1_000;

#[tokio::test]
async fn an_erased_log_stays_unproven_after_new_checkpoints() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for _ in 0..2 {
        create(&tenant.admin, &tenant, &[]).await;
    }
    let store = Arc::new(app.database.store().await);
    let log = Fixture::log_of(&app, &store);
    let fixture = Fixture { app, tenant, store, log };
    sign_elsewhere(&fixture).await;
    let kept = fixture.checkpoint().await.expect("a checkpoint");
    let (assurance, message) = fixture.verify(true, &[]).await;
    assert!(assurance == Assurance::Proven && kept.head.seq == 3, "{message}");
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    fixture.app.clock.advance_seconds(11 * 60);
    for is_chain_kept in [false, true] {
        if is_chain_kept {
            tamperer.erase_after_begin().await;
        } else {
            tamperer.apply(Manipulation::RemoveLog).await;
        }
        create(&fixture.tenant.admin, &fixture.tenant, &[]).await;
        assert_eq!(sign_elsewhere(&fixture).await, 1);
        let (assurance, message) = fixture.verify(true, &[]).await;
        let reported = message.contains("more than ten minutes after its organization was created");
        assert!(assurance == Assurance::ConsistentOnly && reported, "{message}");
        // Later checkpoints do not change that.
        create(&fixture.tenant.admin, &fixture.tenant, &[]).await;
        assert_eq!(sign_elsewhere(&fixture).await, 1);
        let (assurance, message) = fixture.verify(true, &[]).await;
        assert!(
            assurance == Assurance::ConsistentOnly && message.contains("earlier events may be missing"),
            "{message}"
        );
        let (assurance, message) = fixture.verify(true, &[kept]).await;
        assert!(assurance == Assurance::Tampered && message.contains("checkpoint of event 3"), "{message}");
        tamperer.restore().await;
    }
    let (assurance, message) = fixture.verify(true, &[]).await;
    assert_eq!(assurance, Assurance::Proven, "{message}");
    fixture.store.close().await;
}

#[tokio::test]
async fn an_erased_pruned_log_stays_unproven_after_new_checkpoints() {
    let fixture = Fixture::new().await;
    let kept = fixture.checkpoint().await.expect("a checkpoint");
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    // A day after the pruning.
    fixture.app.clock.advance_seconds(102 * DAY / 1_000);
    assert_eq!(fixture.verify(true, &[]).await.0, Assurance::Proven);
    tamperer.erase_after_begin().await;
    create(&fixture.tenant.admin, &fixture.tenant, &[]).await;
    assert_eq!(sign_elsewhere(&fixture).await, 1);
    let (assurance, message) = fixture.verify(true, &[]).await;
    let reported = message.contains("more than ten minutes after retention pruned the log");
    assert!(assurance == Assurance::ConsistentOnly && reported, "{message}");
    let (assurance, message) = fixture.verify(true, &[kept]).await;
    assert!(assurance == Assurance::Tampered && message.contains("checkpoint of event 6"), "{message}");
    fixture.store.close().await;
}

#[tokio::test]
async fn the_first_checkpoint_of_an_erased_log_is_logged_as_an_error() {
    let database = TestDatabase::fresh().await;
    // The organization was created three days ago, by the real clock.
    let clock = Arc::new(TestClock::at(api::process::system::SystemClock.now().plus_millis(-3 * DAY)));
    let app = TestApp::start_by(database.shared(), clock, false, |_| {}).await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    app.sign_checkpoints().await;
    app.stop().await;
    let tamperer = Tamperer::new(&database, &tenant.org_id).await;
    tamperer.apply(Manipulation::RemoveLog).await;
    let signing = signing_key().to_str().expect("text");
    let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_SIGNING_KEY_FILE", signing)];
    let process = Process::serve(&settings);
    for tenant in [&tenant, &other] {
        let admin = process.anyone().with_bearer(tenant.admin.bearer());
        let body = json!({"name": "n", "permissions": []});
        assert_eq!(admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &body).await.status, 200);
    }
    process.signal("TERM");
    let log = process.wait().1;
    let reported = |org_id: &str| {
        let lines = log.lines().filter(|line| line.contains("ERROR") && line.contains(org_id));
        lines.filter(|line| line.contains("events may be missing from the beginning")).count()
    };
    assert_eq!((reported(&tenant.org_id), reported(&other.org_id)), (1, 0), "{log}");
    for (tenant, code) in [(&tenant, 3), (&other, 0)] {
        let verify = Process::run(&["audit", "verify", "--organization", &tenant.org_id], &settings);
        assert_eq!(verify.status.code(), Some(code), "{verify:?}");
    }
}

#[tokio::test]
// PostgreSQL does not store a value of another type.
#[cfg_attr(feature = "postgres", ignore = "needs SQLite")]
async fn an_unreadable_row_is_reported_and_other_logs_are_verified() {
    let fixture = Fixture::new().await;
    let other = fixture.app.tenant("Other").await.org_id.parse().expect("an id");
    fixture.app.sign_checkpoints().await;
    let tamperer = Tamperer::new(&fixture.app.database, &fixture.tenant.org_id).await;
    let keyring = keyring();
    let signer = Some(&*keyring as &dyn CheckpointSigner);
    let values = [("at", "'x'"), ("session_id", "X'01'"), ("action", "X'ff'"), ("count", "'x'"), ("seq", "'x'")];
    for (day, (column, value)) in (401..).zip(values) {
        tamperer.set(column, value, 5).await;
        let mut found = Vec::new();
        let report = |log: VerificationReport| found.push((log.end.organization, audit_verify::assess(&log)));
        fixture.log.verify(None, &[], signer, report).await.expect("the others are verified");
        assert_eq!(found.len(), 2, "{column}: {found:?}");
        for (organization, (assurance, message)) in found {
            if organization == fixture.organization() {
                assert!(assurance == Assurance::Tampered && message.contains("event 5 "), "{column}: {message}");
            } else {
                assert_eq!(assurance, Assurance::Proven, "{column}: {message}");
            }
        }
        // Retention prunes the other logs, but not this one.
        let later = fixture.app.clock.now().plus_millis(day * DAY);
        fixture.store.purge(later, Some(keyring.clone()), true).await.expect("the others are pruned");
        let mut begins = Vec::new();
        for organization in [fixture.organization(), other] {
            let chain =
                ports::AuditLog::chain(&*fixture.store.audit, organization).await.expect("read").expect("a log");
            begins.push(chain.begin.seq);
        }
        assert_eq!(begins, [2, 1], "{column}");
        tamperer.restore().await;
    }
    fixture.store.close().await;
}

#[tokio::test]
async fn an_unusable_file_is_a_usage_error() {
    let fixture = Fixture::new().await;
    let chain =
        ports::AuditLog::chain(&*fixture.store.audit, fixture.organization()).await.expect("read").expect("a log");
    let signed = chain.checkpoint.expect("a checkpoint");
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("text").to_owned();
    let (missing, readable, checkpoints) = (path("missing"), path("readable"), path("checkpoints"));
    std::fs::write(&readable, SigningKey::ed25519("").pem()).expect("written");
    std::fs::set_permissions(&readable, Permissions::from_mode(0o644)).expect("changed");
    std::fs::write(&checkpoints, [&b"caf\xe9 \xff\n"[..], signed.as_bytes(), b"\r\n"].concat()).expect("written");
    let run = |arguments: &[&str], signing: &str| {
        let settings = [("CLAVIGER_DATABASE_URL", fixture.app.database.url()), ("CLAVIGER_SIGNING_KEY_FILE", signing)];
        let output = Process::run(arguments, &settings);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let signing = signing_key().to_str().expect("text");
    let verify = ["audit", "verify", "--organization", &fixture.tenant.org_id];
    for file in [&missing, &readable] {
        for command in [&verify[..], &["retention", "run"]] {
            let (code, err) = run(command, file);
            assert!(code == Some(2) && err.contains(file.as_str()), "{command:?}: {code:?} {err}");
        }
    }
    for file in [missing.as_str(), directory.path().to_str().expect("text")] {
        let (code, err) = run(&[&verify[..], &["--checkpoints", file]].concat(), signing);
        assert!(code == Some(2) && err.contains(file), "{code:?} {err}");
    }
    let (code, err) = run(&[&verify[..], &["--checkpoints", &checkpoints]].concat(), signing);
    assert_eq!(code, Some(0), "a line that is not UTF-8 is left out: {err}");
    fixture.store.close().await;
}
