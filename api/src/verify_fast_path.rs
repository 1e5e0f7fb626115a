//! The fast path for the most frequent kind of verify: the credential is in one header, the key of the caller is cached and valid,
//! and the body has a simple form. Such a request is answered here, without routing, extraction and a log line; it is counted in
//! the metrics. All other requests are passed unchanged to the full path, which has all rules and all errors.
//!
//! The response is the same as that of the operation: both share the decision and the serialization, and tests send the same
//! requests both ways.

use std::{borrow::Cow, fmt, marker::PhantomData, net::IpAddr, sync::Arc, time::Duration};

use domain::{
    id::OrganizationId,
    permissions::{Permission, Permissions},
    verify::{Requester, VerifyRequest, result::Verdict},
};
use http_body_util::{BodyDataStream, BodyExt};
use hyper::body::{Bytes, Incoming};
use poem::http::{
    self, HeaderMap, HeaderValue, Method, Uri,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use prometheus::{Histogram, IntCounter};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    auth::{authenticator::Authenticator, credentials::key_in_one_header},
    http::{
        api_error::ApiError,
        body::{
            self,
            budget::{BodyBudget, BodyReservation, MAX_UNCOUNTED_BYTES},
        },
        client_ip::ClientAddress,
        json_writer::JsonText,
        request_caller::RequestCaller,
    },
    metrics::Metrics,
    verifier::Verifier,
};

/// The verify operation of a contract.
pub struct FastVerify {
    /// The path of the operation.
    pub path: &'static str,
    /// The operation id.
    pub operation: &'static str,
    /// Reads a body in the simple form. `None`: it has another form, or is invalid.
    pub read: fn(&[u8]) -> Option<ParsedVerify<'_>>,
    /// Writes the body of the response.
    pub write: fn(&Verdict) -> JsonText,
}

/// The cost of a use if the request does not state it.
pub const DEFAULT_COST: u64 = 1;

/// The parsed body of a verify.
#[derive(Debug, PartialEq, Eq)]
pub struct ParsedVerify<'a> {
    /// The secret of the key.
    pub key: Cow<'a, str>,
    /// The permissions that it must have, all of them.
    pub permissions: Permissions,
    /// The organization that it must belong to. `None`: any.
    pub organization: Option<OrganizationId>,
    /// The IP address of its user, for its IP allowlist. `None`: unknown.
    pub from: Option<IpAddr>,
    /// The number of uses that the verify takes from the quota.
    pub cost: u64,
}

impl ParsedVerify<'_> {
    /// The request for the domain.
    #[must_use]
    pub fn to_request(&self) -> VerifyRequest<'_> {
        VerifyRequest {
            secret: &self.key,
            permissions: &self.permissions,
            any_permission: &[],
            organization: self.organization,
            from: self.from,
            cost: self.cost,
        }
    }
}

/// The fast routes of all contracts.
pub struct FastRoutes {
    authenticator: Arc<Authenticator>,
    bodies: Arc<BodyBudget>,
    routes: Vec<FastRoute>,
}

/// The fast route of one contract.
pub struct FastRoute {
    verify: FastVerify,
    verifier: Arc<Verifier>,
    answers: IntCounter,
    seconds: Histogram,
}

impl FastRoute {
    /// The path of the operation.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.verify.path
    }

    /// The operation id.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.verify.operation
    }

    /// Counts a response of the fast path with its duration.
    pub fn count(&self, took: Duration) {
        self.answers.inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

/// The result of the fast path.
pub enum FastPath {
    /// The JSON body of a response with status 200.
    Handled(Vec<u8>),
    /// The request has to take the full path: its head and its body.
    PassThrough(Box<Parts>, PassedBody),
}

/// The body of a request that was not handled by the fast path.
pub enum PassedBody {
    /// It was not read.
    Streaming(Incoming),
    /// It was read completely. `None`: it is so small that it has no reservation in the budget.
    Buffered(Bytes, Option<Arc<BodyReservation>>),
}

impl FastRoutes {
    /// The fast routes of these contracts.
    #[must_use]
    pub fn new(
        authenticator: Arc<Authenticator>,
        bodies: Arc<BodyBudget>,
        metrics: &Metrics,
        contracts: Vec<(FastVerify, Arc<Verifier>)>,
    ) -> Self {
        let route = |(verify, verifier): (FastVerify, _)| FastRoute {
            answers: metrics.request_counter(verify.operation, 200),
            seconds: metrics.duration_histogram(verify.operation),
            verify,
            verifier,
        };
        Self { authenticator, bodies, routes: contracts.into_iter().map(route).collect() }
    }

    /// The fast route of a request. `None`: there is none for its method and path, or the request has a query.
    #[must_use]
    pub fn route(&self, method: &Method, uri: &Uri) -> Option<&FastRoute> {
        let is_plain = method == Method::POST && uri.query().is_none();
        self.routes.iter().find(|route| route.verify.path == uri.path()).filter(|_| is_plain)
    }

    /// Handles a verify in the simple form. `is_reading` says whether it waits for the body, also when it is cancelled.
    ///
    /// # Errors
    /// The database is unavailable, the memory for bodies is used up, or the client did not send the body completely.
    pub async fn answer(
        &self,
        route: &FastRoute,
        request: http::Request<Incoming>,
        address: ClientAddress,
        is_reading: &mut bool,
    ) -> Result<FastPath, ApiError> {
        let (parts, body) = request.into_parts();
        let caller =
            key_in_one_header(&parts.headers).and_then(|text| self.authenticator.authenticate_cached(text, address.0));
        let caller = caller.filter(|caller| caller.allows(&Permission::API_KEYS_VERIFY));
        let Some((caller, length)) = caller.zip(small_json_length(&parts.headers)) else {
            return Ok(FastPath::PassThrough(Box::new(parts), PassedBody::Streaming(body)));
        };
        *is_reading = true;
        let (body, reservation) = if length <= MAX_UNCOUNTED_BYTES {
            (body.collect().await.map_err(|_| body::ended_early())?.to_bytes(), None)
        } else {
            let request_caller = RequestCaller::default();
            request_caller.set(&caller);
            let reservation = Arc::new(self.bodies.reserve(address, request_caller));
            // Boxed, because most bodies are smaller: the fast path should not copy this future.
            let read = Box::pin(body::bounded(BodyDataStream::new(body), body::LIMIT, Some(&reservation))).await?;
            (read.into(), Some(reservation))
        };
        *is_reading = false;
        let is_accessible =
            |asked: &ParsedVerify<'_>| asked.organization.is_none_or(|organization| caller.can_see(organization));
        let Some(asked) = (route.verify.read)(&body).filter(is_accessible) else {
            return Ok(FastPath::PassThrough(Box::new(parts), PassedBody::Buffered(body, reservation)));
        };
        let verdict = route.verifier.verify(Requester::Caller(&caller), asked.to_request()).await?;
        Ok(FastPath::Handled((route.verify.write)(&verdict).into_bytes()))
    }
}

/// The declared length of the body, in bytes. `None`: it is not declared or larger than [`body::LIMIT`], the content type is not
/// exactly JSON, or the body has a content coding.
fn small_json_length(headers: &HeaderMap) -> Option<usize> {
    let header = |name| headers.get(name).map(HeaderValue::as_bytes);
    let length = header(CONTENT_LENGTH).and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
    let is_json = header(CONTENT_TYPE).is_none_or(|value| value.eq_ignore_ascii_case(b"application/json"));
    length.filter(|length| *length <= body::LIMIT && is_json && !headers.contains_key(CONTENT_ENCODING))
}

/// Whether a text has only ASCII letters, digits, `_` and `-`, as secrets have: then it is the same with and without JSON escapes.
#[must_use]
pub fn is_plain_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A `T` that is a JSON object. The derived `Deserialize` of `T` would accept an array of its fields, too.
pub struct StrictBody<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for StrictBody<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = StrictBody<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(StrictBody)
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// Permissions by resource, as (resource, actions), in the order of the JSON object. Duplicate resources are errors.
#[derive(Default)]
pub struct PlainMap<'a>(pub Vec<(&'a str, Vec<&'a str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for PlainMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = PlainMap<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<&str, Vec<&str>>()? {
                    let is_double = entries.iter().any(|(name, _)| *name == entry.0);
                    if is_double || entries.len() == Permissions::MAX {
                        return Err(A::Error::custom("not plain"));
                    }
                    entries.push(entry);
                }
                Ok(PlainMap(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The field `context` of a verify.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainContext<'a> {
    #[serde(borrow)]
    ip: Option<&'a str>,
}

impl PlainContext<'_> {
    /// The field `ip`, not parsed.
    #[must_use]
    pub fn ip(&self) -> Option<&str> {
        self.ip
    }

    /// The IP address. The outer `None`: it is invalid. The inner `None`: it is not stated.
    #[must_use]
    pub fn from(context: Option<&StrictBody<Self>>) -> Option<Option<IpAddr>> {
        context.and_then(|context| context.0.ip).map(str::parse).transpose().ok()
    }
}
