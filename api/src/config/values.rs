//! What the text of a setting may be, and what it means.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use ipnet::IpNet;
use url::Url;

use super::MetricsAt;
use crate::address::TrustedProxies;

pub(super) const DURATION: &str = "a duration of at least 1ms, like 500ms, 30s or 2min";
pub(super) const RETENTION: &str = "a duration of at most 3650days, like 30days or 0s";
pub(super) const BOUND: &str = "a duration of at least 200ms, like 500ms or 2s";
/// Shorter ones would be over before a beat has come back on a busy machine.
pub(super) const LEAST_BOUND: Duration = Duration::from_millis(200);
pub(super) const CAP: &str = "a number from 1 to 1000000000";
pub(super) const CAPS: std::ops::RangeInclusive<u32> = 1..=1_000_000_000;
pub(super) const CHANGES_IN_AN_HOUR: &str = "a number from 1000 to 1000000000";
/// One request may make a thousand.
pub(super) const CHANGES: std::ops::RangeInclusive<u32> = 1_000..=1_000_000_000;
pub(super) const RATE: &str = "a number from 1 to 1000000";
pub(super) const RATE_OR_OFF: &str = "a number from 1 to 1000000, or off";
pub(super) const METRICS: &str = "an address and a port like 127.0.0.1:9090, or off";
pub(super) const RATES: std::ops::RangeInclusive<u32> = 1..=1_000_000;

pub(super) fn number(text: &str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// A rate; `None`: off. An error: neither.
pub(super) fn rate_or_off(text: &str) -> Result<Option<NonZeroU32>, ()> {
    match text {
        "off" => Ok(None),
        text => number(text, RATES).map(NonZeroU32::new).ok_or(()),
    }
}

pub(super) fn metrics_at(text: &str) -> Option<MetricsAt> {
    match text {
        "" => Some(MetricsAt::Service),
        "off" => Some(MetricsAt::Nowhere),
        text => text.parse().ok().map(MetricsAt::Address),
    }
}

pub(super) fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| *duration >= Duration::from_millis(1))
}

/// How long something is kept; at most ten years.
pub(super) fn retention(text: &str) -> Option<Duration> {
    const MOST: Duration = Duration::from_hours(3_650 * 24);
    humantime::parse_duration(text).ok().filter(|duration| *duration <= MOST)
}

/// The URL of a database, or what it must be.
pub(super) fn database_url(text: &str) -> Result<String, &'static str> {
    if text.starts_with("sqlite:") {
        return Ok(text.to_owned());
    }
    let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    let url = Url::parse(text).ok().filter(|_| is_postgres);
    let url = url.ok_or("like sqlite://claviger.db or postgres://user:password@host/database")?;
    // Without a name the server would take the one that is called like the user.
    let is_named = !url.path().trim_matches('/').is_empty()
        || url.query_pairs().any(|(name, value)| name == "dbname" && !value.is_empty());
    if is_named {
        Ok(text.to_owned())
    } else {
        Err("a URL that names the database: postgres://user:password@host/database")
    }
}

pub(super) fn networks(text: &str) -> Option<TrustedProxies> {
    let network = |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let networks = text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(network);
    networks.collect::<Option<Vec<_>>>().map(TrustedProxies)
}

/// Scheme, host and port as browsers write them: lower case, without a default port.
pub(super) fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (bare && ["http", "https"].contains(&url.scheme())).then(|| url.origin().ascii_serialization())
}
