//! Checks of Envoy over gRPC. The message is read within the same bounds as other bodies; then it is a request of a gateway as any
//! other. A message that cannot be read is answered with a status of gRPC, which Envoy takes for an error of this service.

use std::{io, net::IpAddr, time::Instant};

use envoy_types::ext_authz::v3::pb::{CheckRequest, CheckResponse};
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use poem::{
    Endpoint,
    http::{self, Method, StatusCode, Version, header::CONTENT_TYPE},
};
use tonic::{
    Code, Request, Response, Status,
    metadata::MetadataMap,
    server::{Grpc, UnaryService},
};
use tonic_prost::ProstCodec;

use super::{ConnectionInfo, Pipeline, ResponseBody, log, span};
use crate::{
    forward_auth::{
        ForwardAuth,
        ext_authz::{self, Check, PATH},
    },
    http::{api_error::ApiError, body, client_ip::ClientAddress, request_caller::RequestCaller},
};

/// The maximum size of a message, in bytes. Envoy accepts 60 KiB of headers of a visitor, unless it is set to accept more.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// The length of the prefix of a message, in bytes.
const PREFIX_BYTES: usize = 5;

/// Whether a request is a call of the method that checks requests.
pub(super) fn is_check(request: &http::Request<Incoming>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    request.version() == Version::HTTP_2
        && request.method() == Method::POST
        && request.uri().path() == PATH
        && [&b"application/grpc"[..], b"application/grpc+proto"].contains(&content_type)
}

/// The method that checks requests, for one call.
struct CheckCall<'a, E> {
    pipeline: &'a Pipeline<E>,
    forward_auth: &'a ForwardAuth,
    peer: IpAddr,
    started: Instant,
}

impl<'a, E: Endpoint> UnaryService<CheckRequest> for CheckCall<'a, E> {
    type Response = CheckResponse;
    type Future = BoxFuture<'a, Result<Response<CheckResponse>, Status>>;

    fn call(&mut self, request: Request<CheckRequest>) -> Self::Future {
        let Self { pipeline, forward_auth, peer, started } = *self;
        let (metadata, _, message) = request.into_parts();
        Box::pin(async move { Ok(Response::new(pipeline.check(forward_auth, metadata, message, peer, started).await)) })
    }
}

impl<E: Endpoint> Pipeline<E> {
    /// Answers a call of the method that checks requests. Nothing of the request's body is left that would matter to a connection
    /// with HTTP/2.
    pub(super) async fn respond_ext_authz(
        &self,
        forward_auth: &ForwardAuth,
        request: http::Request<Incoming>,
        info: &ConnectionInfo,
        started: Instant,
    ) -> (http::Response<ResponseBody>, bool) {
        let (head, body) = request.into_parts();
        let request_id = self.request_id(&head.headers);
        let reservation = self.bodies.reserve(ClientAddress(info.peer), RequestCaller::default());
        let reading = async {
            if info.is_reserved {
                return Err(ApiError::Busy);
            }
            body::bounded(body.into_data_stream(), PREFIX_BYTES + MAX_MESSAGE_BYTES, Some(&reservation)).await
        };
        let response = match self.with_limits(started, reading).await {
            Ok(bytes) => {
                let call = CheckCall { pipeline: self, forward_auth, peer: info.peer, started };
                let request = http::Request::from_parts(head, Full::new(Bytes::from(bytes)));
                let mut grpc = Grpc::new(ProstCodec::<CheckResponse, CheckRequest>::default())
                    .apply_max_message_size_config(Some(MAX_MESSAGE_BYTES), None);
                grpc.unary(call, request).await
            }
            Err(failure) => {
                self.observe(Some(&failure));
                status(&failure).into_http()
            }
        };
        if let Some(status) = response.extensions().get::<Status>() {
            let (span, operation) =
                (span(&request_id, &Method::POST, ClientAddress(info.peer)), forward_auth.transport.operation());
            span.record("operation", operation);
            let (took, equivalent) = (started.elapsed(), equivalent(status.code()));
            log(&span, equivalent, took, Some(&status.message()));
            self.metrics.request_counter(operation, equivalent.as_u16()).inc();
            self.metrics.duration_histogram(operation).observe(took.as_secs_f64());
        }
        (into_response(response).await, false)
    }

    async fn check(
        &self,
        forward_auth: &ForwardAuth,
        metadata: MetadataMap,
        message: CheckRequest,
        peer: IpAddr,
        started: Instant,
    ) -> CheckResponse {
        let (check, accepted) = match Check::read(message) {
            Ok(check) => (check, Ok(())),
            Err(failure) => (Check::default(), Err(failure)),
        };
        let visitor = check.request();
        let request_id = self.request_id(visitor.headers);
        let question = forward_auth.read_check(&metadata.into_headers(), &check, peer, &self.proxies);
        let mut decided = self.decide(forward_auth, &question, visitor, accepted, &request_id, started).await;
        let about = (&request_id, visitor.method, question.client.address);
        self.record_decision(forward_auth, &decided, about, started);
        if decided.0.cause.is_some() {
            self.add_common_headers(&mut decided.0.headers, request_id);
        }
        ext_authz::response(decided.0, &check)
    }
}

/// The status of gRPC for a message that was not read.
fn status(failure: &ApiError) -> Status {
    match failure {
        ApiError::TooLarge { limit } => {
            Status::resource_exhausted(format!("the message is larger than {} bytes", limit - PREFIX_BYTES))
        }
        ApiError::Busy => Status::unavailable("the service is overloaded; try again later"),
        ApiError::Timeout | ApiError::BodyTimeout => Status::deadline_exceeded("the message did not arrive in time"),
        ApiError::MalformedBody(message) => Status::invalid_argument(message.as_str()),
        _ => Status::internal("the message could not be read"),
    }
}

/// The status of HTTP that says the same, for the log and the metrics.
fn equivalent(code: Code) -> StatusCode {
    match code {
        Code::ResourceExhausted | Code::OutOfRange => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The response with its whole body: one small message and the trailers.
async fn into_response(response: http::Response<tonic::body::Body>) -> http::Response<ResponseBody> {
    let (head, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => http::Response::from_parts(head, Either::Right(body.map_err(|never| match never {}).boxed())),
        Err(status) => {
            let empty: http::Response<Full<Bytes>> = status.into_http();
            empty.map(|body| Either::Right(body.map_err(io::Error::other).boxed()))
        }
    }
}
