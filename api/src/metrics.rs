//! Metrics in the text format of Prometheus: `GET /metrics`. Labels contain no name, id, address or key.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::body::Bytes;
use poem::{Endpoint, Request, Response, Result, http::StatusCode};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TEXT_FORMAT,
    TextEncoder, process_collector::ProcessCollector,
};

use crate::{http::api_error::ApiError, process::log_writer};

/// The upper bounds of the buckets of request durations, in seconds: from a cached verify to a request that waits for the
/// database.
const DURATION_BUCKETS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The metrics of this crate, and the registry, which the persistence crate shares.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    verifies: IntCounterVec,
    requests: IntCounterVec,
    seconds: HistogramVec,
    sign_ups: IntCounterVec,
    ignored_permissions: IntCounter,
    refused_attempts: IntCounterVec,
    /// Counts requests with a forwarding header of a proxy that is not trusted, without simple verifications.
    pub untrusted_forwarding: IntCounter,
    /// Counts requests whose forwarding header could not be read.
    pub unreadable_forwarding: IntCounter,
    /// Counts requests of gateways that are not configured correctly.
    pub misconfigured_forward_auth: IntCounter,
    last_reload: IntGauge,
}

impl Metrics {
    /// Registers the metrics of this crate in a new registry.
    ///
    /// # Panics
    /// Two metrics have the same name: a defect.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels).expect("a name and labels");
            registry.register(Box::new(counter.clone())).expect("a name of its own");
            counter
        };
        let seconds = HistogramOpts::new("claviger_request_seconds", "Seconds from a request's head to its response");
        let seconds =
            HistogramVec::new(seconds.buckets(DURATION_BUCKETS.to_vec()), &["operation"]).expect("a name and labels");
        registry.register(Box::new(seconds.clone())).expect("a name of its own");
        registry.register(Box::new(ProcessCollector::for_self())).expect("names of its own");
        registry.register(Box::new(log_writer::dropped_lines())).expect("a name of its own");
        let ignored = IntCounter::new(
            "claviger_provider_permissions_ignored_total",
            "Words in the permission claims of identity providers that give no permission",
        );
        let ignored_permissions = ignored.expect("a name");
        registry.register(Box::new(ignored_permissions.clone())).expect("a name of its own");
        let misconfigured_forward_auth = IntCounter::new(
            "claviger_forward_auth_misconfigured_total",
            "Requests of gateways that are not configured correctly",
        );
        let misconfigured_forward_auth = misconfigured_forward_auth.expect("a name");
        registry.register(Box::new(misconfigured_forward_auth.clone())).expect("a name of its own");
        let forwarding = counter(
            "claviger_forwarding_headers_ignored_total",
            "Requests whose X-Forwarded-For or Forwarded was not used",
            &["reason"],
        );
        let last_reload = IntGauge::new(
            "claviger_last_reload_successful",
            "1: the last reload of files succeeded, or there was none; 0: it failed and changed nothing",
        );
        let last_reload = last_reload.expect("a name");
        last_reload.set(1);
        registry.register(Box::new(last_reload.clone())).expect("a name of its own");
        Self {
            ignored_permissions,
            misconfigured_forward_auth,
            last_reload,
            refused_attempts: counter(
                "claviger_attempts_refused_total",
                "Attempts that were refused because there were too many from their network",
                &["kind"],
            ),
            untrusted_forwarding: forwarding.with_label_values(&["untrusted_peer"]),
            unreadable_forwarding: forwarding.with_label_values(&["unreadable"]),
            verifies: counter("claviger_verifications_total", "Verifications", &["contract", "outcome"]),
            requests: counter("claviger_requests_total", "Requests", &["operation", "status"]),
            sign_ups: counter("claviger_signups_refused_total", "Sign-ups that were refused", &["reason"]),
            seconds,
            registry,
        }
    }

    /// The registry of all metrics of the process.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The counter of words in the permission claims of identity providers that give no permission.
    #[must_use]
    pub fn ignored_permissions(&self) -> IntCounter {
        self.ignored_permissions.clone()
    }

    /// The counter of attempts of this kind that were refused because there were too many from their network.
    #[must_use]
    pub fn refused_attempts(&self, kind: &str) -> IntCounter {
        self.refused_attempts.with_label_values(&[kind])
    }

    /// The counter of verifies of a contract with this outcome: `VALID`, a deny code or `UNAVAILABLE`.
    #[must_use]
    pub fn verification_counter(&self, contract: &str, outcome: &str) -> IntCounter {
        self.verifies.with_label_values(&[contract, outcome])
    }

    /// The counter of an operation's responses with this HTTP status.
    #[must_use]
    pub fn request_counter(&self, operation: &str, status: u16) -> IntCounter {
        self.requests.with_label_values(&[operation, itoa::Buffer::new().format(status)])
    }

    /// The histogram of an operation's durations, in seconds from the request's head to the response.
    #[must_use]
    pub fn duration_histogram(&self, operation: &str) -> Histogram {
        self.seconds.with_label_values(&[operation])
    }

    /// Records whether a reload of files succeeded.
    pub fn record_reload(&self, has_succeeded: bool) {
        self.last_reload.set(has_succeeded.into());
    }

    /// Counts a denied sign-up; `reason` is the value of the metrics label.
    pub fn count_denied_sign_up(&self, reason: &str) {
        self.sign_ups.with_label_values(&[reason]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The endpoint `GET /metrics`.
pub struct MetricsEndpoint {
    metrics: Metrics,
    /// Whether requests of clients on other machines get 403.
    is_local: bool,
    /// The last rendering, with its time.
    last: Mutex<Option<(Instant, Bytes)>>,
}

/// How long a rendering is reused while a response with it is still being sent.
const RENDERING_LIFETIME: Duration = Duration::from_secs(1);

impl MetricsEndpoint {
    /// For a separate address: any client that can connect gets a response.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, is_local: false, last: Mutex::default() }
    }

    /// For the address of the service: only clients on this machine get a response.
    #[must_use]
    pub fn local(metrics: Metrics) -> Self {
        Self { is_local: true, ..Self::new(metrics) }
    }

    /// All metrics as text. A rendering that is less than a second old and still being sent is reused, so that clients that do not
    /// read their responses hold at most one rendering per second in memory, and not one each.
    fn render(&self) -> prometheus::Result<Bytes> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, text)) = &*last
            && !text.is_unique()
            && at.elapsed() < RENDERING_LIFETIME
        {
            return Ok(text.clone());
        }
        let text = Bytes::from(TextEncoder::new().encode_to_string(&self.metrics.registry.gather())?);
        *last = Some((Instant::now(), text.clone()));
        Ok(text)
    }
}

/// Headers that proxies add to the requests of their clients.
const PROXY_HEADERS: [&str; 4] = ["x-forwarded-for", "forwarded", "via", "x-real-ip"];

/// Whether a request comes from a client on this machine: over loopback, and not forwarded by a proxy.
fn is_from_this_machine(request: &Request) -> bool {
    let peer = request.remote_addr().as_socket_addr().map(|peer| peer.ip().to_canonical());
    peer.is_some_and(|peer| peer.is_loopback())
        && PROXY_HEADERS.iter().all(|name| !request.headers().contains_key(*name))
}

impl Endpoint for MetricsEndpoint {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if self.is_local && !is_from_this_machine(&request) {
            return Err(poem::Error::new(ApiError::LocalOnly, StatusCode::FORBIDDEN));
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
    fn only_loopback_clients_are_local() {
        for (peer, is_local) in [
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
            assert_eq!(is_from_this_machine(&Request::from_parts(parts, Body::empty())), is_local, "{peer}");
        }
    }

    #[test]
    fn unread_metrics_responses_share_one_rendering() {
        let page = MetricsEndpoint::new(Metrics::new());
        let held: Vec<Bytes> = (0..3).map(|_| page.render().expect("text")).collect();
        assert!(held.iter().all(|text| text.as_ptr() == held[0].as_ptr()));
        drop(held);
        page.metrics.count_denied_sign_up("closed");
        let fresh = String::from_utf8(page.render().expect("text").to_vec()).expect("text");
        assert!(fresh.contains("claviger_signups_refused_total{reason=\"closed\"} 1"), "{fresh}");
    }
}
