//! Whether the newest secret of a key was used since its rotation, and undoing a rotation.
//!
//! A secret that a rotation has stored is marked as unused. A key is looked up by the hash of a secret only after a request contained
//! that secret, and a key with an unused secret is never cached. So the first request with it, on whichever node, reads the row, and
//! removes the mark in a transaction before it is answered ([`crate::key_cache::first_use`]). Requests after that cost nothing more.

use std::collections::HashMap;

use domain::{
    Error,
    audit::context::AuditContext,
    clock::Timestamp,
    id::KeyId,
    keys::{api_key::ApiKey, key_scope::KeyScope},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, Func},
};

use crate::{
    api_keys::{
        self, pending_imports,
        rotate::{REVOKED_AT_EPOCH, previous, still_valid},
        secrets,
    },
    database::Database,
    db::{MAX_ROWS_PER_STATEMENT, error::DbFailure},
    rows::{
        convert,
        entity::{api_key, api_key_secret, imported_secret},
    },
};

/// When the newest secret of each of these keys was created. An imported secret counts from its import. A key that was deleted
/// meanwhile is missing.
pub(crate) async fn times<C: ConnectionTrait>(db: &C, keys: &[ApiKey]) -> Result<HashMap<KeyId, Timestamp>, DbFailure> {
    let mut times = HashMap::with_capacity(keys.len());
    for keys in keys.chunks(MAX_ROWS_PER_STATEMENT) {
        let ids = || keys.iter().map(|key| key.id.uuid());
        let used: Vec<(Uuid, i64)> = api_key_secret::Entity::find()
            .select_only()
            .columns([api_key_secret::Column::ApiKeyId, api_key_secret::Column::CreatedAt])
            .filter(api_key_secret::Column::ApiKeyId.is_in(ids()))
            .filter(api_key_secret::Column::ExpiresAt.is_null())
            .into_tuple()
            .all(db)
            .await?;
        let pending: Vec<(Uuid, i64)> = imported_secret::Entity::find()
            .select_only()
            .columns([imported_secret::Column::ApiKeyId, imported_secret::Column::ImportedAt])
            .filter(imported_secret::Column::ApiKeyId.is_in(ids()))
            .filter(imported_secret::Column::AdoptedAt.is_null())
            .filter(imported_secret::Column::ExpiresAt.is_null())
            .into_tuple()
            .all(db)
            .await?;
        for (key, at) in used.into_iter().chain(pending) {
            let at = Timestamp::from_millis(at);
            times
                .entry(KeyId::from_uuid(key))
                .and_modify(|known: &mut Timestamp| *known = at.max(*known))
                .or_insert(at);
        }
    }
    Ok(times)
}

/// Revokes the newest secret of a key, whose row is locked, if it was never used. `false`: it was used, and is unchanged.
pub(crate) async fn revoke_unused<C: ConnectionTrait>(db: &C, key: KeyId) -> Result<bool, DbFailure> {
    let unused = Condition::all()
        .add(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .add(api_key_secret::Column::ExpiresAt.is_null())
        .add(api_key_secret::Column::IsUnused.eq(true));
    let revoked = api_key_secret::Entity::update_many()
        .col_expr(api_key_secret::Column::ExpiresAt, Expr::value(REVOKED_AT_EPOCH))
        .col_expr(api_key_secret::Column::IsUnused, Expr::value(false))
        .filter(unused)
        .exec(db)
        .await?;
    Ok(revoked.rows_affected > 0 || pending_imports::revoke_newest(db, key).await? > 0)
}

impl Database {
    /// Revokes the newest secret of a key, if the key still has this version. `None`: it has another version, or does not exist.
    pub(crate) async fn restore_previous_secret(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: u64,
        context: AuditContext,
    ) -> Result<Option<ApiKey>, DbFailure> {
        let caps = self.caps;
        let undo = self.transaction(move |transaction, changed| {
            let context = context.clone();
            Box::pin(async move {
                let next = convert::next_version(version, context.at);
                if api_keys::write(transaction, scope, key, version, next).await? == 0 {
                    return Ok(None);
                }
                let Some(start) = previous_start(transaction, key, context.at).await? else {
                    return Err(DbFailure::Refused(Error::NoPreviousSecret));
                };
                changed.cached.keys.extend(secrets(transaction, vec![key.uuid()]).await?);
                if !revoke_unused(transaction, key).await? {
                    return Err(DbFailure::Refused(Error::NewestSecretUsed));
                }
                api_key_secret::Entity::update_many()
                    .col_expr(api_key_secret::Column::ExpiresAt, Expr::value(None::<i64>))
                    .filter(still_valid(key, context.at))
                    .exec(transaction)
                    .await?;
                pending_imports::restore_previous(transaction, key, context.at).await?;
                restore_start(transaction, key, start).await?;
                changed.log.record_within(&context, &[key.uuid()], caps.changes);
                api_keys::find(transaction, scope, key).await
            })
        });
        undo.await
    }
}

/// The start of the previous secret of a key, if it is valid.
async fn previous_start<C: ConnectionTrait>(db: &C, key: KeyId, now: Timestamp) -> Result<Option<String>, DbFailure> {
    match previous(db, key, now).await? {
        Some(previous) => Ok(Some(previous.start)),
        None => pending_imports::previous_start(db, key, now).await,
    }
}

/// Makes the start and the prefix of the previous secret those of the key.
async fn restore_start<C: ConnectionTrait>(db: &C, key: KeyId, start: String) -> Result<(), DbFailure> {
    // An earlier version, which has rotated the key, stored no previous prefix: then both secrets have the same.
    let prefix = [api_key::Column::PreviousPrefix, api_key::Column::Prefix].map(Expr::col);
    api_key::Entity::update_many()
        .col_expr(api_key::Column::Prefix, Func::coalesce(prefix).into())
        .col_expr(api_key::Column::Start, Expr::value(start))
        .filter(api_key::Column::Id.eq(key.uuid()))
        .exec(db)
        .await?;
    Ok(())
}
