//! The dashboard: a page at `/` for people, and the files that it loads. It is built from `api/dashboard` and part of the
//! binary; what it shows and does goes through the REST API like anybody else's calls.

use std::{borrow::Cow, io::Write, sync::OnceLock};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::NotFoundError,
    http::{
        HeaderMap, StatusCode,
        header::{
            ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
            IF_NONE_MATCH, REFERRER_POLICY, VARY,
        },
    },
};
use poem_openapi::OperationId;
use rust_embed::{EmbeddedFile, RustEmbed};

/// The files, in the binary. (In a debug build they are read from the folder, so that a change needs no new build.)
#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
struct Files;

/// Nothing from anywhere but this origin, nothing inline, no frames, and no text that becomes markup or code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The page. It is asked for anew each time, because it names the files that belong to it.
const PAGE: &str = "index.html";

/// Files whose names change with what is in them.
const ASSETS: &str = "assets/";

/// `GET /`, and what the page loads.
pub struct Dashboard {
    files: Vec<File>,
}

struct File {
    /// From the root, without a slash in front.
    path: String,
    content: Cow<'static, [u8]>,
    /// The content, compressed; made when it is first wanted.
    compressed: OnceLock<Vec<u8>>,
    media_type: String,
    /// Of the uncompressed content.
    hash: String,
}

impl Dashboard {
    /// All files of the dashboard.
    #[must_use]
    pub fn new() -> Self {
        let file = |path: Cow<'static, str>| Some(File::new(path.clone().into_owned(), Files::get(&path)?));
        Self { files: Files::iter().filter_map(file).collect() }
    }

    /// The paths of what the page loads.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.files.iter().filter(|file| file.path != PAGE).map(|file| format!("/{}", file.path))
    }
}

impl Default for Dashboard {
    fn default() -> Self {
        Self::new()
    }
}

/// The page at `/` itself, where there is one, and everything else from `inner`. The router cannot say that: what is nested
/// at the root takes the root, too.
pub struct AtRoot<P, E> {
    /// The page.
    pub page: Option<P>,
    /// The rest.
    pub inner: E,
}

impl<P: Endpoint, E: Endpoint> Endpoint for AtRoot<P, E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        match &self.page {
            Some(page) if request.uri().path() == "/" => Ok(page.call(request).await?.into_response()),
            _ => Ok(self.inner.call(request).await?.into_response()),
        }
    }
}

impl Endpoint for Dashboard {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let path = match request.uri().path().trim_start_matches('/') {
            "" => PAGE,
            path => path,
        };
        let file = self.files.iter().find(|file| file.path == path).ok_or(NotFoundError)?;
        let mut response = file.answer(request.headers());
        response.set_data(OperationId("dashboard"));
        Ok(response)
    }
}

impl File {
    fn new(path: String, file: EmbeddedFile) -> Self {
        let media_type = match file.metadata.mimetype() {
            text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
            other => other.to_owned(),
        };
        let hash = BASE64_URL_SAFE_NO_PAD.encode(file.metadata.sha256_hash());
        Self { path, content: file.data, compressed: OnceLock::new(), media_type, hash }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let is_compressed = takes_gzip(headers);
        // Another representation has another tag (RFC 9110 §8.8.3.3).
        let tag = format!("\"{}{}\"", self.hash, if is_compressed { "-gzip" } else { "" });
        let caching = if self.path.starts_with(ASSETS) { "public, max-age=31536000, immutable" } else { "no-cache" };
        let response = Response::builder()
            .header(ETAG, &tag)
            .header(VARY, ACCEPT_ENCODING.as_str())
            .header(CACHE_CONTROL, caching)
            .header(CONTENT_SECURITY_POLICY, POLICY)
            .header("cross-origin-opener-policy", "same-origin")
            .header(REFERRER_POLICY, "no-referrer");
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        if known.flat_map(|value| value.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response = response.header(CONTENT_TYPE, &self.media_type);
        if is_compressed {
            response.header(CONTENT_ENCODING, "gzip").body(self.compressed().to_vec())
        } else {
            response.body(self.content.to_vec()).into_response()
        }
    }

    fn compressed(&self) -> &[u8] {
        self.compressed.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder
                .write_all(&self.content)
                .and_then(|()| encoder.finish())
                .expect("memory takes what is written to it")
        })
    }
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
}
