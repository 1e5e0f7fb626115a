//! Request bodies that are read after the caller was authenticated and authorized: unauthorized callers get no information from
//! validation errors, and their bodies take no memory.
pub mod budget;
pub mod form;
pub mod lent;

use std::{marker::PhantomData, sync::Arc};

use futures_util::{Stream, StreamExt};
use hyper::body::Bytes;
use poem::{
    Body, Request, RequestBody, Result,
    http::{
        HeaderValue, Method,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
    web::headers::{ContentLength, HeaderMapExt},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};

use crate::{
    http::{
        api_error::ApiError,
        body::budget::BodyReservation,
        strict_json::{self, JsonFields},
    },
    process::off_thread,
};

/// The maximum size of a body, in bytes.
pub const LIMIT: usize = 64 * 1024;

/// The maximum size of a body of an operation on many keys, in bytes.
pub const BULK_LIMIT: usize = 4 * 1024 * 1024;

/// How much of a body that is too large is read and discarded, in bytes, so that the client can read the response.
const DRAIN_LIMIT: usize = 2 * BULK_LIMIT;

/// The type of a JSON body.
pub trait Document: Type + Sized {
    /// The maximum size of the body, in bytes.
    const LIMIT: usize = LIMIT;

    /// The maximum memory of the parsed document, in bytes: it can be many times larger than its JSON.
    const MEMORY: usize = if Self::LIMIT > LIMIT { 24 * 1024 * 1024 } else { 2 * 1024 * 1024 };

    /// Takes all fields of the document, and validates their types.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] with all fields that are wrong.
    fn read(members: JsonFields) -> Result<Self, ApiError>;

    /// Reads the most frequent form of the document faster. `None`: it has another form, or is invalid; [`Document::read`]
    /// decides.
    #[must_use]
    fn read_plain(_: &[u8]) -> Option<Self> {
        None
    }
}

/// The unread body of a request, which must be a JSON document of type `T`.
pub struct Deferred<T> {
    media_type: Result<(), ApiError>,
    /// The declared length, in bytes. `None`: it is not declared.
    length: Option<u64>,
    body: Body,
    reservation: Option<Arc<BodyReservation>>,
    document: PhantomData<fn() -> T>,
}

impl<T: Document + 'static> Deferred<T> {
    /// Reads the body, and checks content type and coding, size, JSON and types, in this order. A body whose declared length is too
    /// large is not read: a client that sent `Expect: 100-continue` gets no `100 Continue`.
    ///
    /// # Errors
    /// [`ApiError::UnsupportedMediaType`], [`ApiError::UnsupportedEncoding`], [`ApiError::TooLarge`], [`ApiError::MalformedBody`],
    /// [`ApiError::Invalid`], or [`ApiError::Busy`] if the memory for bodies is used up.
    pub async fn read(self) -> Result<T, ApiError> {
        Ok(self.read_with_hash().await?.0)
    }

    /// As [`Deferred::read`], with the BLAKE3 hash of the body as it was sent.
    pub async fn read_with_hash(self) -> Result<(T, [u8; 32]), ApiError> {
        self.media_type?;
        if self.length.is_some_and(|length| length > T::LIMIT as u64) {
            return Err(ApiError::TooLarge { limit: T::LIMIT });
        }
        let reservation = self.reservation;
        let bytes = bounded(self.body.into_bytes_stream(), T::LIMIT, reservation.as_deref()).await?;
        off_thread::run(bytes.len() > LIMIT, move || {
            // Only for small bodies, because the fast reader does not limit the memory of the document.
            let plain = (bytes.len() <= LIMIT).then(|| T::read_plain(&bytes)).flatten();
            let document = if let Some(document) = plain {
                document
            } else {
                let checked = strict_json::check(&bytes, T::MEMORY)?;
                // This thread keeps the reservation, too, because it continues if the request is cancelled.
                if let Some(reservation) = &reservation {
                    let bytes = bytes.len() + checked.memory();
                    if T::LIMIT > LIMIT { reservation.set(bytes)? } else { reservation.set_small(bytes)? }
                }
                T::read(JsonFields::of(checked.parse()?)?)?
            };
            Ok((document, *blake3::hash(&bytes).as_bytes()))
        })
        .await
    }
}

/// Checks that a body is declared as JSON, or not declared, and that it has no content coding. An update may be declared as a JSON
/// Merge Patch (RFC 7396), which it is.
fn check_media_type(request: &Request) -> Result<(), ApiError> {
    let is_accepted = |value: &HeaderValue| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        essence.eq_ignore_ascii_case(b"application/json")
            || request.method() == Method::PATCH && essence.eq_ignore_ascii_case(b"application/merge-patch+json")
    };
    if !request.headers().get(CONTENT_TYPE).is_none_or(is_accepted) {
        return Err(ApiError::UnsupportedMediaType);
    }
    check_coding(request)
}

/// Checks that a body has no content coding.
fn check_coding(request: &Request) -> Result<(), ApiError> {
    let is_identity = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    if request.headers().get_all(CONTENT_ENCODING).iter().all(is_identity) {
        Ok(())
    } else {
        Err(ApiError::UnsupportedEncoding)
    }
}

/// The error for a body that the client did not send completely.
#[must_use]
pub fn ended_early() -> ApiError {
    ApiError::MalformedBody("The body ended early".to_owned())
}

/// Reads a body of at most `limit` bytes. Its memory is reserved in the budget as it grows. `reservation`: `None` to reserve
/// nothing.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::MalformedBody`] if it ended early, [`ApiError::Busy`] if the budget is used up.
pub async fn bounded<E>(
    body: impl Stream<Item = Result<Bytes, E>>,
    limit: usize,
    reservation: Option<&BodyReservation>,
) -> Result<Vec<u8>, ApiError> {
    let reserve = |bytes| reservation.map_or(Ok(()), |reservation| reservation.set(bytes));
    let mut bytes = Vec::new();
    let mut received = 0;
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| ended_early())?;
        received += chunk.len();
        if received <= limit {
            if received > bytes.capacity() {
                let capacity = received.max(2 * bytes.capacity()).min(limit);
                reserve(capacity)?;
                bytes.reserve_exact(capacity - bytes.len());
            }
            bytes.extend_from_slice(&chunk);
        } else if received > DRAIN_LIMIT {
            break;
        } else {
            bytes = Vec::new();
            reserve(0)?;
        }
    }
    if received > limit { Err(ApiError::TooLarge { limit }) } else { Ok(bytes) }
}

impl<'a, T: Document> ApiExtractor<'a> for Deferred<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        Ok(Self {
            media_type: check_media_type(request),
            length: request.headers().typed_get::<ContentLength>().map(|length| length.0),
            body: body.take()?,
            reservation: request.data::<Arc<BodyReservation>>().cloned(),
            document: PhantomData,
        })
    }
}
