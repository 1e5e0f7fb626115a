//! The background tasks of a store: starting, stopping, and waiting until they have exited.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The background tasks of one store. Clones refer to the same tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workers {
    /// The tasks that [`Workers::stop_all`] waits for.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the tasks have to stop. They write what is queued before they do.
    pub(crate) stop: CancellationToken,
    ended: CancellationToken,
}

impl Workers {
    /// Spawns a worker that runs until `stop` is cancelled. If it exits for any reason, panics included, [`Workers::ended`]
    /// returns.
    pub(crate) fn spawn(&self, worker: impl Future<Output = ()> + Send + 'static) {
        let guard = self.ended.clone().drop_guard();
        self.tasks.spawn(async move {
            worker.await;
            drop(guard);
        });
    }

    /// Waits until a worker has exited. Before [`Workers::stop_all`] that happens only by a defect.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Stops all workers and waits until they have exited.
    pub(crate) async fn stop_all(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
