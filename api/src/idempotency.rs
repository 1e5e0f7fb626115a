//! Idempotency keys: `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header). That a request was executed is recorded in
//! its own transaction, so a client that got no response can repeat the request. A repeated request is authenticated and
//! authorized again, and gets the first response without the secret.

pub mod response;

use std::{fmt, future::Future, sync::Arc};

use domain::{Error, audit::context::IdempotencyKey, clock::Clock, ports};
use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef},
    types::Type,
};

use crate::{
    auth::authorized::RequestAuthorization,
    http::{
        api_error::{ApiError, Fields},
        body::{Deferred, Document},
    },
    idempotency::response::{Idempotent, StoredResponse},
    process::off_thread,
};

/// The header with the key.
pub const HEADER: &str = "Idempotency-Key";

/// The description of the header in the OpenAPI document.
pub const DESCRIPTION: &str = "Idempotency key. A repeated request with the same key within 12 hours is not executed again; it \
    gets the\nfirst response, without its secret.";

/// Maximum length of an idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// Separates these hashes from every other use of BLAKE3.
const HASH_CONTEXT: &str = "claviger 2026-11-21 idempotency key";

/// The stored responses to requests with an idempotency key. Every request has it as data.
pub struct IdempotencyService {
    /// The idempotency records in the database.
    pub records: Arc<dyn ports::IdempotencyRecords>,
    /// The clock, by which records expire.
    pub clock: Arc<dyn Clock>,
}

impl IdempotencyService {
    /// The stored response to the request with this key, if it was executed.
    async fn find(&self, key: Option<&IdempotencyKey>) -> Result<Option<String>, ApiError> {
        let Some(key) = key else { return Ok(None) };
        Ok(self.records.find(key, self.clock.now()).await?)
    }

    /// Stores the response to a request that was executed, without its secrets.
    async fn store(&self, key: &IdempotencyKey, response: &str) {
        if let Err(error) = self.records.store_response(key, response).await {
            // The request was executed. A repeated one gets a 409 that says that the response was lost.
            tracing::warn!(target: "claviger", %error, "storing the response to an idempotency key failed");
        }
    }
}

/// The header `Idempotency-Key` of a request. An operation that takes it responds with an [`Idempotent`], which only
/// [`IdempotencyHeader::run`] makes.
pub struct IdempotencyHeader {
    /// `None`: no header.
    key: Option<std::result::Result<String, InvalidKey>>,
    /// Method and path, separated by a space.
    endpoint: String,
    service: Arc<IdempotencyService>,
}

/// What is wrong with the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InvalidKey {
    /// It is no idempotency key.
    Malformed,
    /// There are several of them.
    Repeated,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                write!(f, "must be 1 to {MAX_KEY_BYTES} visible ASCII characters, with a quote at both ends or at none")
            }
            Self::Repeated => f.write_str("must be sent only once"),
        }
    }
}

impl<'a> ApiExtractor<'a> for IdempotencyHeader {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = false;

    type ParamType = Option<String>;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(String::schema_ref())
    }

    fn param_raw_type(&self) -> Option<&Self::ParamRawType> {
        None
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        let mut keys = request.headers().get_all(HEADER).iter();
        let key = match (keys.next(), keys.next()) {
            (None, _) => None,
            (Some(key), None) => Some(key.to_str().ok().and_then(parse).ok_or(InvalidKey::Malformed)),
            (Some(_), Some(_)) => Some(Err(InvalidKey::Repeated)),
        };
        let service = request.data::<Arc<IdempotencyService>>().expect("every request has the service as data").clone();
        // Ids in a path may be written in upper case.
        let path = request.uri().path().to_ascii_lowercase();
        Ok(Self { key, endpoint: format!("{} {path}", request.method()), service })
    }
}

/// Validates the key. The quotes of the draft are optional. `None`: it is invalid.
fn parse(text: &str) -> Option<String> {
    let key = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    let is_valid = (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    (is_valid && !key.ends_with('"')).then(|| key.to_owned())
}

impl IdempotencyHeader {
    /// Reads the body and executes the request, unless it was executed before: then the stored response is returned. `execute`
    /// gets the authorization with the idempotency key, which the use cases record with what they change.
    ///
    /// # Errors
    /// Those of [`Deferred::read`] and of `execute`; an invalid header; [`Error::IdempotencyKeyReused`] if the key was used with another
    /// body; [`Error::IdempotentRequestInProgress`] while the same request is being executed, or if its response was lost;
    /// [`Error::IdempotentResponseNotStored`] if its response was too large to be stored; [`Error::Outage`].
    pub async fn run<P, B, D, T, F>(
        self,
        authorization: P,
        body: Deferred<B>,
        execute: impl FnOnce(P::Granted, B) -> F,
    ) -> Result<Idempotent<T>, ApiError>
    where
        P: RequestAuthorization,
        B: Document + 'static,
        F: Future<Output = Result<D, ApiError>>,
        D: Send + 'static,
        T: From<D> + StoredResponse,
    {
        let (body, hash) = body.read_with_hash().await?;
        self.run_hashed(authorization, hash, |granted| execute(granted, body)).await
    }

    /// As [`IdempotencyHeader::run`], for a request without a body.
    ///
    /// # Errors
    /// Those of [`IdempotencyHeader::run`].
    pub async fn run_without_body<P, D, T, F>(
        self,
        authorization: P,
        execute: impl FnOnce(P::Granted) -> F,
    ) -> Result<Idempotent<T>, ApiError>
    where
        P: RequestAuthorization,
        F: Future<Output = Result<D, ApiError>>,
        D: Send + 'static,
        T: From<D> + StoredResponse,
    {
        self.run_hashed(authorization, [0; 32], execute).await
    }

    async fn run_hashed<P, D, T, F>(
        self,
        authorization: P,
        body: [u8; 32],
        execute: impl FnOnce(P::Granted) -> F,
    ) -> Result<Idempotent<T>, ApiError>
    where
        P: RequestAuthorization,
        F: Future<Output = Result<D, ApiError>>,
        D: Send + 'static,
        T: From<D> + StoredResponse,
    {
        let key = self.key(authorization.principal(), body)?;
        if let Some(response) = self.service.find(key.as_ref()).await? {
            return Ok(Idempotent::replayed(response));
        }
        match execute(authorization.grant(key)).await {
            Ok(done) => Ok(self.respond(key.as_ref(), done).await),
            Err(error @ ApiError::Domain(Error::Outage(_))) => Err(error),
            // The same request may have been executed meanwhile: the name is in use now, or the key is not deleted any more.
            Err(error @ ApiError::Domain(_)) => match self.service.find(key.as_ref()).await? {
                Some(response) => Ok(Idempotent::replayed(response)),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// The response to a request that was executed now. It is stored without its secrets, if the request has a key.
    async fn respond<D, T>(&self, key: Option<&IdempotencyKey>, done: D) -> Idempotent<T>
    where
        D: Send + 'static,
        T: From<D> + StoredResponse,
    {
        let is_stored = key.is_some();
        let write = move || {
            let mut response = T::from(done).to_json().unwrap_or_default();
            let text = response.to_string();
            let stored = is_stored.then(|| {
                T::SECRETS.remove(&mut response);
                response.to_string()
            });
            (text, stored)
        };
        let (text, stored) = off_thread::run(T::IS_LONG, write).await;
        if let (Some(key), Some(stored)) = (key, stored) {
            self.service.store(key, &stored).await;
        }
        Idempotent::first(text)
    }

    /// The key, scoped to the sender and the endpoint. `body`: the hash of the body. `None`: the request has no key.
    fn key(&self, principal: [u8; 16], body: [u8; 32]) -> Result<Option<IdempotencyKey>, ApiError> {
        let Some(key) = &self.key else { return Ok(None) };
        let key = key.as_deref().map_err(|invalid| ApiError::Invalid(Fields::one(HEADER, invalid)))?;
        let mut hasher = blake3::Hasher::new_derive_key(HASH_CONTEXT);
        // The path has no space, and the principal's length is fixed.
        hasher.update(&principal).update(self.endpoint.as_bytes()).update(b" ").update(key.as_bytes());
        let max_per_hour = self.service.records.max_per_hour();
        Ok(Some(IdempotencyKey { scope: *hasher.finalize().as_bytes(), body, max_per_hour }))
    }
}
