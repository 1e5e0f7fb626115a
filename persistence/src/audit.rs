//! The audit logs. The events of a change are written in its own transaction, by [`crate::database::change_log`].

mod broken;
mod checkpoints;
mod denials;
mod prune;
mod read;
mod search;

use std::sync::Arc;

pub(crate) use broken::BrokenLogs;
pub(crate) use prune::{Pruning, Signer, with_events_before};

use crate::{audit::denials::DenialBuffer, database::Database};

/// The audit logs, and the buffer of denied attempts. Events of changes are not written here, but in the transactions of the
/// changes.
pub struct AuditStore {
    database: Arc<Database>,
    denials: DenialBuffer,
    broken_logs: BrokenLogs,
}

impl AuditStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, denials: DenialBuffer::default(), broken_logs: BrokenLogs::default() }
    }

    /// The logs that were found changed, as they are found.
    pub(crate) fn broken_logs(&self) -> BrokenLogs {
        self.broken_logs.clone()
    }

    /// Starts the worker that writes denied attempts.
    pub(crate) fn spawn(self: &Arc<Self>) {
        let workers = &self.database.workers;
        workers.spawn(self.clone().run_denial_writer(workers.stop.clone()));
    }
}
