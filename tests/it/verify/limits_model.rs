//! Runs random sequences of uses, changes, commands of other processes, restarts and kills, and compares keys with a model of their
//! limits after each step.

use std::collections::HashMap;

use domain::keys::quota::{Quota, RateLimit};
use harness::{Caller, KeySpec, Process, TestApp, TestDatabase, within};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Sequences of a run. `CLAVIGER_TEST_SEQUENCES` sets another number.
const SEQUENCES: u64 = 2;
const STEPS: usize = 60;
/// Half of them have a rate limit at first.
const KEYS: usize = 24;
/// Long enough that no window ends during a test.
const WINDOW_MS: u64 = 24 * 3_600_000;

#[derive(Clone, Debug)]
enum Step {
    /// Sends this many uses at once, of all keys in turn, to all nodes in turn.
    Use(usize),
    /// Sends this many uses of one key at once.
    UseOne(usize, usize),
    /// Sets the remaining uses of a key.
    SetRemaining(usize, Option<u64>),
    /// Sets the rate limit of a key.
    SetRateLimit(usize, Option<u64>),
    /// Changes a setting of a key that has nothing to do with limits.
    Rename(usize),
    /// Deletes a key, restores it, and enables it again. On SQLite only: another node may refuse the key a little longer.
    DeleteAndRestore(usize),
    /// Makes a backup, which must have all uses. On SQLite only.
    BackUp,
    /// Runs a command that writes into the database, in another process.
    RunCommand,
    /// Stops a node with SIGTERM, and starts it again.
    Restart,
    /// Kills a node when half of these uses have ended, and starts it again.
    Kill(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (key, few) = (0..KEYS, proptest::option::weighted(0.8, 1..30_u64));
    prop_oneof![
        8 => (1..120_usize).prop_map(Step::Use),
        3 => (key.clone(), 1..40_usize).prop_map(|(key, count)| Step::UseOne(key, count)),
        3 => (key.clone(), few.clone()).prop_map(|(key, remaining)| Step::SetRemaining(key, remaining)),
        3 => (key.clone(), few).prop_map(|(key, max)| Step::SetRateLimit(key, max)),
        2 => key.clone().prop_map(Step::Rename),
        1 => key.prop_map(Step::DeleteAndRestore),
        1 => Just(Step::BackUp),
        1 => Just(Step::RunCommand),
        1 => Just(Step::Restart),
        3 => (1..120_usize).prop_map(Step::Kill),
    ]
}

/// What is expected of a key.
#[derive(Debug)]
struct Model {
    id: String,
    secret: String,
    remaining: Option<u64>,
    rate_limit: Option<u64>,
    /// Uses in the window of the rate limit.
    window_count: u64,
    request_count: u64,
}

impl Model {
    /// How many of `count` uses are valid.
    fn valid_of(&self, count: u64) -> u64 {
        let in_window = self.rate_limit.map_or(u64::MAX, |max| max.saturating_sub(self.window_count));
        count.min(self.remaining.unwrap_or(u64::MAX)).min(in_window)
    }

    fn count(&mut self, valid: u64) {
        self.remaining = self.remaining.map(|remaining| remaining - valid);
        if self.rate_limit.is_some() {
            self.window_count += valid;
        }
        self.request_count += valid;
    }
}

struct Run {
    database: TestDatabase,
    /// One on SQLite, two on PostgreSQL.
    nodes: Vec<Process>,
    admin: String,
    /// The path of the organization's keys.
    path: String,
    keys: Vec<Model>,
    /// Whether there is a platform organization.
    has_platform: bool,
    /// The number of finished steps. Selects the node of the next step.
    done: usize,
}

impl Run {
    fn start_node(database: &TestDatabase) -> Process {
        Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_LOG", "warn,claviger=info")])
    }

    async fn start() -> Self {
        let app = TestApp::start().await;
        let tenant = app.tenant("Acme").await;
        let mut keys = Vec::new();
        for n in 0..KEYS {
            let rate_limit = (n % 2 == 0).then_some(RateLimit { max: 20, window: WINDOW_MS });
            let quota = Quota { remaining: Some(25), rate_limit, ..Quota::default() };
            let (id, secret) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
            let rate_limit = rate_limit.map(|limit| limit.max);
            keys.push(Model { id, secret, remaining: Some(25), rate_limit, window_count: 0, request_count: 0 });
        }
        let (admin, path) = (tenant.admin.bearer().to_owned(), tenant.keys());
        let (_, database) = app.stop().await;
        let nodes = (0..=u8::from(database.is_postgres())).map(|_| Self::start_node(&database)).collect();
        Self { database, nodes, admin, path, keys, has_platform: false, done: 0 }
    }

    fn index(&self) -> usize {
        self.done % self.nodes.len()
    }

    fn caller(&self, node: usize) -> Caller {
        self.nodes[node % self.nodes.len()].anyone().with_bearer(&self.admin)
    }

    fn key_path(&self, key: usize) -> String {
        format!("{}/{}", self.path, self.keys[key].id)
    }

    /// Sends a use of each of these keys at once, to all nodes in turn. Returns for each key how many were valid, and how many were sent.
    /// A 503 or a broken connection, after which a use may be stored or not, is allowed if `may_fail`. Each use adds a permit to `ended`.
    async fn send_uses(&self, keys: &[usize], ended: &Semaphore, may_fail: bool) -> Vec<(u64, u64)> {
        let uses = keys.iter().enumerate().map(|(n, key)| {
            let body = json!({"key": self.keys[*key].secret}).to_string().into_bytes();
            let caller = self.caller(n + n / KEYS).with("content-type", "application/json");
            async move {
                let sent = caller.try_send("POST", "/api_keys/verify", Some(body)).await;
                ended.add_permits(1);
                match sent {
                    Ok(answer) if answer.status == 200 => (*key, answer.json()["valid"] == true),
                    Ok(answer) if answer.status != 503 || !may_fail => panic!("{answer:?}"),
                    Err(error) if !may_fail => panic!("{error}"),
                    _ => (*key, false),
                }
            }
        });
        let mut counts = vec![(0, 0); KEYS];
        for (key, is_valid) in futures_util::future::join_all(uses).await {
            counts[key].0 += u64::from(is_valid);
            counts[key].1 += 1;
        }
        counts
    }

    /// Sends uses of these keys. As many are valid as the limits allow.
    async fn use_keys(&mut self, keys: &[usize]) {
        let counts = self.send_uses(keys, &Semaphore::new(0), false).await;
        for (model, (valid, sent)) in self.keys.iter_mut().zip(counts) {
            assert_eq!(valid, model.valid_of(sent), "valid uses of {sent}: {model:?}");
            model.count(valid);
        }
    }

    async fn change(&self, key: usize, body: Value) {
        let answer = self.caller(self.done).patch(&self.key_path(key), &body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    }

    async fn execute(&mut self, step: &Step) {
        match *step {
            Step::Use(count) => self.use_keys(&all_in_turn(count)).await,
            Step::UseOne(key, count) => self.use_keys(&vec![key; count]).await,
            // The uses of a key without limits are counted later.
            Step::SetRemaining(key, None) if self.keys[key].rate_limit.is_none() => {}
            Step::SetRateLimit(key, None) if self.keys[key].remaining.is_none() => {}
            Step::SetRemaining(key, remaining) => {
                self.change(key, json!({"remaining": remaining})).await;
                self.keys[key].remaining = remaining;
            }
            Step::SetRateLimit(key, max) => {
                let window = max.map(|_| WINDOW_MS);
                self.change(key, json!({"rate_limit_max": max, "rate_limit_window": window})).await;
                let model = &mut self.keys[key];
                if max != model.rate_limit {
                    model.window_count = 0;
                }
                model.rate_limit = max;
            }
            Step::Rename(key) => self.change(key, json!({"name": format!("step {}", self.done)})).await,
            Step::DeleteAndRestore(_) | Step::BackUp if self.database.is_postgres() => {}
            Step::DeleteAndRestore(key) => {
                let (caller, path) = (self.caller(self.done), self.key_path(key));
                assert_eq!(caller.delete(&path).await.status, 200);
                let restored = caller.post(&format!("{path}/restore"), &json!({})).await;
                assert_eq!(restored.status, 200, "{}", restored.text);
                self.change(key, json!({"enabled": true})).await;
            }
            Step::BackUp => {
                let copy = self.database.file().with_extension(format!("copy{}", self.done));
                self.database.back_up(&copy).await;
                let restored = Process::serve(&[("CLAVIGER_DATABASE_URL", &format!("sqlite://{}", copy.display()))]);
                self.compare(&restored).await;
            }
            Step::RunCommand => {
                let settings = [("CLAVIGER_DATABASE_URL", self.database.url())];
                let again: &[&str] = if self.has_platform { &["--again"] } else { &[] };
                let output = Process::run(&[&["bootstrap"], again].concat(), &settings);
                assert!(output.status.success(), "{output:?}");
                self.has_platform = true;
            }
            Step::Restart => {
                let index = self.index();
                let node = self.nodes.remove(index);
                node.signal("TERM");
                let (status, log) = node.wait();
                assert!(status.success(), "{log}");
                self.nodes.insert(index, Self::start_node(&self.database));
            }
            Step::Kill(count) => self.kill_after(count).await,
        }
    }

    /// Kills a node while uses are answered. At least the uses that were answered as valid are stored, and at most those that the limits
    /// allow.
    async fn kill_after(&mut self, count: usize) {
        let (index, ended, keys) = (self.index(), Semaphore::new(0), all_in_turn(count));
        let kill = async {
            let half = u32::try_from(count / 2).expect("small");
            let _half = ended.acquire_many(half).await.expect("open");
            self.nodes[index].signal("KILL");
        };
        let (counts, ()) = futures_util::join!(self.send_uses(&keys, &ended, true), kill);
        drop(self.nodes.remove(index));
        self.nodes.insert(index, Self::start_node(&self.database));
        for key in 0..KEYS.min(count) {
            // A change waits for a statement of the killed node that PostgreSQL still executes.
            self.change(key, json!({"name": format!("kill {}", self.done)})).await;
        }
        let shown = self.read(&self.nodes[index]).await;
        for (model, (valid, sent)) in self.keys.iter_mut().zip(counts) {
            let stored = shown[&model.id]["request_count"].as_u64().expect("a number") - model.request_count;
            let possible = model.valid_of(sent);
            assert!((valid..=possible).contains(&stored), "{valid} answered, {possible} possible, {stored} stored");
            model.count(stored);
        }
    }

    /// All keys, by their ids.
    async fn read(&self, node: &Process) -> HashMap<String, Value> {
        let answer = node.anyone().with_bearer(&self.admin).get(&self.path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let keys = answer.json().as_array().expect("keys").clone();
        keys.into_iter().map(|key| (key["id"].as_str().expect("an id").to_owned(), key)).collect()
    }

    async fn compare(&self, node: &Process) {
        let shown = self.read(node).await;
        for model in &self.keys {
            let key = &shown[&model.id];
            assert_eq!(key["remaining"], json!(model.remaining), "{model:?}");
            assert_eq!(key["rate_limit_max"], json!(model.rate_limit), "{model:?}");
            assert_eq!(key["request_count"], json!(model.request_count), "{model:?}");
        }
    }
}

/// The index of the key of each of `count` uses: all keys in turn.
fn all_in_turn(count: usize) -> Vec<usize> {
    (0..KEYS).cycle().take(count).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "shows the steps if the test fails")]
async fn limits_match_a_model_over_random_sequences() {
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
    let set = std::env::var_os("CLAVIGER_TEST_SEQUENCES");
    let sequences = set.map_or(SEQUENCES, |set| set.to_string_lossy().parse().expect("a number of sequences"));
    for seed in 0..sequences {
        let config = Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() };
        let steps = proptest::collection::vec(step(), STEPS).new_tree(&mut TestRunner::new(config)).expect("steps");
        let mut run = Run::start().await;
        for step in steps.current() {
            eprintln!("sequence {seed}, step {}: {step:?}", run.done);
            within("a step", run.execute(&step)).await;
            for node in &run.nodes {
                run.compare(node).await;
            }
            run.done += 1;
        }
    }
}
