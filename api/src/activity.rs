//! What happens on one connection: noted by the tasks that serve it, at the cost of a few memory writes for a request, and
//! read once a tick by [`crate::places`], which decides how long it may go on.
//!
//! All of it is counted in ticks of one clock for all connections, so that nothing here asks for the time or sets a timer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use tokio::sync::Notify;

/// The time limit for clients, in ticks: to send a head, to send the next request, to take a part of an answer.
pub const LIMIT: u32 = 30;

/// The least bytes of an answer that a client has to take in a tick, on average, once it has had [`LIMIT`] ticks.
const LEAST_BYTES: u64 = 2_048;

/// Parts of answers that were handed out in the same period are counted together.
const PERIOD: u32 = LIMIT / 3;

/// Periods that are told apart. The fifth is the one that has to be over before the first is used again.
const PERIODS: usize = 5;

/// The time, in ticks since the start.
#[derive(Debug)]
pub struct Ticks(AtomicU32);

impl Default for Ticks {
    fn default() -> Self {
        // As if it had run for a while: so what is older than all periods has a number, too.
        Self(AtomicU32::new(PERIOD * 10))
    }
}

impl Ticks {
    /// Now.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// The next tick begins.
    pub fn advance(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// How a connection has to end, if it has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It goes on.
    None,
    /// After the requests that have begun.
    Graceful,
    /// Now.
    Now,
}

/// What a connection is like at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is used.
    Busy,
    /// No request is being answered, for so many ticks.
    Idle(u32),
    /// It has not brought any request in time.
    Silent,
    /// The client does not take an answer, or takes it too slowly.
    Stuck,
}

/// One connection.
#[derive(Debug)]
pub struct Activity {
    ticks: Arc<Ticks>,
    accepted: u32,
    /// When the last request began or ended.
    last: AtomicU32,
    /// Requests that have begun and whose answers have not been handed to the protocol completely.
    requests: AtomicU32,
    /// HTTP/2: parts of answers that wait for the client to take them, by the period in which they were handed out.
    waiting: [AtomicU32; PERIODS],
    writing: Writing,
    /// Whether there was any request.
    has_asked: AtomicBool,
    is_http2: AtomicBool,
    /// Whether bytes have come in since the last request that do not make a request yet.
    has_begun: AtomicBool,
    /// HTTP/1: whether a request is being worked on, so that bytes are its body.
    in_request: AtomicBool,
    /// Whether the client is still sending a body that nobody reads.
    is_sending: AtomicBool,
    completed: Notify,
    end: AtomicU8,
    ended: Notify,
}

/// A time during which the operating system did not take all that was to be sent. One task writes this.
#[derive(Debug, Default)]
struct Writing {
    /// When it began; 0: there is none.
    since: AtomicU32,
    /// When the last bytes were taken.
    last: AtomicU32,
    /// How many were taken.
    bytes: AtomicU64,
}

impl Activity {
    /// A connection that was just accepted.
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
            has_asked: AtomicBool::default(),
            is_http2: AtomicBool::default(),
            has_begun: AtomicBool::default(),
            in_request: AtomicBool::default(),
            is_sending: AtomicBool::default(),
            completed: Notify::new(),
            end: AtomicU8::new(End::None as u8),
            ended: Notify::new(),
        }
    }

    /// Notes bytes that came in.
    pub fn received(&self, bytes: &[u8]) {
        // How every HTTP/2 connection begins (RFC 9113 §3.4).
        if bytes.starts_with(b"PRI * HTTP/2") {
            self.is_http2.store(true, Relaxed);
        }
        // HTTP/2 has bytes of its own between requests.
        if !self.in_request.load(Relaxed) && !self.is_http2.load(Relaxed) {
            self.has_begun.store(true, Relaxed);
        }
    }

    /// Notes how much of what was to be sent the operating system took. `None`: nothing yet.
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

    /// A head is complete, and its request begins.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> RequestInProgress {
        self.has_begun.store(false, Relaxed);
        self.has_asked.store(true, Relaxed);
        self.in_request.store(true, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.last.store(self.ticks.now(), Relaxed);
        self.completed.notify_one();
        RequestInProgress(self.clone())
    }

    /// Whether the beginning of a request has come in.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Relaxed)
    }

    /// Waits until a head is complete.
    pub async fn completed(&self) {
        self.completed.notified().await;
    }

    /// Notes that the client is still sending a body that nobody reads, so the connection will be closed.
    pub fn leave_body(&self) {
        self.is_sending.store(true, Relaxed);
    }

    /// Whether the client may still be sending a body that nobody reads.
    #[must_use]
    pub fn has_left_body(&self) -> bool {
        self.is_sending.load(Relaxed)
    }

    /// Whether the connection speaks HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.is_http2.load(Relaxed)
    }

    /// When it was accepted.
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

    /// Waits until it is asked for another end than before.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    /// How the connection has to end.
    #[must_use]
    pub fn told(&self) -> End {
        match self.end.load(Relaxed) {
            0 => End::None,
            1 => End::Graceful,
            _ => End::Now,
        }
    }

    /// What the connection is like.
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
        if !self.has_asked.load(Relaxed) && now - self.accepted >= LIMIT {
            return Condition::Silent;
        }
        Condition::Idle(now.saturating_sub(self.last.load(Relaxed)))
    }

    fn is_stuck(&self, now: u32) -> bool {
        let old = [3, 4].map(|ago| &self.waiting[slot(period(now) - ago)]);
        if old.iter().any(|count| count.load(Relaxed) > 0) {
            return true;
        }
        let writing = &self.writing;
        let since = writing.since.load(Relaxed);
        since != 0
            && (now.saturating_sub(writing.last.load(Relaxed)) >= LIMIT
                || is_too_slow(now.saturating_sub(since), writing.bytes.load(Relaxed)))
    }
}

/// Whether somebody who took so many bytes in so many ticks is too slow.
fn is_too_slow(ticks: u32, bytes: u64) -> bool {
    u64::from(ticks) > u64::from(LIMIT) + bytes / LEAST_BYTES
}

const fn period(tick: u32) -> u32 {
    tick / PERIOD
}

fn slot(period: u32) -> usize {
    period as usize % PERIODS
}

/// A request, from its head until its answer has been handed to the protocol or given up.
#[derive(Debug)]
pub struct RequestInProgress(Arc<Activity>);

impl RequestInProgress {
    /// The answer is made; what comes in from now on is the next request.
    pub fn answered(&self) {
        self.0.in_request.store(false, Relaxed);
    }

    /// A part of the answer is handed to HTTP/2, where it waits until the client takes it: that is when the value is dropped.
    #[must_use]
    pub fn part(&self) -> WaitingPart {
        let slot = slot(period(self.0.ticks.now()));
        self.0.waiting[slot].fetch_add(1, Relaxed);
        WaitingPart { activity: self.0.clone(), slot }
    }

    /// Measures how fast an answer is taken.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace { since: self.0.ticks.now(), bytes: 0 }
    }

    /// Notes bytes of the answer that can be sent. `false`: the client has taken those before too slowly.
    #[must_use]
    pub fn keeps(&self, pace: &mut Pace, bytes: usize) -> bool {
        let keeps = !is_too_slow(self.0.ticks.now().saturating_sub(pace.since), pace.bytes);
        pace.bytes += bytes as u64;
        keeps
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.0.last.store(self.0.ticks.now(), Relaxed);
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

/// A part of an answer that waits for the client.
#[derive(Debug)]
pub struct WaitingPart {
    activity: Arc<Activity>,
    slot: usize,
}

impl Drop for WaitingPart {
    fn drop(&mut self) {
        self.activity.waiting[self.slot].fetch_sub(1, Relaxed);
        self.activity.last.store(self.activity.ticks.now(), Relaxed);
    }
}

/// How fast an answer is taken.
#[derive(Debug)]
pub struct Pace {
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
    fn a_connection_is_silent_then_busy_then_idle() {
        let (ticks, connection) = connection();
        wait(&ticks, LIMIT - 1);
        assert_eq!(connection.condition(), Condition::Idle(LIMIT - 1));
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
    fn a_part_that_is_not_taken_is_stuck_whatever_else_goes_on() {
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
        assert!((LIMIT - PERIOD..=LIMIT + PERIOD).contains(&waited), "{waited}");
        drop(part);
        assert_eq!(connection.condition(), Condition::Idle(0));
    }

    #[test]
    fn one_byte_a_tick_is_too_slow_and_a_slow_line_is_not() {
        for (bytes, is_stuck) in [(0, true), (1, true), (usize::try_from(LEAST_BYTES).expect("small"), false)] {
            let (ticks, connection) = connection();
            drop(connection.begin());
            connection.sent(1_000_000, None);
            for _ in 0..=LIMIT {
                wait(&ticks, 1);
                connection.sent(1_000_000, Some(bytes));
            }
            assert_eq!(connection.condition() == Condition::Stuck, is_stuck, "{bytes}");
            connection.sent(10, Some(10));
            assert!(matches!(connection.condition(), Condition::Idle(_)), "all that was to be sent was taken");
        }
    }

    #[test]
    fn an_answer_is_held_to_the_same_pace() {
        let (ticks, connection) = connection();
        let request = connection.begin();
        let (mut fast, mut slow) = (request.pace(), request.pace());
        for _ in 0..LIMIT {
            assert!(request.keeps(&mut fast, 16_384) && request.keeps(&mut slow, 1));
            wait(&ticks, 1);
        }
        wait(&ticks, 1);
        assert!(request.keeps(&mut fast, 1));
        assert!(!request.keeps(&mut slow, 1));
    }
}
