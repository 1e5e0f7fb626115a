//! Changes that were refused, for the log of the organization: found out at the edge, where every operation passes.

use std::sync::{Arc, OnceLock};

use domain::{
    Error,
    act::Action,
    audit::Outcome,
    caller::Caller,
    clock::Clock,
    id::OrganizationId,
    permission::Permission,
    ports::{AuditLog, Notable},
};
use uuid::Uuid;

use crate::failure::Failure;

/// Who a request was found to come from: written where callers are admitted, read where the request ends.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<OnceLock<Caller>>);

impl Witness {
    /// Says who it is.
    pub fn saw(&self, caller: &Caller) {
        // A request has one caller.
        let _ = self.0.set(caller.clone());
    }

    /// The organization that the caller acts in, once they are known.
    #[must_use]
    pub fn organization(&self) -> Option<OrganizationId> {
        self.0.get().and_then(|caller| caller.organization().ok())
    }
}

/// Takes what was refused.
pub struct RefusedChanges {
    /// The log.
    pub log: Arc<dyn AuditLog>,
    /// When.
    pub clock: Arc<dyn Clock>,
}

impl RefusedChanges {
    /// Notes that an operation was refused to a caller who is known, if it would have changed who may do what.
    pub fn note(&self, witness: &Witness, operation: Option<&str>, path: &str, failure: &Failure) {
        let (Some(caller), Some(action)) = (witness.0.get(), operation.and_then(action)) else { return };
        let Failure::Refused(error) = failure else { return };
        let Some((reason, permission)) = reason(error) else { return };
        let ids: Vec<Uuid> = path.split('/').filter_map(|part| Uuid::try_parse(part).ok()).collect();
        let meant = ids.first().map(|id| OrganizationId::from_uuid(*id)).filter(|_| path.starts_with("/orgs/"));
        // In the log of those whom it is about, where they are the caller's to see.
        let Some(organization) = meant.filter(|id| caller.is_known_at(*id)).or(caller.organization().ok()) else {
            return;
        };
        let act = caller.act(organization, action, permission, self.clock.now());
        let target = ids.last().copied().unwrap_or(organization.uuid());
        self.log.gather(Notable { act, outcome: Outcome::Refused, reason: reason.to_owned(), target });
    }
}

/// Why a change was refused, and which permission is missing. `None`: it was not, it could not be made.
fn reason(error: &Error) -> Option<(&'static str, Option<Permission>)> {
    Some(match error {
        Error::Forbidden(permission) => ("forbidden", Some(permission.clone())),
        Error::ExceedsGrants => ("exceeds_grants", None),
        Error::ExceedsExpiry => ("exceeds_expiry", None),
        Error::ExceedsAddresses => ("exceeds_addresses", None),
        Error::PlatformOnly => ("platform_only", None),
        Error::LastAdmin => ("last_admin", None),
        _ => return None,
    })
}

/// What an operation changes. `None`: nothing that the log is about.
#[must_use]
pub fn action(operation: &str) -> Option<Action> {
    Some(match operation {
        "createApiKey" | "createApiKeys" | "athenaCreateApiKey" => Action::CreateKey,
        "updateApiKey" | "setApiKeyPermissionSets" | "athenaUpdateApiKey" => Action::UpdateKey,
        "importApiKeys" => Action::ImportKey,
        "rotateApiKey" => Action::RotateKey,
        "endPreviousSecret" => Action::EndSecret,
        "deleteApiKey" | "deleteApiKeys" | "athenaDeleteApiKey" | "athenaDeleteExpiredApiKeys" => Action::DeleteKey,
        "restoreApiKey" => Action::RestoreKey,
        "createOrganization" => Action::CreateOrganization,
        "updateOrganization" => Action::UpdateOrganization,
        "deleteOrganization" => Action::DeleteOrganization,
        "addMember" => Action::AddMember,
        "updateMember" => Action::UpdateMember,
        "removeMember" => Action::RemoveMember,
        "createPermissionSet" => Action::CreateSet,
        "updatePermissionSet" => Action::UpdateSet,
        "deletePermissionSet" => Action::DeleteSet,
        _ => return None,
    })
}
