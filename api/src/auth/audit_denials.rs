//! Records denied changes in the audit log of the organization. The request pipeline calls it for every operation that fails.

use std::sync::Arc;

use domain::{
    Error,
    audit::{
        EventOutcome,
        context::Action,
        reason::{AuditReason, EventDetail},
    },
    clock::Clock,
    error::NotExchangeable,
    id::OrganizationId,
    permissions::Permission,
    ports::{AuditLog, MergedEvent},
};
use uuid::Uuid;

use crate::http::{api_error::ApiError, request_caller::RequestCaller};

/// Records denied changes.
pub struct DeniedChanges {
    /// The audit log.
    pub log: Arc<dyn AuditLog>,
    /// The time of the events.
    pub clock: Arc<dyn Clock>,
}

impl DeniedChanges {
    /// Records that an operation was denied to an authenticated caller, if it would have changed permissions or credentials.
    /// `operation` is the operation id; `path` is the path of the request, whose ids are the organization and the target.
    pub fn record(&self, request_caller: &RequestCaller, operation: Option<&str>, path: &str, failure: &ApiError) {
        let (Some(caller), Some(action)) = (request_caller.caller(), operation.and_then(action)) else { return };
        let ApiError::Domain(error) = failure else { return };
        let Some((reason, permission)) = reason(error) else { return };
        let ids: Vec<Uuid> = path.split('/').filter_map(|part| Uuid::try_parse(part).ok()).collect();
        let organization_in_path =
            ids.first().map(|id| OrganizationId::from_uuid(*id)).filter(|_| path.starts_with("/orgs/"));
        // In the log of the organization in the path, if the caller can see it, else in the log of the caller's organization.
        let Some(organization) =
            organization_in_path.filter(|id| caller.appears_in_log_of(*id)).or(caller.organization().ok())
        else {
            return;
        };
        let context = caller.audit_context(organization, action, permission.cloned(), self.clock.now());
        let target = ids.last().copied().unwrap_or(organization.uuid());
        self.log.record_merged(MergedEvent {
            context,
            outcome: EventOutcome::Denied,
            detail: Some(EventDetail::Reason(reason)),
            target,
        });
    }
}

/// The reason for the audit log and the missing permission. `None`: the error is not a denial.
#[must_use]
pub fn reason(error: &Error) -> Option<(AuditReason, Option<&Permission>)> {
    let reason = match error {
        Error::Forbidden(permission) => return Some((AuditReason::PermissionRequired, Some(permission))),
        Error::CannotManage => AuditReason::CannotManage,
        Error::ExceedsPermissions => AuditReason::ExceedsPermissions,
        Error::ExceedsExpiry => AuditReason::ExceedsExpiry,
        Error::ExceedsAddresses => AuditReason::ExceedsAddresses,
        Error::SessionRotatesItself => AuditReason::SessionCannotRotateOwnKey,
        Error::FreshSignInRequired => AuditReason::FreshSignInRequired,
        Error::PlatformOnly => AuditReason::PlatformOnly,
        Error::LastAdmin => AuditReason::LastAdministrator,
        Error::NotExchangeable(cause) => match cause {
            NotExchangeable::SessionForSession => AuditReason::SessionCannotCreateSession,
            NotExchangeable::SessionForToken => AuditReason::SessionCannotCreateToken,
            NotExchangeable::NotAKey => AuditReason::ApiKeyRequired,
            NotExchangeable::Metered => AuditReason::MeteredKeyNotExchangeable,
            NotExchangeable::HasAddresses => AuditReason::RestrictedKeyNotExchangeable,
            NotExchangeable::Platform => AuditReason::PlatformKeyNotExchangeable,
        },
        _ => return None,
    };
    Some((reason, None))
}

/// The audited action of an operation id. `None`: the operation is not audited.
#[must_use]
pub fn action(operation: &str) -> Option<Action> {
    Some(match operation {
        "createApiKey" | "bulkCreateApiKeys" | "createAthenaKey" | "createPortalKey" => Action::CreateKey,
        "updateApiKey" | "setApiKeyPermissionSets" | "updateAthenaKey" => Action::UpdateKey,
        "importApiKeys" => Action::ImportKey,
        "rotateApiKey" | "rotatePortalKey" => Action::RotateKey,
        "undoRotation" => Action::UndoRotation,
        "revokePreviousSecret" => Action::RevokePreviousSecret,
        "deleteApiKey" | "bulkDeleteApiKeys" | "deleteAthenaKey" | "deleteExpiredAthenaKeys" | "revokePortalKey" => {
            Action::DeleteKey
        }
        "restoreApiKey" => Action::RestoreKey,
        "createOrganization" => Action::CreateOrganization,
        "updateOrganization" => Action::UpdateOrganization,
        "deleteOrganization" => Action::DeleteOrganization,
        "restoreOrganization" => Action::RestoreOrganization,
        "endSessions" | "endMemberSessions" => Action::EndSessions,
        "createPasskeyOptions" | "addPasskey" => Action::RegisterPasskey,
        "renamePasskey" => Action::RenamePasskey,
        "removePasskey" => Action::RemovePasskey,
        "addMember" => Action::AddMember,
        "updateMember" => Action::UpdateMember,
        "removeMember" | "eraseUsers" | "leaveOrganization" => Action::RemoveMember,
        "acceptMembership" => Action::AcceptMembership,
        "createInvitation" => Action::CreateInvitation,
        "revokeInvitation" => Action::RevokeInvitation,
        "redeemInvitation" => Action::RedeemInvitation,
        "createRecoveryLink" => Action::CreateRecoveryLink,
        "createPermissionSet" => Action::CreateSet,
        "updatePermissionSet" => Action::UpdateSet,
        "deletePermissionSet" => Action::DeleteSet,
        "createTrustRule" => Action::CreateTrustRule,
        "updateTrustRule" => Action::UpdateTrustRule,
        "deleteTrustRule" => Action::DeleteTrustRule,
        "updatePortal" => Action::UpdatePortal,
        "openPortalSession" => Action::OpenPortalSession,
        "createPortalSession" => Action::CreatePortalSession,
        "revokePortalSession" => Action::RevokePortalSession,
        "closePortalSession" => Action::ClosePortalSession,
        "openSession" => Action::OpenSession,
        "closeSession" | "endSession" | "endMemberSession" => Action::CloseSession,
        "createToken" | "createOAuthToken" => Action::CreateToken,
        "revokeToken" => Action::RevokeToken,
        _ => return None,
    })
}
