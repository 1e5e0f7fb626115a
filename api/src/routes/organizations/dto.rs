//! JSON ↔ domain for organizations.

use domain::{
    id::ExternalId,
    organizations::{
        NewOrganization, OrganizationPatch,
        organization::{Caps, DeletedOrganization, Deletion, Organization, OrganizationKind, OrganizationName},
    },
};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use super::key_policy::{
    self,
    dto::{KeyPolicyBody, KeyPolicyView},
};
use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::{Nullable, Patch, Replace},
    rfc3339::Rfc3339,
    strict_json::document,
};

/// An organization: the owner of keys.
#[derive(Object)]
#[oai(rename = "Organization")]
pub(crate) struct OrganizationView {
    /// Unique identifier.
    id: Uuid,
    /// Name.
    name: Nullable<String>,
    kind: Kind,
    /// Identifier of the organization in your own system.
    external_id: Nullable<String>,
    /// Time of the suspension, which makes all keys of the organization invalid; null: not suspended.
    suspended_at: Nullable<Rfc3339>,
    /// Maximum number of keys; null: the service's default applies.
    max_api_keys: Nullable<u64>,
    /// Maximum number of members; if not set, the service's default applies.
    max_members: Nullable<u64>,
    /// Maximum number of permission sets; if not set, the service's default applies.
    max_permission_sets: Nullable<u64>,
    /// Default of `can_manage` for new keys.
    keys_can_manage_by_default: bool,
    /// Key policy; null: none.
    key_policy: Nullable<KeyPolicyView>,
    /// Creation time.
    created_at: Rfc3339,
    /// Deletion time; null: not deleted.
    deleted_at: Nullable<Rfc3339>,
    /// The platform can restore the organization until this time; null if it is not deleted, or is being removed.
    restorable_until: Nullable<Rfc3339>,
    /// About how many keys are still to be removed; null if the organization is not deleted.
    api_keys_left: Nullable<u64>,
}

/// Kind of organization.
#[derive(Enum)]
#[oai(rename = "OrganizationKind", rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A customer: sees only itself.
    Tenant,
    /// The operator: acts in every organization.
    Platform,
}

impl From<OrganizationKind> for Kind {
    fn from(kind: OrganizationKind) -> Self {
        match kind {
            OrganizationKind::Tenant => Self::Tenant,
            OrganizationKind::Platform => Self::Platform,
        }
    }
}

impl From<&Organization> for OrganizationView {
    fn from(organization: &Organization) -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            id: organization.id.uuid(),
            name: Nullable(organization.name.as_ref().map(|name| text(name.as_str()))),
            kind: organization.kind.into(),
            external_id: Nullable(organization.external_id.as_ref().map(|id| text(id.as_str()))),
            suspended_at: Nullable(organization.suspended_at.map(Rfc3339)),
            max_api_keys: Nullable(organization.caps.keys),
            max_members: Nullable(organization.caps.members),
            max_permission_sets: Nullable(organization.caps.sets),
            keys_can_manage_by_default: organization.keys_can_manage_by_default,
            key_policy: Nullable(organization.key_policy.as_deref().map(KeyPolicyView::from)),
            created_at: Rfc3339(organization.created_at),
            deleted_at: Nullable(organization.deleted_at.map(Rfc3339)),
            restorable_until: Nullable(None),
            api_keys_left: Nullable(None),
        }
    }
}

impl From<&DeletedOrganization> for OrganizationView {
    fn from(deleted: &DeletedOrganization) -> Self {
        Self {
            restorable_until: Nullable(deleted.restorable_until.map(Rfc3339)),
            api_keys_left: Nullable(Some(deleted.keys_left)),
            ..Self::from(&deleted.organization)
        }
    }
}

/// The result of a deletion of an organization.
#[derive(Object)]
#[oai(rename = "OrganizationDeletion")]
pub(crate) struct DeletionView {
    /// Message for humans.
    message: String,
    /// The platform can restore the organization until this time; null: its data is permanently removed, or is being
    /// removed.
    restorable_until: Nullable<Rfc3339>,
}

impl From<Deletion> for DeletionView {
    fn from(deletion: Deletion) -> Self {
        let (message, until) = match deletion {
            Deletion::Kept(until) => {
                ("Organization deleted; the operator of the service can restore it until restorable_until", Some(until))
            }
            Deletion::Removing => ("Organization deleted; its data is being removed", None),
            Deletion::Removed => ("Organization deleted successfully", None),
        };
        Self { message: message.to_owned(), restorable_until: Nullable(until.map(Rfc3339)) }
    }
}

document! {
    /// An organization to create.
    #[oai(rename = "CreateOrganizationRequest", skip_serializing_if_is_none)]
    pub(crate) struct CreateOrganization {
        /// Name: at most 100 characters.
        name: Option<String>,
        /// Identifier of the organization in your own system: at most 255 characters, unique.
        external_id: Option<String>,
        /// Maximum number of keys; if not set, the service's default applies.
        max_api_keys: Option<u64>,
        /// Maximum number of members; if not set, the service's default applies.
        max_members: Option<u64>,
        /// Maximum number of permission sets; if not set, the service's default applies.
        max_permission_sets: Option<u64>,
        /// Default of `can_manage` for new keys; default `true`.
        keys_can_manage_by_default: Option<bool>,
    }
}

impl CreateOrganization {
    pub(crate) fn into_domain(self) -> Result<NewOrganization, ApiError> {
        let mut fields = Fields::default();
        let name = fields.check_optional("name", self.name.as_deref().map(OrganizationName::parse));
        let external_id = fields.check_optional("external_id", self.external_id.as_deref().map(ExternalId::parse));
        let caps = Caps { keys: self.max_api_keys, members: self.max_members, sets: self.max_permission_sets };
        fields.into_result()?;
        let keys_can_manage_by_default = self.keys_can_manage_by_default.unwrap_or(true);
        Ok(NewOrganization { name, external_id, caps, keys_can_manage_by_default })
    }
}

document! {
    /// Changes of an organization: at least one. Absent fields are unchanged; `null` clears a field, and is invalid for
    /// `keys_can_manage_by_default` and `suspended`. Only the platform can change fields other than `name`,
    /// `keys_can_manage_by_default` and `key_policy`.
    #[oai(rename = "UpdateOrganizationRequest")]
    pub(crate) struct UpdateOrganization {
        /// Name: at most 100 characters.
        name: Patch<String>,
        /// Identifier of the organization in your own system: at most 255 characters, unique.
        external_id: Patch<String>,
        /// Maximum number of keys; if not set, the service's default applies.
        max_api_keys: Patch<u64>,
        /// Maximum number of members; if not set, the service's default applies.
        max_members: Patch<u64>,
        /// Maximum number of permission sets; if not set, the service's default applies.
        max_permission_sets: Patch<u64>,
        /// Default of `can_manage` for new keys. Existing keys are unchanged.
        keys_can_manage_by_default: Replace<bool>,
        /// Key policy, instead of the whole policy before; null: none. Existing keys that break it stay valid.
        key_policy: Patch<KeyPolicyBody>,
        /// Whether the organization is suspended: all of its keys are invalid.
        suspended: Replace<bool>,
    }
}

impl UpdateOrganization {
    pub(crate) fn into_domain(self) -> Result<OrganizationPatch, ApiError> {
        let mut fields = Fields::default();
        let patch = OrganizationPatch {
            name: fields.check_change("name", self.name.0, |text| OrganizationName::parse(&text)),
            external_id: fields.check_change("external_id", self.external_id.0, |text| ExternalId::parse(&text)),
            max_api_keys: self.max_api_keys.0,
            max_members: self.max_members.0,
            max_sets: self.max_permission_sets.0,
            keys_can_manage_by_default: self.keys_can_manage_by_default.0,
            key_policy: key_policy::dto::check_change(&mut fields, self.key_policy),
            suspended: self.suspended.0,
        };
        fields.into_result()?;
        Ok(patch)
    }
}
