//! Imported secrets that were not shown yet, when their key is rotated.

use domain::{clock::Timestamp, id::KeyId};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, sea_query::Expr};

use crate::{entity::imported_secret, outage::Failure};

/// The secrets of a key that were imported and not shown yet end at this moment, or sooner; part of its rotation. Answers how
/// many those are.
pub(crate) async fn end<C: ConnectionTrait>(db: &C, key: KeyId, end: i64) -> Result<u64, Failure> {
    let later = Condition::any()
        .add(imported_secret::Column::ExpiresAt.is_null())
        .add(imported_secret::Column::ExpiresAt.gt(end));
    let ended = imported_secret::Entity::update_many()
        .col_expr(imported_secret::Column::ExpiresAt, Expr::value(end))
        .filter(imported_secret::Column::ApiKeyId.eq(key.uuid()))
        .filter(imported_secret::Column::AdoptedAt.is_null())
        .filter(later)
        .exec(db)
        .await?;
    Ok(ended.rows_affected)
}

/// Whether one of them goes on beside a newer secret.
pub(crate) async fn is_one_ending<C: ConnectionTrait>(db: &C, key: KeyId, now: Timestamp) -> Result<bool, Failure> {
    let found = imported_secret::Entity::find()
        .filter(imported_secret::Column::ApiKeyId.eq(key.uuid()))
        .filter(imported_secret::Column::AdoptedAt.is_null())
        .filter(imported_secret::Column::ExpiresAt.gt(now.millis()))
        .one(db)
        .await?;
    Ok(found.is_some())
}
