//! JSON ↔ domain for organizations.

use domain::{
    change::Change,
    organization::{Caps, DeletedOrganization, ExternalId, Organization, OrganizationKind, OrganizationName},
    organizations::{NewOrganization, OrganizationPatch},
    text::Invalid,
};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::{
    body::Document,
    failure::{Failure, Fields},
    json::Members,
    time::Moment,
    wire::{Nullable, Patch},
};

/// An owner of keys.
#[derive(Object)]
#[oai(rename = "Organization")]
pub(super) struct OrganizationView {
    /// Its identifier.
    id: Uuid,
    /// Its name.
    name: Nullable<String>,
    kind: Kind,
    /// What the operator's own system calls it.
    external_id: Nullable<String>,
    /// Since when none of its keys is good for anything; null: they are.
    suspended_at: Nullable<Moment>,
    /// The most keys that it may have; null: as many as the service allows everyone.
    max_api_keys: Nullable<u64>,
    /// The most members.
    max_members: Nullable<u64>,
    /// The most permission sets.
    max_permission_sets: Nullable<u64>,
    /// When it was made.
    created_at: Moment,
    /// When it was deleted; null: it was not.
    deleted_at: Nullable<Moment>,
    /// About how many of its keys are still to be removed; null where it is not deleted.
    api_keys_left: Nullable<u64>,
}

/// What an organization is for.
#[derive(Enum)]
#[oai(rename = "OrganizationKind", rename_all = "lowercase")]
pub(super) enum Kind {
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
            suspended_at: Nullable(organization.suspended_at.map(Moment)),
            max_api_keys: Nullable(organization.caps.keys),
            max_members: Nullable(organization.caps.members),
            max_permission_sets: Nullable(organization.caps.sets),
            created_at: Moment(organization.created_at),
            deleted_at: Nullable(organization.deleted_at.map(Moment)),
            api_keys_left: Nullable(None),
        }
    }
}

impl From<&DeletedOrganization> for OrganizationView {
    fn from(deleted: &DeletedOrganization) -> Self {
        Self { api_keys_left: Nullable(Some(deleted.keys_left)), ..Self::from(&deleted.organization) }
    }
}

/// An organization to be made.
#[derive(Object)]
#[oai(rename = "CreateOrganization", skip_serializing_if_is_none)]
pub(super) struct CreateOrganization {
    /// Its name: at most 100 characters.
    name: Option<String>,
    /// What the operator's own system calls it: at most 255 characters, and no other organization's.
    external_id: Option<String>,
    /// The most keys that it may have.
    max_api_keys: Option<u64>,
    /// The most members.
    max_members: Option<u64>,
    /// The most permission sets.
    max_permission_sets: Option<u64>,
}

impl Document for CreateOrganization {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let document = Self {
            name: members.optional("name"),
            external_id: members.optional("external_id"),
            max_api_keys: members.optional("max_api_keys"),
            max_members: members.optional("max_members"),
            max_permission_sets: members.optional("max_permission_sets"),
        };
        members.finish_strictly()?;
        Ok(document)
    }
}

impl CreateOrganization {
    pub(super) fn into_domain(self) -> Result<NewOrganization, Failure> {
        let mut fields = Fields::default();
        let name = fields.check_optional("name", self.name.as_deref().map(OrganizationName::parse));
        let external_id = fields.check_optional("external_id", self.external_id.as_deref().map(ExternalId::parse));
        let caps = Caps { keys: self.max_api_keys, members: self.max_members, sets: self.max_permission_sets };
        fields.into_result()?;
        Ok(NewOrganization { name, external_id, caps })
    }
}

/// What changes of an organization; what is absent stays, `null` clears. All but the name is for the platform alone.
#[derive(Object)]
#[oai(rename = "UpdateOrganization")]
pub(super) struct UpdateOrganization {
    /// Its name.
    name: Patch<String>,
    /// What the operator's own system calls it.
    external_id: Patch<String>,
    /// The most keys.
    max_api_keys: Patch<u64>,
    /// The most members.
    max_members: Patch<u64>,
    /// The most permission sets.
    max_permission_sets: Patch<u64>,
    /// Whether none of its keys is good for anything.
    #[oai(skip_serializing_if_is_none)]
    suspended: Option<bool>,
}

impl Document for UpdateOrganization {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let document = Self {
            name: Patch(members.change("name")),
            external_id: Patch(members.change("external_id")),
            max_api_keys: Patch(members.change("max_api_keys")),
            max_members: Patch(members.change("max_members")),
            max_permission_sets: Patch(members.change("max_permission_sets")),
            suspended: members.optional("suspended"),
        };
        members.finish_strictly()?;
        Ok(document)
    }
}

/// A changed text under its rule; what is wrong with it is noted.
fn change<T>(
    fields: &mut Fields,
    name: &str,
    change: Change<String>,
    parse: fn(&str) -> Result<T, Invalid>,
) -> Change<T> {
    match change {
        Change::Keep => Change::Keep,
        Change::Clear => Change::Clear,
        Change::Set(text) => fields.check(name, parse(&text)).map_or(Change::Keep, Change::Set),
    }
}

impl UpdateOrganization {
    pub(super) fn into_domain(self) -> Result<OrganizationPatch, Failure> {
        let mut fields = Fields::default();
        let patch = OrganizationPatch {
            name: change(&mut fields, "name", self.name.0, OrganizationName::parse),
            external_id: change(&mut fields, "external_id", self.external_id.0, ExternalId::parse),
            most_keys: self.max_api_keys.0,
            most_members: self.max_members.0,
            most_sets: self.max_permission_sets.0,
            suspended: self.suspended,
        };
        fields.into_result()?;
        Ok(patch)
    }
}
