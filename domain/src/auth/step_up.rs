//! Step-up authentication: in a session, operations with far-reaching effects need a fresh sign-in, so that a stolen
//! session cookie is not enough for them. The use cases call these functions; nothing else decides it.

use crate::{
    auth::caller::Caller,
    clock::Timestamp,
    error::Error,
    permissions::{Permission, Permissions},
};

/// How long after a sign-in the session may be used for these operations, in milliseconds: 10 minutes.
pub const FRESH_SIGN_IN_MS: i64 = 10 * 60 * 1_000;

/// Requires that the caller of a session has signed in within the last 10 minutes. Callers who send a key or an access
/// token with the request have just authenticated.
///
/// # Errors
/// [`Error::FreshSignInRequired`].
pub fn require_fresh_sign_in(caller: &Caller, now: Timestamp) -> Result<(), Error> {
    let is_fresh = caller.signed_in_at.is_some_and(|at| now < at.plus_millis(FRESH_SIGN_IN_MS));
    if caller.origin.session.is_none() || is_fresh { Ok(()) } else { Err(Error::FreshSignInRequired) }
}

/// The permissions to administer an organization: everything, and those to change the organization itself, its members,
/// permission sets and trust rules. With a key or member that has one, a thief of a session could do later what the
/// session is refused.
const ADMINISTRATION: [Permission; 5] = [
    Permission::EVERYTHING,
    Permission::ORG_ADMIN,
    Permission::MEMBERS_ADMIN,
    Permission::SETS_ADMIN,
    Permission::TRUST_RULES_ADMIN,
];

/// As [`require_fresh_sign_in`], if a key, member, permission set, invitation or trust rule that has the permissions
/// `before` gets a permission of [`ADMINISTRATION`] with `after`.
///
/// # Errors
/// [`Error::FreshSignInRequired`].
pub(crate) fn require_fresh_sign_in_to_grant(
    caller: &Caller,
    before: &Permissions,
    after: &Permissions,
    now: Timestamp,
) -> Result<(), Error> {
    let is_given = |permission| after.allows(permission) && !before.allows(permission);
    if ADMINISTRATION.iter().any(is_given) { require_fresh_sign_in(caller, now) } else { Ok(()) }
}
