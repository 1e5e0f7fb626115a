//! The native API: `/orgs/…`, `/api_keys/verify` and related operations. It includes the three operations of Locktera's API.

mod audit;
mod dto;
mod error;
mod fields;
mod invitations;
pub mod keys;
mod me;
mod members;
mod organizations;
mod page;
mod passkeys;
mod permission_sets;
mod portal;
mod reason;
mod sessions;
mod sign_in;
mod tokens;
mod trust_rules;
mod usage;
mod users;
mod verify;

use crate::http::contract::ErrorFormat;
pub use crate::routes::{
    audit::AuditRoutes,
    invitations::InvitationRoutes,
    keys::{KeyRoutes, import::parse_legacy_hash, secrets::SecretRoutes},
    members::MemberRoutes,
    organizations::{OrganizationRoutes, key_policy::KeyPolicyRoutes},
    passkeys::{Ceremonies, PasskeyRoutes},
    permission_sets::PermissionSetRoutes,
    portal::{PortalRoutes, customer::PortalCustomerRoutes, is_of_portal},
    reason::ErrorReason,
    sessions::{SessionCookies, SessionRoutes},
    sign_in::{
        SignInRoutes,
        redirects::{BeginSignIn, FinishSignIn, SignInRedirects},
    },
    tokens::TokenRoutes,
    trust_rules::TrustRuleRoutes,
    usage::UsageRoutes,
    users::UserRoutes,
    verify::{FAST_VERIFY, VerifyRoutes},
};

/// The error format of the native API.
pub const ERROR_FORMAT: ErrorFormat = ErrorFormat { prefix: "/orgs", render: error::render };
