//! A request body that is read when the operation says so: after the caller was authenticated and authorized, so that
//! strangers learn nothing from it and cost nothing.

use std::marker::PhantomData;

use futures_util::StreamExt;
use poem::{Body, Request, RequestBody, Result, http::header::CONTENT_TYPE};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};

use crate::{
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
        let bytes = bounded(self.body, T::LIMIT).await?;
        off_thread::run(bytes.len() > LIMIT, move || {
            let document = match T::read_plain(&bytes) {
                Some(document) => document,
                None => T::read(Members::of(json::parse(&bytes)?)?)?,
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

async fn bounded(body: Body, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut received = 0;
    let mut stream = body.into_bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| ended_early())?;
        received += chunk.len();
        if received <= limit {
            bytes.extend_from_slice(&chunk);
        } else if received > DRAIN_LIMIT {
            break;
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
            document: PhantomData,
        })
    }
}
