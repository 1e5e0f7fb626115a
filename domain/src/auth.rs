//! Authentication and authorization: callers, sessions, access tokens, identity providers, the sessions of customers in
//! their portal, and effective permissions.

pub mod authenticate;
pub mod authorize;
pub mod bootstrap;
pub mod caller;
pub mod effective_permissions;
pub mod federation;
pub mod identity;
pub mod invitation;
pub mod invitations;
pub mod passkey;
pub mod passkeys;
pub mod portal;
pub mod session;
pub mod sessions;
pub mod sign_up;
pub mod step_up;
pub mod token;
pub mod tokens;
pub mod workloads;
