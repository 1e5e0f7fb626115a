//! Stores new keys with their secrets and permission sets, and counts and logs them; parts of the transaction that creates them.

use std::collections::BTreeSet;

use domain::{
    audit::context::{Actor, AuditContext},
    error::Grantee,
    id::SetId,
    keys::{api_key::ApiKey, secret::SecretHash},
};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, prelude::Uuid};

use super::stored;
use crate::{
    audit,
    db::{MAX_ROWS_PER_STATEMENT, error::DbFailure},
    idempotency,
    organizations::{self, effective::PermissionCounter},
    rows::{
        convert,
        entity::{api_key, api_key_permission_set, api_key_secret},
    },
    settings::DefaultCaps,
};

/// Stores keys of one organization with their first secrets and audit events; part of a transaction.
pub(crate) async fn insert<C: ConnectionTrait>(
    db: &C,
    keys: &[(ApiKey, SecretHash)],
    context: &AuditContext,
    caps: DefaultCaps,
) -> Result<(), DbFailure> {
    let plain: Vec<ApiKey> = keys.iter().map(|(key, _)| key.clone()).collect();
    insert_without_secrets(db, &plain).await?;
    insert_secrets(db, keys).await?;
    reserve_and_log(db, &plain, context, caps).await
}

/// Stores the first secrets of keys; part of a transaction.
pub(crate) async fn insert_secrets<C: ConnectionTrait>(db: &C, keys: &[(ApiKey, SecretHash)]) -> Result<(), DbFailure> {
    for keys in keys.chunks(MAX_ROWS_PER_STATEMENT) {
        let secrets = keys.iter().map(|(key, hash)| api_key_secret::ActiveModel {
            hash: Set(hash.bytes().to_vec()),
            api_key_id: Set(key.id.uuid()),
            created_at: Set(key.created_at.millis()),
            expires_at: Set(None),
            start: Set(Some(key.start.clone())),
            last_request_at: Set(None),
            is_unused: Set(false),
        });
        api_key_secret::Entity::insert_many(secrets).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Stores keys of one organization without secrets; part of a transaction.
pub(crate) async fn insert_without_secrets<C: ConnectionTrait>(db: &C, keys: &[ApiKey]) -> Result<(), DbFailure> {
    let Some(organization) = keys.first().map(|key| key.organization) else { return Ok(()) };
    let attached: BTreeSet<SetId> = keys.iter().flat_map(|key| &key.settings.sets).copied().collect();
    if !attached.is_empty() {
        // Locked in the same order as by changes of permission sets, so that the two cannot deadlock.
        organizations::lock(db, organization).await?;
        let mut counter = PermissionCounter::default();
        counter.read(db, organization, attached.iter().map(|set| set.uuid())).await?;
        counter.require_all(&attached)?;
        for key in keys.iter().filter(|key| !key.settings.sets.is_empty()) {
            counter.require_room(None, &stored(&key.settings), Grantee::Requested).await?;
        }
    }
    for keys in keys.chunks(MAX_ROWS_PER_STATEMENT) {
        let rows = keys.iter().map(convert::api_key_row);
        api_key::Entity::insert_many(rows).exec_without_returning(db).await?;
        for key in keys.iter().filter(|key| !key.settings.sets.is_empty()) {
            attach(db, key.id.uuid(), &key.settings.sets).await?;
        }
    }
    Ok(())
}

/// Counts new keys towards the cap of their organization, and writes their audit events; part of the transaction that stores them.
pub(crate) async fn reserve_and_log<C: ConnectionTrait>(
    db: &C,
    keys: &[ApiKey],
    context: &AuditContext,
    caps: DefaultCaps,
) -> Result<(), DbFailure> {
    // At the end of the transaction, because from here on other changes of the organization's keys wait for its commit.
    if context.actor == Actor::Operator {
        // The cap does not apply to the operator, but a deleted organization gets no keys.
        organizations::lock(db, context.organization).await?;
        organizations::count_keys(db, context.organization, i64::try_from(keys.len()).unwrap_or(0)).await?;
    } else {
        organizations::add_keys(db, context.organization, keys.len(), caps).await?;
    }
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id.uuid()).collect();
    audit::record_within(db, context, &ids, caps.changes).await?;
    idempotency::record(db, context).await
}

pub(super) async fn attach<C: ConnectionTrait>(db: &C, key: Uuid, sets: &[SetId]) -> Result<(), DbErr> {
    let rows = sets
        .iter()
        .map(|set| api_key_permission_set::ActiveModel { api_key_id: Set(key), permission_set_id: Set(set.uuid()) });
    api_key_permission_set::Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}
