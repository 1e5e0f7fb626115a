//! Acknowledged writes are stored: after a full disk, a failed statement, a killed connection, or the loss of the file.

use std::{fs, os::unix::fs::FileExt};

use harness::{Answer, Caller, CommitCut, KeySpec, Process, SmallDisk, TestApp, TestDatabase, signing_key, wait_until};
use serde_json::{Value, json};

use crate::keys::import::{import, key as imported_key, secret};

const VERIFY: &str = "/api_keys/verify";

/// Waits until `/health/ready` has this status.
async fn readiness_is(caller: &Caller, status: u16) {
    wait_until(&format!("/health/ready with {status}"), async || {
        let answer = caller.get("/health/ready").await;
        (answer.status == status).then_some(()).ok_or((answer.status, answer.text))
    })
    .await;
}

fn is_unavailable(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{what}: {}", answer.text);
}

/// An organization on a process.
struct Organization {
    admin: Caller,
    path: String,
}

impl Organization {
    async fn sign_up(anyone: &Caller, email: &str) -> Self {
        let body = json!({"user_name": "A", "org_name": "A", "user_email": email});
        let data = anyone.post("/auth/create-key", &body).await.json()["data"].clone();
        let path = format!("/orgs/{}", data["org_id"].as_str().expect("an id"));
        Self { admin: anyone.with_bearer(data["api_key"].as_str().expect("a key")), path }
    }

    fn id(&self) -> &str {
        self.path.trim_start_matches("/orgs/")
    }

    fn keys(&self) -> String {
        format!("{}/api_keys", self.path)
    }

    fn key(&self, key: &Value) -> String {
        format!("{}/{}", self.keys(), key["id"].as_str().expect("an id"))
    }

    async fn create(&self, body: &Value) -> Value {
        let answer = self.admin.post(&self.keys(), body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    async fn verify(&self, key: &Value) -> Value {
        self.admin.post(VERIFY, &json!({"key": key["key"]})).await.json()
    }
}

/// The kinds of writes that are answered.
const KINDS: [&str; 15] = [
    "create",
    "update",
    "rotate",
    "delete",
    "set",
    "member",
    "session",
    "bulk",
    "sign-up",
    "spend",
    "import",
    "suspend",
    "delete organization",
    "token",
    "idempotent",
];

/// Organizations and keys for writes on a full disk.
struct Fixture {
    acme: Organization,
    other: Organization,
    platform: Caller,
    plain: Value,
    metered: Value,
}

impl Fixture {
    fn sets(&self) -> String {
        format!("{}/permission_sets", self.acme.path)
    }

    /// Sends a request that writes.
    async fn write(&self, kind: &str) -> Answer {
        let Self { acme, other, platform, .. } = self;
        let (admin, keys, victim) = (&acme.admin, acme.keys(), acme.key(&self.plain));
        let new = json!({"name": "n", "permissions": []});
        match kind {
            "create" => admin.post(&keys, &new).await,
            "update" => admin.patch(&victim, &json!({"name": "lost"})).await,
            "rotate" => admin.post(&format!("{victim}/rotate"), &json!({"grace_seconds": 60})).await,
            "delete" => admin.delete(&victim).await,
            "set" => admin.post(&self.sets(), &json!({"name": "lost", "permissions": []})).await,
            "member" => {
                let body = json!({"user_email": "b@example.com", "user_name": "B", "permissions": []});
                admin.post(&format!("{}/members", acme.path), &body).await
            }
            "session" => admin.post("/session", &json!({})).await,
            "bulk" => admin.post(&format!("{keys}/bulk_create"), &json!({"keys": [new]})).await,
            "sign-up" => {
                let body = json!({"user_name": "C", "user_email": "c@example.com"});
                platform.post("/auth/create-key", &body).await
            }
            "import" => import(admin, acme.id(), &[imported_key(&secret(0), &json!({}))]).await,
            "suspend" => platform.patch(&other.path, &json!({"suspended": true})).await,
            "delete organization" => platform.delete(&format!("{}?confirm={}", other.path, other.id())).await,
            "token" => admin.post("/tokens", &json!({"audience": "a"})).await,
            "idempotent" => admin.with("idempotency-key", "once").post(&keys, &new).await,
            _ => admin.post(VERIFY, &json!({"key": self.metered["key"]})).await,
        }
    }
}

/// Each kind of write fails on a full disk. Then there is room again: one change is refused inside its transaction, and others
/// are acknowledged. A second process finds all acknowledged ones.
#[tokio::test]
async fn writes_acknowledged_after_a_full_disk_are_stored() {
    let disk = SmallDisk::mount(16);
    let url = format!("sqlite://{}", disk.path().join("claviger.db").display());
    let settings = [("CLAVIGER_DATABASE_URL", url.as_str())];
    let root_key = String::from_utf8(Process::run(&["bootstrap"], &settings).stdout).expect("text");
    let process = Process::serve(&settings);
    let anyone = process.anyone();
    let acme = Organization::sign_up(&anyone, "a@example.com").await;
    let other = Organization::sign_up(&anyone, "o@example.com").await;
    let plain = acme.create(&json!({"name": "plain", "permissions": []})).await;
    let metered = acme.create(&json!({"name": "metered", "permissions": [], "remaining": 100})).await;
    let fixture = Fixture { acme, other, platform: anyone.with_bearer(root_key.trim()), plain, metered };
    let Fixture { acme, plain, metered, .. } = &fixture;
    assert_eq!(acme.admin.post(&fixture.sets(), &json!({"name": "one", "permissions": []})).await.status, 200);
    assert_eq!(acme.verify(plain).await["valid"], true);
    let mut remaining = acme.verify(metered).await["remaining"].as_u64().expect("a number");

    let mut deleted = Vec::new();
    let mut created = Vec::new();
    for kind in KINDS {
        disk.fill();
        let answer = fixture.write(kind).await;
        is_unavailable(&answer, kind);
        is_unavailable(&anyone.get("/health/ready").await, "not ready while writes fail");
        assert_eq!(anyone.get("/health/live").await.status, 200);
        assert_eq!(acme.verify(plain).await["valid"], true, "{kind}: from the cache");

        disk.free();
        readiness_is(&anyone, 200).await;
        let refused = acme.admin.post(&fixture.sets(), &json!({"name": "one", "permissions": []})).await;
        assert_eq!(refused.status, 409, "{kind}: {}", refused.text);
        let to_delete = acme.create(&json!({"name": kind, "permissions": []})).await;
        assert_eq!(acme.verify(&to_delete).await["valid"], true);
        assert_eq!(acme.admin.delete(&acme.key(&to_delete)).await.status, 200);
        assert_eq!(acme.verify(&to_delete).await["valid"], false, "{kind}: deleted");
        deleted.push(to_delete);
        created.push(acme.create(&json!({"name": kind, "permissions": []})).await);
        remaining -= 1;
        assert_eq!(acme.verify(metered).await["remaining"], remaining, "{kind}: a 503 uses nothing");
    }
    assert_eq!(fixture.other.admin.get("/me").await.status, 200, "neither suspended nor deleted");
    let repeated = fixture.write("idempotent").await;
    assert_eq!((repeated.status, repeated.header("idempotent-replayed")), (200, ""), "it was not done before");
    // Counted in the background, also during each outage.
    let verifies = json!(1 + KINDS.len());
    wait_until("all verifies to be counted", async || {
        let count = acme.admin.get(&acme.key(plain)).await.json()["request_count"].clone();
        (count == verifies).then_some(()).ok_or(count)
    })
    .await;
    process.signal("KILL");
    let (_, log) = process.wait();
    let faults = log.lines().filter(|line| line.contains(r#""reason":"the disk of the database is full""#));
    assert_eq!(faults.count(), KINDS.len(), "one line for each outage: {log}");

    let second = Process::serve(&settings);
    let acme = Organization { admin: acme.admin.at(&format!("http://{}", second.address)), path: acme.path.clone() };
    for (deleted, created) in deleted.iter().zip(&created) {
        assert_eq!(acme.verify(deleted).await["code"], "INVALID_API_KEY", "{}", deleted["name"]);
        assert_eq!(acme.verify(created).await["valid"], true, "{}", created["name"]);
    }
    assert_eq!(acme.verify(plain).await["name"], "plain");
    assert_eq!(acme.verify(metered).await["remaining"], remaining - 1);
}

#[tokio::test]
async fn an_unwritable_database_is_refused_at_the_start() {
    let disk = SmallDisk::mount(16);
    let url = format!("sqlite://{}", disk.path().join("claviger.db").display());
    let signing_key = signing_key().display().to_string();
    let settings = [("CLAVIGER_DATABASE_URL", url.as_str()), ("CLAVIGER_SIGNING_KEY_FILE", &signing_key)];
    assert_eq!(Process::run(&["migrate"], &settings).status.code(), Some(0));
    disk.fill();
    let output = Process::run(&["serve"], &settings);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.starts_with("claviger: ") && line.contains("disk")), "{text}");
}

#[tokio::test]
async fn a_database_on_a_read_only_disk_is_refused_at_the_start() {
    let disk = SmallDisk::mount(16);
    let url = format!("sqlite://{}", disk.path().join("claviger.db").display());
    let signing_key = signing_key().display().to_string();
    let settings = [("CLAVIGER_DATABASE_URL", url.as_str()), ("CLAVIGER_SIGNING_KEY_FILE", &signing_key)];
    assert_eq!(Process::run(&["migrate"], &settings).status.code(), Some(0));
    disk.make_read_only();
    let output = Process::run(&["serve"], &settings);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("claviger: ") && last.contains("Read-only"), "{text}");
}

/// What happens to the file while it is in use.
type Damage = fn(&std::path::Path);

fn remove(file: &std::path::Path) {
    fs::rename(file, file.with_extension("elsewhere")).expect("it can be moved");
}

fn replace(file: &std::path::Path) {
    fs::copy(file, file.with_extension("copy")).expect("it can be copied");
    fs::rename(file.with_extension("copy"), file).expect("it can be replaced");
}

fn truncate(file: &std::path::Path) {
    fs::OpenOptions::new().write(true).open(file).expect("it opens").set_len(0).expect("it can be truncated");
}

#[tokio::test]
async fn no_write_is_acknowledged_after_the_file_was_removed_or_changed() {
    let damages: [(&str, Damage); 5] = [
        ("removed", remove),
        ("replaced", replace),
        ("truncated", truncate),
        ("log removed", remove_log),
        ("log replaced", replace_log),
    ];
    for (word, damage) in damages {
        let (app, file) = TestApp::on_a_file().await;
        let tenant = app.tenant("Acme").await;
        let plain = tenant.create_key(&json!({"name": "plain", "permissions": []})).await;
        let metered = tenant.create_key(&json!({"name": "metered", "permissions": [], "remaining": 10})).await;
        for key in [&plain, &metered] {
            assert_eq!(tenant.admin.post(VERIFY, &json!({"key": key})).await.json()["valid"], true);
        }
        damage(&file);
        let keys = format!("/orgs/{}/api_keys", tenant.org_id);
        let create = json!({"name": "n", "permissions": []});
        is_unavailable(&tenant.admin.post(&keys, &create).await, word);
        is_unavailable(&tenant.admin.post(VERIFY, &json!({"key": metered})).await, word);
        assert_eq!(tenant.admin.post(VERIFY, &json!({"key": plain})).await.json()["valid"], true, "from the cache");
        assert_eq!(app.anyone().get("/health/ready").await.status, 503, "{word}");
    }
}

fn remove_log(file: &std::path::Path) {
    fs::remove_file(file.with_extension("db-wal")).expect("it can be removed");
}

fn replace_log(file: &std::path::Path) {
    let log = file.with_extension("db-wal");
    fs::copy(&log, file.with_extension("copy")).expect("it can be copied");
    fs::rename(file.with_extension("copy"), log).expect("it can be replaced");
}

/// Overwrites the file in place: it stays the same file, and does not become smaller.
fn overwrite(file: &std::path::Path, bytes: &[u8]) {
    let opened = fs::OpenOptions::new().write(true).open(file).expect("it opens");
    opened.write_all_at(bytes, 0).expect("overwritten");
}

fn overwrite_with_garbage(file: &std::path::Path) {
    overwrite(file, &vec![b'x'; usize::try_from(fs::metadata(file).expect("a file").len()).expect("small")]);
}

/// SQLite itself does not notice this while the page is in the write-ahead log, too.
fn overwrite_the_first_page(file: &std::path::Path) {
    overwrite(file, &[b'x'; 4_096]);
}

fn overwrite_with_another_database(file: &std::path::Path) {
    let other = TestDatabase::sqlite();
    assert_eq!(Process::run(&["migrate"], &[("CLAVIGER_DATABASE_URL", other.url())]).status.code(), Some(0));
    overwrite(file, &fs::read(other.file()).expect("it is closed, so all of it is in the file"));
}

#[tokio::test]
async fn a_node_whose_database_file_was_overwritten_is_not_ready() {
    let damages: [(&str, Damage); 3] = [
        ("garbage", overwrite_with_garbage),
        ("the first page", overwrite_the_first_page),
        ("another database", overwrite_with_another_database),
    ];
    for (word, damage) in damages {
        let (app, file) = TestApp::on_a_file().await;
        let tenant = app.tenant("Acme").await;
        assert_eq!(app.anyone().get("/health/ready").await.status, 200);
        damage(&file);
        readiness_is(&app.anyone(), 503).await;
        let create = json!({"name": "n", "permissions": []});
        let refused = tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &create).await;
        assert!(refused.status >= 500, "{word}: {}", refused.text);
    }
}

#[test]
fn a_database_file_with_several_names_has_one_process() {
    let database = TestDatabase::sqlite();
    let settings = [("CLAVIGER_DATABASE_URL", database.url())];
    let process = Process::serve(&settings);
    let (link, name) = (database.file().with_extension("link"), database.file().with_extension("name"));
    std::os::unix::fs::symlink(database.file(), &link).expect("a link");
    let refused = |path: &std::path::Path| {
        let url = format!("sqlite://{}", path.display());
        let output = Process::run(&["serve"], &[("CLAVIGER_DATABASE_URL", &url)]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&link).contains("another process serves this database"));
    fs::hard_link(database.file(), &name).expect("another name");
    assert!(refused(&name).contains("hard links"));
    drop(process);
}

#[tokio::test]
async fn a_restored_database_file_is_used_again() {
    let (app, file) = TestApp::on_a_file().await;
    let tenant = app.tenant("Acme").await;
    remove(&file);
    readiness_is(&app.anyone(), 503).await;
    fs::rename(file.with_extension("elsewhere"), &file).expect("it can be moved back");
    readiness_is(&app.anyone(), 200).await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    assert_eq!(tenant.admin.post(&keys, &json!({"name": "n", "permissions": []})).await.status, 200);
}

#[tokio::test]
async fn uses_are_counted_once_after_the_file_was_away() {
    let database = TestDatabase::sqlite();
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url())]);
    let anyone = process.anyone();
    let acme = Organization::sign_up(&anyone, "a@example.com").await;
    let plain = acme.create(&json!({"name": "plain", "permissions": []})).await;
    assert_eq!(acme.verify(&plain).await["valid"], true);
    remove(database.file());
    assert_eq!(acme.verify(&plain).await["valid"], true, "from the cache");
    wait_until("a log line about counts", async || {
        let log = process.log();
        if log.contains("writing usage counts failed; they are kept and retried") { Ok(()) } else { Err(log) }
    })
    .await;
    fs::rename(database.file().with_extension("elsewhere"), database.file()).expect("it can be moved back");
    readiness_is(&anyone, 200).await;
    wait_until("both verifies to be counted", async || {
        let count = acme.admin.get(&acme.key(&plain)).await.json()["request_count"].clone();
        if count == json!(2) { Ok(()) } else { Err(count) }
    })
    .await;
}

#[tokio::test]
async fn a_database_file_is_usable_after_vacuum() {
    let (app, file) = TestApp::on_a_file().await;
    let tenant = app.tenant("Acme").await;
    app.copy_key(&tenant.key_id, 20_000).await;
    app.remove_copies().await;
    app.checkpoint().await;
    let before = fs::metadata(&file).expect("a file").len();
    app.vacuum().await;
    let after = fs::metadata(&file).expect("a file").len();
    assert!(after < before, "{after} < {before}");
    readiness_is(&app.anyone(), 200).await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    assert_eq!(tenant.admin.post(&keys, &json!({"name": "n", "permissions": []})).await.status, 200);
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_broken_connection_at_commit_loses_no_acknowledged_change() {
    let (app, proxy) = TestApp::behind_a_proxy(|_| {}).await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    for (cut, is_done) in [(CommitCut::Before, false), (CommitCut::After, true)] {
        let mut attempts = 0..20;
        let secret = loop {
            attempts.next().expect("a deletion whose commit is cut");
            let (id, secret) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
            assert_eq!(tenant.admin.post(VERIFY, &json!({"key": secret})).await.json()["valid"], true);
            proxy.cut_at_commit(cut);
            let deleted = tenant.admin.delete(&format!("{keys}/{id}")).await;
            // If the proxy has cut a commit of background counts instead, the deletion succeeds: then try again.
            if deleted.status != 200 {
                is_unavailable(&deleted, "the outcome is unknown");
                break secret;
            }
        };
        assert!(!proxy.is_commit_awaited(), "it was cut");
        let verdict = tenant.admin.post(VERIFY, &json!({"key": secret})).await.json();
        assert_eq!(verdict["valid"], !is_done, "{cut:?}: the cached key is read again");
        let created = tenant.admin.post(&keys, &json!({"name": "n", "permissions": []})).await.json();
        let refused = tenant.admin.delete(&format!("{keys}/{}", "00000000-0000-4000-8000-000000000000")).await;
        assert_eq!(refused.status, 404);
        let other = Process::serve(&[("CLAVIGER_DATABASE_URL", app.database.url())]);
        let admin = tenant.admin.at(&format!("http://{}", other.address));
        let verdict = admin.post(VERIFY, &json!({"key": created["key"]})).await.json();
        assert_eq!(verdict["valid"], true, "{cut:?}: another process finds what was acknowledged");
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_connection_killed_in_a_transaction_acknowledges_nothing() {
    let (app, _proxy) = TestApp::behind_a_proxy(|_| {}).await;
    let tenant = app.tenant("Acme").await;
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let body = json!({"name": "one", "permissions": []});
    let lock = app.lock_organization(&tenant.org_id).await;
    let (answer, ()) = tokio::join!(tenant.admin.post(&sets, &body), async {
        wait_until("a transaction that waits for the lock", async || {
            (app.end_open_transactions().await > 0).then_some(()).ok_or("none")
        })
        .await;
    });
    is_unavailable(&answer, "killed while it waited");
    lock.rollback().await.expect("unlocked");
    assert_eq!(tenant.admin.get(&sets).await.json(), json!([]));
    assert_eq!(tenant.admin.post(&sets, &body).await.status, 200);
    assert_eq!(tenant.admin.post(&sets, &body).await.status, 409, "refused inside its transaction");
    let other = json!({"name": "two", "permissions": []});
    assert_eq!(tenant.admin.post(&sets, &other).await.status, 200);
    let other = Process::serve(&[("CLAVIGER_DATABASE_URL", app.database.url())]);
    let names = tenant.admin.at(&format!("http://{}", other.address)).get(&sets).await.json();
    assert_eq!(names.as_array().map(Vec::len), Some(2), "another process finds both: {names}");
}
