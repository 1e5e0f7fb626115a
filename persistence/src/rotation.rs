//! The secrets of a key that is being given a new one.

use domain::{Error, api_key::PreviousSecret, clock::Timestamp, id::KeyId, ports::Rotation};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::Expr,
};

use crate::{entity::api_key_secret, outage::Failure};

/// Ended secrets of a key that are kept, so that they are known when somebody shows them.
const KEPT: usize = 10;

/// The secrets of a key that are being replaced and still good.
fn going_on(key: KeyId, now: Timestamp) -> Condition {
    Condition::all()
        .add(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .add(api_key_secret::Column::ExpiresAt.gt(now.millis()))
}

/// Gives a key, whose row is locked, a new secret.
pub(crate) async fn replace<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    rotation: &Rotation,
    now: Timestamp,
) -> Result<(), Failure> {
    let is_going_on = api_key_secret::Entity::find().filter(going_on(key, now)).one(db).await?.is_some();
    if is_going_on && rotation.old_ends_at > now {
        return Err(Failure::Refused(Error::StillRotating));
    }
    let end = rotation.old_ends_at.millis();
    let good = Condition::any()
        .add(api_key_secret::Column::ExpiresAt.is_null())
        .add(api_key_secret::Column::ExpiresAt.gt(end));
    api_key_secret::Entity::update_many()
        .col_expr(api_key_secret::Column::ExpiresAt, Expr::value(end))
        .filter(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .filter(good)
        .exec(db)
        .await?;
    let old = api_key_secret::Entity::find()
        .filter(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .order_by_desc(api_key_secret::Column::ExpiresAt)
        .all(db)
        .await?;
    let surplus: Vec<Vec<u8>> = old.into_iter().skip(KEPT).map(|secret| secret.hash).collect();
    if !surplus.is_empty() {
        let surplus = api_key_secret::Column::Hash.is_in(surplus);
        api_key_secret::Entity::delete_many().filter(surplus).exec(db).await?;
    }
    let row = api_key_secret::ActiveModel {
        hash: Set(rotation.secret.bytes().to_vec()),
        api_key_id: Set(key.uuid()),
        created_at: Set(now.millis()),
        expires_at: Set(None),
        start: Set(Some(rotation.start.clone())),
        last_request_at: Set(None),
    };
    api_key_secret::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The old secret of a key that is being replaced.
pub(crate) async fn previous<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    now: Timestamp,
) -> Result<Option<PreviousSecret>, Failure> {
    let row = api_key_secret::Entity::find().filter(going_on(key, now)).one(db).await?;
    Ok(row.map(|row| PreviousSecret {
        start: row.start.unwrap_or_default(),
        created_at: Timestamp::from_millis(row.created_at),
        expires_at: row.expires_at.map_or(now, Timestamp::from_millis),
        last_request_at: row.last_request_at.map(Timestamp::from_millis),
    }))
}

/// Ends it now. `false`: there is none.
pub(crate) async fn end<C: ConnectionTrait>(db: &C, key: KeyId, now: Timestamp) -> Result<bool, Failure> {
    let ended = api_key_secret::Entity::update_many()
        .col_expr(api_key_secret::Column::ExpiresAt, Expr::value(now.millis()))
        .filter(going_on(key, now))
        .exec(db)
        .await?;
    Ok(ended.rows_affected > 0)
}

/// Notes a use of a secret.
pub(crate) async fn used<C: ConnectionTrait>(db: &C, hash: &[u8; 32], at: Timestamp) -> Result<(), Failure> {
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
