//! Invitations and recovery links.

use domain::{
    auth::invitation::{Invitation, InvitationCreator, InvitationKind, InvitationTokenHash},
    clock::Timestamp,
    id::{InvitationId, KeyId, OrganizationId, SetId, UserId},
    keys::api_key::Creator,
    organizations::user::{Email, UserName},
    validated_string::ValidationError,
};
use sea_orm::ActiveValue::Set;

use super::{BrokenRow, permissions, permissions_text};
use crate::rows::entity::invitation;

pub(crate) fn invitation(model: invitation::Model) -> Result<Invitation, BrokenRow> {
    let broken = |column| BrokenRow { table: "invitations", column, row: model.id };
    let kind = InvitationKind::parse(&model.kind).ok_or(broken("kind"))?;
    if (kind == InvitationKind::Recovery) != model.user_id.is_some() {
        return Err(broken("user_id"));
    }
    let creator = match (model.created_by_key, model.created_by_user) {
        (Some(key), None) => Creator::Key(KeyId::from_uuid(key)),
        (None, Some(user)) => Creator::User(UserId::from_uuid(user)),
        (Some(_), Some(_)) | (None, None) => return Err(broken("created_by_user")),
    };
    let sets: Result<Vec<SetId>, _> = model.permission_sets.split_ascii_whitespace().map(str::parse).collect();
    Ok(Invitation {
        id: InvitationId::from_uuid(model.id),
        organization: OrganizationId::from_uuid(model.organization_id),
        kind,
        name: UserName::stored(&model.name).map_err(|_: ValidationError| broken("name"))?,
        permissions: permissions(&model.permissions, "invitations", model.id)?,
        sets: sets.map_err(|_| broken("permission_sets"))?,
        user: model.user_id.map(UserId::from_uuid),
        created_by: InvitationCreator {
            organization: OrganizationId::from_uuid(model.creator_organization_id),
            creator,
            has_own_permissions: model.creator_has_own_permissions,
        },
        created_at: Timestamp::from_millis(model.created_at),
        expires_at: Timestamp::from_millis(model.expires_at),
        email: model.email_canonical.map(|canonical| Email::from_stored(model.email, canonical)),
    })
}

pub(crate) fn invitation_row(invitation: &Invitation, token: &InvitationTokenHash) -> invitation::ActiveModel {
    let (created_by_key, created_by_user) = match invitation.created_by.creator {
        Creator::Key(key) => (Some(key.uuid()), None),
        Creator::User(user) => (None, Some(user.uuid())),
        Creator::Operator => (None, None),
    };
    let sets: Vec<String> = invitation.sets.iter().map(ToString::to_string).collect();
    let email = invitation.email.as_ref();
    invitation::ActiveModel {
        id: Set(invitation.id.uuid()),
        organization_id: Set(invitation.organization.uuid()),
        kind: Set(invitation.kind.code().to_owned()),
        token_hash: Set(token.bytes().to_vec()),
        name: Set(invitation.name.as_str().to_owned()),
        email: Set(email.map(|email| email.given().to_owned()).unwrap_or_default()),
        email_canonical: Set(email.map(|email| email.canonical().to_owned())),
        permissions: Set(permissions_text(&invitation.permissions)),
        permission_sets: Set(sets.join(" ")),
        user_id: Set(invitation.user.map(UserId::uuid)),
        creator_organization_id: Set(invitation.created_by.organization.uuid()),
        created_by_key: Set(created_by_key),
        created_by_user: Set(created_by_user),
        creator_has_own_permissions: Set(invitation.created_by.has_own_permissions),
        created_at: Set(invitation.created_at.millis()),
        expires_at: Set(invitation.expires_at.millis()),
    }
}
