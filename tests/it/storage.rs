//! Acknowledged writes are stored: after a full disk, a failed statement, a killed connection, or a file that goes away.

use std::{fs, time::Duration};

use domain::quota::Quota;
use harness::{Answer, Caller, CommitCut, KeySpec, Process, Proxy, SmallDisk, TestApp, TestDatabase, signing_key};
use serde_json::{Value, json};

const VERIFY: &str = "/api_keys/verify";

/// Waits until `/health/ready` has this status.
async fn readiness_is(caller: &Caller, status: u16) {
    let change = async {
        while caller.get("/health/ready").await.status != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), change).await;
    assert!(in_time.is_ok(), "/health/ready is {status}");
}

fn is_unavailable(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{what}: {}", answer.text);
}

/// An organization behind a process, with what its tests change.
struct Organization {
    admin: Caller,
    path: String,
}

impl Organization {
    async fn sign_up(anyone: &Caller) -> Self {
        let body = json!({"user_name": "A", "org_name": "A", "user_email": "a@example.com"});
        let data = anyone.post("/auth/create-key", &body).await.json()["data"].clone();
        let path = format!("/orgs/{}", data["org_id"].as_str().expect("an id"));
        Self { admin: anyone.with_bearer(data["api_key"].as_str().expect("a key")), path }
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

/// Every kind of write meets a full disk first; after it there is room, a change is refused inside of its transaction, and
/// others are acknowledged. A second process then finds all of those.
#[tokio::test]
async fn after_a_full_disk_acknowledged_writes_are_stored() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let url = format!("sqlite://{}", disk.path().join("claviger.db").display());
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", &url)]);
    let anyone = Caller::anyone(format!("http://{}", process.address));
    let acme = Organization::sign_up(&anyone).await;
    let sets = format!("{}/permission_sets", acme.path);
    assert_eq!(acme.admin.post(&sets, &json!({"name": "one", "permissions": []})).await.status, 200);
    let plain = acme.create(&json!({"name": "plain", "permissions": []})).await;
    let metered = acme.create(&json!({"name": "metered", "permissions": [], "remaining": 100})).await;
    assert_eq!(acme.verify(&plain).await["valid"], true);
    let mut remaining = acme.verify(&metered).await["remaining"].as_u64().expect("a number");

    let kinds = ["create", "update", "rotate", "delete", "set", "member", "session", "bulk", "sign-up", "spend"];
    let mut deleted = Vec::new();
    let mut created = Vec::new();
    for kind in kinds {
        disk.fill();
        let victim = acme.key(&plain);
        let answer = match kind {
            "create" => acme.admin.post(&acme.keys(), &json!({"name": "n", "permissions": []})).await,
            "update" => acme.admin.patch(&victim, &json!({"name": "lost"})).await,
            "rotate" => acme.admin.post(&format!("{victim}/rotate"), &json!({"grace_seconds": 60})).await,
            "delete" => acme.admin.delete(&victim).await,
            "set" => acme.admin.post(&sets, &json!({"name": "lost", "permissions": []})).await,
            "member" => {
                let body = json!({"user_email": "b@example.com", "user_name": "B", "permissions": []});
                acme.admin.post(&format!("{}/members", acme.path), &body).await
            }
            "session" => acme.admin.post("/session", &json!({})).await,
            "bulk" => {
                let body = json!({"keys": [{"name": "n", "permissions": []}]});
                acme.admin.post(&format!("{}/bulk_create", acme.keys()), &body).await
            }
            "sign-up" => {
                let body = json!({"user_name": "C", "user_email": "c@example.com"});
                anyone.post("/auth/create-key", &body).await
            }
            _ => acme.admin.post(VERIFY, &json!({"key": metered["key"]})).await,
        };
        is_unavailable(&answer, kind);
        is_unavailable(&anyone.get("/health/ready").await, "not ready while writes fail");
        assert_eq!(anyone.get("/health/live").await.status, 200);
        assert_eq!(acme.verify(&plain).await["valid"], true, "{kind}: from memory");

        disk.free();
        readiness_is(&anyone, 200).await;
        let refused = acme.admin.post(&sets, &json!({"name": "one", "permissions": []})).await;
        assert_eq!(refused.status, 409, "{kind}: {}", refused.text);
        let doomed = acme.create(&json!({"name": kind, "permissions": []})).await;
        assert_eq!(acme.verify(&doomed).await["valid"], true);
        assert_eq!(acme.admin.delete(&acme.key(&doomed)).await.status, 200);
        assert_eq!(acme.verify(&doomed).await["valid"], false, "{kind}: deleted");
        deleted.push(doomed);
        created.push(acme.create(&json!({"name": kind, "permissions": []})).await);
        remaining -= 1;
        assert_eq!(acme.verify(&metered).await["remaining"], remaining, "{kind}: nothing was spent for a 503");
    }
    process.signal("KILL");
    let (_, log) = process.wait();
    let faults = log.lines().filter(|line| line.contains(r#""reason":"the disk of the database is full""#));
    assert_eq!(faults.count(), kinds.len(), "one line for each outage: {log}");

    let second = Process::serve(&[("CLAVIGER_DATABASE_URL", &url)]);
    let acme = Organization { admin: acme.admin.at(&format!("http://{}", second.address)), path: acme.path };
    for (deleted, created) in deleted.iter().zip(&created) {
        assert_eq!(acme.verify(deleted).await["code"], "INVALID_API_KEY", "{}", deleted["name"]);
        assert_eq!(acme.verify(created).await["valid"], true, "{}", created["name"]);
    }
    assert_eq!(acme.verify(&plain).await["name"], "plain");
    assert_eq!(acme.verify(&metered).await["remaining"], remaining - 1);
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_refused_at_the_start() {
    let Some(disk) = SmallDisk::mount(16) else { return };
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

/// What becomes of a file while it is in use.
type Harm = fn(&std::path::Path);

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
async fn nothing_is_acknowledged_into_a_file_that_was_removed_replaced_or_truncated() {
    let harms: [(&str, Harm); 5] = [
        ("removed", remove),
        ("replaced", replace),
        ("truncated", truncate),
        ("log removed", remove_log),
        ("log replaced", replace_log),
    ];
    for (word, harm) in harms {
        let database = TestDatabase::fresh().await;
        if database.is_postgres() {
            return; // Its files are the server's.
        }
        let file = database.file().to_owned();
        let app = TestApp::start_on(database, |_| {}).await;
        let tenant = app.tenant("Acme").await;
        let (_, plain) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
        let quota = Quota { remaining: Some(10), ..Quota::default() };
        let (_, metered) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        for key in [&plain, &metered] {
            assert_eq!(tenant.admin.post(VERIFY, &json!({"key": key})).await.json()["valid"], true);
        }
        harm(&file);
        let keys = format!("/orgs/{}/api_keys", tenant.org_id);
        let create = json!({"name": "n", "permissions": []});
        is_unavailable(&tenant.admin.post(&keys, &create).await, word);
        is_unavailable(&tenant.admin.post(VERIFY, &json!({"key": metered})).await, word);
        assert_eq!(tenant.admin.post(VERIFY, &json!({"key": plain})).await.json()["valid"], true, "from memory");
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

#[test]
fn a_database_with_several_names_has_one_process() {
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
async fn a_file_that_is_back_is_used_again() {
    let database = TestDatabase::fresh().await;
    if database.is_postgres() {
        return;
    }
    let file = database.file().to_owned();
    let app = TestApp::start_on(database, |_| {}).await;
    let tenant = app.tenant("Acme").await;
    remove(&file);
    readiness_is(&app.anyone(), 503).await;
    fs::rename(file.with_extension("elsewhere"), &file).expect("it can be moved back");
    readiness_is(&app.anyone(), 200).await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    assert_eq!(tenant.admin.post(&keys, &json!({"name": "n", "permissions": []})).await.status, 200);
}

#[tokio::test]
async fn a_file_that_vacuum_made_smaller_is_still_good() {
    let database = TestDatabase::fresh().await;
    if database.is_postgres() {
        return;
    }
    let file = database.file().to_owned();
    let app = TestApp::start_on(database, |_| {}).await;
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

/// A service whose way to PostgreSQL can be cut. `None` on SQLite.
async fn behind_a_proxy() -> Option<(TestApp, Proxy)> {
    let database = TestDatabase::fresh().await;
    if !database.is_postgres() {
        return None;
    }
    let proxy = Proxy::to(database.server_address()).await;
    let url = database.url_by(proxy.address);
    Some((TestApp::start_on(database, |config| config.database_url = url).await, proxy))
}

#[tokio::test]
async fn a_connection_that_breaks_at_the_commit_leaves_no_acknowledged_change_behind() {
    let Some((app, proxy)) = behind_a_proxy().await else { return };
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    for (cut, is_done) in [(CommitCut::Before, false), (CommitCut::After, true)] {
        let (id, secret) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
        assert_eq!(tenant.admin.post(VERIFY, &json!({"key": secret})).await.json()["valid"], true);
        proxy.cut_at_commit(cut);
        is_unavailable(&tenant.admin.delete(&format!("{keys}/{id}")).await, "nobody knows what came of it");
        assert!(!proxy.is_commit_awaited(), "it was cut");
        let verdict = tenant.admin.post(VERIFY, &json!({"key": secret})).await.json();
        assert_eq!(verdict["valid"], !is_done, "{cut:?}: what was remembered is read anew");
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
async fn a_connection_that_is_killed_in_a_transaction_acknowledges_nothing() {
    let Some((app, _proxy)) = behind_a_proxy().await else { return };
    let tenant = app.tenant("Acme").await;
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let body = json!({"name": "one", "permissions": []});
    let lock = app.lock_organization(&tenant.org_id).await;
    let (answer, ()) = tokio::join!(tenant.admin.post(&sets, &body), async {
        while app.end_open_transactions().await == 0 {
            tokio::task::yield_now().await;
        }
    });
    is_unavailable(&answer, "killed while it waited");
    lock.rollback().await.expect("unlocked");
    assert_eq!(tenant.admin.get(&sets).await.json(), json!([]));
    assert_eq!(tenant.admin.post(&sets, &body).await.status, 200);
    assert_eq!(tenant.admin.post(&sets, &body).await.status, 409, "refused inside of its transaction");
    let other = json!({"name": "two", "permissions": []});
    assert_eq!(tenant.admin.post(&sets, &other).await.status, 200);
    let other = Process::serve(&[("CLAVIGER_DATABASE_URL", app.database.url())]);
    let names = tenant.admin.at(&format!("http://{}", other.address)).get(&sets).await.json();
    assert_eq!(names.as_array().map(Vec::len), Some(2), "another process finds both: {names}");
}
