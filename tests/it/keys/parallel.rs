//! Concurrent changes of one object: each is made or gets 409, and none gets 503.

use futures_util::{future::join_all, join};
use harness::{Answer, Caller, Process, TestDatabase, revocation::Revoker};
use serde_json::{Value, json};

/// Concurrent requests.
const CONCURRENT_REQUESTS: usize = 64;

/// How often a race between two changes is repeated.
const ROUNDS: usize = 40;

/// A caller, the permissions before, those that the caller sets, and those that the administrator sets.
type Race<'a> = (&'a Caller, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

/// The nodes of a service: two on PostgreSQL, one on SQLite.
struct Nodes {
    processes: Vec<Process>,
    org_id: String,
    /// The administrator, on each node.
    callers: Vec<Caller>,
    _database: TestDatabase,
}

impl Nodes {
    async fn start() -> Self {
        let database = TestDatabase::fresh().await;
        let count = if database.is_postgres() { 2 } else { 1 };
        let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_LOG", "warn,claviger=info")];
        let processes: Vec<Process> = (0..count).map(|_| Process::serve(&settings)).collect();
        let base = |process: &Process| format!("http://{}", process.address);
        let here = Revoker::sign_up(&Caller::anyone(base(&processes[0])).keeping_connections()).await;
        let callers = processes.iter().map(|process| here.admin.at(&base(process))).collect();
        Self { processes, org_id: here.org_id, callers, _database: database }
    }

    fn path(&self, path: &str) -> String {
        format!("/orgs/{}{path}", self.org_id)
    }

    async fn create(&self, path: &str, body: &Value) -> Value {
        let answer = self.callers[0].post(&self.path(path), body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// Sends concurrent requests, to the nodes in turn. Each succeeds, or gets 409 if there are several nodes. Returns the
    /// number of successes.
    async fn all_at_once<F: Future<Output = Answer>>(&self, request: impl Fn(Caller, usize) -> F) -> usize {
        let requests = (0..CONCURRENT_REQUESTS).map(|n| request(self.callers[n % self.callers.len()].clone(), n));
        let answers = join_all(requests).await;
        let done = answers.iter().filter(|answer| answer.status == 200).count();
        for answer in &answers {
            let is_conflict = answer.status == 409 && answer.text.contains("at the same time");
            assert!(answer.status == 200 || is_conflict, "{} {}", answer.status, answer.text);
        }
        assert!(done == CONCURRENT_REQUESTS || self.callers.len() > 1, "one node executes them one after the other");
        done
    }

    /// Stops all nodes. Their logs must not contain errors.
    fn end(self) {
        for process in self.processes {
            process.signal("TERM");
            let (_, log) = process.wait();
            assert!(!log.contains(r#""level":"ERROR""#), "{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_of_one_key_are_all_made() {
    let nodes = Nodes::start().await;
    let key = nodes.create("/api_keys", &json!({"name": "n", "permissions": []})).await;
    let id = key["id"].as_str().expect("an id");
    let path = nodes.path(&format!("/api_keys/{id}"));
    let version = async || nodes.callers[0].get(&path).await.json()["version"].as_u64().expect("a number");

    let before = version().await;
    let patched = nodes
        .all_at_once(|caller, n| {
            let path = path.clone();
            async move { caller.patch(&path, &json!({"name": format!("n-{n}")})).await }
        })
        .await;
    let rotated = nodes
        .all_at_once(|caller, _| {
            let path = format!("{path}/rotate");
            async move { caller.post(&path, &json!({"grace_seconds": 0})).await }
        })
        .await;
    let updated = nodes
        .all_at_once(|caller, n| {
            let update = json!({"keyId": id, "name": format!("m-{n}")});
            async move { caller.post("/api/auth/api-key/update", &update).await }
        })
        .await;
    let done = (patched + rotated + updated) as u64;
    assert_eq!(version().await - before, done, "each change with status 200 is stored");
    nodes.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metered_key_is_verified_during_concurrent_changes() {
    let nodes = Nodes::start().await;
    let key = nodes.create("/api_keys", &json!({"name": "n", "permissions": [], "remaining": 1_000})).await;
    let path = nodes.path(&format!("/api_keys/{}", key["id"].as_str().expect("an id")));
    let changes = nodes.all_at_once(|caller, n| {
        let path = path.clone();
        async move { caller.patch(&path, &json!({"name": format!("n-{n}")})).await }
    });
    let verifies = nodes.all_at_once(|caller, _| {
        let body = json!({"key": key["key"]});
        async move {
            let answer = caller.post("/api_keys/verify", &body).await;
            assert_eq!(answer.json()["valid"], true, "{}", answer.text);
            answer
        }
    });
    let (_, valid) = join!(changes, verifies);
    assert_eq!(valid, CONCURRENT_REQUESTS);
    let left = nodes.callers[0].get(&path).await.json()["remaining"].as_u64();
    assert_eq!(left, Some(1_000 - CONCURRENT_REQUESTS as u64));
    nodes.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_of_members_organizations_and_sets_are_made() {
    let nodes = Nodes::start().await;
    let person = json!({"user_email": "ben@example.com", "user_name": "Ben", "permissions": []});
    let member = nodes.create("/members", &person).await;
    let set = nodes.create("/permission_sets", &json!({"name": "s", "permissions": []})).await;
    let set = nodes.path(&format!("/permission_sets/{}", set["id"].as_str().expect("an id")));
    let member = nodes.path(&format!("/members/{}", member["user_id"].as_str().expect("an id")));
    let grown = |n: usize| json!({"permissions": [format!("files:a{n}")]});
    for (path, body) in
        [(member, grown as fn(usize) -> Value), (nodes.path(""), |n| json!({"name": format!("n-{n}")})), (set, grown)]
    {
        nodes
            .all_at_once(|caller, n| {
                let path = path.clone();
                async move { caller.patch(&path, &body(n)).await }
            })
            .await;
    }
    nodes.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_change_is_checked_against_the_current_permissions() {
    let nodes = Nodes::start().await;
    let admin = &nodes.callers[0];
    let there = nodes.processes.last().expect("a node").anyone();
    let with_key = async |key: Value| {
        let key = nodes.create("/api_keys", &key).await;
        there.with_bearer(key["key"].as_str().expect("a key"))
    };
    let weak =
        with_key(json!({"name": "w", "permissions": ["members:admin", "permission_sets:admin", "files:read"]})).await;
    let bound = with_key(json!({"name": "b", "permissions": ["*"], "allowed_addresses": ["127.0.0.0/8"]})).await;
    let person = json!({"user_email": "ben@example.com", "user_name": "Ben", "permissions": []});
    let member = nodes.create("/members", &person).await;
    let set = nodes.create("/permission_sets", &json!({"name": "s", "permissions": []})).await;
    let member = nodes.path(&format!("/members/{}", member["user_id"].as_str().expect("an id")));
    let set = nodes.path(&format!("/permission_sets/{}", set["id"].as_str().expect("an id")));
    let change = async |caller: &Caller, path: &str, permissions: &[&str]| {
        caller.patch(path, &json!({"permissions": permissions})).await
    };
    // If the caller's change is first, the administrator's replaces it. If it is second, it is refused.
    let races: [Race<'_>; 2] = [(&weak, &[], &["files:read"], &["*"]), (&bound, &["files:read"], &["files:read"], &[])];
    for path in [member.as_str(), set.as_str()] {
        for (caller, before, wanted, last) in races {
            for round in 0..ROUNDS {
                assert_eq!(change(admin, path, before).await.status, 200);
                let (other, done) = join!(change(caller, path, wanted), change(admin, path, last));
                assert_eq!(done.status, 200, "{}", done.text);
                assert!([200, 403].contains(&other.status), "{wanted:?} at {path}: {} {}", other.status, other.text);
                let now = admin.get(path).await.json();
                assert_eq!(now["permissions"], json!(last), "round {round} of {path}: {}", other.text);
            }
        }
    }
    nodes.end();
}
