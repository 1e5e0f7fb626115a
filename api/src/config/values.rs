//! Parsers of settings. Each returns the value, or what the setting must be, to end the sentence "NAME must be …".

use std::{
    fmt::Display, net::SocketAddr, num::NonZeroU32, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration,
};

use domain::{keys::ip_allowlist, validated_string::ValidationError};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{MetricsAt, SignUpMode};
use crate::{
    forward_auth::GatewaySecret,
    http::{
        client_ip::TrustedProxies,
        origin::{
            PublicUrl,
            cors::{CorsOrigins, OriginPattern},
        },
    },
};

/// Bytes of a mebibyte.
pub(super) const MIB: usize = 1 << 20;

/// The maximum of a rate, per second or per minute.
const MAX_RATE: u32 = 1_000_000;

/// With a shorter bound a heartbeat could arrive too late on a busy machine.
const MIN_STALENESS_BOUND: Duration = Duration::from_millis(200);

/// Maximum retention period: ten years.
const MAX_RETENTION: Duration = Duration::from_hours(3_650 * 24);

/// The limits of sessions. The last use of a session is stored to the minute, so a shorter time could not be observed.
const MIN_SESSION_LIMIT: Duration = Duration::from_mins(5);
const MAX_SESSION_LIMIT: Duration = Duration::from_hours(30 * 24);

/// Maximum of `CLAVIGER_PROVIDER_SESSION_TIME`.
const MAX_SESSION_TIME: Duration = Duration::from_hours(12);

/// Maximum time in which the service still serves after the signal to stop.
const MAX_SHUTDOWN_DELAY: Duration = Duration::from_mins(10);

/// A parser of whole numbers in an inclusive range.
pub(super) fn number<T: FromStr + PartialOrd + Display + Clone>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("a number from {} to {}", range.start(), range.end()))
    }
}

/// A rate from 1 to [`MAX_RATE`]. `None`: `off`, unlimited.
pub(super) fn rate_or_off(text: &str) -> Result<Option<NonZeroU32>, String> {
    match text {
        "off" => Ok(None),
        text => {
            number(1..=MAX_RATE)(text).map(NonZeroU32::new).map_err(|expected: String| format!("{expected}, or off"))
        }
    }
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an address and a port like 127.0.0.1:8080".to_owned())
}

/// An address and a port. `None`: the text is empty.
pub(super) fn optional_socket_address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() { Ok(None) } else { socket_address(text).map(Some) }
}

/// The secret that gateways share with this service. `None`: the text is empty.
pub(super) fn gateway_secret(text: &str) -> Result<Option<GatewaySecret>, String> {
    GatewaySecret::parse(text)
}

pub(super) fn metrics_at(text: &str) -> Result<MetricsAt, String> {
    match text {
        "" => Ok(MetricsAt::Service),
        "off" => Ok(MetricsAt::Off),
        text => text
            .parse()
            .map(MetricsAt::Address)
            .map_err(|_| "an address and a port like 127.0.0.1:9090, or off".to_owned()),
    }
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off".to_owned()),
    }
}

pub(super) fn sign_up(text: &str) -> Result<SignUpMode, String> {
    match text {
        "open" => Ok(SignUpMode::Open),
        "closed" => Ok(SignUpMode::Closed),
        "" => Ok(SignUpMode::Automatic),
        _ => Err("open or closed".to_owned()),
    }
}

fn duration_in(text: &str, range: RangeInclusive<Duration>, expected: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| range.contains(duration));
    duration.ok_or_else(|| expected.to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(1)..=Duration::MAX;
    duration_in(text, range, "a duration of at least 1ms, like 500ms, 30s or 2min")
}

pub(super) fn staleness_bound(text: &str) -> Result<Duration, String> {
    let range = MIN_STALENESS_BOUND..=Duration::MAX;
    duration_in(text, range, "a duration of at least 200ms, like 500ms or 2s")
}

pub(super) fn retention(text: &str) -> Result<Duration, String> {
    let range = Duration::ZERO..=MAX_RETENTION;
    duration_in(text, range, "a duration of at most 3650days, like 30days or 0s")
}

pub(super) fn shutdown_delay(text: &str) -> Result<Duration, String> {
    duration_in(text, Duration::ZERO..=MAX_SHUTDOWN_DELAY, "a duration of at most 10min, like 5s or 0s")
}

pub(super) fn session_limit(text: &str) -> Result<Duration, String> {
    duration_in(text, MIN_SESSION_LIMIT..=MAX_SESSION_LIMIT, "a duration of 5min to 30days, like 12h")
}

pub(super) fn session_time(text: &str) -> Result<Duration, String> {
    duration_in(text, Duration::ZERO..=MAX_SESSION_TIME, "a duration of at most 12h, like 8h or 0s")
}

/// Networks, separated by commas or line breaks. Each is parsed as in the IP allowlist of a key. The message repeats a network with
/// bits after its prefix, because a network is no secret.
pub(super) fn networks(text: &str) -> Result<TrustedProxies, String> {
    let networks = text.split([',', '\n']).map(str::trim).filter(|text| !text.is_empty()).map(ip_allowlist::network);
    networks.collect::<Result<Vec<_>, _>>().map(TrustedProxies).map_err(|invalid| match invalid {
        ValidationError::NetworkBits { network, given } => {
            format!("networks without bits after the prefix: {network}, not {given}")
        }
        _ => "addresses or networks separated by commas, like 10.0.0.0/8,::1".to_owned(),
    })
}

/// A public URL. `None`: the text is empty.
pub(super) fn public_url(text: &str) -> Result<Option<PublicUrl>, String> {
    if text.is_empty() { Ok(None) } else { PublicUrl::parse(text).map(Some) }
}

/// A list of origins and patterns, separated by commas or white space, or `*`.
pub(super) fn cors_origins(text: &str) -> Result<CorsOrigins, String> {
    let is_separator = |character: char| character == ',' || character.is_whitespace();
    let entries: Vec<&str> = text.split(is_separator).filter(|entry| !entry.is_empty()).collect();
    match entries.as_slice() {
        [] => Ok(CorsOrigins::Off),
        ["*"] => Ok(CorsOrigins::Any),
        _ => {
            let patterns: Option<Vec<_>> = entries.iter().copied().map(OriginPattern::parse).collect();
            patterns.map(CorsOrigins::Matching).ok_or_else(|| {
                "origins like https://app.example.com or https://*.example.com, separated by commas, or * alone"
                    .to_owned()
            })
        }
    }
}

/// A path. `None`: the text is empty.
#[expect(clippy::unnecessary_wraps, reason = "it is a parser like the others, and every text is a path")]
pub(super) fn path(text: &str) -> Result<Option<PathBuf>, String> {
    Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
}

/// Directives of the log. A word alone must be a level: otherwise a misspelled level would be the name of a target, and nothing
/// else would be logged.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let mut directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let is_filter = directives.all(|word| word.contains(['=', '[', '{', '}', ']']) || is_level(word))
        && EnvFilter::try_new(text).is_ok();
    let expected = "a level (error, warn, info, debug, trace or off), or levels of targets like claviger=debug";
    if is_filter { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}
