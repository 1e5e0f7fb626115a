//! A Rust client, generated from the committed OpenAPI document when this crate is compiled. It is a separate crate, so that it
//! is not compiled again when a test changes. `tests/it/compat/clients.rs` uses it. With builders,
//! parameters are set by name: a new one does not change the calls that exist.
#![expect(warnings, clippy::all, clippy::pedantic, reason = "generated")]

/// The Rust samples of the document: this compiles them.
#[rustfmt::skip]
pub mod samples;

progenitor::generate_api!(spec = "../../../docs/openapi.json", interface = Builder);
