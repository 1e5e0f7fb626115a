//! The settings and sessions of the customers' portal.

use domain::{
    auth::portal::{
        session::{PermissionsCeiling, PortalAction, PortalLimits, PortalSession, PortalSubject, PortalTheme},
        settings::{PortalColor, PortalLogo, PortalName, PortalSettings},
        token::PortalSecretHash,
        web_address::{EmbeddingOrigin, ReturnUrl},
    },
    clock::Timestamp,
    id::{ExternalId, KeyId, OrganizationId, PortalSessionId, UserId},
    keys::{
        quota::RateLimit,
        secret::{KeyPrefix, SecretHash},
    },
    validated_string::ValidationError,
};
use sea_orm::ActiveValue::Set;

use super::{BrokenRow, count, number, permissions, permissions_text};
use crate::rows::entity::portal::{session as portal_session, settings as portal_settings};

pub(crate) fn portal_settings(model: &portal_settings::Model) -> Result<PortalSettings, BrokenRow> {
    let broken =
        |column| move |_: ValidationError| BrokenRow { table: "portal_settings", column, row: model.organization_id };
    Ok(PortalSettings {
        name: model.name.as_deref().map(PortalName::stored).transpose().map_err(broken("name"))?,
        color: model.color.as_deref().map(PortalColor::parse).transpose().map_err(broken("color"))?,
        logo: model.logo.as_deref().map(PortalLogo::parse).transpose().map_err(broken("logo"))?,
        origins: model
            .origins
            .split_ascii_whitespace()
            .map(EmbeddingOrigin::parse)
            .collect::<Result<_, _>>()
            .map_err(broken("origins"))?,
    })
}

pub(crate) fn portal_settings_row(
    organization: OrganizationId,
    settings: &PortalSettings,
) -> portal_settings::ActiveModel {
    let origins: Vec<&str> = settings.origins.iter().map(EmbeddingOrigin::as_str).collect();
    portal_settings::ActiveModel {
        organization_id: Set(organization.uuid()),
        name: Set(settings.name.as_ref().map(|name| name.as_str().to_owned())),
        color: Set(settings.color.as_ref().map(|color| color.as_str().to_owned())),
        logo: Set(settings.logo.as_ref().map(|logo| logo.as_str().to_owned())),
        origins: Set(origins.join(" ")),
    }
}

pub(crate) fn portal_session(model: &portal_session::Model) -> Result<PortalSession, BrokenRow> {
    let broken = |column| BrokenRow { table: "portal_sessions", column, row: model.id };
    let invalid = |column| move |_: ValidationError| broken(column);
    let optional = |column, value: Option<i64>| value.map(|value| count(value).ok_or(broken(column))).transpose();
    let subject = match (model.external_id.as_deref(), model.user_id) {
        (Some(id), None) => PortalSubject::ExternalId(ExternalId::stored(id).map_err(invalid("external_id"))?),
        (None, Some(user)) => PortalSubject::User(UserId::from_uuid(user)),
        (Some(_), Some(_)) | (None, None) => return Err(broken("user_id")),
    };
    let actions: Option<Vec<PortalAction>> = model.actions.split_ascii_whitespace().map(PortalAction::parse).collect();
    let ceiling = permissions(&model.permissions, "portal_sessions", model.id)?;
    let rate_limit = match (
        optional("rate_limit_max", model.rate_limit_max)?,
        optional("rate_limit_window", model.rate_limit_window)?,
    ) {
        (Some(max), Some(window)) => Some(RateLimit { max, window }),
        (None, None) => None,
        _ => return Err(broken("rate_limit_max")),
    };
    let creator: Result<[u8; 32], _> = model.creator_hash.as_slice().try_into();
    Ok(PortalSession {
        id: PortalSessionId::from_uuid(model.id),
        organization: OrganizationId::from_uuid(model.organization_id),
        subject,
        actions: actions.ok_or(broken("actions"))?,
        ceiling: PermissionsCeiling::new(ceiling).map_err(invalid("permissions"))?,
        limits: PortalLimits {
            max_keys: count(model.max_keys).ok_or(broken("max_keys"))?,
            max_lifetime_ms: optional("max_lifetime", model.max_lifetime)?,
            rate_limit,
            remaining: optional("remaining", model.remaining)?,
        },
        prefix: model.prefix.as_deref().map(KeyPrefix::parse).transpose().map_err(invalid("prefix"))?,
        return_url: model.return_url.as_deref().map(ReturnUrl::parse).transpose().map_err(invalid("return_url"))?,
        theme: PortalTheme::parse(&model.theme).ok_or(broken("theme"))?,
        creator: SecretHash::from_bytes(creator.map_err(|_| broken("creator_hash"))?),
        created_by: KeyId::from_uuid(model.created_by_key),
        created_at: Timestamp::from_millis(model.created_at),
        is_opened: model.token_hash.is_some(),
        expires_at: Timestamp::from_millis(model.expires_at),
    })
}

/// The row of a session whose link was not opened yet.
pub(crate) fn portal_session_row(session: &PortalSession, link: &PortalSecretHash) -> portal_session::ActiveModel {
    let (external_id, user_id) = match &session.subject {
        PortalSubject::ExternalId(id) => (Some(id.as_str().to_owned()), None),
        PortalSubject::User(user) => (None, Some(user.uuid())),
    };
    let actions: Vec<&str> = session.actions.iter().map(|action| action.code()).collect();
    portal_session::ActiveModel {
        id: Set(session.id.uuid()),
        organization_id: Set(session.organization.uuid()),
        link_hash: Set(Some(link.bytes().to_vec())),
        token_hash: Set(None),
        external_id: Set(external_id),
        user_id: Set(user_id),
        actions: Set(actions.join(" ")),
        permissions: Set(permissions_text(session.ceiling.permissions())),
        max_keys: Set(number(session.limits.max_keys)),
        max_lifetime: Set(session.limits.max_lifetime_ms.map(number)),
        rate_limit_max: Set(session.limits.rate_limit.map(|limit| number(limit.max))),
        rate_limit_window: Set(session.limits.rate_limit.map(|limit| number(limit.window))),
        remaining: Set(session.limits.remaining.map(number)),
        prefix: Set(session.prefix.as_ref().map(|prefix| prefix.as_str().to_owned())),
        return_url: Set(session.return_url.as_ref().map(|url| url.as_str().to_owned())),
        theme: Set(session.theme.code().to_owned()),
        creator_hash: Set(session.creator.bytes().to_vec()),
        created_by_key: Set(session.created_by.uuid()),
        created_at: Set(session.created_at.millis()),
        expires_at: Set(session.expires_at.millis()),
    }
}
