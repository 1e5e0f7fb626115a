//! `claviger check-gateway`: sends requests to an API behind a gateway that uses forward-auth, and says what is right and wrong.

use std::{
    error::Error,
    fmt::{self, Write},
    io::{self, Read, stdin},
    time::Duration,
};

use reqwest::{
    Client, Method, Response,
    header::{LOCATION, WWW_AUTHENTICATE},
    redirect::Policy,
};
use tokio_rustls::rustls;
use url::Url;

use crate::cli::usage_error::UsageError;

/// The time limit of each request.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The maximum length of a key on standard input, in bytes.
const MAX_KEY_BYTES: u64 = 1_024;

/// What one request has shown.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// It is right.
    Right(String),
    /// It may be right: the operator has to decide.
    Note(String),
    /// It is wrong, with what to change.
    Wrong(String),
}

/// The findings, as text for the operator.
pub struct Report {
    text: String,
    /// Whether nothing is wrong.
    pub is_right: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A request to the API.
struct Probe<'a> {
    what: &'static str,
    method: Method,
    headers: Vec<(&'static str, &'a str)>,
    judge: fn(&Seen) -> Finding,
}

/// What of a response counts.
struct Seen {
    status: u16,
    deny_reason: Option<String>,
    mistake: Option<String>,
    location: Option<String>,
    has_challenge: bool,
    /// The name of a header for the API that the visitor has got.
    identity: Option<&'static str>,
}

/// Headers that say who the visitor is. Only Claviger may set them.
const IDENTITY: [&str; 8] = [
    "claviger-key-id",
    "claviger-key-name",
    "claviger-org-id",
    "claviger-org-external-id",
    "claviger-user-id",
    "claviger-external-id",
    "claviger-permissions",
    "claviger-metadata",
];

/// Headers by which some gateways tell the visitor's method.
const METHOD_HEADERS: [&str; 3] = ["x-forwarded-method", "x-original-method", "x-http-method-override"];

/// Checks the gateway of the API at `url`. `path`: the path of an operation that needs a key. `key`: a valid key; `-`: it is on
/// standard input.
///
/// # Errors
/// [`UsageError`]: the URL, the path or the key cannot be used; another one: there is no HTTP client on this machine.
pub async fn check(url: &str, path: Option<&str>, key: Option<String>) -> Result<Report, Box<dyn Error + Send + Sync>> {
    let url = target(url, path)?;
    let key = key.map(read_key).transpose()?;
    // HTTP/2 has no upgrades.
    let client = Client::builder().timeout(TIME_LIMIT).redirect(Policy::none()).http1_only().build()?;
    let (mut text, mut is_right) = (String::new(), true);
    for (number, probe) in probes(key.as_deref()).into_iter().enumerate() {
        let (finding, is_down) = match send(&client, &url, &probe).await {
            // Later ones may be failures of the API alone.
            Ok(seen) => (finding(&probe, &seen), number == 0 && seen.status >= 500),
            Err(error) => (Finding::Wrong(format!("no response: {}", cause(&error, &url))), true),
        };
        let (label, sentence) = match &finding {
            Finding::Right(sentence) => ("ok   ", sentence),
            Finding::Note(sentence) => ("note ", sentence),
            Finding::Wrong(sentence) => ("WRONG", sentence),
        };
        is_right &= !matches!(finding, Finding::Wrong(_));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label}  {}: {sentence}", probe.what);
        if is_down {
            text += "note   the other requests: not sent, because they would fail in the same way\n";
            return Ok(Report { text, is_right });
        }
    }
    if key.is_none() {
        text += "note   a valid key: not checked; give one with --key\n";
    }
    Ok(Report { text, is_right })
}

fn target(url: &str, path: Option<&str>) -> Result<Url, UsageError> {
    let parsed = Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    let parsed = parsed.ok_or_else(|| UsageError("the URL must be like https://api.example.com".to_owned()))?;
    let Some(path) = path else { return Ok(parsed) };
    let joined = if path.starts_with('/') && !path.starts_with("//") { parsed.join(path).ok() } else { None };
    joined.ok_or_else(|| UsageError("--path must be a path like /v1/files".to_owned()))
}

fn read_key(key: String) -> Result<String, UsageError> {
    let key = if key == "-" {
        let mut text = String::new();
        let read = stdin().take(MAX_KEY_BYTES).read_to_string(&mut text);
        read.map_err(|error| UsageError(format!("reading the key from standard input failed: {error}")))?;
        text
    } else {
        key
    };
    let key = key.trim();
    let is_plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(key.to_owned()) } else { Err(UsageError("--key must be the secret of a key, or -".to_owned())) }
}

fn probes(key: Option<&str>) -> Vec<Probe<'_>> {
    let get = |what, headers, judge| Probe { what, method: Method::GET, headers, judge };
    let forged = |value| IDENTITY.iter().map(|name| (*name, value)).collect::<Vec<_>>();
    let mut probes = vec![
        get("no key", Vec::new(), must_be_refused),
        get("a wrong key", vec![("x-api-key", "wrong"), ("authorization", "Bearer wrong")], must_be_refused),
        get("no key, forged identity headers", forged("00000000-0000-7000-8000-000000000000"), must_be_refused),
        get(
            "no key, forged Claviger-Gateway",
            vec![("claviger-gateway", "secret=forged&permission=*")],
            must_be_refused,
        ),
        get("no key, forged method", METHOD_HEADERS.iter().map(|name| (*name, "OPTIONS")).collect(), must_be_refused),
    ];
    probes.extend(key.map(|key| get("a valid key", vec![("x-api-key", key)], must_be_allowed)));
    probes.push(Probe {
        what: "a preflight of a browser (OPTIONS)",
        method: Method::OPTIONS,
        headers: vec![("origin", "https://example.com"), ("access-control-request-method", "GET")],
        judge: preflight,
    });
    probes.push(Probe {
        what: "an upgrade to h2c (OPTIONS)",
        method: Method::OPTIONS,
        headers: vec![
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
            // Maximum concurrent streams 100, initial window 65,535 bytes (RFC 7540 §3.2.1).
            ("http2-settings", "AAMAAABkAAQAAP__"),
        ],
        judge: must_not_be_upgraded,
    });
    probes
}

async fn send(client: &Client, url: &Url, probe: &Probe<'_>) -> reqwest::Result<Seen> {
    let mut request = client.request(probe.method.clone(), url.clone());
    for (name, value) in &probe.headers {
        request = request.header(*name, *value);
    }
    Ok(seen(&request.send().await?))
}

fn seen(response: &Response) -> Seen {
    let headers = response.headers();
    let text = |name: &str| {
        let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        // It is printed on a terminal.
        value.map(|value| value.chars().filter(|character| !character.is_control()).take(500).collect::<String>())
    };
    Seen {
        status: response.status().as_u16(),
        deny_reason: text("claviger-deny-reason"),
        mistake: text("claviger-misconfigured"),
        location: text(LOCATION.as_str()),
        has_challenge: headers.contains_key(WWW_AUTHENTICATE),
        identity: IDENTITY.into_iter().find(|name| headers.contains_key(*name)),
    }
}

/// What is wrong with every request, and otherwise what the probe finds.
fn finding(probe: &Probe<'_>, seen: &Seen) -> Finding {
    let status = seen.status;
    if seen.deny_reason.as_deref() == Some("misconfigured") && probe.what != "no key, forged Claviger-Gateway" {
        let mistake = seen.mistake.as_deref().unwrap_or(
            "the log of Claviger says what, in a WARN line a minute, and the header Claviger-Misconfigured on its own machine",
        );
        return Finding::Wrong(format!("{status}; the gateway is not configured correctly: {mistake}"));
    }
    match status {
        300..400 => Finding::Wrong(format!(
            "{status}; it is a redirect to {}: check the URL that it redirects to",
            seen.location.as_deref().unwrap_or("nowhere")
        )),
        429 => Finding::Wrong(
            "429; there were too many requests, or failures from this address: try again in a minute".to_owned(),
        ),
        // The gateway has asked, and the API has no such method.
        501 if probe.method == Method::OPTIONS => (probe.judge)(seen),
        500 => Finding::Wrong(
            "500; the gateway cannot reach Claviger; nginx also answers 500 if Claviger answers anything but 2xx, 401 and 403: set \
             on_limit=403 there, and see the log of the gateway"
                .to_owned(),
        ),
        501.. => Finding::Wrong(format!(
            "{status}; the gateway cannot reach Claviger or the API, or Claviger its database: see the log of the gateway"
        )),
        _ => (probe.judge)(seen),
    }
}

fn must_be_refused(seen: &Seen) -> Finding {
    match seen.status {
        401 if !seen.has_challenge => {
            Finding::Note("401, but without WWW-Authenticate: let the gateway pass this header on".to_owned())
        }
        status @ (401 | 403) => Finding::Right(format!("{status}, it is refused")),
        status @ 200..300 => Finding::Wrong(format!(
            "{status}; the API answers without a valid key: let the gateway ask Claviger for this path, and refuse what Claviger \
             refuses"
        )),
        status => Finding::Wrong(format!(
            "{status}; it says nothing about keys: give the path of an operation that needs a key with --path, and check that the \
             gateway asks Claviger before anything else"
        )),
    }
}

fn must_be_allowed(seen: &Seen) -> Finding {
    let reason = seen.deny_reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    match (seen.status, seen.identity) {
        (401, _) => Finding::Wrong(format!(
            "401{reason}; the key is not valid in the organization of the gateway, or the gateway does not pass x-api-key to \
             Claviger"
        )),
        (403, _) => Finding::Wrong(format!(
            "403{reason}; the key lacks a permission that the gateway requires, or cannot be used from this address"
        )),
        (status, Some(name)) => Finding::Note(format!(
            "{status}, it is allowed; but the visitor gets the header {name}: let the gateway remove it from responses"
        )),
        (status, None) => Finding::Right(format!("{status}, it is allowed")),
    }
}

fn preflight(seen: &Seen) -> Finding {
    match seen.status {
        status @ (401 | 403) => Finding::Note(format!(
            "{status}; pages of other origins cannot use the API: if they should, set allow_anonymous_options=true, or answer \
             OPTIONS in the gateway"
        )),
        status @ (404 | 405 | 501) => {
            Finding::Note(format!("{status}, it needs no key, but the API does not answer OPTIONS at this path"))
        }
        status => Finding::Right(format!("{status}, it needs no key")),
    }
}

fn must_not_be_upgraded(seen: &Seen) -> Finding {
    match seen.status {
        101 => Finding::Wrong(
            "101; the connection is now a tunnel to the API, in which nothing is checked: let the gateway pass on no upgrade but \
             GET with Upgrade: websocket"
                .to_owned(),
        ),
        status => Finding::Right(format!("{status}, it is not made")),
    }
}

/// Why there is no response: the cause that has no cause itself, because the others only repeat the URL.
fn cause(error: &reqwest::Error, url: &Url) -> String {
    if error.is_timeout() {
        return format!("it took longer than {} seconds", TIME_LIMIT.as_secs());
    }
    let mut cause: &(dyn Error + 'static) = error;
    loop {
        if is_not_tls(cause) {
            let port = url.port_or_known_default().unwrap_or_default();
            return format!(
                "port {port} does not use TLS: write http:// in the URL, or the port that the gateway uses with TLS"
            );
        }
        match cause.source() {
            Some(next) => cause = next,
            None => return cause.to_string(),
        }
    }
}

/// Whether the server has answered a TLS handshake with something else.
fn is_not_tls(mut error: &(dyn Error + 'static)) -> bool {
    // `source` skips what an `io::Error` contains.
    while let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        error = inner;
    }
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidMessage(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(what: &str, status: u16, deny_reason: Option<&str>) -> Finding {
        let seen = Seen {
            status,
            deny_reason: deny_reason.map(ToOwned::to_owned),
            mistake: None,
            location: None,
            has_challenge: true,
            identity: None,
        };
        let probes = probes(Some("k"));
        let probe = probes.iter().find(|probe| probe.what == what).expect("a probe");
        finding(probe, &seen)
    }

    #[test]
    fn requests_without_a_valid_key_must_be_refused() {
        for what in ["no key", "a wrong key", "no key, forged identity headers", "no key, forged method"] {
            for status in [401, 403] {
                assert!(matches!(probed(what, status, None), Finding::Right(_)), "{what} {status}");
            }
            for status in [200, 204, 302, 404, 405, 429, 500, 501, 502, 503] {
                assert!(matches!(probed(what, status, None), Finding::Wrong(_)), "{what} {status}");
            }
            assert!(matches!(probed(what, 403, Some("misconfigured")), Finding::Wrong(_)), "{what}");
        }
        let forged = "no key, forged Claviger-Gateway";
        assert!(matches!(probed(forged, 403, Some("misconfigured")), Finding::Right(_)));
        assert!(matches!(probed(forged, 200, None), Finding::Wrong(_)));
    }

    #[test]
    fn a_valid_key_and_a_preflight_are_judged() {
        for (status, is_wrong) in [(200, false), (404, false), (401, true), (403, true), (429, true), (500, true)] {
            assert_eq!(matches!(probed("a valid key", status, None), Finding::Wrong(_)), is_wrong, "{status}");
        }
        let preflight = "a preflight of a browser (OPTIONS)";
        assert!(matches!(probed(preflight, 204, None), Finding::Right(_)));
        assert!(matches!(probed(preflight, 401, None), Finding::Note(_)));
        for status in [404, 405, 501] {
            assert!(matches!(probed(preflight, status, None), Finding::Note(_)), "{status}");
        }
        let upgrade = "an upgrade to h2c (OPTIONS)";
        assert!(matches!(probed(upgrade, 101, None), Finding::Wrong(_)));
        for status in [200, 204, 400, 401, 403, 404, 405, 426, 501] {
            assert!(matches!(probed(upgrade, status, None), Finding::Right(_)), "{status}");
        }
        for status in [500, 502, 503] {
            let Finding::Wrong(sentence) = probed(preflight, status, None) else { panic!("{status}") };
            assert_eq!(sentence.contains("nginx"), status == 500, "{sentence}");
        }
    }

    #[test]
    fn the_url_and_the_path_are_checked() {
        let joined = |url, path| target(url, path).map(String::from).ok();
        assert_eq!(joined("https://api.example", None).as_deref(), Some("https://api.example/"));
        assert_eq!(
            joined("https://api.example/v1", Some("/v2/x?y=1")).as_deref(),
            Some("https://api.example/v2/x?y=1")
        );
        for (url, path) in
            [("api.example", None), ("ftp://x", None), ("https://x", Some("v1")), ("https://x", Some("//y"))]
        {
            assert_eq!(joined(url, path), None, "{url}");
        }
    }
}
