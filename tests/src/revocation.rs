//! How long a revoked key lives on other nodes: measured revocation by revocation, and with a node cut off while many keys
//! are revoked.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all, join, stream};
use serde_json::{Value, json};

use crate::{Answer, Caller, Flow, Proxy};

/// The most that one call makes.
const BULK: usize = 1_000;

/// The most that one call verifies.
const BATCH: usize = 100;

/// An organization's administrator on the node where keys are made and revoked.
pub struct Revoker {
    /// The organization.
    pub org_id: String,
    /// A caller who may make, revoke and verify keys there.
    pub admin: Caller,
}

/// A key: its identifier and its text.
pub type Key = (String, String);

impl Revoker {
    /// An organization that signs up by this caller.
    pub async fn sign_up(anyone: &Caller) -> Self {
        let body = json!({"user_name": "Revoker", "org_name": "Revoker", "user_email": "revoker@example.com"});
        let answer = anyone.post("/auth/create-key", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let data = &answer.json()["data"];
        let text = |name: &str| data[name].as_str().expect("a text").to_owned();
        Self { org_id: text("org_id"), admin: anyone.with_bearer(&text("api_key")) }
    }

    /// New keys.
    pub async fn create(&self, count: usize) -> Vec<Key> {
        let mut keys = Vec::with_capacity(count);
        while keys.len() < count {
            let size = BULK.min(count - keys.len());
            let body = json!({"keys": vec![json!({"name": "to be revoked", "permissions": []}); size]});
            let answer = self.admin.post(&format!("/orgs/{}/api_keys/bulk_create", self.org_id), &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let text = |key: &Value, name: &str| key[name].as_str().expect("a text").to_owned();
            let answer = answer.json();
            keys.extend(answer["keys"].as_array().expect("keys").iter().map(|key| (text(key, "id"), text(key, "key"))));
        }
        keys
    }

    /// Revokes a key. Answers when that was answered.
    pub async fn revoke(&self, id: &str) -> Instant {
        let answer = self.admin.delete(&format!("/orgs/{}/api_keys/{id}", self.org_id)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Instant::now()
    }
}

/// What a verify said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is good.
    Valid,
    /// There is no such key.
    Unknown,
    /// Ask again later.
    Away,
}

/// Asks about a key. Any other answer than those of [`Said`] fails the test.
pub async fn verify(caller: &Caller, key: &str) -> Said {
    let answer = caller.post("/api_keys/verify", &json!({"key": key})).await;
    if is_away(&answer) { Said::Away } else { said(&answer.json()) }
}

fn is_away(answer: &Answer) -> bool {
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    answer.status == 503
}

fn said(verdict: &Value) -> Said {
    match verdict["code"].as_str() {
        Some("VALID") => Said::Valid,
        Some("INVALID_API_KEY") => Said::Unknown,
        _ => panic!("{verdict}"),
    }
}

/// Revokes keys one after the other, while each watcher (a caller on another node) asks about the one whose turn it is, once in
/// `pace`. Answers, for each key and watcher, how long after the revocation was answered the watcher heard the first "no".
/// Every other key is asked about for the first time when it is being revoked, so that reads and notices meet.
pub async fn delays(by: &Revoker, watchers: &[Caller], count: usize, pace: Duration) -> Vec<Duration> {
    let mut delays = Vec::with_capacity(count * watchers.len());
    for (turn, (id, key)) in by.create(count).await.into_iter().enumerate() {
        if turn % 2 == 0 {
            for watcher in watchers {
                assert_eq!(verify(watcher, &key).await, Said::Valid);
            }
        }
        let watch = |watcher: &Caller| {
            let (watcher, key) = (watcher.clone(), key.clone());
            async move {
                let (mut ticks, since) = (tokio::time::interval(pace), Instant::now());
                loop {
                    ticks.tick().await;
                    if verify(&watcher, &key).await == Said::Unknown {
                        return Instant::now();
                    }
                    assert!(since.elapsed() < Duration::from_mins(1), "the revocation is never heard of");
                }
            }
        };
        let (revoked, heard) = join!(by.revoke(&id), join_all(watchers.iter().map(watch)));
        delays.extend(heard.into_iter().map(|heard| heard.saturating_duration_since(revoked)));
    }
    delays.sort_unstable();
    delays
}

/// What came of cutting a node off while keys were revoked.
#[derive(Debug, Default)]
pub struct Cuts {
    /// Keys that were revoked.
    pub revoked: usize,
    /// Verdicts that were heard meanwhile.
    pub heard: usize,
    /// "Yes" to a verify that was sent later than the bound after the revocation.
    pub too_late: usize,
    /// The longest time from a revocation to a verify that was sent then and answered "yes".
    pub latest: Duration,
    /// Whether answers told that they may be old.
    pub told_stale: bool,
    /// The longest time from the mending to a right answer.
    pub recovery: Duration,
}

/// The ways to cut a node off.
pub const WAYS: [fn(&Proxy); 5] = [
    |proxy| proxy.feed(Flow::Cut),
    |proxy| proxy.all(Flow::Cut),
    |proxy| proxy.feed(Flow::Lost),
    |proxy| proxy.all(Flow::Lost),
    |proxy| proxy.all(Flow::Slow(Duration::from_millis(300))),
];

/// Cuts a node off in one of the [`WAYS`], revokes as many keys on another one, and asks the first about all of them again and
/// again until the bound is over for the last of them. Then mends the way and waits until the node answers right.
pub async fn cut(by: &Revoker, node: (&Caller, &Proxy), keys: usize, bound: Duration, way: usize, sums: &mut Cuts) {
    let (watcher, proxy) = node;
    // One that is not revoked: nobody may ever call it unknown.
    let keys = by.create(keys + 1).await;
    let (_, revocable) = keys.split_first().expect("one at least");
    let batches: Vec<Value> = keys
        .chunks(BATCH)
        .map(|keys| json!({"keys": keys.iter().map(|(_, key)| json!({"key": key})).collect::<Vec<_>>()}))
        .collect();
    for batch in &batches {
        let answer = watcher.post("/api_keys/verify_batch", batch).await.json();
        assert!(answer["results"].as_array().expect("verdicts").iter().all(|verdict| said(verdict) == Said::Valid));
    }
    WAYS[way % WAYS.len()](proxy);
    let revoked: Mutex<HashMap<&str, Option<Instant>>> = Mutex::default();
    let is_over = AtomicBool::new(false);
    let revoke = async {
        let mark = |key, at| revoked.lock().expect("not poisoned").insert(key, at);
        let revocations = revocable.iter().map(|(id, key)| async move {
            mark(key, None);
            mark(key, Some(by.revoke(id).await));
        });
        stream::iter(revocations).buffer_unordered(8).for_each(|()| async {}).await;
        tokio::time::sleep(bound + bound / 4).await;
        is_over.store(true, Ordering::SeqCst);
    };
    let ask = async {
        let mut rounds = batches.iter().zip(keys.chunks(BATCH)).cycle();
        while !is_over.load(Ordering::SeqCst) {
            if let Some((batch, keys)) = rounds.next() {
                let sent = Instant::now();
                let answer = watcher.post("/api_keys/verify_batch", batch).await;
                let stale = answer.header("claviger-stale");
                if !stale.is_empty() {
                    let age = stale.parse().map(Duration::from_secs).expect("seconds");
                    assert!(age > Duration::ZERO && age <= bound, "{age:?}");
                    sums.told_stale = true;
                }
                if is_away(&answer) {
                    continue;
                }
                let (answer, revoked) = (answer.json(), revoked.lock().expect("not poisoned"));
                for (verdict, (_, key)) in answer["results"].as_array().expect("verdicts").iter().zip(keys) {
                    sums.heard += 1;
                    let revoked = revoked.get(key.as_str());
                    if said(verdict) == Said::Valid {
                        let since = revoked.copied().flatten().map(|at| sent.saturating_duration_since(at));
                        let since = since.unwrap_or_default();
                        sums.latest = sums.latest.max(since);
                        sums.too_late += usize::from(since > bound);
                    } else {
                        assert!(revoked.is_some(), "a key that nobody revokes is called unknown");
                    }
                }
            }
        }
    };
    join!(revoke, ask);
    sums.revoked += revocable.len();
    proxy.mend();
    let mended = Instant::now();
    while verify(watcher, &keys[0].1).await != Said::Valid || verify(watcher, &keys[1].1).await != Said::Unknown {
        assert!(mended.elapsed() < Duration::from_secs(30), "the node does not come back");
    }
    sums.recovery = sums.recovery.max(mended.elapsed());
}
