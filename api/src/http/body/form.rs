//! Request bodies that are forms (`application/x-www-form-urlencoded`), as OAuth 2.0 requires them (RFC 6749 appendix B).

use std::{marker::PhantomData, sync::Arc};

use percent_encoding::percent_decode;
use poem::{
    Body, Request, RequestBody, Result,
    http::{HeaderValue, header::CONTENT_TYPE},
    web::headers::{ContentLength, HeaderMapExt},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types,
};

use super::{LIMIT, bounded, budget::BodyReservation, check_coding};
use crate::http::api_error::{ApiError, Fields};

/// The media type of forms.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// The maximum number of parameters of a form.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a form, each at most once. One without a value counts as absent (RFC 6749 §3.1).
#[derive(Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Parses a form.
    ///
    /// # Errors
    /// [`ApiError::Invalid`]: a parameter is repeated or not UTF-8, or there are more than 64.
    fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        let invalid = |name: &str, wrong: &str| Err(ApiError::Invalid(Fields::one(name, wrong)));
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == MAX_PARAMETERS {
                return invalid("body", "has more than 64 parameters; send only those of the operation");
            }
            let end = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = end.map_or((pair, &[][..]), |end| (&pair[..end], &pair[end + 1..]));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                return invalid("body", "is not UTF-8; percent-encode the UTF-8 bytes of names and values");
            };
            if parameters.iter().any(|(known, _)| *known == name) {
                // Only names of this service are short; another one is not repeated.
                let name = if name.len() <= 64 { name.as_str() } else { "a parameter" };
                return invalid(name, "must be given only once");
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter. `None`: it is absent or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The value of a parameter that must not be absent.
    ///
    /// # Errors
    /// [`ApiError::Invalid`].
    pub fn require(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::Invalid(Fields::one(name, "is required")))
    }
}

/// Decodes a name or a value of a form, in which `+` is a space. `None`: it is not UTF-8.
#[must_use]
pub fn decode(text: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).decode_utf8().ok().map(Into::into)
}

/// The unread body of a request, which must be a form. `S` is its schema in the OpenAPI document.
pub struct DeferredForm<S> {
    media_type: Result<(), ApiError>,
    length: Option<u64>,
    body: Body,
    reservation: Option<Arc<BodyReservation>>,
    schema: PhantomData<fn() -> S>,
}

impl<S> DeferredForm<S> {
    /// Whether the body is declared as a form.
    #[must_use]
    pub fn is_form(&self) -> bool {
        self.media_type.is_ok()
    }

    /// Reads the body: at most 64 KiB.
    ///
    /// # Errors
    /// [`ApiError::UnsupportedMediaType`], [`ApiError::UnsupportedEncoding`], [`ApiError::TooLarge`], [`ApiError::MalformedBody`],
    /// [`ApiError::Invalid`], or [`ApiError::Busy`] if the memory for bodies is used up.
    pub async fn read(self) -> Result<Form, ApiError> {
        self.media_type?;
        if self.length.is_some_and(|length| length > LIMIT as u64) {
            return Err(ApiError::TooLarge { limit: LIMIT });
        }
        let bytes = bounded(self.body.into_bytes_stream(), LIMIT, self.reservation.as_deref()).await?;
        Form::parse(&bytes)
    }
}

fn check_media_type(request: &Request) -> Result<(), ApiError> {
    let sent = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = sent.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(FORM.as_bytes()) {
        return Err(ApiError::UnsupportedMediaType);
    }
    check_coding(request)
}

impl<'a, S: types::Type> ApiExtractor<'a> for DeferredForm<S> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        S::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: FORM, schema: S::schema_ref() }];
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
            schema: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_each_parameter_once() {
        let form = Form::parse(b"a=1&b=x+y%2Bz&&c&d=&e=%C3%A9&f=1=2").expect("valid");
        let found = ["a", "b", "c", "d", "e", "f", "g"].map(|name| form.get(name));
        assert_eq!(found, [Some("1"), Some("x y+z"), None, None, Some("é"), Some("1=2"), None]);
        assert!(Form::parse(b"").expect("empty").get("a").is_none());
        for wrong in [&b"a=1&a=1"[..], b"a=1&a=", b"a=1&%61=1", b"a=%ff", b"%ff=1", b"a=\xff"] {
            assert!(matches!(Form::parse(wrong), Err(ApiError::Invalid(_))), "{wrong:?}");
        }
        let many = |count: usize| (0..count).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        assert!(Form::parse(many(MAX_PARAMETERS).as_bytes()).is_ok());
        assert!(Form::parse(many(MAX_PARAMETERS + 1).as_bytes()).is_err());
    }
}
