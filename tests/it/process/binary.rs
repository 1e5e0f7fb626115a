//! The binary: commands, settings, exit codes, and output.

use std::{path::Path, process::Output, time::Duration};

use harness::{KeySpec, Process, TestApp, TestDatabase};
use serde_json::{Value, json};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[tokio::test]
async fn bootstrap_creates_one_platform_and_prints_only_its_key() {
    let database = TestDatabase::empty().await;
    let settings = [("CLAVIGER_DATABASE_URL", database.url())];
    let nothing = Process::run(&["bootstrap", "--again"], &settings);
    assert_eq!((nothing.status.code(), stdout(&nothing).as_str()), (Some(1), ""), "no platform yet");
    let first = Process::run(&["bootstrap"], &settings);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let key = stdout(&first);
    assert!(key.starts_with("cvg_") && key.ends_with('\n') && key.lines().count() == 1);
    assert!(!stderr(&first).contains(key.trim()));
    let second = Process::run(&["bootstrap"], &settings);
    assert_eq!((second.status.code(), stdout(&second).as_str()), (Some(1), ""));
    assert!(stderr(&second).contains("the platform organization already exists"), "{}", stderr(&second));
    let again = Process::run(&["bootstrap", "--again"], &settings);
    assert_eq!(again.status.code(), Some(0));
    assert_ne!(stdout(&again), key);

    let process = Process::serve(&settings);
    let anyone = process.anyone();
    let check = async |key: &str| anyone.with_bearer(key.trim()).get("/auth/check-key").await.json()["data"].clone();
    let (one, two) = (check(&key).await, check(&stdout(&again)).await);
    assert_eq!(one["org_name"], "Platform");
    assert_eq!(one["org_id"], two["org_id"]);
    assert_ne!(one["key_id"], two["key_id"]);
}

#[test]
fn all_invalid_settings_are_reported_at_once() {
    let settings = [
        ("CLAVIGER_LISTEN", "nowhere"),
        ("CLAVIGER_SIGNUP", "maybe"),
        ("CLAVIGER_SIGNUP_RATE", "many"),
        ("CLAVIGER_DATABASE_URL", "mysql://root:hunter2@db/keys"),
    ];
    for command in ["serve", "migrate", "bootstrap", "openapi", "health"] {
        let output = Process::run(&[command], &settings);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{command}");
        let text = stderr(&output);
        for (name, value) in settings {
            assert!(text.contains(name), "{name} in {text}");
            assert!(!text.contains(value), "{value} in {text}");
        }
    }
    assert_eq!(Process::run(&["--nonsense"], &[]).status.code(), Some(2));
    assert!(stderr(&Process::run(&["health"], &[("CLAVIGER_SINGUP", "closed")])).contains("CLAVIGER_SINGUP"));
}

#[tokio::test]
async fn concurrent_starts_migrate_once() {
    let database = TestDatabase::empty().await;
    let url = database.url().to_owned();
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || Process::run(&["migrate"], &[("CLAVIGER_DATABASE_URL", &url)]))
        })
        .collect();
    for start in starts {
        let output = start.join().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let app = TestApp::start_on(database, |_| {}).await;
    assert_eq!(app.anyone().get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn the_migration_waits_for_the_write_lock_of_the_sqlite_file() {
    let database = TestDatabase::sqlite();
    let writer = database.hold_write_lock().await;
    let url = database.url().to_owned();
    let mut start = tokio::task::spawn_blocking(move || Process::run(&["migrate"], &[("CLAVIGER_DATABASE_URL", &url)]));
    // On a loaded machine it may not have begun yet. Then this checks less, but does not fail.
    let ended = tokio::time::timeout(Duration::from_millis(300), &mut start).await;
    assert!(ended.is_err(), "it waits: {}", stderr(&ended.expect("it ended").expect("it runs")));
    drop(writer);
    let output = start.await.expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[tokio::test]
async fn a_schema_expanded_by_a_newer_version_is_compatible() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = domain::keys::quota::Quota { remaining: Some(3), ..domain::keys::quota::Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let verify = async |app: &TestApp, remaining: u64| {
        let answer = app.caller(tenant.admin.bearer()).post("/api_keys/verify", &json!({"key": key})).await;
        assert_eq!(answer.json()["remaining"], remaining, "{}", answer.text);
    };
    verify(&app, 2).await;
    app.expand_schema().await;
    // The same prepared statements, on tables with more columns.
    verify(&app, 1).await;
    let update = json!({"keyId": id, "name": "renamed"});
    assert_eq!(tenant.admin.post("/api/auth/api-key/update", &update).await.status, 200);
    assert_eq!(tenant.admin.get(&format!("/orgs/{}/api_keys", tenant.org_id)).await.status, 200);
    assert_eq!(app.anyone().get("/health/ready").await.status, 200);
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    verify(&app, 0).await;
    app.tenant("Other").await;
}

#[tokio::test]
async fn a_schema_contracted_by_a_newer_version_is_refused() {
    let app = TestApp::start().await;
    app.contract_schema().await;
    assert_eq!(app.anyone().get("/health/ready").await.status, 503);
    let (_, database) = app.stop().await;
    for command in ["serve", "migrate", "bootstrap"] {
        let output = Process::run(&[command], &[("CLAVIGER_DATABASE_URL", database.url())]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        assert!(text.contains("the database is newer than this program"), "{command}: {text}");
        assert!(text.contains("m29991231_000002_x_contract"), "{command}: {text}");
    }
}

#[test]
fn one_process_serves_a_sqlite_file() {
    let database = TestDatabase::sqlite();
    let settings = [("CLAVIGER_DATABASE_URL", database.url())];
    let first = Process::serve(&settings);
    let second = Process::run(&["serve"], &settings);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another process serves this database"), "{}", stderr(&second));
    let other = Process::run(&["bootstrap"], &settings);
    assert_eq!(other.status.code(), Some(0), "other commands can run at the same time: {}", stderr(&other));
    first.signal("KILL");
    let (status, _) = first.wait();
    assert_eq!(status.code(), None, "killed");
    let third = Process::serve(&settings);
    drop(third);
}

#[test]
fn the_health_command_checks_the_running_server() {
    let database = TestDatabase::sqlite();
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url())]);
    let listen = process.address.to_string();
    assert_eq!(Process::run(&["health"], &[("CLAVIGER_LISTEN", &listen)]).status.code(), Some(0));
    let any = format!("0.0.0.0:{}", process.address.port());
    assert_eq!(Process::run(&["health"], &[("CLAVIGER_LISTEN", &any)]).status.code(), Some(0));
    process.signal("KILL");
    let _ = process.wait();
    assert_eq!(Process::run(&["health"], &[("CLAVIGER_LISTEN", &listen)]).status.code(), Some(1));
}

#[test]
fn the_committed_openapi_document_is_up_to_date() {
    let generated = stdout(&Process::run(&["openapi"], &[]));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let committed = std::fs::read_to_string(&path).expect("docs/openapi.json");
    assert!(
        generated == committed,
        "docs/openapi.json is not what the program says: claviger openapi > docs/openapi.json"
    );
}

#[tokio::test]
async fn the_log_has_one_line_per_request_and_no_secrets() {
    let database = TestDatabase::sqlite();
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_LOG", "trace")]);
    let anyone = process.anyone();
    let body = json!({"user_name": "Ada", "org_name": "Acme", "user_email": "ada@example.com"});
    let data = anyone.post("/auth/create-key", &body).await.json()["data"].clone();
    let text = |name: &str| data[name].as_str().expect("text").to_owned();
    let (key, org, key_id) = (text("api_key"), text("org_id"), text("key_id"));
    let keys = format!("/orgs/{org}/api_keys");
    let admin = anyone.with_bearer(&key).with("x-request-id", "the-list");
    assert_eq!(admin.get(&keys).await.status, 200);
    let created = admin.post(&keys, &json!({"name": "n", "permissions": ["*"]})).await.json();
    let second = created["key"].as_str().expect("text").to_owned();
    let target = created["id"].as_str().expect("text");
    let renamed = admin
        .without("x-request-id")
        .with("x-request-id", "the-change")
        .patch(&format!("{keys}/{target}"), &json!({"name": "m"}))
        .await;
    assert_eq!(renamed.status, 200);
    let mut wrong = second.clone();
    wrong.replace_range(..3, "xyz");
    assert_eq!(anyone.with("x-request-id", "the-wrong").with_bearer(&wrong).get(&keys).await.status, 401);
    assert_eq!(anyone.with("cookie", &format!("apiKeyCookie={second}")).get(&keys).await.status, 200);
    assert_eq!(admin.get(&format!("/orgs/{second}/api_keys")).await.status, 404, "a key in the path");
    assert_eq!(admin.get(&format!("/{second}")).await.status, 404);
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0));

    let hash = |text: &str| *domain::keys::secret::SecretHash::of(text).expect("a secret").bytes();
    let hex = |bytes: [u8; 32]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    for secret in [&key, &second, &wrong, &hex(hash(&key)), &hex(hash(&second)), "ada@example.com"] {
        assert!(!log.to_lowercase().contains(&secret.to_lowercase()), "{secret} in {log}");
    }
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let of = |id: &str| events.iter().filter(|event| event["span"]["request_id"] == id).collect::<Vec<_>>();
    let wrong = of("the-wrong");
    assert_eq!(wrong.len(), 1, "one log line for a request");
    assert_eq!(wrong[0]["status"], 401);
    assert_eq!(wrong[0]["cause"], "authentication failed: InvalidApiKey");
    let list = of("the-list");
    assert_eq!(list[0]["span"]["operation"], "listApiKeys");
    assert_eq!(list[0]["span"]["key_id"], key_id.as_str());
    assert_eq!(list[0]["span"]["org_id"], org.as_str());
    assert_eq!(list[0]["span"]["target_org_id"], org.as_str());
    assert_eq!(list[0]["span"]["target_id"], Value::Null);
    let change = of("the-change");
    assert_eq!(
        (&change[0]["span"]["operation"], &change[0]["span"]["target_id"]),
        (&json!("updateApiKey"), &json!(target))
    );
    for start in ["listening", "database", "schema", "sign-up", "stopped"] {
        assert_eq!(events.iter().filter(|event| event["message"] == start).count(), 1, "{start}");
    }
}

#[test]
fn an_unreachable_database_is_reported_without_its_password() {
    let settings =
        [("CLAVIGER_DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/keys"), ("CLAVIGER_DATABASE_TIMEOUT", "1s")];
    let output = Process::run(&["serve"], &settings);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("postgres://127.0.0.1:1/keys") && !text.contains("hunter2"), "{text}");
}
