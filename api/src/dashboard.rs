//! The dashboard: a page at `/` for people, and the files that it loads. It is built from `api/dashboard` and part of the
//! binary; what it shows and does goes through the REST API like anybody else's calls.

use std::borrow::Cow;

use hyper::body::Bytes;
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::NotFoundError,
    http::{
        HeaderMap,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY},
    },
};
use poem_openapi::OperationId;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::content::Content;

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
    content: Content,
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
        let mut response = file.answer(request.headers()).await;
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
        let bytes = match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        Self { path, content: Content::new(bytes, media_type) }
    }

    async fn answer(&self, headers: &HeaderMap) -> Response {
        let caching = if self.path.starts_with(ASSETS) { "public, max-age=31536000, immutable" } else { "no-cache" };
        self.content
            .answer(headers)
            .await
            .with_header(CACHE_CONTROL, caching)
            .with_header(CONTENT_SECURITY_POLICY, POLICY)
            .with_header("cross-origin-opener-policy", "same-origin")
            .with_header(REFERRER_POLICY, "no-referrer")
            .into_response()
    }
}
