//! The errors of the creation of a portal session.

use domain::{
    Error,
    keys::policy::{BrokenRule, Violation},
};

use crate::http::{
    api_error::{ApiError, Fields},
    key_policy_errors::describe_violation,
};

/// The error of a creation: a broken key policy as fields of the request, which say what to change there.
pub(super) fn creation_error(error: Error) -> ApiError {
    let Error::KeyPolicyViolated(broken) = error else { return error.into() };
    let mut fields = Fields::default();
    for BrokenRule { violation, .. } in &broken {
        match violation {
            Violation::NoExpiry => fields.add(
                "limits.max_lifetime_seconds",
                "is required, because the key policy of the organization requires that keys expire",
            ),
            Violation::Prefix(prefix) => {
                let wrong = format_args!("must be {prefix} or absent, because the key policy requires this prefix");
                fields.add("prefix", wrong);
            }
            Violation::Permission(permission) => {
                let wrong = format_args!("must not contain {permission}, which the key policy does not allow");
                fields.add("permissions_ceiling", wrong);
            }
            Violation::NoAddresses(permission) => {
                let wrong = format_args!(
                    "must not contain {permission} or a part of it: the key policy requires an IP allowlist for it, which keys of \
                     the portal do not have"
                );
                fields.add("permissions_ceiling", wrong);
            }
            // A key of the portal does not break these.
            Violation::Lifetime { .. } | Violation::CanManage | Violation::Rotation { .. } | Violation::Unused(_) => {
                fields.add("allowed", format_args!("must not contain create: {}", describe_violation(violation)));
            }
        }
    }
    ApiError::Invalid(fields)
}
