//! Writes the log: lines go into a bounded buffer, and a thread of its own writes them to standard error. A reader of the log
//! that stalls stops that thread and nothing else. What does not fit into the buffer is dropped and counted.
//!
//! `tracing-appender` does nearly the same, but its buffer has a bound in lines only, and the guard that flushes it at the end
//! writes to standard output when the buffer is full, which may be the same pipe that nobody reads.

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

/// Bytes of lines that wait to be written. Just as many may be in the hands of the writing thread.
const MAX_WAITING: usize = 2 << 20;

/// The part of them that is kept for warnings and errors.
const RESERVED: usize = MAX_WAITING / 4;

/// The pause where standard error takes nothing at the moment, which it says only if somebody has made it non-blocking.
const PAUSE: Duration = Duration::from_millis(10);

/// Lines that were dropped since the start of the process.
static DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Lines of the log that were dropped because they were not read fast enough, or could not be written";
    IntCounter::new("claviger_log_lines_dropped_total", help).expect("a name")
});

/// The counter of lines that were dropped, for the metrics.
#[must_use]
pub fn dropped_lines() -> IntCounter {
    DROPPED.clone()
}

/// The way to the log.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    /// There is something to write.
    filled: Condvar,
    /// Everything is written.
    written: Condvar,
    /// The writing thread.
    thread: OnceLock<ThreadId>,
}

#[derive(Default)]
struct Buffer {
    waiting: Vec<u8>,
    is_writing: bool,
    /// Lines that were dropped since this was last said in the log.
    dropped: u64,
}

impl LogWriter {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The operating system has no thread for us.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let log = Self(Arc::default());
        let writer = log.clone();
        // Not waited for: it may be blocked when the process ends.
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(out))?;
        Ok(log)
    }

    /// Writes a line that is not an event, as soon as those before it are written.
    pub fn write_line(&self, text: &str) {
        self.push(format!("{text}\n").as_bytes(), MAX_WAITING);
    }

    /// Waits until everything is written, but not longer than `limit`. `false`: something is not written.
    pub fn flush(&self, limit: Duration) -> bool {
        let is_busy = |buffer: &mut Buffer| buffer.is_writing || !buffer.waiting.is_empty();
        let waited = self.0.written.wait_timeout_while(self.buffer(), limit, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, unless more than `limit` bytes would wait then.
    fn push(&self, line: &[u8], limit: usize) {
        let mut buffer = self.buffer();
        // What the writing thread has to say is a line each time it has written something.
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
                // Where nothing can be written, saying so would be one more line that cannot.
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

    /// Waits for lines and takes all of them.
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

/// Writes `bytes`, for as long as it takes. Answers what could not be written.
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

/// Takes one line.
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

    /// A reader that takes what is written only when it is told to.
    struct Stalled {
        go_on: mpsc::Receiver<()>,
        read: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.go_on.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.read.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_not_read_is_bounded_in_bytes_and_counted() {
        let (go_on, told) = mpsc::channel();
        let (read, written) = mpsc::channel();
        let log = LogWriter::start(Stalled { go_on: told, read }).expect("a thread");
        let line = vec![b'x'; 64 << 10];
        for _ in 0..100 {
            log.push(&line, MAX_WAITING - RESERVED);
        }
        let size = log.buffer().waiting.len();
        assert!(size <= MAX_WAITING - RESERVED && size + line.len() > MAX_WAITING - RESERVED, "{size}");
        assert!(log.buffer().dropped > 0);
        log.write_line("urgent");
        assert!(log.buffer().waiting.ends_with(b"urgent\n"), "there is room left for what is urgent");
        assert!(!log.flush(Duration::from_millis(1)), "nobody waits for ever");
        let mut all = Vec::new();
        while !all.ends_with(b"urgent\n") {
            go_on.send(()).expect("it writes");
            all.extend(written.recv().expect("it writes"));
        }
        // The end of the loop may have written nothing more.
        assert!(all.len() > size);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (go_on, told) = mpsc::channel();
        let (read, _) = mpsc::channel();
        drop(go_on);
        let before = DROPPED.get();
        let log = LogWriter::start(Stalled { go_on: told, read }).expect("a thread");
        log.write_line("one\ntwo");
        assert!(log.flush(Duration::from_mins(1)));
        assert!(DROPPED.get() >= before + 2);
    }
}
