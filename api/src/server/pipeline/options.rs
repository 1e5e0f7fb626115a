//! Requests with the method `OPTIONS`.

use std::time::Instant;

use hyper::body::Incoming;
use poem::{
    Response,
    http::{self, HeaderValue, Method, StatusCode, header::ALLOW},
};

use super::{ConnectionInfo, Pipeline, ResponseBody, into_http, span};
use crate::http::{api_error::ApiError, origin::cors::Cors};

impl<E> Pipeline<E> {
    /// Answers a preflight of an allowed origin (CORS).
    pub(super) fn answer_preflight(
        &self,
        request: &http::Request<Incoming>,
        info: &ConnectionInfo,
    ) -> http::Response<ResponseBody> {
        let (started, path) = (Instant::now(), request.uri().path());
        let request_id = self.request_id(request.headers());
        let span = span(&request_id, request.method(), self.client(info.peer, request.headers()).address);
        let methods = self.operations.allow_header(path).unwrap_or(const { HeaderValue::from_static("") });
        let response = Ok(Cors::answer_preflight(methods));
        into_http(self.finish(response, &span, path, None, request_id, started))
    }

    /// Answers `OPTIONS` of a path that exists, and of the whole service (`*`), with the methods (RFC 9110 §9.3.7), and refuses
    /// `CONNECT`. No operation has these methods.
    pub(super) fn answer_options(
        &self,
        method: &Method,
        path: &str,
        outcome: Result<Response, ApiError>,
    ) -> Result<Response, ApiError> {
        let is_whole = !path.starts_with('/');
        match outcome {
            Err(ApiError::UnknownPath) if *method == Method::CONNECT => Err(ApiError::MethodNotAllowed),
            Err(ApiError::UnknownPath) if *method == Method::OPTIONS && is_whole => Ok(self.allowed_methods(path)),
            Err(ApiError::MethodNotAllowed) if *method == Method::OPTIONS => Ok(self.allowed_methods(path)),
            outcome => outcome,
        }
    }

    /// A response without a body that has the methods of a path.
    fn allowed_methods(&self, path: &str) -> Response {
        let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
        response.headers_mut().extend(self.operations.allow_header(path).map(|methods| (ALLOW, methods)));
        response
    }
}
