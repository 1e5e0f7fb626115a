//! Handles SIGTERM, SIGINT and SIGHUP on a separate thread, so that the process exits in time even if all other threads are
//! blocked.

use std::{io, process, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::Notify,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::process::log_writer::LogWriter;

/// The time limit for writing the last log lines before the process exits from here.
const FLUSH_TIME_LIMIT: Duration = Duration::from_millis(500);

/// What the signals ask for.
#[derive(Clone, Default)]
pub struct Signals {
    /// Cancelled by the first SIGTERM or SIGINT: the service is not ready from then on, but still serves.
    pub drain: CancellationToken,
    /// Cancelled after the delay, or by a second signal: the service stops.
    pub stop: CancellationToken,
    /// Notified by SIGHUP: the service reloads its files.
    pub reload: Arc<Notify>,
}

/// Starts to listen for SIGTERM, SIGINT and SIGHUP. After the first SIGTERM or SIGINT, `stop` is cancelled after `delay`; a second
/// signal ends the delay. Another signal after that, or the end of `limit`, ends the process with exit code 1.
///
/// # Errors
/// The thread cannot be started, or the signal handlers cannot be installed.
pub fn listen(delay: Duration, limit: Duration, log: LogWriter) -> io::Result<Signals> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt, mut hangup) = {
        let _context = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
    };
    let signals = Signals::default();
    let Signals { drain, stop, reload } = signals.clone();
    let reloading = async move {
        while hangup.recv().await.is_some() {
            reload.notify_one();
        }
    };
    let stopping = async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        drain.cancel();
        if !delay.is_zero() {
            let _ = timeout(delay, next()).await;
        }
        stop.cancel();
        if timeout(limit, next()).await.is_ok() {
            tracing::warn!(target: "claviger", "stopped; running requests were aborted");
        } else {
            tracing::error!(target: "claviger", "the service did not stop in time and was aborted");
        }
        log.flush(FLUSH_TIME_LIMIT);
        process::exit(1);
    };
    let listening = async move { tokio::join!(reloading, stopping) };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listening))?;
    Ok(signals)
}
