//! How long other nodes accept a revoked key: measured for single revocations, and with a node cut off while many keys are
//! revoked.

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

use crate::{Answer, Caller, Flow, Proxy, wait_until};

/// The largest number of keys that one request creates.
const MAX_KEYS_PER_CREATE: usize = 1_000;

/// The largest number of keys that one request verifies.
const MAX_KEYS_PER_VERIFY: usize = 100;

/// An organization's administrator on the node where keys are created and revoked.
pub struct Revoker {
    /// The organization.
    pub org_id: String,
    /// A caller who can create, revoke and verify keys there.
    pub admin: Caller,
}

/// A key: its id and its secret.
pub type Key = (String, String);

impl Revoker {
    /// Signs up an organization with this caller.
    pub async fn sign_up(anyone: &Caller) -> Self {
        let body = json!({"user_name": "Revoker", "org_name": "Revoker", "user_email": "revoker@example.com"});
        let answer = anyone.post("/auth/create-key", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let data = &answer.json()["data"];
        let text = |name: &str| data[name].as_str().expect("a text").to_owned();
        Self { org_id: text("org_id"), admin: anyone.with_bearer(&text("api_key")) }
    }

    /// Creates keys.
    pub async fn create(&self, count: usize) -> Vec<Key> {
        let mut keys = Vec::with_capacity(count);
        while keys.len() < count {
            let size = MAX_KEYS_PER_CREATE.min(count - keys.len());
            let body = json!({"keys": vec![json!({"name": "to be revoked", "permissions": []}); size]});
            let answer = self.admin.post(&format!("/orgs/{}/api_keys/bulk_create", self.org_id), &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let text = |key: &Value, name: &str| key[name].as_str().expect("a text").to_owned();
            let answer = answer.json();
            keys.extend(answer["keys"].as_array().expect("keys").iter().map(|key| (text(key, "id"), text(key, "key"))));
        }
        keys
    }

    /// Revokes a key. Returns when the response arrived.
    pub async fn revoke(&self, id: &str) -> Instant {
        let answer = self.admin.delete(&format!("/orgs/{}/api_keys/{id}", self.org_id)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Instant::now()
    }
}

/// The result of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key is valid.
    Valid,
    /// The key is unknown.
    Unknown,
    /// The node is unavailable: 503.
    Unavailable,
}

/// Verifies a key. Any other result than those of [`Verdict`] fails the test.
pub async fn verify(caller: &Caller, key: &str) -> Verdict {
    let answer = caller.post("/api_keys/verify", &json!({"key": key})).await;
    if is_unavailable(&answer) { Verdict::Unavailable } else { read(&answer.json()) }
}

fn is_unavailable(answer: &Answer) -> bool {
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    answer.status == 503
}

fn read(verdict: &Value) -> Verdict {
    match verdict["code"].as_str() {
        Some("VALID") => Verdict::Valid,
        Some("INVALID_API_KEY") => Verdict::Unknown,
        _ => panic!("{verdict}"),
    }
}

/// What [`delays`] has measured.
#[derive(Debug, Default)]
pub struct Delays {
    /// From the response to the revocation until a watcher got its first refusal; sorted, one for each key and watcher.
    pub refused: Vec<Duration>,
    /// The longest time from the response to the revocation to the sending of a verification that still found the key valid.
    pub latest_valid: Duration,
}

/// Revokes keys one after the other, while each watcher (a caller on another node) verifies the current key once in `pace`.
/// Every second key is verified for the first time while it is being revoked, so that reads and notifications meet.
pub async fn delays(by: &Revoker, watchers: &[Caller], count: usize, pace: Duration) -> Delays {
    let mut delays = Delays::default();
    for (turn, (id, key)) in by.create(count).await.into_iter().enumerate() {
        if turn % 2 == 0 {
            for watcher in watchers {
                assert_eq!(verify(watcher, &key).await, Verdict::Valid);
            }
        }
        let watch = |watcher: &Caller| {
            let (watcher, key) = (watcher.clone(), key.clone());
            async move {
                let (mut ticks, mut latest_valid) = (tokio::time::interval(pace), None);
                wait_until("a node to refuse a revoked key", async || {
                    ticks.tick().await;
                    let sent = Instant::now();
                    let verdict = verify(&watcher, &key).await;
                    if verdict == Verdict::Valid {
                        latest_valid = Some(sent);
                    }
                    if verdict == Verdict::Unknown { Ok((Instant::now(), latest_valid)) } else { Err(verdict) }
                })
                .await
            }
        };
        let (revoked, watched) = join!(by.revoke(&id), join_all(watchers.iter().map(watch)));
        for (refused, latest_valid) in watched {
            delays.refused.push(refused.saturating_duration_since(revoked));
            let latest_valid = latest_valid.map_or(Duration::ZERO, |sent| sent.saturating_duration_since(revoked));
            delays.latest_valid = delays.latest_valid.max(latest_valid);
        }
    }
    delays.refused.sort_unstable();
    delays
}

/// What was measured while a node was cut off and keys were revoked.
#[derive(Debug, Default)]
pub struct Cuts {
    /// Keys that were revoked.
    pub revoked: usize,
    /// Results that the node returned meanwhile.
    pub results: usize,
    /// Results "valid" of verifications that were sent later than the bound after the revocation.
    pub too_late: usize,
    /// The longest time from a revocation to the sending of a verification that found the key valid.
    pub latest: Duration,
    /// Whether responses had the header that says they may be stale.
    pub had_stale_header: bool,
    /// The longest time from the end of a cut to a correct result.
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

/// Cuts a node off in one of the [`WAYS`], revokes keys on another one, and verifies all of them on the first again and again
/// until the bound has passed for the last of them. Then ends the cut and waits until the node's results are correct.
pub async fn cut(by: &Revoker, node: (&Caller, &Proxy), keys: usize, bound: Duration, way: usize, sums: &mut Cuts) {
    let (watcher, proxy) = node;
    // The first key is not revoked, and must never be unknown.
    let keys = by.create(keys + 1).await;
    let (_, revocable) = keys.split_first().expect("at least one key");
    let batches: Vec<Value> = keys
        .chunks(MAX_KEYS_PER_VERIFY)
        .map(|keys| json!({"keys": keys.iter().map(|(_, key)| json!({"key": key})).collect::<Vec<_>>()}))
        .collect();
    for batch in &batches {
        let answer = watcher.post("/api_keys/verify_batch", batch).await.json();
        assert!(answer["results"].as_array().expect("verdicts").iter().all(|verdict| read(verdict) == Verdict::Valid));
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
        let mut rounds = batches.iter().zip(keys.chunks(MAX_KEYS_PER_VERIFY)).cycle();
        while !is_over.load(Ordering::SeqCst) {
            if let Some((batch, keys)) = rounds.next() {
                let sent = Instant::now();
                let answer = watcher.post("/api_keys/verify_batch", batch).await;
                let stale = answer.header("claviger-stale");
                if !stale.is_empty() {
                    let age = stale.parse().map(Duration::from_secs).expect("seconds");
                    assert!(age > Duration::ZERO && age <= bound, "{age:?}");
                    sums.had_stale_header = true;
                }
                if is_unavailable(&answer) {
                    continue;
                }
                let (answer, revoked) = (answer.json(), revoked.lock().expect("not poisoned"));
                for (verdict, (_, key)) in answer["results"].as_array().expect("verdicts").iter().zip(keys) {
                    sums.results += 1;
                    let revoked = revoked.get(key.as_str());
                    if read(verdict) == Verdict::Valid {
                        let since = revoked.copied().flatten().map(|at| sent.saturating_duration_since(at));
                        let since = since.unwrap_or_default();
                        sums.latest = sums.latest.max(since);
                        sums.too_late += usize::from(since > bound);
                    } else {
                        assert!(revoked.is_some(), "a key that was not revoked is unknown");
                    }
                }
            }
        }
    };
    join!(revoke, ask);
    sums.revoked += revocable.len();
    proxy.restore();
    let restored_at = Instant::now();
    wait_until("a node to recover", async || {
        let verdicts = (verify(watcher, &keys[0].1).await, verify(watcher, &keys[1].1).await);
        (verdicts == (Verdict::Valid, Verdict::Unknown)).then_some(()).ok_or(verdicts)
    })
    .await;
    sums.recovery = sums.recovery.max(restored_at.elapsed());
}
