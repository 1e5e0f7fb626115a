//! The log: for people where standard error is a terminal, else one JSON object a line. Standard output stays clean.
//!
//! Our own events have the target `claviger`. What a line must not contain, at any level: secrets, hashes, cookies, e-mail
//! addresses, paths (people paste keys into them). Libraries do not know that, so theirs are heard from `info` up only.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{IsTerminal, stderr},
    panic,
};

use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::log_writer::LogWriter;

/// Starts the log with a filter that [`crate::config`] has checked.
pub fn init(filter: &str, log: LogWriter) {
    let asked = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(filter);
    let fit = filter_fn(|metadata: &Metadata<'_>| {
        metadata.target().starts_with("claviger") || *metadata.level() <= Level::INFO
    });
    let registry = tracing_subscriber::registry().with(asked);
    if stderr().is_terminal() {
        registry.with(fmt::layer().with_writer(log).with_filter(fit)).init();
    } else {
        let json = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
        registry.with(json.with_writer(log).with_filter(fit)).init();
    }
    log_panics();
}

/// Makes a panic an event of the log. The hook of the standard library writes to standard error itself, and so would wait for
/// a reader that has stalled.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        let place = panic.location().map(ToString::to_string);
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(target: "claviger", place, backtrace, "panic: {message}");
    }));
}
