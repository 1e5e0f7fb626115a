//! Keys: their operations and their settings.

pub(crate) mod attenuation;
pub(crate) mod bounds;
pub(crate) mod bulk;
pub(crate) mod can_manage;
pub(crate) mod conflicts;
pub(crate) mod escalation;
pub(crate) mod filters;
pub(crate) mod find;
pub(crate) mod idempotency;
pub(crate) mod import;
pub(crate) mod import_shared;
pub(crate) mod key;
pub(crate) mod list_plans;
pub(crate) mod lists;
pub(crate) mod names;
pub(crate) mod own_keys;
pub(crate) mod paging;
pub(crate) mod parallel;
pub(crate) mod restore;
pub(crate) mod restrictions;
pub(crate) mod rotation;
pub(crate) mod search;
pub(crate) mod settings;
