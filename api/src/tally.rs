//! How many verifies found a key good and how many did not: each is counted, and once a minute one line of the log says how many there
//! were. A line for each of them would cost more than the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::verdict::Verdict;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_mins(1);

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Tally {
    valid: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    /// Counts a verdict.
    pub fn count(&self, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Valid(_) => &self.valid,
            Verdict::Refused { .. } => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Valid ones and refused ones so far.
    #[must_use]
    pub fn sums(&self) -> (u64, u64) {
        (self.valid.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// Writes a line each minute in which there was something to count, and one at the end.
    pub async fn report(self: Arc<Self>, stop: CancellationToken) {
        let mut before = self.sums();
        loop {
            let is_last = tokio::select! {
                () = tokio::time::sleep(EVERY) => false,
                () = stop.cancelled() => true,
            };
            let now = self.sums();
            if now != before {
                let (valid, refused) = (now.0 - before.0, now.1 - before.1);
                tracing::info!(target: "claviger", valid, refused, "verified");
                before = now;
            }
            if is_last {
                return;
            }
        }
    }
}
