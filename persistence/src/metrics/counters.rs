//! Prometheus counters and histograms, which are incremented where something happens. States are in
//! [`crate::state_collector`].

use prometheus::{Histogram, HistogramOpts, IntCounter, Registry};

/// Buckets of the wait for the ledger, in seconds: from a commit in memory to a database that is unavailable.
const WAITS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Buckets of the uses in a batch of the ledger.
const BATCHES: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 2_048.0, 4_096.0];

/// The counters and histograms of a store.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    pub(crate) hits: IntCounter,
    pub(crate) misses: IntCounter,
    pub(crate) batches: Histogram,
    pub(crate) waits: Histogram,
    pub(crate) folds: Histogram,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let counter = |name, help| IntCounter::new(name, help).expect("a name");
        let histogram = |name, help, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())).expect("a name and buckets")
        };
        Self {
            hits: counter("claviger_cache_hits_total", "Key cache hits"),
            misses: counter("claviger_cache_misses_total", "Key cache misses"),
            batches: histogram("claviger_ledger_batch_size", "Metered uses per database write", &BATCHES),
            waits: histogram(
                "claviger_ledger_wait_seconds",
                "Seconds from requesting a metered use to its being counted",
                &WAITS,
            ),
            folds: histogram(
                "claviger_ledger_fold_seconds",
                "Seconds of a transaction that writes counters from the journal into keys, on SQLite",
                &WAITS,
            ),
        }
    }

    pub(crate) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.hits.clone()))?;
        registry.register(Box::new(self.misses.clone()))?;
        registry.register(Box::new(self.batches.clone()))?;
        registry.register(Box::new(self.waits.clone()))?;
        registry.register(Box::new(self.folds.clone()))
    }
}
