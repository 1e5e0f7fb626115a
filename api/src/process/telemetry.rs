//! The log, on standard error: as text if it is a terminal, else one JSON object per line.
//!
//! Events of this project have the target `claviger`. A line must not contain, at any level: secrets, hashes, cookies, e-mail
//! addresses, paths (which may have keys pasted into them). Libraries do not follow this rule, so `debug` and `trace` events of
//! libraries are never logged.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{IsTerminal, stderr},
    panic,
};

use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::process::log_writer::LogWriter;

/// Starts the log. `filter` is the directive list of `CLAVIGER_LOG`, which [`crate::config`] has validated. `defaults` are
/// directives for libraries, which `filter` can replace. Without a filter the level is `info`.
pub fn init(defaults: &str, filter: &str, log: LogWriter) {
    let filter = if filter.trim().is_empty() { "info" } else { filter };
    let by_directives = EnvFilter::builder().parse_lossy(format!("{defaults},{filter}"));
    let by_target = filter_fn(|metadata: &Metadata<'_>| {
        metadata.target().starts_with("claviger") || *metadata.level() <= Level::INFO
    });
    let registry = tracing_subscriber::registry().with(by_directives);
    if stderr().is_terminal() {
        registry.with(fmt::layer().with_writer(log).with_filter(by_target)).init();
    } else {
        let json = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
        registry.with(json.with_writer(log).with_filter(by_target)).init();
    }
    log_panics();
}

/// Logs panics as events. The default hook writes to standard error directly, and would block if its reader has stalled.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        let place = panic.location().map(ToString::to_string);
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(target: "claviger", place, backtrace, "panic: {message}");
    }));
}
