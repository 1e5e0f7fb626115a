//! Organizations, users, members, permission sets.

use domain::{
    clock::Timestamp,
    id::{ExternalId, OrganizationId, SetId, UserId},
    organizations::{
        organization::{Caps, Organization, OrganizationName},
        permission_set::{PermissionSet, SetName, SetVersion},
        user::{Email, User, UserName, UserOrigin, UserProfile},
    },
    ports::OrganizationChanges,
    validated_string::ValidationError,
};
use sea_orm::{ActiveValue, ActiveValue::Set, prelude::Uuid};

use super::{
    BrokenRow, column, count, key_policy, key_policy_text, kind, kind_text, number, permissions, permissions_text,
};
use crate::rows::entity::{organization, permission_set, user};

pub(crate) fn organization(model: &organization::Model) -> Result<Organization, BrokenRow> {
    let broken = |column| move |_: ValidationError| BrokenRow { table: "organizations", column, row: model.id };
    let cap = |column, value: Option<i64>| {
        let broken = BrokenRow { table: "organizations", column, row: model.id };
        value.map(|value| count(value).ok_or(broken)).transpose()
    };
    Ok(Organization {
        id: OrganizationId::from_uuid(model.id),
        name: model.name.as_deref().map(OrganizationName::stored).transpose().map_err(broken("name"))?,
        kind: kind(&model.kind, model.id)?,
        external_id: external_id(model.external_id.as_deref(), model.id)?,
        caps: Caps {
            keys: cap("most_keys", model.most_keys)?,
            members: cap("most_members", model.most_members)?,
            sets: cap("most_sets", model.most_sets)?,
        },
        keys_can_manage_by_default: model.keys_can_manage_by_default,
        key_policy: key_policy(model.key_policy.as_deref(), "organizations", model.id)?,
        suspended_at: model.suspended_at.map(Timestamp::from_millis),
        deleted_at: model.deleted_at.map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(model.created_at),
    })
}

/// The external id of an organization.
pub(crate) fn external_id(text: Option<&str>, row: Uuid) -> Result<Option<ExternalId>, BrokenRow> {
    let broken = |_| BrokenRow { table: "organizations", column: "external_id", row };
    text.map(ExternalId::stored).transpose().map_err(broken)
}

pub(crate) fn organization_row(organization: &Organization) -> organization::ActiveModel {
    organization::ActiveModel {
        id: Set(organization.id.uuid()),
        name: Set(organization.name.as_ref().map(|name| name.as_str().to_owned())),
        kind: Set(kind_text(organization.kind).to_owned()),
        external_id: Set(organization.external_id.as_ref().map(|id| id.as_str().to_owned())),
        most_keys: Set(organization.caps.keys.map(number)),
        most_members: Set(organization.caps.members.map(number)),
        most_sets: Set(organization.caps.sets.map(number)),
        keys_can_manage_by_default: Set(organization.keys_can_manage_by_default),
        key_policy: Set(organization.key_policy.as_deref().map(key_policy_text)),
        suspended_at: Set(organization.suspended_at.map(Timestamp::millis)),
        key_count: Set(0),
        deleted_key_count: Set(0),
        deleted_at: Set(organization.deleted_at.map(Timestamp::millis)),
        removal_began_at: Set(None),
        deleted_external_id: Set(None),
        deleted_suspended_at: Set(None),
        created_at: Set(organization.created_at.millis()),
    }
}

/// The columns that changed settings write.
pub(crate) fn organization_changes_row(changes: &OrganizationChanges) -> organization::ActiveModel {
    organization::ActiveModel {
        name: column(changes.name.clone().map(|name| name.as_str().to_owned())),
        external_id: column(changes.external_id.clone().map(|id| id.as_str().to_owned())),
        most_keys: column(changes.max_api_keys.map(number)),
        most_members: column(changes.max_members.map(number)),
        most_sets: column(changes.max_sets.map(number)),
        keys_can_manage_by_default: changes.keys_can_manage_by_default.map_or(ActiveValue::NotSet, Set),
        key_policy: column(changes.key_policy.clone().map(|policy| key_policy_text(&policy))),
        suspended_at: column(changes.suspended_at.map(Timestamp::millis)),
        ..organization::ActiveModel::default()
    }
}

/// A user with their permission sets.
pub(crate) fn user(model: &user::Model, sets: Vec<SetId>) -> Result<User, BrokenRow> {
    let broken = |column| BrokenRow { table: "users", column, row: model.id };
    let profile = user_profile(model)?;
    Ok(User {
        id: profile.id,
        organization: model.organization_id.map(OrganizationId::from_uuid).ok_or(broken("organization_id"))?,
        name: profile.name,
        email: profile.email,
        permissions: permissions(&model.permissions, "users", model.id)?,
        sets,
        origin: UserOrigin::parse(&model.origin).ok_or(broken("origin"))?,
        created_at: Timestamp::from_millis(model.created_at),
    })
}

/// The id, name and e-mail address of a user.
pub(crate) fn user_profile(model: &user::Model) -> Result<UserProfile, BrokenRow> {
    let broken = |_: ValidationError| BrokenRow { table: "users", column: "name", row: model.id };
    let canonical = model.email_canonical.clone();
    Ok(UserProfile {
        id: UserId::from_uuid(model.id),
        name: UserName::stored(&model.name).map_err(broken)?,
        email: canonical.map(|canonical| Email::from_stored(model.email.clone(), canonical)),
    })
}

pub(crate) fn user_row(user: &User) -> user::ActiveModel {
    user::ActiveModel {
        id: Set(user.id.uuid()),
        name: Set(user.name.as_str().to_owned()),
        email: Set(user.email().unwrap_or_default().to_owned()),
        unused_key: Set(user.id.to_string()),
        created_at: Set(user.created_at.millis()),
        organization_id: Set(Some(user.organization.uuid())),
        email_canonical: Set(user.email.as_ref().map(|email| email.canonical().to_owned())),
        permissions: Set(permissions_text(&user.permissions)),
        origin: Set(user.origin.code().to_owned()),
    }
}

pub(crate) fn named_set(model: &permission_set::Model) -> Result<PermissionSet, BrokenRow> {
    let broken = |_: ValidationError| BrokenRow { table: "permission_sets", column: "name", row: model.id };
    Ok(PermissionSet {
        id: SetId::from_uuid(model.id),
        organization: OrganizationId::from_uuid(model.organization_id),
        name: SetName::stored(&model.name).map_err(broken)?,
        permissions: permissions(&model.permissions, "permission_sets", model.id)?,
        key_policy: key_policy(model.key_policy.as_deref(), "permission_sets", model.id)?,
        created_at: Timestamp::from_millis(model.created_at),
        updated_at: Timestamp::from_millis(model.updated_at),
        version: set_version(&model.permissions, model.key_policy.as_deref()),
    })
}

/// The version of a permission set with these columns.
pub(crate) fn set_version(permissions: &str, key_policy: Option<&str>) -> SetVersion {
    let mut hasher = blake3::Hasher::new();
    hasher.update(permissions.as_bytes());
    if let Some(policy) = key_policy {
        // In no permission: the permissions end here, and an empty policy differs from none.
        hasher.update(b"\n");
        hasher.update(policy.as_bytes());
    }
    SetVersion::from_bytes(*hasher.finalize().as_bytes())
}

pub(crate) fn named_set_row(set: &PermissionSet) -> permission_set::ActiveModel {
    permission_set::ActiveModel {
        id: Set(set.id.uuid()),
        organization_id: Set(set.organization.uuid()),
        name: Set(set.name.as_str().to_owned()),
        permissions: Set(permissions_text(&set.permissions)),
        key_policy: Set(set.key_policy.as_deref().map(key_policy_text)),
        created_at: Set(set.created_at.millis()),
        updated_at: Set(set.updated_at.millis()),
        deleted_at: Set(None),
    }
}
