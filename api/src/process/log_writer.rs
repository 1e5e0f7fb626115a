//! Writes the log: lines go into a bounded buffer, and a separate thread writes them to standard error. If the reader of the log
//! stalls, it blocks only that thread. Lines that do not fit into the buffer are dropped and counted.
//!
//! `tracing-appender` is similar, but its buffer is bounded in lines, not in bytes, and the guard that flushes it at exit writes
//! to standard output when the buffer is full, which may be the same stalled pipe.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use prometheus::IntCounter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The maximum size of the lines in the buffer, in bytes. The writing thread may hold the same amount in addition.
const MAX_WAITING: usize = 2 << 20;

/// The part of [`MAX_WAITING`] that is reserved for warnings, errors and [`LogWriter::write_line`], in bytes.
const RESERVED: usize = MAX_WAITING / 4;

/// The pause before another attempt if standard error is non-blocking and full.
const PAUSE: Duration = Duration::from_millis(10);

/// The number of lines that were dropped since the start of the process.
static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Log lines that were dropped because the log was not read fast enough, or could not be written";
    IntCounter::new("claviger_log_lines_dropped_total", help).expect("a name")
});

/// The counter of dropped lines, for the metrics.
#[must_use]
pub fn dropped_lines() -> IntCounter {
    DROPPED.clone()
}

/// Appends lines to the log. Clones share one buffer.
#[derive(Clone)]
pub struct LogWriter(Arc<WriterState>);

#[derive(Default)]
struct WriterState {
    buffer: Mutex<Buffer>,
    /// Notified when the buffer gets a line.
    filled: Condvar,
    /// Notified when everything is written.
    written: Condvar,
    /// The thread that writes.
    thread: OnceLock<ThreadId>,
}

#[derive(Default)]
struct Buffer {
    waiting: Vec<u8>,
    is_writing: bool,
    /// The number of lines that were dropped since the last log line that reported dropped lines.
    dropped: u64,
}

impl LogWriter {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let log = Self(Arc::default());
        let writer = log.clone();
        // Not waited for: it may be blocked when the process ends.
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(out))?;
        Ok(log)
    }

    /// Appends a line that is not an event. `text` has no line break at its end.
    pub fn write_line(&self, text: &str) {
        self.push(format!("{text}\n").as_bytes(), MAX_WAITING);
    }

    /// Waits at most `limit` until everything is written. `false`: something is still not written.
    pub fn flush(&self, limit: Duration) -> bool {
        let is_busy = |buffer: &mut Buffer| buffer.is_writing || !buffer.waiting.is_empty();
        let waited = self.0.written.wait_timeout_while(self.buffer(), limit, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line, or drops it if the buffer would hold more than `limit` bytes.
    fn push(&self, line: &[u8], limit: usize) {
        let mut buffer = self.buffer();
        // The lines of the writing thread are always accepted: at most one for each batch that it writes.
        if buffer.waiting.len() + line.len() > limit && self.0.thread.get() != Some(&thread::current().id()) {
            buffer.dropped += 1;
            drop(buffer);
            DROPPED.inc();
            return;
        }
        buffer.waiting.extend_from_slice(line);
        drop(buffer);
        self.0.filled.notify_one();
    }

    fn run(&self, mut out: impl Write) {
        let _ = self.0.thread.set(thread::current().id());
        let mut batch = Vec::new();
        loop {
            self.take(&mut batch);
            let left = write(&mut out, &batch);
            let lines = left.split(|byte| *byte == b'\n').count() - 1;
            let dropped = {
                let mut buffer = self.buffer();
                buffer.dropped += lines as u64;
                // If writing failed, a line about it would fail, too.
                if left.is_empty() { mem::take(&mut buffer.dropped) } else { 0 }
            };
            DROPPED.inc_by(lines as u64);
            if dropped > 0 {
                let message = "log lines were dropped: the log was not read fast enough";
                tracing::warn!(target: "claviger", lines = dropped, "{message}");
            }
            batch.clear();
        }
    }

    /// Waits until the buffer has lines, and moves them into `batch`.
    fn take(&self, batch: &mut Vec<u8>) {
        let mut buffer = self.buffer();
        buffer.is_writing = false;
        if buffer.waiting.is_empty() {
            self.0.written.notify_all();
            let is_empty = |buffer: &mut Buffer| buffer.waiting.is_empty();
            buffer = self.0.filled.wait_while(buffer, is_empty).unwrap_or_else(PoisonError::into_inner);
        }
        buffer.is_writing = true;
        mem::swap(&mut buffer.waiting, batch);
    }
}

/// Writes `bytes`, without a time limit. Returns the rest that could not be written.
fn write<'a>(out: &mut impl Write, mut bytes: &'a [u8]) -> &'a [u8] {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => break,
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(_) => break,
        }
    }
    bytes
}

/// Appends each write as one line.
pub struct Line<'a> {
    log: &'a LogWriter,
    limit: usize,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.log.push(bytes, self.limit);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { log: self, limit: MAX_WAITING - RESERVED }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        let is_urgent = *metadata.level() <= Level::WARN;
        Line { log: self, limit: if is_urgent { MAX_WAITING } else { MAX_WAITING - RESERVED } }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// An output whose writes block until the test allows them.
    struct Stalled {
        proceed: mpsc::Receiver<()>,
        read: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.proceed.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.read.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn unwritten_log_lines_are_bounded_and_dropped_ones_counted() {
        let (proceed, allowed) = mpsc::channel();
        let (read, written) = mpsc::channel();
        let log = LogWriter::start(Stalled { proceed: allowed, read }).expect("a thread");
        let line = vec![b'x'; 64 << 10];
        for _ in 0..100 {
            log.push(&line, MAX_WAITING - RESERVED);
        }
        let size = log.buffer().waiting.len();
        assert!(size <= MAX_WAITING - RESERVED && size + line.len() > MAX_WAITING - RESERVED, "{size}");
        assert!(log.buffer().dropped > 0);
        log.write_line("urgent");
        assert!(log.buffer().waiting.ends_with(b"urgent\n"), "space is reserved for urgent lines");
        assert!(!log.flush(Duration::from_millis(1)), "the wait is limited");
        let mut all = Vec::new();
        while !all.ends_with(b"urgent\n") {
            proceed.send(()).expect("it writes");
            all.extend(written.recv().expect("it writes"));
        }
        // The last batch may have been only the urgent line.
        assert!(all.len() > size);
    }

    #[test]
    fn log_lines_that_cannot_be_written_are_counted() {
        let (proceed, allowed) = mpsc::channel();
        let (read, _) = mpsc::channel();
        drop(proceed);
        let before = DROPPED.get();
        let log = LogWriter::start(Stalled { proceed: allowed, read }).expect("a thread");
        log.write_line("one\ntwo");
        assert!(log.flush(Duration::from_mins(1)));
        assert!(DROPPED.get() >= before + 2);
    }
}
