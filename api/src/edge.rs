//! Around every request: its id, its client, its time limit, its one line in the log, and the shape of its failure.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::clock::Entropy;
use futures_util::FutureExt;
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::{MethodNotAllowedError, NotFoundError, ParsePathError},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ALLOW, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
    },
};
use poem_openapi::OperationId;
use tracing::{Instrument, Span, field::Empty, info_span};

use crate::{
    address::{ClientAddress, TrustedProxies},
    contract,
    failure::Failure,
    methods::Methods,
};

const REQUEST_ID: &str = "x-request-id";

/// The outermost endpoint: whatever happens inside, the client gets an answer in the shape of the contract it called.
pub struct Edge<E> {
    /// The routes.
    pub inner: E,
    /// Whose word about the client's address is taken.
    pub proxies: TrustedProxies,
    /// How long an answer may take until its body begins.
    pub time_limit: Duration,
    /// Which methods each path has.
    pub methods: Methods,
    /// For request ids.
    pub entropy: Arc<dyn Entropy>,
}

impl<E: Endpoint> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let started = Instant::now();
        let path = request.uri().path().to_owned();
        let request_id = self.request_id(request.headers());
        let address = self.client(&request);
        request.set_data(address);
        let span = info_span!(
            target: "claviger", "request", request_id, method = %request.method(), client = %address.0,
            operation = Empty, key_id = Empty, org_id = Empty,
        );
        let inner = AssertUnwindSafe(tokio::time::timeout(self.time_limit, self.inner.call(request)));
        let outcome = inner.catch_unwind().instrument(span.clone()).await;
        let (operation, outcome) = match outcome {
            Ok(Ok(Ok(output))) => {
                let response = output.into_response();
                (response.data::<OperationId>().copied(), Ok(response))
            }
            Ok(Ok(Err(error))) => (error.data::<OperationId>().copied(), outcome_of(error)),
            Ok(Err(_)) => (None, Err(Failure::Timeout)),
            Err(panic) => (None, Err(Failure::Defect(panic_message(&*panic)))),
        };
        if let Some(operation) = operation {
            span.record("operation", operation.0);
        }
        let (mut response, cause) = match outcome {
            Ok(response) => (response, None),
            Err(failure) => (self.render(&path, &failure, &request_id), Some(failure)),
        };
        decorate(response.headers_mut(), &request_id);
        log(&span, response.status(), started.elapsed(), cause.as_ref());
        Ok(response)
    }
}

impl<E> Edge<E> {
    /// The client's own id for the request where it is fit to be logged, else a new one.
    fn request_id(&self, headers: &HeaderMap) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match given {
            Some(id) if (1..=64).contains(&id.len()) && id.bytes().all(plain) => id.to_owned(),
            _ => {
                let mut random = [0; 16];
                self.entropy.fill(&mut random);
                format!("{:032x}", u128::from_be_bytes(random))
            }
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

fn decorate(headers: &mut HeaderMap, request_id: &str) {
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
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
            inner,
            proxies: TrustedProxies::default(),
            time_limit: Duration::from_secs(1),
            methods: Methods::default(),
            entropy: Arc::new(SystemEntropy),
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
