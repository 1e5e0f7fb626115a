//! Three nodes on one PostgreSQL: a revocation is heard by all of them, limits are exact over all of them, and a node that is
//! cut off, killed or without its database for a while is never wrong.

#![expect(clippy::print_stdout, reason = "figures for those who run it with --nocapture")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::quota::Quota;
use futures_util::{future::join_all, join};
use harness::{
    Caller, Flow, KeySpec, PostgresServer, TestApp, TestDatabase, binary,
    cluster::{CONNECTIONS, Node},
    revocation::{self, Cuts, Revoker, Said, verify},
};
use serde_json::json;

/// Where outages are made, they are found out soon.
const SHORT: (&str, &str) = ("CLAVIGER_DATABASE_TIMEOUT", "1s");

/// Nodes, and an organization on the first of them.
async fn cluster<const N: usize>(settings: &[(&str, &str)]) -> Option<(TestDatabase, [Node; N], Revoker)> {
    let database = TestDatabase::fresh().await;
    if !database.is_postgres() {
        return None; // On SQLite one process serves.
    }
    let nodes = Node::cluster(binary(), &database, settings).await;
    let anyone = Caller::anyone(format!("http://{}", nodes[0].process.address)).keeping_connections();
    let revoker = Revoker::sign_up(&anyone).await;
    Some((database, nodes, revoker))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_hear_of_a_revocation() {
    let Some((_database, nodes, revoker)) = cluster::<3>(&[]).await else { return };
    let watchers = [1, 2].map(|n: usize| nodes[n].caller(revoker.admin.bearer()));
    for watcher in &watchers {
        feed_is(watcher, "1").await;
    }
    let delays = revocation::delays(&revoker, &watchers, 500, Duration::from_millis(5)).await;
    let at = |part: usize| delays[(delays.len() - 1) * part / 100];
    println!("{} revocations heard: p50 {:?}, p99 {:?}, max {:?}", delays.len(), at(50), at(99), at(100));
    assert!(at(100) < Duration::from_secs(2), "past the bound: {:?}", at(100));
    for watcher in &watchers {
        feed_is(watcher, "1").await;
        let text = watcher.get("/metrics").await.text;
        let count = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let (hits, misses) = (count("claviger_cache_hits_total "), count("claviger_cache_misses_total "));
        assert!(hits > misses, "it answered out of memory: {hits:?} {misses:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_nothing_says_yes_no_longer_than_the_bound() {
    let Some((_database, nodes, revoker)) = cluster::<2>(&[("CLAVIGER_STALENESS_BOUND", "1s"), SHORT]).await else {
        return;
    };
    let watcher = nodes[1].caller(revoker.admin.bearer());
    let mut sums = Cuts::default();
    for way in 0..revocation::WAYS.len() {
        let bound = Duration::from_secs(1);
        revocation::cut(&revoker, (&watcher, &nodes[1].proxy), 200, bound, way, &mut sums).await;
    }
    println!("{sums:?}");
    assert_eq!((sums.revoked, sums.too_late), (1_000, 0), "{sums:?}");
    assert!(sums.told_stale, "an answer that may be old says so");
    feed_is(&watcher, "1").await;
    let answer = watcher.post("/api_keys/verify", &json!({"key": "none"})).await;
    assert_eq!(answer.header("claviger-stale"), "", "one that may not does not");
    feed_is(&watcher, "1").await;
}

/// Waits until a node tells this of its feed.
async fn feed_is(node: &Caller, up: &str) {
    let (since, line) = (Instant::now(), format!("\nclaviger_feed_up {up}\n"));
    while !node.get("/metrics").await.text.contains(&line) {
        assert!(since.elapsed() < Duration::from_secs(10), "never:{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_does_not_storm_the_database() {
    let Some((_database, nodes, revoker)) = cluster::<2>(&[("CLAVIGER_STALENESS_BOUND", "500ms"), SHORT]).await else {
        return;
    };
    let (watcher, proxy) = (nodes[1].caller(revoker.admin.bearer()), &nodes[1].proxy);
    let keys = revoker.create(300).await;
    let is_over = AtomicBool::new(false);
    let askers = keys.iter().map(|(_, key)| async {
        let mut away = 0_u32;
        while !is_over.load(Ordering::SeqCst) {
            match verify(&watcher, key).await {
                Said::Valid => {}
                Said::Away => away += 1,
                Said::Unknown => panic!("a good key is called unknown"),
            }
        }
        away
    });
    let cuts = async {
        for flow in [Flow::Cut, Flow::Lost] {
            proxy.all(flow);
            feed_is(&watcher, "0").await;
            let cut = Instant::now();
            while verify(&watcher, &keys[0].1).await != Said::Away {
                assert!(cut.elapsed() < Duration::from_secs(30), "it goes on answering");
            }
            // Places of connections that died unheard are free again, and what they held is over.
            let _ = proxy.take_most();
            proxy.mend();
            let mended = Instant::now();
            while verify(&watcher, &keys[0].1).await != Said::Valid {
                assert!(mended.elapsed() < Duration::from_secs(10), "it does not come back");
            }
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let (away, ()) = join!(join_all(askers), cuts);
    assert!(away.iter().sum::<u32>() > 0);
    // Those of the pool, the two of the feed, and a few that are being replaced.
    let most = proxy.take_most();
    assert!(most <= CONNECTIONS + 2 + 3, "{most} connections");
}

/// So many clients on each node ask about a key until one of them hears "no", or until the node is gone. Answers how often
/// they heard "yes".
async fn storm(nodes: &[Node], admin: &str, key: &str, clients: usize, valid: &Arc<AtomicU64>) {
    let storms = nodes.iter().map(|node| {
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
    join_all(storms).await;
}

/// A node that asks the same database, beside the others.
async fn beside(database: TestDatabase) -> TestApp {
    TestApp::start_on(database, |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_grant_exactly_what_there_is() {
    const CLIENTS: usize = 32;
    let Some((database, nodes, revoker)) = cluster::<3>(&[]).await else { return };
    let (app, admin) = (beside(database).await, revoker.admin.bearer());
    let quota = Quota { remaining: Some(10_000), ..Quota::default() };
    let valid = Arc::new(AtomicU64::new(0));
    let (id, key) = app.key(&revoker.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    storm(&nodes, admin, &key, CLIENTS, &valid).await;
    assert_eq!(valid.load(Ordering::SeqCst), 10_000);
    assert_eq!(app.counts(&id).await, (Some(0), 0, 10_000));

    let valid = Arc::new(AtomicU64::new(0));
    let (id, key) = app.key(&revoker.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let kill = async {
        while valid.load(Ordering::SeqCst) < 3_000 {
            tokio::task::yield_now().await;
        }
        nodes[2].process.signal("KILL");
    };
    join!(storm(&nodes, admin, &key, CLIENTS, &valid), kill);
    let valid = valid.load(Ordering::SeqCst);
    assert_eq!(app.counts(&id).await, (Some(0), 0, 10_000), "the others go on to the end");
    assert!(valid <= 10_000 && valid >= 10_000 - CLIENTS as u64, "{valid} valid");
}

/// One node's part in a restart of the database: keys that are good and limited, all the time.
struct Load<'a> {
    caller: Caller,
    plain: &'a str,
    limited: &'a str,
}

impl Load<'_> {
    /// Asks until told to stop. Answers how often the limited key was found good.
    async fn run(&self, is_over: &AtomicBool) -> u64 {
        let mut valid = 0;
        while !is_over.load(Ordering::SeqCst) {
            assert_ne!(verify(&self.caller, self.plain).await, Said::Unknown);
            valid += u64::from(verify(&self.caller, self.limited).await == Said::Valid);
        }
        valid
    }

    /// Whether it counts again.
    async fn serves(&self) -> bool {
        verify(&self.caller, self.limited).await == Said::Valid
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_database_under_load_is_survived() {
    if !TestDatabase::fresh().await.is_postgres() {
        return;
    }
    let server = PostgresServer::start();
    let database = TestDatabase::on(server.url()).await;
    let nodes: [Node; 3] = Node::cluster(binary(), &database, &[SHORT]).await;
    let anyone = Caller::anyone(format!("http://{}", nodes[0].process.address)).keeping_connections();
    let revoker = Revoker::sign_up(&anyone).await;
    let app = beside(database).await;
    let (_, plain) = app.key(&revoker.org_id, KeySpec::with(&[])).await;
    let quota = Quota { remaining: Some(10_000_000), ..Quota::default() };
    let (id, limited) = app.key(&revoker.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let load = |node: &Node| Load { caller: node.caller(revoker.admin.bearer()), plain: &plain, limited: &limited };
    let (is_over, clients) = (AtomicBool::new(false), 8);
    let loads: Vec<Load<'_>> = nodes.iter().flat_map(|node| (0..clients).map(move |_| node)).map(load).collect();
    let work = async {
        // A key whose revocation was answered before the database went stays revoked.
        let (gone, key) = app.key(&revoker.org_id, KeySpec::with(&[])).await;
        for node in &nodes {
            assert_eq!(verify(&load(node).caller, &key).await, Said::Valid);
        }
        revoker.revoke(&gone).await;
        tokio::task::block_in_place(|| server.restart());
        let returned = Instant::now();
        for node in &nodes {
            while !load(node).serves().await {
                assert!(returned.elapsed() < Duration::from_secs(5), "a node does not come back");
            }
            while verify(&load(node).caller, &key).await != Said::Unknown {
                assert!(returned.elapsed() < Duration::from_secs(5), "a revoked key came back");
            }
        }
        println!("all nodes serve {:?} after the database is back", returned.elapsed());
        is_over.store(true, Ordering::SeqCst);
        returned
    };
    let (valid, _) = join!(join_all(loads.iter().map(|load| load.run(&is_over))), work);
    let valid: u64 = valid.iter().sum();
    let (remaining, _, counted) = app.counts(&id).await;
    assert_eq!(remaining, Some(10_000_000 - counted));
    assert!(u64::try_from(counted).expect("a count") >= valid, "{valid} answered, {counted} stored");
    for node in nodes {
        node.process.signal("TERM");
        let (status, log) = node.process.wait();
        assert!(status.success(), "{log}");
    }
}
