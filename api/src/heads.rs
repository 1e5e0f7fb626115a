//! The ends of the logs, signed and told each minute in the log of the service: whoever later cuts off the end of a log cannot
//! take back what was told.

use std::{sync::Arc, time::Duration};

use domain::{audit_log::AuditLog, clock::Clock};
use tokio_util::sync::CancellationToken;

use crate::jwt::keyring::Keyring;

const EVERY: Duration = Duration::from_mins(1);

/// What may have come since it was looked at last, because a transaction took long or a clock is behind, is looked at again.
const AGAIN: i64 = 60_000;

/// What has grown before we started may not have been told, because the process before ended without a word.
const BEFORE: i64 = 24 * 60 * 60 * 1_000;

/// Tells what has grown, until `stop`, and once more then.
pub async fn tell(log: Arc<AuditLog>, keyring: Option<Arc<Keyring>>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut since = clock.now().plus_millis(-BEFORE);
    loop {
        let is_last = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = stop.cancelled() => true,
        };
        let now = clock.now();
        // A clock that was ahead and is right again must not hide what grows now.
        match log.grown(since.min(now).plus_millis(-AGAIN)).await {
            Ok(heads) => {
                since = now;
                for head in heads {
                    let signed = keyring.as_ref().map(|keyring| keyring.sign_head(&head, now));
                    tracing::info!(
                        target: "claviger", org_id = %head.organization, seq = head.seq, hash = %head.hash, signed,
                        "the log of an organization has grown"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(target: "claviger", %error, "the ends of the logs could not be read; they are told later");
            }
        }
        if is_last {
            return;
        }
    }
}
