//! A Prometheus collector of states that are read when metrics are collected: the key cache, the change feed, connections.

use std::sync::Arc;

use prometheus::{
    Gauge, GaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{
    audit::BrokenLogs,
    counter_states::CounterStates,
    database::Database,
    db::{
        clocks::Clocks,
        connect::Pools,
        dialect::{self, Dialect, PoolState},
    },
    key_cache::{KeyCache, staleness::Staleness},
    retention::HeldPurges,
};

/// Reads the states of a store when metrics are collected.
pub(crate) struct StateCollector {
    pools: Pools,
    key_cache: Arc<KeyCache>,
    counter_states: Arc<CounterStates>,
    staleness: Arc<Staleness>,
    clocks: Clocks,
    held: HeldPurges,
    broken_logs: BrokenLogs,
    keys: Gauge,
    bytes: Gauge,
    waiting: Gauge,
    unfolded: Gauge,
    feed_up: Gauge,
    feed_age: Gauge,
    bound: Gauge,
    connections: GaugeVec,
    clock_skew: Gauge,
    retention_held: GaugeVec,
    audit_logs_broken: Gauge,
}

impl StateCollector {
    pub(crate) fn new(
        database: &Database,
        staleness: Arc<Staleness>,
        held: HeldPurges,
        broken_logs: BrokenLogs,
    ) -> Self {
        let gauge = |name, help| Gauge::new(name, help).expect("a name");
        let connections = Opts::new("claviger_database_connections", "Open database connections, by pool and state");
        let retention = Opts::new(
            "claviger_retention_held",
            "1 if purging rows of this kind is held until an operator confirms it",
        );
        Self {
            pools: database.pools.clone(),
            key_cache: database.key_cache.clone(),
            counter_states: database.counter_states.clone(),
            staleness,
            clocks: database.clocks.clone(),
            held,
            broken_logs,
            keys: gauge("claviger_cache_keys", "Cached keys"),
            bytes: gauge("claviger_cache_bytes", "Memory of cached keys in bytes"),
            waiting: gauge("claviger_reads_waiting", "Keys waiting to be read from the database"),
            unfolded: gauge(
                "claviger_ledger_unfolded_keys",
                "Keys whose counters are newer than their rows, on SQLite",
            ),
            feed_up: gauge("claviger_feed_up", "1 if the change feed is connected"),
            feed_age: gauge(
                "claviger_feed_age_seconds",
                "Seconds since the last heartbeat of the change feed, or since the start of the process if there was none; 0 on SQLite",
            ),
            bound: gauge(
                "claviger_staleness_bound_seconds",
                "Age of the change feed in seconds beyond which the cache is bypassed",
            ),
            connections: GaugeVec::new(connections, &["pool", "state"]).expect("a name and labels"),
            clock_skew: gauge(
                "claviger_clock_skew_seconds",
                "Seconds that this node's clock is ahead of the database's; negative: behind; 0 on SQLite",
            ),
            retention_held: GaugeVec::new(retention, &["kind"]).expect("a name and a label"),
            audit_logs_broken: gauge(
                "claviger_audit_logs_broken",
                "Audit logs that this node found changed in the last minutes, up to 1000",
            ),
        }
    }

    fn all(&self) -> [&dyn Collector; 11] {
        let Self { keys, bytes, waiting, feed_up, feed_age, bound, connections, clock_skew, retention_held, .. } = self;
        let Self { unfolded, audit_logs_broken: broken, .. } = self;
        [keys, bytes, waiting, unfolded, feed_up, feed_age, bound, connections, clock_skew, retention_held, broken]
    }

    fn read_states(&self) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
        let number = |count: usize| count as f64;
        let (keys, bytes) = self.key_cache.size();
        self.keys.set(number(keys));
        self.bytes.set(number(bytes));
        self.waiting.set(number(self.key_cache.waiting()));
        self.unfolded.set(number(self.counter_states.unfolded()));
        self.feed_up.set(f64::from(u8::from(!self.staleness.is_heartbeat_overdue())));
        self.feed_age.set(self.staleness.elapsed().as_secs_f64());
        self.bound.set(self.staleness.bound().unwrap_or_default().as_secs_f64());
        self.clock_skew.set(self.clocks.skew_seconds());
        self.audit_logs_broken.set(number(self.broken_logs.count()));
        for (kind, held) in self.held.all() {
            self.retention_held.with_label_values(&[kind.name()]).set(f64::from(u8::from(held)));
        }
        let Pools { write, ledger, verification, read, .. } = &self.pools;
        let mut pools = vec![("write", write), ("verification", verification), ("read", read)];
        // On SQLite the ledger uses the connection of the changes.
        if Dialect::of(write).is_shared() {
            pools.push(("ledger", ledger));
        }
        for (name, pool) in pools {
            let PoolState { open, idle, .. } = dialect::pool_state(pool);
            let set = |state: &str, count| self.connections.with_label_values(&[name, state]).set(count);
            set("idle", number(idle));
            set("used", (f64::from(open) - number(idle)).max(0.0));
        }
    }
}

impl Collector for StateCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read_states();
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
