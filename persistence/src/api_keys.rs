//! Stores keys with their secrets and permission sets, and writes the audit events of their changes.
mod candidates;
mod create;
mod customers;
pub(crate) mod delete;
pub(crate) mod deleted;
mod filter;
mod find_by_secret;
pub(crate) mod import;
pub(crate) mod key_formats;
pub(crate) mod list;
pub(crate) mod newest_secret;
pub(crate) mod pending_imports;
pub(crate) mod rotate;
mod supplied;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    clock::Timestamp,
    cooperation::Pace,
    error::Grantee,
    id::{KeyId, OrganizationId, SetId},
    keys::{
        api_key::{ApiKey, PreviousSecret, SecretStatus},
        key_scope::KeyScope,
        list::{Filter, Listing, Start},
        policy::CheckedPolicies,
        secret::{LegacyHash, SecretHash},
        settings::KeySettings,
    },
    ports::{ApiKeys, ChangeLock, Rotation},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Select,
    prelude::Uuid,
    sea_query::{Expr, Query, SimpleExpr},
};

use self::create::attach;
pub(crate) use self::create::{insert, insert_secrets, insert_without_secrets, reserve_and_log};
use crate::{
    database::Database,
    db::{MAX_ROWS_PER_STATEMENT, error::DbFailure},
    identity::sessions,
    organizations::{
        self,
        effective::{PermissionCounter, StoredPermissions},
        key_policies, permission_sets,
        removal::deleted_sets,
    },
    rows::{
        convert,
        entity::{api_key, api_key_permission_set, api_key_secret},
        scope::{deleted_in_scope, in_scope},
    },
};

/// A key's row, and when its previous secret expires.
#[derive(FromQueryResult)]
pub(crate) struct ApiKeyRow {
    #[sea_orm(nested)]
    key: api_key::Model,
    previous_ends_at: Option<i64>,
}

/// A query of [`ApiKeyRow`]s, to be filtered.
pub(crate) fn rows() -> Select<api_key::Entity> {
    let of_key = Expr::col((api_key_secret::Entity, api_key_secret::Column::ApiKeyId));
    let previous_ends_at = Query::select()
        .expr(Expr::col((api_key_secret::Entity, api_key_secret::Column::ExpiresAt)).max())
        .from(api_key_secret::Entity)
        .and_where(of_key.equals((api_key::Entity, api_key::Column::Id)))
        .and_where(api_key_secret::Column::ExpiresAt.gt(rotate::REVOKED_AT_EPOCH))
        .to_owned();
    let previous_ends_at = SimpleExpr::SubQuery(None, Box::new(previous_ends_at.into()));
    api_key::Entity::find().expr_as(previous_ends_at, "previous_ends_at")
}

/// Loads the permission sets of these rows, and converts the rows.
pub(crate) async fn load_relations<C: ConnectionTrait>(db: &C, rows: Vec<ApiKeyRow>) -> Result<Vec<ApiKey>, DbFailure> {
    let mut sets: HashMap<Uuid, Vec<SetId>> = HashMap::new();
    for rows in rows.chunks(MAX_ROWS_PER_STATEMENT) {
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

/// The stored permissions and permission sets of a key.
fn stored(settings: &KeySettings) -> StoredPermissions {
    let sets = settings.sets.iter().map(|set| set.uuid()).collect();
    StoredPermissions { own: convert::permissions_text(&settings.permissions), sets }
}

/// The stored permissions and permission sets of the key with this id, deleted or not.
pub(crate) async fn stored_permissions_of<C: ConnectionTrait>(
    db: &C,
    key: KeyId,
) -> Result<StoredPermissions, DbFailure> {
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
    Ok(StoredPermissions { own: own.unwrap_or_default(), sets })
}

/// Refuses a change of a key, which the transaction has made already, if the key now has too many permissions. `before` is what it
/// had, `None` for a new or restored key. Locks the organization's row, so that none of its sets changes meanwhile.
pub(crate) async fn require_room<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    before: Option<&StoredPermissions>,
    after: &StoredPermissions,
) -> Result<(), DbFailure> {
    if after.sets.is_empty() {
        return Ok(());
    }
    organizations::lock(db, organization).await?;
    if after.may_be_too_many() {
        let mut counter = PermissionCounter::default();
        let sets = before.into_iter().chain([after]).flat_map(|stored| &stored.sets);
        counter.read(db, organization, sets.copied()).await?;
        counter.require_room(before, after, Grantee::Requested).await?;
    }
    Ok(())
}

/// The hashes of all secrets of these keys.
pub(crate) async fn secrets<C: ConnectionTrait>(db: &C, keys: Vec<Uuid>) -> Result<Vec<SecretHash>, DbErr> {
    let mut hashes = Vec::new();
    for keys in keys.chunks(MAX_ROWS_PER_STATEMENT) {
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
impl ApiKeys for Database {
    async fn find(&self, scope: KeyScope, key: KeyId) -> Result<Option<ApiKey>, Outage> {
        Ok(find(&self.pools.read, scope, key).await?.map(|key| self.counter_states.complete(key)))
    }

    async fn list(&self, scope: KeyScope, listing: &Listing, start: Start, limit: u64) -> Result<Vec<ApiKey>, Outage> {
        Ok(self.list_keys(scope, listing, start, limit).await?)
    }

    async fn can_sort(&self, scope: KeyScope, listing: &Listing) -> Result<bool, Outage> {
        Ok(self.can_sort_keys(scope, listing).await?)
    }

    async fn count(&self, scope: KeyScope, filter: &Filter) -> Result<u64, Outage> {
        Ok(self.count_keys(scope, filter).await?)
    }

    async fn create(
        &self,
        keys: Vec<(ApiKey, SecretHash)>,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<bool, Error> {
        let (new, context, caps) = (Arc::new((keys, checked)), context.clone(), self.caps);
        let create = self.transaction(move |transaction, changed| {
            let (new, context) = (new.clone(), context.clone());
            Box::pin(async move { insert(transaction, changed, &new.0, new.1.as_ref(), &context, caps).await })
        });
        Ok(key_policies::unless_changed(create.await)?.is_some())
    }

    async fn create_for_customer(
        &self,
        new: (ApiKey, SecretHash),
        max_keys: u64,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<bool, Error> {
        let create = self.create_key_for_customer(new, max_keys, checked, context.clone());
        Ok(key_policies::unless_changed(create.await)?.is_some())
    }

    async fn lock_for_change(&self, scope: KeyScope, key: KeyId) -> Result<ChangeLock, Error> {
        Ok(Box::new(self.turns.take(scope.organization, key.uuid()).await?))
    }

    async fn update(
        &self,
        scope: KeyScope,
        seen: &ApiKey,
        settings: &KeySettings,
        sets_remaining: bool,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<Option<ApiKey>, Error> {
        let (key, version, before) = (seen.id, seen.version, &seen.settings);
        let mut row = convert::changes_row(before, settings, version, context.at);
        if sets_remaining {
            row.remaining = Set(settings.remaining.map(convert::number));
        }
        let (context, max_changes) = (context.clone(), self.caps.changes);
        let attached = (settings.sets != before.sets).then(|| settings.sets.clone());
        let is_granted = attached.is_some() || settings.permissions != before.permissions;
        let is_disabled = !settings.enabled;
        let changed_fields = settings.changed_fields(before);
        let update = self.transaction(move |transaction, changed| {
            let (row, context, attached) = (row.clone(), context.clone(), attached.clone());
            let (changed_fields, checked) = (changed_fields.clone(), checked.clone());
            Box::pin(async move {
                // Read before the row is locked: its permissions do not change without its version.
                let before = if is_granted { Some(stored_permissions_of(transaction, key).await?) } else { None };
                if write(transaction, scope, key, version, row).await? == 0 {
                    return Ok(None);
                }
                match (&checked, &attached) {
                    (Some(checked), _) => {
                        key_policies::require_unchanged(transaction, scope.organization, checked).await?;
                    }
                    (None, Some(attached)) => {
                        organizations::lock(transaction, scope.organization).await?;
                        permission_sets::require_all(transaction, scope.organization, attached).await?;
                    }
                    (None, None) => {}
                }
                if let Some(attached) = &attached {
                    let of_key = api_key_permission_set::Column::ApiKeyId.eq(key.uuid());
                    api_key_permission_set::Entity::delete_many().filter(of_key).exec(transaction).await?;
                    if !attached.is_empty() {
                        attach(transaction, key.uuid(), attached).await?;
                    }
                }
                if let Some(before) = before {
                    let after = stored_permissions_of(transaction, key).await?;
                    require_room(transaction, scope.organization, Some(&before), &after).await?;
                }
                let secrets = secrets(transaction, vec![key.uuid()]).await?;
                if is_disabled {
                    // Its sessions are deleted: enabling it again does not restore them.
                    sessions::remove_opened_with(transaction, &secrets).await?;
                }
                changed.cached.keys.extend(secrets);
                changed.log.record_changed_fields(&context, key.uuid(), &changed_fields, max_changes);
                find(transaction, scope, key).await
            })
        });
        Ok(key_policies::unless_changed(update.await)?.flatten())
    }

    async fn rotate(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: u64,
        rotation: Rotation,
        checked: CheckedPolicies,
        context: &AuditContext,
    ) -> Result<Option<ApiKey>, Error> {
        let rotated = self.replace_secret(scope, key, version, rotation, checked, context.clone()).await;
        Ok(organizations::unless_taken(rotated, Error::SecretInUse)?)
    }

    async fn undo_rotation(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: u64,
        context: &AuditContext,
    ) -> Result<Option<ApiKey>, Error> {
        Ok(self.restore_previous_secret(scope, key, version, context.clone()).await?)
    }

    async fn find_by_secret(
        &self,
        scope: KeyScope,
        hashes: &[SecretHash],
        supplied: Option<LegacyHash>,
        now: Timestamp,
    ) -> Result<Option<(ApiKey, SecretStatus)>, Outage> {
        Ok(self.find_key_by_secret(scope, hashes, supplied, now).await?)
    }

    async fn find_previous_secret(
        &self,
        scope: KeyScope,
        key: KeyId,
        now: Timestamp,
    ) -> Result<Option<PreviousSecret>, Outage> {
        Ok(self.previous_secret(scope, key, now).await?)
    }

    async fn revoke_previous_secret(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: Option<u64>,
        context: &AuditContext,
    ) -> Result<bool, Error> {
        Ok(self.revoke_previous_in_transaction(scope, key, version, context.clone()).await?)
    }

    async fn delete(
        &self,
        scope: KeyScope,
        keys: Vec<KeyId>,
        version: Option<u64>,
        context: &AuditContext,
    ) -> Result<Vec<KeyId>, Error> {
        let these = Condition::all().add(in_scope(scope)).add_option(version.map(has_version));
        let keys = keys.iter().map(|key| key.uuid()).collect();
        let deleted = self.delete_all(these, keys, context).await?;
        Ok(deleted.into_iter().map(KeyId::from_uuid).collect())
    }

    async fn delete_expired(&self, scope: KeyScope, context: &AuditContext) -> Result<u64, Outage> {
        Ok(self.delete_expired_keys(scope, context).await?)
    }

    async fn newest_secret_times(&self, keys: &[ApiKey]) -> Result<HashMap<KeyId, Timestamp>, Outage> {
        Ok(newest_secret::times(&self.pools.read, keys).await?)
    }

    async fn find_deleted(&self, scope: KeyScope, key: KeyId) -> Result<Option<ApiKey>, Outage> {
        let found = one(&self.pools.read, deleted_in_scope(scope), key).await?;
        Ok(found.map(|key| self.counter_states.complete(key)))
    }

    async fn restore(
        &self,
        scope: KeyScope,
        key: KeyId,
        version: u64,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<Option<ApiKey>, Error> {
        Ok(self.restore_key(scope, key, version, checked, context.clone()).await?)
    }
}

/// Whether a key has this version.
pub(crate) fn has_version(version: u64) -> SimpleExpr {
    api_key::Column::Version.eq(convert::number(version))
}

/// Writes columns of a key, if it still has this version. Returns the number of updated rows, 0 or 1.
pub(crate) async fn write<C: ConnectionTrait>(
    db: &C,
    scope: KeyScope,
    key: KeyId,
    version: u64,
    row: api_key::ActiveModel,
) -> Result<u64, DbErr> {
    let update = api_key::Entity::update_many()
        .set(row)
        .filter(in_scope(scope))
        .filter(api_key::Column::Id.eq(key.uuid()))
        .filter(has_version(version));
    Ok(update.exec(db).await?.rows_affected)
}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, scope: KeyScope, key: KeyId) -> Result<Option<ApiKey>, DbFailure> {
    one(db, in_scope(scope), key).await
}

pub(crate) async fn one<C: ConnectionTrait>(db: &C, among: Condition, key: KeyId) -> Result<Option<ApiKey>, DbFailure> {
    let this = api_key::Column::Id.eq(key.uuid());
    let row = rows().filter(this).filter(among).into_model::<ApiKeyRow>().one(db).await?;
    Ok(load_relations(db, row.into_iter().collect()).await?.pop())
}
