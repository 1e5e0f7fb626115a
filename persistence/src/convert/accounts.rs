//! Organizations, users, members, permission sets.

use domain::{
    clock::Timestamp,
    id::{OrganizationId, SetId, UserId},
    organization::{Caps, ExternalId, Organization, OrganizationName},
    permission_sets::{NamedSet, SetName},
    ports::OrganizationChanges,
    text::Invalid,
    user::{Contact, Email, Membership, User, UserName},
};
use sea_orm::{ActiveValue::Set, prelude::Uuid};

use super::{BrokenRow, column, count, kind, kind_text, number, permissions, permissions_text};
use crate::entity::{membership, organization, permission_set, user};

pub(crate) fn organization(model: &organization::Model) -> Result<Organization, BrokenRow> {
    let broken = |column| move |_: Invalid| BrokenRow { table: "organizations", column, row: model.id };
    let cap = |column, value: Option<i64>| {
        let broken = BrokenRow { table: "organizations", column, row: model.id };
        value.map(|value| count(value).ok_or(broken)).transpose()
    };
    Ok(Organization {
        id: OrganizationId::from_uuid(model.id),
        name: model.name.as_deref().map(OrganizationName::parse).transpose().map_err(broken("name"))?,
        kind: kind(&model.kind, model.id)?,
        external_id: external_id(model.external_id.as_deref(), model.id)?,
        caps: Caps {
            keys: cap("most_keys", model.most_keys)?,
            members: cap("most_members", model.most_members)?,
            sets: cap("most_sets", model.most_sets)?,
        },
        suspended_at: model.suspended_at.map(Timestamp::from_millis),
        deleted_at: model.deleted_at.map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(model.created_at),
    })
}

/// The external id of an organization.
pub(crate) fn external_id(text: Option<&str>, row: Uuid) -> Result<Option<ExternalId>, BrokenRow> {
    let broken = |_| BrokenRow { table: "organizations", column: "external_id", row };
    text.map(ExternalId::parse).transpose().map_err(broken)
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
        suspended_at: Set(organization.suspended_at.map(Timestamp::millis)),
        key_count: Set(0),
        deleted_key_count: Set(0),
        deleted_at: Set(organization.deleted_at.map(Timestamp::millis)),
        created_at: Set(organization.created_at.millis()),
    }
}

/// The columns that changed settings write.
pub(crate) fn organization_changes_row(changes: &OrganizationChanges) -> organization::ActiveModel {
    organization::ActiveModel {
        name: column(changes.name.clone().map(|name| name.as_str().to_owned())),
        external_id: column(changes.external_id.clone().map(|id| id.as_str().to_owned())),
        most_keys: column(changes.most_keys.map(number)),
        most_members: column(changes.most_members.map(number)),
        most_sets: column(changes.most_sets.map(number)),
        suspended_at: column(changes.suspended_at.map(Timestamp::millis)),
        ..organization::ActiveModel::default()
    }
}

pub(crate) fn user(model: user::Model) -> Result<User, BrokenRow> {
    let broken = |column| move |_: Invalid| BrokenRow { table: "users", column, row: model.id };
    let contact = if model.email_canonical == told(model.id) {
        Contact::Told(Some(model.email).filter(|email| !email.is_empty()).map(Email::from_told))
    } else {
        Contact::Own(Email::from_stored(model.email, model.email_canonical))
    };
    Ok(User {
        id: UserId::from_uuid(model.id),
        name: UserName::parse(&model.name).map_err(broken("name"))?,
        contact,
        created_at: Timestamp::from_millis(model.created_at),
    })
}

/// What stands in the unique column for a user whose address identifies nobody. It is no address.
fn told(user: Uuid) -> String {
    format!("user {user}")
}

pub(crate) fn user_row(user: &User) -> user::ActiveModel {
    let canonical = match &user.contact {
        Contact::Own(email) => email.canonical().to_owned(),
        Contact::Told(_) => told(user.id.uuid()),
    };
    user::ActiveModel {
        id: Set(user.id.uuid()),
        name: Set(user.name.as_str().to_owned()),
        email: Set(user.email().unwrap_or_default().to_owned()),
        email_canonical: Set(canonical),
        created_at: Set(user.created_at.millis()),
    }
}

/// A membership with the sets that it has.
pub(crate) fn membership(model: &membership::Model, sets: Vec<SetId>) -> Result<Membership, BrokenRow> {
    Ok(Membership {
        organization: OrganizationId::from_uuid(model.organization_id),
        user: UserId::from_uuid(model.user_id),
        permissions: permissions(&model.permissions, "memberships", model.user_id)?,
        sets,
        created_at: Timestamp::from_millis(model.created_at),
    })
}

pub(crate) fn membership_row(membership: &Membership) -> membership::ActiveModel {
    membership::ActiveModel {
        permissions: Set(permissions_text(&membership.permissions)),
        created_at: Set(membership.created_at.millis()),
        ..membership_key(membership.organization, membership.user)
    }
}

/// A row that says which one it is and nothing else.
pub(crate) fn membership_key(organization: OrganizationId, user: UserId) -> membership::ActiveModel {
    membership::ActiveModel {
        organization_id: Set(organization.uuid()),
        user_id: Set(user.uuid()),
        ..membership::ActiveModel::default()
    }
}

pub(crate) fn named_set(model: &permission_set::Model) -> Result<NamedSet, BrokenRow> {
    let broken = |_: Invalid| BrokenRow { table: "permission_sets", column: "name", row: model.id };
    Ok(NamedSet {
        id: SetId::from_uuid(model.id),
        organization: OrganizationId::from_uuid(model.organization_id),
        name: SetName::parse(&model.name).map_err(broken)?,
        permissions: permissions(&model.permissions, "permission_sets", model.id)?,
        created_at: Timestamp::from_millis(model.created_at),
        updated_at: Timestamp::from_millis(model.updated_at),
    })
}

pub(crate) fn named_set_row(set: &NamedSet) -> permission_set::ActiveModel {
    permission_set::ActiveModel {
        id: Set(set.id.uuid()),
        organization_id: Set(set.organization.uuid()),
        name: Set(set.name.as_str().to_owned()),
        permissions: Set(permissions_text(&set.permissions)),
        created_at: Set(set.created_at.millis()),
        updated_at: Set(set.updated_at.millis()),
        deleted_at: Set(None),
    }
}
