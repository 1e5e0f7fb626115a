//! Secrets that clients supply as hashes. They are stored as imported secrets, in `imported_secrets`, until they are used.

use domain::{
    clock::Timestamp,
    id::{KeyId, OrganizationId},
    keys::secret::LegacyHash,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::{
    api_keys::{
        import::{find_row, purge_deleted},
        rotate::{MAX_ENDED_SECRETS, MAX_REMOVED_SECRETS},
    },
    db::error::DbFailure,
    rows::entity::{api_key_secret, imported_secret},
};

/// Stores the new secret of a key, whose row is locked. Fails with a conflict if a key of the organization has the secret.
pub(crate) async fn insert<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    key: KeyId,
    hash: LegacyHash,
    start: &str,
    now: Timestamp,
) -> Result<(), DbFailure> {
    purge_deleted(db, organization, &[hash]).await?;
    remove_surplus(db, organization, key, now).await?;
    let row = imported_secret::ActiveModel {
        organization_id: Set(organization.uuid()),
        hash: Set(hash.bytes().to_vec()),
        api_key_id: Set(key.uuid()),
        imported_at: Set(now.millis()),
        adopted_at: Set(None),
        expires_at: Set(None),
        start: Set(start.to_owned()),
    };
    imported_secret::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The key of the organization that has or had a secret, and whether the secret is its newest one.
pub(crate) async fn find_key<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    hash: &LegacyHash,
) -> Result<Option<(KeyId, bool)>, DbFailure> {
    let Some(row) = find_row(db, organization, hash).await? else { return Ok(None) };
    let is_newest = if row.adopted_at.is_none() {
        row.expires_at.is_none()
    } else {
        let used = api_key_secret::Entity::find_by_id(hash.in_organization(organization).bytes().to_vec())
            .filter(api_key_secret::Column::ApiKeyId.eq(row.api_key_id))
            .filter(api_key_secret::Column::ExpiresAt.is_null());
        used.one(db).await?.is_some()
    };
    Ok(Some((KeyId::from_uuid(row.api_key_id), is_newest)))
}

/// Removes the oldest supplied secrets of a key that have expired or were revoked, if as many secrets were supplied after them as
/// are kept. A previous secret in its grace period is kept, however many secrets were supplied after it.
async fn remove_surplus<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    key: KeyId,
    now: Timestamp,
) -> Result<(), DbFailure> {
    let may_have_expired = Condition::any()
        .add(imported_secret::Column::AdoptedAt.is_not_null())
        .add(imported_secret::Column::ExpiresAt.lte(now.millis()));
    let surplus: Vec<Vec<u8>> = imported_secret::Entity::find()
        .select_only()
        .column(imported_secret::Column::Hash)
        .filter(imported_secret::Column::ApiKeyId.eq(key.uuid()))
        .filter(may_have_expired)
        .order_by_desc(imported_secret::Column::ImportedAt)
        .offset(MAX_ENDED_SECRETS)
        .limit(MAX_REMOVED_SECRETS)
        .into_tuple()
        .all(db)
        .await?;
    let mut surplus: Vec<LegacyHash> = surplus
        .iter()
        .filter_map(|hash| <[u8; 32]>::try_from(hash.as_slice()).ok().map(LegacyHash::from_bytes))
        .collect();
    let used = |hash: &LegacyHash| hash.in_organization(organization).bytes().to_vec();
    let is_valid = Condition::any()
        .add(api_key_secret::Column::ExpiresAt.is_null())
        .add(api_key_secret::Column::ExpiresAt.gt(now.millis()));
    let valid: Vec<Vec<u8>> = api_key_secret::Entity::find()
        .select_only()
        .column(api_key_secret::Column::Hash)
        .filter(api_key_secret::Column::Hash.is_in(surplus.iter().map(used)))
        .filter(is_valid)
        .into_tuple()
        .all(db)
        .await?;
    surplus.retain(|hash| !valid.contains(&used(hash)));
    if surplus.is_empty() {
        return Ok(());
    }
    let used = api_key_secret::Column::Hash.is_in(surplus.iter().map(used));
    api_key_secret::Entity::delete_many()
        .filter(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
        .filter(api_key_secret::Column::ExpiresAt.is_not_null())
        .filter(used)
        .exec(db)
        .await?;
    imported_secret::Entity::delete_many()
        .filter(imported_secret::Column::ApiKeyId.eq(key.uuid()))
        .filter(imported_secret::Column::Hash.is_in(surplus.iter().map(|hash| hash.bytes().to_vec())))
        .exec(db)
        .await?;
    Ok(())
}
