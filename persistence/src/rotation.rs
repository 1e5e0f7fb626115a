//! The secrets of a key that is being given a new one.

use domain::{
    Error,
    act::Act,
    api_key::{ApiKey, PreviousSecret},
    clock::Timestamp,
    id::KeyId,
    ports::{KeyChanges, Rotation},
    reach::Reach,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};

use crate::{
    Store,
    api_keys::{self, secrets},
    audit, convert,
    entity::{api_key, api_key_secret},
    outage::Failure,
    reach::in_reach,
    waiting,
};

impl Store {
    /// Gives a key that still has this version a new secret. `None`: it has another one, or is gone.
    pub(crate) async fn replace_secret(
        &self,
        reach: Reach,
        key: KeyId,
        version: u64,
        rotation: Rotation,
        act: Act,
    ) -> Result<Option<ApiKey>, Failure> {
        let row = api_key::ActiveModel {
            prefix: Set(rotation.prefix.as_str().to_owned()),
            start: Set(rotation.start.clone()),
            ..convert::changes_row(&KeyChanges::default(), version, act.at)
        };
        let (clocks, now, caps) = (&self.clocks, act.at, self.caps);
        let forgotten = Condition::all()
            .add(api_key_secret::Column::ExpiresAt.into_expr().lte(clocks.no_later_than_database(now, 0)))
            .add(api_key_secret::Column::CreatedAt.into_expr().lt(clocks.no_later_than_database(now, KEPT)));
        let replace = self.transaction(move |transaction, changed| {
            let (row, rotation, act, forgotten) = (row.clone(), rotation.clone(), act.clone(), forgotten.clone());
            Box::pin(async move {
                if api_keys::write(transaction, reach, key, version, row).await? == 0 {
                    return Ok(None);
                }
                changed.keys.extend(secrets(transaction, vec![key.uuid()]).await?);
                replace(transaction, key, &rotation, act.at, forgotten).await?;
                audit::note_within(transaction, &act, &[key.uuid()], caps.changes).await?;
                api_keys::find(transaction, reach, key).await
            })
        });
        replace.await
    }

    /// The old secret of a key that is being replaced.
    pub(crate) async fn previous_secret(
        &self,
        reach: Reach,
        key: KeyId,
        now: Timestamp,
    ) -> Result<Option<PreviousSecret>, Failure> {
        let db = &self.pools.read;
        if api_keys::find(db, reach, key).await?.is_some() { previous(db, key, now).await } else { Ok(None) }
    }

    /// Ends the old secret of a key. `false`: there is none, or no such key; nothing was changed.
    pub(crate) async fn end_secret(&self, reach: Reach, key: KeyId, act: Act) -> Result<bool, Failure> {
        let end = self.transaction(move |transaction, changed| {
            let act = act.clone();
            Box::pin(async move {
                // Another version, so that no use that was decided before is counted any more.
                let next = Expr::col(api_key::Column::Version).add(1);
                let this = api_key::Entity::update_many()
                    .col_expr(api_key::Column::Version, next)
                    .filter(in_reach(reach))
                    .filter(api_key::Column::Id.eq(key.uuid()));
                this.exec(transaction).await?;
                changed.keys.extend(secrets(transaction, vec![key.uuid()]).await?);
                let is_here = api_keys::find(transaction, reach, key).await?.is_some();
                if !is_here || !end(transaction, key, act.at).await? {
                    return Err(Failure::Refused(Error::NotFound));
                }
                audit::note(transaction, &act, &[key.uuid()]).await?;
                Ok(true)
            })
        });
        match end.await {
            Err(Failure::Refused(Error::NotFound)) => Ok(false),
            ended => ended,
        }
    }
}

/// What has ended before its time has ended at the beginning of all times: an end that is "now" would come later where a clock
/// is behind.
pub(crate) const ENDED: i64 = 0;

/// How long ended secrets are known after they were made, in milliseconds: 400 days.
const KEPT: i64 = 400 * 24 * 60 * 60 * 1_000;

/// The secrets of a key that are being replaced and still good.
fn going_on(key: KeyId, now: Timestamp) -> Condition {
    Condition::all()
        .add(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .add(api_key_secret::Column::ExpiresAt.gt(now.millis()))
}

/// Gives a key, whose row is locked, a new secret. Those of its secrets that are `forgotten` go.
async fn replace<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
    rotation: &Rotation,
    now: Timestamp,
    forgotten: Condition,
) -> Result<(), Failure> {
    let is_going_on = api_key_secret::Entity::find().filter(going_on(key, now)).one(db).await?.is_some()
        || waiting::is_one_ending(db, key, now).await?;
    if is_going_on && rotation.old_ends_at > now {
        return Err(Failure::Refused(Error::StillRotating));
    }
    let of_key = Condition::all().add(api_key_secret::Column::ApiKeyId.eq(key.uuid()));
    let current = of_key.clone().add(api_key_secret::Column::ExpiresAt.is_null());
    let goes_on = rotation.old_ends_at > now;
    api_key_secret::Entity::update_many()
        .col_expr(
            api_key_secret::Column::ExpiresAt,
            Expr::value(if goes_on { rotation.old_ends_at.millis() } else { ENDED }),
        )
        .col_expr(api_key_secret::Column::Start, Expr::value(rotation.old_start.clone()))
        .filter(current)
        .exec(db)
        .await?;
    if goes_on {
        waiting::end(db, key, rotation.old_ends_at.millis()).await?;
    } else {
        end(db, key, now).await?;
        waiting::end(db, key, ENDED).await?;
    }
    // Who shows one of these is told to those who keep the key; for ever would be too much.
    api_key_secret::Entity::delete_many().filter(of_key.add(forgotten)).exec(db).await?;
    remove_surplus(db, key, now).await?;
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

/// Ended secrets of a key that are known; a rotation removes older ones.
const MAX_ENDED: u64 = 100;

/// Ended secrets that go with one rotation.
const MAX_REMOVED: u64 = 1_000;

async fn remove_surplus<C: ConnectionTrait>(db: &C, key: KeyId, now: Timestamp) -> Result<(), Failure> {
    let surplus: Vec<Vec<u8>> = api_key_secret::Entity::find()
        .select_only()
        .column(api_key_secret::Column::Hash)
        .filter(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .filter(api_key_secret::Column::ExpiresAt.lte(now.millis()))
        .order_by_desc(api_key_secret::Column::CreatedAt)
        .offset(MAX_ENDED)
        .limit(MAX_REMOVED)
        .into_tuple()
        .all(db)
        .await?;
    if !surplus.is_empty() {
        let these = api_key_secret::Column::Hash.is_in(surplus);
        api_key_secret::Entity::delete_many().filter(these).exec(db).await?;
    }
    Ok(())
}

/// The old secret of a key that is being replaced.
async fn previous<C: ConnectionTrait>(db: &C, key: KeyId, now: Timestamp) -> Result<Option<PreviousSecret>, Failure> {
    // An imported one has two rows, one of them for earlier versions: uses are noted in either.
    let row = api_key_secret::Entity::find()
        .filter(going_on(key, now))
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

/// Ends it now. `false`: there is none.
async fn end<C: ConnectionTrait>(db: &C, key: KeyId, now: Timestamp) -> Result<bool, Failure> {
    let ended = api_key_secret::Entity::update_many()
        .col_expr(api_key_secret::Column::ExpiresAt, Expr::value(ENDED))
        .filter(going_on(key, now))
        .exec(db)
        .await?;
    let waiting = if waiting::is_one_ending(db, key, now).await? { waiting::end(db, key, ENDED).await? } else { 0 };
    Ok(ended.rows_affected + waiting > 0)
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
