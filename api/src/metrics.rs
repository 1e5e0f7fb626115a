//! Figures for operators: `GET /metrics`, in the text format of Prometheus. They hold no name, id, address or key.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::body::Bytes;
use poem::{Endpoint, Request, Response, Result, http::StatusCode};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TEXT_FORMAT, TextEncoder,
    process_collector::ProcessCollector,
};

use crate::{failure::Failure, log_writer};

/// Seconds of an answer: from one out of memory to one that waits for a database.
const SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// What is counted on this side, and the registry of both sides.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    verifies: IntCounterVec,
    requests: IntCounterVec,
    seconds: HistogramVec,
    sign_ups: IntCounterVec,
}

impl Metrics {
    /// Figures in a registry of their own.
    ///
    /// # Panics
    /// Two figures have one name: a defect.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels).expect("a name and labels");
            registry.register(Box::new(counter.clone())).expect("a name of its own");
            counter
        };
        let seconds = HistogramOpts::new("claviger_request_seconds", "From a request's head to its answer");
        let seconds = HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["operation"]).expect("a name and labels");
        registry.register(Box::new(seconds.clone())).expect("a name of its own");
        registry.register(Box::new(ProcessCollector::for_self())).expect("names of its own");
        registry.register(Box::new(log_writer::dropped_lines())).expect("a name of its own");
        Self {
            verifies: counter("claviger_verifications_total", "Answered verifies", &["contract", "outcome"]),
            requests: counter("claviger_requests_total", "Answered requests", &["operation", "status"]),
            sign_ups: counter("claviger_signups_refused_total", "Sign-ups without success", &["reason"]),
            seconds,
            registry,
        }
    }

    /// Where all figures are.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The counter of one outcome of a contract's verify.
    #[must_use]
    pub fn verified(&self, contract: &str, outcome: &str) -> IntCounter {
        self.verifies.with_label_values(&[contract, outcome])
    }

    /// The counter of an operation's answers with a status.
    #[must_use]
    pub fn answered(&self, operation: &str, status: u16) -> IntCounter {
        self.requests.with_label_values(&[operation, itoa::Buffer::new().format(status)])
    }

    /// How long an operation's answers take.
    #[must_use]
    pub fn seconds(&self, operation: &str) -> Histogram {
        self.seconds.with_label_values(&[operation])
    }

    /// Counts a sign-up that did not succeed.
    pub fn refuse_sign_up(&self, reason: &str) {
        self.sign_ups.with_label_values(&[reason]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// `GET /metrics`.
pub struct Page {
    metrics: Metrics,
    /// Whether only clients on this machine are answered.
    is_local: bool,
    /// What was rendered last, and when.
    last: Mutex<Option<(Instant, Bytes)>>,
}

/// How long a rendering is used for further answers while an answer with it is still being sent.
const SHARED_FOR: Duration = Duration::from_secs(1);

impl Page {
    /// For whoever reaches it, at an address of its own.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, is_local: false, last: Mutex::default() }
    }

    /// For clients on this machine alone, at the address of the service.
    #[must_use]
    pub fn local(metrics: Metrics) -> Self {
        Self { is_local: true, ..Self::new(metrics) }
    }

    /// All figures as they are now, or as they were less than a second ago, where an answer of then is still being sent: so
    /// clients that do not read their answers hold one rendering a second together, and not one each.
    fn render(&self) -> prometheus::Result<Bytes> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, text)) = &*last
            && !text.is_unique()
            && at.elapsed() < SHARED_FOR
        {
            return Ok(text.clone());
        }
        let text = Bytes::from(TextEncoder::new().encode_to_string(&self.metrics.registry.gather())?);
        *last = Some((Instant::now(), text.clone()));
        Ok(text)
    }
}

/// Headers by which a proxy says that it sends a request on for somebody else.
const SENT_ON: [&str; 4] = ["x-forwarded-for", "forwarded", "via", "x-real-ip"];

/// Whether a request was started on this machine, and not sent on by a proxy here.
fn is_from_here(request: &Request) -> bool {
    let peer = request.remote_addr().as_socket_addr().map(|peer| peer.ip().to_canonical());
    peer.is_some_and(|peer| peer.is_loopback()) && SENT_ON.iter().all(|name| !request.headers().contains_key(*name))
}

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if self.is_local && !is_from_here(&request) {
            return Err(poem::Error::new(Failure::NotFromHere, StatusCode::FORBIDDEN));
        }
        let text = self.render().map_err(|error| poem::Error::new(error, StatusCode::INTERNAL_SERVER_ERROR))?;
        Ok(Response::builder().content_type(TEXT_FORMAT).body(text))
    }
}

#[cfg(test)]
mod tests {
    use poem::{
        Body, RequestParts,
        http::{self, uri::Scheme},
        web::{LocalAddr, RemoteAddr},
    };

    use super::*;

    #[test]
    fn only_loopback_is_here() {
        for (peer, is_here) in [
            ("127.0.0.1:1", true),
            ("127.8.8.8:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
            ("[2001:db8::1]:1", false),
        ] {
            let peer: std::net::SocketAddr = peer.parse().expect("an address");
            let (parts, ()) = http::Request::new(()).into_parts();
            let parts = RequestParts::from((parts, LocalAddr::default(), RemoteAddr(peer.into()), Scheme::HTTP));
            assert_eq!(is_from_here(&Request::from_parts(parts, Body::empty())), is_here, "{peer}");
        }
    }

    #[test]
    fn answers_that_are_not_read_share_a_rendering() {
        let page = Page::new(Metrics::new());
        let held: Vec<Bytes> = (0..3).map(|_| page.render().expect("text")).collect();
        assert!(held.iter().all(|text| text.as_ptr() == held[0].as_ptr()));
        drop(held);
        page.metrics.refuse_sign_up("closed");
        let fresh = String::from_utf8(page.render().expect("text").to_vec()).expect("text");
        assert!(fresh.contains("claviger_signups_refused_total{reason=\"closed\"} 1"), "{fresh}");
    }
}
