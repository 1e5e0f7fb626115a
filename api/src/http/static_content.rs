//! Static content: all responses share its bytes, plain or compressed, and clients that have it cached get 304.

use std::{borrow::Cow, io::Write};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;
use poem::{
    Response,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    web::headers::{ETag, HeaderMapExt, IfNoneMatch},
};
use tokio::sync::OnceCell;

/// Static bytes with their media type, plain and compressed.
pub struct Content {
    plain: Bytes,
    /// The bytes compressed with gzip, created on first use.
    compressed: OnceCell<Bytes>,
    media_type: Cow<'static, str>,
    /// The hash of the plain bytes, as base64url.
    hash: String,
}

impl Content {
    /// Content with this value of `Content-Type`.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>, media_type: impl Into<Cow<'static, str>>) -> Self {
        let plain = bytes.into();
        let hash = BASE64_URL_SAFE_NO_PAD.encode(blake3::hash(&plain).as_bytes());
        Self { plain, compressed: OnceCell::new(), media_type: media_type.into(), hash }
    }

    /// The response to a `GET` with these request headers: 200, or 304 if the client has the content cached.
    pub async fn answer(&self, headers: &HeaderMap) -> Response {
        let is_compressed = accepts_gzip(headers);
        // Each representation needs a different tag (RFC 9110 §8.8.3.3).
        let tag = format!("\"{}{}\"", self.hash, if is_compressed { "-gzip" } else { "" });
        let tag: ETag = tag.parse().expect("base64url in quotes is a tag");
        let is_known = headers.typed_get().is_some_and(|known: IfNoneMatch| !known.precondition_passes(&tag));
        let response = Response::builder().typed_header(tag).header(VARY, ACCEPT_ENCODING.as_str());
        if is_known {
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
        let compressed = self.compressed.get_or_init(|| async {
            let plain = self.plain.clone();
            // Compressing a large file would block a thread of the runtime for too long.
            let compressed = tokio::task::spawn_blocking(move || compress(&plain)).await;
            compressed.unwrap_or_else(|_| compress(&self.plain))
        });
        compressed.await.clone()
    }
}

fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(plain).and_then(|()| encoder.finish());
    compressed.expect("memory takes what is written to it").into()
}

/// Whether the client accepts gzip. Weights are not interpreted: a client that sends one for gzip gets the plain content, which
/// all clients accept (RFC 9110 §12.5.3). Browsers send none.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
}

#[cfg(test)]
mod tests {
    use poem::http::{
        HeaderValue,
        header::{ETAG, IF_NONE_MATCH},
    };

    use super::*;

    #[test]
    fn only_clients_that_accept_gzip_get_it() {
        for (text, expected) in [
            ("gzip", true),
            ("br, GZIP", true),
            ("deflate, gzip, br, zstd", true),
            ("gzip;q=0.5", false),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
            ("x-gzip2", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(text))]);
            assert_eq!(accepts_gzip(&headers), expected, "{text}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn responses_share_the_bytes_of_static_content() {
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
    async fn a_matching_etag_gets_304() {
        let content = Content::new("x", "text/plain");
        let tag = content.answer(&HeaderMap::new()).await.headers()[ETAG].clone();
        let answer = content.answer(&HeaderMap::from_iter([(IF_NONE_MATCH, tag.clone())])).await;
        assert_eq!((answer.status(), &answer.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &tag));
        let among_others = format!("\"a,b\", W/{}", tag.to_str().expect("text"));
        for (known, status) in [(&*among_others, 304), ("*", 304), ("\"other\"", 200), ("other", 200)] {
            let known = HeaderValue::from_str(known).expect("a header");
            let answer = content.answer(&HeaderMap::from_iter([(IF_NONE_MATCH, known)])).await;
            assert_eq!(answer.status().as_u16(), status);
        }
    }
}
