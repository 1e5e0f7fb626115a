//! What time makes superfluous is removed: now and then, a little at a time, by every node.

use std::time::Duration;

use domain::{Outage, clock::Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{Store, outage::Failure};

/// From one look to the next.
const EVERY: Duration = Duration::from_mins(1);

impl Store {
    /// Removes until `stop`.
    pub(crate) async fn keep_up(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick comes at once, when the schema may not be there yet.
        ticks.tick().await;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.tidy(self.clock.now()).await {
                tracing::warn!(target: "claviger", %error, "what is over could not be removed; it is tried again");
            }
        }
    }

    /// Removes what is over at this moment.
    ///
    /// # Errors
    /// The database is away.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), Outage> {
        Ok(self.tidy_or_fail(now).await?)
    }

    async fn tidy_or_fail(&self, now: Timestamp) -> Result<(), Failure> {
        let keys = self.remove_deleted(now).await;
        let events = self.remove_old_events(now).await;
        let usage = self.remove_old_usage(now).await;
        let requests = self.forget_requests(now).await;
        // What fails does not keep the rest from it.
        let (keys, events, usage, _) = (keys?, events?, usage?, requests?);
        if keys + events + usage > 0 {
            tracing::info!(target: "claviger", keys, events, usage, "removed what was kept long enough");
        }
        Ok(())
    }
}
