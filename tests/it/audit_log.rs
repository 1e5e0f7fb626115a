//! The audit log.

pub(crate) mod chain;
pub(crate) mod checkpoints;
pub(crate) mod credentials;
pub(crate) mod cursor;
pub(crate) mod damage;
pub(crate) mod events;
pub(crate) mod read_only_commands;
pub(crate) mod tampering;
