//! Logs one line a minute for all verifications of that minute. A line for each would take more time than the verification.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::verifier::Verifier;

const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Logs a line for each minute with verifications until `stop` is cancelled, and one for the rest then.
pub async fn report(verifiers: Vec<Arc<Verifier>>, stop: CancellationToken) {
    let sums = || {
        let sums = verifiers.iter().map(|verifier| verifier.totals());
        sums.fold((0, 0), |(valid, refused), one| (valid + one.0, refused + one.1))
    };
    let mut before = sums();
    loop {
        let is_last = tokio::select! {
            () = tokio::time::sleep(LOG_INTERVAL) => false,
            () = stop.cancelled() => true,
        };
        let now = sums();
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
