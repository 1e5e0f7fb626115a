//! The dashboard: the web page at `/`, and the files that it loads. They are built from `api/dashboard` and embedded in the
//! binary. The page uses only the public REST API.

pub mod portal_page;

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

use crate::http::static_content::Content;

/// The embedded files. In a debug build they are read from the folder, so that a change needs no new build.
#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
struct Files;

/// Content security policy: everything from this origin, nothing inline, no frames, and no text that becomes markup or code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// As [`POLICY`], for the page of the portal: it has a logo in a data URL, and the listed origins can embed it.
const PORTAL_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                             base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; frame-ancestors ";

/// The file served at `/`. Its links to other files begin with [`RELATIVE`].
const PAGE: &str = "index.html";

/// The page of the portal, served at `/portal`, with links as those of [`PAGE`].
const PORTAL_PAGE: &str = "portal.html";

/// The start of a link relative to the page.
const RELATIVE: &str = "\"./";

/// File names do not change with their content, so browsers have to revalidate each file by its `ETag` before each use.
const CACHING: &str = "no-cache";

/// `GET /`, and the files that the page loads.
pub struct Dashboard {
    files: Vec<File>,
}

struct File {
    /// Relative to the root, without a leading slash.
    path: String,
    content: Content,
}

impl Dashboard {
    /// All files of the dashboard. `base_path`: the path below which browsers reach the service; empty: unknown or the root.
    #[must_use]
    pub fn new(base_path: &str) -> Self {
        let file = |path: Cow<'static, str>| Some(File::new(path.clone().into_owned(), Files::get(&path)?, base_path));
        Self { files: Files::iter().filter_map(file).collect() }
    }

    /// The page of the portal, as the response to a `GET` with these request headers. `frame_ancestors`: which pages can embed it,
    /// as in a content security policy.
    ///
    /// # Errors
    /// [`NotFoundError`] if the dashboard was built without it.
    pub async fn portal(&self, headers: &HeaderMap, frame_ancestors: &str) -> Result<Response> {
        let file = self.files.iter().find(|file| file.path == PORTAL_PAGE).ok_or(NotFoundError)?;
        Ok(file.answer(headers, &format!("{PORTAL_POLICY}{frame_ancestors}")).await)
    }

    /// The paths of the files that the pages load.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.files
            .iter()
            .filter(|file| ![PAGE, PORTAL_PAGE].contains(&&*file.path))
            .map(|file| format!("/{}", file.path))
    }
}

/// Routes `/` to `page`, if there is one, and everything else to `inner`. The router cannot do this: an endpoint nested at
/// the root takes `/` as well.
pub struct AtRoot<P, E> {
    /// The page.
    pub page: Option<P>,
    /// All other paths.
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
        let mut response = file.answer(request.headers(), POLICY).await;
        response.set_data(OperationId("dashboard"));
        Ok(response)
    }
}

impl File {
    fn new(path: String, file: EmbeddedFile, base_path: &str) -> Self {
        let media_type = match file.metadata.mimetype() {
            text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
            other => other.to_owned(),
        };
        let bytes = match file.data {
            // So that the page also works at the base path without a slash at the end. The script finds the API from its own URL.
            data if [PAGE, PORTAL_PAGE].contains(&&*path) && !base_path.is_empty() => {
                String::from_utf8_lossy(&data).replace(RELATIVE, &format!("\"{base_path}/")).into()
            }
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        Self { path, content: Content::new(bytes, media_type) }
    }

    async fn answer(&self, headers: &HeaderMap, policy: &str) -> Response {
        self.content
            .answer(headers)
            .await
            .with_header(CACHE_CONTROL, CACHING)
            .with_header(CONTENT_SECURITY_POLICY, policy)
            .with_header("cross-origin-opener-policy", "same-origin")
            .with_header(REFERRER_POLICY, "no-referrer")
            .into_response()
    }
}
