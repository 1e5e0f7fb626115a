//! Versions of keys in HTTP: the header `ETag` of responses, and `If-Match` of requests.

use poem::{
    IntoResponse, Request, RequestBody, Response, Result,
    http::{
        HeaderMap, HeaderValue,
        header::{ETAG, IF_MATCH},
    },
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions,
    registry::{MetaHeader, MetaParamIn, MetaResponses, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};

use crate::http::contract::{Success, header};

/// The header of a request that is only executed if the key has one of these versions (RFC 9110 §13.1.1). A tag is a version, in
/// quotes or not. A weak tag (`W/"3"`) is the same version: proxies that compress responses make tags weak, and the version of a
/// key does not depend on the form of a response.
pub struct IfMatch(Option<Vec<u64>>);

impl IfMatch {
    /// Reads the header. Tags that are not versions match no version. Several headers are one list.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(IF_MATCH).iter().peekable();
        if lines.peek().is_none() {
            return Self(None);
        }
        let values = lines.map(|line| line.to_str().unwrap_or_default().trim());
        let mut versions = Vec::new();
        for text in values {
            if text == "*" {
                return Self(None);
            }
            versions.extend(text.split(',').filter_map(version));
        }
        Self(Some(versions))
    }

    /// The versions. `None`: any version.
    #[must_use]
    pub fn versions(&self) -> Option<&[u64]> {
        self.0.as_deref()
    }
}

/// The version that a tag names. `None`: it names none.
fn version(tag: &str) -> Option<u64> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
    number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))
}

impl<'a> ApiExtractor<'a> for IfMatch {
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
        Ok(Self::of(request.headers()))
    }
}

/// The value of `ETag` for a version.
///
/// # Panics
/// Never: a number is a valid header.
#[must_use]
pub fn entity_tag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("a number is plain text")
}

/// The documentation of `ETag`.
#[must_use]
pub fn entity_tag_header() -> MetaHeader {
    header(("ETag", "The `version` in quotes, for use in `If-Match`."), "string")
}

/// A response with the version of the key in the header `ETag`.
pub struct Versioned<T> {
    /// The version.
    pub version: u64,
    /// The body.
    pub body: T,
}

impl<T: ToJSON> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let mut response = Success(self.body).into_response();
        response.headers_mut().insert(ETAG, entity_tag(self.version));
        response
    }
}

impl<T: ToJSON> ApiResponse for Versioned<T> {
    fn meta() -> MetaResponses {
        let mut meta = Success::<T>::meta();
        for response in &mut meta.responses {
            response.headers.push(entity_tag_header());
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<Vec<u64>> {
        let headers = lines.iter().map(|line| (IF_MATCH, HeaderValue::from_str(line).expect("text")));
        IfMatch::of(&headers.collect()).0
    }

    #[test]
    fn if_match_names_versions_in_any_form() {
        for (line, versions) in [
            ("\"3\"", &[3][..]),
            ("3", &[3]),
            ("W/\"3\"", &[3]),
            (" \"3\" , W/\"4\",5 ", &[3, 4, 5]),
            ("\"3-gzip\"", &[]),
            ("\"3", &[]),
            ("+3", &[]),
            ("-1", &[]),
            ("nonsense, 7", &[7]),
            ("18446744073709551616", &[]),
            ("", &[]),
        ] {
            assert_eq!(read(&[line]), Some(versions.to_vec()), "{line}");
        }
        assert_eq!(read(&["3", "\"4\""]), Some(vec![3, 4]));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["*"]), None);
        assert_eq!(read(&["3", "*"]), None);
    }
}
