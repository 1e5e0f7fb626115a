//! The pipeline that every request passes: request id, client address, time limit, log line, metrics, and the format of errors.

mod ext_authz;
mod forward_auth;
mod options;
mod request_head;
mod target;
#[cfg(test)]
mod tests;

use std::{
    fmt::Display,
    io,
    net::{IpAddr, Ipv4Addr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future};
use http_body_util::{BodyExt, Either, Full, combinators::BoxBody};
use hyper::body::{Body, Bytes, Incoming};
use poem::{
    Endpoint, IntoResponse, Request, RequestParts, Response, Result,
    error::{MethodNotAllowedError, NotFoundError, ParsePathError},
    http::{
        self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
        header::{
            ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPECT, RETRY_AFTER, WWW_AUTHENTICATE,
            X_CONTENT_TYPE_OPTIONS,
        },
        uri::Scheme,
    },
    web::{LocalAddr, RemoteAddr},
};
use poem_openapi::OperationId;
use tracing::{Instrument, Span, field::Empty, info_span};

use crate::{
    auth::audit_denials::DeniedChanges,
    error_formats::error_format_of,
    forward_auth::{ForwardAuth, is_of_gateway},
    http::{
        api_error::ApiError,
        body::{
            self,
            budget::{BodyBudget, BodyReservation},
            lent::{BodyReturn, lend},
        },
        client_ip::{AddressSource, Client, ClientAddress, RequestSource, TrustedProxies},
        health::Readiness,
        operations::Operations,
        origin::{base_path::BasePath, cors::Cors},
        request_caller::RequestCaller,
        request_id::{RequestId, RequestIds},
    },
    metrics::Metrics,
    routes::is_of_portal,
    verify_fast_path::{FastPath, FastRoutes, PassedBody},
};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The maximum age of the data of a response, in seconds. Only sent while heartbeats of the change feed are missing.
static STALE: HeaderName = HeaderName::from_static("claviger-stale");

/// The outermost endpoint. Every error, panics included, becomes a response in the error format of the contract.
pub struct Pipeline<E> {
    /// The fast path for verify. `None`: there is none.
    pub fast_routes: Option<FastRoutes>,
    /// Answers the requests of gateways. `None`: they are not served here.
    pub forward_auth: Option<ForwardAuth>,
    /// The endpoint with all routes.
    pub inner: E,
    /// The proxies whose `X-Forwarded-For` or `Forwarded` is used.
    pub proxies: TrustedProxies,
    /// Limits the size of all bodies in memory.
    pub bodies: Arc<BodyBudget>,
    /// The maximum duration of a request, from its head to the head of the response.
    pub time_limit: Duration,
    /// The operations of each path.
    pub operations: Arc<Operations>,
    /// Generates ids for requests without a valid `X-Request-Id`.
    pub request_ids: RequestIds,
    /// Counts and measures requests.
    pub metrics: Metrics,
    /// Records denied changes in the audit log. `None`: they are not recorded.
    pub denied_changes: Option<DeniedChanges>,
    /// The state of the database and the staleness of the key cache.
    pub readiness: Arc<dyn Readiness>,
    /// The path below which the service is reached. `None`: the root.
    pub base_path: Option<BasePath>,
    /// Which pages of other origins can read responses. `None`: none.
    pub cors: Option<Cors>,
}

/// The addresses of a connection, and the kind of its slot.
pub struct ConnectionInfo {
    /// The local address.
    pub local: LocalAddr,
    /// The remote address, for poem.
    pub remote: RemoteAddr,
    /// The IP address of the remote end: the client or a proxy.
    pub peer: IpAddr,
    /// Whether it has a reserved slot: all requests except `/health/…` get 503.
    pub is_reserved: bool,
    /// `https` if the connection uses TLS.
    pub scheme: Scheme,
}

/// The paths that are served in reserved slots, as a prefix.
const RESERVED_PATHS: &str = "/health/";

/// The path of the metrics.
const METRICS_PATH: &str = "/metrics";

/// The body of a response: of the fast path, or of poem.
pub type ResponseBody = Either<Full<Bytes>, BoxBody<Bytes, io::Error>>;

impl<E: Endpoint> Endpoint for Pipeline<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let started = Instant::now();
        let peer = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let client = self.client(peer, request.headers());
        let request_id = self.request_id(request.headers());
        Ok(self.respond_full(request, None, None, request_id, client, started).await)
    }
}

impl<E: Endpoint> Pipeline<E> {
    /// Handles a request of a connection. Returns the response, and whether a part of the request's body is unread.
    pub fn respond(
        &self,
        request: http::Request<Incoming>,
        info: &ConnectionInfo,
    ) -> impl Future<Output = (http::Response<ResponseBody>, bool)> {
        // Without these settings, nothing is added to the fast path.
        match (&self.base_path, &self.cors) {
            (None, None) => future::Either::Left(self.respond_at_root(request, info)),
            (base_path, cors) => {
                future::Either::Right(Box::pin(self.respond_below(base_path.as_ref(), cors.as_ref(), request, info)))
            }
        }
    }

    /// As [`Pipeline::respond`], below a base path and for pages of other origins.
    async fn respond_below(
        &self,
        base_path: Option<&BasePath>,
        cors: Option<&Cors>,
        mut request: http::Request<Incoming>,
        info: &ConnectionInfo,
    ) -> (http::Response<ResponseBody>, bool) {
        if let Some(base_path) = base_path {
            base_path.remove_from(request.uri_mut(), &self.operations);
        }
        // Metrics are not a part of the API: they are for clients on this machine, and a page in a browser is none. Answers to
        // gateways are not for pages either: a preflight is the API's own. Those of the portal are for its own page.
        let path = request.uri().path();
        let is_closed = path == METRICS_PATH || is_of_portal(path) || is_of_gateway(path, request.headers());
        let allowed = cors.filter(|_| !is_closed).and_then(|cors| cors.allowed_origin(request.headers()));
        let is_allowed_preflight = allowed.is_some()
            && !info.is_reserved
            && Cors::is_preflight(request.method(), request.headers())
            && request_head::check_host(&request).is_ok()
            && self.operations.has_path(request.uri().path());
        let (mut response, is_left) = if is_allowed_preflight {
            (self.answer_preflight(&request, info), !request.body().is_end_stream())
        } else {
            self.respond_at_root(request, info).await
        };
        if let Some(base_path) = base_path {
            base_path.add_to_link(response.headers_mut());
        }
        if let Some(cors) = cors {
            cors.add_headers(allowed, response.headers_mut());
        }
        (response, is_left)
    }

    /// As [`Pipeline::respond`], for a path without the base path.
    async fn respond_at_root(
        &self,
        request: http::Request<Incoming>,
        info: &ConnectionInfo,
    ) -> (http::Response<ResponseBody>, bool) {
        let started = Instant::now();
        if let Some(forward_auth) = &self.forward_auth
            && forward_auth::is_asked(forward_auth, &request)
        {
            return self.respond_gateway(forward_auth, request, info, started).await;
        }
        let client = self.client(info.peer, request.headers());
        let request_id = self.request_id(request.headers());
        let is_busy = info.is_reserved && !request.uri().path().starts_with(RESERVED_PATHS);
        let accepted = if is_busy { Err(ApiError::Busy) } else { request_head::check_host(&request) };
        if let Err(failure) = accepted {
            let (method, path) = (request.method(), request.uri().path());
            let (span, operation) = (span(&request_id, method, client.address), self.operations.id(method, path));
            let answer = self.finish(Err(failure), &span, path, operation, request_id, started);
            return (into_http(answer), !request.body().is_end_stream());
        }
        // The future of the full path is large, because it contains all routes. It is boxed, so that the fast path does not copy
        // it.
        let fast_routes = self
            .fast_routes
            .as_ref()
            .and_then(|fast_routes| Some((fast_routes, fast_routes.route(request.method(), request.uri())?)));
        let Some((fast_routes, route)) = fast_routes else {
            return Box::pin(self.respond_full_unread(request, request_id, client, info, started)).await;
        };
        let mut is_reading = false;
        match self.with_limits(started, fast_routes.answer(route, request, client.address, &mut is_reading)).await {
            Ok(FastPath::Handled(text)) => {
                let response = self.json_response(text, request_id);
                route.count(started.elapsed());
                (response, false)
            }
            Ok(FastPath::PassThrough(parts, PassedBody::Streaming(body))) => {
                let request = http::Request::from_parts(*parts, body);
                Box::pin(self.respond_full_unread(request, request_id, client, info, started)).await
            }
            Ok(FastPath::PassThrough(parts, PassedBody::Buffered(body, reservation))) => {
                let request = Request::from_parts(info.parts(*parts), body.into());
                let answer = self.respond_full(request, reservation, None, request_id, client, started);
                (into_http(Box::pin(answer).await), false)
            }
            Err(failure) => {
                let failure = body_timeout(failure, is_reading);
                let is_left = matches!(
                    failure,
                    ApiError::MalformedBody(_) | ApiError::Busy | ApiError::Timeout | ApiError::BodyTimeout
                );
                let span = span(&request_id, &Method::POST, client.address);
                let operation = Some(route.operation());
                let answer = self.finish(Err(failure), &span, route.path(), operation, request_id, started);
                (into_http(answer), is_left)
            }
        }
    }

    /// The full path for a request whose body was not read yet. Returns the response, and whether an HTTP/1 connection has to be
    /// closed because a part of the body is unread.
    async fn respond_full_unread(
        &self,
        request: http::Request<Incoming>,
        request_id: HeaderValue,
        client: Client,
        info: &ConnectionInfo,
        started: Instant,
    ) -> (http::Response<ResponseBody>, bool) {
        let (parts, body) = request.into_parts();
        // A client that sends `Expect: 100-continue` waits for the response before it sends the body, so do not wait for the body.
        let small = if parts.headers.contains_key(EXPECT) { 0 } else { body::LIMIT as u64 };
        let is_http2 = parts.version == Version::HTTP_2;
        let (body, back) = lend(body);
        let request = Request::from_parts(info.parts(parts), BodyExt::boxed(body.map_err(io::Error::other)).into());
        let response = self.respond_full(request, None, Some(&back), request_id, client, started).await;
        (into_http(response), !is_http2 && back.is_left(small).await)
    }

    /// The full path: routing, extraction and the operation. `reservation`: the reservation for a body that was read already. `back`:
    /// where a body is given back that was not.
    async fn respond_full(
        &self,
        mut request: Request,
        reservation: Option<Arc<BodyReservation>>,
        back: Option<&BodyReturn>,
        request_id: HeaderValue,
        client: Client,
        started: Instant,
    ) -> Response {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        let request_caller = RequestCaller::default();
        let Client { address, .. } = client;
        let is_behind_untrusted_proxy = client.is_behind_untrusted_proxy(request.headers());
        if is_behind_untrusted_proxy {
            self.metrics.untrusted_forwarding.inc();
        }
        // Released when the request has been handled.
        let reservation = reservation.unwrap_or_else(|| Arc::new(self.bodies.reserve(address, request_caller.clone())));
        request.set_data(reservation.clone());
        request.set_data(request_caller.clone());
        request.set_data(address);
        request.set_data(self.operations.clone());
        request.set_data(RequestSource { address, is_behind_untrusted_proxy });
        request.set_data(RequestId(text(&request_id).into()));
        let span = span(&request_id, request.method(), address);
        target::record(&span, &path);
        let inner = async {
            request_head::check_transfer_encoding(request.headers())?;
            let (operation, outcome) = match self.inner.call(request).await {
                Ok(output) => {
                    let response = output.into_response();
                    (response.data::<OperationId>().copied(), Ok(response))
                }
                Err(error) => (error.data::<OperationId>().copied(), convert_error(error)),
            };
            let operation = operation.map(|operation| operation.0);
            if let Some(operation) = operation {
                Span::current().record("operation", operation);
            }
            Ok((operation, outcome))
        };
        let outcome = self.with_limits(started, inner.instrument(span.clone())).await;
        // A request that timed out or panicked has not reported its operation, so look it up.
        let (operation, outcome) = outcome.unwrap_or_else(|failure| {
            let failure = body_timeout(failure, back.is_some_and(BodyReturn::is_awaited));
            (self.operations.id(&method, &path), Err(failure))
        });
        let outcome = self.answer_options(&method, &path, outcome);
        if let (Err(failure), Some(denied_changes)) = (&outcome, &self.denied_changes) {
            denied_changes.record(&request_caller, operation, &path, failure);
        }
        drop(reservation);
        self.finish(outcome, &span, &path, operation, request_id, started)
    }
}

impl ConnectionInfo {
    fn parts(&self, parts: http::request::Parts) -> RequestParts {
        RequestParts::from((parts, self.local.clone(), self.remote.clone(), self.scheme.clone()))
    }
}

fn into_http(response: Response) -> http::Response<ResponseBody> {
    http::Response::<BoxBody<Bytes, io::Error>>::from(response).map(Either::Right)
}

fn span(request_id: &HeaderValue, method: &Method, address: ClientAddress) -> Span {
    info_span!(
        target: "claviger", "request", request_id = text(request_id), %method, client = %address.0,
        operation = Empty, key_id = Empty, user_id = Empty, org_id = Empty, target_org_id = Empty, target_id = Empty,
    )
}

fn text(request_id: &HeaderValue) -> &str {
    request_id.to_str().unwrap_or_default()
}

impl<E> Pipeline<E> {
    /// Applies the time limit, and converts a panic into an error. `started`: when the time limit began.
    async fn with_limits<T>(
        &self,
        started: Instant,
        inner: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let left = self.time_limit.saturating_sub(started.elapsed());
        match AssertUnwindSafe(tokio::time::timeout(left, inner)).catch_unwind().await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ApiError::Timeout),
            Err(panic) => Err(ApiError::Defect(panic_message(&*panic))),
        }
    }

    /// Renders errors, adds the common headers, writes the log line and updates the metrics. `operation`: the operation id;
    /// `None`: no operation was found.
    fn finish(
        &self,
        outcome: Result<Response, ApiError>,
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
        self.observe(cause.as_ref());
        self.add_common_headers(response.headers_mut(), request_id);
        let took = started.elapsed();
        log(span, response.status(), took, cause.as_ref().map(|cause| cause as &dyn Display));
        let operation = operation.unwrap_or("none");
        self.metrics.request_counter(operation, response.status().as_u16()).inc();
        self.metrics.duration_histogram(operation).observe(took.as_secs_f64());
        response
    }

    /// Notes an outage of the database, for the readiness.
    fn observe(&self, failure: Option<&ApiError>) {
        if let Some(ApiError::Domain(domain::Error::Outage(outage))) = failure {
            self.readiness.observe(outage);
        }
    }

    /// A response with status 200 and a JSON body.
    fn json_response(&self, text: Vec<u8>, request_id: HeaderValue) -> http::Response<ResponseBody> {
        let mut response = http::Response::new(Either::Left(Full::from(text)));
        response.headers_mut().insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
        self.add_common_headers(response.headers_mut(), request_id);
        response
    }

    fn add_common_headers(&self, headers: &mut HeaderMap, request_id: HeaderValue) {
        headers.entry(CACHE_CONTROL).or_insert(const { HeaderValue::from_static("no-store") });
        headers.insert(X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
        headers.insert(&REQUEST_ID, request_id);
        if let Some(age) = self.readiness.staleness() {
            // Rounded up: it is an upper bound.
            headers.insert(&STALE, HeaderValue::from(age.as_secs() + 1));
        }
    }

    /// The client of a connection from `peer`.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let client = self.proxies.client(peer, headers);
        if client.source == AddressSource::UnreadableHeader {
            self.metrics.unreadable_forwarding.inc();
        }
        client
    }

    /// The value of `X-Request-Id` if it is 1 to 64 ASCII letters, digits and `._-`, else a new id.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        match headers.get(&REQUEST_ID) {
            Some(id) if (1..=64).contains(&id.len()) && id.as_bytes().iter().all(is_safe) => id.clone(),
            _ => self.request_ids.next(),
        }
    }

    fn render(&self, path: &str, failure: &ApiError, request_id: &str) -> Response {
        let (status, body) = (error_format_of(path).render)(failure, request_id);
        let mut response = Response::builder().status(status).content_type("application/json").body(body.to_string());
        let headers = response.headers_mut();
        let denies = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
        if let Some(challenge) = failure.challenge().filter(|_| denies) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = failure.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let ApiError::MethodNotAllowed = failure
            && let Some(allowed) = self.operations.allow_header(path)
        {
            headers.insert(ALLOW, allowed);
        }
        if let ApiError::UnsupportedEncoding = failure {
            // What is supported instead (RFC 9110 §15.5.16).
            headers.insert(ACCEPT_ENCODING, const { HeaderValue::from_static("identity") });
        }
        response
    }
}

/// A request that timed out while its client had to send the body is the client's failure.
fn body_timeout(failure: ApiError, was_reading: bool) -> ApiError {
    if was_reading && matches!(failure, ApiError::Timeout) { ApiError::BodyTimeout } else { failure }
}

/// Converts an error of poem: it is an [`ApiError`], a complete response, or an error of routing or extraction.
fn convert_error(error: poem::Error) -> Result<Response, ApiError> {
    match error.downcast::<ApiError>() {
        Ok(failure) => Err(failure),
        Err(error) if error.is_from_response() => Ok(error.into_response()),
        // The router of poem returns `ParsePathError` for a path that is not UTF-8.
        Err(error) if error.is::<NotFoundError>() || error.is::<ParsePathError>() => Err(ApiError::UnknownPath),
        Err(error) if error.is::<MethodNotAllowedError>() => Err(ApiError::MethodNotAllowed),
        Err(error) if error.status().is_client_error() => {
            Err(ApiError::MalformedBody("The request is malformed".to_owned()))
        }
        Err(error) => Err(ApiError::Defect(error.to_string())),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", message.unwrap_or("without a message"))
}

/// Writes the log line of a request. It does not contain the path, which may have a key pasted into it.
fn log(span: &Span, status: StatusCode, took: Duration, failure: Option<&dyn Display>) {
    let _entered = span.enter();
    let status = status.as_u16();
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    match failure {
        None => tracing::info!(target: "claviger", status, micros, "answered"),
        Some(cause) if status >= 500 => tracing::error!(target: "claviger", status, micros, %cause, "failed"),
        Some(cause) => tracing::info!(target: "claviger", status, micros, %cause, "refused"),
    }
}
