//! PostgreSQL as operators have it: URLs, passwords, schemas and rights, poolers, standbys and outages.

use std::{os::unix::fs::PermissionsExt, process::Output, time::Duration};

use harness::{
    POOLER_PASSWORD, Pooler, PostgresServer, Process, TestDatabase, cluster::feed_is, revocation::Revoker, wait_until,
    wait_until_refused,
};
use serde_json::json;

/// [`POOLER_PASSWORD`] as it is written in a URL.
const ENCODED_PASSWORD: &str = "p%40ss%2Fw%23rd%3F100%25";

/// How the payload of a heartbeat begins.
const HEARTBEAT: &str = "beat ";

/// Any organization.
const ORGANIZATION: &str = "00000000-0000-7000-8000-000000000000";

fn with_url(url: &str) -> [(&str, &str); 2] {
    [("CLAVIGER_DATABASE_URL", url), ("CLAVIGER_DATABASE_TIMEOUT", "2s")]
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The last line that the failed command printed.
fn failure(output: &Output) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    text.lines().last().expect("a line").to_owned()
}

/// Creates a key on one node, and revokes it: the other node, which has cached it, must refuse it in time.
async fn revocations_arrive(here: &Process, there: &Process) {
    let revoker = Revoker::sign_up(&here.anyone()).await;
    let watcher = there.anyone().with_bearer(revoker.admin.bearer());
    feed_is(&watcher, "1").await;
    let keys = revoker.create(1).await;
    let (id, secret) = &keys[0];
    let is_valid = async || {
        let answer = watcher.post("/api_keys/verify", &json!({"key": secret})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["valid"] == true
    };
    assert!(is_valid().await);
    let since = revoker.revoke(id).await;
    wait_until_refused("a revoked key", since, Duration::from_secs(2), is_valid).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn pgbouncer_in_session_mode_works_with_its_defaults() {
    let database = TestDatabase::empty().await;
    let pooler = Pooler::start(&database, "session");
    let url = pooler.url_with(&database, ENCODED_PASSWORD);
    // Together they need fewer connections than PgBouncer's default_pool_size.
    let settings = [("CLAVIGER_DATABASE_URL", url.as_str()), ("CLAVIGER_DATABASE_CONNECTIONS", "5")];
    let (here, there) = (Process::serve(&settings), Process::serve(&settings));
    revocations_arrive(&here, &there).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_pooler_in_transaction_or_statement_mode_is_refused() {
    for mode in ["transaction", "statement"] {
        let (database, own) = (TestDatabase::empty().await, TestDatabase::sqlite());
        assert!(Process::run(&["migrate"], &[("CLAVIGER_DATABASE_URL", own.url())]).status.success());
        let pooler = Pooler::start(&database, mode);
        let url = pooler.url_with(&database, ENCODED_PASSWORD);
        let import = ["import", "better-auth", "--organization", ORGANIZATION];
        let source = [("CLAVIGER_DATABASE_URL", own.url()), ("CLAVIGER_BETTER_AUTH_URL", url.as_str())];
        for output in [
            Process::run(&["serve"], &with_url(&url)),
            Process::run(&["audit", "verify"], &with_url(&url)),
            Process::run(&import, &source),
        ] {
            let line = failure(&output);
            assert!(line.contains("transaction or statement mode") && line.contains("pool_mode = session"), "{line}");
        }
        assert_eq!(database.schemas().await, Vec::<String>::new(), "nothing was created");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_password_can_be_in_the_url_the_environment_or_a_pgpass_file() {
    let database = TestDatabase::empty().await;
    let pooler = Pooler::start(&database, "session");
    let (url, wrong) = (pooler.url(&database), pooler.url_with(&database, "wrong"));
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("pgpass");
    // The second line has too few fields.
    std::fs::write(&file, format!("other:1:db:me:hunter2\nhunter2\n*:*:*:*:{POOLER_PASSWORD}\n")).expect("written");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("permissions");
    let migrate = |url: &str, name: &str, value: &str| {
        Process::run(&["migrate"], &[("CLAVIGER_DATABASE_URL", url), ("CLAVIGER_LOG", "trace"), (name, value)])
    };
    for output in [
        migrate(&url, "PGPASSWORD", POOLER_PASSWORD),
        migrate(&url, "PGPASSFILE", file.to_str().expect("text")),
        migrate(&pooler.url_with(&database, ENCODED_PASSWORD), "PGPASSWORD", "wrong"),
    ] {
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("p@ss"), "{text}");
    }
    let output = migrate(&wrong, "PGPASSWORD", POOLER_PASSWORD);
    assert!(failure(&output).contains("percent-encoded"), "{}", failure(&output));
}

#[test]
fn no_part_of_a_password_is_shown() {
    for url in ["postgres://me:hunter2@secret/word@host/db", "postgres://me:hunter2#secret@host/db"] {
        let output = Process::run(&["serve"], &with_url(url));
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("CLAVIGER_DATABASE_URL must be ") && text.contains("%40 for @"), "{text}");
        assert!(["hunter2", "secret", "word@"].iter().all(|part| !text.contains(part)), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn installations_in_the_schemas_of_one_database_are_separate() {
    let database = TestDatabase::empty().await;
    database.create_schema("\"Keys\"").await;
    let own = format!("{}?options=-c search_path=\"Keys\"", database.url());
    let (here, there) = (Process::serve(&with_url(&own)), Process::serve(&with_url(&own)));
    assert_eq!(database.schemas().await, ["Keys"]);
    revocations_arrive(&here, &there).await;
    let other = Process::serve(&with_url(database.url()));
    assert_eq!(database.schemas().await, ["Keys", "public"]);
    feed_is(&other.anyone(), "1").await;
    // Every node sends heartbeats on its channel. A change in the schema `public` is announced on the channel of that schema only.
    let [own_channel, public_channel] = ["claviger_changes_Keys", "claviger_changes"];
    let mut notifications = database.listen(&[own_channel, public_channel]).await;
    let revoker = Revoker::sign_up(&other.anyone()).await;
    let keys = revoker.create(1).await;
    let _ = revoker.revoke(&keys[0].0).await;
    let mut is_announced = false;
    loop {
        let (channel, payload) = Box::pin(notifications.next()).await;
        match (channel == own_channel, payload.starts_with(HEARTBEAT)) {
            (true, false) => panic!("a change of the other installation: {payload}"),
            (true, true) if is_announced => break,
            (false, false) => is_announced = true,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn missing_rights_are_reported_with_the_statement_that_grants_them() {
    let database = TestDatabase::empty().await;
    let url = database.user_without_rights().await;
    let user = format!("{}_limited", database.name());
    for (url, remedy) in [
        (url.clone(), format!("GRANT USAGE, CREATE ON SCHEMA public TO {user}")),
        (format!("{url}?options=-c search_path=keys"), format!("CREATE SCHEMA … AUTHORIZATION {user}")),
    ] {
        let line = failure(&Process::run(&["migrate"], &with_url(&url)));
        assert!(line.contains("is not allowed to ") && line.contains(&remedy), "{line}");
    }
    assert!(Process::run(&["migrate"], &with_url(database.url())).status.success());
    let line = failure(&Process::run(&["serve"], &with_url(&url)));
    assert!(line.contains(&format!("ON ALL TABLES IN SCHEMA public TO {user}")), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_server_is_reached_by_its_socket_and_refused_as_a_standby() {
    let server = PostgresServer::start();
    let database = TestDatabase::on(server.url()).await;
    let (directory, port) = (server.socket_directory().display().to_string(), database.server_address().port());
    let name = database.name();
    for url in [
        format!("postgres://postgres@/{name}?host={directory}&port={port}"),
        format!("postgres:///{name}?host={directory}&port={port}&user=postgres"),
        format!("postgresql://postgres@{}:{port}/{name}", directory.replace('/', "%2F")),
    ] {
        let output = Process::run(&["migrate"], &with_url(&url));
        assert!(output.status.success(), "{url}: {}", stderr(&output));
    }
    let missing = format!("postgres://postgres@/nothing?host={directory}&port={port}");
    let line = failure(&Process::run(&["serve"], &with_url(&missing)));
    assert!(line.contains("database \"nothing\" does not exist; create it"), "{line}");
    drop(database);
    server.become_standby();
    let line = failure(&Process::run(&["serve"], &with_url(server.url())));
    assert!(line.contains("the server is read-only, because it is a standby"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn an_outage_is_logged_once_with_its_reason() {
    let server = PostgresServer::start();
    let database = TestDatabase::on(server.url()).await;
    let process = Process::serve(&with_url(database.url()));
    let anyone = process.anyone();
    assert_eq!(anyone.get("/health/ready").await.status, 200);
    server.stop();
    wait_until("the reason of the outage", async || {
        let status = anyone.get("/health/ready").await.status;
        assert_eq!(status, 503);
        let log = process.log();
        if log.contains("the database server cannot be reached") { Ok(()) } else { Err(log) }
    })
    .await;
    server.restart();
    wait_until("the end of the outage", async || {
        let status = anyone.get("/health/ready").await.status;
        let log = process.log();
        if status == 200 && log.contains("can be reached again") { Ok(()) } else { Err((status, log)) }
    })
    .await;
    process.signal("TERM");
    let (_, log) = process.wait();
    // Failed requests have lines of their own.
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("the database server cannot be reached")).collect();
    assert!(lines.len() == 1 && lines[0].contains("Connection refused"), "{lines:?}");
    assert!(log.lines().any(|line| line.contains("change feed disconnected") && line.contains("Connection refused")));
}
