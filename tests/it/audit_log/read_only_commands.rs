//! Read-only commands do not create, migrate or write anything, and fail if there is nothing to read.

use std::{collections::BTreeMap, fs, path::Path, process::Output};

use harness::{Process, TestApp, TestDatabase};
use serde_json::json;

const UNKNOWN_ORGANIZATION: &str = "01a1b2c3-0000-7000-8000-000000000000";

/// Read-only commands, and commands that need an existing database.
const COMMANDS: [&[&str]; 4] = [
    &["audit", "verify"],
    &["import", "better-auth", "sqlite:///nowhere/app.db", "--organization", UNKNOWN_ORGANIZATION, "--dry-run"],
    &["bootstrap", "--again"],
    &["retention", "run"],
];

fn run(arguments: &[&str], url: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Process::run(arguments, &[("CLAVIGER_DATABASE_URL", url)]);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// The files of a directory and their contents.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| (path.display().to_string(), fs::read(&path).expect("a file"))).collect()
}

#[test]
fn commands_name_a_missing_database_file_and_do_not_create_it() {
    let database = TestDatabase::sqlite();
    let file = database.sqlite_file().expect("SQLite");
    for command in COMMANDS {
        let (code, out, err) = run(command, database.url());
        let reported = format!("there is no database at {}", file.display());
        assert!(code == Some(1) && out.is_empty() && err.contains(&reported), "{command:?}: {out} {err}");
        assert_eq!(files(file.parent().expect("a directory")), BTreeMap::new(), "{command:?} made something");
    }
}

#[tokio::test]
async fn read_only_commands_do_not_create_a_schema() {
    let database = TestDatabase::empty().await;
    if let Some(file) = database.sqlite_file() {
        fs::write(file, "").expect("an empty database");
    }
    for command in [COMMANDS, COMMANDS].concat() {
        let (code, out, err) = run(command, database.url());
        let reported = err.contains("the database has no Claviger schema yet; run `claviger migrate`");
        assert!(code == Some(1) && out.is_empty() && reported, "{command:?}: {out} {err}");
    }
}

#[tokio::test]
async fn read_only_commands_do_not_migrate_an_older_schema() {
    let database = TestDatabase::fresh().await;
    assert_eq!(run(&["migrate"], database.url()).0, Some(0));
    assert_eq!(run(&["bootstrap"], database.url()).0, Some(0));
    database.make_schema_older().await;
    for command in [COMMANDS, COMMANDS].concat() {
        let (code, out, err) = run(command, database.url());
        let reported = err.contains("is older than this program") && err.contains("run `claviger migrate`");
        assert!(code == Some(1) && out.is_empty() && reported, "{command:?}: {out} {err}");
    }
}

#[tokio::test]
async fn verifying_no_log_is_a_failure() {
    let database = TestDatabase::empty().await;
    assert_eq!(run(&["migrate"], database.url()).0, Some(0));
    let (code, out, err) = run(&["audit", "verify"], database.url());
    assert!(code == Some(1) && out.is_empty() && err.contains("nothing was verified"), "{out} {err}");
    let (code, _, err) = run(&["bootstrap", "--again"], database.url());
    assert!(code == Some(1) && err.contains("there is no platform organization yet"), "{err}");
    assert_eq!(run(&["bootstrap"], database.url()).0, Some(0));
    let (code, out, _) = run(&["audit", "verify"], database.url());
    assert!(code == Some(3) && out.lines().count() == 1, "nothing is signed yet: {out}");
    let (code, out, err) = run(&["audit", "verify", "--organization", UNKNOWN_ORGANIZATION], database.url());
    assert!(
        code == Some(1) && out.is_empty() && err.contains(&format!("no log of {UNKNOWN_ORGANIZATION}")),
        "{out} {err}"
    );
}

#[tokio::test]
async fn read_only_commands_do_not_change_files() {
    let database = TestDatabase::sqlite();
    let url = database.url();
    assert_eq!(run(&["bootstrap"], url).0, Some(0));
    let other = TestDatabase::sqlite();
    fs::write(other.sqlite_file().expect("SQLite"), "").expect("a file");
    let directory = database.sqlite_file().expect("SQLite").parent().expect("a directory").to_owned();
    let before = files(&directory);
    assert_eq!(run(&["audit", "verify"], url).0, Some(3));
    let dry = ["import", "better-auth", other.url(), "--organization", UNKNOWN_ORGANIZATION, "--dry-run"];
    assert_eq!(run(&dry, url).0, Some(1), "there is no table");
    assert!(files(&directory) == before, "{:?}", files(&directory).keys());
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn audit_verify_works_on_a_read_only_standby() {
    let app = TestApp::start().await;
    app.tenant("Acme").await;
    let (_, database) = app.stop().await;
    database.make_read_only().await;
    let (code, out, err) = run(&["audit", "verify"], database.url());
    assert!(code == Some(3) && out.contains("internally consistent"), "without the signing key: {out} {err}");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_database_user_without_schema_rights_can_serve_a_current_schema() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, database) = app.stop().await;
    let url = database.user_without_create().await;
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", &url)]);
    let admin = process.anyone().with_bearer(tenant.admin.bearer());
    assert_eq!(admin.get("/health/ready").await.status, 200);
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    assert_eq!(admin.post(&keys, &json!({"name": "n", "permissions": []})).await.status, 200);
    assert_eq!(run(&["audit", "verify"], &url).0, Some(3));
    assert_eq!(run(&["retention", "run"], &url).0, Some(0));
    drop(process);
    database.make_schema_older().await;
    for command in ["serve", "migrate"] {
        let (code, _, err) = run(&[command], &url);
        let reported = err.contains("is not allowed to bring the schema up to date")
            && err.contains("run `claviger migrate` once as");
        assert!(code == Some(1) && reported, "{command}: {err}");
    }
}

#[test]
fn a_database_url_without_a_database_name_is_refused() {
    for url in ["postgres://me:hunter2@127.0.0.1:1", "postgresql://127.0.0.1/"] {
        let (code, _, err) = run(&["serve"], url);
        assert!(
            code == Some(2) && err.contains("CLAVIGER_DATABASE_URL must be a URL that names the database"),
            "{err}"
        );
        assert!(!err.contains("hunter2"), "{err}");
    }
    let database = TestDatabase::sqlite();
    assert_eq!(run(&["migrate"], database.url()).0, Some(0));
    let import =
        ["import", "better-auth", "postgres://127.0.0.1:1", "--organization", UNKNOWN_ORGANIZATION, "--dry-run"];
    let (code, _, err) = run(&import, database.url());
    assert!(code == Some(1) && err.contains("must be a URL that names the database"), "{err}");
}
