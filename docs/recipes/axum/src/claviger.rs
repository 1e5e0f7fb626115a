//! Asks Claviger whether the key of a request is valid, and refuses the request if not.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use axum::{
    Json,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(2);

/// A client for all requests, which keeps its connections open. Clones share them.
#[derive(Clone)]
pub struct Claviger {
    client: reqwest::Client,
    url: String,
    service_key: String,
}

/// The key of a request. Handlers get it as `Extension<ApiKey>`. A verdict also has `org_id`, `org_external_id`, `permissions` and
/// `metadata`: add what you need.
#[derive(Clone, Deserialize)]
pub struct ApiKey {
    valid: bool,
    code: String,
    pub key_id: Option<String>,
    /// Your own id of the customer.
    pub external_id: Option<String>,
    pub name: Option<String>,
    rate_limit: Option<RateLimit>,
}

#[derive(Clone, Deserialize)]
struct RateLimit {
    limit: u64,
    remaining: u64,
    /// In seconds.
    reset: u64,
}

impl Claviger {
    /// `service_key`: the key of this service, with the permission `api_keys:verify`.
    pub fn new(url: &str, service_key: String) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // Claviger closes connections that are idle for 30 seconds.
            .pool_idle_timeout(Duration::from_secs(20))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()?;
        Ok(Self { client, url: format!("{}/api_keys/verify", url.trim_end_matches('/')), service_key })
    }

    async fn verify(&self, key: &str, address: SocketAddr, permission: &str) -> Result<ApiKey, reqwest::Error> {
        let ip = address.ip().to_canonical();
        let body = json!({"key": key, "permissions": [permission], "context": {"ip": ip}});
        let request = self.client.post(&self.url).bearer_auth(&self.service_key).json(&body);
        request.send().await?.error_for_status()?.json().await
    }
}

/// Middleware: the request needs a key with the permission. Counts one use of the key, before the body is read.
pub async fn protect(
    State((claviger, permission)): State<(Claviger, &'static str)>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let key = match key_of(request.headers()) {
        Ok(key) => key,
        Err(response) => return *response,
    };
    let api_key = match claviger.verify(&key, address, permission).await {
        Ok(api_key) => api_key,
        Err(error) => {
            eprintln!("Claviger cannot be asked: {error:?}");
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", [(header::RETRY_AFTER, "5")]);
        }
    };
    let limit_headers = limit_headers(&api_key);
    let mut response = if api_key.valid {
        request.extensions_mut().insert(api_key);
        next.run(request).await
    } else {
        refuse_verdict(&api_key)
    };
    response.headers_mut().extend(limit_headers);
    response
}

/// The secret that was sent, or the response if there is none.
fn key_of(headers: &HeaderMap) -> Result<String, Box<Response>> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii_start())
    });
    let keys: BTreeSet<&[u8]> = bearers.chain(headers.get_all("x-api-key").iter().map(HeaderValue::as_bytes)).collect();
    let mut keys = keys.into_iter();
    match (keys.next(), keys.next()) {
        (None, _) => Err(Box::new(refuse(
            StatusCode::UNAUTHORIZED,
            "MISSING_API_KEY",
            [(header::WWW_AUTHENTICATE, r#"Bearer realm="api""#)],
        ))),
        (Some(key), None) if (1..=512).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic) => {
            Ok(String::from_utf8_lossy(key).into_owned())
        }
        _ => Err(Box::new(refuse_key("INVALID_API_KEY"))),
    }
}

fn refuse_verdict(verdict: &ApiKey) -> Response {
    let status = match verdict.code.as_str() {
        "ADDRESS_NOT_ALLOWED" | "INSUFFICIENT_PERMISSIONS" => StatusCode::FORBIDDEN,
        "RATE_LIMITED" | "USAGE_EXCEEDED" => StatusCode::TOO_MANY_REQUESTS,
        code => return refuse_key(code),
    };
    let mut response = refuse(status, &verdict.code, []);
    if let Some(RateLimit { reset, .. }) = verdict.rate_limit {
        response.headers_mut().insert(header::RETRY_AFTER, reset.into());
    }
    response
}

fn refuse_key(code: &str) -> Response {
    let challenge = r#"Bearer realm="api", error="invalid_token""#;
    refuse(StatusCode::UNAUTHORIZED, code, [(header::WWW_AUTHENTICATE, challenge)])
}

fn refuse<const N: usize>(status: StatusCode, code: &str, headers: [(HeaderName, &'static str); N]) -> Response {
    (status, headers, [(header::CACHE_CONTROL, "no-store")], Json(json!({"code": code}))).into_response()
}

/// The rate limit of the key, as draft-ietf-httpapi-ratelimit-headers has it, and in the older form.
fn limit_headers(api_key: &ApiKey) -> HeaderMap {
    let Some(RateLimit { limit, remaining, reset }) = api_key.rate_limit else { return HeaderMap::new() };
    let headers = [
        ("ratelimit-policy", format!(r#""rate";q={limit}"#)),
        ("ratelimit", format!(r#""rate";r={remaining};t={reset}"#)),
        ("x-ratelimit-limit", limit.to_string()),
        ("x-ratelimit-remaining", remaining.to_string()),
        ("x-ratelimit-reset", reset.to_string()),
    ];
    let value = |text: String| HeaderValue::try_from(text).expect("digits and punctuation");
    headers.into_iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
}
