//! The published APIs, and their clients.

pub(crate) mod athena;
pub(crate) mod athena_leniency;
pub(crate) mod athena_rules;
pub(crate) mod better_auth;
pub(crate) mod clients;
pub(crate) mod cross_contract;
pub(crate) mod examples;
pub(crate) mod livekit;
pub(crate) mod locktera;
pub(crate) mod openapi;
pub(crate) mod reasons;
