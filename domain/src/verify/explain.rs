//! Explains the result of verifying a key, check by check. No use is counted.

use std::{net::IpAddr, sync::Arc};

use crate::{
    auth::caller::Caller,
    clock::Timestamp,
    deny_reason::DenyReason,
    error::Error,
    keys::{ip_allowlist::IpAllowlist, key_scope::KeyScope, quota::Quota},
    permissions::{Permission, Permissions},
    verify::{
        cached_key::CachedKey,
        decide::{ImportedIn, KeyVerifier, Requester, VerifyRequest},
        lookup::Lookup,
    },
};

/// The result that a verify request would have at a time, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The key. `None`: the caller has no access to it, or there is none.
    pub key: Option<Arc<CachedKey>>,
    /// The usage limits of the key and their state.
    pub quota: Quota,
    /// The checks in their order. Verify stops at the first one that fails; the others are still listed.
    pub checks: Vec<Check>,
    /// When the checks were made (UTC).
    pub now: Timestamp,
}

/// A check, with the values that it compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The check.
    pub kind: CheckKind,
    /// The deny reason. `None`: the check passes.
    pub deny_reason: Option<DenyReason>,
}

/// The kind of a check, with the values that it compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Whether the text is the secret of a key that the caller has access to.
    Key {
        /// What is wrong with the text, if no secret can be like this.
        malformed: Option<MalformedSecret>,
    },
    /// Whether the organization is not suspended.
    Organization,
    /// Whether the key is enabled, and its user is a member of the organization.
    Enabled {
        /// Whether the key is enabled.
        enabled: bool,
    },
    /// Whether the key is valid already.
    NotBefore {
        /// When it becomes valid (UTC, inclusive). `None`: at its creation.
        not_before: Option<Timestamp>,
    },
    /// Whether the key has not expired.
    Expiry {
        /// When it expires (UTC, exclusive). `None`: never.
        expires_at: Option<Timestamp>,
    },
    /// Whether the key may be used from the address.
    Address {
        /// The IP allowlist. `None`: no restriction.
        allowed: Option<IpAllowlist>,
        /// The address. `None`: not known.
        from: Option<IpAddr>,
    },
    /// Whether the key has all requested permissions.
    Permissions {
        /// The requested permissions.
        needed: Permissions,
        /// Those that the key does not have.
        missing: Vec<Permission>,
    },
    /// Whether enough uses remain.
    Remaining {
        /// The number of uses that this request consumes.
        cost: u64,
        /// The number of remaining uses, after a refill that is due. `None`: unlimited.
        left: Option<u64>,
    },
    /// Whether the rate limit is not reached.
    RateLimit {
        /// The maximum number of uses in a window. `None`: unlimited.
        max: Option<u64>,
        /// The number of uses in the current window.
        used: u64,
    },
}

/// A mistake that is often made when a secret is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedSecret {
    /// `Bearer ` precedes it, as in the header `Authorization`.
    BearerPrefix,
    /// A quotation mark is at its beginning or end.
    Quoted,
    /// Whitespace is in it, or around it.
    Whitespace,
}

impl MalformedSecret {
    /// The first mistake in a text. `None`: it has none of them, but may still be no secret.
    fn of(text: &str) -> Option<Self> {
        let is_quote = |character: char| "\"'`\u{201c}\u{201d}\u{2018}\u{2019}".contains(character);
        let bare = text.trim();
        let unquoted = bare.trim_matches(is_quote).trim_start();
        let (scheme, rest) = unquoted.split_at_checked("bearer".len()).unwrap_or(("", ""));
        if scheme.eq_ignore_ascii_case("bearer") && rest.starts_with(char::is_whitespace) {
            Some(Self::BearerPrefix)
        } else if bare.starts_with(is_quote) || bare.ends_with(is_quote) {
            Some(Self::Quoted)
        } else {
            text.contains(char::is_whitespace).then_some(Self::Whitespace)
        }
    }
}

impl Explanation {
    /// The first deny reason. `None`: the key is valid.
    #[must_use]
    pub fn deny_reason(&self) -> Option<DenyReason> {
        self.checks.iter().find_map(|check| check.deny_reason)
    }
}

impl KeyVerifier {
    /// The result that verifying the key would have now, read from the database. The caller has been authorized for
    /// `api_keys:verify` and `api_keys:read`.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn explain(&self, caller: &Caller, request: VerifyRequest<'_>) -> Result<Explanation, Error> {
        let requester = Requester::Caller(caller);
        let hash = match self.lookup.parse(request.secret) {
            None => None,
            Some(Lookup::Own(hash)) => Some(hash),
            Some(Lookup::Imported(text)) => match request.imported_in(requester) {
                None => None,
                Some(ImportedIn(organization)) => {
                    self.lookup.find_imported(&text, organization, false).await?.map(|key| *key.hash())
                }
            },
        };
        let found = match hash {
            Some(hash) => self.lookup.load(&hash).await?,
            None => None,
        };
        let now = self.clock.now();
        let visible = found.filter(|key| request.is_visible_to(requester, key) && !key.has_ended(now));
        let current = match &visible {
            Some(key) => self.api_keys.find(KeyScope::whole(key.organization()), key.id()).await?,
            None => None,
        };
        let (Some(key), Some(current)) = (visible, current) else {
            let malformed = MalformedSecret::of(request.secret);
            let unknown = Check { kind: CheckKind::Key { malformed }, deny_reason: Some(DenyReason::InvalidApiKey) };
            return Ok(Explanation { key: None, quota: Quota::default(), checks: vec![unknown], now });
        };
        let checks = checks(&key, &current.quota(), &request, now);
        Ok(Explanation { key: Some(key), quota: current.quota().at(now), checks, now })
    }
}

fn checks(key: &CachedKey, quota: &Quota, request: &VerifyRequest<'_>, now: Timestamp) -> Vec<Check> {
    let needed = request.permissions;
    let check = |kind, deny_reason: Option<DenyReason>| Check { kind, deny_reason };
    let when = |fails: bool, deny_reason| fails.then_some(deny_reason);
    let missing: Vec<Permission> = needed.iter().filter(|permission| !key.allows(permission)).cloned().collect();
    let state = quota.state_at(now);
    let lacks_permissions = !request.has_permissions(key);
    vec![
        check(CheckKind::Key { malformed: None }, None),
        check(CheckKind::Organization, when(key.is_suspended(), DenyReason::OrganizationSuspended)),
        check(
            CheckKind::Enabled { enabled: key.is_enabled() },
            when(key.is_orphan() || !key.is_enabled(), DenyReason::KeyDisabled),
        ),
        check(
            CheckKind::NotBefore { not_before: key.not_before() },
            when(key.not_before().is_some_and(|at| now < at), DenyReason::KeyNotYetValid),
        ),
        check(
            CheckKind::Expiry { expires_at: key.expires_at() },
            when(key.expires_at().is_some_and(|at| now >= at), DenyReason::KeyExpired),
        ),
        check(
            CheckKind::Address { allowed: key.addresses().cloned(), from: request.from },
            when(!key.is_allowed_from(request.from), DenyReason::AddressNotAllowed),
        ),
        check(
            CheckKind::Permissions { needed: needed.clone(), missing },
            when(lacks_permissions, DenyReason::InsufficientPermissions),
        ),
        check(
            CheckKind::Remaining { cost: request.cost, left: state.remaining },
            state.check_remaining(request.cost).err(),
        ),
        check(
            CheckKind::RateLimit {
                max: quota.rate_limit.map(|limit| limit.max),
                used: state.window.map_or(0, |window| window.used),
            },
            state.check_window().err(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_of_copied_secrets_are_recognized() {
        for text in ["Bearer cvg_x", "bearer  cvg_x", "\"Bearer cvg_x\"", " Bearer\tcvg_x", "Bearer \"cvg_x\""] {
            assert_eq!(MalformedSecret::of(text), Some(MalformedSecret::BearerPrefix), "{text}");
        }
        for text in ["\"cvg_x\"", "'cvg_x'", "cvg_x\"", " `cvg_x` ", "\u{201c}cvg_x\u{201d}", "\"cvg_x y\""] {
            assert_eq!(MalformedSecret::of(text), Some(MalformedSecret::Quoted), "{text}");
        }
        for text in ["cvg_x y", " cvg_x", "cvg_x\n", "cvg_\u{a0}x", " "] {
            assert_eq!(MalformedSecret::of(text), Some(MalformedSecret::Whitespace), "{text:?}");
        }
        for text in ["", "cvg_x", "Bearer", "Bearercvg_x", "cv\"g", "bearéx"] {
            assert_eq!(MalformedSecret::of(text), None, "{text}");
        }
    }
}
