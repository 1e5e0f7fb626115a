//! Around every request: its id, its client, its time limit, its one line in the log, and the shape of its failure.

use std::{
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use domain::clock::Entropy;
use futures_util::FutureExt;
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::{MethodNotAllowedError, NotFoundError, ParsePathError},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{ALLOW, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
    },
};
use poem_openapi::OperationId;
use tracing::{Instrument, Span, field::Empty, info_span};

use crate::{
    address::{ClientAddress, TrustedProxies},
    contract,
    failure::Failure,
    hot::{Answered, Hot},
    methods::Methods,
};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost endpoint: whatever happens inside, the client gets an answer in the shape of the contract it called.
pub struct Edge<E> {
    /// The short way for what is asked most.
    pub hot: Option<Hot>,
    /// The routes.
    pub inner: E,
    /// Whose word about the client's address is taken.
    pub proxies: TrustedProxies,
    /// How long an answer may take until its body begins.
    pub time_limit: Duration,
    /// Which methods each path has.
    pub methods: Methods,
    /// Names requests that have no name.
    pub request_ids: RequestIds,
}

impl<E: Endpoint> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let started = Instant::now();
        let request_id = self.request_id(request.headers());
        let address = self.client(&request);
        if let Some(hot) = self.hot.as_ref()
            && let Some(verify) = hot.verify(&request)
        {
            match self.within_bounds(hot.answer(verify, request, address)).await {
                Ok(Answered::Here(mut response)) => {
                    decorate(response.headers_mut(), request_id);
                    return Ok(response);
                }
                Ok(Answered::NotHere(given_back)) => request = given_back,
                Err(failure) => {
                    let span = span(&request_id, &Method::POST, address);
                    return Ok(self.conclude(Err(failure), &span, verify.path, request_id, started));
                }
            }
        }
        let path = request.uri().path().to_owned();
        request.set_data(address);
        let span = span(&request_id, request.method(), address);
        let inner = async {
            let (operation, outcome) = match self.inner.call(request).await {
                Ok(output) => {
                    let response = output.into_response();
                    (response.data::<OperationId>().copied(), Ok(response))
                }
                Err(error) => (error.data::<OperationId>().copied(), outcome_of(error)),
            };
            if let Some(operation) = operation {
                Span::current().record("operation", operation.0);
            }
            outcome
        };
        let outcome = self.within_bounds(inner.instrument(span.clone())).await;
        Ok(self.conclude(outcome, &span, &path, request_id, started))
    }
}

fn span(request_id: &HeaderValue, method: &Method, address: ClientAddress) -> Span {
    info_span!(
        target: "claviger", "request", request_id = text(request_id), %method, client = %address.0,
        operation = Empty, key_id = Empty, org_id = Empty,
    )
}

fn text(request_id: &HeaderValue) -> &str {
    request_id.to_str().unwrap_or_default()
}

impl<E> Edge<E> {
    /// Ends what takes too long, and turns a panic into a failure.
    async fn within_bounds<T>(&self, inner: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match AssertUnwindSafe(tokio::time::timeout(self.time_limit, inner)).catch_unwind().await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Failure::Timeout),
            Err(panic) => Err(Failure::Defect(panic_message(&*panic))),
        }
    }

    /// The answer as it is sent, and the line about it.
    fn conclude(
        &self,
        outcome: Result<Response, Failure>,
        span: &Span,
        path: &str,
        request_id: HeaderValue,
        started: Instant,
    ) -> Response {
        let (mut response, cause) = match outcome {
            Ok(response) => (response, None),
            Err(failure) => (self.render(path, &failure, text(&request_id)), Some(failure)),
        };
        decorate(response.headers_mut(), request_id);
        log(span, response.status(), started.elapsed(), cause.as_ref());
        response
    }

    /// The client's own id for the request where it is fit to be logged, else a new one.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        match headers.get(&REQUEST_ID) {
            Some(id) if (1..=64).contains(&id.len()) && id.as_bytes().iter().all(plain) => id.clone(),
            _ => self.request_ids.next(),
        }
    }

    fn client(&self, request: &Request) -> ClientAddress {
        let peer = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
        let unknown = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        self.proxies.client(peer.unwrap_or(unknown), request.headers())
    }

    fn render(&self, path: &str, failure: &Failure, request_id: &str) -> Response {
        let (status, body) = (contract::shape_of(path).render)(failure, request_id);
        let mut response = Response::builder().status(status).content_type("application/json").body(body.to_string());
        let headers = response.headers_mut();
        let denies = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
        if let Some(challenge) = failure.challenge().filter(|_| denies) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = failure.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let (Failure::MethodNotAllowed, Some(allowed)) = (failure, self.methods.at(path)) {
            headers.insert(ALLOW, allowed);
        }
        response
    }
}

/// What a failed call means: a failure of ours, a complete answer, or the framework's own complaint.
fn outcome_of(error: poem::Error) -> Result<Response, Failure> {
    match error.downcast::<Failure>() {
        Ok(failure) => Err(failure),
        Err(error) if error.is_from_response() => Ok(error.into_response()),
        // A path that is not UTF-8 names nothing; the router finds that out before any operation is asked.
        Err(error) if error.is::<NotFoundError>() || error.is::<ParsePathError>() => Err(Failure::UnknownPath),
        Err(error) if error.is::<MethodNotAllowedError>() => Err(Failure::MethodNotAllowed),
        Err(error) if error.status().is_client_error() => {
            Err(Failure::MalformedBody("The request is malformed".to_owned()))
        }
        Err(error) => Err(Failure::Defect(error.to_string())),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", message.unwrap_or("without a message"))
}

fn decorate(headers: &mut HeaderMap, request_id: HeaderValue) {
    headers.entry(CACHE_CONTROL).or_insert(const { HeaderValue::from_static("no-store") });
    headers.insert(X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
    headers.insert(&REQUEST_ID, request_id);
}

/// Names for requests, each given once: a random half for the process, and a number.
#[derive(Debug)]
pub struct RequestIds {
    process: u64,
    given: AtomicU64,
}

impl RequestIds {
    /// Names that no other process gives.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut random = [0; 8];
        entropy.fill(&mut random);
        Self { process: u64::from_be_bytes(random), given: AtomicU64::new(0) }
    }

    /// 32 hexadecimal digits.
    fn next(&self) -> HeaderValue {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 32];
        for (half, value) in text.chunks_exact_mut(16).zip([self.process, number]) {
            for (digit, place) in half.iter_mut().rev().enumerate() {
                *place = HEX[usize::try_from(value >> (4 * digit) & 15).expect("4 bits")];
            }
        }
        HeaderValue::from_bytes(&text).expect("hexadecimal digits")
    }
}

/// The one line of a request. It has no path, because people paste keys there.
fn log(span: &Span, status: StatusCode, took: Duration, failure: Option<&Failure>) {
    let _entered = span.enter();
    let status = status.as_u16();
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    match failure {
        None => tracing::info!(target: "claviger", status, micros, "answered"),
        Some(cause) if status >= 500 => tracing::error!(target: "claviger", status, micros, %cause, "failed"),
        Some(cause) => tracing::info!(target: "claviger", status, micros, %cause, "refused"),
    }
}

#[cfg(test)]
mod tests {
    use poem::{endpoint::make_sync, test::TestClient};

    use super::*;
    use crate::system::SystemEntropy;

    fn edge<E: Endpoint>(inner: E) -> TestClient<Edge<E>> {
        TestClient::new(Edge {
            hot: None,
            inner,
            proxies: TrustedProxies::default(),
            time_limit: Duration::from_secs(1),
            methods: Methods::default(),
            request_ids: RequestIds::new(&SystemEntropy),
        })
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_in_the_contracts_shape() {
        let edge = edge(make_sync(|_| -> Response { panic!("a secret detail") }));
        let answer = edge.get("/orgs/x").header("x-request-id", "one").send().await;
        answer.assert_status(StatusCode::INTERNAL_SERVER_ERROR);
        answer.assert_header("cache-control", "no-store");
        let message = "An error occurred on the server";
        answer.assert_json(serde_json::json!({"message": message, "code": 500, "request_id": "one"})).await;
        let answer = edge.get("/auth/x").header("x-request-id", "one").send().await;
        answer.assert_status(StatusCode::INTERNAL_SERVER_ERROR);
        let message = "An error occurred on the server (request one)";
        answer.assert_json(serde_json::json!({"success": false, "message": message, "data": null})).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_answers_is_ended() {
        let edge = edge(poem::endpoint::make(async |_| -> Result<Response> { std::future::pending().await }));
        let answer = edge.get("/auth/x").send().await;
        answer.assert_status(StatusCode::SERVICE_UNAVAILABLE);
        answer.assert_header("retry-after", "1");
    }
}
