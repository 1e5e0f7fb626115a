//! Sessions and families of tokens.

use domain::{
    clock::Timestamp,
    id::{FamilyId, KeyId, OrganizationId, SessionId, UserId},
    identity::Word,
    secret::SecretHash,
    session::{Bearer, Session},
    token::Family,
};
use sea_orm::{ActiveValue::Set, prelude::Uuid};

use super::{BrokenRow, permissions, permissions_text};
use crate::entity::session;

pub(crate) fn session(model: session::Model) -> Result<Session, BrokenRow> {
    let broken = |column| BrokenRow { table: "sessions", column, row: model.id };
    let bearer = match (model.secret_hash, model.user_id, model.issuer) {
        (Some(bytes), None, None) => Bearer::Key(hash(bytes).ok_or(broken("secret_hash"))?),
        (None, Some(user), Some(issuer)) => {
            let said = model.permissions.map(|text| permissions(&text, "sessions", model.id)).transpose()?;
            let organization = model.organization_id.map(OrganizationId::from_uuid);
            Bearer::Person(UserId::from_uuid(user), Word { issuer, organization, permissions: said })
        }
        _ => return Err(broken("user_id")),
    };
    Ok(Session {
        id: SessionId::from_uuid(model.id),
        bearer,
        organization: model.home_id.map(OrganizationId::from_uuid),
        created_at: Timestamp::from_millis(model.created_at),
        expires_at: Timestamp::from_millis(model.expires_at),
    })
}

pub(crate) fn session_row(session: &Session) -> session::ActiveModel {
    let nobody = session::ActiveModel {
        id: Set(session.id.uuid()),
        secret_hash: Set(None),
        user_id: Set(None),
        issuer: Set(None),
        organization_id: Set(None),
        permissions: Set(None),
        created_at: Set(session.created_at.millis()),
        expires_at: Set(session.expires_at.millis()),
        home_id: Set(session.organization.map(OrganizationId::uuid)),
    };
    match &session.bearer {
        Bearer::Key(hash) => session::ActiveModel { secret_hash: Set(Some(hash.bytes().to_vec())), ..nobody },
        Bearer::Person(user, word) => session::ActiveModel {
            user_id: Set(Some(user.uuid())),
            issuer: Set(Some(word.issuer.clone())),
            organization_id: Set(word.organization.map(OrganizationId::uuid)),
            permissions: Set(word.permissions.as_ref().map(permissions_text)),
            ..nobody
        },
    }
}

/// The columns of a family that say whose it is: id, organization, key, secret.
pub(crate) fn family(row: (Uuid, Uuid, Option<Uuid>, Vec<u8>)) -> Result<Family, BrokenRow> {
    let (id, organization, key, secret) = row;
    Ok(Family {
        id: FamilyId::from_uuid(id),
        organization: OrganizationId::from_uuid(organization),
        key: key.map(KeyId::from_uuid),
        secret: hash(secret).ok_or(broken_family(id))?,
    })
}

fn broken_family(row: Uuid) -> BrokenRow {
    BrokenRow { table: "token_families", column: "secret_hash", row }
}

fn hash(bytes: Vec<u8>) -> Option<SecretHash> {
    bytes.try_into().ok().map(SecretHash::from_bytes)
}
