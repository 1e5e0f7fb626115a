//! Passkeys, sessions, portal sessions and token groups.

pub(crate) mod passkeys;
pub(crate) mod portal_sessions;
pub(crate) mod sessions;
pub(crate) mod token_groups;
