//! What happens on one connection. The tasks that serve it record it, with a few memory writes for each request;
//! [`crate::server::connection::slots`] reads it once a tick and decides when the connection has to end.
//!
//! Times are ticks of one counter that all connections share: nothing here reads the clock or sets a timer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use tokio::sync::Notify;

/// The time limit for clients, in ticks: for sending a request's head, for sending the next request, and for receiving a part of
/// a response.
pub const TIME_LIMIT_TICKS: u32 = 30;

/// The minimum transfer rate of a response, in bytes per tick on average, after the first [`TIME_LIMIT_TICKS`] ticks.
const MIN_BYTES_PER_TICK: u64 = 2_048;

/// The length of a period, in ticks. Parts of responses that were passed to HTTP/2 in the same period are counted together.
const PERIOD_TICKS: u32 = TIME_LIMIT_TICKS / 3;

/// The number of periods that are counted separately: four that matter, and one whose count is zero before it is used again.
const PERIOD_COUNT: usize = 5;

/// The time, in ticks since the start.
#[derive(Debug)]
pub struct Ticks(AtomicU32);

impl Default for Ticks {
    fn default() -> Self {
        // Not zero: [`Activity::is_stuck`] looks at earlier periods.
        Self(AtomicU32::new(PERIOD_TICKS * 10))
    }
}

impl Ticks {
    /// The current tick.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Begins the next tick.
    pub fn advance(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Whether a connection is to be closed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It stays open.
    None,
    /// It is closed after the running requests.
    Graceful,
    /// It is closed at once.
    Now,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A request is in progress, or a response is being sent.
    Busy,
    /// No request has been in progress for this number of ticks.
    Idle(u32),
    /// No request has arrived within the time limit.
    Silent,
    /// The client does not receive a response, or receives it too slowly.
    Stuck,
}

/// The activity of one connection. All times are ticks.
#[derive(Debug)]
pub struct Activity {
    ticks: Arc<Ticks>,
    accepted: u32,
    /// When the last request began or ended.
    last: AtomicU32,
    /// Requests in progress: their heads have arrived, and their responses have not been passed to the protocol completely.
    requests: AtomicU32,
    /// HTTP/2: parts of responses that are not sent yet, by the period in which they were passed to the protocol.
    waiting: [AtomicU32; PERIOD_COUNT],
    writing: Writing,
    /// Whether there was any request.
    has_had_request: AtomicBool,
    is_http2: AtomicBool,
    /// Whether a part of a request's head was received since the last request.
    has_begun: AtomicBool,
    /// HTTP/1: whether a request is being worked on, so that bytes are its body.
    in_request: AtomicBool,
    /// Whether the client is still sending a body that is not read.
    is_sending: AtomicBool,
    completed: Notify,
    end: AtomicU8,
    ended: Notify,
}

/// A time during which the operating system did not accept everything that was to be sent. Only one task writes this.
#[derive(Debug, Default)]
struct Writing {
    /// When it began; 0: there is none.
    since: AtomicU32,
    /// When bytes were last accepted.
    last: AtomicU32,
    /// How many were accepted.
    bytes: AtomicU64,
}

impl Activity {
    /// The activity of a connection that was accepted in this tick.
    #[must_use]
    pub fn new(ticks: Arc<Ticks>) -> Self {
        let now = ticks.now();
        Self {
            accepted: now,
            last: AtomicU32::new(now),
            ticks,
            requests: AtomicU32::default(),
            waiting: Default::default(),
            writing: Writing::default(),
            has_had_request: AtomicBool::default(),
            is_http2: AtomicBool::default(),
            has_begun: AtomicBool::default(),
            in_request: AtomicBool::default(),
            is_sending: AtomicBool::default(),
            completed: Notify::new(),
            end: AtomicU8::new(End::None as u8),
            ended: Notify::new(),
        }
    }

    /// Records bytes that were received.
    pub fn received(&self, bytes: &[u8]) {
        // The connection preface of HTTP/2 (RFC 9113 §3.4).
        if bytes.starts_with(b"PRI * HTTP/2") {
            self.is_http2.store(true, Relaxed);
        }
        // With HTTP/2, bytes between requests may be other frames.
        if !self.in_request.load(Relaxed) && !self.is_http2.load(Relaxed) {
            self.has_begun.store(true, Relaxed);
        }
    }

    /// Records how many of the offered bytes the operating system accepted. `None`: none yet.
    pub fn sent(&self, offered: usize, taken: Option<usize>) {
        let writing = &self.writing;
        let is_blocked = writing.since.load(Relaxed) != 0;
        if taken == Some(offered) {
            if is_blocked {
                writing.since.store(0, Relaxed);
            }
            return;
        }
        let now = self.ticks.now();
        if !is_blocked {
            writing.since.store(now, Relaxed);
            writing.last.store(now, Relaxed);
            writing.bytes.store(0, Relaxed);
        }
        if let Some(taken) = taken.filter(|taken| *taken > 0) {
            writing.last.store(now, Relaxed);
            writing.bytes.fetch_add(taken as u64, Relaxed);
        }
    }

    /// Records that a request's head is complete.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> RequestInProgress {
        self.has_begun.store(false, Relaxed);
        self.has_had_request.store(true, Relaxed);
        self.in_request.store(true, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.last.store(self.ticks.now(), Relaxed);
        self.completed.notify_one();
        RequestInProgress(self.clone())
    }

    /// Whether a part of a request's head was received.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Relaxed)
    }

    /// Waits until a request's head is complete.
    pub async fn completed(&self) {
        self.completed.notified().await;
    }

    /// Records that the client is still sending a body that is not read, so that the connection will be closed.
    pub fn leave_body(&self) {
        self.is_sending.store(true, Relaxed);
    }

    /// Whether the client may still be sending a body that is not read.
    #[must_use]
    pub fn has_left_body(&self) -> bool {
        self.is_sending.load(Relaxed)
    }

    /// Whether the connection speaks HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.is_http2.load(Relaxed)
    }

    /// The tick in which it was accepted.
    #[must_use]
    pub fn accepted(&self) -> u32 {
        self.accepted
    }

    /// Asks the task that serves the connection to end it.
    pub fn end(&self, how: End) {
        if self.end.fetch_max(how as u8, Relaxed) < how as u8 {
            self.ended.notify_one();
        }
    }

    /// Waits until the connection is to be closed, or to be closed sooner than before.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Whether the connection is to be closed, and how.
    #[must_use]
    pub fn requested_end(&self) -> End {
        match self.end.load(Relaxed) {
            0 => End::None,
            1 => End::Graceful,
            _ => End::Now,
        }
    }

    /// The state of the connection.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let now = self.ticks.now();
        if self.is_stuck(now) {
            return Condition::Stuck;
        }
        let is_used = self.requests.load(Relaxed) > 0 || self.writing.since.load(Relaxed) != 0;
        if is_used || self.waiting.iter().any(|count| count.load(Relaxed) > 0) {
            return Condition::Busy;
        }
        if !self.has_had_request.load(Relaxed) && now - self.accepted >= TIME_LIMIT_TICKS {
            return Condition::Silent;
        }
        Condition::Idle(now.saturating_sub(self.last.load(Relaxed)))
    }

    fn is_stuck(&self, now: u32) -> bool {
        let old = [3, 4].map(|ago| &self.waiting[period_index(period(now) - ago)]);
        if old.iter().any(|count| count.load(Relaxed) > 0) {
            return true;
        }
        let writing = &self.writing;
        let since = writing.since.load(Relaxed);
        since != 0
            && (now.saturating_sub(writing.last.load(Relaxed)) >= TIME_LIMIT_TICKS
                || is_too_slow(now.saturating_sub(since), writing.bytes.load(Relaxed)))
    }
}

/// Whether receiving this number of bytes in this number of ticks is too slow.
fn is_too_slow(ticks: u32, bytes: u64) -> bool {
    u64::from(ticks) > u64::from(TIME_LIMIT_TICKS) + bytes / MIN_BYTES_PER_TICK
}

const fn period(tick: u32) -> u32 {
    tick / PERIOD_TICKS
}

fn period_index(period: u32) -> usize {
    period as usize % PERIOD_COUNT
}

/// A request in progress, until its response was passed to the protocol or was cancelled.
#[derive(Debug)]
pub struct RequestInProgress(Arc<Activity>);

impl RequestInProgress {
    /// Records that the response is ready: bytes that are received from now on belong to the next request.
    pub fn answered(&self) {
        self.0.in_request.store(false, Relaxed);
    }

    /// Records a part of the response that is passed to HTTP/2. HTTP/2 drops the value when it has sent the part.
    #[must_use]
    pub fn part(&self) -> WaitingPart {
        let period_index = period_index(period(self.0.ticks.now()));
        self.0.waiting[period_index].fetch_add(1, Relaxed);
        WaitingPart { activity: self.0.clone(), period_index }
    }

    /// Begins to measure how fast the client receives a response.
    #[must_use]
    pub fn pace(&self) -> TransferRate {
        TransferRate { since: self.0.ticks.now(), bytes: 0 }
    }

    /// Records bytes of the response that are to be sent. `false`: the client has received the earlier ones too slowly.
    #[must_use]
    pub fn is_fast_enough(&self, pace: &mut TransferRate, bytes: usize) -> bool {
        let is_fast_enough = !is_too_slow(self.0.ticks.now().saturating_sub(pace.since), pace.bytes);
        pace.bytes += bytes as u64;
        is_fast_enough
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.0.last.store(self.0.ticks.now(), Relaxed);
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

/// A part of a response that is not sent yet.
#[derive(Debug)]
pub struct WaitingPart {
    activity: Arc<Activity>,
    period_index: usize,
}

impl Drop for WaitingPart {
    fn drop(&mut self) {
        self.activity.waiting[self.period_index].fetch_sub(1, Relaxed);
        self.activity.last.store(self.activity.ticks.now(), Relaxed);
    }
}

/// How fast a client receives a response.
#[derive(Debug)]
pub struct TransferRate {
    since: u32,
    bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> (Arc<Ticks>, Arc<Activity>) {
        let ticks = Arc::new(Ticks::default());
        (ticks.clone(), Arc::new(Activity::new(ticks)))
    }

    fn wait(ticks: &Ticks, count: u32) {
        (0..count).for_each(|_| ticks.advance());
    }

    #[test]
    fn a_connection_is_silent_without_a_request_and_idle_after_one() {
        let (ticks, connection) = connection();
        wait(&ticks, TIME_LIMIT_TICKS - 1);
        assert_eq!(connection.condition(), Condition::Idle(TIME_LIMIT_TICKS - 1));
        wait(&ticks, 1);
        assert_eq!(connection.condition(), Condition::Silent);
        let request = connection.begin();
        wait(&ticks, 100);
        assert_eq!(connection.condition(), Condition::Busy, "the request's own time limit counts");
        drop(request);
        wait(&ticks, 7);
        assert_eq!(connection.condition(), Condition::Idle(7));
    }

    #[test]
    fn a_connection_with_an_unread_response_part_is_stuck() {
        let (ticks, connection) = connection();
        let request = connection.begin();
        let part = request.part();
        drop(request);
        let mut waited = 0;
        while connection.condition() == Condition::Busy {
            wait(&ticks, 1);
            waited += 1;
            drop(connection.begin().part());
        }
        assert_eq!(connection.condition(), Condition::Stuck);
        assert!((TIME_LIMIT_TICKS - PERIOD_TICKS..=TIME_LIMIT_TICKS + PERIOD_TICKS).contains(&waited), "{waited}");
        drop(part);
        assert_eq!(connection.condition(), Condition::Idle(0));
    }

    #[test]
    fn a_connection_is_stuck_below_the_least_transfer_rate() {
        for (bytes, is_stuck) in [(0, true), (1, true), (usize::try_from(MIN_BYTES_PER_TICK).expect("small"), false)] {
            let (ticks, connection) = connection();
            drop(connection.begin());
            connection.sent(1_000_000, None);
            for _ in 0..=TIME_LIMIT_TICKS {
                wait(&ticks, 1);
                connection.sent(1_000_000, Some(bytes));
            }
            assert_eq!(connection.condition() == Condition::Stuck, is_stuck, "{bytes}");
            connection.sent(10, Some(10));
            assert!(matches!(connection.condition(), Condition::Idle(_)), "everything was accepted");
        }
    }

    #[test]
    fn responses_need_the_least_transfer_rate() {
        let (ticks, connection) = connection();
        let request = connection.begin();
        let (mut fast, mut slow) = (request.pace(), request.pace());
        for _ in 0..TIME_LIMIT_TICKS {
            assert!(request.is_fast_enough(&mut fast, 16_384) && request.is_fast_enough(&mut slow, 1));
            wait(&ticks, 1);
        }
        wait(&ticks, 1);
        assert!(request.is_fast_enough(&mut fast, 1));
        assert!(!request.is_fast_enough(&mut slow, 1));
    }
}
