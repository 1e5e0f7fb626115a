//! Passkeys, sessions and token groups.

pub(crate) mod passkeys;
pub(crate) mod sessions;
pub(crate) mod token_groups;
