//! A request body that is read when the operation says so: after the caller was authenticated and authorized, so that
//! strangers learn nothing from it and cost nothing.

use std::{marker::PhantomData, sync::Arc};

use futures_util::{Stream, StreamExt};
use hyper::body::Bytes;
use poem::{Body, Request, RequestBody, Result, http::header::CONTENT_TYPE};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};

use crate::{
    body_budget::Held,
    failure::Failure,
    json::{self, Members},
    off_thread,
};

/// The most bytes that a body may have.
pub const LIMIT: usize = 64 * 1024;

/// The most bytes that a body may have in an operation on many keys.
pub const BULK_LIMIT: usize = 4 * 1024 * 1024;

/// How much of a body that is too large is still taken in, so that its sender gets to read the answer.
const DRAIN_LIMIT: usize = 2 * BULK_LIMIT;

/// What a body must hold.
pub trait Document: Type + Sized {
    /// The most bytes that it may have.
    const LIMIT: usize = LIMIT;

    /// The most memory that it may take once it is read, in bytes: a few bytes of JSON can stand for many.
    const MEMORY: usize = if Self::LIMIT > LIMIT { 24 * 1024 * 1024 } else { 2 * 1024 * 1024 };

    /// Takes the document's members under their types and ends the reading.
    fn read(members: Members) -> Result<Self, Failure>;

    /// Reads a document in its plainest form, which many send, in fewer steps. `None`: it is not, and may be wrong.
    #[must_use]
    fn read_plain(_: &[u8]) -> Option<Self> {
        None
    }
}

/// A body, not read yet, that must hold a `T`.
pub struct Deferred<T> {
    content_type: Option<Vec<u8>>,
    body: Body,
    held: Option<Arc<Held>>,
    document: PhantomData<fn() -> T>,
}

impl<T: Document + 'static> Deferred<T> {
    /// Reads the body: content type, size, JSON, types, in this order.
    pub async fn read(self) -> Result<T, Failure> {
        Ok(self.read_with_hash().await?.0)
    }

    /// The same, with the BLAKE3 hash of the body as it was sent.
    pub async fn read_with_hash(self) -> Result<(T, [u8; 32]), Failure> {
        let is_json = self.content_type.is_none_or(|value| {
            value
                .split(|byte| *byte == b';')
                .next()
                .is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(b"application/json"))
        });
        if !is_json {
            return Err(Failure::UnsupportedMediaType);
        }
        let held = self.held;
        let bytes = bounded(self.body.into_bytes_stream(), T::LIMIT, held.as_deref()).await?;
        off_thread::run(bytes.len() > LIMIT, move || {
            // A plain document is small; of a large one it could not be said beforehand what it takes.
            let plain = (bytes.len() <= LIMIT).then(|| T::read_plain(&bytes)).flatten();
            let document = if let Some(document) = plain {
                document
            } else {
                let checked = json::check(&bytes, T::MEMORY)?;
                // This thread holds it, too: a request that is given up does not wait for it.
                if let Some(held) = held.as_ref().filter(|_| T::LIMIT > LIMIT) {
                    held.set(bytes.len() + checked.memory())?;
                }
                T::read(Members::of(checked.parse()?)?)?
            };
            Ok((document, *blake3::hash(&bytes).as_bytes()))
        })
        .await
    }
}

/// The client went away or broke off.
#[must_use]
pub fn ended_early() -> Failure {
    Failure::MalformedBody("The body ended early".to_owned())
}

/// Reads a body of at most `limit` bytes; what it takes is held against the budget as it grows.
pub async fn bounded<E>(
    body: impl Stream<Item = Result<Bytes, E>>,
    limit: usize,
    held: Option<&Held>,
) -> Result<Vec<u8>, Failure> {
    let reserve = |bytes| held.map_or(Ok(()), |held| held.set(bytes));
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
    if received > limit { Err(Failure::TooLarge) } else { Ok(bytes) }
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
            content_type: request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes().to_vec()),
            body: body.take()?,
            held: request.data::<Arc<Held>>().cloned(),
            document: PhantomData,
        })
    }
}
