//! Imported secrets that have not been used yet, and what a rotation of their key does to them.

use domain::{clock::Timestamp, id::KeyId};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, sea_query::Expr};

use crate::{api_keys::rotate::REVOKED_AT_EPOCH, db::error::DbFailure, rows::entity::imported_secret};

/// Sets the expiry of the imported secrets of a key that have not been used yet, unless they expire earlier; part of its rotation.
/// `end` is in milliseconds since the Unix epoch. Returns the number of secrets.
pub(crate) async fn set_expiry<C: ConnectionTrait>(db: &C, key: KeyId, end: i64) -> Result<u64, DbFailure> {
    let later = Condition::any()
        .add(imported_secret::Column::ExpiresAt.is_null())
        .add(imported_secret::Column::ExpiresAt.gt(end));
    let ended = imported_secret::Entity::update_many()
        .col_expr(imported_secret::Column::ExpiresAt, Expr::value(end))
        .filter(unused(key).add(later))
        .exec(db)
        .await?;
    Ok(ended.rows_affected)
}

/// Whether a previous secret of a key is an imported one that has not been used yet and is still valid.
pub(crate) async fn has_valid_previous<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    now: Timestamp,
) -> Result<bool, DbFailure> {
    Ok(previous_start(db, key, now).await?.is_some())
}

/// The start of such a secret.
pub(crate) async fn previous_start<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    now: Timestamp,
) -> Result<Option<String>, DbFailure> {
    let found = imported_secret::Entity::find().filter(valid_previous(key, now)).one(db).await?;
    Ok(found.map(|row| row.start))
}

fn valid_previous(key: KeyId, now: Timestamp) -> Condition {
    unused(key).add(imported_secret::Column::ExpiresAt.gt(now.millis()))
}

fn unused(key: KeyId) -> Condition {
    Condition::all()
        .add(imported_secret::Column::ApiKeyId.eq(key.uuid()))
        .add(imported_secret::Column::AdoptedAt.is_null())
}

/// Makes a previous secret of a key, which has not been used yet and is still valid, expire at `end` if that is later.
pub(crate) async fn extend_previous<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    now: Timestamp,
    end: Timestamp,
) -> Result<(), DbFailure> {
    imported_secret::Entity::update_many()
        .col_expr(imported_secret::Column::ExpiresAt, Expr::value(end.millis()))
        .filter(valid_previous(key, now))
        .filter(imported_secret::Column::ExpiresAt.lt(end.millis()))
        .exec(db)
        .await?;
    Ok(())
}

/// Makes a previous secret of a key, which has not been used yet and is still valid, the newest one.
pub(crate) async fn restore_previous<C: ConnectionTrait>(db: &C, key: KeyId, now: Timestamp) -> Result<(), DbFailure> {
    imported_secret::Entity::update_many()
        .col_expr(imported_secret::Column::ExpiresAt, Expr::value(None::<i64>))
        .filter(valid_previous(key, now))
        .exec(db)
        .await?;
    Ok(())
}

/// Revokes the newest secret of a key, if it is an imported or supplied one that has not been used yet. Returns the number of
/// secrets, 0 or 1.
pub(crate) async fn revoke_newest<C: ConnectionTrait>(db: &C, key: KeyId) -> Result<u64, DbFailure> {
    let revoked = imported_secret::Entity::update_many()
        .col_expr(imported_secret::Column::ExpiresAt, Expr::value(REVOKED_AT_EPOCH))
        .filter(unused(key).add(imported_secret::Column::ExpiresAt.is_null()))
        .exec(db)
        .await?;
    Ok(revoked.rows_affected)
}
