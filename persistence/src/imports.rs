//! Keys that come from elsewhere: stored by the hashes that were kept there, found by our own from their first verify on.
//!
//! The shapes of their secrets are few and are held in memory, so that a text of none of them costs no lookup. Each node reads
//! them when it hears of a change; one that has not heard yet calls such a text unknown, which is on the safe side.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use domain::{
    Error, Outage,
    act::{Act, Actor},
    api_key::ApiKey,
    clock::Timestamp,
    id::{KeyId, OrganizationId},
    ports::{Adopted, Imported, Imports},
    secret::{self, Alphabet, OldHash, SecretHash, Shape},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::Uuid,
    sea_query::{OnConflict, Query, SelectStatement},
};

use crate::{
    Store, api_keys,
    connect::Pools,
    convert,
    entity::{api_key, api_key_secret, imported_secret, imported_shape},
    organizations::unless_taken,
    outage::Failure,
};

/// Shapes that an organization may import: whoever needs more has keys of many systems.
const MOST_SHAPES: u64 = 5;

/// What imported secrets look like.
#[derive(Debug, Default)]
pub(crate) struct Shapes(RwLock<Arc<secret::Shapes>>);

impl Shapes {
    fn hash(&self, text: &str) -> Option<SecretHash> {
        let shapes = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        shapes.hash(text)
    }

    /// Reads them anew.
    pub(crate) async fn load(&self, pools: &Pools) -> Result<(), Failure> {
        let rows = imported_shape::Entity::find().all(&pools.verification).await?;
        let shapes = rows.iter().map(|row| {
            let alphabet = Alphabet::parse(&row.alphabet);
            let length = u16::try_from(row.length).ok();
            let shape =
                alphabet.zip(length).and_then(|(alphabet, length)| Shape::new(&row.prefix, length, alphabet).ok());
            shape.ok_or_else(|| convert::broken("imported_shapes", "alphabet", Uuid::nil()))
        });
        let shapes = secret::Shapes::new(shapes.collect::<Result<Vec<_>, _>>()?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shapes);
        Ok(())
    }
}

#[async_trait]
impl Imports for Store {
    fn hash_of_imported(&self, text: &str) -> Option<SecretHash> {
        self.shapes.hash(text)
    }

    async fn known(&self, organization: OrganizationId, hashes: &[OldHash]) -> Result<Vec<OldHash>, Outage> {
        let mut known = Vec::new();
        for hashes in hashes.chunks(api_keys::ROWS) {
            let rows: Vec<Vec<u8>> = imported_secret::Entity::find()
                .select_only()
                .column(imported_secret::Column::Hash)
                .filter(imported_secret::Column::OrganizationId.eq(organization.uuid()))
                .filter(imported_secret::Column::Hash.is_in(hashes.iter().map(|hash| hash.bytes().to_vec())))
                .filter(imported_secret::Column::ApiKeyId.not_in_subquery(deleted_keys()))
                .into_tuple()
                .all(&self.pools.read)
                .await
                .map_err(Failure::from)?;
            known.extend(rows.into_iter().filter_map(|row| row.try_into().ok()).map(OldHash::from_bytes));
        }
        Ok(known)
    }

    async fn import(&self, shapes: &[Shape], keys: Vec<Imported>, act: &Act) -> Result<(), Error> {
        let hashes: Arc<[OldHash]> = keys.iter().map(|imported| imported.hash).collect();
        let keys: Arc<[ApiKey]> = keys.into_iter().map(|imported| imported.key).collect();
        let (shapes, act, caps) = (Arc::<[Shape]>::from(shapes), act.clone(), self.caps);
        let import = self.transaction(move |transaction, changed| {
            let (keys, hashes, shapes, act) = (keys.clone(), hashes.clone(), shapes.clone(), act.clone());
            changed.shapes = true;
            Box::pin(async move {
                add_shapes(transaction, &act, &shapes).await?;
                if keys.is_empty() {
                    return Ok(());
                }
                forget_deleted(transaction, act.organization, &hashes).await?;
                api_keys::insert_without_secrets(transaction, &keys).await?;
                for (keys, hashes) in keys.chunks(api_keys::ROWS).zip(hashes.chunks(api_keys::ROWS)) {
                    let rows = keys.iter().zip(hashes).map(|(key, hash)| imported_secret::ActiveModel {
                        organization_id: Set(key.organization.uuid()),
                        hash: Set(hash.bytes().to_vec()),
                        api_key_id: Set(key.id.uuid()),
                        imported_at: Set(act.at.millis()),
                        adopted_at: Set(None),
                        expires_at: Set(None),
                        start: Set(key.start.clone()),
                    });
                    imported_secret::Entity::insert_many(rows).exec_without_returning(transaction).await?;
                }
                api_keys::account_for(transaction, &keys, &act, caps).await
            })
        });
        unless_taken(import.await)?;
        // It is done, whatever comes of this.
        if let Err(failure) = self.shapes.load(&self.pools).await {
            tracing::warn!(target: "claviger", error = %Outage::from(failure), "imported keys may be unknown for a while");
        }
        Ok(())
    }

    async fn adopt(&self, old: &OldHash, hash: &SecretHash, now: Timestamp) -> Result<Adopted, Outage> {
        // Most texts of a shape are no keys: those are not worth a transaction that writes.
        let found = claims(&self.pools.verification, old).await.map_err(Outage::from)?;
        match found.as_slice() {
            [] => return Ok(Adopted::No),
            // Somebody has just shown it, here or elsewhere: it is to be found.
            rows if rows.iter().any(|row| row.adopted_at.is_some()) => return Ok(Adopted::Yes),
            [_] => {}
            several => {
                let keys = several
                    .iter()
                    .map(|row| (OrganizationId::from_uuid(row.organization_id), KeyId::from_uuid(row.api_key_id)));
                return Ok(Adopted::Contested(keys.collect()));
            }
        }
        let (old, hash) = (*old, *hash);
        let adopt = self.transaction(move |transaction, changed| {
            changed.keys.push(hash);
            Box::pin(async move {
                let rows = claims(transaction, &old).await?;
                let [row] = rows.as_slice() else { return Ok(()) };
                // Locked, so that who rotates it at this moment is before or after this.
                api_key::Entity::find_by_id(row.api_key_id).lock_exclusive().one(transaction).await?;
                let this = imported_secret::Entity::find_by_id((row.organization_id, row.hash.clone()));
                let Some(row) = this.one(transaction).await?.filter(|row| row.adopted_at.is_none()) else {
                    return Ok(());
                };
                forget_secret_of_deleted(transaction, &hash).await?;
                let secret = api_key_secret::ActiveModel {
                    hash: Set(hash.bytes().to_vec()),
                    api_key_id: Set(row.api_key_id),
                    created_at: Set(row.imported_at),
                    expires_at: Set(row.expires_at),
                    start: Set(Some(row.start)),
                    last_request_at: Set(None),
                };
                // Two who show it at once make it known once.
                let unless_there = OnConflict::column(api_key_secret::Column::Hash).do_nothing().to_owned();
                api_key_secret::Entity::insert(secret)
                    .on_conflict(unless_there)
                    .exec_without_returning(transaction)
                    .await?;
                let adopted = imported_secret::ActiveModel {
                    organization_id: Set(row.organization_id),
                    hash: Set(row.hash),
                    adopted_at: Set(Some(now.millis())),
                    ..imported_secret::ActiveModel::default()
                };
                imported_secret::Entity::update(adopted).exec(transaction).await?;
                Ok(())
            })
        });
        adopt.await?;
        Ok(Adopted::Yes)
    }
}

/// Who has imported a secret with this hash, and has its key still.
async fn claims<C: ConnectionTrait>(db: &C, old: &OldHash) -> Result<Vec<imported_secret::Model>, Failure> {
    let rows = imported_secret::Entity::find()
        .filter(imported_secret::Column::Hash.eq(old.bytes().to_vec()))
        .filter(imported_secret::Column::ApiKeyId.not_in_subquery(deleted_keys()))
        .order_by_asc(imported_secret::Column::OrganizationId)
        .all(db)
        .await?;
    Ok(rows)
}

/// Keys that are deleted and not gone yet.
fn deleted_keys() -> SelectStatement {
    Query::select()
        .column(api_key::Column::Id)
        .from(api_key::Entity)
        .and_where(api_key::Column::DeletedAt.is_not_null())
        .to_owned()
}

/// A key that was deleted may be imported anew.
async fn forget_deleted<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    hashes: &[OldHash],
) -> Result<(), Failure> {
    for hashes in hashes.chunks(api_keys::ROWS) {
        imported_secret::Entity::delete_many()
            .filter(imported_secret::Column::OrganizationId.eq(organization.uuid()))
            .filter(imported_secret::Column::Hash.is_in(hashes.iter().map(|hash| hash.bytes().to_vec())))
            .filter(imported_secret::Column::ApiKeyId.in_subquery(deleted_keys()))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// And what was shown of it then finds the new one from now on.
async fn forget_secret_of_deleted<C: ConnectionTrait>(db: &C, hash: &SecretHash) -> Result<(), Failure> {
    api_key_secret::Entity::delete_many()
        .filter(api_key_secret::Column::Hash.eq(hash.bytes().to_vec()))
        .filter(api_key_secret::Column::ApiKeyId.in_subquery(deleted_keys()))
        .exec(db)
        .await?;
    Ok(())
}

/// Adds the shapes that the organization does not have yet.
async fn add_shapes<C: ConnectionTrait>(db: &C, act: &Act, shapes: &[Shape]) -> Result<(), Failure> {
    let own = imported_shape::Column::OrganizationId.eq(act.organization.uuid());
    let known = imported_shape::Entity::find().filter(own.clone()).all(db).await?;
    let is_known = |shape: &&Shape| {
        known.iter().any(|row| {
            (row.prefix.as_str(), row.alphabet.as_str()) == (shape.prefix(), shape.alphabet().code())
                && u16::try_from(row.length) == Ok(shape.length())
        })
    };
    let new: Vec<&Shape> = shapes.iter().filter(|shape| !is_known(shape)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let rows = new.into_iter().map(|shape| imported_shape::ActiveModel {
        organization_id: Set(act.organization.uuid()),
        prefix: Set(shape.prefix().to_owned()),
        length: Set(i16::try_from(shape.length()).unwrap_or(i16::MAX)),
        alphabet: Set(shape.alphabet().code().to_owned()),
    });
    let key = [
        imported_shape::Column::OrganizationId,
        imported_shape::Column::Prefix,
        imported_shape::Column::Length,
        imported_shape::Column::Alphabet,
    ];
    let unless_there = OnConflict::columns(key).do_nothing().to_owned();
    imported_shape::Entity::insert_many(rows).on_conflict(unless_there).exec_without_returning(db).await?;
    // Who has the machine is not held to this.
    let is_bounded = act.actor != Actor::Operator;
    if is_bounded && imported_shape::Entity::find().filter(own).count(db).await? > MOST_SHAPES {
        return Err(Failure::Refused(Error::TooManyShapes));
    }
    Ok(())
}
