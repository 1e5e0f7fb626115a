//! Requests of gateways, which have any method and, below `/forward-auth`, any path. Those with another path are refused.

use std::{fmt::Display, time::Instant};

use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use poem::{
    Endpoint,
    http::{self, HeaderValue, Method, Version, header::EXPECT},
};
use tracing::field::display;

use super::{ConnectionInfo, Pipeline, ResponseBody, ext_authz, log, request_head, span, text};
use crate::{
    forward_auth::{Answer, ForwardAuth, Question, Transport, VisitorRequest, is_of_gateway},
    http::{
        api_error::ApiError,
        body::{self, lent::lend},
        client_ip::{AddressSource, ClientAddress},
    },
};

/// An answer to a gateway, and why the request could not be decided. `None`: it was.
pub(super) type Decided = (Answer, Option<ApiError>);

/// Whether a request is of a gateway that asks in the way that is served here.
pub(super) fn is_asked(forward_auth: &ForwardAuth, request: &http::Request<Incoming>) -> bool {
    match forward_auth.transport {
        Transport::Http => is_of_gateway(request.uri().path(), request.headers()),
        Transport::Grpc => ext_authz::is_check(request),
    }
}

impl<E: Endpoint> Pipeline<E> {
    /// Answers a request of a gateway. Returns the response, and whether a part of the request's body is unread. A request that is
    /// allowed has no log line.
    pub(super) async fn respond_gateway(
        &self,
        forward_auth: &ForwardAuth,
        request: http::Request<Incoming>,
        info: &ConnectionInfo,
        started: Instant,
    ) -> (http::Response<ResponseBody>, bool) {
        match forward_auth.transport {
            Transport::Http => self.respond_forward_auth(forward_auth, request, info, started).await,
            Transport::Grpc => Box::pin(self.respond_ext_authz(forward_auth, request, info, started)).await,
        }
    }

    async fn respond_forward_auth(
        &self,
        forward_auth: &ForwardAuth,
        request: http::Request<Incoming>,
        info: &ConnectionInfo,
        started: Instant,
    ) -> (http::Response<ResponseBody>, bool) {
        let accepted = if info.is_reserved { Err(ApiError::Busy) } else { request_head::check_host(&request) };
        let (head, body) = request.into_parts();
        let accepted = accepted.and_then(|()| request_head::check_transfer_encoding(&head.headers));
        let request_id = self.request_id(&head.headers);
        let question = forward_auth.read(&head, info.peer, &self.proxies);
        if question.client.is_behind_untrusted_proxy(&head.headers) {
            self.metrics.untrusted_forwarding.inc();
        }
        let visitor = VisitorRequest { method: &head.method, headers: &head.headers };
        let (mut answer, failure) = self.decide(forward_auth, &question, visitor, accepted, &request_id, started).await;
        let mut response = http::Response::new(Either::Left(Full::from(std::mem::take(&mut answer.body))));
        *response.status_mut() = answer.status;
        *response.headers_mut() = std::mem::take(&mut answer.headers);
        self.add_common_headers(response.headers_mut(), request_id.clone());
        let is_left = is_left(body, &head).await;
        let decided = (answer, failure);
        self.record_decision(forward_auth, &decided, (&request_id, &head.method, question.client.address), started);
        (response, is_left)
    }

    /// Decides about a request of a gateway, within the time limit. `accepted`: whether its head is correct, and the service is not
    /// overloaded.
    pub(super) async fn decide(
        &self,
        forward_auth: &ForwardAuth,
        question: &Question,
        visitor: VisitorRequest<'_>,
        accepted: Result<(), ApiError>,
        request_id: &HeaderValue,
        started: Instant,
    ) -> Decided {
        if question.client.source == AddressSource::UnreadableHeader {
            self.metrics.unreadable_forwarding.inc();
        }
        let decided = async {
            accepted?;
            forward_auth.answer(question, visitor, text(request_id)).await
        };
        match self.with_limits(started, decided).await {
            Ok(answer) => (answer, None),
            Err(failure) => {
                self.observe(Some(&failure));
                (forward_auth.fail(question, &failure, text(request_id)), Some(failure))
            }
        }
    }

    /// Counts an answer to a gateway, and writes the log line if it refuses the request. `about`: the request id, the method, and
    /// the address of the visitor.
    pub(super) fn record_decision(
        &self,
        forward_auth: &ForwardAuth,
        (answer, failure): &Decided,
        (request_id, method, address): (&HeaderValue, &Method, ClientAddress),
        started: Instant,
    ) {
        let took = started.elapsed();
        let Some(cause) = &answer.cause else { return forward_auth.count_allowed(took) };
        let operation = forward_auth.transport.operation();
        let span = span(request_id, method, address);
        span.record("operation", operation);
        if let Some((key, organization)) = answer.key {
            span.record("key_id", display(key));
            span.record("org_id", display(organization));
        }
        let cause = failure.as_ref().map_or(cause as &dyn Display, |failure| failure);
        log(&span, answer.status, took, Some(cause));
        self.metrics.request_counter(operation, answer.status.as_u16()).inc();
        self.metrics.duration_histogram(operation).observe(took.as_secs_f64());
    }
}

/// Whether a part of the body is left, so that an HTTP/1 connection has to be closed. A small body is read and discarded.
async fn is_left(body: Incoming, head: &http::request::Parts) -> bool {
    if body.is_end_stream() || head.version == Version::HTTP_2 {
        return false;
    }
    // A client that sends `Expect: 100-continue` waits for the response before it sends the body.
    let small = if head.headers.contains_key(EXPECT) { 0 } else { body::LIMIT as u64 };
    let (body, back) = lend(body);
    drop(body);
    back.is_left(small).await
}
