//! One line of the log a minute for all verifies of that minute. A line for each of them would cost more than the answer.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::verifier::Verifier;

const EVERY: Duration = Duration::from_mins(1);

/// Writes a line each minute in which there was something to count, and one at the end.
pub async fn report(verifiers: Vec<Arc<Verifier>>, stop: CancellationToken) {
    let sums = || {
        let sums = verifiers.iter().map(|verifier| verifier.sums());
        sums.fold((0, 0), |(valid, refused), one| (valid + one.0, refused + one.1))
    };
    let mut before = sums();
    loop {
        let is_last = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
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
