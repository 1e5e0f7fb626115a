//! States that are looked up when an operator asks: what is remembered, the change feed, the connections.

use std::sync::Arc;

use prometheus::{
    Gauge, GaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use sea_orm::{DatabaseConnection, DbBackend};

use crate::{clocks::Clocks, connect::Pools, freshness::Freshness, retention::Held, snapshots::Snapshots};

/// What is looked up when somebody asks.
pub(crate) struct States {
    pools: Pools,
    snapshots: Arc<Snapshots>,
    freshness: Arc<Freshness>,
    clocks: Clocks,
    held: Held,
    keys: Gauge,
    bytes: Gauge,
    waiting: Gauge,
    feed_up: Gauge,
    feed_age: Gauge,
    bound: Gauge,
    connections: GaugeVec,
    clock_skew: Gauge,
    retention_held: GaugeVec,
}

impl States {
    pub(crate) fn new(
        pools: Pools,
        snapshots: Arc<Snapshots>,
        freshness: Arc<Freshness>,
        clocks: Clocks,
        held: Held,
    ) -> Self {
        let gauge = |name, help| Gauge::new(name, help).expect("a name");
        let connections = Opts::new("claviger_database_connections", "Open connections, by pool and state");
        let retention = Opts::new("claviger_retention_held", "1: purging rows of this kind waits for an operator");
        Self {
            pools,
            snapshots,
            freshness,
            clocks,
            held,
            keys: gauge("claviger_cache_keys", "Keys that are remembered"),
            bytes: gauge("claviger_cache_bytes", "Bytes that remembered keys take"),
            waiting: gauge("claviger_reads_waiting", "Keys that wait to be read"),
            feed_up: gauge("claviger_feed_up", "1: the changes of other nodes are heard of"),
            feed_age: gauge("claviger_feed_age_seconds", "Since when changes may have gone unheard; 0 on SQLite"),
            bound: gauge("claviger_staleness_bound_seconds", "Age past which nothing that is remembered is relied on"),
            connections: GaugeVec::new(connections, &["pool", "state"]).expect("a name and labels"),
            clock_skew: gauge(
                "claviger_clock_skew_seconds",
                "How far this node's clock is ahead of the database's; negative: behind; 0 on SQLite",
            ),
            retention_held: GaugeVec::new(retention, &["kind"]).expect("a name and a label"),
        }
    }

    fn all(&self) -> [&dyn Collector; 9] {
        let Self { keys, bytes, waiting, feed_up, feed_age, bound, connections, clock_skew, retention_held, .. } = self;
        [keys, bytes, waiting, feed_up, feed_age, bound, connections, clock_skew, retention_held]
    }

    fn look(&self) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
        let number = |count: usize| count as f64;
        let (keys, bytes) = self.snapshots.size();
        self.keys.set(number(keys));
        self.bytes.set(number(bytes));
        self.waiting.set(number(self.snapshots.waiting()));
        self.feed_up.set(f64::from(u8::from(!self.freshness.is_silent())));
        self.feed_age.set(self.freshness.age().as_secs_f64());
        self.bound.set(self.freshness.bound().unwrap_or_default().as_secs_f64());
        self.clock_skew.set(self.clocks.skew_seconds());
        for (kind, held) in self.held.all() {
            self.retention_held.with_label_values(&[kind.name()]).set(f64::from(u8::from(held)));
        }
        for (name, open, idle) in self.pools() {
            let set = |state: &str, count| self.connections.with_label_values(&[name, state]).set(count);
            set("idle", number(idle));
            set("used", (f64::from(open) - number(idle)).max(0.0));
        }
    }

    /// Each pool's name, its open connections, and the idle ones among them.
    fn pools(&self) -> Vec<(&'static str, u32, usize)> {
        let Pools { write, ledger, verification, read, .. } = &self.pools;
        let pools = [("write", write), ("verification", verification), ("read", read)];
        if write.get_database_backend() == DbBackend::Postgres {
            let count = |(name, pool): (&'static str, &DatabaseConnection)| {
                let pool = pool.get_postgres_connection_pool();
                (name, pool.size(), pool.num_idle())
            };
            return pools.into_iter().chain([("ledger", ledger)]).map(count).collect();
        }
        let count = |(name, pool): (&'static str, &DatabaseConnection)| {
            let pool = pool.get_sqlite_connection_pool();
            (name, pool.size(), pool.num_idle())
        };
        pools.into_iter().map(count).collect()
    }
}

impl Collector for States {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.look();
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
