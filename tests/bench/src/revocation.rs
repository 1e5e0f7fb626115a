//! How soon a revoked key is refused by other nodes, compared with a bare notification of PostgreSQL, and while a node is cut
//! off.

use std::time::Duration;

use bench::server::program;
use harness::{
    TestDatabase,
    cluster::Node,
    revocation::{self, Cuts, Revoker},
};

/// The default of the staleness bound.
const BOUND: Duration = Duration::from_secs(2);

/// The time between two verifications on a node.
const PACE: Duration = Duration::from_millis(5);

/// Measures three nodes with the default settings: keys are revoked on the first and verified on the others.
pub(crate) async fn measure(postgres: &str, quick: bool) {
    let (turns, cuts, keys) = if quick { (500, 5, 1_000) } else { (5_000, 20, 5_000) };
    println!("\n## Revocation: three nodes on PostgreSQL\n");
    let database = TestDatabase::on(postgres).await;
    let nodes: [Node; 3] = Node::cluster(&program("claviger"), &database, &[("CLAVIGER_DATABASE_TIMEOUT", "1s")]).await;
    let anyone = nodes[0].process.anyone().keeping_connections();
    let revoker = Revoker::sign_up(&anyone).await;
    let watchers = [1, 2].map(|n: usize| nodes[n].caller(revoker.admin.bearer()));

    println!("| delay | count | p50 ms | p99 ms | max ms |");
    println!("|---|---|---|---|---|");
    row("a bare NOTIFY, on another connection", &database.notification_delays(turns).await);
    let delays = revocation::delays(&revoker, &watchers, turns, PACE).await;
    row("a revocation, by the first refused verification on each other node, 200 a second", &delays.refused);

    let mut sums = Cuts::default();
    for way in 0..cuts {
        revocation::cut(&revoker, (&watchers[0], &nodes[1].proxy), keys, BOUND, way, &mut sums).await;
    }
    println!(
        "\n- {} keys revoked while the node was cut off, {cuts} cuts (change feed or all connections; closed, silent or slow): {} \
         results meanwhile, **{} \"valid\" later than {} ms** after the revocation; the latest was sent {} ms after it. \
         After a cut, results were correct within {} ms.",
        sums.revoked,
        sums.results,
        sums.too_late,
        BOUND.as_millis(),
        sums.latest.as_millis(),
        sums.recovery.as_millis(),
    );
    assert_eq!(sums.too_late, 0, "a revoked key was valid after the staleness bound");
}

fn row(name: &str, delays: &[Duration]) {
    let at = |part: usize| delays[(delays.len() - 1) * part / 100].as_secs_f64() * 1_000.0;
    println!("| {name} | {} | {:.2} | {:.2} | {:.2} |", delays.len(), at(50), at(99), at(100));
}
