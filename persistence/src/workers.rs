//! The background tasks of a store: starting, stopping, and waiting until they have exited.

use std::thread;

use tokio::{runtime::Handle, sync::oneshot};
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

    /// As [`Workers::spawn`], on a thread of its own, so that the worker's own work does not wait for the tasks of requests, nor they
    /// for it. When the runtime is dropped, so is the worker.
    ///
    /// # Panics
    /// The operating system refuses to create a thread.
    pub(crate) fn spawn_on_thread(&self, name: &str, worker: impl Future<Output = ()> + Send + 'static) {
        let runtime = Handle::current();
        let dropped = CancellationToken::new();
        let guard = dropped.clone().drop_guard();
        let (ended, end) = oneshot::channel::<()>();
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    // First: polling a worker that waits for a time would panic after the runtime was dropped.
                    biased;
                    () = dropped.cancelled() => {}
                    () = worker => {}
                }
            });
            drop(ended);
        };
        thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread");
        self.spawn(async move {
            // An error: the thread has panicked.
            let _ = end.await;
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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::runtime::Builder;

    use super::*;

    #[tokio::test]
    async fn a_panic_on_a_thread_of_its_own_is_noticed() {
        let workers = Workers::default();
        workers.spawn_on_thread("test", async { panic!("a defect") });
        workers.ended().await;
    }

    #[tokio::test]
    async fn stopping_waits_for_a_worker_on_a_thread_of_its_own() {
        let workers = Workers::default();
        let (stopped, result) = oneshot::channel();
        let stop = workers.stop.clone();
        workers.spawn_on_thread("test", async move {
            stop.cancelled().await;
            stopped.send(thread::current().name().map(str::to_owned)).expect("the test waits");
        });
        workers.stop_all().await;
        assert_eq!(result.await, Ok(Some("test".to_owned())));
    }

    #[test]
    fn a_worker_on_a_thread_of_its_own_is_dropped_with_the_runtime() {
        /// Sends whether its thread panics when it is dropped.
        struct Dropped(mpsc::Sender<bool>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.send(thread::panicking()).expect("the test waits");
            }
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
        let (dropped, result) = mpsc::channel();
        let (started, start) = mpsc::channel();
        runtime.block_on(async {
            Workers::default().spawn_on_thread("test", async move {
                let _dropped = Dropped(dropped);
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(Duration::from_hours(1)) => {}
                    // Once the sleep has begun.
                    () = async {
                        started.send(()).expect("the test waits");
                        std::future::pending::<()>().await;
                    } => {}
                }
            });
        });
        start.recv().expect("it starts");
        drop(runtime);
        assert_eq!(result.recv(), Ok(false));
    }
}
