//! Signs a checkpoint of each audit log every minute, writes it to the log of the service, and stores it with the audit log. A later
//! change of the audit log in the database does not match the checkpoints in the service log.

use std::{sync::Arc, time::Duration};

use domain::audit_log::AuditLogService;
use tokio_util::sync::CancellationToken;

use crate::auth::jwt::keyring::Keyring;

const SIGN_INTERVAL: Duration = Duration::from_mins(1);

/// Signs checkpoints of the audit logs that have new events, every minute until `stop` is cancelled, and once more then. Without a
/// signing key it does nothing.
pub async fn sign(log: Arc<AuditLogService>, keyring: Option<Arc<Keyring>>, stop: CancellationToken) {
    let Some(keyring) = keyring else { return };
    loop {
        let is_last = tokio::select! {
            () = tokio::time::sleep(SIGN_INTERVAL) => false,
            () = stop.cancelled() => true,
        };
        sign_now(&log, &keyring).await;
        if is_last {
            return;
        }
    }
}

/// Signs a checkpoint of each audit log that has new events since its last checkpoint.
pub async fn sign_now(log: &AuditLogService, keyring: &Keyring) {
    let signed = log.sign_checkpoints(keyring, |checkpoint, signed| {
        let head = &checkpoint.head;
        tracing::info!(
            target: "claviger", org_id = %head.organization, seq = head.seq, hash = %head.hash, signed,
            "audit log checkpoint"
        );
    });
    if let Err(error) = signed.await {
        tracing::warn!(target: "claviger", %error, "signing audit checkpoints failed; retrying");
    }
}
