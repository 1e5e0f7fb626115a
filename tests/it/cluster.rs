//! Several nodes on one database.

pub(crate) mod clocks;
pub(crate) mod import;
pub(crate) mod nodes;
pub(crate) mod revocation_propagation;
