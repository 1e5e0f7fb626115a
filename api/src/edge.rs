//! Around every request: its id, its client, its time limit, its one line in the log, and the shape of its failure.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use http_body_util::{Either, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use poem::{
    Endpoint, IntoResponse, Request, RequestParts, Response, Result,
    error::{MethodNotAllowedError, NotFoundError, ParsePathError},
    http::{
        self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
        uri::Scheme,
    },
    web::{LocalAddr, RemoteAddr},
};
use poem_openapi::OperationId;
use tracing::{Instrument, Span, field::Empty, info_span};

use crate::{
    address::{ClientAddress, TrustedProxies},
    contract,
    failure::Failure,
    hot::{Answered, Hot, Unanswered},
    methods::Methods,
    request_id::RequestIds,
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

/// The two ends of a connection.
pub struct Ends {
    /// Ours.
    pub local: LocalAddr,
    /// The other one, as the framework wants it.
    pub remote: RemoteAddr,
    /// Its address.
    pub peer: IpAddr,
}

/// The body of an answer: of the short way, or of the framework.
pub type AnswerBody = Either<Full<Bytes>, BoxBody<Bytes, io::Error>>;

impl<E: Endpoint> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let started = Instant::now();
        let peer = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let address = self.proxies.client(peer, request.headers());
        let request_id = self.request_id(request.headers());
        Ok(self.ordinary(request, request_id, address, started).await)
    }
}

impl<E: Endpoint> Edge<E> {
    /// Answers a request as it came in.
    pub async fn respond(&self, request: http::Request<Incoming>, ends: &Ends) -> http::Response<AnswerBody> {
        let started = Instant::now();
        let address = self.proxies.client(ends.peer, request.headers());
        let request_id = self.request_id(request.headers());
        let whole = |request| Request::from((request, ends.local.clone(), ends.remote.clone(), Scheme::HTTP));
        let hot = self.hot.as_ref().and_then(|hot| Some((hot, hot.verify(request.method(), request.uri().path())?)));
        let request = match hot {
            None => whole(request),
            Some((hot, verify)) => match self.within_bounds(started, hot.answer(verify, request, address)).await {
                Ok(Answered::Here(text)) => return plain(text, request_id),
                Ok(Answered::NotHere(parts, Unanswered::Unread(body))) => {
                    whole(http::Request::from_parts(*parts, body))
                }
                Ok(Answered::NotHere(parts, Unanswered::Read(body))) => {
                    let ends = (ends.local.clone(), ends.remote.clone());
                    Request::from_parts(RequestParts::from((*parts, ends.0, ends.1, Scheme::HTTP)), body.into())
                }
                Err(failure) => {
                    let span = span(&request_id, &Method::POST, address);
                    return framed(self.conclude(Err(failure), &span, verify.path, request_id, started));
                }
            },
        };
        // Boxed, because it holds all routes: the short way would copy that around with it.
        framed(Box::pin(self.ordinary(request, request_id, address, started)).await)
    }

    /// The way of everything but the short one.
    async fn ordinary(
        &self,
        mut request: Request,
        request_id: HeaderValue,
        address: ClientAddress,
        started: Instant,
    ) -> Response {
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
        let outcome = self.within_bounds(started, inner.instrument(span.clone())).await;
        self.conclude(outcome, &span, &path, request_id, started)
    }
}

/// 200 with a JSON text.
fn plain(text: Vec<u8>, request_id: HeaderValue) -> http::Response<AnswerBody> {
    let mut response = http::Response::new(Either::Left(Full::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
    decorate(response.headers_mut(), request_id);
    response
}

fn framed(response: Response) -> http::Response<AnswerBody> {
    http::Response::<BoxBody<Bytes, io::Error>>::from(response).map(Either::Right)
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
    async fn within_bounds<T>(
        &self,
        started: Instant,
        inner: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let left = self.time_limit.saturating_sub(started.elapsed());
        match AssertUnwindSafe(tokio::time::timeout(left, inner)).catch_unwind().await {
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
        if let Failure::MethodNotAllowed = failure
            && let Some(allowed) = self.methods.at(path)
        {
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
