//! Keys and their secrets.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use domain::{
    Error, Outage,
    act::{Act, Actor},
    api_key::{ApiKey, PreviousSecret},
    clock::Timestamp,
    cooperation::Pace,
    error::Grantee,
    id::{KeyId, OrganizationId, SetId},
    listing::{Listing, Start},
    permission::PermissionSet,
    ports::{ApiKeys, KeyChanges, Rotation},
    reach::Reach,
    secret::SecretHash,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Select,
    prelude::Uuid,
    sea_query::{Expr, Query, SimpleExpr},
};

use crate::{
    DefaultCaps, Store, audit, convert,
    effective::{Held, Sizes},
    entity::{api_key, api_key_permission_set, api_key_secret},
    organizations,
    outage::Failure,
    reach::{deleted_in_reach, in_reach},
    removal::deleted_sets,
    rotation, sets,
};

/// Keys in one statement: SQLite and PostgreSQL take at most 32,766 and 65,535 parameters.
pub(crate) const ROWS: usize = 500;

/// Stores keys of one organization, each with its first secret and its part of the log; part of a transaction.
pub(crate) async fn insert<C: ConnectionTrait>(
    db: &C,
    keys: &[(ApiKey, SecretHash)],
    act: &Act,
    caps: DefaultCaps,
) -> Result<(), Failure> {
    let plain: Vec<ApiKey> = keys.iter().map(|(key, _)| key.clone()).collect();
    insert_without_secrets(db, &plain).await?;
    for keys in keys.chunks(ROWS) {
        let secrets = keys.iter().map(|(key, hash)| api_key_secret::ActiveModel {
            hash: Set(hash.bytes().to_vec()),
            api_key_id: Set(key.id.uuid()),
            created_at: Set(key.created_at.millis()),
            expires_at: Set(None),
            start: Set(Some(key.start.clone())),
            last_request_at: Set(None),
        });
        api_key_secret::Entity::insert_many(secrets).exec_without_returning(db).await?;
    }
    account_for(db, &plain, act, caps).await
}

/// Stores keys of one organization, which have no secrets yet.
pub(crate) async fn insert_without_secrets<C: ConnectionTrait>(db: &C, keys: &[ApiKey]) -> Result<(), Failure> {
    let Some(organization) = keys.first().map(|key| key.organization) else { return Ok(()) };
    let attached: BTreeSet<SetId> = keys.iter().flat_map(|key| &key.sets).copied().collect();
    if !attached.is_empty() {
        // As those who change sets do: else each would wait for the other.
        organizations::lock(db, organization).await?;
        let mut sizes = Sizes::default();
        sizes.read(db, organization, attached.iter().map(|set| set.uuid())).await?;
        sizes.require_all(&attached)?;
        for key in keys.iter().filter(|key| !key.sets.is_empty()) {
            sizes.require_room(None, &held(&key.permissions, &key.sets), Grantee::Requested).await?;
        }
    }
    for keys in keys.chunks(ROWS) {
        let rows = keys.iter().map(convert::api_key_row);
        api_key::Entity::insert_many(rows).exec_without_returning(db).await?;
        for key in keys.iter().filter(|key| !key.sets.is_empty()) {
            attach(db, key.id.uuid(), &key.sets).await?;
        }
    }
    Ok(())
}

/// Counts new keys, if the organization may have them, and notes them in its log.
pub(crate) async fn account_for<C: ConnectionTrait>(
    db: &C,
    keys: &[ApiKey],
    act: &Act,
    caps: DefaultCaps,
) -> Result<(), Failure> {
    // Last, because these make other changes of the organization's keys wait for this one's end.
    if act.actor == Actor::Operator {
        // Who has the machine is not locked out by a number, but a deleted organization gets no keys.
        organizations::lock(db, act.organization).await?;
        organizations::count_keys(db, act.organization, i64::try_from(keys.len()).unwrap_or(0)).await?;
    } else {
        organizations::add_keys(db, act.organization, keys.len(), caps).await?;
    }
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id.uuid()).collect();
    audit::note_within(db, act, &ids, caps.changes).await
}

async fn attach<C: ConnectionTrait>(db: &C, key: Uuid, sets: &[SetId]) -> Result<(), DbErr> {
    let rows = sets
        .iter()
        .map(|set| api_key_permission_set::ActiveModel { api_key_id: Set(key), permission_set_id: Set(set.uuid()) });
    api_key_permission_set::Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

/// A key's row, and what its secrets say about it.
#[derive(FromQueryResult)]
pub(crate) struct Row {
    #[sea_orm(nested)]
    key: api_key::Model,
    previous_ends_at: Option<i64>,
}

/// Rows of keys, to be chosen among.
pub(crate) fn rows() -> Select<api_key::Entity> {
    let of_key = Expr::col((api_key_secret::Entity, api_key_secret::Column::ApiKeyId));
    let previous_ends_at = Query::select()
        .expr(Expr::col((api_key_secret::Entity, api_key_secret::Column::ExpiresAt)).max())
        .from(api_key_secret::Entity)
        .and_where(of_key.equals((api_key::Entity, api_key::Column::Id)))
        .and_where(api_key_secret::Column::ExpiresAt.gt(rotation::ENDED))
        .to_owned();
    let previous_ends_at = SimpleExpr::SubQuery(None, Box::new(previous_ends_at.into()));
    api_key::Entity::find().expr_as(previous_ends_at, "previous_ends_at")
}

/// These rows as keys, with their sets.
pub(crate) async fn complete<C: ConnectionTrait>(db: &C, rows: Vec<Row>) -> Result<Vec<ApiKey>, Failure> {
    let mut sets: HashMap<Uuid, Vec<SetId>> = HashMap::new();
    for rows in rows.chunks(ROWS) {
        let attached = api_key_permission_set::Entity::find()
            .filter(api_key_permission_set::Column::ApiKeyId.is_in(rows.iter().map(|row| row.key.id)))
            .filter(api_key_permission_set::Column::PermissionSetId.not_in_subquery(deleted_sets()))
            .order_by_asc(api_key_permission_set::Column::PermissionSetId)
            .all(db)
            .await?;
        for row in attached {
            sets.entry(row.api_key_id).or_default().push(SetId::from_uuid(row.permission_set_id));
        }
    }
    let (mut keys, mut pace) = (Vec::with_capacity(rows.len()), Pace::default());
    for row in rows {
        pace.worked(row.key.permissions.len()).await;
        let sets = sets.remove(&row.key.id).unwrap_or_default();
        let previous_ends_at = row.previous_ends_at.map(Timestamp::from_millis);
        keys.push(ApiKey { previous_ends_at, ..convert::api_key(row.key, sets)? });
    }
    Ok(keys)
}

/// What a key holds, as it is stored.
fn held(permissions: &PermissionSet, sets: &[SetId]) -> Held {
    Held { own: convert::permissions_text(permissions), sets: sets.iter().map(|set| set.uuid()).collect() }
}

/// What the key with this identifier holds, whether or not it is deleted.
pub(crate) async fn held_by<C: ConnectionTrait>(db: &C, key: KeyId) -> Result<Held, Failure> {
    let own: Option<String> = api_key::Entity::find_by_id(key.uuid())
        .select_only()
        .column(api_key::Column::Permissions)
        .into_tuple()
        .one(db)
        .await?;
    let sets = api_key_permission_set::Entity::find()
        .select_only()
        .column(api_key_permission_set::Column::PermissionSetId)
        .filter(api_key_permission_set::Column::ApiKeyId.eq(key.uuid()))
        .into_tuple()
        .all(db)
        .await?;
    Ok(Held { own: own.unwrap_or_default(), sets })
}

/// Refuses a change of a key, which is written already, after which it would hold too many permissions. `before` is what it
/// held; `None` for a key that was not there. The organization's row is locked for it, so that none of its sets changes.
pub(crate) async fn require_room<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    before: Option<&Held>,
    after: &Held,
) -> Result<(), Failure> {
    if after.sets.is_empty() {
        return Ok(());
    }
    organizations::lock(db, organization).await?;
    if after.may_be_too_many() {
        let mut sizes = Sizes::default();
        let sets = before.into_iter().chain([after]).flat_map(|held| &held.sets);
        sizes.read(db, organization, sets.copied()).await?;
        sizes.require_room(before, after, Grantee::Requested).await?;
    }
    Ok(())
}

/// The secrets of these keys.
pub(crate) async fn secrets<C: ConnectionTrait>(db: &C, keys: Vec<Uuid>) -> Result<Vec<SecretHash>, DbErr> {
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

    async fn list(&self, reach: Reach, listing: &Listing, start: Start, limit: u64) -> Result<Vec<ApiKey>, Outage> {
        Ok(self.list_keys(reach, listing, start, limit).await?)
    }

    async fn create(&self, keys: Vec<(ApiKey, SecretHash)>, act: &Act) -> Result<(), Error> {
        let (keys, act, caps) = (Arc::new(keys), act.clone(), self.caps);
        let create = self.transaction(move |transaction, _| {
            let (keys, act) = (keys.clone(), act.clone());
            Box::pin(async move { insert(transaction, &keys, &act, caps).await })
        });
        Ok(create.await?)
    }

    async fn update(
        &self,
        reach: Reach,
        key: KeyId,
        version: u64,
        changes: &KeyChanges,
        act: &Act,
    ) -> Result<Option<ApiKey>, Error> {
        let row = convert::changes_row(changes, version, act.at);
        let (act, attached, most) = (act.clone(), changes.sets.clone(), self.caps.changes);
        let is_granted = changes.permissions.is_some() || attached.is_some();
        let update = self.transaction(move |transaction, changed| {
            let (row, act, attached) = (row.clone(), act.clone(), attached.clone());
            Box::pin(async move {
                // What it holds does not change without its version.
                let before = if is_granted { Some(held_by(transaction, key).await?) } else { None };
                if write(transaction, reach, key, version, row).await? == 0 {
                    return Ok(None);
                }
                if let Some(attached) = &attached {
                    organizations::lock(transaction, reach.organization).await?;
                    let of_key = api_key_permission_set::Column::ApiKeyId.eq(key.uuid());
                    api_key_permission_set::Entity::delete_many().filter(of_key).exec(transaction).await?;
                    sets::require_all(transaction, reach.organization, attached).await?;
                    if !attached.is_empty() {
                        attach(transaction, key.uuid(), attached).await?;
                    }
                }
                if let Some(before) = before {
                    let after = held_by(transaction, key).await?;
                    require_room(transaction, reach.organization, Some(&before), &after).await?;
                }
                changed.keys.extend(secrets(transaction, vec![key.uuid()]).await?);
                audit::note_within(transaction, &act, &[key.uuid()], most).await?;
                find(transaction, reach, key).await
            })
        });
        Ok(update.await?)
    }

    async fn rotate(
        &self,
        reach: Reach,
        key: KeyId,
        version: u64,
        rotation: Rotation,
        act: &Act,
    ) -> Result<Option<ApiKey>, Error> {
        Ok(self.replace_secret(reach, key, version, rotation, act.clone()).await?)
    }

    async fn find_previous_secret(
        &self,
        reach: Reach,
        key: KeyId,
        now: Timestamp,
    ) -> Result<Option<PreviousSecret>, Outage> {
        Ok(self.previous_secret(reach, key, now).await?)
    }

    async fn end_previous_secret(&self, reach: Reach, key: KeyId, act: &Act) -> Result<bool, Outage> {
        Ok(self.end_secret(reach, key, act.clone()).await?)
    }

    async fn delete(&self, reach: Reach, keys: Vec<KeyId>, act: &Act) -> Result<Vec<KeyId>, Outage> {
        let these = api_key::Column::Id.is_in(keys.iter().map(|key| key.uuid()));
        let deleted = self.delete_all(Condition::all().add(in_reach(reach)).add(these), act).await?;
        Ok(deleted.into_iter().map(KeyId::from_uuid).collect())
    }

    async fn delete_expired(&self, reach: Reach, act: &Act) -> Result<u64, Outage> {
        Ok(self.delete_expired_keys(reach, act).await?)
    }

    async fn find_deleted(&self, reach: Reach, key: KeyId) -> Result<Option<ApiKey>, Outage> {
        Ok(one(&self.pools.read, deleted_in_reach(reach), key).await?)
    }

    async fn restore(&self, reach: Reach, key: KeyId, version: u64, act: &Act) -> Result<Option<ApiKey>, Error> {
        Ok(self.bring_back(reach, key, version, act.clone()).await?)
    }
}

/// Writes these columns of a key that still has this version. Answers whether there is one.
pub(crate) async fn write<C: ConnectionTrait>(
    db: &C,
    reach: Reach,
    key: KeyId,
    version: u64,
    row: api_key::ActiveModel,
) -> Result<u64, DbErr> {
    let update = api_key::Entity::update_many()
        .set(row)
        .filter(in_reach(reach))
        .filter(api_key::Column::Id.eq(key.uuid()))
        .filter(api_key::Column::Version.eq(convert::number(version)));
    Ok(update.exec(db).await?.rows_affected)
}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, reach: Reach, key: KeyId) -> Result<Option<ApiKey>, Failure> {
    one(db, in_reach(reach), key).await
}

pub(crate) async fn one<C: ConnectionTrait>(db: &C, among: Condition, key: KeyId) -> Result<Option<ApiKey>, Failure> {
    let this = api_key::Column::Id.eq(key.uuid());
    let row = rows().filter(this).filter(among).into_model::<Row>().one(db).await?;
    Ok(complete(db, row.into_iter().collect()).await?.pop())
}
