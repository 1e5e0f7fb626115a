//! Random sequences of uses, changes, commands of other processes, restarts and kills, beside a model of one key's limits. After
//! each step the service shows what the model has.

use std::time::Duration;

use domain::keys::quota::{Quota, RateLimit};
use harness::{Caller, KeySpec, Process, TestApp, TestDatabase};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Sequences of a run. `CLAVIGER_TEST_SEQUENCES` sets another number.
const SEQUENCES: u64 = 3;
const STEPS: usize = 60;
/// Long enough that no window ends during a test.
const WINDOW_MS: u64 = 24 * 3_600_000;
const MAX_STEP_TIME: Duration = Duration::from_mins(2);

#[derive(Clone, Debug)]
enum Step {
    /// So many uses, all at once.
    Use(usize),
    /// Other remaining uses.
    SetRemaining(Option<u64>),
    /// Another rate limit.
    SetRateLimit(Option<u64>),
    /// A change of a setting that has nothing to do with limits.
    Rename,
    /// Deletes the key, restores it, and enables it again. On SQLite only: another node may refuse the key a little longer.
    DeleteAndRestore,
    /// A backup, which has all uses. On SQLite only.
    BackUp,
    /// A command of another process, which writes into the database.
    RunCommand,
    /// The node ends in order, and starts again.
    Restart,
    /// The node is killed after some of these uses, and starts again.
    Kill(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..40_usize).prop_map(Step::Use),
        3 => proptest::option::weighted(0.8, 0..200_u64).prop_map(Step::SetRemaining),
        3 => proptest::option::weighted(0.8, 1..100_u64).prop_map(Step::SetRateLimit),
        2 => Just(Step::Rename),
        1 => Just(Step::DeleteAndRestore),
        1 => Just(Step::BackUp),
        1 => Just(Step::RunCommand),
        1 => Just(Step::Restart),
        3 => (1..60_usize).prop_map(Step::Kill),
    ]
}

/// What is expected of the key.
#[derive(Debug)]
struct Model {
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
    path: String,
    key: String,
    model: Model,
    /// Whether there is a platform organization.
    has_platform: bool,
    /// Steps that were done. Decides which node is next.
    done: usize,
}

impl Run {
    fn serve(database: &TestDatabase) -> Process {
        Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_LOG", "warn,claviger=info")])
    }

    async fn start() -> Self {
        let app = TestApp::start().await;
        let tenant = app.tenant("Acme").await;
        let rate_limit = Some(RateLimit { max: 100, window: WINDOW_MS });
        let quota = Quota { remaining: Some(100), rate_limit, ..Quota::default() };
        let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        let (admin, path) = (tenant.admin.bearer().to_owned(), format!("{}/{id}", tenant.keys()));
        let (_, database) = app.stop().await;
        let nodes = (0..=u8::from(database.is_postgres())).map(|_| Self::serve(&database)).collect();
        let model = Model { remaining: Some(100), rate_limit: Some(100), window_count: 0, request_count: 0 };
        Self { database, nodes, admin, path, key, model, has_platform: false, done: 0 }
    }

    fn index(&self) -> usize {
        self.done % self.nodes.len()
    }

    fn caller(&self) -> Caller {
        self.nodes[self.index()].anyone().with_bearer(&self.admin)
    }

    /// Sends uses at once. Returns the outcome of each; `None`: there was no answer. Each adds a
    /// permit to `ended`.
    async fn send_uses(&self, count: usize, ended: &Semaphore) -> Vec<Option<bool>> {
        let body = json!({"key": self.key}).to_string().into_bytes();
        let caller = self.caller().with("content-type", "application/json");
        let uses = (0..count).map(|_| async {
            let sent = caller.try_send("POST", "/api_keys/verify", Some(body.clone())).await;
            ended.add_permits(1);
            match sent {
                Ok(answer) if answer.status == 200 => answer.json()["valid"].as_bool(),
                Ok(answer) if answer.status == 503 => None,
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => None,
            }
        });
        futures_util::future::join_all(uses).await
    }

    async fn change(&self, body: Value) -> Value {
        let answer = self.caller().patch(&self.path, &body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        answer.json()
    }

    async fn execute(&mut self, step: &Step) {
        match *step {
            Step::Use(count) => {
                let outcomes = self.send_uses(count, &Semaphore::new(0)).await;
                let valid = outcomes.iter().filter(|outcome| **outcome == Some(true)).count() as u64;
                assert!(outcomes.iter().all(Option::is_some), "a use without an answer");
                assert_eq!(valid, self.model.valid_of(count as u64), "valid uses");
                self.model.count(valid);
            }
            // The uses of a key without limits are counted later.
            Step::SetRemaining(None) if self.model.rate_limit.is_none() => {}
            Step::SetRateLimit(None) if self.model.remaining.is_none() => {}
            Step::SetRemaining(remaining) => {
                self.change(json!({"remaining": remaining})).await;
                self.model.remaining = remaining;
            }
            Step::SetRateLimit(max) => {
                let window = max.map(|_| WINDOW_MS);
                self.change(json!({"rate_limit_max": max, "rate_limit_window": window})).await;
                if max != self.model.rate_limit {
                    self.model.window_count = 0;
                }
                self.model.rate_limit = max;
            }
            Step::Rename => drop(self.change(json!({"name": format!("step {}", self.done)})).await),
            Step::DeleteAndRestore | Step::BackUp if self.database.is_postgres() => {}
            Step::DeleteAndRestore => {
                let caller = self.caller();
                assert_eq!(caller.delete(&self.path).await.status, 200);
                let restored = caller.post(&format!("{}/restore", self.path), &json!({})).await;
                assert_eq!(restored.status, 200, "{}", restored.text);
                self.change(json!({"enabled": true})).await;
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
                self.nodes.insert(index, Self::serve(&self.database));
            }
            Step::Kill(count) => self.kill_after(count).await,
        }
    }

    /// Kills a node while it answers uses. Then as many are stored as were answered, and at most as many as were sent.
    async fn kill_after(&mut self, count: usize) {
        let (index, ended) = (self.index(), Semaphore::new(0));
        let kill = async {
            let half = u32::try_from(count / 2).expect("small");
            let _half = ended.acquire_many(half).await.expect("open");
            self.nodes[index].signal("KILL");
        };
        let (outcomes, ()) = futures_util::join!(self.send_uses(count, &ended), kill);
        let answered = outcomes.iter().filter(|outcome| **outcome == Some(true)).count() as u64;
        let at_most = self.model.valid_of(count as u64);
        drop(self.nodes.remove(index));
        self.nodes.insert(index, Self::serve(&self.database));
        // A change waits for a statement of the killed node that PostgreSQL still executes.
        let shown = self.change(json!({"name": format!("kill {}", self.done)})).await;
        let stored = shown["request_count"].as_u64().expect("a number") - self.model.request_count;
        assert!((answered..=at_most).contains(&stored), "{answered} answered, {at_most} possible, {stored} stored");
        self.model.count(stored);
    }

    async fn read(&self, node: &Process) -> Value {
        let answer = node.anyone().with_bearer(&self.admin).get(&self.path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    async fn compare(&self, node: &Process) {
        let (shown, model) = (self.read(node).await, &self.model);
        assert_eq!(shown["remaining"], json!(model.remaining), "{model:?}");
        assert_eq!(shown["rate_limit_max"], json!(model.rate_limit), "{model:?}");
        assert_eq!(shown["request_count"], json!(model.request_count), "{model:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "shows the steps if the test fails")]
async fn random_sequences_are_as_a_model_of_the_limits() {
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
    let set = std::env::var_os("CLAVIGER_TEST_SEQUENCES");
    let sequences = set.map_or(SEQUENCES, |set| set.to_string_lossy().parse().expect("a number of sequences"));
    for seed in 0..sequences {
        let config = Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() };
        let steps = proptest::collection::vec(step(), STEPS).new_tree(&mut TestRunner::new(config)).expect("steps");
        let mut run = Run::start().await;
        for step in steps.current() {
            eprintln!("sequence {seed}, step {}: {step:?}, {:?}", run.done, run.model);
            tokio::time::timeout(MAX_STEP_TIME, run.execute(&step)).await.expect("a step that ends");
            for node in &run.nodes {
                run.compare(node).await;
            }
            run.done += 1;
        }
    }
}
