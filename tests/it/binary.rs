//! The binary: subcommands, settings, exit codes, and what it writes where.

use std::{path::Path, process::Output, time::Duration};

use harness::{Caller, KeySpec, Process, TestApp, TestDatabase};
use serde_json::{Value, json};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[tokio::test]
async fn bootstrap_makes_one_platform_and_prints_its_key_alone() {
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
    assert!(stderr(&second).contains("there is a platform organization already"), "{}", stderr(&second));
    let again = Process::run(&["bootstrap", "--again"], &settings);
    assert_eq!(again.status.code(), Some(0));
    assert_ne!(stdout(&again), key);

    let process = Process::serve(&settings);
    let anyone = Caller::anyone(format!("http://{}", process.address));
    let check = async |key: &str| anyone.with_bearer(key.trim()).get("/auth/check-key").await.json()["data"].clone();
    let (one, two) = (check(&key).await, check(&stdout(&again)).await);
    assert_eq!(one["org_name"], "Platform");
    assert_eq!(one["org_id"], two["org_id"]);
    assert_ne!(one["key_id"], two["key_id"]);
}

#[test]
fn all_mistakes_in_the_settings_are_told_at_once() {
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
async fn nodes_that_start_together_migrate_once() {
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
async fn a_file_that_another_process_writes_to_is_waited_for() {
    let database = TestDatabase::sqlite();
    let writer = database.writer().await;
    let url = database.url().to_owned();
    let mut start = tokio::task::spawn_blocking(move || Process::run(&["migrate"], &[("CLAVIGER_DATABASE_URL", &url)]));
    let ended = tokio::time::timeout(Duration::from_millis(300), &mut start).await;
    assert!(ended.is_err(), "it waits: {}", stderr(&ended.expect("it ended").expect("it runs")));
    drop(writer);
    let output = start.await.expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[tokio::test]
async fn a_newer_version_beside_this_one_or_before_it_is_no_matter() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = domain::quota::Quota { remaining: Some(3), ..domain::quota::Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let verify = async |app: &TestApp, remaining: u64| {
        let answer = app.caller(tenant.admin.bearer()).post("/api_keys/verify", &json!({"key": key})).await;
        assert_eq!(answer.json()["remaining"], remaining, "{}", answer.text);
    };
    verify(&app, 2).await;
    app.expand_schema().await;
    // The same prepared statements, on tables that have grown.
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
async fn a_database_that_a_newer_version_took_something_from_is_refused() {
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
fn on_sqlite_one_process_serves() {
    let database = TestDatabase::sqlite();
    let settings = [("CLAVIGER_DATABASE_URL", database.url())];
    let first = Process::serve(&settings);
    let second = Process::run(&["serve"], &settings);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another process serves this database"), "{}", stderr(&second));
    let other = Process::run(&["bootstrap"], &settings);
    assert_eq!(other.status.code(), Some(0), "other commands may run beside it: {}", stderr(&other));
    first.signal("KILL");
    let (status, _) = first.wait();
    assert_eq!(status.code(), None, "killed");
    let third = Process::serve(&settings);
    drop(third);
}

#[test]
fn health_asks_the_running_server() {
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
fn the_committed_document_is_the_generated_one() {
    let generated = stdout(&Process::run(&["openapi"], &[]));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let committed = std::fs::read_to_string(&path).expect("docs/openapi.json");
    assert!(
        generated == committed,
        "docs/openapi.json is not what the program says: claviger openapi > docs/openapi.json"
    );
}

#[tokio::test]
async fn the_log_tells_each_request_once_and_no_secret() {
    let database = TestDatabase::sqlite();
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_LOG", "trace")]);
    let anyone = Caller::anyone(format!("http://{}", process.address));
    let body = json!({"user_name": "Ada", "org_name": "Acme", "user_email": "ada@example.com"});
    let data = anyone.post("/auth/create-key", &body).await.json()["data"].clone();
    let text = |name: &str| data[name].as_str().expect("text").to_owned();
    let (key, org, key_id) = (text("api_key"), text("org_id"), text("key_id"));
    let keys = format!("/orgs/{org}/api_keys");
    let admin = anyone.with_bearer(&key).with("x-request-id", "the-list");
    assert_eq!(admin.get(&keys).await.status, 200);
    let created = admin.post(&keys, &json!({"name": "n", "permissions": ["*"]})).await.json();
    let second = created["key"].as_str().expect("text").to_owned();
    let mut wrong = second.clone();
    wrong.replace_range(..3, "xyz");
    assert_eq!(anyone.with("x-request-id", "the-wrong").with_bearer(&wrong).get(&keys).await.status, 401);
    assert_eq!(anyone.with("cookie", &format!("apiKeyCookie={second}")).get(&keys).await.status, 200);
    assert_eq!(admin.get(&format!("/orgs/{second}/api_keys")).await.status, 404, "a key in the path");
    assert_eq!(admin.get(&format!("/{second}")).await.status, 404);
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0));

    let hash = |text: &str| *domain::secret::SecretHash::of(text).expect("a secret").bytes();
    let hex = |bytes: [u8; 32]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    for secret in [&key, &second, &wrong, &hex(hash(&key)), &hex(hash(&second)), "ada@example.com"] {
        assert!(!log.to_lowercase().contains(&secret.to_lowercase()), "{secret} in {log}");
    }
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let of = |id: &str| events.iter().filter(|event| event["span"]["request_id"] == id).collect::<Vec<_>>();
    let wrong = of("the-wrong");
    assert_eq!(wrong.len(), 1, "one event for a request");
    assert_eq!(wrong[0]["status"], 401);
    assert_eq!(wrong[0]["cause"], "the key is not good: InvalidApiKey");
    let list = of("the-list");
    assert_eq!(list[0]["span"]["operation"], "listApiKeys");
    assert_eq!(list[0]["span"]["key_id"], key_id.as_str());
    assert_eq!(list[0]["span"]["org_id"], org.as_str());
    for start in ["listening", "database", "schema", "sign-up", "stopped"] {
        assert_eq!(events.iter().filter(|event| event["message"] == start).count(), 1, "{start}");
    }
}

#[test]
fn a_database_that_is_not_there_is_told_without_its_password() {
    let settings =
        [("CLAVIGER_DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/keys"), ("CLAVIGER_DATABASE_TIMEOUT", "1s")];
    let output = Process::run(&["serve"], &settings);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("postgres://127.0.0.1:1/keys") && !text.contains("hunter2"), "{text}");
}
