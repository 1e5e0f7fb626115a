//! Figures for operators: `GET /metrics`, in the text format of Prometheus. They hold no name, id, address or key.

use poem::{Endpoint, Request, Response, Result};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TEXT_FORMAT, TextEncoder,
    process_collector::ProcessCollector,
};

use crate::log_writer;

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
pub struct Page(pub Metrics);

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        let text = TextEncoder::new().encode_to_string(&self.0.registry.gather());
        let text = text.map_err(|error| poem::Error::new(error, poem::http::StatusCode::INTERNAL_SERVER_ERROR))?;
        Ok(Response::builder().content_type(TEXT_FORMAT).body(text))
    }
}
