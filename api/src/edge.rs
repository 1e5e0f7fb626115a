//! Around every request: its id, its client, its time limit, its one line in the log, and the shape of its failure.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use http_body_util::{BodyExt, Either, Full, combinators::BoxBody};
use hyper::body::{Body, Bytes, Incoming};
use poem::{
    Endpoint, IntoResponse, Request, RequestParts, Response, Result,
    error::{MethodNotAllowedError, NotFoundError, ParsePathError},
    http::{
        self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
        header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPECT, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
        uri::Scheme,
    },
    web::{LocalAddr, RemoteAddr},
};
use poem_openapi::OperationId;
use tracing::{Instrument, Span, field::Empty, info_span};

use crate::{
    address::{ClientAddress, TrustedProxies},
    body,
    body_budget::{BodyBudget, Held},
    contract,
    failure::Failure,
    health::Readiness,
    hot::{Answered, Hot, Unanswered},
    lent::lend,
    methods::Methods,
    metrics::Metrics,
    refused::{RefusedChanges, Witness},
    request_id::{RequestId, RequestIds},
};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The answer may be so many seconds old at most: beats of the change feed are missing.
static STALE: HeaderName = HeaderName::from_static("claviger-stale");

/// The outermost endpoint: whatever happens inside, the client gets an answer in the shape of the contract it called.
pub struct Edge<E> {
    /// The short way for what is asked most.
    pub hot: Option<Hot>,
    /// The routes.
    pub inner: E,
    /// Whose word about the client's address is taken.
    pub proxies: TrustedProxies,
    /// How many bytes of bodies may be held.
    pub bodies: Arc<BodyBudget>,
    /// How long an answer may take until its body begins.
    pub time_limit: Duration,
    /// Which methods each path has.
    pub methods: Methods,
    /// Names requests that have no name.
    pub request_ids: RequestIds,
    /// Counts answers.
    pub metrics: Metrics,
    /// Notes what was refused.
    pub refused: Option<RefusedChanges>,
    /// Says how old answers may be.
    pub readiness: Arc<dyn Readiness>,
}

/// The two ends of a connection.
pub struct Ends {
    /// Ours.
    pub local: LocalAddr,
    /// The other one, as the framework wants it.
    pub remote: RemoteAddr,
    /// Its address.
    pub peer: IpAddr,
    /// Whether only `/health/…` is answered here, because there is no place for other requests.
    pub is_reserved: bool,
}

/// What is answered at reserved places.
const RESERVED: &str = "/health/";

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
        Ok(self.ordinary(request, None, request_id, address, started).await)
    }
}

impl<E: Endpoint> Edge<E> {
    /// Answers a request as it came in, and says whether a part of its body was not read.
    pub async fn respond(&self, request: http::Request<Incoming>, ends: &Ends) -> (http::Response<AnswerBody>, bool) {
        let started = Instant::now();
        let address = self.proxies.client(ends.peer, request.headers());
        let request_id = self.request_id(request.headers());
        if ends.is_reserved && !request.uri().path().starts_with(RESERVED) {
            let (method, path) = (request.method(), request.uri().path());
            let (span, operation) = (span(&request_id, method, address), self.methods.operation(method, path));
            let answer = self.conclude(Err(Failure::Busy), &span, path, operation, request_id, started);
            return (framed(answer), !request.body().is_end_stream());
        }
        // The ordinary way is boxed, because it holds all routes: the short way would copy that around with it.
        let hot = self.hot.as_ref().and_then(|hot| Some((hot, hot.way(request.method(), request.uri())?)));
        let Some((hot, way)) = hot else {
            return Box::pin(self.ordinary_whole(request, request_id, address, ends, started)).await;
        };
        match self.within_bounds(started, hot.answer(way, request, address)).await {
            Ok(Answered::Here(text)) => {
                let response = self.plain(text, request_id);
                way.count(started.elapsed());
                (response, false)
            }
            Ok(Answered::NotHere(parts, Unanswered::Unread(body))) => {
                let request = http::Request::from_parts(*parts, body);
                Box::pin(self.ordinary_whole(request, request_id, address, ends, started)).await
            }
            Ok(Answered::NotHere(parts, Unanswered::Read(body, held))) => {
                let request = Request::from_parts(ends.parts(*parts), body.into());
                (framed(Box::pin(self.ordinary(request, held, request_id, address, started)).await), false)
            }
            Err(failure) => {
                let is_left = matches!(failure, Failure::MalformedBody(_) | Failure::Busy | Failure::Timeout);
                let span = span(&request_id, &Method::POST, address);
                let operation = Some(way.operation());
                let answer = self.conclude(Err(failure), &span, way.path(), operation, request_id, started);
                (framed(answer), is_left)
            }
        }
    }

    /// The way of a request whose body was not touched. Where HTTP/1 has to end because the body is left unread, that is said.
    async fn ordinary_whole(
        &self,
        request: http::Request<Incoming>,
        request_id: HeaderValue,
        address: ClientAddress,
        ends: &Ends,
        started: Instant,
    ) -> (http::Response<AnswerBody>, bool) {
        let (parts, body) = request.into_parts();
        // A client that asks before it sends a body learns from the answer that it need not.
        let small = if parts.headers.contains_key(EXPECT) { 0 } else { body::LIMIT as u64 };
        let (body, back) = if parts.version == Version::HTTP_2 || body.is_end_stream() {
            (BodyExt::boxed(body.map_err(io::Error::other)), None)
        } else {
            let (body, back) = lend(body);
            (BodyExt::boxed(body.map_err(io::Error::other)), Some(back))
        };
        let request = Request::from_parts(ends.parts(parts), body.into());
        let response = self.ordinary(request, None, request_id, address, started).await;
        let is_left = match back {
            Some(back) => back.is_left(small).await,
            None => false,
        };
        (framed(response), is_left)
    }

    /// The way of everything but the short one.
    async fn ordinary(
        &self,
        mut request: Request,
        held: Option<Arc<Held>>,
        request_id: HeaderValue,
        address: ClientAddress,
        started: Instant,
    ) -> Response {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        let witness = Witness::default();
        // Given back when the request has been worked on.
        let held = held.unwrap_or_else(|| Arc::new(self.bodies.hold(address, witness.clone())));
        request.set_data(held.clone());
        request.set_data(witness.clone());
        request.set_data(address);
        request.set_data(RequestId(text(&request_id).into()));
        let span = span(&request_id, request.method(), address);
        let inner = async {
            let (operation, outcome) = match self.inner.call(request).await {
                Ok(output) => {
                    let response = output.into_response();
                    (response.data::<OperationId>().copied(), Ok(response))
                }
                Err(error) => (error.data::<OperationId>().copied(), outcome_of(error)),
            };
            let operation = operation.map(|operation| operation.0);
            if let Some(operation) = operation {
                Span::current().record("operation", operation);
            }
            Ok((operation, outcome))
        };
        let outcome = self.within_bounds(started, inner.instrument(span.clone())).await;
        // What took too long or panicked did not come to say what it was.
        let (operation, outcome) =
            outcome.unwrap_or_else(|failure| (self.methods.operation(&method, &path), Err(failure)));
        if let (Err(failure), Some(refused)) = (&outcome, &self.refused) {
            refused.note(&witness, operation, &path, failure);
        }
        drop(held);
        self.conclude(outcome, &span, &path, operation, request_id, started)
    }
}

impl Ends {
    fn parts(&self, parts: http::request::Parts) -> RequestParts {
        RequestParts::from((parts, self.local.clone(), self.remote.clone(), Scheme::HTTP))
    }
}

fn framed(response: Response) -> http::Response<AnswerBody> {
    http::Response::<BoxBody<Bytes, io::Error>>::from(response).map(Either::Right)
}

fn span(request_id: &HeaderValue, method: &Method, address: ClientAddress) -> Span {
    info_span!(
        target: "claviger", "request", request_id = text(request_id), %method, client = %address.0,
        operation = Empty, key_id = Empty, user_id = Empty, org_id = Empty,
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
        operation: Option<&str>,
        request_id: HeaderValue,
        started: Instant,
    ) -> Response {
        let (mut response, cause) = match outcome {
            Ok(response) => (response, None),
            Err(failure) => (self.render(path, &failure, text(&request_id)), Some(failure)),
        };
        if let Some(Failure::Refused(domain::Error::Outage(outage))) = &cause {
            self.readiness.observe(outage);
        }
        self.decorate(response.headers_mut(), request_id);
        let took = started.elapsed();
        log(span, response.status(), took, cause.as_ref());
        let operation = operation.unwrap_or("none");
        self.metrics.answered(operation, response.status().as_u16()).inc();
        self.metrics.seconds(operation).observe(took.as_secs_f64());
        response
    }

    /// 200 with a JSON text.
    fn plain(&self, text: Vec<u8>, request_id: HeaderValue) -> http::Response<AnswerBody> {
        let mut response = http::Response::new(Either::Left(Full::from(text)));
        response.headers_mut().insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
        self.decorate(response.headers_mut(), request_id);
        response
    }

    fn decorate(&self, headers: &mut HeaderMap, request_id: HeaderValue) {
        headers.entry(CACHE_CONTROL).or_insert(const { HeaderValue::from_static("no-store") });
        headers.insert(X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
        headers.insert(&REQUEST_ID, request_id);
        if let Some(age) = self.readiness.silence() {
            // Rounded up: it is an upper bound.
            headers.insert(&STALE, HeaderValue::from(age.as_secs() + 1));
        }
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
mod tests;
