//! Sessions and token groups.

use domain::{
    auth::{
        identity::SessionClaims,
        session::{Bearer, Session, UserAgent},
        token::TokenGroup,
    },
    clock::Timestamp,
    id::{Identity, KeyId, OrganizationId, SessionId, TokenGroupId, TrustRuleId, UserId},
    keys::secret::SecretHash,
};
use sea_orm::{ActiveValue::Set, prelude::Uuid};

use super::{BrokenRow, permissions, permissions_text};
use crate::rows::entity::session;

pub(crate) fn session(model: session::Model) -> Result<Session, BrokenRow> {
    let broken = |column| BrokenRow { table: "sessions", column, row: model.id };
    let bearer = match (model.secret_hash, model.issuer, model.subject) {
        (Some(bytes), None, None) => Bearer::Key(hash(bytes).ok_or(broken("secret_hash"))?),
        (None, Some(issuer), Some(subject)) => {
            let claimed_permissions =
                model.permissions.map(|text| permissions(&text, "sessions", model.id)).transpose()?;
            let organization = model.organization_id.map(OrganizationId::from_uuid);
            Bearer::FederatedUser(SessionClaims {
                identity: Identity { issuer, subject },
                organization,
                permissions: claimed_permissions,
            })
        }
        _ => return Err(broken("subject")),
    };
    let or_created = |at| Timestamp::from_millis(if at == 0 { model.created_at } else { at });
    Ok(Session {
        id: SessionId::from_uuid(model.id),
        bearer,
        organization: model.home_id.map(OrganizationId::from_uuid),
        user: model.user_id.map(UserId::from_uuid),
        created_at: Timestamp::from_millis(model.created_at),
        signed_in_at: or_created(model.signed_in_at),
        last_used_at: or_created(model.last_used_at),
        expires_at: Timestamp::from_millis(model.expires_at),
        client: model.client.and_then(|address| address.parse().ok()),
        user_agent: model.user_agent.as_deref().and_then(UserAgent::from_text),
    })
}

pub(crate) fn session_row(session: &Session) -> session::ActiveModel {
    let empty = session::ActiveModel {
        id: Set(session.id.uuid()),
        secret_hash: Set(None),
        user_id: Set(session.user.map(UserId::uuid)),
        issuer: Set(None),
        subject: Set(None),
        organization_id: Set(None),
        permissions: Set(None),
        created_at: Set(session.created_at.millis()),
        expires_at: Set(session.expires_at.millis()),
        home_id: Set(session.organization.map(OrganizationId::uuid)),
        signed_in_at: Set(session.signed_in_at.millis()),
        last_used_at: Set(session.last_used_at.millis()),
        client: Set(session.client.map(|client| client.to_string())),
        user_agent: Set(session.user_agent.as_ref().map(|agent| agent.as_str().to_owned())),
    };
    match &session.bearer {
        Bearer::Key(hash) => session::ActiveModel { secret_hash: Set(Some(hash.bytes().to_vec())), ..empty },
        Bearer::FederatedUser(claims) => session::ActiveModel {
            issuer: Set(Some(claims.identity.issuer.clone())),
            subject: Set(Some(claims.identity.subject.clone())),
            organization_id: Set(claims.organization.map(OrganizationId::uuid)),
            permissions: Set(claims.permissions.as_ref().map(permissions_text)),
            ..empty
        },
    }
}

/// The columns of a token group that [`token_group`] reads: id, organization, key, trust rule and secret hash.
pub(crate) type TokenGroupColumns = (Uuid, Uuid, Option<Uuid>, Option<Uuid>, Vec<u8>);

/// A token group from its columns.
pub(crate) fn token_group(row: TokenGroupColumns) -> Result<TokenGroup, BrokenRow> {
    let (id, organization, key, trust_rule, secret) = row;
    Ok(TokenGroup {
        id: TokenGroupId::from_uuid(id),
        organization: OrganizationId::from_uuid(organization),
        key: key.map(KeyId::from_uuid),
        trust_rule: trust_rule.map(TrustRuleId::from_uuid),
        secret: hash(secret).ok_or(broken_group(id))?,
    })
}

fn broken_group(row: Uuid) -> BrokenRow {
    BrokenRow { table: "token_families", column: "secret_hash", row }
}

fn hash(bytes: Vec<u8>) -> Option<SecretHash> {
    bytes.try_into().ok().map(SecretHash::from_bytes)
}
