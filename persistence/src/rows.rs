//! Rows as the database holds them, and their conversion to and from the domain.

pub(crate) mod convert;
pub(crate) mod counter_journal;
pub(crate) mod entity;
pub(crate) mod scope;
