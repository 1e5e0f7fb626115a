//! Several nodes on one PostgreSQL: revocations reach all nodes, limits are exact over all nodes, and a node that is cut off,
//! killed or without its database does not return wrong results.

#![expect(clippy::print_stdout, reason = "measurements, shown with --nocapture")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::keys::quota::Quota;
use futures_util::{future::join_all, join};
use harness::{
    Caller, Flow, KeySpec, PostgresServer, TestApp, TestDatabase, binary,
    cluster::{CONNECTIONS, Node, feed_is},
    revocation::{self, Cuts, Revoker, Verdict, verify},
    wait_until, wait_until_refused,
};
use serde_json::json;
use tokio::time::MissedTickBehavior;

/// The default of the staleness bound.
const BOUND: Duration = Duration::from_secs(2);

/// How often a client verifies a key. Without a pause, hundreds of clients would leave a node no time to recover.
const VERIFY_INTERVAL: Duration = Duration::from_millis(100);

/// Tests that cause outages detect them soon.
const SHORT: (&str, &str) = ("CLAVIGER_DATABASE_TIMEOUT", "1s");

/// Nodes, and an organization that signed up on the first.
async fn cluster<const N: usize>(settings: &[(&str, &str)]) -> (TestDatabase, [Node; N], Revoker) {
    let database = TestDatabase::fresh().await;
    let nodes = Node::cluster(binary(), &database, settings).await;
    let anyone = nodes[0].process.anyone().keeping_connections();
    let revoker = Revoker::sign_up(&anyone).await;
    (database, nodes, revoker)
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_revocation_takes_effect_on_all_nodes_within_the_staleness_bound() {
    let (_database, nodes, revoker) = cluster::<3>(&[]).await;
    let watchers = [1, 2].map(|n: usize| nodes[n].caller(revoker.admin.bearer()));
    for watcher in &watchers {
        feed_is(watcher, "1").await;
    }
    let delays = revocation::delays(&revoker, &watchers, 500, Duration::from_millis(5)).await;
    let refused = &delays.refused;
    let at = |part: usize| refused[(refused.len() - 1) * part / 100];
    println!("{} revoked keys refused: p50 {:?}, p99 {:?}, max {:?}", refused.len(), at(50), at(99), at(100));
    assert!(delays.latest_valid <= BOUND, "a key was valid after the staleness bound: {:?}", delays.latest_valid);
    for watcher in &watchers {
        feed_is(watcher, "1").await;
        let text = watcher.get("/metrics").await.text;
        let count = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let (hits, misses) = (count("claviger_cache_hits_total "), count("claviger_cache_misses_total "));
        assert!(hits > misses, "keys were in the cache: {hits:?} hits, {misses:?} misses");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_node_that_is_cut_off_accepts_no_revoked_key_past_the_staleness_bound() {
    let (_database, nodes, revoker) = cluster::<2>(&[("CLAVIGER_STALENESS_BOUND", "1s"), SHORT]).await;
    let watcher = nodes[1].caller(revoker.admin.bearer());
    let mut sums = Cuts::default();
    for way in 0..revocation::WAYS.len() {
        let bound = Duration::from_secs(1);
        revocation::cut(&revoker, (&watcher, &nodes[1].proxy), 200, bound, way, &mut sums).await;
    }
    println!("{sums:?}");
    assert_eq!((sums.revoked, sums.too_late), (1_000, 0), "{sums:?}");
    assert!(sums.had_stale_header, "a response that may be stale says so");
    feed_is(&watcher, "1").await;
    let answer = watcher.post("/api_keys/verify", &json!({"key": "none"})).await;
    assert_eq!(answer.header("claviger-stale"), "", "a response that is not stale does not say so");
    feed_is(&watcher, "1").await;
}

/// Waits until this is the result of verifying a key.
async fn verdict_is(node: &Caller, key: &str, expected: Verdict) {
    wait_until(&format!("the result {expected:?}"), async || {
        let verdict = verify(node, key).await;
        (verdict == expected).then_some(()).ok_or(verdict)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_recovering_node_opens_few_database_connections() {
    let (_database, nodes, revoker) = cluster::<2>(&[("CLAVIGER_STALENESS_BOUND", "500ms"), SHORT]).await;
    let (watcher, proxy) = (nodes[1].caller(revoker.admin.bearer()), &nodes[1].proxy);
    let keys = revoker.create(300).await;
    let is_over = AtomicBool::new(false);
    let clients = keys.iter().map(|(_, key)| async {
        let (mut unavailable, mut ticks) = (0_u32, tokio::time::interval(VERIFY_INTERVAL));
        // Verifications that a slow answer has delayed are not made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !is_over.load(Ordering::SeqCst) {
            ticks.tick().await;
            match verify(&watcher, key).await {
                Verdict::Valid => {}
                Verdict::Unavailable => unavailable += 1,
                Verdict::Unknown => panic!("a valid key is unknown"),
            }
        }
        unavailable
    });
    let cuts = async {
        for flow in [Flow::Cut, Flow::Lost] {
            proxy.all(flow);
            feed_is(&watcher, "0").await;
            verdict_is(&watcher, &keys[0].1, Verdict::Unavailable).await;
            // Resets the maximum: the connections that the cut has broken are closed.
            let _ = proxy.take_max_connections();
            proxy.restore();
            verdict_is(&watcher, &keys[0].1, Verdict::Valid).await;
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let (unavailable, ()) = join!(join_all(clients), cuts);
    assert!(unavailable.iter().sum::<u32>() > 0);
    // The pool's and the two of the change feed, each with one that replaces it: while the machine is busy, the proxy notices the end
    // of a connection after the beginning of the next one.
    let most = proxy.take_max_connections();
    assert!(most <= 2 * (CONNECTIONS + 2), "{most} connections");
}

/// `clients` on each node verify a key until its uses are exhausted or the node is gone. Counts valid results.
async fn verify_concurrently(nodes: &[Node], admin: &str, key: &str, clients: usize, valid: &Arc<AtomicU64>) {
    let loops = nodes.iter().map(|node| {
        let caller = node.caller(admin).with("content-type", "application/json");
        join_all((0..clients).map(move |_| {
            let (caller, valid) = (caller.clone(), valid.clone());
            let body = json!({"key": key}).to_string().into_bytes();
            async move {
                while let Ok(answer) = caller.try_send("POST", "/api_keys/verify", Some(body.clone())).await {
                    assert_eq!(answer.status, 200, "{answer:?}");
                    if answer.json()["valid"] == false {
                        assert_eq!(answer.json()["code"], "USAGE_EXCEEDED");
                        break;
                    }
                    valid.fetch_add(1, Ordering::SeqCst);
                }
            }
        }))
    });
    join_all(loops).await;
}

/// Another node on the same database.
async fn another_node(database: TestDatabase) -> TestApp {
    TestApp::start_on(database, |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn three_nodes_grant_exactly_the_remaining_uses() {
    const CLIENTS: usize = 32;
    let (database, nodes, revoker) = cluster::<3>(&[]).await;
    let (app, admin) = (another_node(database).await, revoker.admin.bearer());
    let quota = Quota { remaining: Some(10_000), ..Quota::default() };
    let valid = Arc::new(AtomicU64::new(0));
    let (id, key) = app.key(&revoker.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    verify_concurrently(&nodes, admin, &key, CLIENTS, &valid).await;
    assert_eq!(valid.load(Ordering::SeqCst), 10_000);
    assert_eq!(app.counts(&id).await, (Some(0), 0, 10_000));

    let valid = Arc::new(AtomicU64::new(0));
    let (id, key) = app.key(&revoker.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let kill = async {
        wait_until("3,000 valid results", async || {
            let count = valid.load(Ordering::SeqCst);
            (count >= 3_000).then_some(()).ok_or(count)
        })
        .await;
        nodes[2].process.signal("KILL");
    };
    join!(verify_concurrently(&nodes, admin, &key, CLIENTS, &valid), kill);
    let valid = valid.load(Ordering::SeqCst);
    assert_eq!(app.counts(&id).await, (Some(0), 0, 10_000), "the other nodes use up the key");
    assert!(valid <= 10_000 && valid >= 10_000 - CLIENTS as u64, "{valid} valid");
}

/// The load on one node while the database restarts.
struct Load<'a> {
    caller: Caller,
    plain: &'a str,
    limited: &'a str,
}

impl Load<'_> {
    /// Verifies both keys until `is_over` is set. Returns how often the limited key was valid.
    async fn run(&self, is_over: &AtomicBool) -> u64 {
        let mut valid = 0;
        while !is_over.load(Ordering::SeqCst) {
            assert_ne!(verify(&self.caller, self.plain).await, Verdict::Unknown);
            valid += u64::from(verify(&self.caller, self.limited).await == Verdict::Valid);
        }
        valid
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn nodes_recover_from_a_database_restart_under_load() {
    let server = PostgresServer::start();
    let database = TestDatabase::on(server.url()).await;
    let nodes: [Node; 3] = Node::cluster(binary(), &database, &[SHORT]).await;
    let anyone = nodes[0].process.anyone().keeping_connections();
    let revoker = Revoker::sign_up(&anyone).await;
    let app = another_node(database).await;
    let (_, plain) = app.key(&revoker.org_id, KeySpec::with(&[])).await;
    let quota = Quota { remaining: Some(10_000_000), ..Quota::default() };
    let (id, limited) = app.key(&revoker.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let load = |node: &Node| Load { caller: node.caller(revoker.admin.bearer()), plain: &plain, limited: &limited };
    let (is_over, clients) = (AtomicBool::new(false), 8);
    let loads: Vec<Load<'_>> = nodes.iter().flat_map(|node| (0..clients).map(move |_| node)).map(load).collect();
    let work = async {
        // A key that was revoked before the database stopped stays revoked.
        let (gone, key) = app.key(&revoker.org_id, KeySpec::with(&[])).await;
        for node in &nodes {
            assert_eq!(verify(&load(node).caller, &key).await, Verdict::Valid);
        }
        revoker.revoke(&gone).await;
        tokio::task::block_in_place(|| server.restart());
        let returned = Instant::now();
        for node in &nodes {
            verdict_is(&load(node).caller, &limited, Verdict::Valid).await;
            let is_valid = async || verify(&load(node).caller, &key).await == Verdict::Valid;
            wait_until_refused("a key that was revoked before the restart", returned, BOUND, is_valid).await;
            verdict_is(&load(node).caller, &key, Verdict::Unknown).await;
        }
        println!("all nodes serve {:?} after the database is back", returned.elapsed());
        is_over.store(true, Ordering::SeqCst);
        returned
    };
    let (valid, _) = join!(join_all(loads.iter().map(|load| load.run(&is_over))), work);
    let valid: u64 = valid.iter().sum();
    let (remaining, _, counted) = app.counts(&id).await;
    assert_eq!(remaining, Some(10_000_000 - counted));
    assert!(u64::try_from(counted).expect("a count") >= valid, "{valid} valid results, {counted} stored");
    for node in nodes {
        node.process.signal("TERM");
        let (status, log) = node.process.wait();
        assert!(status.success(), "{log}");
    }
}
