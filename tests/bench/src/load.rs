//! The load generator: two threads send requests on kept-alive connections and check each response. It uses little CPU time,
//! because it shares the cores with the measured server.
//!
//! Closed loop: each connection sends its next request when it has received a response. Open loop: requests become due at a
//! constant rate, and latency counts from the time when a request was due.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use memchr::memmem;
use mio::{Events, Interest, Poll, Token, net::TcpStream, unix::SourceFd};
use rustix::{
    fd::{AsRawFd, OwnedFd},
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime},
};

use crate::keys::{Kind, Random, key};

/// The requests that are sent.
#[derive(Clone)]
pub enum Source {
    /// Always this request.
    Same(Vec<u8>),
    /// A random one of these secrets, between the part of the request before it and the part after it.
    Keys(Vec<u8>, Arc<Vec<String>>, Vec<u8>),
    /// A well-formed but unknown secret, different for each request, between the part of the request before it and the part
    /// after it.
    Unknown(Vec<u8>, Vec<u8>),
    /// This number of random ones of these secrets in each request, which the function makes of them.
    Many(usize, Arc<Vec<String>>, fn(&[&str]) -> Vec<u8>),
}

/// The settings of a load.
#[derive(Clone)]
pub struct Plan {
    /// The address of the server.
    pub address: SocketAddr,
    /// The number of kept-alive connections.
    pub connections: usize,
    /// Requests per second, for an open loop. `None`: a closed loop.
    pub rate: Option<f64>,
    /// How long requests are sent.
    pub time: Duration,
    /// The requests.
    pub source: Source,
    /// The beginning of the body of a correct response. Its status must be 200.
    pub expected: &'static str,
    /// The seed of the random numbers.
    pub seed: u64,
}

/// The result of a load.
pub struct Outcome {
    /// The number of correct responses.
    pub correct: u64,
    /// The number of wrong and missing responses.
    pub wrong: u64,
    /// The first wrong response.
    pub sample: Option<String>,
    /// Correct responses per second.
    pub rate: f64,
    /// The latencies of correct responses, in microseconds.
    pub latencies: Histogram<u64>,
}

const THREADS: usize = 2;

/// Runs a load.
///
/// # Panics
/// A connection fails or is closed.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    let started = Instant::now();
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|n| scope.spawn(move || Thread::new(plan, n).expect("connections").run())).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread of the load")).collect()
    });
    let mut all = Outcome { correct: 0, wrong: 0, sample: None, rate: 0.0, latencies: histogram() };
    for outcome in outcomes {
        all.correct += outcome.correct;
        all.wrong += outcome.wrong;
        all.sample = all.sample.or(outcome.sample);
        all.latencies.add(&outcome.latencies).expect("same bounds");
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let correct = all.correct as f64;
    all.rate = correct / started.elapsed().as_secs_f64();
    all
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds")
}

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    received: Vec<u8>,
    since: Instant,
    is_busy: bool,
}

struct Thread<'a> {
    plan: &'a Plan,
    poll: Poll,
    connections: Vec<Connection>,
    random: Random,
    unknown: u64,
    timer: Option<OwnedFd>,
    outcome: Outcome,
}

const TIMER: Token = Token(usize::MAX);

impl<'a> Thread<'a> {
    fn new(plan: &'a Plan, n: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let count = (plan.connections + THREADS - 1 - n) / THREADS;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let stream = std::net::TcpStream::connect(plan.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            let (out, received) = (Vec::with_capacity(16_384), Vec::with_capacity(65_536));
            connections.push(Connection { stream, out, received, since: Instant::now(), is_busy: false });
        }
        let timer = if plan.rate.is_some() {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
            poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
            Some(timer)
        } else {
            None
        };
        let seed = plan.seed.wrapping_mul(64).wrapping_add(n as u64);
        let outcome = Outcome { correct: 0, wrong: 0, sample: None, rate: 0.0, latencies: histogram() };
        Ok(Self { plan, poll, connections, random: Random::new(seed), unknown: seed << 32, timer, outcome })
    }

    fn run(mut self) -> Outcome {
        let begin = Instant::now();
        let end = begin + self.plan.time;
        let mut events = Events::with_capacity(1_024);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let interval = self.plan.rate.map(|rate| Duration::from_secs_f64(THREADS as f64 / rate));
        let mut next_due = begin;
        let mut due: VecDeque<Instant> = VecDeque::new();
        if interval.is_none() {
            for index in 0..self.connections.len() {
                self.send_request(index, Instant::now());
            }
        }
        loop {
            let now = Instant::now();
            if let Some(interval) = interval {
                while next_due <= now && next_due < end {
                    due.push_back(next_due);
                    next_due += interval;
                }
                for index in 0..self.connections.len() {
                    if due.is_empty() {
                        break;
                    }
                    if !self.connections[index].is_busy {
                        let since = due.pop_front().expect("not empty");
                        self.send_request(index, since);
                    }
                }
                self.set_timer(next_due);
            }
            let is_idle = due.is_empty() && self.connections.iter().all(|connection| !connection.is_busy);
            if (now >= end && is_idle) || now >= end + Duration::from_secs(10) {
                break;
            }
            self.poll.poll(&mut events, Some(Duration::from_millis(100))).expect("events");
            for event in &events {
                let Token(index) = event.token();
                if event.token() == TIMER {
                    let _ = rustix::io::read(self.timer.as_ref().expect("a timer"), &mut [0; 8]);
                } else if self.read_response(index) && interval.is_none() && Instant::now() < end {
                    self.send_request(index, Instant::now());
                }
            }
        }
        self.outcome.wrong += self.connections.iter().filter(|connection| connection.is_busy).count() as u64;
        self.outcome
    }

    fn set_timer(&self, at: Instant) {
        if let Some(timer) = &self.timer {
            let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let value = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let timing = Itimerspec { it_interval: zero, it_value: value };
            let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &timing);
        }
    }

    fn send_request(&mut self, index: usize, since: Instant) {
        let connection = &mut self.connections[index];
        connection.since = since;
        connection.is_busy = true;
        connection.out.clear();
        connection.received.clear();
        match &self.plan.source {
            Source::Same(request) => connection.out.extend_from_slice(request),
            Source::Keys(before, keys, after) => {
                let key = &keys[self.random.below(keys.len())];
                for part in [before.as_slice(), key.as_bytes(), after.as_slice()] {
                    connection.out.extend_from_slice(part);
                }
            }
            Source::Unknown(before, after) => {
                self.unknown += 1;
                let key = key(Kind::Unknown, self.unknown);
                for part in [before.as_slice(), key.expose().as_bytes(), after.as_slice()] {
                    connection.out.extend_from_slice(part);
                }
            }
            Source::Many(count, keys, request) => {
                let keys: Vec<&str> = (0..*count).map(|_| keys[self.random.below(keys.len())].as_str()).collect();
                connection.out = request(&keys);
            }
        }
        // A request fits into the empty buffer of the socket, so a non-blocking write is complete.
        connection.stream.write_all(&connection.out).expect("a request was written");
    }

    /// Reads the received bytes. Returns whether the response is complete.
    fn read_response(&mut self, index: usize) -> bool {
        let connection = &mut self.connections[index];
        let mut buffer = [0; 16_384];
        loop {
            match connection.stream.read(&mut buffer) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(count) => {
                    connection.received.extend_from_slice(&buffer[..count]);
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let Some(body) = body(&connection.received) else { return false };
        let micros = u64::try_from(connection.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        connection.is_busy = false;
        if body.starts_with(self.plan.expected.as_bytes()) && connection.received.starts_with(b"HTTP/1.1 200") {
            self.outcome.correct += 1;
            self.outcome.latencies.saturating_record(micros.max(1));
        } else {
            self.outcome.wrong += 1;
            self.outcome.sample.get_or_insert_with(|| String::from_utf8_lossy(&connection.received).into_owned());
        }
        true
    }
}

/// The body of a response. `None` if the response is not complete yet.
fn body(received: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"content-length: ";
    let end = memmem::find(received, b"\r\n\r\n")? + 4;
    let head = &received[..end];
    let at = memmem::find(head, NAME)? + NAME.len();
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    received.get(end..end + length)
}
