//! Every kind of error has a reason, and every reason belongs to a kind of error.

use std::collections::BTreeSet;

use domain::{
    deny_reason::DenyReason,
    error::{Capped, Limited},
    id::{KeyId, UserId},
    keys::policy::{BrokenRule, PolicySource, Violation},
    permissions::Permission,
};
use poem_openapi::{registry::Registry, types::Type};
use uuid::Uuid;

use super::*;
use crate::{
    auth::audit_denials,
    error_formats::ERROR_FORMATS,
    http::api_error::{Fields, OAuthError},
};

/// Declares [`failures`]: an example of each kind of error, with the code of its reason. It does not compile if a kind has no
/// example.
macro_rules! failures {
    ($($kind:pat, $example:expr, $code:literal;)+) => {
        fn failures() -> Vec<(ApiError, &'static str)> {
            let failures: Vec<(ApiError, &str)> = vec![$(($example.into(), $code)),+];
            for (failure, code) in &failures {
                let code_of_kind = match failure {
                    $($kind => $code,)+
                };
                assert_eq!(*code, code_of_kind, "{failure:?} is an example of another kind");
            }
            failures
        }
    };
}

use crate::http::api_error::ApiError::Domain;

fn unknown_person() -> Error {
    let identity = Identity { issuer: "https://id.example/".to_owned(), subject: "ada".to_owned() };
    Error::UnknownPerson(Box::new(UnknownPerson { identity, organization: None }))
}

fn broken_rules() -> Vec<BrokenRule> {
    vec![BrokenRule { source: PolicySource::Organization, violation: Violation::NoExpiry }]
}

failures! {
    Domain(Error::Unauthenticated(_)), Error::Unauthenticated(DenyReason::KeyExpired), "invalid_credential";
    Domain(Error::Forbidden(_)), Error::Forbidden(Permission::ORG_READ), "permission_required";
    Domain(Error::CannotManage), Error::CannotManage, "cannot_manage";
    Domain(Error::ExceedsPermissions), Error::ExceedsPermissions, "exceeds_permissions";
    Domain(Error::ExceedsExpiry), Error::ExceedsExpiry, "exceeds_expiry";
    Domain(Error::ExceedsAddresses), Error::ExceedsAddresses, "exceeds_addresses";
    Domain(Error::NeverValid), Error::NeverValid, "never_valid";
    Domain(Error::KeyPolicyViolated(_)), Error::KeyPolicyViolated(broken_rules()), "key_policy_violated";
    Domain(Error::ListedKeyViolatesPolicy(..)), Error::ListedKeyViolatesPolicy(3, broken_rules()), "key_policy_violated";
    Domain(Error::NoOrganization), Error::NoOrganization, "organization_required";
    Domain(Error::UnknownPerson(_)), unknown_person(), "organization_required";
    Domain(Error::InvitationNotFound), Error::InvitationNotFound, "invitation_not_found";
    Domain(Error::PortalLinkNotFound), Error::PortalLinkNotFound, "portal_link_not_found";
    Domain(Error::PortalSessionRequired), Error::PortalSessionRequired, "portal_session_required";
    Domain(Error::PortalActionNotAllowed(_)), Error::PortalActionNotAllowed("create"),
        "portal_action_not_allowed";
    Domain(Error::PersonRequired), Error::PersonRequired, "person_required";
    Domain(Error::PasskeyRejected), Error::PasskeyRejected, "passkey_rejected";
    Domain(Error::PasskeyAccountRequired), Error::PasskeyAccountRequired, "passkey_account_required";
    Domain(Error::LastPasskey), Error::LastPasskey, "last_passkey";
    Domain(Error::TooManyPasskeys), Error::TooManyPasskeys, "passkey_limit_reached";
    Domain(Error::ProviderNotAllowed), Error::ProviderNotAllowed, "provider_not_allowed";
    Domain(Error::NotExchangeable(NotExchangeable::SessionForSession)),
        Error::NotExchangeable(NotExchangeable::SessionForSession), "session_cannot_create_session";
    Domain(Error::NotExchangeable(NotExchangeable::SessionForToken)),
        Error::NotExchangeable(NotExchangeable::SessionForToken), "session_cannot_create_token";
    Domain(Error::NotExchangeable(NotExchangeable::NotAKey)),
        Error::NotExchangeable(NotExchangeable::NotAKey), "api_key_required";
    Domain(Error::KeyRequired), Error::KeyRequired, "api_key_required";
    Domain(Error::NotExchangeable(NotExchangeable::Metered)),
        Error::NotExchangeable(NotExchangeable::Metered), "metered_key_not_exchangeable";
    Domain(Error::NotExchangeable(NotExchangeable::HasAddresses)),
        Error::NotExchangeable(NotExchangeable::HasAddresses), "restricted_key_not_exchangeable";
    Domain(Error::NotExchangeable(NotExchangeable::Platform)),
        Error::NotExchangeable(NotExchangeable::Platform), "platform_key_not_exchangeable";
    Domain(Error::SessionRotatesItself), Error::SessionRotatesItself, "session_cannot_rotate_own_key";
    Domain(Error::FreshSignInRequired), Error::FreshSignInRequired, "fresh_sign_in_required";
    Domain(Error::TooManyTokens), Error::TooManyTokens, "token_limit_reached";
    Domain(Error::NotFound), Error::NotFound, "not_found";
    Domain(Error::UserNotFound), Error::UserNotFound, "user_not_found";
    Domain(Error::SetNotFound), Error::SetNotFound, "permission_set_not_found";
    Domain(Error::PlatformOnly), Error::PlatformOnly, "platform_only";
    Domain(Error::PlatformProtected), Error::PlatformProtected, "platform_protected";
    Domain(Error::NameTaken), Error::NameTaken, "name_taken";
    Domain(Error::ExternalIdTaken), Error::ExternalIdTaken, "external_id_taken";
    Domain(Error::AlreadyMember), Error::AlreadyMember, "already_member";
    Domain(Error::LastAdmin), Error::LastAdmin, "last_administrator";
    Domain(Error::InUse), Error::InUse, "permission_set_in_use";
    Domain(Error::CapReached(Capped::Keys)), Error::CapReached(Capped::Keys), "key_limit_reached";
    Domain(Error::CapReached(Capped::Members)), Error::CapReached(Capped::Members), "member_limit_reached";
    Domain(Error::CapReached(Capped::Sets)), Error::CapReached(Capped::Sets), "permission_set_limit_reached";
    Domain(Error::CapReached(Capped::Invitations)), Error::CapReached(Capped::Invitations), "invitation_limit_reached";
    Domain(Error::CapReached(Capped::PortalSessions)), Error::CapReached(Capped::PortalSessions),
        "portal_session_limit_reached";
    Domain(Error::CapReached(Capped::PortalKeys)), Error::CapReached(Capped::PortalKeys), "portal_key_limit_reached";
    Domain(Error::CapReached(Capped::PortalKeysOfHour)), Error::CapReached(Capped::PortalKeysOfHour),
        "portal_key_limit_reached";
    Domain(Error::CapReached(Capped::TrustRules)), Error::CapReached(Capped::TrustRules), "trust_rule_limit_reached";
    Domain(Error::TooManyPermissions(Grantee::Requested)), Error::TooManyPermissions(Grantee::Requested),
        "too_many_permissions";
    Domain(Error::TooManyPermissions(Grantee::Key(_))),
        Error::TooManyPermissions(Grantee::Key(KeyId::from_uuid(Uuid::nil()))), "key_would_exceed_permissions";
    Domain(Error::TooManyPermissions(Grantee::Member(_))),
        Error::TooManyPermissions(Grantee::Member(UserId::from_uuid(Uuid::nil()))), "member_would_exceed_permissions";
    Domain(Error::TooMany { what: Limited::Changes, .. }),
        Error::TooMany { what: Limited::Changes, retry_after: 1 }, "change_limit_reached";
    Domain(Error::TooMany { what: Limited::IdempotencyKeys, .. }),
        Error::TooMany { what: Limited::IdempotencyKeys, retry_after: 1 }, "idempotency_key_limit_reached";
    Domain(Error::TooMany { what: Limited::Tokens, .. }),
        Error::TooMany { what: Limited::Tokens, retry_after: 1 }, "service_token_limit_reached";
    Domain(Error::TooMany { what: Limited::Requests, .. }),
        Error::TooMany { what: Limited::Requests, retry_after: 1 }, "rate_limited";
    Domain(Error::TooMany { what: Limited::PortalRequests, .. }),
        Error::TooMany { what: Limited::PortalRequests, retry_after: 1 }, "rate_limited";
    Domain(Error::RefillWithout(RefillPart::Amount)), Error::RefillWithout(RefillPart::Amount),
        "refill_amount_required";
    Domain(Error::RefillWithout(RefillPart::Interval)), Error::RefillWithout(RefillPart::Interval),
        "refill_interval_required";
    Domain(Error::IdempotentRequestInProgress), Error::IdempotentRequestInProgress, "idempotent_request_in_progress";
    Domain(Error::IdempotentResponseNotStored), Error::IdempotentResponseNotStored, "idempotent_response_not_stored";
    Domain(Error::IdempotencyKeyReused), Error::IdempotencyKeyReused, "idempotency_key_reused";
    Domain(Error::TooManyKeyFormats), Error::TooManyKeyFormats, "key_format_limit_reached";
    Domain(Error::RotationInProgress), Error::RotationInProgress, "rotation_in_progress";
    Domain(Error::NewestSecretUsed), Error::NewestSecretUsed, "newest_secret_used";
    Domain(Error::NoPreviousSecret), Error::NoPreviousSecret, "no_previous_secret";
    Domain(Error::SecretInUse), Error::SecretInUse, "secret_in_use";
    Domain(Error::VersionMismatch), Error::VersionMismatch, "version_mismatch";
    Domain(Error::ConcurrentChanges), Error::ConcurrentChanges, "concurrent_changes";
    Domain(Error::NothingToChange), Error::NothingToChange, "nothing_to_change";
    Domain(Error::EmailTaken), Error::EmailTaken, "email_taken";
    Domain(Error::PlatformExists), Error::PlatformExists, "platform_exists";
    Domain(Error::Outage(Outage::Unavailable(_))), Error::Outage(Outage::Unavailable("no connection".into())), "unavailable";
    Domain(Error::Outage(Outage::Broken(_))), Error::Outage(Outage::Broken("broken".into())), "internal";
    ApiError::Anonymous, ApiError::Anonymous, "unauthenticated";
    ApiError::MalformedCredential, ApiError::MalformedCredential, "invalid_credential";
    ApiError::PortalToken, ApiError::PortalToken, "invalid_credential";
    ApiError::CrossSite, ApiError::CrossSite, "cross_site_request";
    ApiError::SignUpClosed, ApiError::SignUpClosed, "sign_up_closed";
    ApiError::PasskeysUnavailable, ApiError::PasskeysUnavailable, "passkeys_unavailable";
    ApiError::NotConfigured, ApiError::NotConfigured, "not_configured";
    ApiError::NoPublicUrl, ApiError::NoPublicUrl, "public_origin_required";
    ApiError::TooManyAttempts { .. }, ApiError::TooManyAttempts { retry_after: 1 }, "too_many_attempts";
    ApiError::Busy, ApiError::Busy, "overloaded";
    ApiError::LocalOnly, ApiError::LocalOnly, "local_only";
    ApiError::TooManyLists(ExhaustedSlots::Organization), ApiError::TooManyLists(ExhaustedSlots::Organization), "too_many_lists";
    ApiError::TooManyLists(ExhaustedSlots::Service), ApiError::TooManyLists(ExhaustedSlots::Service), "overloaded";
    ApiError::MalformedRequest(_), ApiError::MalformedRequest("The header Host is missing"), "malformed_request";
    ApiError::BodyTimeout, ApiError::BodyTimeout, "body_timeout";
    ApiError::TooLarge { .. }, ApiError::TooLarge { limit: 1_024 }, "body_too_large";
    ApiError::UnsupportedEncoding, ApiError::UnsupportedEncoding, "unsupported_media_type";
    ApiError::UnsupportedMediaType, ApiError::UnsupportedMediaType, "unsupported_media_type";
    ApiError::MalformedBody(_), ApiError::MalformedBody("The body is not valid JSON".to_owned()), "malformed_body";
    ApiError::Invalid(_), ApiError::Invalid(Fields::one("name", "is required")), "invalid_fields";
    ApiError::OAuth(_), ApiError::OAuth(OAuthError::InvalidClient), "malformed_body";
    ApiError::UnknownPath, ApiError::UnknownPath, "unknown_path";
    ApiError::MethodNotAllowed, ApiError::MethodNotAllowed, "method_not_allowed";
    ApiError::Timeout, ApiError::Timeout, "timeout";
    ApiError::Defect(_), ApiError::Defect("a defect".to_owned()), "internal";
}

#[test]
fn each_failure_has_its_reason_with_the_status_of_the_reason() {
    for (failure, code) in failures() {
        let (status, body) = render(&failure, "id");
        assert_eq!((&body["reason"], &body["request_id"]), (&code.into(), &"id".into()), "{failure:?}");
        let reason = ErrorReason::ALL.into_iter().find(|reason| reason.code() == code).expect("a reason");
        assert_eq!((reason.status(), &body["code"]), (status, &status.as_u16().into()), "{failure:?}");
        assert!(status.is_client_error() || status.is_server_error(), "{failure:?}");
        assert_eq!(body.get("fields").is_some(), status == StatusCode::BAD_REQUEST, "{failure:?}");
        let message = body["message"].as_str().expect("a message");
        assert!(!message.is_empty() && !message.ends_with('.'), "{message}");
    }
}

#[test]
fn the_audit_log_has_the_reasons_of_the_responses() {
    let mut denials = 0;
    for (failure, code) in failures() {
        let ApiError::Domain(error) = &failure else { continue };
        if let Some((reason, permission)) = audit_denials::reason(error) {
            assert_eq!((reason.code(), permission.is_some()), (code, matches!(error, Error::Forbidden(_))));
            denials += 1;
        }
    }
    assert!(denials > 10, "{denials}");
}

#[test]
fn each_reason_is_of_a_failure_and_has_one_code() {
    let produced: BTreeSet<&str> = failures().into_iter().map(|(_, code)| code).collect();
    let declared: BTreeSet<&str> = ErrorReason::ALL.map(ErrorReason::code).into();
    assert_eq!(produced, declared);
    assert_eq!(declared.len(), ErrorReason::ALL.len(), "no code is used twice");
    let is_snake_case = |code: &&str| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assert!(declared.iter().all(is_snake_case), "{declared:?}");
}

#[test]
fn each_contract_renders_each_failure_as_an_error() {
    for format in ERROR_FORMATS {
        for (failure, _) in failures() {
            let (status, body) = (format.render)(&failure, "id");
            let message = body.get("message").or(body.get("error_description"));
            let message = message.and_then(Value::as_str).expect("a message");
            assert!(status.as_u16() >= 400 && !message.is_empty(), "{} {failure:?}", format.prefix);
        }
    }
}

#[test]
fn the_schema_of_reasons_describes_each() {
    let mut registry = Registry::new();
    Code::<ErrorReason>::register(&mut registry);
    let schema = registry.schemas.get("ErrorReason").expect("registered");
    assert_eq!(schema.enum_items, ErrorReason::ALL.map(|reason| Value::from(reason.code())));
    let description = schema.description.expect("a description");
    for reason in ErrorReason::ALL {
        let entry = format!("\n- `{}` ({}): ", reason.code(), reason.status().as_u16());
        assert!(description.contains(&entry), "{entry}");
    }
    assert_eq!(Permissions::MAX_EFFECTIVE, 1_024, "as the descriptions say");
}
