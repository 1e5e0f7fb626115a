//! Organizations, members, permission sets.

pub(crate) mod deleted_organizations;
pub(crate) mod deletions;
pub(crate) mod invitation_creators;
pub(crate) mod invitations;
pub(crate) mod key_policy;
pub(crate) mod management;
pub(crate) mod members;
pub(crate) mod permission_bound;
pub(crate) mod permission_sets;
pub(crate) mod recovery_links;
pub(crate) mod service;
pub(crate) mod trust_rules;
pub(crate) mod users;
pub(crate) mod users_identity;
pub(crate) mod users_migration;
