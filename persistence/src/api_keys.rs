//! Keys and their secrets.

use async_trait::async_trait;
use domain::{
    Outage,
    api_key::ApiKey,
    clock::Timestamp,
    id::KeyId,
    ports::{ApiKeys, KeyChanges, Start},
    reach::Reach,
    secret::SecretHash,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, prelude::Uuid, sea_query::Expr,
};

use crate::{
    Store, convert,
    entity::{api_key, api_key_secret},
    outage::Failure,
};

/// The keys in reach: the only way to a key's row, but for the lookup by hash.
fn in_reach(reach: Reach) -> Condition {
    let organization = api_key::Column::OrganizationId.eq(reach.organization.uuid());
    let user = reach.user.map(|user| api_key::Column::UserId.eq(user.uuid()));
    Condition::all().add(organization).add_option(user)
}

/// Keys in one statement: SQLite and PostgreSQL take at most 32,766 and 65,535 parameters.
const ROWS: usize = 500;

/// Stores keys, each with its first secret; part of a transaction.
pub(crate) async fn insert<C: ConnectionTrait>(db: &C, keys: &[(ApiKey, SecretHash)]) -> Result<(), DbErr> {
    for keys in keys.chunks(ROWS) {
        let rows = keys.iter().map(|(key, _)| convert::api_key_row(key));
        api_key::Entity::insert_many(rows).exec_without_returning(db).await?;
        let secrets = keys.iter().map(|(key, hash)| api_key_secret::ActiveModel {
            hash: Set(hash.bytes().to_vec()),
            api_key_id: Set(key.id.uuid()),
            created_at: Set(key.created_at.millis()),
            expires_at: Set(None),
        });
        api_key_secret::Entity::insert_many(secrets).exec_without_returning(db).await?;
    }
    Ok(())
}

/// The secrets of these keys.
async fn secrets<C: ConnectionTrait>(db: &C, keys: Vec<Uuid>) -> Result<Vec<SecretHash>, DbErr> {
    let mut hashes = Vec::new();
    for keys in keys.chunks(ROWS) {
        let rows: Vec<Vec<u8>> = api_key_secret::Entity::find()
            .select_only()
            .column(api_key_secret::Column::Hash)
            .filter(api_key_secret::Column::ApiKeyId.is_in(keys.iter().copied()))
            .into_tuple()
            .all(db)
            .await?;
        hashes.extend(rows.into_iter().filter_map(|row| row.try_into().ok()).map(SecretHash::from_bytes));
    }
    Ok(hashes)
}

#[async_trait]
impl ApiKeys for Store {
    async fn find(&self, reach: Reach, key: KeyId) -> Result<Option<ApiKey>, Outage> {
        Ok(find(&self.pools.read, reach, key).await?)
    }

    async fn list(&self, reach: Reach, start: Start, limit: u64) -> Result<Vec<ApiKey>, Outage> {
        Ok(self.list_or_fail(reach, start, limit).await?)
    }

    async fn create(&self, keys: Vec<(ApiKey, SecretHash)>) -> Result<(), Outage> {
        let create = self.change(move |transaction, _| Box::pin(async move { Ok(insert(transaction, &keys).await?) }));
        create.await
    }

    async fn update(
        &self,
        reach: Reach,
        key: KeyId,
        version: u64,
        changes: &KeyChanges,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, Outage> {
        let row = convert::changes_row(changes, version, now);
        let update = self.change(move |transaction, changed| {
            Box::pin(async move {
                let updated = api_key::Entity::update_many()
                    .set(row)
                    .filter(in_reach(reach))
                    .filter(api_key::Column::Id.eq(key.uuid()))
                    .filter(api_key::Column::Version.eq(convert::number(version)))
                    .exec(transaction)
                    .await?;
                if updated.rows_affected == 0 {
                    return Ok(None);
                }
                changed.extend(secrets(transaction, vec![key.uuid()]).await?);
                find(transaction, reach, key).await
            })
        });
        update.await
    }

    async fn delete(&self, reach: Reach, key: KeyId) -> Result<bool, Outage> {
        let this = Condition::all().add(in_reach(reach)).add(api_key::Column::Id.eq(key.uuid()));
        Ok(self.delete_all(this).await? == 1)
    }

    async fn delete_expired(&self, reach: Reach, now: Timestamp) -> Result<u64, Outage> {
        let expired = Condition::all().add(in_reach(reach)).add(api_key::Column::ExpiresAt.lte(now.millis()));
        self.delete_all(expired).await
    }
}

async fn find<C: ConnectionTrait>(db: &C, reach: Reach, key: KeyId) -> Result<Option<ApiKey>, Failure> {
    let row = api_key::Entity::find_by_id(key.uuid()).filter(in_reach(reach)).one(db).await?;
    Ok(row.map(convert::api_key).transpose()?)
}

impl Store {
    /// Removes the keys that `which` names. Answers how many.
    async fn delete_all(&self, which: Condition) -> Result<u64, Outage> {
        let delete = self.change(move |transaction, changed| {
            Box::pin(async move {
                // Locked in the order of their ids, as the workers lock.
                let keys: Vec<Uuid> = api_key::Entity::find()
                    .select_only()
                    .column(api_key::Column::Id)
                    .filter(which)
                    .order_by_asc(api_key::Column::Id)
                    .lock_exclusive()
                    .into_tuple()
                    .all(transaction)
                    .await?;
                changed.extend(secrets(transaction, keys.clone()).await?);
                for keys in keys.chunks(ROWS) {
                    let these = api_key::Column::Id.is_in(keys.iter().copied());
                    api_key::Entity::delete_many().filter(these).exec(transaction).await?;
                }
                Ok(keys.len() as u64)
            })
        });
        delete.await
    }

    async fn list_or_fail(&self, reach: Reach, start: Start, limit: u64) -> Result<Vec<ApiKey>, Failure> {
        let keys = api_key::Entity::find()
            .filter(in_reach(reach))
            .order_by_asc(api_key::Column::CreatedAt)
            .order_by_asc(api_key::Column::Id)
            .limit(limit);
        let keys = match start {
            Start::Skip(count) => keys.offset(count),
            Start::After(after) => {
                let place = Expr::tuple([Expr::col(api_key::Column::CreatedAt), Expr::col(api_key::Column::Id)]);
                keys.filter(place.gt(Expr::tuple([after.created_at.millis().into(), after.id.uuid().into()])))
            }
        };
        let rows = keys.all(&self.pools.read).await?;
        rows.into_iter().map(|row| Ok(convert::api_key(row)?)).collect()
    }
}
