//! The signals that end the service, heard on a thread of its own: whatever blocks the other threads, the process ends in time.

use std::{io, process, thread, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::log_writer::LogWriter;

/// How long the last lines of the log may take when the process is ended from here.
const FLUSH_TIME_LIMIT: Duration = Duration::from_millis(500);

/// Listens for SIGTERM and SIGINT from now on. The first one cancels the token that is answered. The second one ends the
/// process with exit code 1, and so does the end of `limit` after the first one.
///
/// # Errors
/// The operating system has no thread for us, or does not let us handle the signals.
pub fn listen(limit: Duration, log: LogWriter) -> io::Result<CancellationToken> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _context = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let stop = CancellationToken::new();
    let told = stop.clone();
    let listening = async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        told.cancel();
        if tokio::time::timeout(limit, next()).await.is_ok() {
            tracing::warn!(target: "claviger", "stopped with requests cut off");
        } else {
            tracing::error!(target: "claviger", "the service did not stop in time, and is cut off");
        }
        log.flush(FLUSH_TIME_LIMIT);
        process::exit(1);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listening))?;
    Ok(stop)
}
