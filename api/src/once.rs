//! Requests that are done once, however often they are sent: `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header). What was done is noted in the transaction that does it, so that a client that
//! has heard nothing can ask again. Whoever repeats a request is authenticated and authorized like the first time, and gets the
//! same answer without its secret.

use std::sync::Arc;

use domain::{
    act::Once,
    caller::{Caller, Who},
    clock::Clock,
    ports,
};
use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef},
    types::Type,
};

use crate::failure::{Failure, Fields};

const HEADER: &str = "Idempotency-Key";

/// The most characters of a client's word.
const MOST: usize = 255;

/// Separates these hashes from every other use of BLAKE3.
const CONTEXT: &str = "claviger 2026-11-21 idempotency key";

/// What a request says about its repetitions.
pub struct Repeatable {
    /// `None`: nothing. An error: something that cannot be a word for it.
    word: Option<std::result::Result<String, ()>>,
    /// Method and path.
    place: String,
}

impl<'a> ApiExtractor<'a> for Repeatable {
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
        let mut words = request.headers().get_all(HEADER).iter();
        let word = match (words.next(), words.next()) {
            (None, _) => None,
            (Some(word), None) => Some(word.to_str().map_err(|_| ()).and_then(plain)),
            (Some(_), Some(_)) => Some(Err(())),
        };
        Ok(Self { word, place: format!("{} {}", request.method(), request.uri().path()) })
    }
}

/// The word with or without the quotes that the draft writes it in.
fn plain(text: &str) -> std::result::Result<String, ()> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_plain = (1..=MOST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(text.to_owned()) } else { Err(()) }
}

impl Repeatable {
    /// What tells the request from others. `None`: the client says nothing.
    fn of(&self, caller: &Caller, body: [u8; 32]) -> Result<Option<Once>, Failure> {
        let Some(word) = &self.word else { return Ok(None) };
        let wrong =
            || Failure::Invalid(Fields::one(HEADER, format_args!("must be 1 to {MOST} visible ASCII characters")));
        let word = word.as_deref().map_err(|()| wrong())?;
        let who = match &caller.who {
            Who::Key(key) => key.id().uuid(),
            Who::Person(person) => person.user.uuid(),
        };
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        // The path has no space, and the identifier's length is fixed.
        hasher.update(who.as_bytes()).update(self.place.as_bytes()).update(b" ").update(word.as_bytes());
        Ok(Some(Once { scope: *hasher.finalize().as_bytes(), body }))
    }
}

/// The memory of requests that were done.
pub struct Repeats {
    /// What is kept.
    pub stored: Arc<dyn ports::Repeats>,
    /// When.
    pub clock: Arc<dyn Clock>,
}

/// Whether a request is to be done.
pub enum Turn {
    /// Yes, and noted as this.
    First(Option<Once>),
    /// It was; this was answered.
    Again(String),
}

impl Repeats {
    /// Whose turn it is, after the caller was found to be allowed to do it.
    ///
    /// # Errors
    /// A word that is none; [`domain::Error::OtherBody`]; [`domain::Error::InFlight`]; the database is away.
    pub async fn turn(&self, asked: &Repeatable, caller: &Caller, body: [u8; 32]) -> Result<Turn, Failure> {
        let Some(once) = asked.of(caller, body)? else { return Ok(Turn::First(None)) };
        Ok(match self.stored.find(&once, self.clock.now()).await? {
            Some(answer) => Turn::Again(answer),
            None => Turn::First(Some(once)),
        })
    }

    /// Keeps the answer to a request that was done, without its secrets.
    pub async fn keep(&self, once: &Once, answer: &str) {
        if let Err(error) = self.stored.keep(once, answer).await {
            // It was done all the same; who repeats it is told that its answer is lost.
            tracing::warn!(target: "claviger", %error, "the answer to a request could not be kept");
        }
    }
}
