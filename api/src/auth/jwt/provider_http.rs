//! Requests to identity providers, within limits of time and size, and without redirects.

use std::{error::Error, fmt, path::Path, time::Duration};

use domain::clock::Timestamp;
use futures_util::{StreamExt, future::BoxFuture};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::{Certificate, Client, Response, StatusCode, redirect::Policy};
use tokio::{fs::File, io::AsyncReadExt};
use url::Url;

use super::issuers::KeySource;
use crate::http::client_ip::is_this_machine;

/// How long an answer may take. It also bounds reading the keys with the provider's metadata.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(5);
/// The maximum size of a response or file, in bytes.
const SIZE_LIMIT: usize = 256 * 1024;

/// How long metadata and keys are used without reading them again, in milliseconds.
pub(crate) const FRESH: u64 = 10 * 60 * 1_000;
/// How long metadata and keys are used while the provider cannot be reached, in milliseconds.
pub(crate) const USABLE: u64 = 60 * 60 * 1_000;
/// The minimum time between two reads, in milliseconds.
pub(crate) const PAUSE: u64 = 30 * 1_000;

/// Whether less than `than` milliseconds have passed since `at`. After a clock was set back that is not known: `false`.
pub(crate) fn is_younger(at: Option<Timestamp>, than: u64, now: Timestamp) -> bool {
    at.is_some_and(|at| at <= now && now.millis_since(at) < than)
}

pub(crate) type Anything = Box<dyn Error + Send + Sync>;

/// A request failed: there is no complete answer.
#[derive(Debug)]
pub(crate) struct RequestFailed(String);

impl fmt::Display for RequestFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for RequestFailed {}

/// Whether a URL that the metadata at `metadata` name may be used: it is https, or http is allowed there. The metadata of another
/// machine must not lead to a service on this one.
pub(crate) fn may_use(source: &KeySource, metadata: &Url, url: &Url) -> bool {
    let may_be_http = source.insecure_http || is_this_machine(url) && is_this_machine(metadata);
    url.scheme() == "https" || url.scheme() == "http" && may_be_http
}

/// The body of the answer to a `GET`, whose status must be 200.
pub(crate) async fn get(source: &KeySource, url: &Url) -> Result<Vec<u8>, Anything> {
    let response = client(source, url).await?.get(url.clone()).send().await?;
    if response.status() != StatusCode::OK {
        return Err(response.status().to_string().into());
    }
    body(response).await
}

/// Sends the requests of the crate `openidconnect` to one provider. Answers with any status are returned.
pub(crate) struct ProviderHttp(pub(crate) KeySource);

impl<'c> AsyncHttpClient<'c> for ProviderHttp {
    type Error = RequestFailed;
    type Future = BoxFuture<'c, Result<HttpResponse, RequestFailed>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move { exchange(&self.0, request).await.map_err(|error| RequestFailed(with_causes(&*error))) })
    }
}

async fn exchange(source: &KeySource, request: HttpRequest) -> Result<HttpResponse, Anything> {
    let request = reqwest::Request::try_from(request)?;
    let response = client(source, request.url()).await?.execute(request).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut answer = HttpResponse::new(body(response).await?);
    (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
    Ok(answer)
}

async fn client(source: &KeySource, url: &Url) -> Result<Client, Anything> {
    // The operator decides which services are asked, not a response.
    let client = Client::builder().redirect(Policy::none()).timeout(TIME_LIMIT);
    // A proxy would resolve "this machine" as itself.
    let client = if is_this_machine(url) { client.no_proxy() } else { client };
    let client = match &source.ca_file {
        None => client,
        Some(path) => client.tls_certs_only(Certificate::from_pem_bundle(&read_file(path).await?)?),
    };
    Ok(client.build()?)
}

async fn body(response: Response) -> Result<Vec<u8>, Anything> {
    let (mut bytes, mut stream) = (Vec::new(), response.bytes_stream());
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
        bounded(&bytes)?;
    }
    Ok(bytes)
}

pub(super) async fn read_file(path: &Path) -> Result<Vec<u8>, Anything> {
    let mut bytes = Vec::new();
    File::open(path).await?.take(SIZE_LIMIT as u64 + 1).read_to_end(&mut bytes).await?;
    bounded(&bytes)?;
    Ok(bytes)
}

fn bounded(bytes: &[u8]) -> Result<(), Anything> {
    if bytes.len() <= SIZE_LIMIT { Ok(()) } else { Err("more than 256 KiB".into()) }
}

/// An error with its causes: an HTTP client says only in the last one why it could not connect.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
