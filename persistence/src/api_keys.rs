//! Keys and their secrets.

use async_trait::async_trait;
use domain::{
    Outage,
    api_key::ApiKey,
    clock::Timestamp,
    id::{KeyId, OrganizationId},
    ports::{ApiKeys, Found, Position},
    secret::SecretHash,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, JoinType,
    QueryFilter, QueryOrder, QuerySelect, RelationDef, Select, sea_query::Expr,
};

use crate::{
    Store, convert,
    entity::{api_key, api_key_secret, membership, organization},
    outage::Failure,
};

/// The keys of one organization: the only way to a key's row, but for the lookup by hash.
fn keys_of(organization: OrganizationId) -> Select<api_key::Entity> {
    api_key::Entity::find().filter(api_key::Column::OrganizationId.eq(organization.uuid()))
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

    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Vec<ApiKey>, Outage> {
        Ok(self.list_or_fail(organization, after, limit).await?)
    }

    async fn create(&self, key: &ApiKey, secret: &SecretHash) -> Result<(), Outage> {
        let create = async {
            let transaction = self.begin().await?;
            insert(&transaction, key, secret).await?;
            transaction.commit().await
        };
        create.await.map_err(|error| Failure::from(error).into())
    }

    async fn delete(&self, organization: OrganizationId, key: KeyId) -> Result<bool, Outage> {
        let deleted = api_key::Entity::delete_many()
            .filter(api_key::Column::OrganizationId.eq(organization.uuid()))
            .filter(api_key::Column::Id.eq(key.uuid()))
            .exec(&self.pools.write)
            .await
            .map_err(Failure::from)?;
        Ok(deleted.rows_affected == 1)
    }
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

    async fn list_or_fail(
        &self,
        organization: OrganizationId,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Vec<ApiKey>, Failure> {
        let mut keys = keys_of(organization)
            .order_by_asc(api_key::Column::CreatedAt)
            .order_by_asc(api_key::Column::Id)
            .limit(limit);
        if let Some(after) = after {
            let place = Expr::tuple([Expr::col(api_key::Column::CreatedAt), Expr::col(api_key::Column::Id)]);
            let after = Expr::tuple([after.created_at.millis().into(), after.id.uuid().into()]);
            keys = keys.filter(place.gt(after));
        }
        let rows = keys.all(&self.pools.read).await?;
        rows.into_iter().map(|row| Ok(convert::api_key(row)?)).collect()
    }
}
