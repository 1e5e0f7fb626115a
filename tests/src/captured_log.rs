//! The log of a service that runs in the test itself.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Level,
    dispatcher::Dispatch,
    subscriber::{DefaultGuard, NoSubscriber},
};

/// A second subscriber, which takes no lines. With a single one, tracing asks the thread that first writes a line whether it is
/// captured, and caches the answer for all threads.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// The log lines that are written on the thread that created this value, until it is dropped. A test runs its service on its own
/// thread, unless it asks for several; the workers of the ledger and of usage have threads of their own.
pub struct CapturedLog {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl CapturedLog {
    /// Captures lines from now on.
    #[must_use]
    pub fn start() -> Self {
        LazyLock::force(&SECOND);
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The lines of this level (`WARN`) that contain a text.
    #[must_use]
    pub fn lines(&self, level: &str, text: &str) -> Vec<String> {
        let lines = String::from_utf8_lossy(&self.lines.0.lock().expect("not poisoned")).into_owned();
        lines.lines().filter(|line| line.contains(level) && line.contains(text)).map(ToOwned::to_owned).collect()
    }
}
