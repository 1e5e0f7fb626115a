//! Keys and their secrets.

use async_trait::async_trait;
use domain::{
    Outage,
    api_key::ApiKey,
    clock::Timestamp,
    id::KeyId,
    ports::{ApiKeys, Found, KeyChanges, Start},
    reach::Reach,
    secret::SecretHash,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult,
    JoinType, QueryFilter, QueryOrder, QuerySelect, QueryTrait, RelationDef, sea_query::Expr,
};

use crate::{
    Store, convert,
    entity::{api_key, api_key_secret, membership, organization},
    outage::Failure,
};

/// The keys in reach: the only way to a key's row, but for the lookup by hash.
fn in_reach(reach: Reach) -> Condition {
    let organization = api_key::Column::OrganizationId.eq(reach.organization.uuid());
    let user = reach.user.map(|user| api_key::Column::UserId.eq(user.uuid()));
    Condition::all().add(organization).add_option(user)
}

/// Stores a key with its first secret; part of a transaction.
pub(crate) async fn insert<C: ConnectionTrait>(db: &C, key: &ApiKey, secret: &SecretHash) -> Result<(), DbErr> {
    let row = convert::api_key_row(key);
    api_key::Entity::insert(row).exec_without_returning(db).await?;
    let secret = api_key_secret::ActiveModel {
        hash: Set(secret.bytes().to_vec()),
        api_key_id: Set(key.id.uuid()),
        created_at: Set(key.created_at.millis()),
        expires_at: Set(None),
    };
    api_key_secret::Entity::insert(secret).exec_without_returning(db).await?;
    Ok(())
}

/// What the lookup by hash reads.
#[derive(FromQueryResult)]
struct FoundRow {
    #[sea_orm(nested)]
    key: api_key::Model,
    kind: String,
    member_permissions: Option<String>,
    secret_expires_at: Option<i64>,
}

impl FoundRow {
    fn into_found(self) -> Result<Found, Failure> {
        let permissions = |text: String| convert::permissions(&text, "memberships", self.key.id);
        Ok(Found {
            kind: convert::kind(&self.kind, self.key.organization_id)?,
            membership: self.member_permissions.map(permissions).transpose()?,
            secret_expires_at: self.secret_expires_at.map(Timestamp::from_millis),
            key: convert::api_key(self.key)?,
        })
    }
}

#[async_trait]
impl ApiKeys for Store {
    async fn find_by_hash(&self, hash: &SecretHash) -> Result<Option<Found>, Outage> {
        Ok(self.find_by_hash_or_fail(hash).await?)
    }

    async fn find(&self, reach: Reach, key: KeyId) -> Result<Option<ApiKey>, Outage> {
        Ok(find(&self.pools.read, reach, key).await?)
    }

    async fn list(&self, reach: Reach, start: Start, limit: u64) -> Result<Vec<ApiKey>, Outage> {
        Ok(self.list_or_fail(reach, start, limit).await?)
    }

    async fn create(&self, key: &ApiKey, secret: &SecretHash) -> Result<(), Outage> {
        let create = async {
            let transaction = self.pools.begin().await?;
            insert(&transaction, key, secret).await?;
            transaction.commit().await
        };
        create.await.map_err(|error| Failure::from(error).into())
    }

    async fn update(
        &self,
        reach: Reach,
        key: KeyId,
        version: u64,
        changes: &KeyChanges,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, Outage> {
        let update = async {
            let transaction = self.pools.begin().await?;
            let updated = api_key::Entity::update_many()
                .set(convert::changes_row(changes, version, now))
                .filter(in_reach(reach))
                .filter(api_key::Column::Id.eq(key.uuid()))
                .filter(api_key::Column::Version.eq(convert::number(version)))
                .exec(&transaction)
                .await?;
            if updated.rows_affected == 0 {
                transaction.rollback().await?;
                return Ok(None);
            }
            let key = find(&transaction, reach, key).await?;
            transaction.commit().await?;
            Ok::<_, Failure>(key)
        };
        Ok(update.await?)
    }

    async fn delete(&self, reach: Reach, key: KeyId) -> Result<bool, Outage> {
        let deleted = api_key::Entity::delete_many()
            .filter(in_reach(reach))
            .filter(api_key::Column::Id.eq(key.uuid()))
            .exec(&self.pools.write)
            .await
            .map_err(Failure::from)?;
        Ok(deleted.rows_affected == 1)
    }

    async fn delete_expired(&self, reach: Reach, now: Timestamp) -> Result<u64, Outage> {
        // Locked in the order of their ids, as the workers lock.
        let expired = api_key::Entity::find()
            .select_only()
            .column(api_key::Column::Id)
            .filter(in_reach(reach))
            .filter(api_key::Column::ExpiresAt.lte(now.millis()))
            .order_by_asc(api_key::Column::Id)
            .lock_exclusive()
            .into_query();
        let deleted = api_key::Entity::delete_many()
            .filter(api_key::Column::Id.in_subquery(expired))
            .exec(&self.pools.write)
            .await
            .map_err(Failure::from)?;
        Ok(deleted.rows_affected)
    }
}

async fn find<C: ConnectionTrait>(db: &C, reach: Reach, key: KeyId) -> Result<Option<ApiKey>, Failure> {
    let row = api_key::Entity::find_by_id(key.uuid()).filter(in_reach(reach)).one(db).await?;
    Ok(row.map(convert::api_key).transpose()?)
}

impl Store {
    async fn find_by_hash_or_fail(&self, hash: &SecretHash) -> Result<Option<Found>, Failure> {
        let secret: RelationDef = api_key_secret::Entity::belongs_to(api_key::Entity)
            .from(api_key_secret::Column::ApiKeyId)
            .to(api_key::Column::Id)
            .into();
        let organization: RelationDef = api_key::Entity::belongs_to(organization::Entity)
            .from(api_key::Column::OrganizationId)
            .to(organization::Column::Id)
            .into();
        let membership: RelationDef = api_key::Entity::belongs_to(membership::Entity)
            .from((api_key::Column::OrganizationId, api_key::Column::UserId))
            .to((membership::Column::OrganizationId, membership::Column::UserId))
            .into();
        let row = api_key::Entity::find()
            .join_rev(JoinType::InnerJoin, secret)
            .join(JoinType::InnerJoin, organization)
            .join(JoinType::LeftJoin, membership)
            .column_as(organization::Column::Kind, "kind")
            .column_as(membership::Column::Permissions, "member_permissions")
            .column_as(api_key_secret::Column::ExpiresAt, "secret_expires_at")
            .filter(api_key_secret::Column::Hash.eq(hash.bytes().to_vec()))
            .into_model::<FoundRow>()
            .one(&self.pools.read)
            .await?;
        row.map(FoundRow::into_found).transpose()
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
