//! Content that is the same for every client: its bytes are held once and shared by all answers, also compressed, and a
//! client that has it already gets 304.

use std::{borrow::Cow, io::Write};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;
use poem::{
    Response,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
    },
};
use tokio::sync::OnceCell;

/// Bytes with their media type, in both encodings.
pub struct Content {
    plain: Bytes,
    /// Made when it is first wanted.
    compressed: OnceCell<Bytes>,
    media_type: Cow<'static, str>,
    /// Of the plain bytes.
    hash: String,
}

impl Content {
    /// Content of this media type.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>, media_type: impl Into<Cow<'static, str>>) -> Self {
        let plain = bytes.into();
        let hash = BASE64_URL_SAFE_NO_PAD.encode(blake3::hash(&plain).as_bytes());
        Self { plain, compressed: OnceCell::new(), media_type: media_type.into(), hash }
    }

    /// The answer to a `GET` with these headers: 200, or 304 for a client that has the content already.
    pub async fn answer(&self, headers: &HeaderMap) -> Response {
        let is_compressed = takes_gzip(headers);
        // Another representation has another tag (RFC 9110 §8.8.3.3).
        let tag = format!("\"{}{}\"", self.hash, if is_compressed { "-gzip" } else { "" });
        let response = Response::builder().header(ETAG, &tag).header(VARY, ACCEPT_ENCODING.as_str());
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        if known.flat_map(|value| value.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response = response.header(CONTENT_TYPE, &*self.media_type);
        if is_compressed {
            response.header(CONTENT_ENCODING, "gzip").body(self.compressed().await)
        } else {
            response.body(self.plain.clone())
        }
    }

    async fn compressed(&self) -> Bytes {
        let made = self.compressed.get_or_init(|| async {
            let plain = self.plain.clone();
            // A large file takes longer than a request may keep a thread of the runtime.
            let made = tokio::task::spawn_blocking(move || compress(&plain)).await;
            made.unwrap_or_else(|_| compress(&self.plain))
        });
        made.await.clone()
    }
}

fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let made = encoder.write_all(plain).and_then(|()| encoder.finish());
    made.expect("memory takes what is written to it").into()
}

/// Whether the client says that it takes gzip (RFC 9110 §12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_for_those_who_say_so() {
        for (text, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
            ("x-gzip2", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(text))]);
            assert_eq!(takes_gzip(&headers), expected, "{text}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn answers_share_the_bytes() {
        let content = Content::new("x".repeat(100_000), "text/plain");
        let gzip = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        for headers in [HeaderMap::new(), gzip] {
            let mut places = Vec::new();
            for _ in 0..2 {
                let answer = content.answer(&headers).await;
                places.push(answer.into_body().into_bytes().await.expect("bytes").as_ptr());
            }
            assert_eq!(places[0], places[1], "a second answer is no copy");
        }
    }

    #[tokio::test]
    async fn known_content_is_not_sent_again() {
        let content = Content::new("x", "text/plain");
        let tag = content.answer(&HeaderMap::new()).await.headers()[ETAG].clone();
        let answer = content.answer(&HeaderMap::from_iter([(IF_NONE_MATCH, tag.clone())])).await;
        assert_eq!((answer.status(), &answer.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &tag));
        let other = HeaderValue::from_static("\"other\"");
        let answer = content.answer(&HeaderMap::from_iter([(IF_NONE_MATCH, other)])).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
