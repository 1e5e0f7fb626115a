//! A load: requests on kept-alive connections from two threads, each answer looked at. Lean, because it shares the cores with
//! the server that is measured.
//!
//! Closed: each connection asks again when it has its answer. Open: questions become due at a steady rate whether or not
//! there is an answer yet, and a delay counts from when a question was due.

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

/// What is asked.
#[derive(Clone)]
pub enum Source {
    /// The same request each time.
    Same(Vec<u8>),
    /// A key of these, drawn evenly, between two halves of a request.
    Keys(Vec<u8>, Arc<Vec<String>>, Vec<u8>),
    /// A well-formed key that nobody has, never twice.
    Unknown(Vec<u8>, Vec<u8>),
    /// As many of these keys in one request.
    Many(usize, Arc<Vec<String>>, fn(&[&str]) -> Vec<u8>),
}

/// A load on a server.
#[derive(Clone)]
pub struct Plan {
    /// Where.
    pub address: SocketAddr,
    /// Kept-alive connections.
    pub connections: usize,
    /// Requests a second; without it, closed.
    pub rate: Option<f64>,
    /// How long.
    pub time: Duration,
    /// What is asked.
    pub source: Source,
    /// How a right answer's body begins.
    pub expected: &'static str,
    /// Makes different runs draw different keys.
    pub seed: u64,
}

/// What came of it.
pub struct Outcome {
    /// Right answers.
    pub right: u64,
    /// Other answers, and the first of them.
    pub wrong: u64,
    /// The first wrong answer.
    pub sample: Option<String>,
    /// Right answers a second.
    pub rate: f64,
    /// Microseconds.
    pub delays: Histogram<u64>,
}

const THREADS: usize = 2;

/// Runs a load.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    let started = Instant::now();
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|n| scope.spawn(move || Thread::new(plan, n).expect("connections").run())).collect();
        threads.into_iter().map(|thread| thread.join().expect("a load")).collect()
    });
    let mut all = Outcome { right: 0, wrong: 0, sample: None, rate: 0.0, delays: histogram() };
    for outcome in outcomes {
        all.right += outcome.right;
        all.wrong += outcome.wrong;
        all.sample = all.sample.or(outcome.sample);
        all.delays.add(&outcome.delays).expect("same bounds");
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let right = all.right as f64;
    all.rate = right / started.elapsed().as_secs_f64();
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
        for place in 0..count {
            let stream = std::net::TcpStream::connect(plan.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
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
        let outcome = Outcome { right: 0, wrong: 0, sample: None, rate: 0.0, delays: histogram() };
        Ok(Self { plan, poll, connections, random: Random::new(seed), unknown: seed << 32, timer, outcome })
    }

    fn run(mut self) -> Outcome {
        let begin = Instant::now();
        let end = begin + self.plan.time;
        let mut events = Events::with_capacity(1_024);
        #[expect(clippy::cast_precision_loss, reason = "two")]
        let step = self.plan.rate.map(|rate| Duration::from_secs_f64(THREADS as f64 / rate));
        let mut next_due = begin;
        let mut due: VecDeque<Instant> = VecDeque::new();
        if step.is_none() {
            for place in 0..self.connections.len() {
                self.ask(place, Instant::now());
            }
        }
        loop {
            let now = Instant::now();
            if let Some(step) = step {
                while next_due <= now && next_due < end {
                    due.push_back(next_due);
                    next_due += step;
                }
                for place in 0..self.connections.len() {
                    if due.is_empty() {
                        break;
                    }
                    if !self.connections[place].is_busy {
                        let since = due.pop_front().expect("not empty");
                        self.ask(place, since);
                    }
                }
                self.wake_at(next_due);
            }
            let is_idle = due.is_empty() && self.connections.iter().all(|connection| !connection.is_busy);
            if (now >= end && is_idle) || now >= end + Duration::from_secs(10) {
                break;
            }
            self.poll.poll(&mut events, Some(Duration::from_millis(100))).expect("events");
            for event in &events {
                let Token(place) = event.token();
                if event.token() == TIMER {
                    let _ = rustix::io::read(self.timer.as_ref().expect("it rang"), &mut [0; 8]);
                } else if self.answered(place) && step.is_none() && Instant::now() < end {
                    self.ask(place, Instant::now());
                }
            }
        }
        self.outcome.wrong += self.connections.iter().filter(|connection| connection.is_busy).count() as u64;
        self.outcome
    }

    fn wake_at(&self, at: Instant) {
        if let Some(timer) = &self.timer {
            let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let value = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let timing = Itimerspec { it_interval: zero, it_value: value };
            let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &timing);
        }
    }

    fn ask(&mut self, place: usize, since: Instant) {
        let connection = &mut self.connections[place];
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
        // A request fits into the socket's buffer: it is never written in parts.
        connection.stream.write_all(&connection.out).expect("the server takes the request");
    }

    /// Reads what there is. Whether the answer is complete.
    fn answered(&mut self, place: usize) -> bool {
        let connection = &mut self.connections[place];
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
            self.outcome.right += 1;
            self.outcome.delays.saturating_record(micros.max(1));
        } else {
            self.outcome.wrong += 1;
            self.outcome.sample.get_or_insert_with(|| String::from_utf8_lossy(&connection.received).into_owned());
        }
        true
    }
}

/// The body of a complete answer.
fn body(received: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"content-length: ";
    let end = memmem::find(received, b"\r\n\r\n")? + 4;
    let head = &received[..end];
    let at = memmem::find(head, NAME)? + NAME.len();
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    received.get(end..end + length)
}
