//! Imported keys. They are stored with the hashes of the system that they come from. From the first use of its secret a key is found
//! by the hash that this service uses.
//!
//! Several organizations can import the same secret. With its first use in one of them it gets a row among all secrets there, with
//! a hash that is specific to that organization.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    clock::Timestamp,
    id::{KeyId, OrganizationId},
    keys::{
        api_key::ApiKey,
        policy::CheckedPolicies,
        secret::{ImportedSecret, KeyFormat, LegacyHash, SecretHash},
    },
    ports::{Imported, Imports, SecretOwner},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, OnConflict, Query, SelectStatement},
};

use crate::{
    api_keys::{
        self, delete,
        key_formats::{add_formats, missing_formats},
        supplied,
    },
    database::Database,
    db::{bulk_insert::insert_all, error::DbFailure, message_size::MAX_HASHES_PER_STATEMENT, schema::SchemaError},
    key_cache::key_formats::KeyFormatRegistry,
    organizations::{key_policies, unless_taken},
    rows::entity::{api_key, api_key_secret, imported_secret, organization},
};

/// Imported keys.
pub struct ImportStore {
    database: Arc<Database>,
    key_formats: Arc<KeyFormatRegistry>,
}

impl ImportStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, key_formats: Arc::default() }
    }

    /// The formats, to be loaded again when they change.
    pub(crate) fn key_formats(&self) -> Arc<KeyFormatRegistry> {
        self.key_formats.clone()
    }

    /// Reads the formats of imported keys.
    ///
    /// # Errors
    /// A statement failed. A row that breaks the domain's rules is no error here: the cached formats are unchanged.
    pub(crate) async fn load_key_formats(&self) -> Result<(), SchemaError> {
        match self.key_formats.load(&self.database.pools).await {
            Err(DbFailure::Database(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Imports for ImportStore {
    fn parse_secret(&self, text: &str) -> Option<ImportedSecret> {
        self.key_formats.parse_secret(text)
    }

    async fn known(&self, organization: OrganizationId, hashes: &[LegacyHash]) -> Result<Vec<LegacyHash>, Outage> {
        let mut known = Vec::new();
        for hashes in hashes.chunks(MAX_HASHES_PER_STATEMENT) {
            let rows: Vec<Vec<u8>> = imported_secret::Entity::find()
                .select_only()
                .column(imported_secret::Column::Hash)
                .filter(imported_secret::Column::OrganizationId.eq(organization.uuid()))
                .filter(imported_secret::Column::Hash.is_in(hashes.iter().map(|hash| hash.bytes().to_vec())))
                .filter(Expr::exists(deleted_key_of(imported_secret::Column::ApiKeyId)).not())
                .into_tuple()
                .all(&self.database.pools.read)
                .await
                .map_err(DbFailure::from)?;
            known.extend(rows.into_iter().filter_map(|row| row.try_into().ok()).map(LegacyHash::from_bytes));
        }
        Ok(known)
    }

    async fn has_key_formats(&self, organization: OrganizationId, formats: &[KeyFormat]) -> Result<bool, Outage> {
        Ok(missing_formats(&self.database.pools.read, organization, formats).await?.is_empty())
    }

    async fn find_key_of(
        &self,
        organization: OrganizationId,
        hash: &LegacyHash,
    ) -> Result<Option<(KeyId, bool)>, Outage> {
        Ok(supplied::find_key(&self.database.pools.read, organization, hash).await?)
    }

    async fn import(
        &self,
        formats: &[KeyFormat],
        keys: Vec<Imported>,
        generated: Vec<(ApiKey, SecretHash)>,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<bool, Error> {
        let hashes: Arc<[LegacyHash]> = keys.iter().map(|imported| imported.hash).collect();
        let keys = keys.into_iter().map(|imported| imported.key);
        // The keys with hashes are the first ones.
        let keys: Arc<[ApiKey]> = keys.chain(generated.iter().map(|(key, _)| key.clone())).collect();
        let (generated, checked) = (Arc::new(generated), Arc::new(checked));
        let (formats, context, caps) = (Arc::<[KeyFormat]>::from(formats), context.clone(), self.database.caps);
        let import = self.database.transaction(move |transaction, changed| {
            let (keys, hashes, formats, context) = (keys.clone(), hashes.clone(), formats.clone(), context.clone());
            let (generated, checked) = (generated.clone(), checked.clone());
            Box::pin(async move {
                let is_new_format = add_formats(transaction, &context, &formats).await?;
                changed.cached.key_formats = is_new_format;
                if keys.is_empty() {
                    changed.log.record_idempotency_key(&context);
                    return Ok(is_new_format);
                }
                purge_deleted(transaction, context.organization, &hashes).await?;
                api_keys::insert_without_secrets(transaction, &keys, checked.as_ref().as_ref()).await?;
                api_keys::insert_secrets(transaction, &generated).await?;
                let secrets = keys.iter().zip(hashes.iter()).map(|(key, hash)| imported_secret::ActiveModel {
                    organization_id: Set(key.organization.uuid()),
                    hash: Set(hash.bytes().to_vec()),
                    api_key_id: Set(key.id.uuid()),
                    imported_at: Set(context.at.millis()),
                    adopted_at: Set(None),
                    expires_at: Set(None),
                    start: Set(key.start.clone()),
                });
                insert_all(transaction, secrets.collect()).await?;
                api_keys::reserve_and_log(transaction, changed, &keys, checked.as_ref().as_ref(), &context, caps)
                    .await?;
                Ok(is_new_format)
            })
        });
        let imported = unless_taken(import.await, Error::SecretInUse);
        let Some(is_new_format) = key_policies::unless_changed(imported)? else { return Ok(false) };
        // The import is committed, so that a failure here must not fail it.
        if is_new_format {
            self.key_formats.load_or_warn(&self.database.pools).await;
        }
        Ok(true)
    }

    fn get_cached_secret_owner(&self, old: &LegacyHash) -> Option<OrganizationId> {
        self.database.key_cache.get_cached_secret_owner(&old.in_all_organizations())
    }

    async fn find_secret_owner(&self, old: &LegacyHash) -> Result<SecretOwner, Outage> {
        let name = old.in_all_organizations();
        if let Some(organization) = self.database.key_cache.get_cached_secret_owner(&name) {
            return Ok(SecretOwner::One { organization, was_used: true });
        }
        let changes = self.database.key_cache.secret_owner_changes();
        let rows = find_rows(&self.database.pools.verification, old).await?;
        let was_used = rows.iter().any(|row| row.adopted_at.is_some());
        let is_owner = |row: &&imported_secret::Model| row.adopted_at.is_some() == was_used;
        let owners: Vec<_> = rows.iter().filter(is_owner).collect();
        Ok(match owners.as_slice() {
            [] => SecretOwner::NotImported,
            [row] => {
                let organization = OrganizationId::from_uuid(row.organization_id);
                if was_used {
                    self.database.key_cache.cache_secret_owner(name, organization, changes);
                }
                SecretOwner::One { organization, was_used }
            }
            several => {
                let key = |row: &&imported_secret::Model| {
                    (OrganizationId::from_uuid(row.organization_id), KeyId::from_uuid(row.api_key_id))
                };
                SecretOwner::Several(several.iter().map(key).collect())
            }
        })
    }

    fn invalidate_secret_owner(&self, old: &LegacyHash) {
        self.database.key_cache.invalidate_secret_owner(old.in_all_organizations());
    }

    async fn claim_secret(
        &self,
        organization: OrganizationId,
        text: &ImportedSecret,
        may_be_first: bool,
        now: Timestamp,
    ) -> Result<bool, Outage> {
        // Most secrets of a format match no key, and must not cause a transaction that writes.
        match find_row(&self.database.pools.verification, organization, &text.old).await? {
            None => return Ok(false),
            Some(row) if row.adopted_at.is_none() && !may_be_first => return Ok(false),
            Some(_) => {}
        }
        let text = *text;
        let claim_secret = self.database.transaction(move |transaction, changed| {
            changed.cached.keys.extend([
                text.old.in_organization(organization),
                text.old.in_all_organizations(),
                text.plain,
            ]);
            Box::pin(async move { store_used_secret(transaction, organization, &text, now).await })
        });
        claim_secret.await?;
        Ok(true)
    }
}

/// Stores an imported secret in `api_key_secrets`, when it is used for the first time.
async fn store_used_secret<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    text: &ImportedSecret,
    now: Timestamp,
) -> Result<(), DbFailure> {
    let Some(found) = find_row(db, organization, &text.old).await? else { return Ok(()) };
    // Locked against a concurrent rotation.
    api_key::Entity::find_by_id(found.api_key_id).lock_exclusive().one(db).await?;
    let Some(found) = find_row(db, organization, &text.old).await? else { return Ok(()) };
    let hash = text.old.in_organization(organization);
    if found.adopted_at.is_some() {
        // An earlier version stored it with a hash of the secret that does not depend on the organization. It has no row if the secret
        // expired long ago.
        let plain = api_key_secret::Entity::find_by_id(text.plain.bytes().to_vec())
            .filter(api_key_secret::Column::ApiKeyId.eq(found.api_key_id))
            .one(db)
            .await?;
        return match plain {
            Some(row) => add_secret(db, &hash, row).await,
            None => Ok(()),
        };
    }
    let row = api_key_secret::Model {
        hash: Vec::new(),
        api_key_id: found.api_key_id,
        created_at: found.imported_at,
        expires_at: found.expires_at,
        start: Some(found.start),
        last_request_at: None,
        is_unused: false,
    };
    add_secret(db, &hash, row.clone()).await?;
    // Earlier versions, which may run at the same time or after a rollback, find it by this hash. The first organization gets it.
    add_secret(db, &text.plain, row).await?;
    let adopted = imported_secret::ActiveModel {
        organization_id: Set(found.organization_id),
        hash: Set(found.hash),
        adopted_at: Set(Some(now.millis())),
        ..imported_secret::ActiveModel::default()
    };
    imported_secret::Entity::update(adopted).exec(db).await?;
    Ok(())
}

/// Stores a secret with this hash, unless there is one. The secret of a deleted key is replaced.
async fn add_secret<C: ConnectionTrait>(
    db: &C,
    hash: &SecretHash,
    row: api_key_secret::Model,
) -> Result<(), DbFailure> {
    api_key_secret::Entity::delete_many()
        .filter(api_key_secret::Column::Hash.eq(hash.bytes().to_vec()))
        .filter(Expr::exists(deleted_key_of(api_key_secret::Column::ApiKeyId)))
        .exec(db)
        .await?;
    let row = api_key_secret::Model { hash: hash.bytes().to_vec(), ..row };
    let row = api_key_secret::ActiveModel {
        hash: Set(row.hash),
        api_key_id: Set(row.api_key_id),
        created_at: Set(row.created_at),
        expires_at: Set(row.expires_at),
        start: Set(row.start),
        last_request_at: Set(row.last_request_at),
        is_unused: Set(row.is_unused),
    };
    let unless_exists = OnConflict::column(api_key_secret::Column::Hash).do_nothing().to_owned();
    api_key_secret::Entity::insert(row).on_conflict(unless_exists).exec_without_returning(db).await?;
    Ok(())
}

/// Maximum number of organizations with the same imported secret that are read.
const MAX_ORGANIZATIONS: u64 = 100;

/// The rows of a secret in the organizations that have imported it and still have its key, those where it was used first at the
/// beginning. At most [`MAX_ORGANIZATIONS`].
async fn find_rows<C: ConnectionTrait>(db: &C, old: &LegacyHash) -> Result<Vec<imported_secret::Model>, DbFailure> {
    let rows = imported_secret::Entity::find()
        .filter(imported_secret::Column::Hash.eq(old.bytes().to_vec()))
        .filter(Expr::exists(deleted_key_of(imported_secret::Column::ApiKeyId)).not())
        .order_by_asc(imported_secret::Column::AdoptedAt.is_null())
        .order_by_asc(imported_secret::Column::OrganizationId)
        .limit(MAX_ORGANIZATIONS)
        .all(db)
        .await?;
    Ok(rows)
}

/// The row of a secret in one organization, if that still has its key.
pub(crate) async fn find_row<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    old: &LegacyHash,
) -> Result<Option<imported_secret::Model>, DbFailure> {
    let row = imported_secret::Entity::find_by_id((organization.uuid(), old.bytes().to_vec()))
        .filter(Expr::exists(deleted_key_of(imported_secret::Column::ApiKeyId)).not())
        .one(db)
        .await?;
    Ok(row)
}

/// The hashes under which the organizations of a key's imported secrets are cached: these change when the key is restored.
pub(crate) async fn names_of<C: ConnectionTrait>(db: &C, key: KeyId) -> Result<Vec<SecretHash>, DbFailure> {
    let rows: Vec<Vec<u8>> = imported_secret::Entity::find()
        .select_only()
        .column(imported_secret::Column::Hash)
        .filter(imported_secret::Column::ApiKeyId.eq(key.uuid()))
        .into_tuple()
        .all(db)
        .await?;
    let old = rows.into_iter().filter_map(|row| row.try_into().ok()).map(LegacyHash::from_bytes);
    Ok(old.map(|old| old.in_all_organizations()).collect())
}

/// The key that a column refers to, if it or its organization is deleted. A correlated subquery, because there may be very many
/// deleted keys.
fn deleted_key_of(column: impl ColumnTrait) -> SelectStatement {
    let of_deleted = Query::select()
        .column(organization::Column::Id)
        .from(organization::Entity)
        .and_where(organization::Column::DeletedAt.is_not_null())
        .to_owned();
    Query::select()
        .expr(Expr::value(1))
        .from(api_key::Entity)
        .and_where(Expr::col((api_key::Entity, api_key::Column::Id)).equals(column.as_column_ref()))
        .cond_where(
            Condition::any()
                .add(api_key::Column::DeletedAt.is_not_null())
                .add(api_key::Column::OrganizationId.in_subquery(of_deleted)),
        )
        .to_owned()
}

/// Purges deleted keys that are imported again.
pub(crate) async fn purge_deleted<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    hashes: &[LegacyHash],
) -> Result<(), DbFailure> {
    for hashes in hashes.chunks(MAX_HASHES_PER_STATEMENT) {
        let deleted: Vec<Uuid> = imported_secret::Entity::find()
            .select_only()
            .column(imported_secret::Column::ApiKeyId)
            .filter(imported_secret::Column::OrganizationId.eq(organization.uuid()))
            .filter(imported_secret::Column::Hash.is_in(hashes.iter().map(|hash| hash.bytes().to_vec())))
            .filter(Expr::exists(deleted_key_of(imported_secret::Column::ApiKeyId)))
            .into_tuple()
            .all(db)
            .await?;
        // If one could still be restored, there would be two keys with the same secret.
        delete::remove(db, &deleted).await?;
    }
    Ok(())
}
