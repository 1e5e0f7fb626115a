//! Rows as the database holds them: raw column types, no rules. Only [`crate::rows::convert`] converts them to the domain.
#![expect(unreachable_pub, reason = "the entity macro needs public items")]

pub(crate) mod api_key;
pub(crate) mod api_key_permission_set;
pub(crate) mod api_key_secret;
pub(crate) mod api_key_usage;
pub(crate) mod audit_chain;
pub(crate) mod audit_event;
pub(crate) mod imported_secret;
pub(crate) mod imported_shape;
pub(crate) mod invitation;
pub(crate) mod organization;
pub(crate) mod organization_usage;
pub(crate) mod passkey;
pub(crate) mod permission_set;
pub(crate) mod portal {
    //! The customers' portal.

    pub(crate) mod session;
    pub(crate) mod settings;
}
pub(crate) mod removed_identity;
pub(crate) mod request;
pub(crate) mod retention_run;
pub(crate) mod session;
pub(crate) mod token_family;
pub(crate) mod trust_rule;
pub(crate) mod used_ceremony;
pub(crate) mod user;
pub(crate) mod user_identity;
pub(crate) mod user_permission_set;
