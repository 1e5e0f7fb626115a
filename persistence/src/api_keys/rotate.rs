//! Rotates the secret of a key. The previous secret stays valid until the grace period ends, or is revoked at once.

use domain::{
    Error,
    audit::context::AuditContext,
    clock::Timestamp,
    id::KeyId,
    keys::{
        api_key::{ApiKey, PreviousSecret},
        key_scope::KeyScope,
        policy::CheckedPolicies,
    },
    ports::{Rotation, StoredSecret},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};

use crate::{
    api_keys::{self, newest_secret, pending_imports, secrets, supplied},
    database::Database,
    db::{error::DbFailure, message_size::MAX_HASHES_PER_STATEMENT},
    organizations::key_policies,
    retention_periods::ENDED_SECRETS_MS,
    rows::{
        convert,
        entity::{api_key, api_key_secret},
        scope::in_scope,
    },
};

impl Database {
    /// Gives a key a new secret, if it still has this version, and the policies are still those in `checked`. `None`: it has
    /// another version, or does not exist, or other policies apply.
    pub(crate) async fn replace_secret(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: u64,
        rotation: Rotation,
        checked: CheckedPolicies,
        context: AuditContext,
    ) -> Result<Option<ApiKey>, DbFailure> {
        let row = api_key::ActiveModel {
            prefix: Set(rotation.prefix.as_str().to_owned()),
            start: Set(rotation.start.clone()),
            ..convert::next_version(version, context.at)
        };
        let (clocks, now, caps) = (&self.clocks, context.at, self.caps);
        let removable = Condition::all()
            .add(api_key_secret::Column::ExpiresAt.into_expr().lte(clocks.no_later_than_database(now, 0)))
            .add(
                api_key_secret::Column::CreatedAt.into_expr().lt(clocks.no_later_than_database(now, ENDED_SECRETS_MS)),
            );
        let replace = self.transaction(move |transaction, changed| {
            let (row, rotation, context, removable) =
                (row.clone(), rotation.clone(), context.clone(), removable.clone());
            let checked = checked.clone();
            Box::pin(async move {
                if api_keys::write(transaction, scope, key, version, row).await? == 0 {
                    return Ok(None);
                }
                key_policies::require_unchanged(transaction, scope.organization, &checked).await?;
                changed.cached.keys.extend(secrets(transaction, vec![key.uuid()]).await?);
                replace(transaction, key, &rotation, context.at, removable).await?;
                insert(transaction, scope, key, &rotation, context.at).await?;
                changed.log.record_within(&context, &[key.uuid()], caps.changes);
                changed.log.record_idempotency_key(&context);
                api_keys::find(transaction, scope, key).await
            })
        });
        Ok(key_policies::unless_changed(replace.await)?.flatten())
    }

    /// The previous secret of a key, while it is valid.
    pub(crate) async fn previous_secret(
        &self,
        scope: KeyScope,
        key: KeyId,
        now: Timestamp,
    ) -> Result<Option<PreviousSecret>, DbFailure> {
        let db = &self.pools.read;
        if api_keys::find(db, scope, key).await?.is_some() { previous(db, key, now).await } else { Ok(None) }
    }

    /// Revokes the previous secret of a key, if the key has `version` (`None`: any). `false`: there is none that is valid, or no such
    /// key; nothing was changed.
    pub(crate) async fn revoke_previous_in_transaction(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: Option<u64>,
        context: AuditContext,
    ) -> Result<bool, DbFailure> {
        let end = self.transaction(move |transaction, changed| {
            let context = context.clone();
            Box::pin(async move {
                // With a new version the ledger counts no use that was decided before.
                let next = Expr::col(api_key::Column::Version).add(1);
                let this = api_key::Entity::update_many()
                    .col_expr(api_key::Column::Version, next)
                    .filter(in_scope(scope))
                    .filter(api_key::Column::Id.eq(key.uuid()))
                    .filter(Condition::all().add_option(version.map(api_keys::has_version)));
                if this.exec(transaction).await?.rows_affected == 0 && version.is_some() {
                    return Err(DbFailure::Refused(Error::VersionMismatch));
                }
                changed.cached.keys.extend(secrets(transaction, vec![key.uuid()]).await?);
                let exists = api_keys::find(transaction, scope, key).await?.is_some();
                if !exists || !revoke_previous(transaction, key, context.at).await? {
                    return Err(DbFailure::Refused(Error::NotFound));
                }
                changed.log.record(&context, &[key.uuid()]);
                Ok(true)
            })
        });
        match end.await {
            Err(DbFailure::Refused(Error::NotFound)) => Ok(false),
            ended => ended,
        }
    }
}

/// `expires_at` of a revoked secret, instead of the time of its revocation: a node whose clock is behind would otherwise accept it
/// a little longer.
pub(crate) const REVOKED_AT_EPOCH: i64 = 0;

/// The previous secrets of a key that are still valid.
pub(crate) fn still_valid(key: KeyId, now: Timestamp) -> Condition {
    Condition::all()
        .add(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .add(api_key_secret::Column::ExpiresAt.gt(now.millis()))
}

/// Ends the secrets of a key, whose row is locked, for a new one. Removes those with `removable`.
async fn replace<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    rotation: &Rotation,
    now: Timestamp,
    removable: Condition,
) -> Result<(), DbFailure> {
    let is_rotating = api_key_secret::Entity::find().filter(still_valid(key, now)).one(db).await?.is_some()
        || pending_imports::has_valid_previous(db, key, now).await?;
    if !is_rotating || rotation.old_ends_at <= now {
        end_newest(db, key, rotation, now).await?;
    } else if newest_secret::revoke_unused(db, key).await? {
        // The response with the newest secret may have been lost. The previous one is kept at least as long as was promised.
        if rotation.may_extend_previous {
            extend_previous(db, key, now, rotation.old_ends_at).await?;
        }
    } else {
        return Err(DbFailure::Refused(Error::RotationInProgress));
    }
    // An expired or revoked secret is kept for a while, so that a request with it gets the reason that it has expired.
    let of_key = Condition::all().add(api_key_secret::Column::ApiKeyId.eq(key.uuid()));
    api_key_secret::Entity::delete_many().filter(of_key.add(removable)).exec(db).await?;
    remove_surplus(db, key, now).await
}

/// Makes the newest secret of a key the previous one, which expires at the time in `rotation`. If that has passed, all secrets are
/// revoked.
async fn end_newest<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    rotation: &Rotation,
    now: Timestamp,
) -> Result<(), DbFailure> {
    let stays_valid = rotation.old_ends_at > now;
    api_key_secret::Entity::update_many()
        .col_expr(
            api_key_secret::Column::ExpiresAt,
            Expr::value(if stays_valid { rotation.old_ends_at.millis() } else { REVOKED_AT_EPOCH }),
        )
        .col_expr(api_key_secret::Column::Start, Expr::value(rotation.old_start.clone()))
        .filter(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .filter(api_key_secret::Column::ExpiresAt.is_null())
        .exec(db)
        .await?;
    if stays_valid {
        pending_imports::set_expiry(db, key, rotation.old_ends_at.millis()).await?;
    } else {
        revoke_previous(db, key, now).await?;
        pending_imports::set_expiry(db, key, REVOKED_AT_EPOCH).await?;
    }
    api_key::Entity::update_many()
        .col_expr(api_key::Column::PreviousPrefix, Expr::value(rotation.old_prefix.as_str()))
        .filter(api_key::Column::Id.eq(key.uuid()))
        .exec(db)
        .await?;
    Ok(())
}

/// Makes the previous secret of a key expire at `end`, if that is later.
async fn extend_previous<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    now: Timestamp,
    end: Timestamp,
) -> Result<(), DbFailure> {
    api_key_secret::Entity::update_many()
        .col_expr(api_key_secret::Column::ExpiresAt, Expr::value(end.millis()))
        .filter(still_valid(key, now))
        .filter(api_key_secret::Column::ExpiresAt.lt(end.millis()))
        .exec(db)
        .await?;
    pending_imports::extend_previous(db, key, now, end).await
}

/// Stores the new secret of a key.
async fn insert<C: ConnectionTrait>(
    db: &C,
    scope: KeyScope,
    key: KeyId,
    rotation: &Rotation,
    now: Timestamp,
) -> Result<(), DbFailure> {
    let hash = match &rotation.secret {
        StoredSecret::Generated(hash) => hash,
        StoredSecret::Supplied(hash) => {
            return supplied::insert(db, scope.organization, key, *hash, &rotation.start, now).await;
        }
    };
    let row = api_key_secret::ActiveModel {
        hash: Set(hash.bytes().to_vec()),
        api_key_id: Set(key.uuid()),
        created_at: Set(now.millis()),
        expires_at: Set(None),
        start: Set(Some(rotation.start.clone())),
        last_request_at: Set(None),
        // Without a valid previous secret there is nothing to return to.
        is_unused: Set(rotation.old_ends_at > now),
    };
    api_key_secret::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Maximum number of expired or revoked secrets that a key keeps. A rotation removes older ones.
pub(crate) const MAX_ENDED_SECRETS: u64 = 100;

/// The most ended secrets that one rotation removes.
pub(crate) const MAX_REMOVED_SECRETS: u64 = MAX_HASHES_PER_STATEMENT as u64;

async fn remove_surplus<C: ConnectionTrait>(db: &C, key: KeyId, now: Timestamp) -> Result<(), DbFailure> {
    let surplus: Vec<Vec<u8>> = api_key_secret::Entity::find()
        .select_only()
        .column(api_key_secret::Column::Hash)
        .filter(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .filter(api_key_secret::Column::ExpiresAt.lte(now.millis()))
        .order_by_desc(api_key_secret::Column::CreatedAt)
        .offset(MAX_ENDED_SECRETS)
        .limit(MAX_REMOVED_SECRETS)
        .into_tuple()
        .all(db)
        .await?;
    if !surplus.is_empty() {
        let these = api_key_secret::Column::Hash.is_in(surplus);
        api_key_secret::Entity::delete_many().filter(these).exec(db).await?;
    }
    Ok(())
}

/// The previous secret of a key that is still valid.
pub(crate) async fn previous<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    now: Timestamp,
) -> Result<Option<PreviousSecret>, DbFailure> {
    // An imported secret has two rows, one of them for earlier versions. Uses may be recorded in either.
    let row = api_key_secret::Entity::find()
        .filter(still_valid(key, now))
        .order_by_asc(api_key_secret::Column::LastRequestAt.is_null())
        .order_by_desc(api_key_secret::Column::LastRequestAt)
        .one(db)
        .await?;
    Ok(row.map(|row| PreviousSecret {
        start: row.start.unwrap_or_default(),
        created_at: Timestamp::from_millis(row.created_at),
        expires_at: row.expires_at.map_or(now, Timestamp::from_millis),
        last_request_at: row.last_request_at.map(Timestamp::from_millis),
    }))
}

/// Revokes the previous secrets of a key that are still valid. `false`: there are none.
async fn revoke_previous<C: ConnectionTrait>(db: &C, key: KeyId, now: Timestamp) -> Result<bool, DbFailure> {
    let ended = api_key_secret::Entity::update_many()
        .col_expr(api_key_secret::Column::ExpiresAt, Expr::value(REVOKED_AT_EPOCH))
        .filter(still_valid(key, now))
        .exec(db)
        .await?;
    let pending = if pending_imports::has_valid_previous(db, key, now).await? {
        pending_imports::set_expiry(db, key, REVOKED_AT_EPOCH).await?
    } else {
        0
    };
    Ok(ended.rows_affected + pending > 0)
}

/// Records the last use of a secret, if it is later than the stored one.
pub(crate) async fn record_use<C: ConnectionTrait>(db: &C, hash: &[u8; 32], at: Timestamp) -> Result<(), DbFailure> {
    let older = Condition::any()
        .add(api_key_secret::Column::LastRequestAt.is_null())
        .add(api_key_secret::Column::LastRequestAt.lt(at.millis()));
    api_key_secret::Entity::update_many()
        .col_expr(api_key_secret::Column::LastRequestAt, Expr::value(at.millis()))
        .filter(api_key_secret::Column::Hash.eq(hash.to_vec()))
        .filter(older)
        .exec(db)
        .await?;
    Ok(())
}
